//! The part of the life cycle that has to do with processes beyond the child itself: the daemon that
//! it makes of itself, and what it leaves behind.

use std::time::Duration;

use super::{Action, Child, Supervisor};
use crate::console::child::orphan_cleanup::{Clearing, Then};
use crate::console::clock::Moment;
use crate::console::event::Running;
use crate::limits::{DAEMON_LOOK, DAEMON_WAIT};

impl Supervisor {
    /// There is no child any more, and what it left behind is to be killed, with a grace period or
    /// without; what comes then.
    pub fn clear(&mut self, grace: Duration, then: Then, now: Moment) {
        self.child = Child::Clearing(Clearing::new(grace, then, now));
    }

    /// So many of what the child left behind are there. What is to be done if that is the end of it.
    pub fn swept(&mut self, count: usize, now: Moment) -> Option<Action> {
        let Child::Clearing(clearing) = &mut self.child else {
            return None;
        };
        if !clearing.found(count, now) {
            return None;
        }
        let then = clearing.then;
        self.child = Child::None;
        match then {
            Then::Wait => None,
            Then::Start => Some(self.begin(now)),
            Then::Exit(code) => Some(Action::Exit(code)),
        }
    }

    /// If what the child left behind is being killed: the server exits when that is done.
    pub fn exit_when_clear(&mut self, code: u8) -> bool {
        if let Child::Clearing(clearing) = &mut self.child {
            clearing.then = Then::Exit(code);
        }
        matches!(self.child, Child::Clearing(_))
    }

    /// The child, which was to make itself a daemon, has ended as one does. Not if it is the daemon,
    /// or SIGTERM came.
    pub fn forked(&mut self, now: Moment) -> bool {
        if let (Child::Running(first), false) = (self.child, self.daemon) {
            let (until, look) = (now + DAEMON_WAIT, now + DAEMON_LOOK);
            self.child = Child::Forked { first, until, look };
        }
        self.is_forked()
    }

    /// Whether it is not known yet what the child became.
    pub fn is_forked(&self) -> bool {
        matches!(self.child, Child::Forked { .. })
    }

    /// This process is what it became.
    pub fn daemon(&mut self, pid: i32) -> bool {
        let Child::Forked { first, .. } = self.child else {
            return false;
        };
        self.child = Child::Running(Running { pid, ..first });
        self.daemon = true;
        true
    }

    /// Whether the time is over in which that has to be known.
    pub fn is_overdue(&self, now: Moment) -> bool {
        matches!(self.child, Child::Forked { until, .. } if now >= until)
    }

    /// Whether the child is one that made itself a daemon.
    pub fn is_daemon(&self) -> bool {
        self.daemon
    }
}
