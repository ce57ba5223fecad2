//! How the stream is encoded for one reader: telnet, stamps, plain text.

use std::borrow::Cow;

use super::buffer::StreamBuffer;
use super::reader::StreamReader;
use crate::console::clock::TimeFormatter;
use crate::limits::STAGE_MAX;
use crate::reply_filter::PlainText;
use crate::telnet;

/// How the bytes of the stream look to one reader.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// True if the reader speaks telnet, so that 0xFF is doubled.
    pub telnet: bool,
    /// The strftime(3) format of the stamp that begins each line: the time when the line arrived.
    pub stamp: Option<Vec<u8>>,
    /// True if escape sequences and the CRs before LF are left out.
    pub plain: bool,
}

impl Encoding {
    /// The bytes of the stream as they are: for standard output and syslog.
    pub const UNCHANGED: Encoding = Encoding { telnet: false, stamp: None, plain: false };
}

/// DEL: no telnet command and no option has this number (RFC 854), and terminals ignore it (ECMA-48).
pub const FILLER: u8 = 0x7F;

impl StreamReader {
    /// Takes note that a message of the server begins at the offset `at`, while the stream holds bytes
    /// from `tail` on.
    pub fn begin_message(&mut self, at: u64, tail: u64) {
        if self.encoding.plain {
            while self.messages.front().is_some_and(|first| *first < tail) {
                self.messages.pop_front();
            }
            self.messages.push_back(at);
        }
    }

    /// Returns lines of the server as the encoding has them.
    pub(super) fn own<'a>(&self, lines: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.encoding.plain {
            return lines.into();
        }
        let (mut plain_text, mut out) = (PlainText::default(), Vec::new());
        plain_text.filter(lines, &mut out);
        out.into()
    }

    /// Returns true if the next bytes need no encoding.
    pub(super) fn reads_direct(&self, stream: &StreamBuffer) -> bool {
        self.encoding.stamp.is_none()
            && !self.encoding.plain
            && !(self.encoding.telnet && stream.may_have_ff_from(self.cursor))
    }

    /// Prepares for a client that may have got a part of the next bytes, and is given them once more. If
    /// that part ends within a telnet command, [`FILLER`] ends the command, so that the bytes behind it
    /// are not taken for the rest of it.
    pub fn begin_again(&mut self, stream: &StreamBuffer) {
        let has_command =
            self.staged.contains(&telnet::IAC) || stream.may_have_ff_from(self.cursor);
        if self.encoding.telnet && has_command && self.staged.first() != Some(&FILLER) {
            self.staged.insert(0, FILLER);
        }
    }

    /// Fills the staging area from the stream.
    pub(super) fn encode(&mut self, stream: &StreamBuffer, formatter: &dyn TimeFormatter) {
        let (first, second) = stream.slices(self.cursor);
        for slice in [first, second] {
            for line in slice.split_inclusive(|&byte| byte == b'\n') {
                let room = STAGE_MAX.saturating_sub(self.staged.len());
                if room == 0 {
                    return;
                }
                let part = line.get(..room).unwrap_or(line);
                if self.line_start {
                    self.stage_stamp(stream, formatter);
                }
                if self.encoding.plain {
                    self.stage_plain(part, stream, formatter);
                    continue;
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

    /// Stages the bytes at the cursor, which are a line or a part of one, as plain text.
    fn stage_plain(
        &mut self,
        mut part: &[u8],
        stream: &StreamBuffer,
        formatter: &dyn TimeFormatter,
    ) {
        let mut out = Vec::new();
        while !part.is_empty() {
            while self.messages.front().is_some_and(|at| *at <= self.cursor) {
                self.messages.pop_front();
                self.plain_text.break_off(&mut out);
            }
            let most = self.messages.front().map_or(usize::MAX, |at| (at - self.cursor) as usize);
            let (bytes, rest) = part.split_at(most.min(part.len()));
            self.plain_text.filter(bytes, &mut out);
            self.cursor += bytes.len() as u64;
            part = rest;
        }
        self.line_start = out.last() == Some(&b'\n');
        for (index, line) in out.split_inclusive(|&byte| byte == b'\n').enumerate() {
            // A sequence that turned out to be none may have had several lines.
            if index > 0 {
                self.stage_stamp(stream, formatter);
            }
            self.staged.extend_from_slice(line);
        }
    }

    /// Stages the stamp of the line at the cursor.
    fn stage_stamp(&mut self, stream: &StreamBuffer, formatter: &dyn TimeFormatter) {
        let (Some(format), Some(arrived)) = (&self.encoding.stamp, stream.arrived(self.cursor))
        else {
            return;
        };
        if self.last_stamp.as_ref().is_none_or(|(second, _)| *second != arrived) {
            let text = formatter.format(arrived, format);
            let mut encoded = Vec::with_capacity(text.len());
            if self.encoding.telnet {
                telnet::escape(&text, &mut encoded);
            } else {
                encoded = text;
            }
            self.last_stamp = Some((arrived, encoded));
        }
        if let Some((_, text)) = &self.last_stamp {
            let at = self.staged.len();
            self.staged.extend_from_slice(text);
            self.stamps.push(at..self.staged.len());
        }
    }
}
