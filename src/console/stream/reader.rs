//! One reader of the console stream: how far it has read and how the stream is encoded for it.
//! What is the reader's own (greeting, telnet replies, a notice of lost bytes) waits in a small
//! staging area; the stream itself stays where it is for as long as it needs no encoding.

use std::ops::Range;

use minicbor::{Decode, Encode};

use super::buffer::StreamBuffer;
use crate::console::clock::{TimeFormatter, UnixTime};
use crate::console::messages;
use crate::console::snapshot::InvalidSnapshot;
use crate::limits::{LOG_JOB_MAX, STAGE_MAX};
use crate::telnet;

/// How the bytes of the stream look to one reader.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// 0xFF is doubled.
    pub telnet: bool,
    /// Lines start with the time they arrived, in this strftime format.
    pub stamp: Option<Vec<u8>>,
}

/// One reader's place in the stream.
#[derive(Debug)]
pub struct StreamReader {
    cursor: u64,
    encoding: Encoding,
    /// Whether the next byte of the stream begins a line for this reader.
    line_start: bool,
    /// Encoded bytes; those before `sent` are gone.
    staged: Vec<u8>,
    sent: usize,
    /// Where stamps stand in `staged`.
    stamps: Vec<Range<usize>>,
    /// The last stamp made: lines of one second share it.
    stamp: Option<(UnixTime, Vec<u8>)>,
    /// Bytes of the stream that this reader missed and has not been told of.
    missing: u64,
    /// Lines for this reader, a file, alone.
    private: Vec<u8>,
}

/// A reader's place as plain data. Where stamps are staged matters only in what a file is being
/// given, and no record is made meanwhile.
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
}

/// A piece of the stream on its way to a file. It knows what is lost if it does not arrive.
#[derive(Debug, Default)]
pub struct Chunk {
    /// What to write.
    pub bytes: Vec<u8>,
    /// Where in `bytes` stamps stand.
    stamps: Vec<Range<usize>>,
    /// Where the announcement of `announced` missing bytes stands, and of `notes`. Before it, the
    /// rest of an earlier one that was cut short.
    announcement: Range<usize>,
    announced: u64,
    private: Vec<u8>,
    line_start_before: bool,
}

impl Chunk {
    /// The bytes of the console that are missing when only the first `written` bytes arrived. An
    /// announcement that was begun counts as made: its rest will follow.
    fn lost(&self, written: usize) -> u64 {
        let from = written.max(self.announcement.end);
        let stamps: usize =
            self.stamps.iter().map(|stamp| stamp.end.max(from) - stamp.start.max(from)).sum();
        let announced = if written > self.announcement.start { 0 } else { self.announced };
        announced + (self.bytes.len() - from - stamps) as u64
    }

    /// What is left of the announcement that was cut short after `written` bytes.
    fn unfinished(&self, written: usize) -> &[u8] {
        let end = if written > self.announcement.start {
            self.announcement.end
        } else {
            self.announcement.start
        };
        self.bytes.get(written..end).unwrap_or_default()
    }
}

impl StreamReader {
    /// A reader of all that comes after `cursor`.
    pub fn new(cursor: u64, encoding: Encoding) -> StreamReader {
        StreamReader {
            cursor,
            encoding,
            line_start: true,
            staged: Vec::new(),
            sent: 0,
            stamps: Vec::new(),
            stamp: None,
            missing: 0,
            private: Vec::new(),
        }
    }

    /// The reader's place.
    pub fn snapshot(&self) -> ReaderSnapshot {
        ReaderSnapshot {
            cursor: self.cursor,
            line_start: self.line_start,
            staged: self.staged.get(self.sent..).unwrap_or_default().to_vec(),
            missing: self.missing,
            private: self.private.clone(),
        }
    }

    /// Goes on from a record. A reader may have been passed, but is not ahead.
    pub fn restore(
        record: ReaderSnapshot,
        encoding: Encoding,
        head: u64,
    ) -> Result<StreamReader, InvalidSnapshot> {
        let ReaderSnapshot { cursor, line_start, staged, missing, private: notes } = record;
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
            private: notes,
            ..StreamReader::new(cursor, encoding)
        })
    }

    /// The offset of the first byte of the stream that this reader still needs.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Adds bytes for this reader alone, as they stand.
    pub fn stage(&mut self, bytes: &[u8]) {
        // A client that keeps asking may never have read everything.
        self.staged.drain(..self.sent);
        self.sent = 0;
        self.staged.extend_from_slice(bytes);
    }

    /// How many bytes are staged and not yet written.
    pub fn staged(&self) -> usize {
        self.staged.len() - self.sent
    }

    /// The size of the staging area.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.staged.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self, history: &StreamBuffer) -> bool {
        self.staged() == 0
            && self.cursor == history.head()
            && self.missing == 0
            && self.private.is_empty()
    }

    /// The next bytes to write to a client, in order. Empty slices: nothing is left.
    pub fn pending<'a>(
        &'a mut self,
        history: &'a StreamBuffer,
        calendar: &dyn TimeFormatter,
    ) -> (&'a [u8], &'a [u8]) {
        self.skip_if_overrun(history);
        if self.staged() == 0 {
            if self.reads_direct(history) {
                return history.slices(self.cursor);
            }
            self.encode(history, calendar);
        }
        (self.staged.get(self.sent..).unwrap_or_default(), &[])
    }

    /// If the stream has passed this client: goes on where it can, and tells it. How much it missed.
    pub fn skip_if_overrun(&mut self, history: &StreamBuffer) -> Option<u64> {
        if self.staged() > 0 || self.cursor >= history.tail() {
            return None;
        }
        self.skip_to(history.resume_point());
        let skipped = std::mem::take(&mut self.missing);
        self.stage_lines(&messages::skipped(skipped));
        Some(skipped)
    }

    /// The first `count` bytes of [`pending`](Self::pending) have been written.
    pub fn advance(&mut self, history: &StreamBuffer, count: usize) {
        if self.staged() > 0 {
            self.sent += count;
            if self.staged() == 0 {
                // A reader that is served needs no memory of its own.
                self.staged = Vec::new();
                self.stamps = Vec::new();
                self.sent = 0;
            }
        } else if count > 0 {
            self.cursor += count as u64;
            self.line_start = history.slices(self.cursor - 1).0.first() == Some(&b'\n');
        }
    }

    /// Takes the next bytes to write to a file, after an announcement of what is missing before
    /// them. `None`: there is nothing.
    pub fn take(&mut self, history: &StreamBuffer, calendar: &dyn TimeFormatter) -> Option<Chunk> {
        if self.cursor < history.tail() {
            self.skip_to(history.resume_point());
        }
        if self.is_empty(history) {
            return None;
        }
        let mut chunk = Chunk {
            announced: self.missing,
            line_start_before: self.line_start,
            ..Chunk::default()
        };
        let start = self.staged.len();
        self.line_start |= start > 0;
        if self.missing > 0 {
            let missing = std::mem::take(&mut self.missing);
            self.stage_lines(&messages::missing(missing));
        }
        if !self.private.is_empty() {
            chunk.private = std::mem::take(&mut self.private);
            self.stage_lines(&chunk.private);
        }
        chunk.announcement = start..self.staged.len();
        if self.reads_direct(history) {
            let (first, second) = history.slices(self.cursor);
            for slice in [first, second] {
                let room = LOG_JOB_MAX.saturating_sub(self.staged.len());
                let part = slice.get(..room).unwrap_or(slice);
                self.staged.extend_from_slice(part);
                self.cursor += part.len() as u64;
            }
            self.line_start = self.staged.last() == Some(&b'\n');
        } else {
            self.encode(history, calendar);
        }
        chunk.bytes = std::mem::take(&mut self.staged);
        chunk.stamps = std::mem::take(&mut self.stamps);
        Some(chunk)
    }

    /// Of a chunk taken only the first `written` bytes arrived: accounts for the rest. The
    /// chunks taken after it have to follow, in order, with `written` zero.
    pub fn lost(&mut self, chunk: &Chunk, written: usize, first: bool) {
        self.missing += chunk.lost(written);
        if written <= chunk.announcement.start {
            self.private.splice(..0, chunk.private.iter().copied());
        }
        if first {
            self.staged = chunk.unfinished(written).to_vec();
            self.line_start = match written.checked_sub(1) {
                Some(last) => chunk.bytes.get(last) == Some(&b'\n'),
                None => chunk.line_start_before,
            };
        }
    }

    /// Gives up all of the stream that has not been taken; it counts as missing.
    pub fn discard_pending(&mut self, history: &StreamBuffer) {
        self.missing += history.head() - self.cursor;
        self.cursor = history.head();
    }

    /// Says a line to this reader, a file, alone. It comes before the next bytes of the stream, and
    /// is no part of what is missing when it is lost.
    pub fn append_private(&mut self, text: &[u8], wall: UnixTime, calendar: &dyn TimeFormatter) {
        if let Some(format) = &self.encoding.stamp {
            self.private.extend_from_slice(&calendar.format(wall, format));
        }
        self.private.extend_from_slice(text);
    }

    fn reads_direct(&self, history: &StreamBuffer) -> bool {
        self.encoding.stamp.is_none()
            && !(self.encoding.telnet && history.may_have_ff_from(self.cursor))
    }

    fn skip_to(&mut self, resume: u64) {
        self.missing += resume - self.cursor;
        self.cursor = resume;
    }

    /// Stages whole lines on lines of their own.
    fn stage_lines(&mut self, lines: &[u8]) {
        if !self.line_start {
            self.stage(b"\r\n");
        }
        self.stage(lines);
        self.line_start = true;
    }

    /// Fills the staging area from the stream.
    fn encode(&mut self, history: &StreamBuffer, calendar: &dyn TimeFormatter) {
        let (first, second) = history.slices(self.cursor);
        for slice in [first, second] {
            for line in slice.split_inclusive(|&byte| byte == b'\n') {
                let room = STAGE_MAX.saturating_sub(self.staged.len());
                if room == 0 {
                    return;
                }
                let part = line.get(..room).unwrap_or(line);
                if self.line_start {
                    self.put_stamp(history, calendar);
                }
                if self.encoding.telnet {
                    telnet::escape(part, &mut self.staged);
                } else {
                    self.staged.extend_from_slice(part);
                }
                self.cursor += part.len() as u64;
                self.line_start = part.last() == Some(&b'\n');
            }
        }
    }

    fn put_stamp(&mut self, history: &StreamBuffer, calendar: &dyn TimeFormatter) {
        let (Some(format), Some(arrived)) = (&self.encoding.stamp, history.arrived(self.cursor))
        else {
            return;
        };
        if self.stamp.as_ref().is_none_or(|(second, _)| *second != arrived) {
            let text = calendar.format(arrived, format);
            let mut encoded = Vec::with_capacity(text.len());
            if self.encoding.telnet {
                telnet::escape(&text, &mut encoded);
            } else {
                encoded = text;
            }
            self.stamp = Some((arrived, encoded));
        }
        if let Some((_, text)) = &self.stamp {
            let at = self.staged.len();
            self.staged.extend_from_slice(text);
            self.stamps.push(at..self.staged.len());
        }
    }
}
