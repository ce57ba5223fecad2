//! What the subscribers of `--api` are told: events, and that the status has changed.

use crate::console::clock::Monotonic;
use crate::limits::{API_OUTPUT_MAX, STATUS_INTERVAL};

/// The events and changes since the subscribers were last told.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// Events as whole lines, at most [`API_OUTPUT_MAX`] bytes.
    lines: Vec<u8>,
    /// The number of events that had no room behind these.
    missed: u64,
    /// The console's revision that was last looked at.
    revision: Option<u64>,
    /// True if the status may have changed since.
    outdated: bool,
    /// Subscribers are not told of another change before this time.
    not_before: Monotonic,
    /// The status changes at this time though nothing happens.
    expires: Option<Monotonic>,
}

/// What subscribers are told.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// Events as whole lines.
    pub(crate) lines: Vec<u8>,
    /// The number of events after these that found no room.
    pub(crate) missed: u64,
    /// True if the status may have changed.
    pub(crate) status_changed: bool,
}

impl Feed {
    /// Adds an event, as a line.
    pub(super) fn push(&mut self, line: &[u8]) {
        if self.missed > 0 || self.lines.len() + line.len() > API_OUTPUT_MAX {
            self.missed = self.missed.saturating_add(1);
        } else {
            self.lines.extend_from_slice(line);
        }
    }

    /// Returns true if there are events, or the console has another revision.
    pub(super) fn has_news(&self, revision: u64) -> bool {
        !self.lines.is_empty()
            || self.missed > 0
            || self.revision.is_some_and(|before| before != revision)
    }

    /// When the status may be told though nothing happens.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        if self.outdated { Some(self.not_before) } else { self.expires }
    }

    /// Takes what there is to tell, at this revision of the console.
    pub(super) fn take(&mut self, revision: u64, now: Monotonic) -> Published {
        let has_expired = self.expires.take_if(|at| now >= *at).is_some();
        let has_changed = self.revision.replace(revision).is_some_and(|before| before != revision);
        self.outdated |= has_expired || has_changed;
        let status_changed = self.outdated && now >= self.not_before;
        if status_changed {
            self.outdated = false;
            self.not_before = now + STATUS_INTERVAL;
        }
        let (lines, missed) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.missed));
        Published { lines, missed, status_changed }
    }

    /// The status was read. It changes at the time `expires` though nothing happens.
    pub(super) fn status_taken(&mut self, expires: Option<Monotonic>) {
        self.expires = expires;
    }
}
