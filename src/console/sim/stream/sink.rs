//! A file that takes chunks of the stream and sometimes fails.

use std::collections::VecDeque;

use super::buffer::ExpectedStream;
use super::reader::{Announcement, ReaderCheck, announcement, show};
use crate::console::event::{Event, Sink, Subsystem};
use crate::console::sim::reached;
use crate::console::sim::simulation::Simulation;
use crate::console::{Chunk, Console};
use crate::limits::{LOG_JOB_MAX, LOG_JOBS};
use crate::sim_support::Random;

const MISSING: &str = " bytes are missing here\r\n";

/// A chunk that is being written.
#[derive(Debug)]
struct PendingChunk {
    chunk: Chunk,
    /// The length of the rest of an earlier announcement that the chunk begins with.
    rest: usize,
    /// The length of the announcement and of the private lines after it, and the number of bytes that
    /// it says are missing.
    announced: (usize, usize),
    private: Vec<u8>,
}

/// The result of a write.
#[derive(Debug, PartialEq, Eq)]
pub enum WriteResult {
    Nothing,
    Failed,
    Recovered,
}

#[derive(Debug)]
pub struct SinkFile {
    sink: Sink,
    /// The check of the bytes in the file.
    written: ReaderCheck,
    last: Option<u8>,
    /// The check of the bytes that were taken from the console.
    taken: ReaderCheck,
    /// How many bytes are missing and not announced.
    missing: usize,
    /// The rest of an announcement that was cut short.
    unfinished: Vec<u8>,
    /// Lines for this file alone.
    private: Vec<u8>,
    chunks: VecDeque<PendingChunk>,
    /// True if a chunk failed, so that the chunks after it are given back.
    returning: bool,
    pub failing: bool,
}

impl SinkFile {
    pub fn new(sink: Sink, offset: usize, stamp: Option<Vec<u8>>) -> SinkFile {
        let check = ReaderCheck::new(offset, false, stamp);
        SinkFile {
            sink,
            written: check.clone(),
            last: None,
            taken: check,
            missing: 0,
            unfinished: Vec::new(),
            private: Vec::new(),
            chunks: VecDeque::new(),
            returning: false,
            failing: false,
        }
    }

    /// The file has to get this line.
    pub fn append_private(&mut self, line: &[u8], stamp: &[u8]) {
        self.private.extend_from_slice(stamp);
        self.private.extend_from_slice(line);
    }

    /// Returns true if a chunk is being written.
    pub fn is_busy(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// The offset up to which the stream has been taken.
    pub fn taken(&self) -> usize {
        self.taken.offset
    }

    /// Takes a chunk, if a writer would, and checks it. Returns true if there was one.
    pub fn take(&mut self, console: &mut Console, stream: &ExpectedStream, give_up: bool) -> bool {
        let held_back = self.returning || self.failing && !self.chunks.is_empty();
        if held_back || self.chunks.len() >= LOG_JOBS {
            return false;
        }
        if self.failing && give_up {
            console.discard_pending(self.sink);
            self.lose_until(stream.head());
        }
        if stream.has_passed(self.taken.offset) {
            reached("the stream passed a file");
            self.lose_until(stream.resume_point());
        }
        let Some(chunk) = console.take(self.sink) else {
            assert_eq!((self.taken.offset, self.missing), (stream.head(), 0), "nothing to take");
            assert!(self.private.is_empty(), "a private line is lost");
            return false;
        };
        let bytes = &chunk.bytes;
        assert!((1..=LOG_JOB_MAX + 200).contains(&bytes.len()), "{} bytes", bytes.len());
        assert!(bytes.starts_with(&self.unfinished), "the rest of an announcement is lost");
        let rest = std::mem::take(&mut self.unfinished).len();
        self.taken.line_start |= rest > 0;
        let bytes = &bytes[rest..];
        let mut announced = (0, 0);
        if self.missing > 0 {
            let Announcement::Of { len, missing } =
                announcement(bytes, self.taken.line_start, MISSING)
            else {
                panic!("{} are missing, but: {}", self.missing, show(bytes));
            };
            assert_eq!(missing, self.missing, "bytes missing");
            reached("a file was told what is missing");
            announced = (len, missing);
            self.missing = 0;
            self.taken.line_start = true;
        }
        let private = std::mem::take(&mut self.private);
        if !private.is_empty() {
            let before: &[u8] = if self.taken.line_start { b"" } else { b"\r\n" };
            let expected = [before, &private].concat();
            assert!(bytes[announced.0..].starts_with(&expected), "no {}", show(&expected));
            reached("a file got a private line");
            announced.0 += expected.len();
            self.taken.line_start = true;
        }
        self.taken.receive(&bytes[announced.0..], stream);
        assert!(self.taken.is_between());
        self.chunks.push_back(PendingChunk { chunk, rest, announced, private });
        true
    }

    /// One chunk is written, fails or is given back.
    pub fn write_chunk(
        &mut self,
        console: &mut Console,
        stream: &ExpectedStream,
        fails: Option<&mut Random>,
    ) -> WriteResult {
        let Some(pending) = self.chunks.pop_front() else {
            return WriteResult::Nothing;
        };
        let all = pending.chunk.bytes.len();
        let mut result = WriteResult::Nothing;
        if self.returning {
            reached("a chunk came back");
            console.lost(self.sink, &pending.chunk, 0, false);
            self.private.splice(..0, pending.private);
        } else if let Some(random) = fails {
            let count = random.length(all - 1);
            self.write(&pending, count, stream);
            if !self.written.is_between() {
                reached("a file got half of a stamp");
            }
            self.written.interrupted(self.last);
            if count <= pending.rest && !pending.private.is_empty() {
                reached("a private line came back");
                self.private.splice(..0, pending.private.iter().copied());
            }
            console.lost(self.sink, &pending.chunk, count, true);
            self.returning = true;
            self.failing = true;
            result = WriteResult::Failed;
        } else {
            self.write(&pending, all, stream);
            assert!(self.written.is_between());
            if std::mem::take(&mut self.failing) {
                result = WriteResult::Recovered;
            }
        }
        if self.returning && self.chunks.is_empty() {
            self.returning = false;
            self.missing = self.taken.offset - self.written.offset;
            self.taken.line_start = self.written.line_start;
        }
        result
    }

    /// Returns true if everything is in the file or announced in it.
    pub fn is_complete(&self, stream: &ExpectedStream) -> bool {
        let announced = self.missing == 0 && self.private.is_empty();
        self.chunks.is_empty() && announced && self.written.is_complete(stream)
    }

    /// The first `count` bytes of a chunk are written.
    fn write(&mut self, pending: &PendingChunk, count: usize, stream: &ExpectedStream) {
        let bytes = &pending.chunk.bytes[..count];
        let (len, missing) = pending.announced;
        let end = pending.rest + len;
        // An announcement that was begun will be finished.
        let begun = if count > pending.rest { end } else { pending.rest };
        self.unfinished = pending.chunk.bytes[count.min(begun)..begun].to_vec();
        if !self.unfinished.is_empty() {
            reached("a file got half of an announcement");
        }
        self.written.line_start |= pending.rest > 0;
        if count > pending.rest && len > 0 {
            self.written.skip(missing);
        }
        self.written.receive(bytes.get(end..).unwrap_or_default(), stream);
        self.last = bytes.last().copied().or(self.last);
    }

    fn lose_until(&mut self, offset: usize) {
        self.missing += offset - self.taken.offset;
        self.taken.offset = offset;
    }
}

impl Simulation {
    pub fn log_opened(&mut self) {
        self.handle(Event::LogOpened);
        self.oracle.log_opened(self.log.is_none());
        if !self.oracle.exiting && self.log.is_none() {
            self.log =
                Some(SinkFile::new(Sink::Log, self.oracle.stream.head(), self.stamp.clone()));
        }
    }

    pub fn sink_works(&mut self) {
        let is_log = self.random.one_in(2);
        for _ in 0..=self.random.below(3) {
            let give_up = self.random.one_in(2);
            self.sink_takes(is_log, give_up);
        }
        for _ in 0..self.random.below(4) {
            self.sink_writes(is_log, true);
        }
    }

    pub fn sink_takes(&mut self, is_log: bool, give_up: bool) -> bool {
        let file = if is_log { &mut self.log } else { &mut self.stdout };
        file.as_mut().is_some_and(|file| file.take(&mut self.console, &self.oracle.stream, give_up))
    }

    /// Returns true if the file has everything afterwards.
    pub fn sink_writes(&mut self, is_log: bool, may_fail: bool) -> bool {
        let file = if is_log { &mut self.log } else { &mut self.stdout };
        let Some(file) = file else {
            return true;
        };
        let fails = may_fail && self.random.one_in(if file.failing { 2 } else { 12 });
        let fails = fails.then_some(&mut self.random);
        let result = file.write_chunk(&mut self.console, &self.oracle.stream, fails);
        let complete = file.is_complete(&self.oracle.stream);
        self.trace(|_| format!("sink (log: {is_log}): {result:?}"));
        self.upgrade();
        if is_log {
            self.log_written(&result);
        }
        complete && result == WriteResult::Nothing
    }

    fn log_written(&mut self, result: &WriteResult) {
        match result {
            WriteResult::Nothing => {}
            WriteResult::Failed if self.oracle.exiting => {}
            WriteResult::Failed => {
                self.handle(Event::Failed(Subsystem::Log, "No space left on device"));
                self.oracle.log_failed("No space left on device", self.now());
            }
            WriteResult::Recovered => self.log_opened(),
        }
    }
}
