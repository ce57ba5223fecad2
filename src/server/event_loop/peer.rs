//! A client's connection as the server holds it.

use std::io::{self, ErrorKind};

use super::poll_stream::PollStream;
use crate::console::event::DisconnectReason;
use crate::server::os::{Connection, Ready};

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer<C> {
    pub(crate) source: PollStream<C>,
    /// The reason for which the connection is closed at the end of the turn.
    pub(crate) leaving: Option<DisconnectReason>,
    /// True if the client sends nothing more and goes on receiving. After an upgrade or a crash, the next
    /// read tells.
    half_closed: bool,
}

impl<C: Connection> Peer<C> {
    /// A connection that is open.
    pub(crate) fn new(source: PollStream<C>) -> Peer<C> {
        Peer { source, leaving: None, half_closed: false }
    }

    /// The client has ended its input. If it `stays`, it goes on receiving until it hangs up.
    pub(crate) fn input_ended(&mut self, stays: bool) {
        if self.leaving.is_some() {
            return;
        }
        let connection = self.source.stream();
        let end = if stays { connection.hang_up() } else { Some(Ok(())) };
        self.leaving = end.map(|end| match end {
            Ok(()) => DisconnectReason::Closed,
            Err(_) => DisconnectReason::Failed,
        });
        if self.leaving.is_none() {
            if !std::mem::replace(&mut self.half_closed, true) {
                connection.expect_hang_up();
            }
            self.source.rest_reading();
        }
    }

    /// Returns true if the client gets the console stream.
    pub(crate) fn listens(&self) -> bool {
        self.source.stream().kind().client_kind().reads_stream()
    }

    /// Reads once. Returns `None` if there is nothing to read now, 0 if the connection has ended or
    /// failed.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let result = self.source.read(buffer)?;
        // A client that has half-closed and leaves output unread resets the connection by its close.
        let is_closed =
            |error: &io::Error| self.half_closed && error.kind() == ErrorKind::ConnectionReset;
        if result.as_ref().is_err_and(|error| !is_closed(error)) {
            self.leaving = Some(DisconnectReason::Failed);
        }
        Some(result.unwrap_or(0))
    }

    /// Writes once. Returns `None` if the connection takes nothing now, or has failed and is
    /// leaving. If the other side is gone, all of it counts as written: what it sent before is
    /// still to be read, up to its end.
    pub(crate) fn write(&mut self, slices: (&[u8], &[u8])) -> Option<usize> {
        match self.source.write(slices)? {
            Ok(count) => Some(count),
            Err(error)
                if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
            {
                self.source.set_ready(Ready { readable: true, writable: true });
                Some(slices.0.len() + slices.1.len())
            }
            Err(_) => {
                self.leaving = Some(DisconnectReason::Failed);
                None
            }
        }
    }
}
