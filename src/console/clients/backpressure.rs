//! How long the child's output waits for clients that are about to lose their place in the stream.
//!
//! A client that keeps reading is waited for; one that reads too slowly is not waited for again
//! until it has caught up. A client that has read little since it connected may never read at all,
//! so a single client of that kind is waited for only shortly.

use minicbor::{Decode, Encode};

use super::client::Client;
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::limits::{
    CLIENT_WAIT, CLIENT_WAIT_MIN_BYTES, NEW_CLIENT_WAIT, PROVEN_READER_BYTES, STREAM_BUFFER_MAX,
};

/// How the child's output treats a client that lags.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) enum Backpressure {
    /// The client keeps up, or has not been looked at since it did.
    #[default]
    #[n(0)]
    None,
    /// The output waits until this time. The wait is renewed if the client has read `owed` more
    /// bytes by then.
    #[n(1)]
    WaitingUntil {
        #[n(0)]
        until: Monotonic,
        #[n(1)]
        owed: usize,
    },
    /// The client reads too slowly. It is not waited for before it has caught up.
    #[n(2)]
    GivenUp,
}

impl Client {
    /// A wait for this client, which lags `alone` or together with others.
    fn grant_wait(&self, now: Monotonic, alone: bool) -> Backpressure {
        let is_unproven = alone && self.taken <= PROVEN_READER_BYTES;
        let wait = if is_unproven { NEW_CLIENT_WAIT } else { CLIENT_WAIT };
        Backpressure::WaitingUntil { until: now + wait, owed: CLIENT_WAIT_MIN_BYTES }
    }
}

impl Console {
    /// Finds the clients that the child's output is about to overtake, and decides how long it waits
    /// for each.
    pub fn update_backpressure(&mut self, now: Monotonic) {
        if !self.stream.is_full() {
            return;
        }
        // With a history, new clients begin a long way behind.
        let near = self.stream.capacity().saturating_sub(STREAM_BUFFER_MAX / 4 * 3) as u64;
        // A terminal that its user has stopped says nothing about the machine, and a pipe reads
        // nothing.
        let sockets = self.clients.values().filter(|client| client.kind.is_socket());
        let lagging = sockets.filter(|client| {
            let lag = self.stream.head() - client.reader.cursor();
            lag > near && client.backpressure != Backpressure::GivenUp
        });
        let alone = lagging.count() < 2;
        for client in self.clients.values_mut().filter(|client| client.kind.is_socket()) {
            client.backpressure = match client.backpressure {
                Backpressure::None if !self.stream.has_room_before(client.reader.cursor()) => {
                    client.grant_wait(now, alone)
                }
                Backpressure::WaitingUntil { until, owed: 0 } if now >= until => {
                    client.grant_wait(now, alone)
                }
                Backpressure::WaitingUntil { until, .. } if now >= until => Backpressure::GivenUp,
                unchanged => unchanged,
            };
        }
    }

    /// Until when the child's output has to wait for clients; `None` if it has not.
    pub fn backpressure_deadline(&self, now: Monotonic) -> Option<Monotonic> {
        if !self.stream.is_full() {
            return None;
        }
        let deadlines = self.clients.values().filter_map(|client| match client.backpressure {
            Backpressure::WaitingUntil { until, .. } => {
                let has_room = self.stream.has_room_before(client.reader.cursor());
                (!has_room).then_some(until)
            }
            Backpressure::None | Backpressure::GivenUp => None,
        });
        deadlines.max().filter(|&until| now < until)
    }
}
