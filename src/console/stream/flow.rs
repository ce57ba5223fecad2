//! The bytes that are pulled from the console: the stream for each of its readers, and the input
//! for the child. Nothing is decided here.

use std::collections::BTreeMap;

use super::buffer::StreamBuffer;
use super::reader::{Chunk, StreamReader};
use crate::console::Console;
use crate::console::audit::AuditEvent;
use crate::console::clients::client::{Backpressure, Client};
use crate::console::clock::Monotonic;
use crate::console::event::{ClientId, ClientKind, Sink};
use crate::limits::{PTY_BUDGET, STAGE_MAX, STREAM_BUFFER_MAX};

impl Console {
    /// The bytes this client is to be written next; empty if there are none.
    pub fn output(&mut self, id: ClientId) -> (&[u8], &[u8]) {
        match self.clients.get_mut(&id) {
            Some(client) => {
                if let Some(skipped) = client.reader.skip_if_overrun(&self.stream) {
                    self.audit_events.push_back(AuditEvent::Skipped(id, skipped));
                }
                client.reader.pending(&self.stream, &*self.formatter)
            }
            None => (&[], &[]),
        }
    }

    /// The first `count` bytes of [`output`](Self::output) have been written.
    pub fn written(&mut self, id: ClientId, count: usize) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.reader.advance(&self.stream, count);
            if client.reader.staged() == 0 {
                client.replies = 0;
            }
            client.taken += count as u64;
            if client.reader.is_empty(&self.stream) {
                client.backpressure = Backpressure::None;
            } else if let Backpressure::WaitingUntil { owed, .. } = &mut client.backpressure {
                *owed = owed.saturating_sub(count);
            }
        }
    }

    /// Who is connected.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.clients.keys().copied()
    }

    /// Whether this client has been sent everything. A pipe is sent nothing.
    pub fn is_drained(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_none_or(|client| {
            client.kind == ClientKind::Pipe || client.reader.is_empty(&self.stream)
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
        outbox?.take(&self.stream, &*self.formatter)
    }

    /// A chunk taken for a sink failed after its first `written` bytes: what is lost will be
    /// announced. `first` is false for those taken before the failure was known.
    pub fn lost(&mut self, sink: Sink, chunk: &Chunk, written: usize, first: bool) {
        if let (_, Some(outbox)) = self.sink(sink) {
            outbox.lost(chunk, written, first);
        }
    }

    /// Whether a sink has been given everything.
    pub fn is_sink_drained(&self, sink: Sink) -> bool {
        let outbox = match sink {
            Sink::Log => &self.log,
            Sink::Stdout => &self.stdout,
            Sink::Syslog => &self.syslog,
        };
        outbox.as_ref().is_none_or(|outbox| outbox.cursor() == self.stream.head())
    }

    /// Counts all that a sink has not been given as lost.
    pub fn discard_pending(&mut self, sink: Sink) {
        if let (history, Some(outbox)) = self.sink(sink) {
            outbox.discard_pending(history);
        }
    }

    /// Whether a log was asked for.
    pub fn has_log(&self) -> bool {
        self.settings.log.target.is_some()
    }

    /// Looks which clients are about to be passed by the child's output though they read. Each is
    /// waited for as long as it goes on reading fast, and once it does not, no more before it has
    /// caught up.
    pub fn update_backpressure(&mut self, now: Monotonic) {
        if !self.stream.is_full() {
            return;
        }
        // With a history, readers begin a long way behind.
        let near = (self.stream.capacity() - STREAM_BUFFER_MAX / 4 * 3) as u64;
        // A terminal that somebody has stopped says nothing of the machine, and a pipe never reads.
        let sockets = self.clients.values().filter(|client| client.kind.is_socket());
        let behind = sockets.filter(|client| {
            let lag = self.stream.head() - client.reader.cursor();
            lag > near && !matches!(client.backpressure, Backpressure::GivenUp)
        });
        let alone = behind.count() < 2;
        for client in self.clients.values_mut().filter(|client| client.kind.is_socket()) {
            client.backpressure = match client.backpressure {
                Backpressure::None if !self.stream.has_room_before(client.reader.cursor()) => {
                    client.grant_wait(now, alone)
                }
                Backpressure::WaitingUntil { until, owed: 0 } if now >= until => {
                    client.grant_wait(now, alone)
                }
                Backpressure::WaitingUntil { until, .. } if now >= until => Backpressure::GivenUp,
                pace => pace,
            };
        }
    }

    /// Until when the child's output is to wait for them.
    pub fn backpressure_deadline(&self, now: Monotonic) -> Option<Monotonic> {
        if !self.stream.is_full() {
            return None;
        }
        let until = self.clients.values().filter_map(|client| match client.backpressure {
            Backpressure::WaitingUntil { until, .. } => {
                let hurried = !self.stream.has_room_before(client.reader.cursor());
                hurried.then_some(until)
            }
            Backpressure::None | Backpressure::GivenUp => None,
        });
        until.max().filter(|&until| now < until)
    }

    /// Whether the log has room for another read from the child's terminal. With a history it would
    /// have more.
    pub fn log_has_room(&self) -> bool {
        let room = (STREAM_BUFFER_MAX - 2 * PTY_BUDGET) as u64;
        self.log.as_ref().is_none_or(|log| self.stream.head() - log.cursor() <= room)
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
    pub fn release_idle_memory(&mut self) {
        if self.stream.is_grown() {
            let sinks = [&self.log, &self.stdout, &self.syslog];
            self.stream.shrink(slowest(&self.clients, sinks, self.stream.head()));
        }
        self.scratch = Vec::new();
    }

    fn sink(&mut self, sink: Sink) -> (&StreamBuffer, Option<&mut StreamReader>) {
        let outbox = match sink {
            Sink::Log => self.log.as_mut(),
            Sink::Stdout => self.stdout.as_mut(),
            Sink::Syslog => self.syslog.as_mut(),
        };
        (&self.stream, outbox)
    }
}

/// The offset of the slowest reader, `head` if there is none.
pub(crate) fn slowest(
    clients: &BTreeMap<ClientId, Client>,
    sinks: [&Option<StreamReader>; 3],
    head: u64,
) -> u64 {
    // A pipe never reads.
    let clients = clients.values().filter(|client| client.kind != ClientKind::Pipe);
    let outboxes = clients.map(|client| &client.reader).chain(sinks.into_iter().flatten());
    outboxes.map(StreamReader::cursor).min().unwrap_or(head)
}
