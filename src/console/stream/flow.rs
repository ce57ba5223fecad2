//! The bytes that are pulled from the console: the stream for each of its readers, and the input
//! for the child. Nothing is decided here.

use std::collections::BTreeMap;

use super::buffer::History;
use super::reader::{Chunk, Outbox};
use crate::console::Console;
use crate::console::audit::Entry;
use crate::console::clients::client::{Client, Pace};
use crate::console::clock::Moment;
use crate::console::event::{ClientId, Medium, Sink};
use crate::limits::{HISTORY_MAX, PTY_BUDGET, STAGE_MAX};

impl Console {
    /// The bytes this client is to be written next; empty if there are none.
    pub fn output(&mut self, id: ClientId) -> (&[u8], &[u8]) {
        match self.clients.get_mut(&id) {
            Some(client) => {
                if let Some(skipped) = client.outbox.catch_up(&self.history) {
                    self.journal.push_back(Entry::Skipped(id, skipped));
                }
                client.outbox.pending(&self.history, &*self.calendar)
            }
            None => (&[], &[]),
        }
    }

    /// The first `count` bytes of [`output`](Self::output) have been written.
    pub fn written(&mut self, id: ClientId, count: usize) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.outbox.advance(&self.history, count);
            if client.outbox.staged() == 0 {
                client.replies = 0;
            }
            client.taken += count as u64;
            if client.outbox.is_empty(&self.history) {
                client.pace = Pace::Free;
            } else if let Pace::Waited { owed, .. } = &mut client.pace {
                *owed = owed.saturating_sub(count);
            }
        }
    }

    /// Who is connected.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.clients.keys().copied()
    }

    /// Whether this client has been sent everything. A pipe is sent nothing.
    pub fn is_served(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_none_or(|client| {
            client.medium == Medium::Pipe || client.outbox.is_empty(&self.history)
        })
    }

    /// Whether bytes may be read from this client: not while the child does not take what it sent,
    /// nor while it does not take the answers to its telnet requests.
    pub fn accepts_input(&self, id: ClientId) -> bool {
        self.input.accepts(id)
            && self.clients.get(&id).is_some_and(|client| client.replies < STAGE_MAX)
    }

    /// Takes the next bytes for a sink; `None` if there are none.
    pub fn take(&mut self, sink: Sink) -> Option<Chunk> {
        let outbox = match sink {
            Sink::Log => self.log.as_mut(),
            Sink::Stdout => self.stdout.as_mut(),
            Sink::Syslog => self.syslog.as_mut(),
        };
        outbox?.take(&self.history, &*self.calendar)
    }

    /// A chunk taken for a sink failed after its first `written` bytes: what is lost will be
    /// announced. `first` is false for those taken before the failure was known.
    pub fn lost(&mut self, sink: Sink, chunk: &Chunk, written: usize, first: bool) {
        if let (_, Some(outbox)) = self.sink(sink) {
            outbox.lost(chunk, written, first);
        }
    }

    /// Whether a sink has been given everything.
    pub fn is_current(&self, sink: Sink) -> bool {
        let outbox = match sink {
            Sink::Log => &self.log,
            Sink::Stdout => &self.stdout,
            Sink::Syslog => &self.syslog,
        };
        outbox.as_ref().is_none_or(|outbox| outbox.cursor() == self.history.head())
    }

    /// Counts all that a sink has not been given as lost.
    pub fn give_up(&mut self, sink: Sink) {
        if let (history, Some(outbox)) = self.sink(sink) {
            outbox.give_up(history);
        }
    }

    /// Whether a log was asked for.
    pub fn has_log(&self) -> bool {
        self.settings.log.is_some()
    }

    /// Looks which clients are about to be passed by the child's output though they read. Each is
    /// waited for as long as it goes on reading fast, and once it does not, no more before it has
    /// caught up.
    pub fn pace_clients(&mut self, now: Moment) {
        if !self.history.is_full() {
            return;
        }
        // With a history, readers begin a long way behind.
        let near = (self.history.capacity() - HISTORY_MAX / 4 * 3) as u64;
        // A terminal that somebody has stopped says nothing of the machine, and a pipe never reads.
        let sockets = self.clients.values().filter(|client| client.medium.is_socket());
        let behind = sockets.filter(|client| {
            let lag = self.history.head() - client.outbox.cursor();
            lag > near && !matches!(client.pace, Pace::WrittenOff)
        });
        let alone = behind.count() < 2;
        for client in self.clients.values_mut().filter(|client| client.medium.is_socket()) {
            client.pace = match client.pace {
                Pace::Free if !self.history.has_room_before(client.outbox.cursor()) => {
                    client.wait_from(now, alone)
                }
                Pace::Waited { until, owed: 0 } if now >= until => client.wait_from(now, alone),
                Pace::Waited { until, .. } if now >= until => Pace::WrittenOff,
                pace => pace,
            };
        }
    }

    /// Until when the child's output is to wait for them.
    pub fn clients_need_until(&self, now: Moment) -> Option<Moment> {
        if !self.history.is_full() {
            return None;
        }
        let until = self.clients.values().filter_map(|client| match client.pace {
            Pace::Waited { until, .. } => {
                let hurried = !self.history.has_room_before(client.outbox.cursor());
                hurried.then_some(until)
            }
            Pace::Free | Pace::WrittenOff => None,
        });
        until.max().filter(|&until| now < until)
    }

    /// Whether the log has room for another read from the child's terminal. With a history it would
    /// have more.
    pub fn log_has_room(&self) -> bool {
        let room = (HISTORY_MAX - 2 * PTY_BUDGET) as u64;
        self.log.as_ref().is_none_or(|log| self.history.head() - log.cursor() <= room)
    }

    /// The bytes to write to the child.
    pub fn child_input(&self) -> (&[u8], &[u8]) {
        self.input.slices()
    }

    /// The first `count` of them have been written.
    pub fn child_input_written(&mut self, count: usize) {
        self.input.consume(count);
    }

    /// Gives back memory that nobody needs while nothing happens.
    pub fn rest(&mut self) {
        if self.history.is_grown() {
            let sinks = [&self.log, &self.stdout, &self.syslog];
            self.history.shrink(slowest(&self.clients, sinks, self.history.head()));
        }
        self.scratch = Vec::new();
    }

    fn sink(&mut self, sink: Sink) -> (&History, Option<&mut Outbox>) {
        let outbox = match sink {
            Sink::Log => self.log.as_mut(),
            Sink::Stdout => self.stdout.as_mut(),
            Sink::Syslog => self.syslog.as_mut(),
        };
        (&self.history, outbox)
    }
}

/// The offset of the slowest reader, `head` if there is none.
pub(crate) fn slowest(
    clients: &BTreeMap<ClientId, Client>,
    sinks: [&Option<Outbox>; 3],
    head: u64,
) -> u64 {
    // A pipe never reads.
    let clients = clients.values().filter(|client| client.medium != Medium::Pipe);
    let outboxes = clients.map(|client| &client.outbox).chain(sinks.into_iter().flatten());
    outboxes.map(Outbox::cursor).min().unwrap_or(head)
}
