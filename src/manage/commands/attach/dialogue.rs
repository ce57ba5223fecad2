//! A console for a program: lines are typed, and what comes is read for a limited time.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::session::would_block_or_interrupted;
use super::target::{ConsoleConnection, Target};
use crate::manage::error::CommandError;
use crate::manage::limits::{ATTACH_CHUNK, REPLAY_QUIET, REPLAY_TIMEOUT};
use crate::telnet::client::ClientDecoder;

/// A connection to a console.
pub(super) struct Dialogue {
    stream: ConsoleConnection,
    /// `None` for a connection without telnet.
    decoder: Option<ClientDecoder>,
    /// Answers of the telnet client, and what is typed.
    to_server: Vec<u8>,
}

/// What came of waiting for output.
pub(super) enum Received {
    Output(Vec<u8>),
    /// The time is over.
    Nothing,
    /// The server closed the connection.
    Closed,
}

impl Dialogue {
    /// Connects to the first of these targets that can be reached.
    ///
    /// # Errors
    /// Why the last one could not be reached.
    pub(super) fn open(targets: Vec<Target>, name: &str) -> Result<Dialogue, CommandError> {
        let (target, stream) = super::connect::try_all(&targets, name)?;
        stream.set_nonblocking().map_err(|error| CommandError::system(name, &error))?;
        let decoder = target.telnet.then(ClientDecoder::default);
        Ok(Dialogue { stream, decoder, to_server: Vec::new() })
    }

    /// Reads the greeting and what is replayed, which is over when the console is silent.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn skip_replay(&mut self) -> io::Result<()> {
        let end = Instant::now() + REPLAY_TIMEOUT;
        while Instant::now() < end {
            match self.receive(Instant::now() + REPLAY_QUIET)? {
                Received::Output(_) => {}
                Received::Nothing => break,
                Received::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
        Ok(())
    }

    /// Types a text. It is sent while output is waited for.
    pub(super) fn queue(&mut self, text: &[u8]) {
        match self.decoder {
            Some(_) => crate::telnet::escape(text, &mut self.to_server),
            None => self.to_server.extend_from_slice(text),
        }
    }

    /// Returns true if all that was typed has been sent.
    pub(super) fn is_sent(&self) -> bool {
        self.to_server.is_empty()
    }

    /// Waits for output until `deadline`.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn receive(&mut self, deadline: Instant) -> io::Result<Received> {
        loop {
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, !self.to_server.is_empty());
            let left = deadline.saturating_duration_since(Instant::now());
            // poll(2) counts milliseconds.
            let left = left + Duration::from_millis(u64::from(!left.is_zero()));
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.stream.as_fd(), flags)], timeout) {
                Ok(0) if left.is_zero() => return Ok(Received::Nothing),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            self.send()?;
            let mut buffer = [0; ATTACH_CHUNK];
            let received = match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Received::Closed),
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                Err(error) if would_block_or_interrupted(&error) => continue,
                Err(error) => return Err(error),
            };
            let mut plain = Vec::new();
            match &mut self.decoder {
                Some(decoder) => decoder.decode(received, &mut plain, &mut self.to_server),
                None => plain.extend_from_slice(received),
            }
            if !plain.is_empty() {
                return Ok(Received::Output(plain));
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while !self.to_server.is_empty() {
            match self.stream.write(&self.to_server) {
                Ok(length) => drop(self.to_server.drain(..length)),
                Err(error) if would_block_or_interrupted(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
