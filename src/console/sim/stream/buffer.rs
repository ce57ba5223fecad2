//! The stream as it should be.

use crate::console::sim::reached;
use crate::limits::STREAM_BUFFER_MAX;

/// All bytes of the stream from the first on, with the second in which each came.
#[derive(Debug, Default)]
pub struct ExpectedStream {
    pub bytes: Vec<u8>,
    seconds: Vec<(usize, i64)>,
    /// How many of the last bytes a new reader gets (`--history`).
    replay_len: usize,
}

impl ExpectedStream {
    pub fn new(replay_len: usize) -> ExpectedStream {
        ExpectedStream { replay_len, ..ExpectedStream::default() }
    }

    pub fn append(&mut self, bytes: &[u8], second: i64) {
        if !bytes.is_empty() {
            self.seconds.push((self.bytes.len(), second));
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub fn head(&self) -> usize {
        self.bytes.len()
    }

    pub fn second(&self, at: usize) -> i64 {
        self.seconds[self.seconds.partition_point(|mark| mark.0 <= at) - 1].1
    }

    /// How many bytes are held at most: those that new readers get, and 1 MiB.
    pub fn capacity(&self) -> usize {
        STREAM_BUFFER_MAX + self.replay_len
    }

    /// Where a reader goes on that the stream had passed when it ended at `head`: at the first line
    /// start in the newer half of the held bytes, or in the middle of these if there is none.
    pub fn resume_point(&self, head: usize) -> usize {
        let half = head - self.capacity() / 2;
        (half..=head).find(|&at| self.bytes[at - 1] == b'\n').unwrap_or(half)
    }

    /// Returns true if the stream has passed a reader that has everything up to `offset`.
    pub fn has_passed(&self, offset: usize) -> bool {
        self.head() - offset > self.capacity()
    }

    /// Where a new reader begins: with the first line that starts in the replayed bytes, or with the
    /// first of these.
    pub fn replay_point(&self) -> usize {
        let first = self.head().saturating_sub(self.replay_len);
        if first == 0 || first == self.head() {
            return first;
        }
        let start = (first..self.head()).find(|&at| self.bytes[at - 1] == b'\n');
        match start {
            Some(start) if start > first => reached("a client got whole lines of the past"),
            Some(_) => reached("a line began where the past does"),
            None => reached("a client got a part of a line of the past"),
        }
        start.unwrap_or(first)
    }
}
