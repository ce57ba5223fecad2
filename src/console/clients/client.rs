//! Who is connected: how each is served, how they come and how they leave.

use minicbor::{Decode, Encode};

use crate::console::audit::Entry;
use crate::console::clock::Moment;
use crate::console::event::{ClientId, Farewell, Medium, Role};
use crate::console::stream::reader::Outbox;
use crate::console::{Console, messages};
use crate::limits::{CLIENT_PACE, CLIENT_PATIENCE, STRANGER_PATIENCE, SURELY_READ};
use crate::telnet;

/// How many are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) users: usize,
    pub(crate) loggers: usize,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) role: Role,
    pub(crate) medium: Medium,
    pub(crate) outbox: Outbox,
    pub(crate) decoder: telnet::Decoder,
    /// How many bytes of answers to its telnet requests may still be staged.
    pub(crate) replies: usize,
    /// Bytes that it took since it came.
    pub(crate) taken: u64,
    pub(crate) pace: Pace,
}

impl Client {
    /// It is about to be passed, `alone` or with others: how long it is waited for.
    pub(crate) fn wait_from(&self, now: Moment, alone: bool) -> Pace {
        let stranger = alone && self.taken <= SURELY_READ;
        let patience = if stranger { STRANGER_PATIENCE } else { CLIENT_PATIENCE };
        Pace::Waited { until: now + patience, owed: CLIENT_PACE }
    }
}

/// Whether a client that is about to be passed is waited for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) enum Pace {
    /// It keeps up, or has not been looked at since it did.
    #[default]
    #[n(0)]
    Free,
    /// Until then, if by then it has taken so much more.
    #[n(1)]
    Waited {
        #[n(0)]
        until: Moment,
        #[n(1)]
        owed: usize,
    },
    /// It reads too slowly; not before it has caught up.
    #[n(2)]
    WrittenOff,
}

impl Console {
    pub(crate) fn join(&mut self, id: ClientId, role: Role, medium: Medium) {
        let encoding = self.settings.encoding(role, medium);
        // What only sends is given nothing.
        let from =
            if medium == Medium::Pipe { self.history.head() } else { self.history.replay_point() };
        let mut outbox = Outbox::new(from, encoding);
        if medium != Medium::Pipe {
            outbox.stage(&self.greeting(role));
        }
        if medium == Medium::Telnet {
            outbox.stage(&telnet::OFFER);
        }
        let decoder = telnet::Decoder::new();
        let client =
            Client { role, medium, outbox, decoder, replies: 0, taken: 0, pace: Pace::Free };
        self.clients.insert(id, client);
        self.journal.push_back(Entry::Joined(id));
    }

    pub(crate) fn leave(&mut self, id: ClientId, farewell: Farewell) {
        if self.clients.remove(&id).is_some() {
            self.journal.push_back(Entry::Left(id, farewell));
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

    pub(crate) fn count(&self) -> Count {
        let counted = self.clients.values().filter(|client| client.medium != Medium::Pipe);
        let loggers = counted.clone().filter(|client| client.role == Role::Logger).count();
        Count { users: counted.count() - loggers, loggers }
    }
}
