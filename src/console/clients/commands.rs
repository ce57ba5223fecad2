//! What clients type: telnet is decoded, commands are run, and the rest is queued for the child
//! (contract section 5).

use crate::config::{CommandChars, WindowSize};
use crate::console::audit::{AuditEvent, Command};
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, ClientKind, Effect, Role};
use crate::console::{Console, messages};

/// Starts a child while none runs, whatever the kill character is.
const RESTART: u8 = 0x12;
/// Ends the server while no child runs.
const QUIT: u8 = 0x11;

impl Console {
    /// A client sent bytes, in one read: the buffer that contract section 5 speaks of.
    pub(crate) fn client_input(&mut self, id: ClientId, bytes: &[u8], now: Timestamps) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if matches!(client.role, Role::Logger | Role::Api) {
            return;
        }
        let role = client.role;
        let mut window = None;
        let mut data = std::mem::take(&mut self.scratch);
        data.clear();
        if client.kind == ClientKind::Telnet {
            let mut reply = Vec::new();
            let before = client.decoder.clone();
            let line_ends = self.settings.line_ends();
            window = client.decoder.decode(bytes, line_ends, &mut data, &mut reply);
            let has_changed = u64::from(client.decoder != before);
            self.revision += has_changed;
            self.client_revision += has_changed;
            client.reader.stage(&reply);
            client.replies += reply.len();
        } else {
            data.extend_from_slice(bytes);
        }
        // A viewer negotiates as any client does, and can do nothing else.
        if role == Role::User {
            if let Some((columns, rows)) = window {
                self.window_told(id, WindowSize { columns, rows }, now.mono);
            }
            if !data.is_empty() {
                self.has_typed(id, now.mono);
            }
            self.process_input(id, &data, now);
        }
        self.scratch = data;
    }

    fn process_input(&mut self, id: ClientId, data: &[u8], now: Timestamps) {
        let running = self.supervisor.running().is_some();
        let mut start = false;
        for &byte in data {
            if self.is_command(byte, running) && self.admit_command(id, byte, now) {
                start |= self.run_command(id, byte, 1, running, now);
            }
        }
        if start && !self.exiting {
            // The input that starts a child does not go to it.
            self.start_by_hand(now);
        } else if running && self.supervisor.running().is_some() {
            self.type_to_child(id, data);
        }
    }

    /// A user asked for a child.
    pub(crate) fn start_by_hand(&mut self, now: Timestamps) {
        if !self.exiting
            && let Some(action) = self.supervisor.start_by_hand(now.mono)
        {
            self.act(action, now);
        }
    }

    /// The commands that a byte is, of which it may be several, while a child is `running` or not.
    pub(crate) fn commands_of(&self, byte: u8, running: bool) -> impl Iterator<Item = Command> {
        let CommandChars { kill, toggle, logout } = self.settings.console.commands;
        let reload = self.settings.restart.overlap.and_then(|overlap| overlap.command);
        let if_running = |command| if running { command } else { Command::Restart };
        let commands = [
            (Some(RESTART).filter(|_| !running), Command::Restart),
            (Some(QUIT).filter(|_| !running), Command::Quit),
            (logout, Command::Logout),
            (toggle, Command::Toggle),
            (reload, if_running(Command::Reload)),
            (kill, if_running(Command::Kill)),
        ];
        commands.into_iter().filter(move |(key, _)| *key == Some(byte)).map(|(_, command)| command)
    }

    /// Returns true if a byte is a command while a child is `running` or not.
    pub(crate) fn is_command(&self, byte: u8, running: bool) -> bool {
        self.commands_of(byte, running).next().is_some()
    }

    /// Runs the commands that a byte is, which was typed so many times. Returns true if one of them
    /// asks for a child.
    pub(crate) fn run_command(
        &mut self,
        id: ClientId,
        byte: u8,
        times: u64,
        running: bool,
        now: Timestamps,
    ) -> bool {
        let commands = self.settings.console.commands;
        let mut start = !running && byte == RESTART;
        if start {
            self.record_command(id, Command::Restart, times);
        }
        if !running && byte == QUIT {
            self.record_command(id, Command::Quit, times);
            self.flush(now);
            self.exit(self.supervisor.last_code());
        }
        if commands.logout == Some(byte) {
            self.record_command(id, Command::Logout, times);
            // A client whose commands were held may have left by itself.
            if self.clients.contains_key(&id) {
                self.effects.push_back(Effect::Disconnect(id));
            }
        }
        if commands.toggle == Some(byte) {
            self.record_command(id, Command::Toggle, times);
            self.toggle(times, now);
        }
        if self.settings.restart.overlap.is_some_and(|overlap| overlap.command == Some(byte)) {
            let command = if running { Command::Reload } else { Command::Restart };
            self.record_command(id, command, times);
            if running {
                self.reload(now);
            } else {
                start = true;
            }
        }
        if commands.kill == Some(byte) {
            self.say(&messages::killed(&self.settings), now);
            let command = if running { Command::Kill } else { Command::Restart };
            self.record_command(id, command, times);
            if running {
                self.kill_child(now);
            } else {
                start = true;
            }
        }
        start
    }

    /// Sends the kill signal to the child, and to the old one if there are two.
    pub(super) fn kill_child(&mut self, now: Timestamps) {
        self.cancel_replacement();
        self.input.clear();
        if self.supervisor.awaits_daemon() && self.settings.restart.kill_signal != 0 {
            // There is no known process that a signal could be sent to.
            self.give_up_daemon(now);
        } else {
            self.signal(self.settings.restart.kill_signal);
        }
        if self.settings.restart.kill_signal != 0 {
            self.old_was_killed(now);
        }
    }

    /// A client gave a command so many times. What the command changes, and that it was given, outlives
    /// a crash.
    pub(crate) fn record_command(&mut self, id: ClientId, command: Command, times: u64) {
        self.revision += 1;
        self.audit_events.push_back(AuditEvent::Command(id, command, times));
    }
}
