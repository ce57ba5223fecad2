//! One reader of the console stream: how far it has read, and what it misses.
//!
//! Bytes for this reader alone (a greeting, telnet replies, an announcement of lost bytes) and
//! encoded bytes wait in a small staging area. Bytes of the stream that need no encoding are not
//! copied.

use std::collections::VecDeque;
use std::ops::Range;

use minicbor::{Decode, Encode};

use super::buffer::StreamBuffer;
use super::chunk::Chunk;
use super::encode::Encoding;
use super::subslice;
use crate::console::clock::{TimeFormatter, UnixTime};
use crate::console::error::InvalidSnapshot;
use crate::console::messages;
use crate::limits::LOG_JOB_MAX;
use crate::reply_filter::PlainText;

/// One reader's place in the stream.
#[derive(Debug)]
pub struct StreamReader {
    pub(super) cursor: u64,
    pub(super) encoding: Encoding,
    /// True if the next byte of the stream begins a line for this reader.
    pub(super) line_start: bool,
    /// Encoded bytes, of which the first `sent` have been written.
    pub(super) staged: Vec<u8>,
    sent: usize,
    /// Where `staged` has stamps.
    pub(super) stamps: Vec<Range<usize>>,
    /// What an encoding that is plain leaves out.
    pub(super) plain_text: PlainText,
    /// The offsets where the server's own messages begin, which no unfinished sequence may swallow.
    pub(super) messages: VecDeque<u64>,
    /// The last stamp and its time, for the next line that arrived in the same second.
    pub(super) last_stamp: Option<(UnixTime, Vec<u8>)>,
    /// How many bytes of the stream this reader missed and has not been told of.
    missing: u64,
    /// If `staged` has the rest of an announcement that was cut short: how many bytes of the stream it
    /// names.
    begun: u64,
    /// Lines for this reader, a file, alone.
    private: Vec<u8>,
    /// How many bytes of `private` are back from chunks that were lost since the last failure.
    restored: usize,
    /// The offset where the reader began.
    begin: u64,
    /// How many bytes of the stream this reader missed and has been told of.
    told: u64,
    /// How many bytes it had missed in all when it worked last.
    settled: u64,
}

/// A reader as plain data. The places of stamps matter only while a chunk is on its way to a file,
/// and no snapshot is made meanwhile.
#[derive(Debug, Default, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReaderSnapshot {
    #[n(0)]
    cursor: u64,
    #[cbor(n(1), default)]
    line_start: bool,
    #[cbor(n(2), default, with = "minicbor::bytes")]
    staged: Vec<u8>,
    #[cbor(n(3), default)]
    missing: u64,
    #[cbor(n(4), default, with = "minicbor::bytes")]
    private: Vec<u8>,
    #[cbor(n(5), default)]
    begin: u64,
    #[cbor(n(6), default)]
    told: u64,
    #[cbor(n(7), default)]
    settled: u64,
    #[cbor(n(8), default)]
    plain_text: PlainText,
}

impl ReaderSnapshot {
    /// Moves on to a [`place`](StreamReader::place).
    pub fn move_to(&mut self, cursor: u64, line_start: bool) {
        (self.cursor, self.line_start, self.missing) = (cursor, line_start, 0);
        self.staged.clear();
        self.private.clear();
    }

    /// The offset of the first byte of the stream that the reader still needs.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Takes note that the reader lacks so many bytes more before its place.
    pub fn lack(&mut self, count: u64) {
        self.missing += count;
    }
}

impl StreamReader {
    /// A reader of every byte from the offset `cursor` on.
    pub fn new(cursor: u64, encoding: Encoding) -> StreamReader {
        StreamReader {
            cursor,
            encoding,
            line_start: true,
            staged: Vec::new(),
            sent: 0,
            stamps: Vec::new(),
            plain_text: PlainText::default(),
            messages: VecDeque::new(),
            last_stamp: None,
            missing: 0,
            begun: 0,
            private: Vec::new(),
            restored: 0,
            begin: cursor,
            told: 0,
            settled: 0,
        }
    }

    /// The reader as plain data.
    pub fn snapshot(&self) -> ReaderSnapshot {
        ReaderSnapshot {
            cursor: self.cursor,
            line_start: self.line_start,
            staged: subslice(&self.staged, self.sent..).to_vec(),
            missing: self.missing,
            private: self.private.clone(),
            plain_text: self.plain_text.clone(),
            begin: self.begin,
            told: self.told,
            settled: self.settled,
        }
    }

    /// The offset up to which the reader has the stream, and true if the next byte begins a line for it;
    /// `None` if there is more to know of it.
    pub fn place(&self) -> Option<(u64, bool)> {
        let is_simple = self.staged() == 0
            && self.missing == 0
            && self.private.is_empty()
            && !self.encoding.plain;
        is_simple.then_some((self.cursor, self.line_start))
    }

    /// Goes on from a snapshot. The stream may have passed the reader, but the reader is not ahead.
    ///
    /// # Errors
    ///
    /// If the reader is one that no console can have had.
    pub fn restore(
        snapshot: ReaderSnapshot,
        encoding: Encoding,
        head: u64,
    ) -> Result<StreamReader, InvalidSnapshot> {
        let ReaderSnapshot {
            cursor,
            line_start,
            staged,
            missing,
            private,
            begin,
            told,
            settled,
            plain_text,
        } = snapshot;
        if cursor > head {
            return Err(InvalidSnapshot("a reader is ahead of the stream"));
        }
        if missing > cursor {
            return Err(InvalidSnapshot("a reader misses more than there was"));
        }
        Ok(StreamReader {
            line_start,
            staged,
            missing,
            private,
            plain_text,
            begin,
            told,
            settled,
            ..StreamReader::new(cursor, encoding)
        })
    }

    /// The offset of the first byte of the stream that this reader still needs.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Adds bytes for this reader alone, as they stand.
    pub fn stage(&mut self, bytes: &[u8]) {
        // A client that keeps sending requests may never have read everything.
        self.staged.drain(..self.sent);
        self.sent = 0;
        self.staged.extend_from_slice(bytes);
    }

    /// Returns how many staged bytes have not been written.
    pub fn staged(&self) -> usize {
        self.staged.len() - self.sent
    }

    /// The size of the staging area.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.staged.len()
    }

    /// Returns true if there is nothing to write.
    pub fn is_empty(&self, stream: &StreamBuffer) -> bool {
        self.staged() == 0
            && self.cursor == stream.head()
            && self.missing == 0
            && self.private.is_empty()
    }

    /// The next bytes to write to a client, in order; empty if there are none.
    pub fn pending<'a>(
        &'a mut self,
        stream: &'a StreamBuffer,
        formatter: &dyn TimeFormatter,
    ) -> (&'a [u8], &'a [u8]) {
        self.skip_if_overrun(stream);
        if self.staged() == 0 {
            if self.reads_direct(stream) {
                return stream.slices(self.cursor);
            }
            self.encode(stream, formatter);
        }
        (subslice(&self.staged, self.sent..), &[])
    }

    /// If the stream has passed this client, goes on where the stream still is, and announces to the
    /// client the number of bytes that it missed, which is returned.
    pub fn skip_if_overrun(&mut self, stream: &StreamBuffer) -> Option<u64> {
        if self.staged() > 0 || self.cursor >= stream.tail() {
            return None;
        }
        self.skip_to(stream.resume_point());
        let skipped = std::mem::take(&mut self.missing);
        self.stage_lines(&messages::skipped(skipped));
        Some(skipped)
    }

    /// Takes note that the first `count` bytes of [`pending`](Self::pending) have been written.
    pub fn advance(&mut self, stream: &StreamBuffer, count: usize) {
        if self.staged() > 0 {
            self.sent += count;
            if self.staged() == 0 {
                // A reader that has been sent everything needs no memory of its own.
                self.staged = Vec::new();
                self.stamps = Vec::new();
                self.sent = 0;
            }
        } else if count > 0 {
            self.cursor += count as u64;
            self.line_start = stream.slices(self.cursor - 1).0.first() == Some(&b'\n');
        }
    }

    /// Returns true if the next bytes to write to a file are lines of its own. If the stream has passed
    /// this reader, goes on where the stream still is.
    pub fn begins_with_own_lines(&mut self, stream: &StreamBuffer) -> bool {
        if self.cursor < stream.tail() {
            self.skip_to(stream.resume_point());
        }
        self.missing > 0 || !self.private.is_empty()
    }

    /// Takes the next bytes to write to a file, after an announcement of the bytes that are missing
    /// before them; `None` if there are none.
    pub fn take(&mut self, stream: &StreamBuffer, formatter: &dyn TimeFormatter) -> Option<Chunk> {
        if self.cursor < stream.tail() {
            self.skip_to(stream.resume_point());
        }
        if self.is_empty(stream) {
            return None;
        }
        let mut chunk = Chunk {
            announced: self.missing,
            begun_before: std::mem::take(&mut self.begun),
            line_start_before: self.line_start,
            ..Chunk::default()
        };
        let start = self.staged.len();
        self.line_start |= start > 0;
        if self.missing > 0 {
            let missing = std::mem::take(&mut self.missing);
            self.told = self.told.saturating_add(missing);
            self.stage_lines(&messages::missing(missing));
        }
        if !self.private.is_empty() {
            chunk.private = std::mem::take(&mut self.private);
            self.stage_lines(&chunk.private);
        }
        chunk.announcement = start..self.staged.len();
        if self.reads_direct(stream) {
            let (first, second) = stream.slices(self.cursor);
            for slice in [first, second] {
                let room = LOG_JOB_MAX.saturating_sub(self.staged.len());
                let part = slice.get(..room).unwrap_or(slice);
                self.staged.extend_from_slice(part);
                self.cursor += part.len() as u64;
            }
            self.line_start = self.staged.last() == Some(&b'\n');
        } else {
            self.encode(stream, formatter);
        }
        chunk.bytes = std::mem::take(&mut self.staged);
        chunk.stamps = std::mem::take(&mut self.stamps);
        // All of it may be the beginning of a sequence.
        (!chunk.bytes.is_empty()).then_some(chunk)
    }

    /// Takes note that only the first `written` bytes of a chunk were written. The caller then has
    /// to hand in the chunks that were taken after it, in order, with `written` zero and `first`
    /// false.
    pub fn lost(&mut self, chunk: &Chunk, written: usize, first: bool) {
        self.missing += chunk.lost(written);
        if first {
            self.restored = 0;
        }
        if written <= chunk.announcement.start {
            self.told = self.told.saturating_sub(chunk.announced);
            // Behind the lines of the chunks before.
            let at = self.restored.min(self.private.len());
            self.private.splice(at..at, chunk.private.iter().copied());
            self.restored = at + chunk.private.len();
        }
        if first {
            self.staged = chunk.unfinished(written).to_vec();
            self.begun = chunk.begun(written);
            self.line_start = match written.checked_sub(1) {
                Some(last) => chunk.bytes.get(last) == Some(&b'\n'),
                None => chunk.line_start_before,
            };
        }
    }

    /// The number of bytes of the stream that are missing without a whole announcement, or have not been
    /// taken.
    pub fn unwritten(&self, stream: &StreamBuffer) -> u64 {
        self.begun + self.missing + stream.head() - self.cursor
    }

    /// Returns how many bytes of the stream this reader lacks.
    pub fn lost_total(&self) -> u64 {
        self.told.saturating_add(self.missing)
    }

    /// Returns how many bytes of the stream this reader has been given and does not lack.
    pub fn taken_total(&self) -> u64 {
        self.cursor.saturating_sub(self.begin).saturating_sub(self.lost_total())
    }

    /// Returns how many bytes of the stream this reader lacks since [`settle`](Self::settle).
    pub fn lost_since_settled(&self) -> u64 {
        self.lost_total().saturating_sub(self.settled)
    }

    /// Takes note that the reader works.
    pub fn settle(&mut self) {
        self.settled = self.lost_total();
    }

    /// Counts the part of the stream that has not been taken as missing.
    pub fn discard_pending(&mut self, stream: &StreamBuffer) {
        self.missing += stream.head() - self.cursor;
        self.cursor = stream.head();
    }

    /// Says a line to this reader, a file, alone. The line comes before the next bytes of the stream,
    /// and does not count as missing if it is not written.
    pub fn append_private(&mut self, text: &[u8], wall: UnixTime, formatter: &dyn TimeFormatter) {
        if let Some(format) = &self.encoding.stamp {
            self.private.extend_from_slice(&formatter.format(wall, format));
        }
        self.private.extend_from_slice(&self.own(text));
    }

    /// Counts the bytes up to the offset `resume` as missing.
    fn skip_to(&mut self, resume: u64) {
        self.missing += resume - self.cursor;
        self.cursor = resume;
    }

    /// Stages whole lines on lines of their own.
    fn stage_lines(&mut self, lines: &[u8]) {
        if !self.line_start {
            self.stage(&self.own(b"\r\n"));
        }
        self.stage(&self.own(lines));
        self.line_start = true;
    }
}
