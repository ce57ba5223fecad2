//! The stream as it should be.

use crate::console::sim::reached;
use crate::limits::{STREAM_BUFFER_EXTENDED, STREAM_BUFFER_MAX};

/// All bytes of the stream from the first on, with the second in which each came.
#[derive(Debug, Default)]
pub struct ExpectedStream {
    pub bytes: Vec<u8>,
    seconds: Vec<(usize, i64)>,
    /// How many of the last bytes a new reader gets (`--history`).
    replay_len: usize,
    /// True while more is held for a client that reads.
    extended: bool,
    /// A reader that has everything before this offset has not been passed.
    tail: usize,
}

impl ExpectedStream {
    pub fn new(replay_len: usize) -> ExpectedStream {
        ExpectedStream { replay_len, ..ExpectedStream::default() }
    }

    pub fn append(&mut self, bytes: &[u8], second: i64) {
        if !bytes.is_empty() {
            self.seconds.push((self.bytes.len(), second));
            self.bytes.extend_from_slice(bytes);
            self.drop_oldest();
        }
    }

    /// More is held, or no longer.
    pub fn extend(&mut self, extended: bool) {
        self.extended = extended;
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) {
        self.tail = self.tail.max(self.head().saturating_sub(self.capacity()));
    }

    pub fn head(&self) -> usize {
        self.bytes.len()
    }

    pub fn second(&self, at: usize) -> i64 {
        self.seconds[self.seconds.partition_point(|mark| mark.0 <= at) - 1].1
    }

    /// How many bytes are held at most: those that new readers get, and 1 MiB; 8 MiB for a client that
    /// reads.
    pub fn capacity(&self) -> usize {
        let most = if self.extended { STREAM_BUFFER_EXTENDED } else { STREAM_BUFFER_MAX };
        most + self.replay_len
    }

    /// Where a reader goes on that the stream has passed: at the first line start in the newer half of
    /// the held bytes, or in the middle of these if there is none.
    pub fn resume_point(&self) -> usize {
        let half = self.head() - (self.head() - self.tail) / 2;
        if self.bytes[half - 1] == b'\n' {
            reached("the middle of the history began a line");
        }
        (half..=self.head()).find(|&at| self.bytes[at - 1] == b'\n').unwrap_or(half)
    }

    /// Returns true if the stream has passed a reader that has everything up to `offset`.
    pub fn has_passed(&self, offset: usize) -> bool {
        offset < self.tail
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
