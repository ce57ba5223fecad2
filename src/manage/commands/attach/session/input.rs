//! What a session sends: what the user types, and answers of the telnet client.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::SIGHUP;

use super::{Session, SessionEnd, first, is_ready, would_block_or_interrupted};
use crate::manage::limits::{ANSWER_QUIET, ATTACH_CHUNK, UNSENT_TIMEOUT};

impl Session<'_> {
    pub(super) fn queue_typed(&mut self, typed: &[u8]) {
        if self.watch {
            return;
        }
        if self.decoder.is_none() {
            self.to_server.extend(typed);
            return;
        }
        for &byte in typed {
            // CR LF would count as one Enter, and CR NUL is a CR (RFC 854).
            if byte == b'\n' && self.typed_cr {
                self.to_server.push_back(0);
            }
            self.typed_cr = byte == b'\r';
            let mut escaped = Vec::new();
            crate::telnet::escape(&[byte], &mut escaped);
            self.to_server.extend(escaped);
        }
    }

    /// Reads standard input.
    pub(super) fn read_input(&mut self) -> Result<(), SessionEnd> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        let mut buffer = [0; ATTACH_CHUNK];
        let typed = match input.read(&mut buffer) {
            Ok(length) => first(&buffer, length),
            Err(error) if would_block_or_interrupted(&error) => return Ok(()),
            Err(error) => return Err(SessionEnd::Terminal(error)),
        };
        if typed.is_empty() {
            if self.terminal.is_some() {
                return Err(SessionEnd::Signal(SIGHUP));
            }
            self.input = None;
            return self.send();
        }
        // Answers of the terminal would be typed, too.
        if !self.watch {
            self.replay.user_typed();
        }
        let key = typed.iter().position(|&byte| byte == self.detach);
        let key = key.filter(|_| self.terminal.is_some());
        let kept = first(typed, key.unwrap_or(typed.len()));
        self.queue_typed(kept);
        self.send()?;
        if key.is_some() { Err(SessionEnd::Detached { unsent: 0 }) } else { Ok(()) }
    }

    pub(super) fn send(&mut self) -> Result<(), SessionEnd> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        while let (rest @ [_, ..], _) = self.to_server.as_slices() {
            match self.stream.write(rest) {
                Ok(length) => drop(self.to_server.drain(..length)),
                Err(error) if would_block_or_interrupted(&error) => return Ok(()),
                // What the server has sent before its end is still to be read.
                Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                    self.to_server.clear();
                }
                Err(error) => return Err(SessionEnd::Failed(error)),
            }
        }
        if self.input.is_none() && !self.sent_end {
            self.sent_end = true;
            let _ = self.stream.shutdown_write();
            self.wait_for_answer();
        }
        Ok(())
    }

    /// After the end of standard input, waits for more of the answer. With telnet the server closes the
    /// connection.
    pub(super) fn wait_for_answer(&mut self) {
        if self.sent_end && !self.watch && self.decoder.is_none() {
            self.quiet_at = Some(Instant::now() + ANSWER_QUIET);
        }
    }

    /// Sends what has been typed, and waits for the server to accept it if `may_wait` is true,
    /// until a signal comes. Returns the number of bytes that have not been sent.
    pub(super) fn send_rest(&mut self, may_wait: bool) -> usize {
        let mut left = usize::MAX;
        let mut deadline = Instant::now();
        while self.send().is_ok() && may_wait && !self.to_server.is_empty() {
            if self.to_server.len() < left {
                left = self.to_server.len();
                deadline = Instant::now() + UNSENT_TIMEOUT;
            }
            let time = deadline.saturating_duration_since(Instant::now());
            let mut fds = [
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT),
            ];
            let _ = poll(&mut fds, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
            if time.is_zero() || fds.first().is_some_and(is_ready) {
                break;
            }
        }
        self.to_server.len()
    }
}
