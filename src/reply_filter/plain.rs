//! What a console writes to a terminal as lines of a file: without escape sequences, and without the
//! CRs before each LF.

use minicbor::{Decode, Encode};

use super::parser::{Action, ByteClass, C1_LEAD, State, transition};
use crate::limits::SEQUENCE_MAX;

/// The place of a file in the output of a console. The beginning of a sequence and the CRs at the end
/// of the output so far are held back until the next bytes tell what they are.
///
/// It is plain data, and the state of the parser is that after the held bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct PlainText {
    /// The beginning of a sequence.
    #[cbor(n(0), default, with = "minicbor::bytes")]
    held: Vec<u8>,
    /// True if the sequence is too long to be one: its bytes are passed on as they come, and `held`
    /// has only those that tell its kind.
    #[cbor(n(1), default)]
    is_data: bool,
    /// How many CRs are held back. They come before the sequence.
    #[cbor(n(2), default)]
    returns: u16,
    /// How many more bytes the current character of UTF-8 has.
    #[cbor(n(3), default)]
    continuation: u8,
}

const CR: u8 = b'\r';
const LF: u8 = b'\n';
/// How many bytes tell the kind of a sequence, in 7 and in 8 bits.
const KIND_LEN: usize = 2;
/// The most CRs that are held back.
const RETURNS_MAX: u16 = 4096;

impl PlainText {
    /// Appends `bytes` to `out` without escape sequences and without CRs directly before LF.
    pub(crate) fn filter(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut state = self.state();
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            // Most output is plain text, which needs no state machine.
            if state == State::Text && self.continuation == 0 {
                let plain = rest.iter().position(|&byte| !(b' '..=b'~').contains(&byte));
                let (run, after) = rest.split_at(plain.unwrap_or(rest.len()));
                if !run.is_empty() {
                    self.pass_returns(out);
                    out.extend_from_slice(run);
                    rest = after;
                    continue;
                }
            }
            state = self.step(state, byte, out);
            rest = after;
        }
    }

    /// The bytes that come next do not belong to what came before. A string that has no end was none,
    /// and its text is passed on; any other beginning of a sequence is dropped. CRs are kept back.
    pub(crate) fn break_off(&mut self, out: &mut Vec<u8>) {
        self.restart(self.state(), 0, out);
        self.continuation = 0;
    }

    /// The state of the parser after the held bytes.
    fn state(&self) -> State {
        let mut copy = PlainText::default();
        self.held.iter().fold(State::Text, |state, &byte| {
            let class = copy.class(byte);
            transition(state, class).0
        })
    }

    fn class(&mut self, byte: u8) -> ByteClass {
        let continues = self.continuation > 0 && matches!(byte, 0x80..=0xbf);
        self.continuation = match byte {
            _ if continues => self.continuation - 1,
            0xc3..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => 0,
        };
        ByteClass::of(byte, continues)
    }

    /// Handles a byte that comes in `state`. Returns the state after it.
    fn step(&mut self, mut state: State, byte: u8, out: &mut Vec<u8>) -> State {
        let class = self.class(byte);
        loop {
            let (next, action) = transition(state, class);
            match action {
                Action::Restart(keep) => self.restart(state, keep, out),
                Action::Execute => {
                    self.pass(byte, out);
                    return state;
                }
                Action::Hold => {
                    self.hold(byte, next, out);
                    return next;
                }
                Action::End => {
                    self.end(state, class, byte, out);
                    return next;
                }
            }
            state = next;
        }
    }

    /// What is held is no sequence, except for its last `keep` bytes.
    fn restart(&mut self, state: State, keep: usize, out: &mut Vec<u8>) {
        let tail = self.held.split_off(self.held.len().saturating_sub(keep));
        match state {
            State::C1Lead => self.pass(C1_LEAD, out),
            State::StringBody | State::StringEscape if !self.is_data => {
                let held = std::mem::take(&mut self.held);
                self.pass_text(&held, out);
            }
            _ => {}
        }
        self.held = tail;
        self.is_data = false;
    }

    fn hold(&mut self, byte: u8, next: State, out: &mut Vec<u8>) {
        self.held.push(byte);
        if self.held.len() > SEQUENCE_MAX || self.is_data {
            self.pass_data(next == State::StringEscape, out);
        }
    }

    /// Passes on what is held of a sequence that is data, and keeps what tells its kind. An escape at
    /// its end waits for the byte that tells what it belongs to.
    fn pass_data(&mut self, ends_with_escape: bool, out: &mut Vec<u8>) {
        let known = if self.is_data { KIND_LEN } else { 0 };
        let escape = self.held.split_off(self.held.len() - usize::from(ends_with_escape));
        let held = std::mem::take(&mut self.held);
        held.iter().skip(known).for_each(|&byte| self.pass(byte, out));
        self.held = held;
        self.held.truncate(KIND_LEN);
        self.held.extend(escape);
        self.is_data = true;
    }

    /// A sequence, or a byte of text, is complete.
    fn end(&mut self, state: State, class: ByteClass, byte: u8, out: &mut Vec<u8>) {
        let is_text = match state {
            State::Text => !matches!(class, ByteClass::OtherC1 | ByteClass::C1Terminator),
            State::C1Lead => class == ByteClass::HighContinuation,
            _ => self.is_data || self.held.len() >= SEQUENCE_MAX,
        };
        if is_text {
            self.pass_data(false, out);
            self.pass(byte, out);
        } else {
            // The rest of a character that a sequence has taken the first byte of is none.
            self.continuation = 0;
        }
        self.held.clear();
        self.is_data = false;
    }

    /// Passes on the text of a string that has no end, without any byte that begins or ends a
    /// sequence: what follows could make one of it.
    fn pass_text(&mut self, held: &[u8], out: &mut Vec<u8>) {
        let mut own = PlainText::default();
        let introducer = match held {
            [0x1b, ..] => 2,
            [C1_LEAD, ..] => 2,
            _ => 1,
        };
        for &byte in held.get(introducer..).unwrap_or_default() {
            let is_text = !matches!(
                own.class(byte),
                ByteClass::Esc
                    | ByteClass::C1Csi
                    | ByteClass::C1String
                    | ByteClass::C1Terminator
                    | ByteClass::OtherC1
            );
            if is_text {
                self.pass(byte, out);
            }
        }
    }

    /// Passes on a byte, and before it the CRs that were held back, unless it is the LF after them.
    fn pass(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            CR if self.returns < RETURNS_MAX => self.returns += 1,
            LF => {
                self.returns = 0;
                out.push(LF);
            }
            _ => {
                self.pass_returns(out);
                out.push(byte);
            }
        }
    }

    fn pass_returns(&mut self, out: &mut Vec<u8>) {
        out.resize(out.len() + usize::from(self.returns), CR);
        self.returns = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(chunks: &[&[u8]]) -> Vec<u8> {
        let (mut text, mut out) = (PlainText::default(), Vec::new());
        for chunk in chunks {
            text.filter(chunk, &mut out);
            // As over an upgrade.
            text = minicbor::decode(&minicbor::to_vec(&text).unwrap()).unwrap();
        }
        text.break_off(&mut out);
        text.pass_returns(&mut out);
        out
    }

    #[test]
    fn sequences_and_crs_before_lf_are_left_out() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"a\r\nb\r\r\nc\rd\n\r", b"a\nb\nc\rd\n\r"),
            (b"\x1b[1;31mred\x1b[0m text\r\x1b[K\n", b"red text\n"),
            (b"\x1b]0;title\x07a\x1b]0;title\x1b\\b\x1bP1$r\x9cc\x1b_x\x1b\\d", b"abcd"),
            (b"\x1b(Ba\x1b=b\x1b7c\x1b#8d\x1bce", b"abcde"),
            // A terminal obeys controls amid a sequence at once.
            (b"\x1b[3\r\n1ma\x1b[\x071mb", b"\na\x07b"),
            // Controls of 8 bits, as they are and in UTF-8, and characters that contain such bytes.
            (b"a\x9b1mb\xc2\x9b1mc\x9dx\x9cd\xc2\x85e\x84f", b"abcdef"),
            (
                "\u{a0}\u{e9}\u{20ac}\u{275b}\u{1f71b}".as_bytes(),
                "\u{a0}\u{e9}\u{20ac}\u{275b}\u{1f71b}".as_bytes(),
            ),
            (b"caf\xe9 \xc2x\xff", b"caf\xe9 \xc2x\xff"),
            // What is broken off.
            (b"\x1b[3\x1b[1mx\x1b[3\x18y\x1b[3", b"xy"),
            (b"\x1b]0;no end\x1b[1mx\x1b]no\x9b1mend", b"0;no endxno1mend"),
            // Other controls are data.
            (b"\x07\x08\x0e\x0f\0\x7f\x18\x05", b"\x07\x08\x0e\x0f\0\x7f\x18\x05"),
        ];
        for (input, expected) in cases {
            let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
            assert_eq!(shown(&plain(&[input])), shown(expected), "{}", shown(input));
            let bytes: Vec<&[u8]> = input.chunks(1).collect();
            assert_eq!(shown(&plain(&bytes)), shown(expected), "{}", shown(input));
        }
    }

    #[test]
    fn longer_sequences_are_data() {
        for end in [&b"\x07"[..], b"\x1b\\", b"\x9c"] {
            for (introducer, excess) in [(&b"\x1b]"[..], false), (b"\x9d", true), (b"\x1bP", true)]
            {
                let content = SEQUENCE_MAX - introducer.len() - end.len() + usize::from(excess);
                let sequence = [introducer, &vec![b'x'; content], end].concat();
                let input = [b"a", &*sequence, b"b\x1b[mc"].concat();
                let expected = [&b"a"[..], if excess { &sequence } else { b"" }, b"bc"].concat();
                for size in [1, 7, 4096, input.len()] {
                    let chunks: Vec<&[u8]> = input.chunks(size).collect();
                    assert!(plain(&chunks) == expected, "{} {size}", end.escape_ascii());
                }
            }
        }
    }

    /// Bytes of which most mean something to the parser.
    fn terminal_bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => prop::sample::select(&b"\x1b\x1b\r\n\r\n"[..]),
            3 => prop::sample::select(&b"[]PX^_\\ (0;m\x07\x18"[..]),
            3 => prop::sample::select(&b"\x9b\x9c\x9d\x85\xc2\xe2\x82\xac\xf0"[..]),
            2 => any::<u8>(),
        ];
        prop::collection::vec(byte, 0..200)
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(input in terminal_bytes(), size in 1_usize..20) {
            let chunks: Vec<&[u8]> = input.chunks(size).collect();
            prop_assert_eq!(plain(&chunks), plain(&[&input]));
        }

        #[test]
        fn what_is_plain_stays(input in terminal_bytes()) {
            let once = plain(&[&input]);
            prop_assert!(!once.windows(2).any(|two| two == b"\r\n"));
            prop_assert!(!once.contains(&0x1b));
            prop_assert_eq!(plain(&[&once]), once);
        }
    }
}
