//! What clients type: telnet is decoded, commands are run, and the rest is queued for the child
//! (contract section 5).

use crate::config::MessageStyle;
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
        if client.role != Role::User {
            return;
        }
        let mut data = std::mem::take(&mut self.scratch);
        data.clear();
        if client.kind == ClientKind::Telnet {
            let mut reply = Vec::new();
            let before = client.decoder.clone();
            let line_ends = self.settings.line_ends();
            client.decoder.decode(bytes, line_ends, &mut data, &mut reply);
            self.revision += u64::from(client.decoder != before);
            client.reader.stage(&reply);
            client.replies += reply.len();
        } else {
            data.extend_from_slice(bytes);
        }
        self.process_input(id, &data, now);
        self.scratch = data;
    }

    fn process_input(&mut self, id: ClientId, data: &[u8], now: Timestamps) {
        let running = self.supervisor.running().is_some();
        let mut start = false;
        for &byte in data {
            start |= self.run_command(id, byte, running, now);
        }
        if start && !self.exiting {
            // The input that starts a child does not go to it.
            if let Some(action) = self.supervisor.start_by_hand(now.mono) {
                self.act(action, now);
            }
        } else if running && self.supervisor.running().is_some() {
            let ignore = &self.settings.console.ignore;
            if data.iter().any(|&byte| ignore.contains(byte)) {
                let kept = data.iter().copied().filter(|&byte| !ignore.contains(byte));
                self.input.push(id, kept);
            } else {
                self.input.push(id, data.iter().copied());
            }
        }
    }

    /// Runs the commands that a byte is, of which it may be several. Returns true if one of them asks
    /// for a child.
    fn run_command(&mut self, id: ClientId, byte: u8, running: bool, now: Timestamps) -> bool {
        let commands = self.settings.console.commands;
        let mut start = !running && byte == RESTART;
        if start {
            self.record_command(id, Command::Restart);
        }
        if !running && byte == QUIT {
            self.record_command(id, Command::Quit);
            self.flush(now);
            self.exit(self.supervisor.last_code());
        }
        if commands.logout == Some(byte) {
            self.record_command(id, Command::Logout);
            self.effects.push_back(Effect::Disconnect(id));
        }
        if commands.toggle == Some(byte) {
            self.record_command(id, Command::Toggle);
            // procServ 2.7 has no ONESHOT, so its words have none either.
            let mode = self.supervisor.toggle(self.settings.console.style == MessageStyle::Current);
            self.say(&messages::toggled(&self.settings, mode), now);
        }
        if self.settings.restart.overlap.is_some_and(|overlap| overlap.command == Some(byte)) {
            let command = if running { Command::Reload } else { Command::Restart };
            self.record_command(id, command);
            if running {
                self.reload(now);
            } else {
                start = true;
            }
        }
        if commands.kill == Some(byte) {
            self.say(&messages::killed(&self.settings), now);
            let command = if running { Command::Kill } else { Command::Restart };
            self.record_command(id, command);
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

    /// What a command changes, and that it was given, outlives a crash.
    pub(super) fn record_command(&mut self, id: ClientId, command: Command) {
        self.revision += 1;
        self.audit_events.push_back(AuditEvent::Command(id, command));
    }
}
