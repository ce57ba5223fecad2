//! The bytes of the console stream in memory that outlives the server.
//!
//! | offset | what lies there |
//! |---|---|
//! | [`MAGIC_AT`] | [`MAGIC`], written last of all when the ring is made |
//! | [`SIDE_LEN_AT`] | how many bytes each side reaches over |
//! | [`TAIL_AT`] | the offset in the stream of the oldest byte that is whole |
//! | [`SHAPE_AT`] | which side has the bytes, and how many it has room for |
//! | [`UNIT`] | the first side, and behind it the second one |
//!
//! The byte at the offset `n` of the stream lies at `n % size` of the side. Where the stream ends is not
//! here: whoever makes the bytes known says that, after they were written.

use std::io;
use std::ops::Range;

use crate::console::stream::ring::{LAYOUT, Ring};
use crate::server::memory::step;
use crate::sys::shared_memory::{SharedMemory, UNIT};

/// The first number of every ring of this layout: another layout has another one.
const MAGIC: u64 = LAYOUT;
const MAGIC_AT: usize = 0;
const SIDE_LEN_AT: usize = 8;
const TAIL_AT: usize = 16;
const SHAPE_AT: usize = 24;
/// The bit of the shape that stands for the second side. The others are the size.
const SECOND_SIDE: u64 = 1 << 63;

/// A ring whose bytes are in shared memory.
#[derive(Debug)]
pub(crate) struct SharedRing {
    memory: SharedMemory,
    side_len: usize,
    is_second: bool,
    size: usize,
    /// The offset after the last byte, and that of the oldest.
    head: u64,
    tail: u64,
}

/// How much memory a ring needs that holds up to `capacity` bytes.
pub(crate) fn memory_len(capacity: usize) -> usize {
    UNIT + 2 * side_len(capacity)
}

fn side_len(capacity: usize) -> usize {
    capacity.next_multiple_of(UNIT)
}

impl SharedRing {
    /// A ring without room for a stream that begins at `head`, in all of `memory`, whose content is lost.
    ///
    /// # Errors
    /// There is no memory left, or less than a ring needs.
    pub(crate) fn new(mut memory: SharedMemory, head: u64) -> io::Result<SharedRing> {
        let side_len = memory.len().saturating_sub(UNIT) / 2;
        if side_len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        memory.reserve(0..UNIT)?;
        for (at, number) in [
            (MAGIC_AT, 0),
            (SHAPE_AT, 0),
            (SIDE_LEN_AT, side_len as u64),
            (TAIL_AT, head),
            (MAGIC_AT, MAGIC),
        ] {
            step();
            memory.publish(at, number);
        }
        memory.release(UNIT..memory.len());
        Ok(SharedRing { memory, side_len, is_second: false, size: 0, head, tail: head })
    }

    /// The ring that another server left in `memory`, of a stream that ends at `head`; `None` if there
    /// is none that can be so.
    pub(crate) fn adopt(memory: SharedMemory, head: u64) -> Option<SharedRing> {
        let side_len = memory.len().saturating_sub(UNIT) / 2;
        let (shape, tail) = (memory.number(SHAPE_AT), memory.number(TAIL_AT));
        let size = usize::try_from(shape & !SECOND_SIDE).ok()?;
        let is_ours = memory.number(MAGIC_AT) == MAGIC
            && memory.number(SIDE_LEN_AT) == side_len as u64
            && size <= side_len;
        let is_second = shape & SECOND_SIDE != 0;
        // A server that died in an append may have given up bytes for those that it did not make known.
        let tail = tail.max(head.saturating_sub(size as u64)).min(head);
        is_ours.then_some(SharedRing { memory, side_len, is_second, size, head, tail })
    }

    /// Where the side begins that has the bytes, or the other one.
    fn side(&self, is_second: bool) -> usize {
        UNIT + if is_second { self.side_len } else { 0 }
    }

    /// The places in the memory of `len` bytes from the offset `from` on, in a ring of this size.
    fn places(&self, is_second: bool, size: usize, from: u64, len: usize) -> [Range<usize>; 2] {
        let side = self.side(is_second);
        let begin = usize::try_from(from % size.max(1) as u64).unwrap_or(0);
        let first = len.min(size - begin);
        [side + begin..side + begin + first, side..side + len - first]
    }

    /// Writes bytes at the offset `from`, on this side.
    fn write(&mut self, is_second: bool, size: usize, from: u64, bytes: &[u8]) {
        let [first, second] = self.places(is_second, size, from, bytes.len());
        let (one, two) = bytes.split_at(first.len());
        for (place, part) in [(first, one), (second, two)] {
            step();
            if let Some(to) = self.memory.bytes_mut().get_mut(place) {
                to.copy_from_slice(part);
            }
        }
    }

    fn set_tail(&mut self, tail: u64) {
        if tail > self.tail {
            self.tail = tail;
            step();
            self.memory.publish(TAIL_AT, tail);
        }
    }

    /// Moves all bytes to the other side, which then has room for `size`. Both sides have the bytes when
    /// the other one becomes the one that counts.
    fn reshape(&mut self, size: usize) -> io::Result<()> {
        let other = !self.is_second;
        let begin = self.side(other);
        self.memory.reserve(begin..begin + size)?;
        let (mut from, end) = (self.tail, self.head);
        while from < end {
            // Not all at once, as a history may be large. A part lies in one piece.
            let [part, _] = self.places(self.is_second, self.size, from, (end - from) as usize);
            let part = part.start..part.end.min(part.start + UNIT);
            let bytes = self.memory.bytes().get(part).unwrap_or_default().to_vec();
            if bytes.is_empty() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.write(other, size, from, &bytes);
            from += bytes.len() as u64;
        }
        let (old, old_size) = (self.side(self.is_second), self.size);
        (self.is_second, self.size) = (other, size);
        step();
        self.memory.publish(SHAPE_AT, size as u64 | if other { SECOND_SIDE } else { 0 });
        step();
        self.memory.release(old..old + old_size);
        Ok(())
    }
}

impl Ring for SharedRing {
    fn size(&self) -> usize {
        self.size
    }

    fn len(&self) -> usize {
        (self.head - self.tail) as usize
    }

    fn slices(&self) -> (&[u8], &[u8]) {
        let [first, second] = self.places(self.is_second, self.size, self.tail, self.len());
        let bytes = |place| self.memory.bytes().get(place).unwrap_or_default();
        (bytes(first), bytes(second))
    }

    fn grow(&mut self, size: usize, _headroom: usize) -> bool {
        let size = size.max(UNIT);
        size <= self.side_len && self.reshape(size).is_ok()
    }

    fn shrink(&mut self, kept: usize, size: usize) {
        self.set_tail(self.head.saturating_sub(kept as u64));
        // A smaller one costs more system calls, each time that a quiet child writes, than it is worth.
        let size = size.max(UNIT);
        if size < self.size {
            // Without memory for a smaller one it stays as large as it is.
            let _ = self.reshape(size);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let head = self.head + bytes.len() as u64;
        // First of all, nobody relies any more on what is overwritten.
        self.set_tail(head.saturating_sub(self.size as u64));
        let kept = bytes.get(bytes.len().saturating_sub(self.size)..).unwrap_or_default();
        if !kept.is_empty() {
            self.write(self.is_second, self.size, head - kept.len() as u64, kept);
        }
        self.head = head;
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::server::memory::at_each_step;
    use crate::sys::shared_memory;

    const CAPACITY: usize = 100_000;

    fn memory(file: &std::fs::File) -> SharedMemory {
        SharedMemory::map(file, 0..memory_len(CAPACITY)).unwrap()
    }

    /// Before each store of random pushes and changes of the size, what a server would find that goes on
    /// from there is the end of what was made known, as far as that had to be kept.
    #[test]
    fn at_each_store_the_memory_is_whole() {
        let mut random = fastrand::Rng::with_seed(7);
        let file = shared_memory::create(memory_len(CAPACITY)).expect("memory");
        let mut ring = SharedRing::new(memory(&file), 1000).expect("room");
        let mut stream = vec![0; 1000];
        for _ in 0..400 {
            let size = [4096, 5000, 8192, 65_536, CAPACITY][random.usize(..5)];
            let most = [10, 4096, 9000][random.usize(..3)];
            let bytes: Vec<u8> = (0..random.usize(..most)).map(|_| random.u8(..)).collect();
            let (is_push, kept) = (random.usize(..5) > 0, random.usize(..=size));
            let least = match is_push {
                true => ring.len().min(ring.size().saturating_sub(bytes.len())),
                false if size > ring.size() => ring.len(),
                false => ring.len().min(kept),
            };
            let (copy, known) = (file.try_clone().expect("a copy"), stream.clone());
            at_each_step(move || {
                let found = SharedRing::adopt(memory(&copy), known.len() as u64);
                let found = found.expect("a ring");
                let (first, second) = found.slices();
                let bytes = [first, second].concat();
                assert!(known.ends_with(&bytes), "other bytes");
                assert!(bytes.len() >= least, "{} of {least}", bytes.len());
            });
            match is_push {
                true => ring.push(&bytes),
                false if size > ring.size() => assert!(ring.grow(size, 0)),
                false => ring.shrink(kept, size),
            }
            if is_push {
                stream.extend(&bytes);
            }
        }
        at_each_step(|| {});
        assert!(!ring.grow(10 * CAPACITY, 0));
    }

    #[test]
    fn foreign_memory_is_no_ring() {
        let file = shared_memory::create(memory_len(CAPACITY)).expect("memory");
        assert!(SharedRing::adopt(memory(&file), 0).is_none());
        drop(SharedRing::new(memory(&file), 5).expect("room"));
        assert_eq!(SharedRing::adopt(memory(&file), 5).map(|ring| ring.len()), Some(0));
        // Nobody knows what is behind the end.
        assert_eq!(SharedRing::adopt(memory(&file), 2).map(|ring| ring.len()), Some(0));
        let half = SharedMemory::map(&file, 0..UNIT * 3).expect("a mapping");
        assert!(SharedRing::adopt(half, 5).is_none());
        memory(&file).publish(SHAPE_AT, 1 << 40);
        assert!(SharedRing::adopt(memory(&file), 5).is_none());
        memory(&file).publish(SHAPE_AT, 0);
        memory(&file).publish(MAGIC_AT, MAGIC + 1);
        assert!(SharedRing::adopt(memory(&file), 5).is_none());
    }
}
