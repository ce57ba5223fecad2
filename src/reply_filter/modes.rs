//! Which modes of a terminal a console has changed (the sources are those of [`super::sequence`]).

use super::parser::ESC;
use super::sequence::Control;

/// Changes of a terminal that have not been undone.
#[derive(Debug, Default)]
pub(super) struct ScreenModes {
    /// The private modes that differ from those of a terminal that nobody has changed, in the order
    /// in which they were changed.
    private: Vec<u16>,
    colours: bool,
    /// DECKPAM: the keypad sends sequences of its own.
    keypad: bool,
    line_drawing: bool,
    /// DECSTBM: only part of the screen scrolls.
    scroll_region: bool,
    /// xterm's modifyOtherKeys: keys send sequences that no shell knows.
    modified_keys: bool,
    /// How many entries kitty's stack of keyboard modes has, to the same effect.
    kitty_keyboard_depth: u16,
}

/// The private modes of programs that use the whole screen or the mouse: cursor keys, reverse
/// video, the mouse, the alternate screen, bracketed paste.
const APPLICATION_MODES: [u16; 17] =
    [1, 5, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1047, 1049, 2004];

/// The private modes that are set in a terminal that nobody has changed: line wrap (DECAWM) and the
/// cursor (DECTCEM).
const DEFAULT_SET_MODES: [u16; 2] = [7, 25];

impl ScreenModes {
    /// The sequences that put everything back that has been changed.
    pub(super) fn reset_sequence(&self) -> Vec<u8> {
        let mut reset = Vec::new();
        let parts: [(bool, &[u8]); 5] = [
            (self.scroll_region, b"\x1b7\x1b[r\x1b8"),
            (self.line_drawing, b"\x0f\x1b(B"),
            (self.keypad, b"\x1b>"),
            (self.colours, b"\x1b[m"),
            (self.modified_keys, b"\x1b[>4m"),
        ];
        for (_, part) in parts.into_iter().filter(|(changed, _)| *changed) {
            reset.extend_from_slice(part);
        }
        if self.kitty_keyboard_depth > 0 {
            reset.extend_from_slice(format!("\x1b[<{}u", self.kitty_keyboard_depth).as_bytes());
        }
        for mode in self.private.iter().rev() {
            let letter = if DEFAULT_SET_MODES.contains(mode) { 'h' } else { 'l' };
            reset.extend_from_slice(format!("\x1b[?{mode}{letter}").as_bytes());
        }
        reset
    }

    /// Takes note of what a sequence changes.
    pub(super) fn apply(&mut self, sequence: &[u8]) {
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
            (None, b"", b'r') => self.scroll_region = !control.parameters.is_empty(),
            (Some(b'>'), b"", b'm') => {
                let mut numbers = control.numbers();
                if numbers.next() == Some(4) {
                    self.modified_keys = numbers.next().is_some_and(|number| number > 0);
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
