//! The connected clients: how they come and go, and the bytes that each is sent.

use super::backpressure::{Backpressure, Progress};
use super::typed::TypedLine;
use super::window::ClientWindow;
use crate::console::Console;
use crate::console::audit::AuditEvent;
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, ClientKind, DisconnectReason, Role, Subsystem};
use crate::console::messages::{self, ClientCount};
use crate::console::stream::reader::StreamReader;
use crate::limits::STAGE_MAX;
use crate::telnet;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) role: Role,
    pub(crate) kind: ClientKind,
    pub(crate) reader: StreamReader,
    pub(crate) decoder: telnet::Decoder,
    /// How many bytes of answers to its telnet requests may still be staged.
    pub(crate) replies: usize,
    /// How many bytes it has read since it connected.
    pub(crate) taken: u64,
    pub(crate) backpressure: Backpressure,
    pub(crate) window: ClientWindow,
    pub(crate) progress: Progress,
    pub(crate) typed: TypedLine,
}

impl Console {
    pub(crate) fn join(&mut self, id: ClientId, role: Role, kind: ClientKind) {
        let reads = kind.reads_stream();
        let from = if reads { self.stream.replay_point() } else { self.stream.head() };
        let mut reader = StreamReader::new(from, self.settings.encoding(role, kind));
        if reads {
            reader.stage(&self.greeting(role));
        }
        if kind == ClientKind::Telnet {
            reader.stage(&telnet::OFFER);
        }
        let mut decoder = telnet::Decoder::new();
        if kind == ClientKind::Telnet && role == Role::User && self.follows_windows() {
            reader.stage(&decoder.ask_window_size());
        }
        let client = Client {
            role,
            kind,
            reader,
            decoder,
            replies: 0,
            taken: 0,
            backpressure: Backpressure::None,
            window: ClientWindow::default(),
            progress: Progress::default(),
            typed: TypedLine::default(),
        };
        self.clients.insert(id, client);
        self.audit_events.push_back(AuditEvent::Joined(id));
    }

    /// A client is about to connect: those who are there are told. It is not: its place in the stream
    /// is behind that.
    pub(crate) fn introduce(
        &mut self,
        id: ClientId,
        role: Role,
        kind: ClientKind,
        who: &str,
        now: Timestamps,
    ) {
        if self.settings.console.announce && role == Role::User && kind.reads_stream() {
            self.announced.insert(id, who.to_owned());
            self.say_line(&messages::attached(who), now);
        }
    }

    pub(crate) fn leave(&mut self, id: ClientId, reason: DisconnectReason, now: Timestamps) {
        if let Some(client) = self.clients.remove(&id) {
            self.record_rest(id, client.typed);
            self.obey_held_commands(id, now);
            self.follow_another(id, now.mono);
            self.audit_events.push_back(AuditEvent::Left(id, reason));
        }
        if let Some(who) = self.announced.remove(&id)
            && !self.exiting
        {
            self.say_line(&messages::left(&who), now);
        }
    }

    pub(crate) fn greeting(&self, role: Role) -> Vec<u8> {
        let child = self.supervisor.running();
        let server_started = self.time(self.settings.server_started);
        let child_started = child.map(|child| self.time(child.started)).unwrap_or_default();
        let clients = match role {
            Role::User | Role::Viewer => Some(self.count_clients()),
            Role::Logger | Role::Api => None,
        };
        let times = (&*server_started, &*child_started);
        let troubles = self.greeting_troubles();
        messages::greeting(&self.settings, self.supervisor.mode(), child, times, clients, &troubles)
    }

    /// The lines of a greeting about what fails.
    fn greeting_troubles(&self) -> Vec<u8> {
        // That the log could not be opened is in every greeting until the server exits.
        let opened = self.settings.log_opened;
        let lines = self
            .troubles()
            .filter(|(subsystem, ..)| opened || *subsystem != Subsystem::Log)
            .map(|(subsystem, trouble, _)| {
                let since = self.time(trouble.since);
                messages::trouble(&self.settings, subsystem, &trouble.reason, &since)
            });
        lines.flatten().collect()
    }

    fn count_clients(&self) -> ClientCount {
        let counted = self.clients.values().filter(|client| client.kind.reads_stream());
        let loggers = counted.clone().filter(|client| client.role == Role::Logger).count();
        ClientCount { users: counted.count() - loggers, loggers }
    }

    /// The connected clients.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.clients.keys().copied()
    }

    /// The bytes to write to this client next; empty if there are none.
    pub fn output(&mut self, id: ClientId) -> (&[u8], &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else {
            return (&[], &[]);
        };
        if let Some(skipped) = client.reader.skip_if_overrun(&self.stream) {
            self.audit_events.push_back(AuditEvent::Skipped(id, skipped));
            // The status file shows how much was skipped.
            self.revision += 1;
        }
        client.reader.pending(&self.stream, &*self.formatter)
    }

    /// Takes note that the first `count` bytes of [`output`](Self::output) have been written.
    pub fn written(&mut self, id: ClientId, count: usize) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.reader.advance(&self.stream, count);
        if client.reader.staged() == 0 {
            client.replies = 0;
        }
        client.taken += count as u64;
        client.progress.written(count);
        if client.reader.is_empty(&self.stream) {
            client.backpressure = Backpressure::None;
        }
    }

    /// Returns true if this client has been sent everything. A pipe and a program are sent nothing
    /// of the stream.
    pub fn is_drained(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_none_or(|client| {
            !client.kind.reads_stream() || client.reader.is_empty(&self.stream)
        })
    }

    /// Returns true if this client goes on receiving after its end of file, until it hangs up. A control
    /// client with telnet is closed then (contract section 5).
    pub fn outlives_its_input(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|client| match client.kind {
            ClientKind::Raw => true,
            ClientKind::Telnet => client.role != Role::User,
            ClientKind::Terminal | ClientKind::Pipe | ClientKind::Api => false,
        })
    }

    /// Returns true if bytes may be read from this client: not while the child does not take what
    /// the client sent, and not while the client does not read the answers to its telnet requests.
    pub fn accepts_input(&self, id: ClientId) -> bool {
        self.input.accepts(id)
            && self.clients.get(&id).is_some_and(|client| client.replies < STAGE_MAX)
    }
}
