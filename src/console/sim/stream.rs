//! The stream as it should be, and the check of one reader against it.

use std::collections::VecDeque;

use super::seen;
use crate::console::clock::{TimeFormatter, UnixTime};
use crate::limits::STREAM_BUFFER_MAX;

const IAC: u8 = 0xFF;

/// All that the console ever said, with the second of every byte.
#[derive(Debug, Default)]
pub struct Stream {
    pub bytes: Vec<u8>,
    seconds: Vec<(usize, i64)>,
    /// How many of the last bytes a new reader gets (`--history`).
    replayed: usize,
}

impl Stream {
    pub fn new(replayed: usize) -> Stream {
        Stream { replayed, ..Stream::default() }
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

    /// How much is held at most: what new readers get, and 1 MiB.
    pub fn held(&self) -> usize {
        STREAM_BUFFER_MAX + self.replayed
    }

    /// Where a reader goes on that fell too far behind when the stream ended at `head`: at the
    /// first line start of the newer half of what is held, or with any byte if there is none.
    pub fn resume(&self, head: usize) -> usize {
        let half = head - self.held() / 2;
        (half..=head).find(|&at| self.bytes[at - 1] == b'\n').unwrap_or(half)
    }

    /// Whether a reader that has everything up to `place` has lost its place.
    pub fn has_passed(&self, place: usize) -> bool {
        self.head() - place > self.held()
    }

    /// Where a new reader begins: with the first line that starts in the last bytes, or with the
    /// first of these.
    pub fn replay(&self) -> usize {
        let first = self.head().saturating_sub(self.replayed);
        if first == 0 || first == self.head() {
            return first;
        }
        let start = (first..self.head()).find(|&at| self.bytes[at - 1] == b'\n');
        match start {
            Some(start) if start > first => seen("a client got whole lines of the past"),
            Some(_) => seen("a line began where the past does"),
            None => seen("a client got a part of a line of the past"),
        }
        start.unwrap_or(first)
    }
}

/// Shows a time as the format with the seconds for each `#`.
#[derive(Debug)]
pub struct Clockwork;

impl TimeFormatter for Clockwork {
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8> {
        let digits = time.0.to_string().into_bytes();
        let parts: Vec<&[u8]> = format.split(|&byte| byte == b'#').collect();
        parts.join(&digits[..])
    }
}

/// Follows one reader: whatever it gets has to be the stream, encoded.
#[derive(Debug, Clone)]
pub struct Follower {
    pub place: usize,
    pub line_start: bool,
    telnet: bool,
    stamp: Option<Vec<u8>>,
    /// What is left of a stamp, or of a doubled 0xFF.
    due: Vec<u8>,
    /// The telnet answers that it has to get, whenever.
    pub answers: VecDeque<[u8; 3]>,
    /// Too little to know what it is: the beginning of an IAC sequence.
    started: Vec<u8>,
}

impl Follower {
    pub fn new(place: usize, telnet: bool, stamp: Option<Vec<u8>>) -> Follower {
        Follower {
            place,
            line_start: true,
            telnet,
            stamp,
            due: Vec::new(),
            answers: VecDeque::new(),
            started: Vec::new(),
        }
    }

    /// Whether it has all there is, and nothing in half.
    pub fn is_complete(&self, stream: &Stream) -> bool {
        self.place == stream.head()
            && self.due.is_empty()
            && self.answers.is_empty()
            && self.started.is_empty()
    }

    /// Whether it is between two bytes of the stream.
    pub fn is_between(&self) -> bool {
        self.due.is_empty() && self.started.is_empty()
    }

    /// It was told that the next `count` bytes are missing.
    pub fn skip(&mut self, count: usize) {
        self.place += count;
        self.line_start = true;
    }

    /// Writing to it stopped after a byte that is `last`.
    pub fn cut(&mut self, last: Option<u8>) {
        self.due.clear();
        self.line_start = last.is_none_or(|byte| byte == b'\n');
    }

    /// It gets these bytes.
    pub fn get(&mut self, bytes: &[u8], stream: &Stream) {
        let joined = [&*std::mem::take(&mut self.started), bytes].concat();
        let mut rest = if self.telnet { &*joined } else { bytes };
        while !rest.is_empty() {
            let count = if !self.due.is_empty() {
                self.get_due(rest)
            } else if self.telnet && rest[0] == IAC {
                match rest {
                    [IAC, IAC, ..] => {
                        self.stamp_line(stream);
                        if self.due.is_empty() { self.get_iac(stream) } else { 0 }
                    }
                    [IAC, verb, option, ..] => {
                        assert_eq!(self.answers.pop_front(), Some([IAC, *verb, *option]));
                        3
                    }
                    _ => {
                        self.started = rest.to_vec();
                        return;
                    }
                }
            } else {
                self.stamp_line(stream);
                if self.due.is_empty() { self.get_plain(rest, stream) } else { 0 }
            };
            rest = &rest[count..];
        }
    }

    fn get_due(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.due.len());
        assert_eq!(show(&bytes[..count]), show(&self.due[..count]), "stamp at {}", self.place);
        self.due.drain(..count);
        count
    }

    fn get_iac(&mut self, stream: &Stream) -> usize {
        assert_eq!(stream.bytes.get(self.place), Some(&IAC), "doubled 0xFF at {}", self.place);
        self.place += 1;
        self.line_start = false;
        2
    }

    /// Up to the next byte that is special to this reader.
    fn get_plain(&mut self, bytes: &[u8], stream: &Stream) -> usize {
        let mut run = bytes;
        if self.stamp.is_some() {
            run = run.split_inclusive(|&byte| byte == b'\n').next().unwrap_or(run);
        }
        if self.telnet {
            run = run.split(|&byte| byte == IAC).next().unwrap_or(run);
        }
        let end = (self.place + run.len()).min(stream.head());
        let expected = &stream.bytes[self.place..end];
        if run != expected {
            let same = run.iter().zip(expected).take_while(|(a, b)| a == b).count();
            panic!(
                "at {} of {}: got {}, not {}",
                self.place + same,
                stream.head(),
                show(&run[same..]),
                show(&expected[same..])
            );
        }
        self.place = end;
        self.line_start = run.ends_with(b"\n");
        run.len()
    }

    fn stamp_line(&mut self, stream: &Stream) {
        let Some(format) = &self.stamp else {
            return;
        };
        if self.line_start {
            assert!(self.place < stream.head(), "more than the stream");
            self.due = Clockwork.format(UnixTime(stream.second(self.place)), format);
            if self.telnet {
                self.due = double(&self.due);
            }
            self.line_start = false;
        }
    }
}

pub fn double(bytes: &[u8]) -> Vec<u8> {
    let twice = |&byte: &u8| if byte == IAC { vec![IAC, IAC] } else { vec![byte] };
    bytes.iter().flat_map(twice).collect()
}

/// The beginning, readable.
pub fn show(bytes: &[u8]) -> String {
    format!(
        "{:?} ({} bytes)",
        bytes[..bytes.len().min(100)].escape_ascii().to_string(),
        bytes.len()
    )
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Gap {
    None,
    /// Too little to know.
    Perhaps,
    /// An announcement of this length, of so many missing bytes.
    Of {
        len: usize,
        missing: usize,
    },
}

/// Looks for an announcement, on a line of its own.
pub fn gap(bytes: &[u8], line_start: bool, words: &str) -> Gap {
    let before: &[u8] = if line_start { b"@@@ " } else { b"\r\n@@@ " };
    let Some(rest) = bytes.strip_prefix(before) else {
        return if before.starts_with(bytes) { Gap::Perhaps } else { Gap::None };
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let after = &rest[digits..];
    if after.starts_with(words.as_bytes()) && digits > 0 {
        let missing = std::str::from_utf8(&rest[..digits]).unwrap().parse().unwrap();
        Gap::Of { len: before.len() + digits + words.len(), missing }
    } else if words.as_bytes().starts_with(after) && (digits > 0 || after.is_empty()) {
        Gap::Perhaps
    } else {
        Gap::None
    }
}
