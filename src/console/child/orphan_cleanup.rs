//! What a child left behind is killed before anything else comes: under `--kill-orphans` all that
//! left its process group, else only what a program left that was to become a daemon and did not.
//!
//! The server looks for those processes again and again, with ever longer pauses, until there are
//! none. With a grace period they get SIGTERM first, and SIGKILL when it is over. Some survive even
//! that, for as long as the system has them wait: after [`ORPHAN_WAIT`] they are left alone.

use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::console::clock::Monotonic;
use crate::console::{SIGKILL, SIGTERM};
use crate::limits::{ORPHAN_SCAN_INTERVAL, ORPHAN_SCAN_INTERVAL_MAX, ORPHAN_WAIT};

/// The killing, under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OrphanCleanup {
    /// Whether it has come to SIGKILL.
    #[n(0)]
    killed: bool,
    /// When the next step is due: SIGKILL, or giving up.
    #[n(1)]
    until: Monotonic,
    /// When to look again.
    #[n(2)]
    next_scan: Monotonic,
    /// How often that was done.
    #[cbor(n(3), default)]
    scans: u32,
    /// What comes after it.
    #[n(4)]
    pub then: AfterCleanup,
}

/// What comes when nothing is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum AfterCleanup {
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

impl OrphanCleanup {
    /// Begins; without a grace period with SIGKILL.
    pub fn new(grace: Duration, then: AfterCleanup, now: Monotonic) -> OrphanCleanup {
        let killed = grace.is_zero();
        let until = now + if killed { ORPHAN_WAIT } else { grace };
        OrphanCleanup { killed, until, next_scan: now, scans: 0, then }
    }

    /// When to look next.
    pub fn deadline(&self) -> Monotonic {
        self.next_scan
    }

    /// The signal that is due now for whoever is there, if one is.
    pub fn poll(&mut self, now: Monotonic) -> Option<i32> {
        if now < self.next_scan {
            return None;
        }
        let pause = ORPHAN_SCAN_INTERVAL
            .saturating_mul(1 << self.scans.min(16))
            .min(ORPHAN_SCAN_INTERVAL_MAX);
        self.scans = self.scans.saturating_add(1);
        // A step is not slept over.
        self.next_scan = if now < self.until { (now + pause).min(self.until) } else { now + pause };
        Some(if self.killed { SIGKILL } else { SIGTERM })
    }

    /// So many were there. Whether that is the end of it.
    pub fn scanned(&mut self, count: usize, now: Monotonic) -> bool {
        if count > 0 && now >= self.until && !self.killed {
            *self = OrphanCleanup::new(Duration::ZERO, self.then, now);
            return false;
        }
        count == 0 || now >= self.until
    }

    /// Ends the grace period.
    pub fn end_grace(&mut self, now: Monotonic) {
        if !self.killed {
            *self = OrphanCleanup::new(Duration::ZERO, self.then, now);
        }
    }
}
