//! What a session shows: what the server sends, and at the end what puts the modes of the screen back.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Session, SessionEnd, first, is_ready, would_block_or_interrupted};
use crate::manage::limits::{ATTACH_CHUNK, ATTACH_QUEUE_MAX, FINAL_OUTPUT_TIMEOUT};

impl Session<'_> {
    pub(super) fn receive(&mut self) -> Result<(), SessionEnd> {
        let mut buffer = [0; ATTACH_CHUNK];
        let received = match self.stream.read(&mut buffer) {
            Ok(0) => return self.close(SessionEnd::Closed),
            Ok(length) => first(&buffer, length),
            Err(error) if would_block_or_interrupted(&error) => return Ok(()),
            Err(error) => return self.close(SessionEnd::Failed(error)),
        };
        self.replay.output_received();
        self.wait_for_answer();
        let mut plain = Vec::new();
        let mut received = received;
        // The negotiation ends the greeting (contract section 3).
        if !self.hint.is_empty()
            && let Some(at) = received.iter().position(|&byte| byte == crate::telnet::IAC)
        {
            let (greeting, rest) = received.split_at(at);
            self.filter.filter_queries(greeting, &mut self.to_output);
            self.to_output.extend(std::mem::take(&mut self.hint).bytes());
            received = rest;
        }
        match &mut self.decoder {
            Some(decoder) => {
                let mut answer = Vec::new();
                decoder.decode(received, &mut plain, &mut answer);
                // A server that does not read gets no more answers.
                if self.to_server.len() < ATTACH_QUEUE_MAX {
                    self.to_server.extend(answer);
                }
            }
            None => plain.extend_from_slice(received),
        }
        // If only the output is a terminal, the next program there would read its answers.
        let answered =
            if self.terminal.is_some() { self.replay.is_over() } else { !self.output_is_terminal };
        if answered {
            self.filter.pass_through(&plain, &mut self.to_output);
        } else {
            self.filter.filter_queries(&plain, &mut self.to_output);
        }
        Ok(())
    }

    fn close(&mut self, end: SessionEnd) -> Result<(), SessionEnd> {
        self.filter.pass_through(b"", &mut self.to_output);
        self.closed = Some(end);
        Ok(())
    }

    pub(super) fn write(&mut self) -> Result<(), SessionEnd> {
        let chunk = self.to_output.get(..ATTACH_CHUNK).unwrap_or(&self.to_output);
        match self.output.write(chunk) {
            Ok(length) => drop(self.to_output.drain(..length)),
            Err(error) if would_block_or_interrupted(&error) => {}
            Err(error) if self.output_is_terminal => return Err(SessionEnd::Terminal(error)),
            Err(error) => return Err(SessionEnd::Output(error)),
        }
        Ok(())
    }

    /// Writes what puts the modes of the terminal's screen back.
    pub(super) fn restore_screen(&mut self) {
        self.filter.pass_through(b"", &mut self.to_output);
        let mut reset = Vec::new();
        if self.output_is_terminal || self.terminal.is_some() {
            reset = self.filter.reset_sequence();
        }
        if self.terminal.is_some() {
            reset.extend_from_slice(b"\r\n");
        }
        self.to_output.extend_from_slice(&reset);
        if !self.write_all() {
            // The terminal is too slow for all. Its modes matter most.
            self.to_output = reset;
            self.write_all();
        }
    }

    /// Writes all output, for a limited time. Returns true if the terminal has accepted everything.
    fn write_all(&mut self) -> bool {
        let deadline = Instant::now() + FINAL_OUTPUT_TIMEOUT;
        while !self.to_output.is_empty() && Instant::now() < deadline {
            let mut fds = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
            let _ = poll(&mut fds, PollTimeout::from(20u8));
            if fds.iter().all(is_ready) && self.write().is_err() {
                break;
            }
        }
        self.to_output.is_empty()
    }
}
