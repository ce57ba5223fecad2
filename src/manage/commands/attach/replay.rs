//! Detects the end of the server's replayed history.

use std::time::Instant;

use crate::manage::limits::{REPLAY_QUIET, REPLAY_TIMEOUT};

/// Tells output that may be older than the connection from new output.
pub(super) struct ReplayPhase {
    start: Instant,
    last_output: Instant,
    shown: bool,
    user_typed: bool,
}

impl ReplayPhase {
    /// The phase of a connection that begins now.
    pub(super) fn new() -> ReplayPhase {
        let now = Instant::now();
        ReplayPhase { start: now, last_output: now, shown: false, user_typed: false }
    }

    /// The server has sent output.
    pub(super) fn output_received(&mut self) {
        self.last_output = Instant::now();
    }

    /// The user has typed something.
    pub(super) fn user_typed(&mut self) {
        self.user_typed = true;
    }

    /// Reads the clock. `could_receive` is false if output of the server has not been read since
    /// the last time: the server's silence says nothing then.
    pub(super) fn update(&mut self, could_receive: bool) {
        let now = Instant::now();
        if !could_receive {
            self.start += now - self.last_output;
            self.last_output = now;
        }
        let is_quiet = now - self.last_output > REPLAY_QUIET;
        self.shown |= is_quiet || now - self.start > REPLAY_TIMEOUT;
    }

    /// Returns true if the history has been shown.
    pub(super) fn is_shown(&self) -> bool {
        self.shown
    }

    /// Returns true if queries to the terminal may be passed on: not before the user has typed, who
    /// then makes use of the answers.
    pub(super) fn is_over(&self) -> bool {
        self.shown && self.user_typed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server has more to send, and can't.
    #[test]
    fn a_slow_terminal_is_no_end_of_the_replay() {
        let long_ago = Instant::now().checked_sub(2 * REPLAY_TIMEOUT).unwrap();
        let mut replay =
            ReplayPhase { start: long_ago, last_output: long_ago, shown: false, user_typed: true };
        replay.update(false);
        replay.update(true);
        assert!(!replay.is_over());
        replay.last_output = long_ago;
        replay.update(true);
        assert!(replay.is_over());
    }
}
