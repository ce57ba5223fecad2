//! What a console writes to a terminal. Finds the sequences that a terminal answers: in output that
//! is shown again later, the answer would reach the child as if somebody had typed it. And
//! remembers which modes of the terminal have been changed, so that they can be put back. Pure,
//! resumable at any byte; what is no sequence of these passes untouched. [`PlainText`] leaves out all
//! sequences, for files.

mod modes;
mod parser;
mod plain;
mod sequence;

use std::borrow::Cow;

use self::modes::ScreenModes;
use self::parser::{Action, ByteClass, C1_LEAD, CAN, ESC, State, transition};
pub(crate) use self::plain::PlainText;
use self::sequence::{ENQ, elicits_reply};
use crate::limits::SEQUENCE_MAX;

/// A terminal's place in the stream, and its modes.
#[derive(Debug, Default)]
pub(crate) struct ReplyFilter {
    state: State,
    /// Continuation bytes still expected of the current UTF-8 character.
    continuation: u8,
    held: Pending,
    modes: ScreenModes,
}

impl ReplyFilter {
    /// For a terminal in its usual modes.
    pub(crate) fn new() -> ReplyFilter {
        ReplyFilter::default()
    }

    /// Appends `bytes` to `out` without what a terminal would answer. The beginning of a sequence
    /// is held back until its end is there.
    pub(crate) fn filter_queries(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.step(byte, true, out);
        }
    }

    /// Appends all of `bytes` to `out`, and what was held back before.
    pub(crate) fn pass_through(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.step(byte, false, out);
        }
        self.held.pass(out);
    }

    /// The sequences that put all changed modes back. They begin with the end of a sequence that
    /// has been passed on without one: a terminal would take what follows for a part of that.
    pub(crate) fn reset_sequence(&self) -> Vec<u8> {
        let is_open = self.held.passed > 0 && !matches!(self.state, State::Text | State::C1Lead);
        let mut reset = if is_open { vec![CAN] } else { Vec::new() };
        reset.extend(self.modes.reset_sequence());
        reset
    }

    /// Returns true if `byte` continues a character of UTF-8. [`C1_LEAD`] is a state of its own.
    fn continues(&mut self, byte: u8) -> bool {
        let continues = self.continuation > 0 && matches!(byte, 0x80..=0xbf);
        self.continuation = match byte {
            _ if continues => self.continuation - 1,
            0xc3..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => 0,
        };
        continues
    }

    fn step(&mut self, byte: u8, strip: bool, out: &mut Vec<u8>) {
        let continues = self.continues(byte);
        let class = ByteClass::of(byte, continues);
        loop {
            let (state, action) = transition(self.state, class);
            self.state = state;
            match action {
                Action::Restart(keep) => self.held.release(keep, out),
                Action::Execute => {
                    if !strip {
                        self.held.pass(out);
                    }
                    if !(strip && byte == ENQ) {
                        out.push(byte);
                    }
                    return;
                }
                Action::Hold => {
                    self.held.bytes.push(byte);
                    // The byte after an escape in a string decides what the escape belongs to.
                    if self.held.len() > SEQUENCE_MAX && state != State::StringEscape {
                        self.held.pass(out);
                        self.held.shorten();
                    }
                    return;
                }
                Action::End => {
                    self.held.bytes.push(byte);
                    return self.end(continues, strip, out);
                }
            }
        }
    }

    /// A sequence, or a byte of text, is complete.
    fn end(&mut self, continues: bool, strip: bool, out: &mut Vec<u8>) {
        let held = &self.held.bytes;
        let sequence = if continues { held.as_slice().into() } else { in_7_bits(held) };
        self.modes.apply(&sequence);
        if !(strip && self.held.passed == 0 && elicits_reply(&sequence)) {
            self.held.pass(out);
        }
        self.held.clear();
    }
}

/// A sequence without its end.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// How many of them have been passed on already.
    passed: usize,
}

impl Pending {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.passed = 0;
    }

    /// Passes on what has not been.
    fn pass(&mut self, out: &mut Vec<u8>) {
        debug_assert!(self.passed <= self.bytes.len());
        out.extend_from_slice(self.bytes.get(self.passed..).unwrap_or_default());
        self.passed = self.bytes.len();
    }

    /// Passes all on but the last `keep` bytes, which a new sequence begins with.
    fn release(&mut self, keep: usize, out: &mut Vec<u8>) {
        let tail = self.bytes.split_off(self.bytes.len().saturating_sub(keep));
        let passed = self.passed.saturating_sub(self.bytes.len());
        self.passed -= passed;
        self.pass(out);
        *self = Pending { bytes: tail, passed };
    }

    /// Forgets what has been passed on, except what the sequence begins with.
    fn shorten(&mut self) {
        self.bytes.truncate(2);
        self.passed = self.bytes.len();
    }
}

/// The same sequence with `ESC` and a letter instead of a control of 8 bits at its start.
fn in_7_bits(sequence: &[u8]) -> Cow<'_, [u8]> {
    match sequence {
        [C1_LEAD, first @ 0x80..=0x9f, rest @ ..] | [first @ 0x80..=0x9f, rest @ ..] => {
            [&[ESC, first - 0x40], rest].concat().into()
        }
        _ => sequence.into(),
    }
}

#[cfg(test)]
mod tests;
