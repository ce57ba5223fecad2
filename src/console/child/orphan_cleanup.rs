//! The killing of the processes that a child left behind, before anything else comes: under
//! `--kill-orphans` of every process that left the child's process group, else only of what is left
//! of a program that was to become a daemon and did not.
//!
//! The server looks for those processes again and again, with ever longer pauses, until there are
//! none. With a grace period they get SIGTERM first, and SIGKILL when it is over. A process may
//! survive even SIGKILL, for as long as the system makes it wait: after [`ORPHAN_WAIT`] it is left
//! alone.

use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::console::clock::Monotonic;
use crate::console::{SIGKILL, SIGTERM};
use crate::limits::{ORPHAN_SCAN_INTERVAL, ORPHAN_SCAN_INTERVAL_MAX, ORPHAN_WAIT};

/// A cleanup under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OrphanCleanup {
    /// True if the grace period is over, or there was none.
    #[n(0)]
    killed: bool,
    /// When SIGKILL is due, or, after it, the end of the cleanup.
    #[n(1)]
    until: Monotonic,
    /// When to look for orphans next.
    #[n(2)]
    next_scan: Monotonic,
    /// How often that was done since `until` was set.
    #[cbor(n(3), default)]
    scans: u32,
    /// What comes after the cleanup.
    #[n(4)]
    pub then: AfterCleanup,
}

/// What comes after a cleanup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum AfterCleanup {
    /// What comes anyway while no child runs.
    #[n(0)]
    Wait,
    /// A start that a user asked for.
    #[n(1)]
    Start,
    /// The server's exit with this status.
    #[n(2)]
    Exit(#[n(0)] u8),
}

impl OrphanCleanup {
    /// Begins, without a grace period with SIGKILL.
    pub fn new(grace: Duration, then: AfterCleanup, now: Monotonic) -> OrphanCleanup {
        let killed = grace.is_zero();
        let until = now + if killed { ORPHAN_WAIT } else { grace };
        OrphanCleanup { killed, until, next_scan: now, scans: 0, then }
    }

    /// When [`poll`](Self::poll) has something to do.
    pub fn deadline(&self) -> Monotonic {
        self.next_scan
    }

    /// The signal that is due at the time `now` for every orphan, if one is.
    pub fn poll(&mut self, now: Monotonic) -> Option<i32> {
        if now < self.next_scan {
            return None;
        }
        let pause = ORPHAN_SCAN_INTERVAL
            .saturating_mul(1 << self.scans.min(16))
            .min(ORPHAN_SCAN_INTERVAL_MAX);
        self.scans = self.scans.saturating_add(1);
        // The next scan is never later than the next step.
        self.next_scan = if now < self.until { (now + pause).min(self.until) } else { now + pause };
        Some(if self.killed { SIGKILL } else { SIGTERM })
    }

    /// Takes the number of orphans of the last scan. Returns true if the cleanup is over.
    pub fn scanned(&mut self, count: usize, now: Monotonic) -> bool {
        if count > 0 && now >= self.until && !self.killed {
            self.end_grace(now);
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
