//! The oracle's part about what clients type.

use crate::config::MessageStyle;
use crate::config::RestartMode::Oneshot;
use crate::console::audit::{AuditEvent, Command};
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, Effect, ExitStatus};
use crate::console::sim::child::cleanup::After;
use crate::console::sim::oracle::Oracle;
use crate::console::sim::reached;

impl Oracle {
    /// A user sent these bytes in one read, from which telnet sequences have been taken out.
    pub fn client_input(&mut self, id: ClientId, data: &[u8], now: Timestamps) {
        if self.exiting {
            return;
        }
        let commands = self.settings.console.commands;
        let dead = self.child.is_none();
        let mut start = false;
        for &byte in data {
            let is = |command: Option<u8>| command == Some(byte);
            let mut note = |command| self.audit_events.push_back(AuditEvent::Command(id, command));
            if dead && byte == 0x12 {
                note(Command::Restart);
            }
            if dead && byte == 0x11 {
                note(Command::Quit);
                self.flush(now);
                self.exit(self.last_code);
            }
            if is(commands.logout) {
                self.audit_events.push_back(AuditEvent::Command(id, Command::Logout));
                self.effects.push_back(Effect::Disconnect(id));
            }
            if is(commands.toggle) {
                self.audit_events.push_back(AuditEvent::Command(id, Command::Toggle));
                self.toggle(now);
            }
            if is(self.settings.restart.overlap.and_then(|overlap| overlap.command)) {
                let command = if dead { Command::Restart } else { Command::Reload };
                self.audit_events.push_back(AuditEvent::Command(id, command));
                if dead {
                    start = true;
                } else {
                    self.reload(now);
                }
            }
            if is(commands.kill) {
                let command = if dead { Command::Restart } else { Command::Kill };
                self.audit_events.push_back(AuditEvent::Command(id, command));
                if self.settings.console.style == MessageStyle::Current {
                    self.say("\r\n@@@ Got a kill command\r\n", now);
                }
                if !dead {
                    self.kill(now);
                }
            }
            start |= dead && (byte == 0x12 || is(commands.kill));
        }
        if start {
            self.start_by_hand(now);
        }
        if !dead && self.child.is_some() {
            self.type_to_child(id, data);
        }
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
        self.input.extend(data.iter().filter(|&&byte| !ignore.contains(byte)));
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
