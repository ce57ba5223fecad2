//! How long the child's output waits for clients that are about to lose their place in the stream.
//!
//! A client that reads is waited for, however busy the machine is: the stream grows for it, and the
//! child pauses when the stream is as large as it may be. A client reads if the kernel holds fewer
//! bytes for it than before. A client of which nobody knows whether it reads is waited for
//! shortly, and a single client that has read little since it connected still shorter: it may never
//! read at all.

use minicbor::{Decode, Encode};

use super::client::Client;
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::console::event::ClientId;
use crate::limits::{
    CLIENT_LOOK_INTERVAL, CLIENT_READS, CLIENT_WAIT, NEW_CLIENT_WAIT, PROVEN_READER_BYTES,
    STREAM_BUFFER_MAX,
};

/// How the child's output treats a client that lags and is not known to read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) enum Backpressure {
    /// The client keeps up or reads, or has not been looked at since it did.
    #[default]
    #[n(0)]
    None,
    /// The output waits until this time.
    #[n(1)]
    WaitingUntil {
        #[n(0)]
        until: Monotonic,
        /// Older programs wait again for a client that has read so many bytes by then.
        #[n(1)]
        owed: usize,
    },
    /// The client does not read. It is not waited for before it does.
    #[n(2)]
    GivenUp,
}

/// See [`Backpressure::WaitingUntil`].
const OWED: usize = 64 << 10;

/// What is known of how a client reads.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Progress {
    /// How many bytes the client would not have read if it had read nothing since the last look.
    #[cbor(n(0), default)]
    pub(crate) unread: u64,
    #[n(1)]
    looked_at: Option<Monotonic>,
    /// The last look that found that the client had read.
    #[n(2)]
    read_at: Option<Monotonic>,
}

impl Progress {
    /// Takes note that `count` more bytes were written to the client.
    pub(crate) fn written(&mut self, count: usize) {
        self.unread = self.unread.saturating_add(count as u64);
    }
}

impl Client {
    /// Returns true if the client has read lately.
    fn reads(&self, now: Monotonic) -> bool {
        self.progress.read_at.is_some_and(|at| now < at + CLIENT_READS)
    }

    /// Takes note that the client has not read at most `unread` of the bytes that were written to it.
    fn look(&mut self, now: Monotonic, unread: usize) {
        let unread = unread as u64;
        // A client that has never read anything may have a kernel that takes bytes now and then.
        if unread < self.progress.unread && unread < self.taken {
            self.progress.read_at = Some(now);
        }
        self.progress.unread = unread;
        self.progress.looked_at = Some(now);
    }

    /// A wait for this client, which lags `alone` or together with others.
    fn grant_wait(&self, now: Monotonic, alone: bool) -> Backpressure {
        let has_read = self.progress.read_at.is_some() || self.taken > PROVEN_READER_BYTES;
        let wait = if alone && !has_read { NEW_CLIENT_WAIT } else { CLIENT_WAIT };
        Backpressure::WaitingUntil { until: now + wait, owed: OWED }
    }
}

impl Console {
    /// Finds the clients that the child's output is about to overtake, and decides how long it waits
    /// for each. `unread` returns at most how many of the bytes that were written to a client it has not
    /// read.
    pub fn update_backpressure(
        &mut self,
        now: Monotonic,
        mut unread: impl FnMut(ClientId) -> usize,
    ) {
        let head = self.stream.head();
        let capacity = self.stream.usual_capacity();
        // With a history, new clients begin a long way behind.
        let near = capacity.saturating_sub(STREAM_BUFFER_MAX / 4 * 3) as u64;
        let enough = capacity.saturating_sub(STREAM_BUFFER_MAX / 2) as u64;
        let is_full = self.stream.is_full();
        let is_extended = self.stream.is_extended();
        let (mut lagging, mut extends) = (0, false);
        // A terminal that its user has stopped says nothing about the machine, and a pipe reads
        // nothing.
        for (&id, client) in self.clients.iter_mut().filter(|(_, client)| client.kind.is_socket()) {
            let lag = head - client.reader.cursor();
            let is_due = |at| now >= at + CLIENT_LOOK_INTERVAL;
            if client.progress.unread > 0
                && (lag > near || client.progress.looked_at.is_none_or(is_due))
            {
                client.look(now, unread(id));
            }
            if client.reads(now) {
                client.backpressure = Backpressure::None;
                let has_room = self.stream.has_room_before(client.reader.cursor(), capacity);
                extends |= if is_extended { lag > enough } else { !has_room };
            } else if lag > near && client.backpressure != Backpressure::GivenUp {
                lagging += 1;
            }
        }
        if extends != is_extended {
            self.stream.extend(extends);
        }
        if !is_full {
            return;
        }
        let alone = lagging < 2;
        for client in self.clients.values_mut() {
            if !client.kind.is_socket() || client.reads(now) {
                continue;
            }
            client.backpressure = match client.backpressure {
                Backpressure::None
                    if !self.stream.has_room_before(client.reader.cursor(), capacity) =>
                {
                    client.grant_wait(now, alone)
                }
                Backpressure::WaitingUntil { until, .. } if now >= until => Backpressure::GivenUp,
                unchanged => unchanged,
            };
        }
    }

    /// Returns until when the child's output has to wait for clients; `None` if it has not.
    pub fn backpressure_deadline(&self, now: Monotonic) -> Option<Monotonic> {
        let is_full = self.stream.is_full();
        let deadlines = self.clients.values().filter_map(|client| {
            let (until, capacity) = match (client.progress.read_at, client.backpressure) {
                (Some(at), _) if client.reads(now) => (at + CLIENT_READS, self.stream.capacity()),
                (_, Backpressure::WaitingUntil { until, .. }) if is_full => {
                    (until, self.stream.usual_capacity())
                }
                _ => return None,
            };
            let has_room = self.stream.has_room_before(client.reader.cursor(), capacity);
            (!has_room).then_some(until)
        });
        deadlines.max().filter(|&until| now < until)
    }
}
