//! The oracle's part about what an end means: for the next start, for daemons, for what children
//! leave behind.

use std::time::Duration;

use super::oracle::Oracle;
use super::seen;
use crate::config::RestartPolicy;
use crate::console::audit::AuditEvent;
use crate::console::clock::Timestamps;
use crate::console::event::{ChildSlot, Effect, ExitStatus};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// What a child left behind is being killed.
#[derive(Debug, Clone, Copy)]
pub struct Hunt {
    killed: bool,
    until: u64,
    pub look: u64,
    pause: u64,
    pub then: After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Nothing,
    Start,
    Exit(u8),
}

/// A first process has ended; since then the daemon is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    until: u64,
    pub look: u64,
}

impl Hunt {
    fn new(grace: u64, then: After, now: u64) -> Hunt {
        let (killed, wait) = if grace == 0 { (true, 5 * SECOND) } else { (false, grace) };
        Hunt { killed, until: now + wait, look: now, pause: 5 * MILLISECOND, then }
    }
}

impl Oracle {
    /// An end that is only that of a daemon's first process.
    pub fn forks(&mut self, status: ExitStatus, now: Timestamps) -> bool {
        let forks = self.settings.daemonizes()
            && status == ExitStatus::Code(0)
            && !self.is_daemon
            && !self.is_leaving();
        if forks {
            let now = now.mono.0;
            self.wait = Some(Wait { until: now + 10 * SECOND, look: now + 50 * MILLISECOND });
            self.effects.push_back(Effect::FindDaemon);
        }
        forks
    }

    pub fn daemonized(&mut self, pid: i32, now: Timestamps) {
        if self.exiting {
            return;
        }
        self.wait.take().unwrap();
        seen("a child made itself a daemon");
        self.is_daemon = true;
        self.alive.as_mut().unwrap().pid = pid;
        self.entries.push_back(AuditEvent::Started(pid));
        let name = String::from_utf8_lossy(self.settings.name()).into_owned();
        self.say_line(&format!("@@@ The PID of new child \"{name}\" is: {pid}\r\n"), now);
    }

    pub fn not_daemonized(&mut self, reason: &str, now: Timestamps) {
        if self.exiting || self.wait.is_none_or(|wait| now.mono.0 < wait.until) {
            return;
        }
        seen("no daemon came");
        let name = String::from_utf8_lossy(self.settings.name()).into_owned();
        self.say_line(&format!("@@@ Child \"{name}\" left no daemon: {reason}\r\n"), now);
        self.gone(ExitStatus::Code(0), now);
    }

    /// So many were found.
    pub fn swept(&mut self, count: usize, now: Timestamps) {
        let Some(hunt) = self.hunt.filter(|_| !self.exiting) else {
            return;
        };
        let mono = now.mono.0;
        if count > 0 && mono < hunt.until {
            return;
        }
        if count > 0 && !hunt.killed {
            seen("orphans outlived their grace");
            self.hunt = Some(Hunt::new(0, hunt.then, mono));
            return;
        }
        if count > 0 {
            seen("orphans were left alone");
        }
        self.hunt = None;
        match hunt.then {
            After::Nothing => {}
            After::Start => {
                seen("a user's start waited for orphans");
                self.start(mono);
            }
            After::Exit(code) => {
                self.flush(now);
                self.exit(code);
            }
        }
    }

    /// There is no child any more.
    pub fn leave_behind(&mut self, exit: Option<u8>, now: Timestamps) {
        let unfinished = self.settings.daemonizes() && !self.is_daemon;
        if self.settings.restart.kill_orphans || unfinished {
            let then = exit.map_or(After::Nothing, After::Exit);
            let grace = self.settings.restart.grace.as_nanos() as u64;
            self.hunt = Some(Hunt::new(grace, then, now.mono.0));
        } else if let Some(code) = exit {
            self.exit(code);
        }
    }

    /// SIGTERM while there is a daemon to come, or orphans to kill. Whether it was that.
    pub fn terminate_kin(&mut self, now: Timestamps) -> bool {
        if self.wait.take().is_some() {
            seen("SIGTERM came while a daemon was waited for");
            self.count_end(ExitStatus::Code(0), now);
            self.alive = None;
            self.say_shutting_down(now);
            self.forget_input();
            self.effects.push_back(Effect::Reap(ChildSlot::Current));
            self.leave_behind(Some(0), now);
            return true;
        }
        let Some(hunt) = &mut self.hunt else {
            return false;
        };
        if !matches!(hunt.then, After::Exit(_)) {
            hunt.then = After::Exit(0);
        } else if !hunt.killed {
            seen("a second SIGTERM killed orphans");
            *hunt = Hunt::new(0, hunt.then, now.mono.0);
        }
        true
    }

    /// Time has passed. Whether it was for this.
    pub fn kin_time_passed(&mut self, now: u64) -> bool {
        if let Some(wait) = &mut self.wait {
            wait.look = now + 50 * MILLISECOND;
            self.effects.push_back(Effect::FindDaemon);
        }
        if let Some(hunt) = &mut self.hunt {
            let end = if now < hunt.until { hunt.until } else { u64::MAX };
            hunt.look = end.min(now + hunt.pause);
            hunt.pause = (2 * hunt.pause).min(200 * MILLISECOND);
            self.effects.push_back(Effect::SignalOrphans(if hunt.killed { 9 } else { 15 }));
        }
        self.wait.is_some() || self.hunt.is_some()
    }

    /// What an end means for later.
    pub fn count_end(&mut self, status: ExitStatus, now: Timestamps) {
        match status {
            ExitStatus::Code(code) => self.code = code,
            ExitStatus::Signal(signal) if self.settings.restart.signal_status => {
                seen("a signal became the exit status");
                self.code = 128 + signal as u8;
            }
            ExitStatus::Unknown => self.code = 255,
            ExitStatus::Signal(_) => {}
        }
        let ran = now.mono.0 - self.last_start.unwrap();
        let early = ran < self.settings.restart.holdoff.as_nanos() as u64;
        if self.died_early > 1 && !early {
            seen("a long run ended a row of deaths");
        }
        self.died_early = if early { self.died_early + 1 } else { 0 };
    }

    /// The holdoff time, doubled for each early death after the first.
    pub fn doubled(&self) -> Duration {
        let RestartPolicy { holdoff, holdoff_max, .. } = self.settings.restart;
        let mut wait = holdoff;
        for _ in 1..self.died_early {
            wait = (wait * 2).min(holdoff_max).max(holdoff);
        }
        if wait == holdoff {
            return holdoff;
        }
        seen("the holdoff time was doubled");
        // Which part of a quarter it is less is the servers' own.
        let exact = self.settings.policy().holdoff.delay(self.died_early);
        assert!(exact <= wait && wait - exact <= (wait - holdoff) / 4);
        exact
    }
}
