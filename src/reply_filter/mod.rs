//! What a console says to a terminal. Finds the sequences that a terminal answers: in output that is
//! shown again later, the answer would reach the child as if somebody had typed it. And remembers
//! which modes of the terminal have been changed, so that they can be put back. Pure, resumable at
//! any byte; what is no sequence of these passes untouched.

use std::borrow::Cow;

use crate::limits::SEQUENCE_MAX;

/// A terminal's place in the stream, and its modes.
#[derive(Debug, Default)]
pub struct ReplyFilter {
    state: State,
    /// Bytes that a character of UTF-8 still has.
    rest: u8,
    /// The sequence so far.
    held: Vec<u8>,
    /// How many bytes of it have been passed on already.
    passed: usize,
    modes: ScreenModes,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// The first byte of a control of 8 bits as UTF-8 has it, or of another character.
    C1Lead,
    Escape,
    /// `ESC` and intermediates.
    EscIntermediate,
    /// `ESC [`.
    Csi,
    /// `ESC ]`, `ESC P` and the like, up to their end.
    StringBody,
    /// An escape in there.
    StringEscape,
    /// In there what [`State::C1Lead`] is outside.
    StringC1Lead,
}

/// What has been changed and is still so.
#[derive(Debug, Default)]
struct ScreenModes {
    /// Private modes that are not as in a terminal that nobody has changed.
    private: Vec<u16>,
    colours: bool,
    keypad: bool,
    line_drawing: bool,
    region: bool,
    /// Keys are sequences that no shell knows: xterm's way, and how often kitty's.
    keys: bool,
    kitty_keyboard_depth: u16,
}

/// The private modes of programs that use the whole screen or the mouse.
const APPLICATION_MODES: [u16; 17] =
    [1, 5, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1047, 1049, 2004];

/// Private modes that are on in a terminal that nobody has changed: line wrap, the cursor.
const DEFAULT_SET_MODES: [u16; 2] = [7, 25];

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const ENQ: u8 = 0x05;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
/// `ESC \` in 8 bits.
const ST: u8 = 0x9c;
/// The first byte of each control of 8 bits in UTF-8.
const WIDE: u8 = 0xc2;

impl ReplyFilter {
    /// For a terminal in its usual modes.
    pub fn new() -> ReplyFilter {
        ReplyFilter::default()
    }

    /// Appends `bytes` to `out` without what a terminal would answer. The beginning of a sequence is
    /// held back until its end is there.
    pub fn filter_queries(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.step(byte, true, out);
        }
    }

    /// Appends all of `bytes` to `out`, and what was held back before.
    pub fn pass_through(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.step(byte, false, out);
        }
        self.flush(out);
    }

    /// What puts the modes back that have been changed, after the end of a sequence that has none but
    /// has been passed on: a terminal would take what comes next for a part of it.
    pub fn reset_sequence(&self) -> Vec<u8> {
        let modes = &self.modes;
        let mut undo = Vec::new();
        let parts: [(bool, &[u8]); 6] = [
            (self.passed > 0 && !matches!(self.state, State::Text | State::C1Lead), &[CAN]),
            (modes.region, b"\x1b7\x1b[r\x1b8"),
            (modes.line_drawing, b"\x0f\x1b(B"),
            (modes.keypad, b"\x1b>"),
            (modes.colours, b"\x1b[m"),
            (modes.keys, b"\x1b[>4m"),
        ];
        for (_, part) in parts.into_iter().filter(|(changed, _)| *changed) {
            undo.extend_from_slice(part);
        }
        if modes.kitty_keyboard_depth > 0 {
            undo.extend_from_slice(format!("\x1b[<{}u", modes.kitty_keyboard_depth).as_bytes());
        }
        for mode in modes.private.iter().rev() {
            let letter = if DEFAULT_SET_MODES.contains(mode) { 'h' } else { 'l' };
            undo.extend_from_slice(format!("\x1b[?{mode}{letter}").as_bytes());
        }
        undo
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.held.get(self.passed..).unwrap_or_default());
        self.passed = self.held.len();
    }

    fn step(&mut self, byte: u8, strip: bool, out: &mut Vec<u8>) {
        let inside = self.rest > 0 && matches!(byte, 0x80..=0xbf);
        self.rest = match byte {
            _ if inside => self.rest - 1,
            0xc3..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => 0,
        };
        let begun = matches!(self.state, State::Escape | State::EscIntermediate | State::Csi);
        if begun && byte < b' ' && !matches!(byte, ESC | CAN | SUB) {
            // Obeyed at once, amid the sequence.
            if !strip {
                self.flush(out);
            }
            if !(strip && byte == ENQ) {
                out.push(byte);
            }
            return;
        }
        self.held.push(byte);
        let next = match (self.state, byte) {
            (State::Text, ESC) => Some(State::Escape),
            (State::Text, WIDE) => Some(State::C1Lead),
            (State::Text, 0x80..=0x9f) if !inside => introduced_by(byte - 0x40),
            (State::Text, _) => None,
            (State::C1Lead, 0x80..=0x9f) => introduced_by(byte - 0x40),
            (State::C1Lead, 0xa0..=0xbf) => None,
            // What is broken off. This byte begins anew.
            (State::C1Lead | State::Escape | State::EscIntermediate | State::Csi, ESC)
            | (State::C1Lead, _) => return self.begin_anew(1, State::Text, strip, out),
            (State::StringEscape, b'\\') => None,
            (State::StringEscape, _) => return self.begin_anew(2, State::Escape, strip, out),
            (State::Escape, _) => introduced_by(byte),
            (State::EscIntermediate, 0x20..=0x2f) => Some(State::EscIntermediate),
            (State::Csi, 0x20..=0x3f) => Some(State::Csi),
            (State::EscIntermediate | State::Csi, _) => None,
            (State::StringBody | State::StringC1Lead, ESC) => Some(State::StringEscape),
            (State::StringBody | State::StringC1Lead, BEL | CAN | SUB)
            | (State::StringC1Lead, ST) => None,
            (State::StringBody, ST) if !inside => None,
            (State::StringBody | State::StringC1Lead, WIDE) => Some(State::StringC1Lead),
            (State::StringBody | State::StringC1Lead, _) => Some(State::StringBody),
        };
        match next {
            Some(state) => {
                self.state = state;
                // An escape is looked at again with the next byte, which comes to one of the others.
                if self.held.len() > SEQUENCE_MAX && state != State::StringEscape {
                    self.flush(out);
                    self.held.truncate(2);
                    self.passed = self.held.len();
                }
            }
            None => {
                self.state = State::Text;
                // Within a character such a byte is no control.
                let sequence =
                    if inside { self.held.as_slice().into() } else { of_7_bits(&self.held) };
                self.modes.apply(&sequence);
                if !(strip && self.passed == 0 && elicits_reply(&sequence)) {
                    self.flush(out);
                }
                self.held.clear();
                self.passed = 0;
            }
        }
    }

    /// All but the last `count` bytes held are of no sequence. The last one is looked at again, in
    /// this state.
    fn begin_anew(&mut self, count: usize, state: State, strip: bool, out: &mut Vec<u8>) {
        let tail = self.held.split_off(self.held.len().saturating_sub(count));
        let passed = self.passed.saturating_sub(self.held.len());
        self.flush(out);
        self.held = tail;
        self.passed = passed;
        self.state = state;
        if let Some(byte) = self.held.pop() {
            self.step(byte, strip, out);
        }
    }
}

/// What begins with `ESC` and this byte. `None`: it ends with it.
fn introduced_by(byte: u8) -> Option<State> {
    match byte {
        b'[' => Some(State::Csi),
        b']' | b'P' | b'_' | b'^' | b'X' => Some(State::StringBody),
        0x20..=0x2f => Some(State::EscIntermediate),
        _ => None,
    }
}

/// A control of 8 bits as what `ESC` and a letter make.
fn of_7_bits(sequence: &[u8]) -> Cow<'_, [u8]> {
    match sequence {
        [WIDE, first @ 0x80..=0x9f, rest @ ..] | [first @ 0x80..=0x9f, rest @ ..] => {
            [&[ESC, first - 0x40], rest].concat().into()
        }
        _ => sequence.into(),
    }
}

/// Whether a terminal sends something when it gets this.
fn elicits_reply(sequence: &[u8]) -> bool {
    match sequence {
        [ENQ] | [ESC, b'Z'] => true,
        [ESC, b'[', rest @ ..] => {
            Control::parse(rest).is_some_and(|control| control.elicits_reply())
        }
        [ESC, b']', rest @ ..] => osc_elicits_reply(rest),
        // Settings, terminfo's capabilities, resources.
        [ESC, b'P', rest @ ..] => {
            [b"$q", b"+q", b"+Q"].iter().any(|start| rest.starts_with(*start))
        }
        [ESC, b'_', b'G', rest @ ..] => rest.windows(3).any(|bytes| bytes == b"a=q"),
        _ => false,
    }
}

/// What follows `ESC ]`, with its end: colours, the clipboard, the font and the like have `?` in the
/// place of a value.
fn osc_elicits_reply(sequence: &[u8]) -> bool {
    let mut fields = sequence.split(|&byte| matches!(byte, b';' | BEL | ESC | ST | WIDE));
    match fields.next() {
        // Titles and links may have any text.
        Some(b"0" | b"1" | b"2" | b"8") => false,
        Some(b"60" | b"61") => true,
        _ => fields.any(|field| {
            field.starts_with(b"?") || field.ends_with(b"=?") || field.starts_with(b"Report")
        }),
    }
}

/// What follows `ESC [`.
struct Control<'a> {
    /// `<`, `=`, `>` or `?`.
    private: Option<u8>,
    parameters: &'a [u8],
    intermediates: &'a [u8],
    last: u8,
}

impl Control<'_> {
    fn parse(sequence: &[u8]) -> Option<Control<'_>> {
        let (&last, rest) = sequence.split_last()?;
        let (private, rest) = match rest {
            [private @ b'<'..=b'?', rest @ ..] => (Some(*private), rest),
            rest => (None, rest),
        };
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && !b";:".contains(byte));
        let (parameters, intermediates) = rest.split_at(end.unwrap_or(rest.len()));
        Some(Control { private, parameters, intermediates, last })
    }

    fn numbers(&self) -> impl Iterator<Item = u16> {
        let fields = self.parameters.split(|byte| b";:".contains(byte));
        fields.filter_map(|field| std::str::from_utf8(field).ok()?.parse().ok())
    }

    fn elicits_reply(&self) -> bool {
        match (self.private, self.intermediates, self.last) {
            // Device attributes; status and cursor position; terminal parameters.
            (None | Some(b'=' | b'>'), b"", b'c')
            | (None | Some(b'?'), b"", b'n')
            | (None, b"", b'x')
            // Modes, presentation, settings, checksums, locator, extent, stacks; name; graphics;
            // keyboard.
            | (_, b"$", b'p' | b'w' | b'u')
            | (_, b"\"", b'v')
            | (_, b"#", b'|' | b'R' | b'S')
            | (_, b"&", b'u')
            | (_, b"*", b'y')
            | (_, b"'", b'|')
            | (Some(b'>'), b"", b'q')
            | (Some(b'?'), b"", b'S' | b'u' | b'm') => true,
            // Reports on the window.
            (None, b"", b't') => {
                self.numbers().next().is_some_and(|number| matches!(number, 11..=16 | 18..=21))
            }
            _ => false,
        }
    }
}

impl ScreenModes {
    fn apply(&mut self, sequence: &[u8]) {
        match sequence {
            [ESC, b'c'] => *self = ScreenModes::default(),
            [ESC, b'='] => self.keypad = true,
            [ESC, b'>'] => self.keypad = false,
            [ESC, b'(', set] => self.line_drawing = *set != b'B',
            [0x0e] => self.line_drawing = true,
            [ESC, b'[', rest @ ..] => {
                if let Some(control) = Control::parse(rest) {
                    self.apply_csi(&control);
                }
            }
            _ => {}
        }
    }

    fn apply_csi(&mut self, control: &Control<'_>) {
        match (control.private, control.intermediates, control.last) {
            (None, b"", b'm') => {
                self.colours = !matches!(control.parameters, b"" | b"0");
            }
            (None, b"", b'r') => self.region = !control.parameters.is_empty(),
            (Some(b'>'), b"", b'm') => {
                let mut numbers = control.numbers();
                if numbers.next() == Some(4) {
                    self.keys = numbers.next().is_some_and(|number| number > 0);
                }
            }
            (Some(b'>'), b"", b'u') => {
                self.kitty_keyboard_depth = self.kitty_keyboard_depth.saturating_add(1)
            }
            (Some(b'<'), b"", b'u') => {
                let count = control.numbers().next().unwrap_or(1);
                self.kitty_keyboard_depth = self.kitty_keyboard_depth.saturating_sub(count);
            }
            (Some(b'?'), b"", set @ (b'h' | b'l')) => {
                for mode in control.numbers() {
                    let usual = DEFAULT_SET_MODES.contains(&mode);
                    if usual || APPLICATION_MODES.contains(&mode) {
                        self.private.retain(|other| *other != mode);
                        if usual != (set == b'h') {
                            self.private.push(mode);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
