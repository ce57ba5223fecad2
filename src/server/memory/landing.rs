//! Where the bytes of a read lie until the server has made of them what it does.
//!
//! A server can die between the system call that took bytes from a terminal and the instruction that
//! knows their number. The bytes are in the landing then, and nothing else says how many they are. So
//! the landing is filled with bytes of a pattern before a read: what differs from the pattern was read.
//! The pattern is chosen at random, from the bytes that no UTF-8 text has. Only a read whose last byte
//! is by chance that of the pattern loses that byte, if the server dies at that instruction.

use std::hash::{BuildHasher, RandomState};
use std::io;

use crate::limits::READ_SIZE;
use crate::server::memory::step;
use crate::sys::shared_memory::SharedMemory;

/// Who the next bytes come from, as the server numbers them.
const SOURCE_AT: usize = 0;
/// The number of the read.
const COUNT_AT: usize = 8;
const PATTERN_AT: usize = 4096;
const BYTES_AT: usize = PATTERN_AT + READ_SIZE;

/// The bytes that are in no UTF-8 text (RFC 3629).
const NEVER_TEXT: [u8; 13] =
    [0xC0, 0xC1, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF];

/// The landing of a server.
#[derive(Debug)]
pub(crate) struct Landing {
    memory: SharedMemory,
    count: u64,
}

impl Landing {
    /// A landing in `memory`, whose content is lost, before the read after the first `count`.
    ///
    /// # Errors
    /// There is no memory left.
    pub(crate) fn new(mut memory: SharedMemory, count: u64) -> io::Result<Landing> {
        memory.reserve(0..BYTES_AT + READ_SIZE)?;
        // Whatever lies there is no read that is not taken into account.
        step();
        memory.publish(COUNT_AT, count);
        let mut random = RandomState::new().hash_one(count);
        if let Some(pattern) = memory.bytes_mut().get_mut(PATTERN_AT..BYTES_AT) {
            for byte in pattern {
                // Marsaglia's xorshift.
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let index = (random >> 32) as usize % NEVER_TEXT.len();
                *byte = NEVER_TEXT.get(index).copied().unwrap_or(0xFF);
            }
        }
        let mut landing = Landing { memory, count };
        landing.clear(READ_SIZE);
        Ok(landing)
    }

    /// The space for a read from `source`, which may be made now.
    pub(crate) fn open(&mut self, source: u64) -> &mut [u8] {
        self.count += 1;
        step();
        self.memory.publish(SOURCE_AT, source);
        step();
        self.memory.publish(COUNT_AT, self.count);
        self.memory.bytes_mut().get_mut(BYTES_AT..BYTES_AT + READ_SIZE).unwrap_or_default()
    }

    /// The number of the last read.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Makes the landing ready for another read, after the last one, of `count` bytes, is taken into
    /// account.
    pub(crate) fn clear(&mut self, count: usize) {
        let (at, count) = (PATTERN_AT, count.min(READ_SIZE));
        step();
        let bytes = self.memory.bytes_mut();
        if bytes.len() >= BYTES_AT + count {
            bytes.copy_within(at..at + count, BYTES_AT);
        }
    }
}

/// The number of the last read.
pub(crate) fn reads(memory: &SharedMemory) -> u64 {
    memory.number(COUNT_AT)
}

/// What the last server read and did not take into account, after the read with the number `landed`,
/// and who it came from.
pub(crate) fn unaccounted(memory: &SharedMemory, landed: u64) -> Option<(u64, Vec<u8>)> {
    if memory.number(COUNT_AT) <= landed {
        return None;
    }
    let pattern = memory.bytes().get(PATTERN_AT..BYTES_AT)?;
    let bytes = memory.bytes().get(BYTES_AT..BYTES_AT + READ_SIZE)?;
    let differs = bytes.iter().zip(pattern).rposition(|(byte, blank)| byte != blank)?;
    Some((memory.number(SOURCE_AT), bytes.get(..=differs)?.to_vec()))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::sys::shared_memory::{UNIT, create};

    #[test]
    fn read_is_found_until_it_is_taken_into_account() {
        let file = create(UNIT).expect("memory");
        let memory = || SharedMemory::map(&file, 0..UNIT).expect("a mapping");
        let found = |landed| unaccounted(&memory(), landed);
        let mut landing = Landing::new(memory(), 0).expect("room");
        assert_eq!(found(0), None);
        let texts = ["x", "a longer text\0", "\0", "short", &"z".repeat(READ_SIZE)];
        for (number, text) in (1..).zip(texts) {
            let space = landing.open(number + 5);
            assert_eq!(found(number - 1), None, "nothing was read yet");
            space[..text.len()].copy_from_slice(text.as_bytes());
            assert_eq!(found(number - 1), Some((number + 5, text.as_bytes().to_vec())));
            // It is taken into account, and only then the landing is cleared.
            assert_eq!((landing.count(), found(number)), (number, None));
            landing.clear(text.len());
        }
        // A read that gave nothing.
        landing.open(1);
        assert_eq!(found(5), None);
        let other = SharedMemory::map(&create(UNIT).expect("memory"), 0..UNIT).expect("a mapping");
        assert_eq!(unaccounted(&other, 0), None);
    }
}
