//! What a console says to a terminal. Finds the sequences that a terminal answers: in output that is
//! shown again later, the answer would reach the child as if somebody had typed it. And remembers
//! which modes of the terminal have been changed, so that they can be put back. Pure, resumable at
//! any byte; what is no sequence of these passes untouched.

/// A terminal's place in the stream, and its modes.
#[derive(Debug, Default)]
pub struct Filter {
    state: State,
    /// The sequence so far.
    held: Vec<u8>,
    /// How many bytes of it have been passed on already.
    passed: usize,
    modes: Modes,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    /// `ESC` and intermediates.
    Short,
    /// `ESC [`.
    Control,
    /// `ESC ]`, `ESC P` and the like, up to their end.
    Long,
    /// An escape in there.
    LongEscape,
}

/// What has been changed and is still so.
#[derive(Debug, Default)]
struct Modes {
    /// Private modes that are on and are off in a terminal that nobody has changed.
    on: Vec<u16>,
    cursor_hidden: bool,
    colours: bool,
    keypad: bool,
    line_drawing: bool,
    region: bool,
}

/// The private modes of programs that use the whole screen or the mouse.
const FOREIGN: [u16; 17] =
    [1, 5, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1047, 1049, 2004];

/// Longer sequences are data, such as pictures, and no questions.
const HELD_MAX: usize = 4096;

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const ENQ: u8 = 0x05;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;

impl Filter {
    /// For a terminal in its usual modes.
    pub fn new() -> Filter {
        Filter::default()
    }

    /// Appends `bytes` to `out` without what a terminal would answer. The beginning of a sequence is
    /// held back until its end is there.
    pub fn strip(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.step(byte, true, out);
        }
    }

    /// Appends all of `bytes` to `out`, and what was held back before.
    pub fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.step(byte, false, out);
        }
        self.flush(out);
    }

    /// What puts the modes back that have been changed.
    pub fn undo(&self) -> Vec<u8> {
        let modes = &self.modes;
        let mut undo = Vec::new();
        let parts: [(bool, &[u8]); 5] = [
            (modes.region, b"\x1b7\x1b[r\x1b8"),
            (modes.line_drawing, b"\x0f\x1b(B"),
            (modes.keypad, b"\x1b>"),
            (modes.colours, b"\x1b[m"),
            (modes.cursor_hidden, b"\x1b[?25h"),
        ];
        for (_, part) in parts.into_iter().filter(|(changed, _)| *changed) {
            undo.extend_from_slice(part);
        }
        for mode in &modes.on {
            undo.extend_from_slice(format!("\x1b[?{mode}l").as_bytes());
        }
        undo
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.held.get(self.passed..).unwrap_or_default());
        self.passed = self.held.len();
    }

    fn step(&mut self, byte: u8, strip: bool, out: &mut Vec<u8>) {
        self.held.push(byte);
        let next = match (self.state, byte) {
            (State::Text, ESC) => Some(State::Escape),
            (State::Text, _) => None,
            // A sequence that is broken off; a new one.
            (State::Escape | State::Short | State::Control, ESC) => {
                self.held.pop();
                self.flush(out);
                self.held = vec![ESC];
                self.passed = 0;
                Some(State::Escape)
            }
            (State::Escape, b'[') => Some(State::Control),
            (State::Escape, b']' | b'P' | b'_' | b'^' | b'X') => Some(State::Long),
            (State::Escape | State::Short, 0x20..=0x2f) => Some(State::Short),
            (State::Control, 0x20..=0x3f) => Some(State::Control),
            (State::Long, ESC) => Some(State::LongEscape),
            (State::Long, BEL | CAN | SUB) => None,
            (State::Long, _) => Some(State::Long),
            (State::LongEscape, b'\\') => None,
            (State::LongEscape, ESC) => Some(State::LongEscape),
            (State::LongEscape, _) => Some(State::Long),
            (State::Escape | State::Short | State::Control, _) => None,
        };
        match next {
            Some(state) => {
                self.state = state;
                if self.held.len() > HELD_MAX {
                    self.flush(out);
                    self.held.truncate(2);
                    self.passed = self.held.len();
                }
            }
            None => {
                self.state = State::Text;
                self.modes.note(&self.held);
                if !(strip && self.passed == 0 && is_question(&self.held)) {
                    self.flush(out);
                }
                self.held.clear();
                self.passed = 0;
            }
        }
    }
}

/// Whether a terminal sends something when it gets this.
fn is_question(sequence: &[u8]) -> bool {
    match sequence {
        [ENQ] | [ESC, b'Z'] => true,
        [ESC, b'[', rest @ ..] => Control::parse(rest).is_some_and(|control| control.is_question()),
        // Colours, the clipboard and the like: `?` in the place of a value.
        [ESC, b']', rest @ ..] => {
            rest.split(|&byte| matches!(byte, b';' | BEL | ESC)).skip(1).any(|field| field == b"?")
        }
        [ESC, b'P', rest @ ..] => rest.starts_with(b"$q") || rest.starts_with(b"+q"),
        [ESC, b'_', b'G', rest @ ..] => rest.windows(3).any(|bytes| bytes == b"a=q"),
        _ => false,
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

    fn is_question(&self) -> bool {
        match (self.private, self.intermediates, self.last) {
            // Device attributes; status and cursor position; terminal parameters.
            (None | Some(b'=' | b'>'), b"", b'c')
            | (None | Some(b'?'), b"", b'n')
            | (None, b"", b'x')
            // Modes, presentation, settings, checksums, locator; name; graphics; keyboard.
            | (_, b"$", b'p' | b'w' | b'u')
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

impl Modes {
    fn note(&mut self, sequence: &[u8]) {
        match sequence {
            [ESC, b'c'] => *self = Modes::default(),
            [ESC, b'='] => self.keypad = true,
            [ESC, b'>'] => self.keypad = false,
            [ESC, b'(', set] => self.line_drawing = *set != b'B',
            [0x0e] => self.line_drawing = true,
            [ESC, b'[', rest @ ..] => {
                if let Some(control) = Control::parse(rest) {
                    self.note_control(&control);
                }
            }
            _ => {}
        }
    }

    fn note_control(&mut self, control: &Control<'_>) {
        match (control.private, control.intermediates, control.last) {
            (None, b"", b'm') => {
                self.colours = !matches!(control.parameters, b"" | b"0");
            }
            (None, b"", b'r') => self.region = !control.parameters.is_empty(),
            (Some(b'?'), b"", set @ (b'h' | b'l')) => {
                for mode in control.numbers() {
                    if mode == 25 {
                        self.cursor_hidden = set == b'l';
                    } else if FOREIGN.contains(&mode) {
                        self.on.retain(|other| *other != mode);
                        if set == b'h' {
                            self.on.push(mode);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stripped(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Filter::new().strip(bytes, &mut out);
        out
    }

    #[test]
    fn questions_are_taken_out() {
        for question in [
            "\x1b[c",
            "\x1b[0c",
            "\x1b[>c",
            "\x1b[=0c",
            "\x1b[5n",
            "\x1b[6n",
            "\x1b[?6n",
            "\x1b[?996n",
            "\x1bZ",
            "\x05",
            "\x1b[x",
            "\x1b[?2004$p",
            "\x1b[4$p",
            "\x1b[>0q",
            "\x1b[18t",
            "\x1b[21t",
            "\x1b[1$w",
            "\x1b]10;?\x07",
            "\x1b]4;1;?\x1b\\",
            "\x1b]52;c;?\x07",
            "\x1bP$qm\x1b\\",
            "\x1bP+q544e\x1b\\",
            "\x1b[?u",
            "\x1b[?4m",
            "\x1b_Gi=1,a=q;AAAA\x1b\\",
            "\x1b[?1;1;0S",
        ] {
            assert_eq!(stripped(format!("a{question}b").as_bytes()), b"ab", "{question:?}");
        }
    }

    #[test]
    fn everything_else_stays() {
        for text in [
            "plain\r\n\t\x08",
            "\x1b[1;31mred\x1b[m",
            "\x1b[2J\x1b[H",
            "\x1b[?25l\x1b[?1049h",
            "\x1b]0;title?\x07",
            "\x1b]0;why;not\x1b\\",
            "\x1b(0x\x1b(B",
            "\x1b[8;24;80t",
            "\x1b[22;0t",
            "\u{e4}\u{20ac}",
            "\x1b[?1c",
            "\x1b[4 q",
            "\x1bPq#0;2~\x1b\\",
            "\x1b[>4;2m",
            "\x1b[!p",
            "\x1b\x1b[m",
            "\x1b[1\x1b[2m",
        ] {
            assert_eq!(stripped(text.as_bytes()), text.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn modes_are_put_back() {
        let mut filter = Filter::new();
        filter.pass(b"\x1b[?1049;1000h\x1b[?25l\x1b[1m\x1b=\x1b[2;5r\x1b(0", &mut Vec::new());
        assert_eq!(
            filter.undo(),
            b"\x1b7\x1b[r\x1b8\x0f\x1b(B\x1b>\x1b[m\x1b[?25h\x1b[?1049l\x1b[?1000l"
        );
        filter.pass(b"\x1b[?1049;1000l\x1b[?25h\x1b[0m\x1b>\x1b[r\x1b(B", &mut Vec::new());
        assert_eq!(filter.undo(), b"");
    }

    #[test]
    fn a_long_string_is_not_held() {
        let picture =
            [b"\x1bPq".to_vec(), vec![b'~'; 3 * HELD_MAX], b"\x1b\\end".to_vec()].concat();
        assert_eq!(stripped(&picture), picture);
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            bytes in prop::collection::vec(prop::sample::select(b"\x1b[]P?;$0156cnmqtZ\\\x07a\x05".to_vec()), 0..40),
            cut in 0usize..40,
        ) {
            let cut = cut.min(bytes.len());
            let mut filter = Filter::new();
            let mut out = Vec::new();
            filter.strip(&bytes[..cut], &mut out);
            filter.strip(&bytes[cut..], &mut out);
            prop_assert_eq!(&out, &stripped(&bytes));
            filter.pass(b"", &mut out);
            // What passes is all that there is.
            let (mut filter, mut all) = (Filter::new(), Vec::new());
            filter.pass(&bytes[..cut], &mut all);
            filter.pass(&bytes[cut..], &mut all);
            prop_assert_eq!(all, bytes);
        }
    }
}
