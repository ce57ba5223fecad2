//! A client's connection as the server holds it.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset};

use super::poll_stream::PollStream;
use crate::console::event::{ClientKind, DisconnectReason};
use crate::server::os::{Connection, Ready};

/// One connection, while it lasts.
#[derive(Debug)]
pub(crate) struct Peer<C> {
    pub(crate) source: PollStream<C>,
    /// It is to be closed at the end of the turn, for this reason.
    pub(crate) leaving: Option<DisconnectReason>,
}

impl<C: Connection> Peer<C> {
    /// Whether it is to be sent anything: a pipe is not.
    pub(crate) fn listens(&self) -> bool {
        self.source.stream().kind().client_kind() != ClientKind::Pipe
    }

    /// Reads once. `None`: nothing at the moment; 0: it has ended or failed.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let result = self.source.read(buffer)?;
        if result.is_err() {
            self.leaving = Some(DisconnectReason::Failed);
        }
        Some(result.unwrap_or(0))
    }

    /// Writes once. `None`: it takes nothing at the moment, or has failed and is leaving. To one who
    /// is gone everything can be written: what it sent before is still to be read, up to its end.
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
