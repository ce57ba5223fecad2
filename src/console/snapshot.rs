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

use super::child::overlap::Overlap;
use super::child::readiness::ReadinessRecord;
use super::child::supervisor::Supervisor;
use super::clients::client::{Client, Pace};
use super::clients::input_queue::{InputQueue, InputRecord};
use super::clock::Calendar;
use super::event::{ClientId, Medium, Role, Running};
use super::stream::buffer::{History, HistoryRecord, OFFSET_MAX};
use super::stream::reader::{Outbox, OutboxRecord};
use super::{Console, PLAIN, Settings};
use crate::limits::STAGE_MAX;
use crate::telnet;

/// A console, from [`Console::record`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Record {
    #[n(0)]
    supervisor: Supervisor,
    #[n(1)]
    history: HistoryRecord,
    #[cbor(n(2), default)]
    clients: Vec<ClientRecord>,
    #[n(3)]
    log: Option<OutboxRecord>,
    #[n(4)]
    stdout: Option<OutboxRecord>,
    #[cbor(n(5), default)]
    input: InputRecord,
    /// Whether the log could be opened at the start, as greetings say for ever.
    #[n(7)]
    log_opened: Option<bool>,
    #[n(8)]
    readiness: Option<ReadinessRecord>,
    #[cbor(n(9), default)]
    troubles: u8,
    #[n(10)]
    syslog: Option<OutboxRecord>,
    #[cbor(n(11), default)]
    overlap: Overlap,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct ClientRecord {
    #[n(0)]
    id: ClientId,
    #[n(1)]
    role: Role,
    #[n(2)]
    medium: Medium,
    #[n(3)]
    outbox: OutboxRecord,
    #[cbor(n(4), default)]
    decoder: telnet::Decoder,
    #[cbor(n(5), default)]
    replies: usize,
    #[cbor(n(6), default)]
    taken: u64,
    #[cbor(n(7), default)]
    pace: Pace,
}

/// What makes a record one that no console made, as a sentence without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid(pub &'static str);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Invalid {}

impl Record {
    /// The child, if one runs.
    pub fn child(&self) -> Option<Running> {
        self.supervisor.running()
    }

    /// The old child, if there is one.
    pub fn old_child(&self) -> Option<Running> {
        self.overlap.old()
    }

    /// Who is connected, and how.
    pub fn clients(&self) -> impl Iterator<Item = (ClientId, Medium)> {
        self.clients.iter().map(|client| (client.id, client.medium))
    }
}

impl Console {
    /// The console as it stands. To be asked only between turns: all effects have been polled and
    /// obeyed, none of them was to exit, and no chunk is on its way to a file.
    pub fn record(&self) -> Record {
        let clients = self.clients.iter().map(|(&id, client)| ClientRecord {
            id,
            role: client.role,
            medium: client.medium,
            outbox: client.outbox.record(),
            decoder: client.decoder.clone(),
            replies: client.replies,
            taken: client.taken,
            pace: client.pace,
        });
        Record {
            supervisor: self.supervisor.record(),
            history: self.history.record(),
            clients: clients.collect(),
            log: self.log.as_ref().map(Outbox::record),
            stdout: self.stdout.as_ref().map(Outbox::record),
            input: self.input.record(),
            log_opened: self.settings.log.as_ref().map(|log| log.1),
            readiness: Some(self.readiness.record()),
            troubles: self.troubles,
            syslog: self.syslog.as_ref().map(Outbox::record),
            overlap: self.overlap.clone(),
        }
    }

    /// What is worth knowing of a console whose server is gone: who is connected, what the child
    /// does. No byte of the stream, and nobody's place in it.
    pub fn outline(&self) -> Record {
        let outbox = OutboxRecord::default();
        let clients = self.clients.iter().map(|(&id, client)| ClientRecord {
            id,
            role: client.role,
            medium: client.medium,
            outbox: outbox.clone(),
            decoder: client.decoder.clone(),
            replies: 0,
            taken: 0,
            pace: Pace::Free,
        });
        Record {
            supervisor: self.supervisor.record(),
            history: HistoryRecord::default(),
            clients: clients.collect(),
            // The log is opened anew.
            log: None,
            stdout: None,
            input: InputRecord::default(),
            log_opened: None,
            readiness: Some(self.readiness.outline()),
            troubles: 0,
            syslog: None,
            overlap: self.overlap.outline(),
        }
    }

    /// Changes whenever the [`outline`](Self::outline) may have.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// A console that goes on from a record of one with the same settings. What the record has for
    /// a log or a standard output that the settings do not want is dropped.
    pub fn restore(
        settings: Settings,
        calendar: Box<dyn Calendar>,
        record: Record,
    ) -> Result<Console, Invalid> {
        let mut console = Console::new(settings, calendar);
        let settings = &mut console.settings;
        console.supervisor = Supervisor::restore(record.supervisor, settings.policy())?;
        console.overlap = Overlap::restore(record.overlap, console.supervisor.running())?;
        let keep_times = settings.log_stamp.is_some();
        console.history = History::restore(record.history, keep_times, settings.history)?;
        let head = console.history.head();
        for client in record.clients {
            let id = client.id;
            let client = restore_client(client, settings, head)?;
            if console.clients.insert(id, client).is_some() {
                return Err(Invalid("two clients have one id"));
            }
        }
        if let Some((_, opened)) = &mut settings.log {
            *opened = record.log_opened.unwrap_or(*opened);
            let log = record.log.map(|log| Outbox::restore(log, settings.log_encoding(), head));
            console.log = log.transpose()?;
        }
        if settings.to_stdout {
            console.stdout = Some(match record.stdout {
                Some(stdout) => Outbox::restore(stdout, PLAIN, head)?,
                None => Outbox::new(head, PLAIN),
            });
        }
        if settings.to_syslog {
            console.syslog = Some(match record.syslog {
                Some(syslog) => Outbox::restore(syslog, PLAIN, head)?,
                None => Outbox::new(head, PLAIN),
            });
        }
        console.input = InputQueue::restore(record.input)?;
        console.troubles = record.troubles;
        let runs = console.supervisor.running().is_some();
        match record.readiness {
            Some(readiness) => console.readiness.restore(readiness, runs)?,
            None if runs => console.readiness.started(),
            None => {}
        }
        Ok(console)
    }
}

fn restore_client(record: ClientRecord, settings: &Settings, head: u64) -> Result<Client, Invalid> {
    let ClientRecord { id: _, role, medium, outbox, decoder, replies, taken, pace } = record;
    if taken > OFFSET_MAX {
        return Err(Invalid("a client took more than there is"));
    }
    let outbox = Outbox::restore(outbox, settings.encoding(role, medium), head)?;
    // More is not told from as much.
    let replies = replies.min(STAGE_MAX);
    Ok(Client { role, medium, outbox, decoder, replies, taken, pace })
}
