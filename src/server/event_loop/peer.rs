//! A client's connection as the server holds it.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset};

use super::poll_stream::PollStream;
use crate::console::event::DisconnectReason;
use crate::server::os::{Connection, Ready};

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer<C> {
    pub(crate) source: PollStream<C>,
    /// The reason for which the connection is closed at the end of the turn.
    pub(crate) leaving: Option<DisconnectReason>,
}

impl<C: Connection> Peer<C> {
    /// Returns true if the client gets the console stream.
    pub(crate) fn listens(&self) -> bool {
        self.source.stream().kind().client_kind().reads_stream()
    }

    /// Reads once. Returns `None` if there is nothing to read now, 0 if the connection has ended or
    /// failed.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let result = self.source.read(buffer)?;
        if result.is_err() {
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
            Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
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
