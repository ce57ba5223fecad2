//! A piece of the stream on its way to a file.

use std::ops::Range;

use super::subslice;

/// A piece of the stream on its way to a file. It knows what is lost if it is not written.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The bytes to write.
    pub bytes: Vec<u8>,
    /// Where `bytes` has stamps.
    pub(super) stamps: Vec<Range<usize>>,
    /// Where `bytes` announces `announced` missing bytes and has the lines of `private`. The bytes
    /// before it are the rest of an earlier announcement that was cut short, of `begun_before` bytes.
    pub(super) announcement: Range<usize>,
    pub(super) begun_before: u64,
    pub(super) announced: u64,
    pub(super) private: Vec<u8>,
    /// True if the chunk begins a line.
    pub(super) line_start_before: bool,
}

impl Chunk {
    /// The number of bytes of the stream that are missing if only the first `written` bytes were
    /// written. An announcement that was begun counts as made, because its rest will follow.
    pub(crate) fn lost(&self, written: usize) -> u64 {
        let from = written.max(self.announcement.end);
        let stamps: usize =
            self.stamps.iter().map(|stamp| stamp.end.max(from) - stamp.start.max(from)).sum();
        let announced = if written > self.announcement.start { 0 } else { self.announced };
        announced + (self.bytes.len() - from - stamps) as u64
    }

    /// The number of bytes of the stream that are missing if nothing is ever written after the first
    /// `written` bytes: an announcement that was begun then is none.
    pub(crate) fn lost_for_good(&self, written: usize) -> u64 {
        self.lost(written) + self.begun(written)
    }

    /// What is left of the chunk after its first `written` bytes.
    pub(crate) fn rest(mut self, written: usize) -> Chunk {
        let begun_before = self.begun(written);
        let Range { start, end } = self.announcement;
        self.announcement = match written > start {
            // What is left of the announcement is the rest of one that was cut short.
            true => end.saturating_sub(written)..end.saturating_sub(written),
            false => start - written..end - written,
        };
        if written > start {
            (self.announced, self.private) = (0, Vec::new());
        }
        for stamp in &mut self.stamps {
            *stamp = stamp.start.saturating_sub(written)..stamp.end.saturating_sub(written);
        }
        if let Some(last) = written.checked_sub(1) {
            self.line_start_before = self.bytes.get(last) == Some(&b'\n');
        }
        self.bytes.drain(..written.min(self.bytes.len()));
        Chunk { begun_before, ..self }
    }

    /// The number of bytes that the announcement names that was cut short after `written` bytes.
    pub(super) fn begun(&self, written: usize) -> u64 {
        let Range { start, end } = self.announcement;
        match written {
            _ if written < start => self.begun_before,
            _ if written > start && written < end => self.announced,
            _ => 0,
        }
    }

    /// The rest of the announcement that was cut short after `written` bytes.
    pub(crate) fn unfinished(&self, written: usize) -> &[u8] {
        let Range { start, end } = self.announcement;
        let end = if written > start { end } else { start };
        subslice(&self.bytes, written.min(end)..end)
    }
}
