//! What clients type, and what becomes of it.

use super::kin::After;
use super::oracle::Oracle;
use super::seen;
use crate::config::MessageStyle;
use crate::config::RestartMode::Oneshot;
use crate::console::audit::{AuditEvent, Command};
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, Effect, ExitStatus};

impl Oracle {
    /// One buffer from a control client, telnet taken out of it.
    pub fn typed(&mut self, id: ClientId, data: &[u8], now: Timestamps) {
        if self.exiting {
            return;
        }
        let commands = self.settings.console.commands;
        let dead = self.alive.is_none();
        let mut start = false;
        for &byte in data {
            let is = |command: Option<u8>| command == Some(byte);
            let mut note = |command| self.entries.push_back(AuditEvent::Command(id, command));
            if dead && byte == 0x12 {
                note(Command::Restart);
            }
            if dead && byte == 0x11 {
                note(Command::Quit);
                self.flush(now);
                self.exit(self.code);
            }
            if is(commands.logout) {
                self.entries.push_back(AuditEvent::Command(id, Command::Logout));
                self.effects.push_back(Effect::Disconnect(id));
            }
            if is(commands.toggle) {
                self.entries.push_back(AuditEvent::Command(id, Command::Toggle));
                self.toggle(now);
            }
            if is(self.settings.restart.overlap.and_then(|overlap| overlap.command)) {
                let command = if dead { Command::Restart } else { Command::Reload };
                self.entries.push_back(AuditEvent::Command(id, command));
                if dead {
                    start = true;
                } else {
                    self.reload(now);
                }
            }
            if is(commands.kill) {
                let command = if dead { Command::Restart } else { Command::Kill };
                self.entries.push_back(AuditEvent::Command(id, command));
                if self.settings.console.style == MessageStyle::Current {
                    self.say("\r\n@@@ Got a kill command\r\n", now);
                }
                if !dead {
                    if !self.input.is_empty() {
                        seen("the kill character emptied the queue");
                    }
                    self.cancel();
                    self.forget_input();
                    if self.wait.is_some() && self.settings.restart.kill_signal != 0 {
                        seen("a daemon that was waited for was given up");
                        self.gone(ExitStatus::Code(0), now);
                    } else {
                        self.signal(self.settings.restart.kill_signal);
                    }
                    self.old_killed(now);
                }
            }
            start |= dead && (byte == 0x12 || is(commands.kill));
        }
        if start && !self.starting && !self.exiting {
            self.told_to_wait = false;
            if self.last_start.is_some_and(|last| self.too_early(last, now)) {
                seen("a child was started by hand within the holdoff time");
            }
            if let Some(hunt) = &mut self.hunt {
                if hunt.then == After::Nothing {
                    let exits = self.mode == Oneshot && !self.one_more;
                    hunt.then = if exits { After::Exit(self.code) } else { After::Start };
                }
            } else if self.mode == Oneshot && !self.one_more {
                seen("ONESHOT ended the server by hand");
                self.flush(now);
                self.exit(self.code);
            } else {
                self.start(now.mono.0);
            }
        }
        if !dead && self.alive.is_some() {
            let before = self.input.len();
            let ignore = &self.settings.console.ignore;
            self.input.extend(data.iter().filter(|&&byte| !ignore.contains(byte)));
            self.owners.push_back((id, self.input.len() - before));
        }
    }

    /// The child read so much.
    pub fn read_by_child(&mut self, count: usize) {
        self.input.drain(..count);
        let mut left = count;
        while left > 0 {
            let (_, len) = self.owners.front_mut().unwrap();
            let part = left.min(*len);
            *len -= part;
            left -= part;
            if *len == 0 {
                self.owners.pop_front();
            }
        }
    }

    pub fn share(&self, id: ClientId) -> usize {
        self.owners.iter().filter(|owner| owner.0 == id).map(|owner| owner.1).sum()
    }
}
