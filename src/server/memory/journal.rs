//! The changes of the console since its last snapshot, in memory that outlives the server.
//!
//! A record is a word, with the length and the digest of what follows, and its bytes, up to a multiple of
//! 8. The word behind the last record is 0. The word of a record is stored last, so that a record is
//! there whole or not at all.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::console::changes::Change;
use crate::handover::changes::{OwnedRecord, Record};
use crate::handover::format;
use crate::server::memory::step;
use crate::sys::shared_memory::{SharedMemory, UNIT};

/// Instead of a record: what comes after it could not be written down.
const GAP: u64 = u64::MAX;
/// With so many bytes of changes, and twice as many as the snapshot has, another snapshot is due.
const LONG: usize = 64 << 10;

/// The journal of a server.
#[derive(Debug)]
pub(crate) struct Journal {
    memory: SharedMemory,
    /// Where the next record goes.
    at: usize,
    /// Up to where memory is reserved.
    reserved: usize,
    /// From there on another snapshot is due.
    long: usize,
    /// True if a change could not be written down since the last snapshot.
    has_gap: bool,
}

/// Where the journal of a snapshot begins that ends at `end`. The caller has written zeros up to the
/// end of the first word.
pub(crate) fn first(end: usize) -> usize {
    end.next_multiple_of(8)
}

impl Journal {
    /// A journal in `memory`, which takes no records before [`begin`](Self::begin).
    pub(crate) fn new(memory: SharedMemory) -> Journal {
        Journal { memory, at: 0, reserved: 0, long: 0, has_gap: true }
    }

    /// Begins the journal of a snapshot of `len` bytes at `at`.
    pub(crate) fn begin(&mut self, at: usize, len: usize) {
        (self.at, self.reserved, self.has_gap) = (at, at + 8, false);
        self.long = at + LONG.max(2 * len);
    }

    /// Returns true if another snapshot is due.
    pub(crate) fn is_long(&self) -> bool {
        self.has_gap || self.at > self.long
    }

    /// Writes changes of the console down, all of them or none.
    pub(crate) fn append(&mut self, console: &[Change]) {
        if !console.is_empty() {
            self.append_record(Record { console, ..Record::default() });
        }
    }

    /// Writes changes down. Without room for them the journal has a gap.
    pub(crate) fn append_record(&mut self, record: Record<'_>) {
        if self.has_gap {
            return;
        }
        // Writing to memory does not fail.
        let mut record = minicbor::to_vec(record).unwrap_or_default();
        let (len, digest) = (record.len(), format::digest(&record));
        record.resize(len.next_multiple_of(8) + 8, 0);
        let (begin, end) = (self.at + 8, self.at + 8 + record.len());
        if self.reserve(end).is_err() {
            return self.interrupt();
        }
        step();
        if let Some(place) = self.memory.bytes_mut().get_mut(begin..end) {
            place.copy_from_slice(&record);
        }
        step();
        self.memory.publish(self.at, len as u64 | u64::from(digest) << 32);
        self.at = end - 8;
    }

    /// Takes note of a change that cannot be written down: another snapshot is due.
    pub(crate) fn interrupt(&mut self) {
        if !std::mem::replace(&mut self.has_gap, true) {
            step();
            self.memory.publish(self.at, GAP);
        }
    }

    fn reserve(&mut self, end: usize) -> io::Result<()> {
        if end > self.reserved {
            let until = end.next_multiple_of(UNIT);
            self.memory.reserve(self.at..until)?;
            self.reserved = until;
        }
        Ok(())
    }
}

/// The changes in the journal at `at`; `None` if some could not be written down, or are damaged.
pub(crate) fn read(memory: &File, mut at: u64) -> Option<Vec<OwnedRecord>> {
    let mut all = Vec::new();
    loop {
        let mut word = [0; 8];
        memory.read_exact_at(&mut word, at).ok()?;
        let word = u64::from_ne_bytes(word);
        let (len, digest) = (word as u32 as usize, (word >> 32) as u32);
        if word == 0 {
            return Some(all);
        }
        if word == GAP || len > crate::limits::FDSTORE_SLOT_SIZE {
            return None;
        }
        let mut record = vec![0; len];
        memory.read_exact_at(&mut record, at + 8).ok()?;
        if format::digest(&record) != digest {
            return None;
        }
        all.push(minicbor::decode(&record).ok()?);
        at += 8 + len.next_multiple_of(8) as u64;
    }
}
