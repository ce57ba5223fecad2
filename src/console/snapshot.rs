//! The console as plain data: what a server hands over to the one that takes its place. Everything
//! that does not follow from the settings is in it, so that the stream goes on with the same byte
//! for every reader.
//!
//! Each field has a number, which is never given to another one. A program skips the numbers that it
//! does not know, and a field that is marked `default` may be missing. A variant that the program
//! does not know is an error: any guess would take a child or a client for what it is not. So
//! nothing in an `Option` may have variants: the decoder would take an unknown one for `None`.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::changes::{Change, FileEnd, LogPlace};

use super::child::overlap::OverlapState;
use super::child::readiness::ReadinessSnapshot;
use super::child::recent_restarts::RecentRestarts;
use super::child::supervisor::Supervisor;
use super::clients::backpressure::Backpressure;
use super::clients::command_rate::CommandRate;
use super::clients::input_queue::{InputQueue, InputSnapshot};
use super::clients::snapshot::ClientSnapshot;
use super::clients::typed::TypedLine;
use super::clients::window::ChildWindow;
use super::clock::TimeFormatter;
use super::error::InvalidSnapshot;
use super::event::{ChildProcess, ClientId, ClientKind, Sink};
use super::stream::buffer::StreamBuffer;
use super::stream::encode::Encoding;
use super::stream::reader::{ReaderSnapshot, StreamReader};
use super::stream::ring::Ring;
use super::stream::snapshot::StreamSnapshot;
use super::subsystem::{self, SubsystemSet, TroubleSnapshot};
use super::{Console, Settings};

/// A console, from [`Console::snapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Snapshot {
    #[n(0)]
    supervisor: Supervisor,
    #[n(1)]
    stream: StreamSnapshot,
    #[cbor(n(2), default)]
    clients: Vec<ClientSnapshot>,
    #[n(3)]
    log: Option<ReaderSnapshot>,
    #[n(4)]
    stdout: Option<ReaderSnapshot>,
    #[cbor(n(5), default)]
    input: InputSnapshot,
    /// True if the log could be opened at the start, which greetings say until the server exits.
    #[n(7)]
    log_opened: Option<bool>,
    #[n(8)]
    readiness: Option<ReadinessSnapshot>,
    #[cbor(n(9), default)]
    failing: SubsystemSet,
    #[n(10)]
    syslog: Option<ReaderSnapshot>,
    #[cbor(n(11), default)]
    overlap: OverlapState,
    #[cbor(n(12), default)]
    troubles: Vec<TroubleSnapshot>,
    #[cbor(n(13), default)]
    recent_restarts: RecentRestarts,
    #[cbor(n(14), default)]
    announced: Vec<(ClientId, String)>,
    #[cbor(n(15), default)]
    window: ChildWindow,
    /// If the snapshot was made for [`Change`]s to follow: how many reads it has.
    #[n(16)]
    landed: Option<u64>,
    /// The end of the log's file, where `log` goes on.
    #[n(17)]
    log_end: Option<FileEnd>,
    /// How many bytes of the log behind `log` are before that end, or in older files.
    #[cbor(n(18), default)]
    log_begun: u64,
    /// True if nothing is behind that end.
    #[cbor(n(19), default)]
    log_rests: bool,
}

impl Snapshot {
    /// The current child, if one runs.
    pub fn child(&self) -> Option<ChildProcess> {
        self.supervisor.running()
    }

    /// The old child, if there is one.
    pub fn old_child(&self) -> Option<ChildProcess> {
        self.overlap.old()
    }

    /// If the snapshot was made for changes to follow: how many reads it has.
    pub fn landed(&self) -> Option<u64> {
        self.landed
    }

    /// The offset where the stream ends, and true if its bytes are in a ring beside the snapshot.
    pub fn stream_end(&self) -> (u64, bool) {
        (self.stream.head(), self.stream.is_in_ring())
    }

    /// The end of the log's file, where the log goes on.
    pub fn log_end(&self) -> Option<FileEnd> {
        self.log_end
    }

    /// Where the log goes on, if there was one.
    pub fn log_place(&self) -> Option<LogPlace> {
        let Snapshot { log_end: end, log_begun: begun, log_rests: rests, .. } = *self;
        self.log.clone().map(|reader| LogPlace { reader, end, begun, rests })
    }

    fn set_log_place(&mut self, place: LogPlace) {
        let LogPlace { reader, end, begun, rests } = place;
        self.log = Some(reader);
        (self.log_end, self.log_begun, self.log_rests) = (end, begun, rests);
    }

    /// Makes the changes, in their order. Those of clients that the snapshot does not have are left out.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        let mut writing = 0;
        let clients = std::mem::take(&mut self.clients).into_iter();
        let mut clients: BTreeMap<ClientId, ClientSnapshot> =
            clients.map(|client| (client.id, client)).collect();
        let mut announced: BTreeMap<ClientId, String> =
            std::mem::take(&mut self.announced).into_iter().collect();
        for change in changes {
            match change {
                Change::Stream(end) => self.stream.go_on(end),
                Change::Place(id, cursor, taken, line_start) => {
                    if let Some(client) = clients.get_mut(&id) {
                        client.reader.move_to(cursor, line_start);
                        client.taken = taken;
                        client.replies = 0;
                    }
                }
                Change::Reader(id, reader, taken) => {
                    if let Some(client) = clients.get_mut(&id) {
                        (client.reader, client.taken) = (reader, taken);
                    }
                }
                Change::Telnet(id, decoder, window) => {
                    if let Some(client) = clients.get_mut(&id) {
                        (client.decoder, client.window) = (decoder, window);
                    }
                }
                Change::Typed(id, bytes) => self.input.push(id, &bytes),
                Change::Writing(count) => writing = count,
                Change::Consumed(count) => {
                    self.input.consume(count);
                    writing = 0;
                }
                Change::Readiness(readiness) => self.readiness = Some(readiness),
                Change::Overlap(overlap) => self.overlap = overlap,
                Change::Landed(count) => self.landed = Some(count),
                Change::Syslog(reader) => self.syslog = Some(reader),
                Change::Client(client, name) => {
                    announced.extend(name.map(|name| (client.id, name)));
                    clients.insert(client.id, *client);
                }
                Change::Left(id) => {
                    clients.remove(&id);
                    announced.remove(&id);
                }
                Change::Log(place) => self.set_log_place(place),
            }
        }
        self.clients = clients.into_values().collect();
        self.announced = announced.into_iter().collect();
        // What may have reached the child must not reach it twice.
        self.input.consume(writing);
    }

    /// The same with the log's file ending there.
    pub fn with_log_end(self, log_end: Option<FileEnd>) -> Snapshot {
        Snapshot { log_end, ..self }
    }

    /// Forgets the stream, of which the bytes are lost, with all places in it.
    pub fn forget_stream(&mut self) {
        self.stream = StreamSnapshot::default();
        for client in &mut self.clients {
            client.reader = ReaderSnapshot::default();
            (client.replies, client.taken) = (0, 0);
            client.backpressure = Backpressure::None;
        }
        (self.log, self.stdout, self.syslog) = (None, None, None);
        self.input = InputSnapshot::default();
        (self.landed, self.log_end, self.log_begun, self.log_rests) = (None, None, 0, false);
        self.overlap = self.overlap.crash_snapshot();
    }

    /// The clients without their places in the stream, and how others know them.
    #[cfg(test)]
    pub(crate) fn outlines(&self) -> (Vec<ClientSnapshot>, &[(ClientId, String)]) {
        let outline = |client| ClientSnapshot {
            commands: CommandRate::default(),
            ..ClientSnapshot::without_stream(client)
        };
        (self.clients.iter().cloned().map(outline).collect(), &self.announced)
    }

    /// The connected clients.
    pub fn clients(&self) -> impl Iterator<Item = (ClientId, ClientKind)> {
        self.clients.iter().map(|client| (client.id, client.kind))
    }
}

impl Console {
    /// The console as it stands. The caller must have carried out all effects, none of which was
    /// [`Effect::Exit`](super::event::Effect::Exit), and no chunk may be on its way to a file.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { stream: self.stream.snapshot(), ..self.snapshot_beside_ring() }
    }

    /// The same without the bytes of the stream, which are in a ring that goes beside the snapshot.
    pub fn snapshot_beside_ring(&self) -> Snapshot {
        let sink = |sink| self.sinks.get(&sink).map(StreamReader::snapshot);
        let (failing, troubles) = subsystem::snapshot(&self.troubles);
        Snapshot {
            supervisor: self.supervisor.snapshot(),
            stream: self.stream.snapshot_beside_ring(),
            clients: self.client_snapshots().collect(),
            log: sink(Sink::Log),
            stdout: sink(Sink::Stdout),
            input: self.input.snapshot(),
            log_opened: self.settings.log.target.as_ref().map(|_| self.settings.log_opened),
            readiness: Some(self.readiness.snapshot()),
            failing,
            syslog: sink(Sink::Syslog),
            overlap: self.overlap.clone(),
            troubles,
            recent_restarts: self.recent_restarts.clone(),
            announced: self.announced.clone().into_iter().collect(),
            window: self.window,
            landed: None,
            log_end: None,
            log_begun: 0,
            log_rests: false,
        }
    }

    /// The console for [`Change`]s to follow, after so many reads, with the log and syslog at these
    /// places. The bytes of the stream are in a ring beside it.
    pub fn snapshot_for_changes(
        &self,
        landed: u64,
        log: Option<LogPlace>,
        syslog: Option<ReaderSnapshot>,
    ) -> Snapshot {
        let mut snapshot = Snapshot { log: None, ..self.snapshot_beside_ring() };
        if let Some(place) = log {
            snapshot.set_log_place(place);
        }
        // No change says what was typed of a line: at the next one it may have been recorded.
        snapshot.clients.iter_mut().for_each(|client| client.typed = TypedLine::default());
        Snapshot {
            stream: snapshot.stream.or_without_bytes(),
            syslog,
            stdout: None,
            landed: Some(landed),
            troubles: Vec::new(),
            failing: SubsystemSet::default(),
            log_opened: None,
            ..snapshot
        }
    }

    /// What remains useful after a crash of the server: the clients and the state of the child, but
    /// no byte of the stream and no place in it.
    pub fn crash_snapshot(&self) -> Snapshot {
        Snapshot {
            supervisor: self.supervisor.snapshot(),
            stream: StreamSnapshot::default(),
            clients: self.client_snapshots().map(ClientSnapshot::without_stream).collect(),
            // The log is opened anew.
            log: None,
            stdout: None,
            input: InputSnapshot::default(),
            log_opened: None,
            readiness: Some(self.readiness.crash_snapshot()),
            failing: SubsystemSet::default(),
            syslog: None,
            overlap: self.overlap.crash_snapshot(),
            troubles: Vec::new(),
            recent_restarts: self.recent_restarts.clone(),
            announced: self.announced.clone().into_iter().collect(),
            window: self.window,
            landed: None,
            log_end: None,
            log_begun: 0,
            log_rests: false,
        }
    }

    /// A number that changes whenever the [`crash_snapshot`](Self::crash_snapshot) may have changed.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The same for [`snapshot_for_changes`](Self::snapshot_for_changes): what [`Change`]s say of one
    /// client does not change this number.
    pub fn unrecorded_revision(&self) -> u64 {
        self.revision - self.client_revision
    }

    /// How many changes there were that [`client`](Self::client) or the end of that client tells of.
    pub fn client_revision(&self) -> u64 {
        self.client_revision
    }

    /// A console that goes on from a snapshot. Sinks of the snapshot that the settings do not have are
    /// dropped.
    ///
    /// # Errors
    ///
    /// If the snapshot is one that no console can have made.
    pub fn restore(
        settings: Settings,
        formatter: Box<dyn TimeFormatter>,
        snapshot: Snapshot,
    ) -> Result<Console, InvalidSnapshot> {
        Console::restore_with_ring(settings, formatter, snapshot, None)
    }

    /// The same, with the ring that is beside the snapshot.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore).
    pub fn restore_with_ring(
        settings: Settings,
        formatter: Box<dyn TimeFormatter>,
        snapshot: Snapshot,
        ring: Option<Box<dyn Ring>>,
    ) -> Result<Console, InvalidSnapshot> {
        let mut console = Console::new(settings, formatter);
        let settings = &mut console.settings;
        console.supervisor = Supervisor::restore(snapshot.supervisor, settings.policy())?;
        console.overlap = OverlapState::restore(snapshot.overlap, console.supervisor.running())?;
        let keep_times = settings.log.stamp.is_some();
        console.stream =
            StreamBuffer::restore(snapshot.stream, ring, keep_times, settings.console.history)?;
        let head = console.stream.head();
        for client in snapshot.clients {
            let id = client.id;
            let (client, commands) = client.restore(settings, head)?;
            if commands != CommandRate::default() {
                console.command_rates.insert(id, commands);
            }
            if console.clients.insert(id, client).is_some() {
                return Err(InvalidSnapshot("two clients have one id"));
            }
        }
        if settings.log.target.is_some() {
            settings.log_opened = snapshot.log_opened.unwrap_or(settings.log_opened);
            if let Some(log) = snapshot.log {
                let log = StreamReader::restore(log, settings.log_encoding(), head)?;
                console.sinks.insert(Sink::Log, log);
            }
        }
        for (sink, old) in [(Sink::Stdout, snapshot.stdout), (Sink::Syslog, snapshot.syslog)] {
            if let Some(reader) = console.sinks.get_mut(&sink) {
                *reader = match old {
                    Some(old) => StreamReader::restore(old, Encoding::UNCHANGED, head)?,
                    None => StreamReader::new(head, Encoding::UNCHANGED),
                };
            }
        }
        console.input = InputQueue::restore(snapshot.input)?;
        console.troubles = subsystem::restore(snapshot.failing, snapshot.troubles);
        console.recent_restarts = snapshot.recent_restarts;
        console.announced = snapshot.announced.into_iter().collect();
        console.window = snapshot.window;
        let runs = console.supervisor.running().is_some();
        match snapshot.readiness {
            Some(readiness) => console.readiness.restore(readiness, runs)?,
            None if runs => console.readiness.started(),
            None => {}
        }
        Ok(console)
    }
}
