//! Where the bytes of the stream lie. The stream knows of it only what [`Ring`] says, so that the bytes
//! can be in memory that outlives the server.

use std::collections::VecDeque;
use std::fmt;

/// The number of the layout of a ring that another program can go on with: a program knows only this one.
pub const LAYOUT: u64 = u64::from_le_bytes(*b"pS ring1");

/// Room for the last bytes of a stream, oldest first.
pub trait Ring: fmt::Debug {
    /// Returns how many bytes there is room for.
    fn size(&self) -> usize;

    /// Returns how many bytes are held.
    fn len(&self) -> usize;

    /// The bytes that are held, as two slices.
    fn slices(&self) -> (&[u8], &[u8]);

    /// Makes room for `size` bytes. `headroom` is what has to remain of the memory for others. Returns
    /// false if there is not so much memory; then nothing has changed.
    fn grow(&mut self, size: usize, headroom: usize) -> bool;

    /// Keeps the last `kept` bytes, and gives back the memory that a ring of `size` bytes does not need.
    fn shrink(&mut self, kept: usize, size: usize);

    /// Puts bytes at the end, over the oldest if there is no room. If they are more than there is room
    /// for, the last of them are kept.
    fn push(&mut self, bytes: &[u8]);
}

/// A ring in the memory of the process. It grows in place, because a copy beside it would take as much
/// memory again.
#[derive(Debug)]
pub struct HeapRing {
    /// The capacity of the queue is never less than `size`.
    bytes: VecDeque<u8>,
    size: usize,
    /// There is no memory for a larger ring.
    #[cfg(test)]
    allocatable: std::rc::Rc<std::cell::Cell<usize>>,
}

impl HeapRing {
    /// A ring without room.
    pub fn new() -> HeapRing {
        HeapRing {
            bytes: VecDeque::new(),
            size: 0,
            #[cfg(test)]
            allocatable: std::rc::Rc::new(usize::MAX.into()),
        }
    }

    /// A ring without room, for which there is only so much memory.
    #[cfg(test)]
    pub fn limited(allocatable: &std::rc::Rc<std::cell::Cell<usize>>) -> HeapRing {
        HeapRing { allocatable: std::rc::Rc::clone(allocatable), ..HeapRing::new() }
    }
}

impl Ring for HeapRing {
    fn size(&self) -> usize {
        self.size
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn slices(&self) -> (&[u8], &[u8]) {
        self.bytes.as_slices()
    }

    fn grow(&mut self, size: usize, headroom: usize) -> bool {
        #[cfg(test)]
        if size > self.allocatable.get() {
            return false;
        }
        let additional = size + headroom - self.bytes.len();
        if self.bytes.try_reserve_exact(additional).is_err() {
            return false;
        }
        self.bytes.shrink_to(size);
        self.size = size;
        true
    }

    fn shrink(&mut self, kept: usize, size: usize) {
        self.bytes.drain(..self.bytes.len().saturating_sub(kept));
        self.size = size;
        self.bytes.shrink_to(size);
    }

    fn push(&mut self, bytes: &[u8]) {
        let kept = super::subslice(bytes, bytes.len().saturating_sub(self.size)..);
        let excess = (self.bytes.len() + kept.len()).saturating_sub(self.size);
        self.bytes.drain(..excess);
        self.bytes.extend(kept);
    }
}
