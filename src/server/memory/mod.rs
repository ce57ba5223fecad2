//! What outlives the death of the server at any instruction.
//!
//! A file in memory, which the service manager has a copy of, or the next program after an upgrade:
//!
//! | part | what it has |
//! |---|---|
//! | two slots | each a snapshot of the server, and behind it the [`journal`] of what changed since |
//! | [`landing`] | the bytes of the last read |
//! | [`ring`] | the bytes of the console stream |
//!
//! # Which store publishes what
//!
//! Each of these is one store of a number, which makes known what was written before:
//!
//! 1. *The head of a slot*: a snapshot, with an empty journal. The slot with the larger number counts, so
//!    the other one is written.
//! 2. *The word of a record* in its journal: all changes of that record, at once. The end of the stream
//!    is one of them, so bytes that are appended to the ring count from then on.
//! 3. *The tail of the ring*: bytes before it are given up, and only then overwritten.
//! 4. *The shape of the ring*: the bytes, copied to the other side, count there.
//! 5. *The number of a read* in the landing: bytes that differ from the pattern are read from then on.
//!
//! # The order of stores and system calls
//!
//! - Read: number of the read; read(2); bytes to the ring; one record with the end of the stream, what
//!   else the console made of the bytes, and the number of the read. Without the record the next server
//!   finds the bytes in the landing, and does the same with them.
//! - Write to a client: write(2), then a record with the client's place. Without the record the next
//!   server writes the same bytes again: one write, in one piece.
//!   If that write may have ended within a telnet command, a DEL before them ends the command.
//! - Write to the child: a record that so many bytes are being written; write(2); a record of how many
//!   were taken. Without the second one none of them is written again.
//! - Write to the log: write(2) by the log's thread; when the event loop hears of it, a record with the
//!   log's place and the length of the file. The next server encodes the stream from that place on, and
//!   compares it with what the file has behind that length: so much is not written again.
//! - Another file for the log, after SIGHUP or a rotation: a record of how much is written, and that
//!   nothing follows; then the system calls that rename and open files; a record with the new file and its
//!   length; and only then the next write(2). The log's thread waits for both records. After the first one
//!   the next server looks at no file, and so it does while there is nothing to write. Otherwise it looks
//!   for the file of the last record, even if somebody has renamed that meanwhile.
//! - A client that comes: its descriptor to the service manager, and one record with all that there is
//!   to know of it, before it is told anything. One that leaves: a record. So neither costs more with more
//!   clients.
//! - Everything else, such as a child that ends: a snapshot in the same turn, before any client is told of
//!   it.
//!
//! # What a reader may assume
//!
//! A server that finds the file knows nothing of the moment when the last one died, but that all stores
//! before some moment are there and none after it. A snapshot and each record have a digest; a number
//! that is not that of this layout, a digest that differs, a change that cannot be decoded or a change
//! that found no room makes the stream unknown: then the server goes on without it, and says that output
//! may be missing. Snapshots and changes are numbered fields, as in an upgrade, so that another version
//! can go on from them. The ring and the journal have no version but the number that a ring begins with:
//! whatever changes their meaning has to change that number.

pub(crate) mod journal;
pub(crate) mod landing;
pub(crate) mod ring;

use std::fs::File;
use std::io;
use std::ops::Range;

use self::journal::Journal;
use self::landing::Landing;
use self::ring::SharedRing;
use crate::console::changes::{Change, Recorded};
use crate::console::stream::ring::Ring;
use crate::limits::{FDSTORE_SLOT_SIZE, STREAM_BUFFER_EXTENDED};
use crate::sys::shared_memory::{self, SharedMemory, UNIT};

/// Where the two slots end and the landing begins.
const LANDING_AT: usize = 2 * FDSTORE_SLOT_SIZE;
const RING_AT: usize = LANDING_AT + UNIT;

/// Returns a file for a server with so many bytes of history.
///
/// # Errors
/// The system has no such memory, or none left.
pub(crate) fn create(history: usize) -> io::Result<File> {
    shared_memory::create(RING_AT + ring::memory_len(STREAM_BUFFER_EXTENDED + history))
}

fn map(file: &File, part: Range<usize>) -> io::Result<SharedMemory> {
    SharedMemory::map(file, part)
}

/// An empty ring in the file, for a stream that begins at `tail`.
///
/// # Errors
/// There is no memory left, or the file is not one of [`create`].
pub(crate) fn new_ring(file: &File, tail: u64) -> io::Result<Box<dyn Ring>> {
    let memory = map(file, RING_AT..shared_memory::sealed_len(file))?;
    Ok(Box::new(SharedRing::new(memory, tail)?))
}

/// The ring that another server left in the file, of a stream that ends at `head`.
///
/// # Errors
/// There is none, or no memory for the mapping.
pub(crate) fn ring(file: &File, head: u64) -> io::Result<Box<dyn Ring>> {
    let memory = map(file, RING_AT..shared_memory::sealed_len(file))?;
    let ring = SharedRing::adopt(memory, head).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Box::new(ring))
}

/// Returns true if the file has the length of one that [`create`] makes for so many bytes of history.
pub(crate) fn is_for(file: &File, history: usize) -> bool {
    shared_memory::sealed_len(file) == RING_AT + ring::memory_len(STREAM_BUFFER_EXTENDED + history)
}

/// What the last server read and did not take into account after so many reads, and who it came from.
pub(crate) fn unaccounted(file: &File, landed: u64) -> Option<(Source, Vec<u8>)> {
    let memory = map(file, LANDING_AT..RING_AT).ok()?;
    let (number, bytes) = landing::unaccounted(&memory, landed)?;
    Some((Source::from_number(number), bytes))
}

/// How many reads the servers of this file have made so far.
pub(crate) fn reads(file: &File) -> u64 {
    map(file, LANDING_AT..RING_AT).map_or(0, |memory| landing::reads(&memory))
}

/// Who a read is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The terminal of the child.
    Child,
    /// That of the child that is being replaced.
    OldChild,
    /// The client with this ID.
    Client(u64),
}

impl Source {
    fn number(self) -> u64 {
        match self {
            Source::Child => 0,
            Source::OldChild => 1,
            Source::Client(id) => id.saturating_add(2),
        }
    }

    fn from_number(number: u64) -> Source {
        match number {
            0 => Source::Child,
            1 => Source::OldChild,
            _ => Source::Client(number - 2),
        }
    }
}

/// The memory of a running server, but for the ring, which the console has.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) landing: Landing,
    pub(crate) journal: Journal,
    /// What of the console is in the journal.
    pub(crate) recorded: Recorded,
}

impl Memory {
    /// The memory in a file of [`create`], after so many reads. Whatever the file had in the landing is
    /// lost.
    ///
    /// # Errors
    /// There is no memory left.
    pub(crate) fn new(file: &File, landed: u64) -> io::Result<Memory> {
        Ok(Memory {
            landing: Landing::new(map(file, LANDING_AT..RING_AT)?, landed)?,
            journal: Journal::new(map(file, 0..LANDING_AT)?),
            recorded: Recorded::default(),
        })
    }

    /// The space for a read from `source`, which may be made now.
    pub(crate) fn open_landing(&mut self, source: Source) -> &mut [u8] {
        self.landing.open(source.number())
    }

    /// Takes note of the changes that a read of `count` bytes made.
    pub(crate) fn landed(&mut self, count: usize, mut changes: Vec<Change>) {
        changes.push(Change::Landed(self.landing.count()));
        self.journal.append(&changes);
        self.landing.clear(count);
    }
}

#[cfg(test)]
thread_local! {
    static AT_EACH_STEP: std::cell::RefCell<Option<Box<dyn FnMut()>>> = Default::default();
}

/// Called before each store that another server may find: in tests, a moment at which the server can die.
pub(crate) fn step() {
    #[cfg(test)]
    {
        let hook = AT_EACH_STEP.with(|hook| hook.borrow_mut().take());
        if let Some(mut hook) = hook {
            hook();
            AT_EACH_STEP.with(|slot| *slot.borrow_mut() = Some(hook));
        }
    }
}

/// Has this thread call `hook` before each store.
#[cfg(test)]
pub(crate) fn at_each_step(hook: impl FnMut() + 'static) {
    AT_EACH_STEP.with(|slot| *slot.borrow_mut() = Some(Box::new(hook)));
}
