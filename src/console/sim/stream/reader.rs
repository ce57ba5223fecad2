//! The check of one reader against the stream as it should be.

use std::collections::VecDeque;

use super::buffer::ExpectedStream;
use crate::console::clock::{TimeFormatter, UnixTime};
use crate::console::sim::settings::SecondsFormatter;

const IAC: u8 = 0xFF;

/// Checks that the bytes that one reader gets are the encoded stream.
#[derive(Debug, Clone)]
pub struct ReaderCheck {
    /// The reader has everything before this offset.
    pub offset: usize,
    pub line_start: bool,
    telnet: bool,
    stamp: Option<Vec<u8>>,
    /// The rest of a stamp.
    stamp_rest: Vec<u8>,
    /// The telnet replies that the reader has to get, in this order, between any two bytes.
    pub replies: VecDeque<[u8; 3]>,
    /// The beginning of an IAC sequence.
    partial: Vec<u8>,
}

impl ReaderCheck {
    pub fn new(offset: usize, telnet: bool, stamp: Option<Vec<u8>>) -> ReaderCheck {
        ReaderCheck {
            offset,
            line_start: true,
            telnet,
            stamp,
            stamp_rest: Vec::new(),
            replies: VecDeque::new(),
            partial: Vec::new(),
        }
    }

    /// Returns true if the reader has everything.
    pub fn is_complete(&self, stream: &ExpectedStream) -> bool {
        self.offset == stream.head()
            && self.stamp_rest.is_empty()
            && self.replies.is_empty()
            && self.partial.is_empty()
    }

    /// Returns true if the reader is between two bytes of the stream.
    pub fn is_between(&self) -> bool {
        self.stamp_rest.is_empty() && self.partial.is_empty()
    }

    /// The next `count` bytes were announced as missing.
    pub fn skip(&mut self, count: usize) {
        self.offset += count;
        self.line_start = true;
    }

    /// Writing to the reader stopped after the byte `last`.
    pub fn interrupted(&mut self, last: Option<u8>) {
        self.stamp_rest.clear();
        self.line_start = last.is_none_or(|byte| byte == b'\n');
    }

    /// The reader gets these bytes.
    pub fn receive(&mut self, bytes: &[u8], stream: &ExpectedStream) {
        let joined = [&*std::mem::take(&mut self.partial), bytes].concat();
        let mut rest = if self.telnet { &*joined } else { bytes };
        while !rest.is_empty() {
            let count = if !self.stamp_rest.is_empty() {
                self.receive_stamp(rest)
            } else if self.telnet && rest[0] == IAC {
                match rest {
                    [IAC, IAC, ..] => {
                        self.stamp_line(stream);
                        if self.stamp_rest.is_empty() { self.receive_iac(stream) } else { 0 }
                    }
                    [IAC, verb, option, ..] => {
                        assert_eq!(self.replies.pop_front(), Some([IAC, *verb, *option]));
                        3
                    }
                    _ => {
                        self.partial = rest.to_vec();
                        return;
                    }
                }
            } else {
                self.stamp_line(stream);
                if self.stamp_rest.is_empty() { self.receive_plain(rest, stream) } else { 0 }
            };
            rest = &rest[count..];
        }
    }

    fn receive_stamp(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.stamp_rest.len());
        assert_eq!(
            show(&bytes[..count]),
            show(&self.stamp_rest[..count]),
            "stamp at {}",
            self.offset
        );
        self.stamp_rest.drain(..count);
        count
    }

    fn receive_iac(&mut self, stream: &ExpectedStream) -> usize {
        assert_eq!(stream.bytes.get(self.offset), Some(&IAC), "doubled 0xFF at {}", self.offset);
        self.offset += 1;
        self.line_start = false;
        2
    }

    /// Takes the bytes up to the next one that is special to this reader.
    fn receive_plain(&mut self, bytes: &[u8], stream: &ExpectedStream) -> usize {
        let mut run = bytes;
        if self.stamp.is_some() {
            run = run.split_inclusive(|&byte| byte == b'\n').next().unwrap_or(run);
        }
        if self.telnet {
            run = run.split(|&byte| byte == IAC).next().unwrap_or(run);
        }
        let end = (self.offset + run.len()).min(stream.head());
        let expected = &stream.bytes[self.offset..end];
        if run != expected {
            let same = run.iter().zip(expected).take_while(|(a, b)| a == b).count();
            panic!(
                "at {} of {}: got {}, not {}",
                self.offset + same,
                stream.head(),
                show(&run[same..]),
                show(&expected[same..])
            );
        }
        self.offset = end;
        self.line_start = run.ends_with(b"\n");
        run.len()
    }

    fn stamp_line(&mut self, stream: &ExpectedStream) {
        let Some(format) = &self.stamp else {
            return;
        };
        if self.line_start {
            assert!(self.offset < stream.head(), "more than the stream");
            self.stamp_rest =
                SecondsFormatter.format(UnixTime::from_secs(stream.second(self.offset)), format);
            if self.telnet {
                self.stamp_rest = double(&self.stamp_rest);
            }
            self.line_start = false;
        }
    }
}

pub fn double(bytes: &[u8]) -> Vec<u8> {
    let twice = |&byte: &u8| if byte == IAC { vec![IAC, IAC] } else { vec![byte] };
    bytes.iter().flat_map(twice).collect()
}

/// The first bytes in readable form.
pub fn show(bytes: &[u8]) -> String {
    format!(
        "{:?} ({} bytes)",
        bytes[..bytes.len().min(100)].escape_ascii().to_string(),
        bytes.len()
    )
}

/// What some bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub enum Announcement {
    None,
    /// The beginning of an announcement, perhaps.
    Incomplete,
    /// An announcement of `len` bytes, about so many missing bytes.
    Of {
        len: usize,
        missing: usize,
    },
}

/// Looks for an announcement on a line of its own.
pub fn announcement(bytes: &[u8], line_start: bool, words: &str) -> Announcement {
    let before: &[u8] = if line_start { b"@@@ " } else { b"\r\n@@@ " };
    let Some(rest) = bytes.strip_prefix(before) else {
        return if before.starts_with(bytes) {
            Announcement::Incomplete
        } else {
            Announcement::None
        };
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let after = &rest[digits..];
    if after.starts_with(words.as_bytes()) && digits > 0 {
        let missing = std::str::from_utf8(&rest[..digits]).unwrap().parse().unwrap();
        Announcement::Of { len: before.len() + digits + words.len(), missing }
    } else if words.as_bytes().starts_with(after) && (digits > 0 || after.is_empty()) {
        Announcement::Incomplete
    } else {
        Announcement::None
    }
}
