//! Who is connected: how each is served, how they come and how they leave.

use minicbor::{Decode, Encode};

use crate::console::audit::AuditEvent;
use crate::console::clock::Monotonic;
use crate::console::event::{ClientId, ClientKind, DisconnectReason, Role};
use crate::console::stream::reader::StreamReader;
use crate::console::{Console, messages};
use crate::limits::{CLIENT_WAIT, CLIENT_WAIT_MIN_BYTES, NEW_CLIENT_WAIT, PROVEN_READER_BYTES};
use crate::telnet;

/// How many are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientCount {
    pub(crate) users: usize,
    pub(crate) loggers: usize,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) role: Role,
    pub(crate) kind: ClientKind,
    pub(crate) reader: StreamReader,
    pub(crate) decoder: telnet::Decoder,
    /// How many bytes of answers to its telnet requests may still be staged.
    pub(crate) replies: usize,
    /// Bytes that it took since it came.
    pub(crate) taken: u64,
    pub(crate) backpressure: Backpressure,
}

impl Client {
    /// It is about to be passed, `alone` or with others: how long it is waited for.
    pub(crate) fn grant_wait(&self, now: Monotonic, alone: bool) -> Backpressure {
        let stranger = alone && self.taken <= PROVEN_READER_BYTES;
        let patience = if stranger { NEW_CLIENT_WAIT } else { CLIENT_WAIT };
        Backpressure::WaitingUntil { until: now + patience, owed: CLIENT_WAIT_MIN_BYTES }
    }
}

/// Whether a client that is about to be passed is waited for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) enum Backpressure {
    /// It keeps up, or has not been looked at since it did.
    #[default]
    #[n(0)]
    None,
    /// Until then, if by then it has taken so much more.
    #[n(1)]
    WaitingUntil {
        #[n(0)]
        until: Monotonic,
        #[n(1)]
        owed: usize,
    },
    /// It reads too slowly; not before it has caught up.
    #[n(2)]
    GivenUp,
}

impl Console {
    pub(crate) fn join(&mut self, id: ClientId, role: Role, medium: ClientKind) {
        let encoding = self.settings.encoding(role, medium);
        // What only sends is given nothing.
        let from = if medium == ClientKind::Pipe {
            self.stream.head()
        } else {
            self.stream.replay_point()
        };
        let mut outbox = StreamReader::new(from, encoding);
        if medium != ClientKind::Pipe {
            outbox.stage(&self.greeting(role));
        }
        if medium == ClientKind::Telnet {
            outbox.stage(&telnet::OFFER);
        }
        let decoder = telnet::Decoder::new();
        let client = Client {
            role,
            kind: medium,
            reader: outbox,
            decoder,
            replies: 0,
            taken: 0,
            backpressure: Backpressure::None,
        };
        self.clients.insert(id, client);
        self.audit_events.push_back(AuditEvent::Joined(id));
    }

    pub(crate) fn leave(&mut self, id: ClientId, farewell: DisconnectReason) {
        if self.clients.remove(&id).is_some() {
            self.audit_events.push_back(AuditEvent::Left(id, farewell));
        }
    }

    pub(crate) fn greeting(&self, role: Role) -> Vec<u8> {
        let child = self.supervisor.running();
        let server_started = self.time(self.settings.server_started);
        let child_started = child.map(|child| self.time(child.started)).unwrap_or_default();
        let clients = match role {
            Role::User => Some(self.count()),
            Role::Logger => None,
        };
        let times = (&*server_started, &*child_started);
        messages::greeting(&self.settings, self.supervisor.mode(), child, times, clients)
    }

    pub(crate) fn count(&self) -> ClientCount {
        let counted = self.clients.values().filter(|client| client.kind != ClientKind::Pipe);
        let loggers = counted.clone().filter(|client| client.role == Role::Logger).count();
        ClientCount { users: counted.count() - loggers, loggers }
    }
}
