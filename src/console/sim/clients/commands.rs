//! The oracle's part about what clients type.

use crate::config::RestartMode::Oneshot;
use crate::config::{CommandChars, MessageStyle};
use crate::console::audit::{AuditEvent, Command};
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, DisconnectReason, Effect, ExitStatus};
use crate::console::sim::child::cleanup::After;
use crate::console::sim::oracle::Oracle;
use crate::console::sim::reached;

const SECOND: u64 = 1_000_000_000;

impl Oracle {
    /// A user sent these bytes in one read, from which telnet sequences have been taken out.
    pub fn client_input(&mut self, id: ClientId, data: &[u8], now: Timestamps) {
        if self.exiting {
            return;
        }
        if !data.is_empty() {
            self.typed(id, now);
        }
        let dead = self.child.is_none();
        let mut start = false;
        for &byte in data {
            if self.commands(byte, dead).is_empty() {
                continue;
            }
            let typist = self.typists.entry(id).or_insert((now.mono.0, Vec::new(), Vec::new()));
            let (since, obeyed, held) = typist;
            if held.is_empty() && now.mono.0 >= *since + SECOND {
                *since = now.mono.0;
                obeyed.clear();
            }
            if held.is_empty() && obeyed.len() < 20 {
                obeyed.push(byte);
                start |= self.command(id, byte, 1, dead, now);
            } else {
                reached("a client gave commands too fast");
                held.push(byte);
            }
        }
        if start {
            self.start_by_hand(now);
        }
        if !dead && self.child.is_some() {
            self.type_to_child(id, data);
        }
    }

    /// When commands are to be obeyed that came too fast.
    pub fn commands_deadline(&self) -> Option<u64> {
        let held = self.typists.values().filter(|(_, _, held)| !held.is_empty());
        held.map(|(since, ..)| since + SECOND).min()
    }

    pub fn command_time_passed(&mut self, now: Timestamps) {
        let ids: Vec<ClientId> = self.typists.keys().copied().collect();
        for id in ids {
            let (since, _, held) = &self.typists[&id];
            if !held.is_empty() && now.mono.0 >= since + SECOND {
                self.obey_held(id, now);
            }
        }
    }

    /// A client is gone.
    pub fn client_left(&mut self, id: ClientId, now: Timestamps) {
        self.departed = Some(id);
        self.record_unfinished(id, 0);
        if self.typists.get(&id).is_some_and(|(_, _, held)| !held.is_empty()) {
            reached("commands were held when their client left");
        }
        self.obey_held(id, now);
        self.window_closed(id, now);
        self.audit_events.push_back(AuditEvent::Left(id, DisconnectReason::Closed));
    }

    /// The commands of this client that came too fast are obeyed together.
    pub fn obey_held(&mut self, id: ClientId, now: Timestamps) {
        let Some((_, _, held)) = self.typists.remove(&id) else {
            return;
        };
        let count = held.len();
        if count > 1 {
            self.say_line(
                &format!(
                    "@@@ {count} commands of one client came too fast and are obeyed together\r\n"
                ),
                now,
            );
        }
        let dead = self.child.is_none();
        let exiting = self.exiting;
        let mut start = false;
        for byte in 0..=255 {
            let times = held.iter().filter(|&&other| other == byte).count() as u64;
            if times == 0 {
            } else if exiting || self.commands(byte, dead).is_empty() {
                let then_dead = dead || self.commands(byte, dead).is_empty();
                for command in self.commands(byte, then_dead) {
                    self.audit_events.push_back(AuditEvent::Command(id, command, times));
                }
                reached("a command came too late");
            } else {
                start |= self.command(id, byte, times, dead, now);
            }
        }
        if start {
            self.start_by_hand(now);
        }
    }

    /// What a byte asks for.
    fn commands(&self, byte: u8, dead: bool) -> Vec<Command> {
        let CommandChars { kill, toggle, logout } = self.settings.console.commands;
        let is = |command: Option<u8>| command == Some(byte);
        let mut commands = Vec::new();
        if dead && byte == 0x12 {
            commands.push(Command::Restart);
        }
        if dead && byte == 0x11 {
            commands.push(Command::Quit);
        }
        if is(logout) {
            commands.push(Command::Logout);
        }
        if is(toggle) {
            commands.push(Command::Toggle);
        }
        if is(self.settings.restart.overlap.and_then(|overlap| overlap.command)) {
            commands.push(if dead { Command::Restart } else { Command::Reload });
        }
        if is(kill) {
            commands.push(if dead { Command::Restart } else { Command::Kill });
        }
        commands
    }

    /// A byte that is a command was typed so many times. Returns true if it asks for a child.
    fn command(&mut self, id: ClientId, byte: u8, times: u64, dead: bool, now: Timestamps) -> bool {
        let commands = self.settings.console.commands;
        let mut start = false;
        let is = |command: Option<u8>| command == Some(byte);
        let mut note =
            |command| self.audit_events.push_back(AuditEvent::Command(id, command, times));
        if dead && byte == 0x12 {
            note(Command::Restart);
        }
        if dead && byte == 0x11 {
            note(Command::Quit);
            self.flush(now);
            self.exit(self.last_code);
        }
        if is(commands.logout) {
            self.audit_events.push_back(AuditEvent::Command(id, Command::Logout, times));
            if self.departed != Some(id) {
                self.effects.push_back(Effect::Disconnect(id));
            }
        }
        if is(commands.toggle) {
            self.audit_events.push_back(AuditEvent::Command(id, Command::Toggle, times));
            self.toggle(times, now);
        }
        if is(self.settings.restart.overlap.and_then(|overlap| overlap.command)) {
            let command = if dead { Command::Restart } else { Command::Reload };
            self.audit_events.push_back(AuditEvent::Command(id, command, times));
            if dead {
                start = true;
            } else {
                self.reload(now);
            }
        }
        if is(commands.kill) {
            let command = if dead { Command::Restart } else { Command::Kill };
            self.audit_events.push_back(AuditEvent::Command(id, command, times));
            if self.settings.console.style == MessageStyle::Current {
                self.say("\r\n@@@ Got a kill command\r\n", now);
            }
            if !dead {
                self.kill(now);
            }
        }
        start || dead && (byte == 0x12 || is(commands.kill))
    }

    pub fn kill(&mut self, now: Timestamps) {
        if !self.input.is_empty() {
            reached("the kill character emptied the queue");
        }
        self.cancel_replacement();
        self.forget_input();
        if self.daemon_search.is_some() && self.settings.restart.kill_signal != 0 {
            reached("a daemon that was waited for was given up");
            self.child_gone(ExitStatus::Code(0), now);
        } else {
            self.signal(self.settings.restart.kill_signal);
        }
        self.old_killed(now);
    }

    pub fn start_by_hand(&mut self, now: Timestamps) {
        if !self.starting && !self.exiting {
            self.waits_for_user = false;
            if self.last_start.is_some_and(|last| self.is_too_early(last, now)) {
                reached("a child was started by hand within the holdoff time");
            }
            if let Some(cleanup) = &mut self.cleanup {
                if cleanup.then == After::Nothing {
                    let exits = self.mode == Oneshot && !self.oneshot_start_pending;
                    cleanup.then = if exits { After::Exit(self.last_code) } else { After::Start };
                }
            } else if self.mode == Oneshot && !self.oneshot_start_pending {
                reached("ONESHOT ended the server by hand");
                self.flush(now);
                self.exit(self.last_code);
            } else {
                self.start(now.mono.0);
            }
        }
    }

    /// Queues input for the child. Returns the number of bytes.
    pub fn type_to_child(&mut self, id: ClientId, data: &[u8]) -> usize {
        let before = self.input.len();
        let ignore = &self.settings.console.ignore;
        let kept: Vec<u8> = data.iter().copied().filter(|&byte| !ignore.contains(byte)).collect();
        self.input.extend(&kept);
        self.record_typed(id, &kept);
        let count = self.input.len() - before;
        self.input_owners.push_back((id, count));
        count
    }

    /// The child read so many bytes.
    pub fn input_read(&mut self, count: usize) {
        self.input.drain(..count);
        let mut left = count;
        while left > 0 {
            let (_, len) = self.input_owners.front_mut().unwrap();
            let part = left.min(*len);
            *len -= part;
            left -= part;
            if *len == 0 {
                self.input_owners.pop_front();
            }
        }
    }

    pub fn share(&self, id: ClientId) -> usize {
        self.input_owners.iter().filter(|owner| owner.0 == id).map(|owner| owner.1).sum()
    }
}
