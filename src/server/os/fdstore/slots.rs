//! The memory file's two slots for a state.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use crate::handover::format;
use crate::handover::state::State;
use crate::limits::FDSTORE_SLOT_SIZE;
use crate::server::memory::{self, journal};

/// The length of the head of a slot: its sequence number and the length of its body, both as 64-bit
/// little-endian numbers.
pub(super) const HEAD: usize = 16;

/// The slots of a server.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) file: File,
    /// The sequence number of the slot that was written last.
    pub(super) sequence: u64,
}

impl Slots {
    /// The slots in a file, where the server before this one may have written a state.
    pub(super) fn new(file: File) -> Slots {
        let sequence = last(&file).map_or(0, |(sequence, _)| sequence);
        Slots { file, sequence }
    }

    /// Writes the state into a slot. Returns where its journal begins, and the length of its bytes.
    ///
    /// # Errors
    /// The state is larger than a slot, or there is no memory left.
    pub(super) fn write(&mut self, state: &State) -> io::Result<(usize, usize)> {
        let mut bytes = format::encode(state);
        let len = bytes.len();
        if len + 2 * HEAD > FDSTORE_SLOT_SIZE / 2 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let sequence = self.sequence.wrapping_add(1);
        let head = [sequence.to_le_bytes(), (len as u64).to_le_bytes()].concat();
        let begin = start(sequence);
        // Behind the body an empty journal begins.
        let end = journal::first(HEAD + len);
        bytes.resize(end + 8 - HEAD, 0);
        // The head comes last: under the old one, half a body is no state, and a whole one is none.
        memory::step();
        self.file.write_all_at(&bytes, begin + HEAD as u64)?;
        memory::step();
        self.file.write_all_at(&head, begin)?;
        self.sequence = sequence;
        Ok((begin as usize + end, len))
    }

    /// Leaves no state.
    pub(super) fn clear(&mut self) {
        if self.file.set_len(0).is_err() {
            // The last state goes last.
            for sequence in [self.sequence.wrapping_add(1), self.sequence] {
                let _ = self.file.write_all_at(&[0; HEAD], start(sequence));
            }
        }
    }
}

/// The state that the last server saved in its memory file, unless it came to an orderly end, with the
/// changes since. If they, or the bytes of the stream, are not known, the stream is left out.
pub(crate) fn saved_state(memory: &OwnedFd) -> Option<State> {
    let memory = File::from(memory.try_clone().ok()?);
    let (sequence, bytes) = last(&memory)?;
    let mut state = format::decode(&bytes).ok()?;
    if [0, 1].into_iter().any(|slot| head(&memory, slot).is_some_and(|(newer, _)| newer > sequence))
    {
        // A later one is damaged.
        state.console.forget_stream();
    } else if state.console.landed().is_some() {
        let at = start(sequence) as usize + journal::first(HEAD + bytes.len());
        match journal::read(&memory, at as u64) {
            Some(changes) => state.console.apply(changes),
            None => state.console.forget_stream(),
        }
    }
    Some(state)
}

/// The offset of the slot for this sequence number.
pub(super) fn start(sequence: u64) -> u64 {
    (sequence & 1) * FDSTORE_SLOT_SIZE as u64
}

/// The sequence number and the body of the last slot that was written whole.
fn last(memory: &File) -> Option<(u64, Vec<u8>)> {
    let slots = [0, 1].into_iter().filter_map(|slot| read(memory, slot));
    slots.filter(|(_, bytes)| format::decode(bytes).is_ok()).max_by_key(|(sequence, _)| *sequence)
}

/// The sequence number of a slot, and the length of its body.
fn head(memory: &File, slot: u64) -> Option<(u64, u64)> {
    let mut head = [0; HEAD];
    memory.read_exact_at(&mut head, start(slot)).ok()?;
    let (sequence, len) = head.split_first_chunk()?;
    Some((u64::from_le_bytes(*sequence), u64::from_le_bytes(*len.first_chunk()?)))
}

fn read(memory: &File, slot: u64) -> Option<(u64, Vec<u8>)> {
    let (sequence, len) = head(memory, slot)?;
    let len = usize::try_from(len).ok()?;
    if len > FDSTORE_SLOT_SIZE - HEAD {
        return None;
    }
    let mut bytes = vec![0; len];
    memory.read_exact_at(&mut bytes, start(slot) + HEAD as u64).ok()?;
    Some((sequence, bytes))
}
