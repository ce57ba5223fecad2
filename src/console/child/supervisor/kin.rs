//! The part of the life cycle that has to do with processes beyond the child itself: the daemon that
//! it makes of itself, and what it leaves behind.

use std::time::Duration;

use super::{Action, Lifecycle, Supervisor};
use crate::console::child::orphan_cleanup::{AfterCleanup, OrphanCleanup};
use crate::console::clock::Monotonic;
use crate::console::event::ChildProcess;
use crate::limits::{DAEMON_SCAN_INTERVAL, DAEMON_WAIT};

impl Supervisor {
    /// There is no child any more, and what it left behind is to be killed, with a grace period or
    /// without; what comes then.
    pub fn begin_cleanup(&mut self, grace: Duration, then: AfterCleanup, now: Monotonic) {
        self.child = Lifecycle::CleaningUp(OrphanCleanup::new(grace, then, now));
    }

    /// So many of what the child left behind are there. What is to be done if that is the end of it.
    pub fn cleanup_scanned(&mut self, count: usize, now: Monotonic) -> Option<Action> {
        let Lifecycle::CleaningUp(clearing) = &mut self.child else {
            return None;
        };
        if !clearing.scanned(count, now) {
            return None;
        }
        let then = clearing.then;
        self.child = Lifecycle::None;
        match then {
            AfterCleanup::Wait => None,
            AfterCleanup::Start => Some(self.start(now)),
            AfterCleanup::Exit(code) => Some(Action::Exit(code)),
        }
    }

    /// If what the child left behind is being killed: the server exits when that is done.
    pub fn exit_when_clear(&mut self, code: u8) -> bool {
        if let Lifecycle::CleaningUp(clearing) = &mut self.child {
            clearing.then = AfterCleanup::Exit(code);
        }
        matches!(self.child, Lifecycle::CleaningUp(_))
    }

    /// The child, which was to make itself a daemon, has ended as one does. Not if it is the daemon,
    /// or SIGTERM came.
    pub fn await_daemon(&mut self, now: Monotonic) -> bool {
        if let (Lifecycle::Running(first), false) = (self.child, self.daemon) {
            let (until, look) = (now + DAEMON_WAIT, now + DAEMON_SCAN_INTERVAL);
            self.child = Lifecycle::Forked { first, until, look };
        }
        self.awaits_daemon()
    }

    /// Whether it is not known yet what the child became.
    pub fn awaits_daemon(&self) -> bool {
        matches!(self.child, Lifecycle::Forked { .. })
    }

    /// This process is what it became.
    pub fn daemon_found(&mut self, pid: i32) -> bool {
        let Lifecycle::Forked { first, .. } = self.child else {
            return false;
        };
        self.child = Lifecycle::Running(ChildProcess { pid, ..first });
        self.daemon = true;
        true
    }

    /// Whether the time is over in which that has to be known.
    pub fn is_overdue(&self, now: Monotonic) -> bool {
        matches!(self.child, Lifecycle::Forked { until, .. } if now >= until)
    }

    /// Whether the child is one that made itself a daemon.
    pub fn is_daemon(&self) -> bool {
        self.daemon
    }
}
