//! What has changed in a console since its snapshot: the parts that change with every read and every
//! write, so that a server which writes down each of them need not write down the whole console.
//!
//! All that is not here changes [`Console::unrecorded_revision`], and wants a new snapshot.

use minicbor::{Decode, Encode};

use super::Console;
use super::child::overlap::OverlapState;
use super::child::readiness::ReadinessSnapshot;
use super::clients::snapshot::ClientSnapshot;
use super::clients::typed::TypedLine;
use super::clients::window::ClientWindow;
use super::event::{ChildProcess, ClientId, Sink};
use super::stream::reader::ReaderSnapshot;
use super::stream::snapshot::StreamEnd;
use crate::telnet;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub enum Change {
    /// The stream has a new end.
    #[n(0)]
    Stream(#[n(0)] StreamEnd),
    /// A client was sent the stream up to this offset, and has taken so many bytes since it connected.
    /// Nothing is staged for it. True if the next byte begins a line.
    #[n(1)]
    Place(#[n(0)] ClientId, #[n(1)] u64, #[n(2)] u64, #[n(3)] bool),
    /// A client was sent bytes, and has taken so many since it connected.
    #[n(2)]
    Reader(#[n(0)] ClientId, #[n(1)] ReaderSnapshot, #[n(2)] u64),
    /// A client typed bytes, which wait for the child.
    #[n(3)]
    Typed(#[n(0)] ClientId, #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>),
    /// So many bytes are being written to the child. If nothing follows, they may have been.
    #[n(4)]
    Writing(#[n(0)] usize),
    /// Of the bytes that were being written, or else were to be, so many wait no longer.
    #[n(5)]
    Consumed(#[n(0)] usize),
    /// The children are so far on their way to readiness.
    #[n(6)]
    Readiness(#[n(0)] ReadinessSnapshot),
    /// Two children run.
    #[n(7)]
    Overlap(#[n(0)] OverlapState),
    /// So many reads have been taken into account.
    #[n(8)]
    Landed(#[n(0)] u64),
    /// Where the log goes on.
    #[n(9)]
    Log(#[n(0)] LogPlace),
    /// Where syslog goes on.
    #[n(10)]
    Syslog(#[n(0)] ReaderSnapshot),
    /// A client has come, or has changed in more than its place; and how others know it, if they were
    /// told of it.
    #[n(11)]
    Client(#[n(0)] Box<ClientSnapshot>, #[n(1)] Option<String>),
    /// A client has left.
    #[n(12)]
    Left(#[n(0)] ClientId),
    /// The next byte of a client means this, and its window has this size.
    #[n(13)]
    Telnet(#[n(0)] ClientId, #[n(1)] telnet::Decoder, #[n(2)] ClientWindow),
}

/// A place in the log: what the file has, and how the log goes on behind that.
#[derive(Debug, Default, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LogPlace {
    /// The reader of the stream that is the log.
    #[n(0)]
    pub reader: ReaderSnapshot,
    /// The end of the file, if it is a regular one.
    #[n(1)]
    pub end: Option<FileEnd>,
    /// How many bytes of the log behind the place of the reader are before that end, or in older files.
    #[cbor(n(2), default)]
    pub begun: u64,
    /// True if nothing is written before another place is noted, so that nothing is behind that end.
    #[cbor(n(3), default)]
    pub rests: bool,
}

/// The end of a file (stat(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FileEnd {
    /// `st_dev`.
    #[n(0)]
    pub device: u64,
    /// `st_ino`.
    #[n(1)]
    pub inode: u64,
    /// `st_size`.
    #[n(2)]
    pub len: u64,
}

impl FileEnd {
    /// Returns true if it is the end of the same file.
    pub fn is_in_file_of(&self, other: &FileEnd) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Tells how much of the stream and of the typed input was written down.
#[derive(Debug, Default, Clone, Copy)]
pub struct Recorded {
    /// The end of the stream.
    head: u64,
    /// Where the typed input began and ended, counted in bytes since the console was made.
    input: (u64, u64),
    /// The current and the old child in the snapshot.
    children: (Option<ChildProcess>, Option<ChildProcess>),
}

impl Console {
    /// Returns what a snapshot that is made now has.
    pub fn recorded(&self) -> Recorded {
        let children = (self.supervisor.running(), self.overlap.old());
        Recorded { head: self.stream.head(), input: self.input.extent(), children }
    }

    /// Returns the same with the typed input as it is now.
    pub fn recorded_input(&self, recorded: Recorded) -> Recorded {
        Recorded { input: self.input.extent(), ..recorded }
    }

    /// Returns what has changed since `recorded`, but for clients and sinks.
    pub fn changes(&self, recorded: &mut Recorded) -> Vec<Change> {
        let mut changes = Vec::new();
        let now = self.recorded();
        if now.head != recorded.head {
            changes.push(Change::Stream(self.stream.end(recorded.head)));
            if self.readiness.is_waiting() {
                changes.push(Change::Readiness(self.readiness.snapshot()));
            }
        }
        // With other children a snapshot is due.
        if self.overlap.old().is_some() && now.children == recorded.children {
            changes.push(Change::Overlap(self.overlap.clone()));
            changes.push(Change::Readiness(self.readiness.snapshot()));
        }
        let ((begin, end), (recorded_begin, recorded_end)) = (now.input, recorded.input);
        let consumed = begin.min(recorded_end).saturating_sub(recorded_begin);
        if consumed > 0 {
            changes.push(Change::Consumed(consumed as usize));
        }
        if end > recorded_end {
            let typed = self.input.since(recorded_end.max(begin));
            changes.extend(typed.into_iter().map(|(id, bytes)| Change::Typed(id, bytes)));
        }
        *recorded = Recorded { children: recorded.children, ..now };
        changes
    }

    /// Returns all that there is to know of a client.
    pub fn client(&self, id: ClientId) -> Option<Change> {
        let client = self.clients.get(&id)?;
        // No change says what was typed of a line: at the next one it may have been recorded.
        let typed = TypedLine::default();
        let snapshot = ClientSnapshot { typed, ..self.client_snapshot(id, client) };
        Some(Change::Client(Box::new(snapshot), self.announced.get(&id).cloned()))
    }

    /// Returns what a client's telnet is about, if that has changed since it was `before`.
    pub fn telnet(&self, id: ClientId, before: Option<&telnet::Decoder>) -> Option<Change> {
        let client = self.clients.get(&id)?;
        let is_changed = before != Some(&client.decoder);
        is_changed.then(|| Change::Telnet(id, client.decoder.clone(), client.window))
    }

    /// Returns what the next byte of a client means.
    pub fn decoder(&self, id: ClientId) -> Option<&telnet::Decoder> {
        Some(&self.clients.get(&id)?.decoder)
    }

    /// Returns how far a client has been sent the stream.
    pub fn place(&self, id: ClientId) -> Option<Change> {
        let client = self.clients.get(&id)?;
        Some(match client.reader.place() {
            Some((cursor, line_start)) => Change::Place(id, cursor, client.taken, line_start),
            None => Change::Reader(id, client.reader.snapshot(), client.taken),
        })
    }

    /// Returns the offset of the first byte of the stream that this client still needs.
    pub fn cursor(&self, id: ClientId) -> Option<u64> {
        Some(self.clients.get(&id)?.reader.cursor())
    }

    /// The reader of the stream that is this sink.
    pub fn sink_snapshot(&self, sink: Sink) -> Option<ReaderSnapshot> {
        self.sinks.get(&sink).map(super::stream::reader::StreamReader::snapshot)
    }
}
