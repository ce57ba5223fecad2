//! The events file: the lines that its writer is yet to get.

use std::io;

use super::json::{EventBody, line};
use super::works_again;
use crate::console::clock::Monotonic;
use crate::limits::{EVENTS_MAX, LOG_RETRY};

/// The events file, as the event loop knows it.
#[derive(Debug, Default)]
pub(super) struct EventsFile {
    /// Whole lines, at most [`EVENTS_MAX`] bytes or one line.
    pub(super) pending: Vec<u8>,
    /// The number of events that had no room behind the pending lines.
    pub(super) lost: u64,
    /// The pending lines are not handed over before this time.
    retry_at: Monotonic,
    /// True if the file is to be opened anew before the next line is appended.
    pub(super) reopen: bool,
    /// What was last reported: that the file can be written, or not.
    works: Option<bool>,
}

impl EventsFile {
    /// Adds an event as a line, or counts it as lost.
    pub(super) fn push(&mut self, line: Vec<u8>) {
        // A single line has room whatever its length: otherwise the number of lost events would
        // never be written either.
        let has_room = self.pending.is_empty() || self.pending.len() + line.len() <= EVENTS_MAX;
        if self.lost == 0 && has_room {
            self.pending.extend_from_slice(&line);
        } else {
            self.lost += 1;
        }
    }

    /// When [`take`](Self::take) gives lines.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        (!self.pending.is_empty()).then_some(self.retry_at)
    }

    /// Takes the pending lines. Also returns true if the file is to be opened anew before.
    pub(super) fn take(&mut self) -> (Vec<u8>, bool) {
        (std::mem::take(&mut self.pending), std::mem::take(&mut self.reopen))
    }

    /// Takes note of how it went to append lines, of which `rest` is not written. Returns the result
    /// if it is news.
    pub(super) fn appended(
        &mut self,
        mut rest: Vec<u8>,
        result: io::Result<()>,
        now: Monotonic,
        millis: i64,
    ) -> Option<Result<(), String>> {
        rest.append(&mut self.pending);
        self.pending = rest;
        if result.is_err() {
            self.retry_at = now + LOG_RETRY;
        } else if let count @ 1.. = std::mem::take(&mut self.lost) {
            // Behind the pending lines, which may be as much as can.
            self.pending.extend(line(&EventBody::EventsLost { count }, millis));
        }
        works_again(&mut self.works, result)
    }
}
