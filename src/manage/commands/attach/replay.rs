//! When what comes is no longer what the server shows of the past.

use std::time::Instant;

use crate::limits::{REPLAY_QUIET, REPLAY_TIMEOUT};

/// Whether what comes from the server may be older than this connection.
pub(super) struct ReplayPhase {
    start: Instant,
    last: Instant,
    quiet: bool,
    typed: bool,
}

impl ReplayPhase {
    /// The connection has begun.
    pub(super) fn begin() -> ReplayPhase {
        let now = Instant::now();
        ReplayPhase { start: now, last: now, quiet: false, typed: false }
    }

    /// The server said something.
    pub(super) fn heard(&mut self) {
        self.last = Instant::now();
    }

    /// Somebody typed something.
    pub(super) fn typed(&mut self) {
        self.typed = true;
    }

    /// Looks at the time. `read`: whether the server could say something.
    pub(super) fn note(&mut self, read: bool) {
        let now = Instant::now();
        if !read {
            self.start += now - self.last;
            self.last = now;
        }
        self.quiet |= now - self.last > REPLAY_QUIET || now - self.start > REPLAY_TIMEOUT;
    }

    /// Whether time makes no difference any more.
    pub(super) fn is_shown(&self) -> bool {
        self.quiet
    }

    /// Nobody has to be asked before somebody is there to use the answer.
    pub(super) fn is_over(&self) -> bool {
        self.quiet && self.typed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server has more to say, and can't.
    #[test]
    fn a_slow_terminal_is_no_end_of_the_replay() {
        let long_ago = Instant::now().checked_sub(2 * REPLAY_TIMEOUT).unwrap();
        let mut replay = ReplayPhase { start: long_ago, last: long_ago, quiet: false, typed: true };
        replay.note(false);
        replay.note(true);
        assert!(!replay.is_over());
        replay.last = long_ago;
        replay.note(true);
        assert!(replay.is_over());
    }
}
