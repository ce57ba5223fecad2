//! What has changed in a state since it was saved, as the journal has it.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use super::state::{ClientState, ConnectionState, State};
use crate::console::changes::Change;
use crate::console::event::ClientId;

/// Changes that are all made or none, as they are written.
#[derive(Debug, Default, Clone, Copy, Encode)]
#[cbor(map)]
pub struct Record<'a> {
    /// Those of the console.
    #[n(0)]
    pub console: &'a [Change],
    /// The connections of clients that have come.
    #[n(1)]
    pub connections: &'a [ConnectionState],
    /// What the records say of these.
    #[n(2)]
    pub clients: &'a [ClientState],
}

/// The same, as they are read.
#[derive(Debug, Default, Decode)]
#[cbor(map)]
pub struct OwnedRecord {
    #[n(0)]
    console: Vec<Change>,
    #[cbor(n(1), default)]
    connections: Vec<ConnectionState>,
    #[cbor(n(2), default)]
    clients: Vec<ClientState>,
}

impl State {
    /// Makes the changes, in their order.
    pub fn apply(&mut self, records: Vec<OwnedRecord>) {
        let mut changes = Vec::new();
        for record in records {
            let next =
                record.connections.iter().map(|connection| connection.id.saturating_add(1)).max();
            self.next_token = self.next_token.max(next.unwrap_or_default());
            self.connections.extend(record.connections);
            self.records.clients.extend(record.clients);
            changes.extend(record.console);
        }
        let left = changes.iter().filter_map(|change| match change {
            Change::Left(ClientId(id)) => Some(*id),
            _ => None,
        });
        let left: BTreeSet<u64> = left.collect();
        self.connections.retain(|connection| !left.contains(&connection.id));
        self.records.clients.retain(|client| !left.contains(&client.id));
        self.console.apply(changes);
    }
}
