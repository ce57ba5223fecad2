//! A client as plain data, under the rules of [`crate::console::snapshot`].

use minicbor::{Decode, Encode};

use super::backpressure::{Backpressure, Progress};
use super::client::Client;
use super::command_rate::CommandRate;
use super::typed::TypedLine;
use super::window::ClientWindow;
use crate::console::error::InvalidSnapshot;
use crate::console::event::{ClientId, ClientKind, Role};
use crate::console::stream::reader::{ReaderSnapshot, StreamReader};
use crate::console::stream::snapshot::OFFSET_MAX;
use crate::console::{Console, Settings};
use crate::limits::STAGE_MAX;
use crate::telnet;

/// A client, from [`Console::client_snapshots`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct ClientSnapshot {
    #[n(0)]
    pub(crate) id: ClientId,
    #[n(1)]
    pub(crate) role: Role,
    #[n(2)]
    pub(crate) kind: ClientKind,
    #[n(3)]
    pub(crate) reader: ReaderSnapshot,
    #[cbor(n(4), default)]
    pub(crate) decoder: telnet::Decoder,
    #[cbor(n(5), default)]
    pub(crate) replies: usize,
    #[cbor(n(6), default)]
    pub(crate) taken: u64,
    #[cbor(n(7), default)]
    pub(crate) backpressure: Backpressure,
    #[cbor(n(8), default)]
    pub(crate) commands: CommandRate,
    #[cbor(n(9), default)]
    pub(crate) progress: Progress,
    #[cbor(n(10), default)]
    pub(crate) window: ClientWindow,
    #[cbor(n(11), default)]
    pub(crate) typed: TypedLine,
}

impl ClientSnapshot {
    /// The same without any place in the stream.
    pub(crate) fn without_stream(self) -> ClientSnapshot {
        ClientSnapshot {
            reader: ReaderSnapshot::default(),
            replies: 0,
            taken: 0,
            backpressure: Backpressure::None,
            progress: Progress::default(),
            typed: TypedLine::default(),
            ..self
        }
    }

    /// The client, and the commands that it has given, in a stream that ends at `head`.
    ///
    /// # Errors
    ///
    /// If the snapshot is one that no console can have made.
    pub(crate) fn restore(
        self,
        settings: &Settings,
        head: u64,
    ) -> Result<(Client, CommandRate), InvalidSnapshot> {
        if self.taken > OFFSET_MAX {
            return Err(InvalidSnapshot("a client took more than there is"));
        }
        let encoding = settings.encoding(self.role, self.kind);
        let client = Client {
            role: self.role,
            kind: self.kind,
            reader: StreamReader::restore(self.reader, encoding, head)?,
            decoder: self.decoder,
            // A larger number means the same.
            replies: self.replies.min(STAGE_MAX),
            taken: self.taken,
            backpressure: self.backpressure,
            progress: self.progress,
            window: self.window,
            typed: self.typed,
        };
        Ok((client, self.commands))
    }
}

impl Console {
    /// The connected clients as plain data.
    pub(crate) fn client_snapshots(&self) -> impl Iterator<Item = ClientSnapshot> {
        self.clients.iter().map(|(&id, client)| self.client_snapshot(id, client))
    }

    fn client_snapshot(&self, id: ClientId, client: &Client) -> ClientSnapshot {
        ClientSnapshot {
            id,
            role: client.role,
            kind: client.kind,
            reader: client.reader.snapshot(),
            decoder: client.decoder.clone(),
            replies: client.replies,
            taken: client.taken,
            backpressure: client.backpressure,
            commands: self.command_rates.get(&id).cloned().unwrap_or_default(),
            progress: client.progress,
            window: client.window,
            typed: client.typed.clone(),
        }
    }
}
