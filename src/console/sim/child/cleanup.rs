//! The oracle's part about what comes after the end of a child's process: the search for a daemon, the
//! killing of orphans, and the delay of the next start.

use std::time::Duration;

use crate::config::RestartPolicy;
use crate::console::audit::AuditEvent;
use crate::console::clock::Timestamps;
use crate::console::event::{ChildSlot, Effect, ExitStatus};
use crate::console::sim::oracle::Oracle;
use crate::console::sim::reached;
use crate::console::{SIGKILL, SIGTERM};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// The killing of the processes that a child left behind.
#[derive(Debug, Clone, Copy)]
pub struct Cleanup {
    killed: bool,
    until: u64,
    pub next_scan: u64,
    pause: u64,
    pub then: After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Nothing,
    Start,
    Exit(u8),
}

/// The search for the daemon, after the child's first process has ended.
#[derive(Debug, Clone, Copy)]
pub struct DaemonSearch {
    until: u64,
    pub next_scan: u64,
}

impl Cleanup {
    fn new(grace: u64, then: After, now: u64) -> Cleanup {
        let (killed, wait) = if grace == 0 { (true, 5 * SECOND) } else { (false, grace) };
        Cleanup { killed, until: now + wait, next_scan: now, pause: 5 * MILLISECOND, then }
    }
}

impl Oracle {
    /// Returns true if the end is only that of a daemon's first process.
    pub fn becomes_daemon(&mut self, status: ExitStatus, now: Timestamps) -> bool {
        let waits = self.settings.daemonizes()
            && status == ExitStatus::Code(0)
            && !self.is_daemon
            && !self.is_leaving();
        if waits {
            let now = now.mono.0;
            self.daemon_search =
                Some(DaemonSearch { until: now + 10 * SECOND, next_scan: now + 50 * MILLISECOND });
            self.effects.push_back(Effect::FindDaemon);
        }
        waits
    }

    pub fn daemonized(&mut self, pid: i32, now: Timestamps) {
        if self.exiting {
            return;
        }
        self.daemon_search.take().unwrap();
        reached("a child made itself a daemon");
        self.is_daemon = true;
        self.child.as_mut().unwrap().pid = pid;
        self.audit_events.push_back(AuditEvent::Started(pid));
        let name = String::from_utf8_lossy(self.settings.name()).into_owned();
        self.say_line(&format!("@@@ The PID of new child \"{name}\" is: {pid}\r\n"), now);
    }

    pub fn daemon_not_found(&mut self, reason: &str, now: Timestamps) {
        if self.exiting || self.daemon_search.is_none_or(|search| now.mono.0 < search.until) {
            return;
        }
        reached("no daemon came");
        let name = String::from_utf8_lossy(self.settings.name()).into_owned();
        self.say_line(&format!("@@@ Child \"{name}\" left no daemon: {reason}\r\n"), now);
        self.child_gone(ExitStatus::Code(0), now);
    }

    /// Takes the number of orphans of the last scan.
    pub fn orphans_signaled(&mut self, count: usize, now: Timestamps) {
        let Some(cleanup) = self.cleanup.filter(|_| !self.exiting) else {
            return;
        };
        let mono = now.mono.0;
        if count > 0 && mono < cleanup.until {
            return;
        }
        if count > 0 && !cleanup.killed {
            reached("orphans outlived their grace");
            self.cleanup = Some(Cleanup::new(0, cleanup.then, mono));
            return;
        }
        if count > 0 {
            reached("orphans were left alone");
        }
        self.cleanup = None;
        match cleanup.then {
            After::Nothing => {}
            After::Start => {
                reached("a user's start waited for orphans");
                self.start(mono);
            }
            After::Exit(code) => {
                self.flush(now);
                self.exit(code);
            }
        }
    }

    /// The child is gone, and may have left orphans behind. With a status, the server exits.
    pub fn leave_behind(&mut self, exit: Option<u8>, now: Timestamps) {
        let unfinished = self.settings.daemonizes() && !self.is_daemon;
        if self.settings.restart.kill_orphans || unfinished {
            let then = exit.map_or(After::Nothing, After::Exit);
            let grace = self.settings.restart.grace.as_nanos() as u64;
            self.cleanup = Some(Cleanup::new(grace, then, now.mono.0));
        } else if let Some(code) = exit {
            self.exit(code);
        }
    }

    /// SIGTERM came. Returns true if there was a daemon to search for, or orphans to kill.
    pub fn terminate_cleanup(&mut self, now: Timestamps) -> bool {
        if self.daemon_search.take().is_some() {
            reached("SIGTERM came while a daemon was waited for");
            self.count_exit(ExitStatus::Code(0), now);
            self.child = None;
            self.say_shutting_down(now);
            self.forget_input();
            self.effects.push_back(Effect::Reap(ChildSlot::Current));
            self.leave_behind(Some(0), now);
            return true;
        }
        let Some(cleanup) = &mut self.cleanup else {
            return false;
        };
        if !matches!(cleanup.then, After::Exit(_)) {
            cleanup.then = After::Exit(0);
        } else if !cleanup.killed {
            reached("a second SIGTERM killed orphans");
            *cleanup = Cleanup::new(0, cleanup.then, now.mono.0);
        }
        true
    }

    /// Time has passed. Returns true if there is a daemon to search for, or orphans to kill.
    pub fn cleanup_time_passed(&mut self, now: u64) -> bool {
        if let Some(search) = &mut self.daemon_search {
            search.next_scan = now + 50 * MILLISECOND;
            self.effects.push_back(Effect::FindDaemon);
        }
        if let Some(cleanup) = &mut self.cleanup {
            let end = if now < cleanup.until { cleanup.until } else { u64::MAX };
            cleanup.next_scan = end.min(now + cleanup.pause);
            cleanup.pause = (2 * cleanup.pause).min(200 * MILLISECOND);
            let signal = if cleanup.killed { SIGKILL } else { SIGTERM };
            self.effects.push_back(Effect::SignalOrphans(signal));
        }
        self.daemon_search.is_some() || self.cleanup.is_some()
    }

    /// Counts an end of the child for the exit status and for the delay of the next start.
    pub fn count_exit(&mut self, status: ExitStatus, now: Timestamps) {
        match status {
            ExitStatus::Code(code) => self.last_code = code,
            ExitStatus::Signal(signal) if self.settings.restart.signal_status => {
                reached("a signal became the exit status");
                self.last_code = 128 + signal as u8;
            }
            ExitStatus::Unknown => self.last_code = 255,
            ExitStatus::Signal(_) => {}
        }
        let ran = now.mono.0 - self.last_start.unwrap();
        let early = ran < self.settings.restart.holdoff.as_nanos() as u64;
        if self.early_deaths > 1 && !early {
            reached("a long run ended a row of deaths");
        }
        self.early_deaths = if early { self.early_deaths + 1 } else { 0 };
    }

    /// The holdoff time, doubled for each early death after the first.
    pub fn doubled_holdoff(&self) -> Duration {
        let RestartPolicy { holdoff, holdoff_max, .. } = self.settings.restart;
        let mut wait = holdoff;
        for _ in 1..self.early_deaths {
            wait = (wait * 2).min(holdoff_max).max(holdoff);
        }
        if wait == holdoff {
            return holdoff;
        }
        reached("the holdoff time was doubled");
        // By which part of a quarter the time is shorter is each server's own.
        let exact = self.settings.policy().holdoff.delay(self.early_deaths);
        assert!(exact <= wait && wait - exact <= (wait - holdoff) / 4);
        exact
    }
}
