//! A file that takes chunks of the stream and sometimes fails, as the log writer meets it.

use std::collections::VecDeque;

use super::random::Random;
use super::seen;
use super::stream::{Follower, Gap, Stream, gap, show};
use crate::console::event::Sink;
use crate::console::{Chunk, Console};
use crate::limits::{LOG_JOB_MAX, LOG_JOBS};

const WORDS: &str = " bytes are missing here\r\n";

/// A chunk under way.
#[derive(Debug)]
struct Job {
    chunk: Chunk,
    /// Length of the rest of an earlier announcement that it begins with.
    rest: usize,
    /// Length of the announcement and the notes that follow, and what is missing by it.
    announced: (usize, usize),
    notes: Vec<u8>,
}

/// What became of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    None,
    Failed,
    Works,
}

#[derive(Debug)]
pub struct Disk {
    sink: Sink,
    /// What reached the file.
    written: Follower,
    last: Option<u8>,
    /// What was taken from the console.
    taken: Follower,
    /// Missing and not announced.
    owed: usize,
    /// What is left of an announcement that was cut short.
    rest: Vec<u8>,
    /// Lines for this file alone.
    notes: Vec<u8>,
    jobs: VecDeque<Job>,
    /// The front job failed: the others come back.
    bouncing: bool,
    pub failing: bool,
}

impl Disk {
    pub fn new(sink: Sink, place: usize, stamp: Option<Vec<u8>>) -> Disk {
        let follower = Follower::new(place, false, stamp);
        Disk {
            sink,
            written: follower.clone(),
            last: None,
            taken: follower,
            owed: 0,
            rest: Vec::new(),
            notes: Vec::new(),
            jobs: VecDeque::new(),
            bouncing: false,
            failing: false,
        }
    }

    /// It is to hold this line.
    pub fn note(&mut self, line: &[u8], stamp: &[u8]) {
        self.notes.extend_from_slice(stamp);
        self.notes.extend_from_slice(line);
    }

    /// Whether a chunk is under way.
    pub fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// The stream up to here has been taken.
    pub fn taken(&self) -> usize {
        self.taken.place
    }

    /// Takes a chunk, if the writer would, and looks at it. Whether there was one.
    pub fn take(&mut self, console: &mut Console, stream: &Stream, give_up: bool) -> bool {
        let held_back = self.bouncing || self.failing && !self.jobs.is_empty();
        if held_back || self.jobs.len() >= LOG_JOBS {
            return false;
        }
        if self.failing && give_up {
            console.discard_pending(self.sink);
            self.lose_until(stream.head());
        }
        if stream.has_passed(self.taken.place) {
            seen("the stream passed a file");
            self.lose_until(stream.resume(stream.head()));
        }
        let Some(chunk) = console.take(self.sink) else {
            assert_eq!((self.taken.place, self.owed), (stream.head(), 0), "nothing to take");
            assert!(self.notes.is_empty(), "a note is lost");
            return false;
        };
        let bytes = &chunk.bytes;
        assert!((1..=LOG_JOB_MAX + 200).contains(&bytes.len()), "{} bytes", bytes.len());
        assert!(bytes.starts_with(&self.rest), "the rest of an announcement is lost");
        let rest = std::mem::take(&mut self.rest).len();
        self.taken.line_start |= rest > 0;
        let bytes = &bytes[rest..];
        let mut announced = (0, 0);
        if self.owed > 0 {
            let Gap::Of { len, missing } = gap(bytes, self.taken.line_start, WORDS) else {
                panic!("{} are missing, but: {}", self.owed, show(bytes));
            };
            assert_eq!(missing, self.owed, "bytes missing");
            seen("a file was told what is missing");
            announced = (len, missing);
            self.owed = 0;
            self.taken.line_start = true;
        }
        let notes = std::mem::take(&mut self.notes);
        if !notes.is_empty() {
            let before: &[u8] = if self.taken.line_start { b"" } else { b"\r\n" };
            let expected = [before, &notes].concat();
            assert!(bytes[announced.0..].starts_with(&expected), "no {}", show(&expected));
            seen("a file got a note");
            announced.0 += expected.len();
            self.taken.line_start = true;
        }
        self.taken.get(&bytes[announced.0..], stream);
        assert!(self.taken.is_between());
        self.jobs.push_back(Job { chunk, rest, announced, notes });
        true
    }

    /// One chunk is done, or comes back.
    pub fn step(
        &mut self,
        console: &mut Console,
        stream: &Stream,
        fails: Option<&mut Random>,
    ) -> News {
        let Some(job) = self.jobs.pop_front() else {
            return News::None;
        };
        let all = job.chunk.bytes.len();
        let mut news = News::None;
        if self.bouncing {
            seen("a chunk came back");
            console.lost(self.sink, &job.chunk, 0, false);
            self.notes.splice(..0, job.notes);
        } else if let Some(random) = fails {
            let count = random.length(all - 1);
            self.write(&job, count, stream);
            if !self.written.is_between() {
                seen("a file got half of a stamp");
            }
            self.written.cut(self.last);
            if count <= job.rest && !job.notes.is_empty() {
                seen("a note came back");
                self.notes.splice(..0, job.notes.iter().copied());
            }
            console.lost(self.sink, &job.chunk, count, true);
            self.bouncing = true;
            self.failing = true;
            news = News::Failed;
        } else {
            self.write(&job, all, stream);
            assert!(self.written.is_between());
            if std::mem::take(&mut self.failing) {
                news = News::Works;
            }
        }
        if self.bouncing && self.jobs.is_empty() {
            self.bouncing = false;
            self.owed = self.taken.place - self.written.place;
            self.taken.line_start = self.written.line_start;
        }
        news
    }

    /// Whether everything is in the file or announced in it.
    pub fn is_complete(&self, stream: &Stream) -> bool {
        let told = self.owed == 0 && self.notes.is_empty();
        self.jobs.is_empty() && told && self.written.is_complete(stream)
    }

    /// The first `count` bytes of a job arrive.
    fn write(&mut self, job: &Job, count: usize, stream: &Stream) {
        let bytes = &job.chunk.bytes[..count];
        let (len, missing) = job.announced;
        let end = job.rest + len;
        // An announcement that was begun will be finished.
        let begun = if count > job.rest { end } else { job.rest };
        self.rest = job.chunk.bytes[count.min(begun)..begun].to_vec();
        if !self.rest.is_empty() {
            seen("a file got half of an announcement");
        }
        self.written.line_start |= job.rest > 0;
        if count > job.rest && len > 0 {
            self.written.skip(missing);
        }
        self.written.get(bytes.get(end..).unwrap_or_default(), stream);
        self.last = bytes.last().copied().or(self.last);
    }

    fn lose_until(&mut self, place: usize) {
        self.owed += place - self.taken.place;
        self.taken.place = place;
    }
}
