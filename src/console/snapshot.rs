//! The console as plain data: what a server hands over to the one that takes its place. All of it
//! that does not follow from the settings is recorded, so that the stream goes on with the same
//! byte for everybody.
//!
//! Each field has a number, which is never given to another one. A reader skips the numbers that
//! it does not know, and a field that is marked `default` may be missing. A variant that it does
//! not know is an error: whatever it guessed, it would treat a child or a client as what it is not.
//! So nothing in an `Option` may have variants: the decoder would take an unknown one for `None`.

use std::fmt;

use minicbor::{Decode, Encode};

use super::child::overlap::OverlapState;
use super::child::readiness::ReadinessSnapshot;
use super::child::supervisor::Supervisor;
use super::clients::client::{Backpressure, Client};
use super::clients::input_queue::{InputQueue, InputSnapshot};
use super::clock::TimeFormatter;
use super::event::{ChildProcess, ClientId, ClientKind, Role};
use super::stream::buffer::{OFFSET_MAX, StreamBuffer, StreamSnapshot};
use super::stream::reader::{ReaderSnapshot, StreamReader};
use super::{Console, PLAIN, Settings};
use crate::limits::STAGE_MAX;
use crate::telnet;

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
    /// Whether the log could be opened at the start, as greetings say for ever.
    #[n(7)]
    log_opened: Option<bool>,
    #[n(8)]
    readiness: Option<ReadinessSnapshot>,
    #[cbor(n(9), default)]
    failing: u8,
    #[n(10)]
    syslog: Option<ReaderSnapshot>,
    #[cbor(n(11), default)]
    overlap: OverlapState,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct ClientSnapshot {
    #[n(0)]
    id: ClientId,
    #[n(1)]
    role: Role,
    #[n(2)]
    kind: ClientKind,
    #[n(3)]
    reader: ReaderSnapshot,
    #[cbor(n(4), default)]
    decoder: telnet::Decoder,
    #[cbor(n(5), default)]
    replies: usize,
    #[cbor(n(6), default)]
    taken: u64,
    #[cbor(n(7), default)]
    backpressure: Backpressure,
}

/// What makes a record one that no console made, as a sentence without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidSnapshot(pub &'static str);

impl fmt::Display for InvalidSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidSnapshot {}

impl Snapshot {
    /// The child, if one runs.
    pub fn child(&self) -> Option<ChildProcess> {
        self.supervisor.running()
    }

    /// The old child, if there is one.
    pub fn old_child(&self) -> Option<ChildProcess> {
        self.overlap.old()
    }

    /// Who is connected, and how.
    pub fn clients(&self) -> impl Iterator<Item = (ClientId, ClientKind)> {
        self.clients.iter().map(|client| (client.id, client.kind))
    }
}

impl Console {
    /// The console as it stands. To be asked only between turns: all effects have been polled and
    /// obeyed, none of them was to exit, and no chunk is on its way to a file.
    pub fn snapshot(&self) -> Snapshot {
        let clients = self.clients.iter().map(|(&id, client)| ClientSnapshot {
            id,
            role: client.role,
            kind: client.kind,
            reader: client.reader.snapshot(),
            decoder: client.decoder.clone(),
            replies: client.replies,
            taken: client.taken,
            backpressure: client.backpressure,
        });
        Snapshot {
            supervisor: self.supervisor.snapshot(),
            stream: self.stream.snapshot(),
            clients: clients.collect(),
            log: self.log.as_ref().map(StreamReader::snapshot),
            stdout: self.stdout.as_ref().map(StreamReader::snapshot),
            input: self.input.snapshot(),
            log_opened: self.settings.log.target.as_ref().map(|_| self.settings.log_opened),
            readiness: Some(self.readiness.snapshot()),
            failing: self.failing,
            syslog: self.syslog.as_ref().map(StreamReader::snapshot),
            overlap: self.overlap.clone(),
        }
    }

    /// What is worth knowing of a console whose server is gone: who is connected, what the child
    /// does. No byte of the stream, and nobody's place in it.
    pub fn crash_snapshot(&self) -> Snapshot {
        let outbox = ReaderSnapshot::default();
        let clients = self.clients.iter().map(|(&id, client)| ClientSnapshot {
            id,
            role: client.role,
            kind: client.kind,
            reader: outbox.clone(),
            decoder: client.decoder.clone(),
            replies: 0,
            taken: 0,
            backpressure: Backpressure::None,
        });
        Snapshot {
            supervisor: self.supervisor.snapshot(),
            stream: StreamSnapshot::default(),
            clients: clients.collect(),
            // The log is opened anew.
            log: None,
            stdout: None,
            input: InputSnapshot::default(),
            log_opened: None,
            readiness: Some(self.readiness.crash_snapshot()),
            failing: 0,
            syslog: None,
            overlap: self.overlap.crash_snapshot(),
        }
    }

    /// Changes whenever the [`crash_snapshot`](Self::crash_snapshot) may have.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// A console that goes on from a record of one with the same settings. What the record has for
    /// a log or a standard output that the settings do not want is dropped.
    pub fn restore(
        settings: Settings,
        calendar: Box<dyn TimeFormatter>,
        record: Snapshot,
    ) -> Result<Console, InvalidSnapshot> {
        let mut console = Console::new(settings, calendar);
        let settings = &mut console.settings;
        console.supervisor = Supervisor::restore(record.supervisor, settings.policy())?;
        console.overlap = OverlapState::restore(record.overlap, console.supervisor.running())?;
        let keep_times = settings.log.stamp.is_some();
        console.stream =
            StreamBuffer::restore(record.stream, keep_times, settings.console.history)?;
        let head = console.stream.head();
        for client in record.clients {
            let id = client.id;
            let client = restore_client(client, settings, head)?;
            if console.clients.insert(id, client).is_some() {
                return Err(InvalidSnapshot("two clients have one id"));
            }
        }
        if settings.log.target.is_some() {
            settings.log_opened = record.log_opened.unwrap_or(settings.log_opened);
            let log =
                record.log.map(|log| StreamReader::restore(log, settings.log_encoding(), head));
            console.log = log.transpose()?;
        }
        if settings.to_stdout {
            console.stdout = Some(match record.stdout {
                Some(stdout) => StreamReader::restore(stdout, PLAIN, head)?,
                None => StreamReader::new(head, PLAIN),
            });
        }
        if settings.log.syslog.is_some() {
            console.syslog = Some(match record.syslog {
                Some(syslog) => StreamReader::restore(syslog, PLAIN, head)?,
                None => StreamReader::new(head, PLAIN),
            });
        }
        console.input = InputQueue::restore(record.input)?;
        console.failing = record.failing;
        let runs = console.supervisor.running().is_some();
        match record.readiness {
            Some(readiness) => console.readiness.restore(readiness, runs)?,
            None if runs => console.readiness.started(),
            None => {}
        }
        Ok(console)
    }
}

fn restore_client(
    record: ClientSnapshot,
    settings: &Settings,
    head: u64,
) -> Result<Client, InvalidSnapshot> {
    let ClientSnapshot {
        id: _,
        role,
        kind: medium,
        reader: outbox,
        decoder,
        replies,
        taken,
        backpressure: pace,
    } = record;
    if taken > OFFSET_MAX {
        return Err(InvalidSnapshot("a client took more than there is"));
    }
    let outbox = StreamReader::restore(outbox, settings.encoding(role, medium), head)?;
    // More is not told from as much.
    let replies = replies.min(STAGE_MAX);
    Ok(Client { role, kind: medium, reader: outbox, decoder, replies, taken, backpressure: pace })
}
