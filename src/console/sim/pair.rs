//! Two children beside each other: what happens to the old one, and what the oracle makes of it.

use std::time::Duration;

use super::kin::After;
use super::oracle::{Alive, Oracle};
use super::random::Random;
use super::seen;
use super::world::{Kid, World};
use crate::config::OverlapOptions;
use crate::console::audit::AuditEvent;
use crate::console::clock::Timestamps;
use crate::console::event::{ChildSlot, Effect, Event, ExitStatus};
use crate::limits::LINE_TIMEOUT;

/// What a user types for another child.
pub const RELOAD: u8 = 0x0F;

/// `--overlap` of a world.
pub fn overlap(random: &mut Random) -> Option<OverlapOptions> {
    random.one_in(2).then(|| OverlapOptions {
        after: Duration::from_millis(random.pick(&[0, 100, 5_000])),
        grace: Duration::from_secs(random.pick(&[0, 2, 10])),
        command: random.pick(&[None, Some(RELOAD)]),
    })
}

impl World {
    /// Something happens to the old child, if there is one.
    pub fn old_child_acts(&mut self) {
        // The server has done what was decided before it looks again.
        self.drain();
        let Kid::Runs { terminal_closed } = self.old_kid else {
            return;
        };
        match self.random.below(8) {
            0 if !terminal_closed => {
                self.tell(|_| "the old child closes its terminal".to_owned());
                self.old_kid = Kid::Runs { terminal_closed: true };
                self.handle(Event::OutputClosed(ChildSlot::Old));
                self.oracle.old_terminal_closed();
            }
            1 => {
                let code = ExitStatus::Code(self.random.pick(&[0, 1, 255]));
                self.old_child_ends(code);
            }
            _ if !terminal_closed => {
                let count = self.random.length(200);
                let from = self.random.below(self.pool.len() - count);
                let bytes = &self.pool[from..from + count];
                self.tell(|_| format!("{count} bytes of the old child"));
                self.handle(Event::Output(ChildSlot::Old, bytes));
                self.oracle.woven(true, bytes, self.now());
            }
            _ => {}
        }
    }

    pub fn old_child_ends(&mut self, status: ExitStatus) {
        self.tell(|_| format!("the old child ends: {status:?}"));
        self.old_kid = Kid::Ended;
        self.handle(Event::Exited(ChildSlot::Old, status));
        self.oracle.old_ended(status, self.now());
    }

    pub fn asks_for_another(&mut self) {
        let now = self.now();
        if self.random.one_in(4) {
            self.tell(|_| "the child is ready".to_owned());
            self.console.handle(Event::ChildReady, now);
            self.oracle.ready(now);
        } else {
            self.tell(|_| "SIGUSR2".to_owned());
            self.console.handle(Event::Reload, now);
            self.oracle.reload(now);
        }
    }

    /// The server hears who was killed. Whether there was somebody.
    pub fn struck_end(&mut self) -> bool {
        match (self.kid, self.old_kid) {
            (Kid::Struck(signal), _) => self.child_ends_with(ExitStatus::Signal(signal)),
            (_, Kid::Struck(signal)) => self.old_child_ends(ExitStatus::Signal(signal)),
            _ => return false,
        }
        true
    }

    /// Does what is about the old child.
    pub fn obey_about_old(&mut self, effect: Effect) {
        match effect {
            Effect::SpawnReplacement => {
                assert!(!matches!(self.kid, Kid::None | Kid::Ended), "beside nobody");
                assert_eq!(self.old_kid, Kid::None, "three children");
                let now = self.now();
                if self.random.one_in(6) {
                    self.console.handle(Event::SpawnFailed("No more processes"), now);
                    self.oracle.not_started("No more processes", now);
                } else {
                    self.old_kid = self.kid;
                    self.start(now);
                }
            }
            Effect::Signal(ChildSlot::Old, signal) => {
                let kills = signal == 9 && !self.immortal || self.random.one_in(3);
                if matches!(self.old_kid, Kid::Runs { .. }) && kills {
                    self.old_kid = Kid::Struck(signal);
                }
            }
            Effect::Reap(ChildSlot::Old) => {
                assert_eq!(self.old_kid, Kid::Ended);
                self.old_kid = Kid::None;
            }
            Effect::RestoreOld => {
                assert_eq!(self.kid, Kid::None, "two children");
                self.kid = std::mem::replace(&mut self.old_kid, Kid::None);
            }
            other => panic!("{other:?} is about the child"),
        }
    }
}

/// The old child.
#[derive(Debug, Clone, Copy)]
pub struct OldChild {
    pub alive: Alive,
    /// It was told to end.
    told: bool,
    /// When it will be, or killed.
    until: Option<u64>,
}

/// Two outputs in one stream.
#[derive(Debug, Default)]
pub struct Lines {
    of_old: bool,
    waiting: Vec<u8>,
    until: Option<u64>,
}

impl Oracle {
    pub fn reload(&mut self, now: Timestamps) {
        if self.exiting || self.settings.restart.overlap.is_none() {
        } else if self.old.is_some() || self.beside {
            seen("another child was asked for twice");
            self.again = true;
        } else if self.alive.is_some() {
            if self.leaving.is_none() {
                self.beside = true;
                self.effects.push_back(Effect::SpawnReplacement);
            }
        } else if self.mode != crate::config::RestartMode::Oneshot || self.one_more {
            if let Some(hunt) = &mut self.hunt {
                if hunt.then == After::Nothing {
                    hunt.then = After::Start;
                }
            } else if !self.starting {
                self.told_to_wait = false;
                self.start(now.mono.0);
            }
        } else if self.told_to_wait || self.last_start.is_none() {
            unreachable!("one is due before the first");
        }
    }

    /// Nothing is started beside the child.
    pub fn cancel(&mut self) {
        if std::mem::take(&mut self.beside) {
            seen("another child was not started after all");
            self.effects.retain(|effect| *effect != Effect::SpawnReplacement);
        }
    }

    pub fn replace(&mut self, old: Alive, now: Timestamps) {
        seen("two children ran");
        let until = now.mono.0 + self.settings.restart.overlap.unwrap().after.as_nanos() as u64;
        self.old = Some(OldChild { alive: old, told: false, until: Some(until) });
        self.lines = Lines { of_old: true, ..Lines::default() };
    }

    pub fn goes_on(&mut self, pid: i32, now: Timestamps) {
        let name = super::oracle::text(self.settings.name());
        let line = format!("@@@ Child \"{name}\" is not replaced, process {pid} goes on\r\n");
        self.say(&line, now);
        self.once_more(now);
    }

    fn once_more(&mut self, now: Timestamps) {
        if std::mem::take(&mut self.again) {
            seen("another child after another");
            self.reload(now);
        }
    }

    fn is_on_trial(&self) -> bool {
        self.old.is_some_and(|old| !old.told)
    }

    fn retire(&mut self, grace_begins: Timestamps) {
        let grace = self.settings.restart.overlap.unwrap().grace;
        let old = self.old.as_mut().unwrap();
        old.told = true;
        old.until = None;
        if grace > Duration::ZERO {
            old.until = Some(grace_begins.mono.0 + grace.as_nanos() as u64);
        }
    }

    fn tell_old(&mut self, now: Timestamps) {
        self.retire(now);
        self.effects.push_back(Effect::Signal(ChildSlot::Old, 15));
        if self.settings.restart.overlap.unwrap().grace.is_zero() {
            self.effects.push_back(Effect::Signal(ChildSlot::Old, 9));
        }
    }

    pub fn ready(&mut self, now: Timestamps) {
        if !self.exiting && !self.is_leaving() && self.is_on_trial() {
            seen("a child was ready before its time");
            self.tell_old(now);
        }
    }

    /// `^X`.
    pub fn old_killed(&mut self, now: Timestamps) {
        if self.settings.restart.kill_signal != 0 && self.is_on_trial() {
            self.retire(now);
        }
    }

    pub fn old_terminal_closed(&mut self) {
        if !self.exiting && self.old.is_some() {
            self.effects.push_back(Effect::Signal(ChildSlot::Old, 9));
        }
    }

    pub fn old_ended(&mut self, status: ExitStatus, now: Timestamps) {
        if self.exiting {
            return;
        }
        self.flush(now);
        let old = self.old.take().unwrap();
        self.entries.push_back(AuditEvent::Ended(old.alive.pid, status));
        self.effects.push_back(Effect::Reap(ChildSlot::Old));
        if !self.is_leaving() {
            self.say_line(&sigchild(old.alive.pid, status), now);
            self.once_more(now);
        }
    }

    /// The new one has ended. Whether the old one is the child again.
    pub fn old_stands_in(&mut self, ended: Alive, status: ExitStatus, now: Timestamps) -> bool {
        self.flush(now);
        let Some(old) = self.old.filter(|old| !old.told || self.leaving.is_some()) else {
            return false;
        };
        self.old = None;
        self.alive = Some(old.alive);
        if self.leaving.is_none() {
            self.count_end(status, now);
            seen("the new child ended first");
            self.say_line(&sigchild(ended.pid, status), now);
            let name = super::oracle::text(self.settings.name());
            let pid = old.alive.pid;
            let line = format!("@@@ Child \"{name}\" is not replaced, process {pid} goes on\r\n");
            self.say(&line, now);
        } else {
            seen("both children were told to end");
        }
        self.forget_input();
        self.effects.extend([Effect::Reap(ChildSlot::Current), Effect::RestoreOld]);
        if self.leaving.is_none() {
            self.once_more(now);
        }
        true
    }

    /// SIGTERM while there is only an old one.
    pub fn old_is_last(&mut self, now: Timestamps) {
        if let Some(old) = self.old.filter(|_| self.alive.is_none()) {
            seen("only an old child was told to end");
            self.flush(now);
            self.old = None;
            self.alive = Some(old.alive);
            self.hunt = None;
            self.starting = false;
            self.effects.retain(|effect| *effect != Effect::Spawn);
            self.effects.push_back(Effect::RestoreOld);
        }
    }

    /// What the old child's time brings, and that of half a line.
    pub fn pair_deadline(&self) -> Option<u64> {
        let old = self.old.filter(|_| !self.is_leaving()).and_then(|old| old.until);
        [old, self.lines.until].into_iter().flatten().min()
    }

    pub fn time_passed_for_pair(&mut self, now: Timestamps) {
        if self.exiting {
            return;
        }
        if self.lines.until.is_some_and(|until| until <= now.mono.0) {
            seen("half a line was not waited for");
            self.flush(now);
        }
        if self.is_leaving() {
            return;
        }
        match &mut self.old {
            Some(OldChild { until, told, .. }) if until.is_some_and(|at| at <= now.mono.0) => {
                if *told {
                    *until = None;
                    seen("the old child was killed");
                    self.effects.push_back(Effect::Signal(ChildSlot::Old, 9));
                } else {
                    self.tell_old(now);
                }
            }
            _ => {}
        }
    }

    /// One of the two wrote this.
    pub fn woven(&mut self, of_old: bool, bytes: &[u8], now: Timestamps) {
        if self.exiting {
            return;
        }
        let second = now.wall.0;
        if self.old.is_none() || self.lines.of_old == of_old {
            let whole =
                |bytes: &[u8]| bytes.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
            let others = whole(&self.lines.waiting).unwrap_or(0);
            let mine = whole(bytes).filter(|_| others > 0).unwrap_or(0);
            self.stream.append(&bytes[..mine], second);
            if mine > 0 {
                seen("two children spoke by turns");
                let lines: Vec<u8> = self.lines.waiting.drain(..others).collect();
                self.stream.append(&lines, second);
                let more = !self.lines.waiting.is_empty();
                self.lines.until = more.then(|| now.mono.0 + LINE_TIMEOUT.as_nanos() as u64);
            }
            self.stream.append(&bytes[mine..], second);
            return;
        }
        self.lines.waiting.extend_from_slice(bytes);
        if self.stream.bytes.last().is_none_or(|&byte| byte == b'\n') {
            self.lines.of_old = of_old;
            self.lines.until = None;
            let all = std::mem::take(&mut self.lines.waiting);
            self.stream.append(&all, second);
        } else if !self.lines.waiting.is_empty() && self.lines.until.is_none() {
            self.lines.until = Some(now.mono.0 + LINE_TIMEOUT.as_nanos() as u64);
        }
    }

    pub fn flush(&mut self, now: Timestamps) {
        let all = std::mem::take(&mut self.lines.waiting);
        if !all.is_empty() && !self.exiting {
            self.say_line("", now);
            self.stream.append(&all, now.wall.0);
            self.lines.of_old = !self.lines.of_old;
            self.lines.until = None;
        }
    }
}

fn sigchild(pid: i32, status: ExitStatus) -> String {
    let how = match status {
        ExitStatus::Code(code) => format!("Normal exit status = {code}"),
        ExitStatus::Signal(signal) => format!("The process was killed by signal {signal}"),
        ExitStatus::Unknown => "Normal exit status = 255".to_owned(),
    };
    format!("@@@ Received a sigChild for process {pid}. {how}\r\n")
}
