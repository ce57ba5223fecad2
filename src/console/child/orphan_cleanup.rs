//! What a child left behind is killed before anything else comes: under `--kill-orphans` all that
//! left its process group, else only what a program left that was to become a daemon and did not.
//!
//! The server looks for those processes again and again, with ever longer pauses, until there are
//! none. With a grace period they get SIGTERM first, and SIGKILL when it is over. Some survive even
//! that, for as long as the system has them wait: after [`ORPHAN_WAIT`] they are left alone.

use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::console::clock::Moment;
use crate::console::{SIGKILL, SIGTERM};
use crate::limits::{ORPHAN_LOOK, ORPHAN_LOOK_MAX, ORPHAN_WAIT};

/// The killing, under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Clearing {
    /// Whether it has come to SIGKILL.
    #[n(0)]
    killed: bool,
    /// When the next step is due: SIGKILL, or giving up.
    #[n(1)]
    until: Moment,
    /// When to look again.
    #[n(2)]
    look: Moment,
    /// How often that was done.
    #[cbor(n(3), default)]
    looks: u32,
    /// What comes after it.
    #[n(4)]
    pub then: Then,
}

/// What comes when nothing is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Then {
    /// Whatever the time brings.
    #[n(0)]
    Wait,
    /// A start that a user asked for.
    #[n(1)]
    Start,
    /// The server exits with this status.
    #[n(2)]
    Exit(#[n(0)] u8),
}

impl Clearing {
    /// Begins; without a grace period with SIGKILL.
    pub fn new(grace: Duration, then: Then, now: Moment) -> Clearing {
        let killed = grace.is_zero();
        let until = now + if killed { ORPHAN_WAIT } else { grace };
        Clearing { killed, until, look: now, looks: 0, then }
    }

    /// When to look next.
    pub fn deadline(&self) -> Moment {
        self.look
    }

    /// The signal that is due now for whoever is there, if one is.
    pub fn due(&mut self, now: Moment) -> Option<i32> {
        if now < self.look {
            return None;
        }
        let pause = ORPHAN_LOOK.saturating_mul(1 << self.looks.min(16)).min(ORPHAN_LOOK_MAX);
        self.looks = self.looks.saturating_add(1);
        // A step is not slept over.
        self.look = if now < self.until { (now + pause).min(self.until) } else { now + pause };
        Some(if self.killed { SIGKILL } else { SIGTERM })
    }

    /// So many were there. Whether that is the end of it.
    pub fn found(&mut self, count: usize, now: Moment) -> bool {
        if count > 0 && now >= self.until && !self.killed {
            *self = Clearing::new(Duration::ZERO, self.then, now);
            return false;
        }
        count == 0 || now >= self.until
    }

    /// Ends the grace period.
    pub fn end_grace(&mut self, now: Moment) {
        if !self.killed {
            *self = Clearing::new(Duration::ZERO, self.then, now);
        }
    }
}
