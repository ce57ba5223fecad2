//! Where control sequences begin and end in a terminal's input (ECMA-48; the states are those of
//! <https://vt100.net/emu/dec_ansi_parser>, as far as they make a difference here). UTF-8 is known:
//! a byte of a longer character is never a control, and a control of 8 bits may come as two bytes.

pub(super) const ESC: u8 = 0x1b;
pub(super) const BEL: u8 = 0x07;
pub(super) const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
/// The string terminator, `ESC \`, in 8 bits.
pub(super) const ST: u8 = 0x9c;
/// The first byte of each control of 8 bits in UTF-8.
pub(super) const C1_LEAD: u8 = 0xc2;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Text,
    /// After [`C1_LEAD`]: a control of 8 bits, or another character, follows.
    C1Lead,
    /// After `ESC`.
    Escape,
    /// After `ESC` and an intermediate byte.
    EscIntermediate,
    /// After `ESC [`.
    Csi,
    /// After `ESC ]`, `ESC P` and the like, up to the end of the string.
    StringBody,
    /// After an `ESC` in a string.
    StringEscape,
}

/// What the states distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteClass {
    Esc,
    /// `CAN` and `SUB`, which break a sequence off.
    Cancel,
    Bell,
    OtherC0,
    /// `SP` to `/`.
    Intermediate,
    /// `0` to `?`.
    Parameter,
    /// `[`.
    Bracket,
    /// `]`, `P`, `_`, `^` and `X`.
    StringLetter,
    Backslash,
    /// A control of 8 bits that begins a control sequence.
    C1Csi,
    /// A control of 8 bits that begins a string.
    C1String,
    C1Terminator,
    OtherC1,
    C1Lead,
    /// 0xA0 to 0xBF. After [`C1_LEAD`], the end of a character.
    HighContinuation,
    Other,
}

impl ByteClass {
    /// `continues` is true for a byte of a longer character of UTF-8.
    pub(super) fn of(byte: u8, continues: bool) -> ByteClass {
        match byte {
            ESC => ByteClass::Esc,
            CAN | SUB => ByteClass::Cancel,
            BEL => ByteClass::Bell,
            0x00..=0x1f => ByteClass::OtherC0,
            0x20..=0x2f => ByteClass::Intermediate,
            0x30..=0x3f => ByteClass::Parameter,
            b'[' => ByteClass::Bracket,
            b']' | b'P' | b'_' | b'^' | b'X' => ByteClass::StringLetter,
            b'\\' => ByteClass::Backslash,
            0x80..=0xbf if continues => ByteClass::Other,
            0x9b => ByteClass::C1Csi,
            0x9d | 0x90 | 0x9f | 0x9e | 0x98 => ByteClass::C1String,
            ST => ByteClass::C1Terminator,
            0x80..=0x9f => ByteClass::OtherC1,
            0xa0..=0xbf => ByteClass::HighContinuation,
            C1_LEAD => ByteClass::C1Lead,
            _ => ByteClass::Other,
        }
    }
}

/// What is done with a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The sequence goes on after the byte.
    Hold,
    /// The byte ends the sequence, or is text.
    End,
    /// A terminal obeys the byte at once, amid the sequence.
    Execute,
    /// What is held is no sequence, except so many bytes at its end, and the byte is looked at
    /// again.
    Restart(usize),
}

/// The table of the state machine.
pub(super) fn transition(state: State, class: ByteClass) -> (State, Action) {
    use Action::{End, Execute, Hold, Restart};
    use ByteClass as Byte;
    use State::{C1Lead, Csi, EscIntermediate, Escape, StringBody, StringEscape, Text};
    match (state, class) {
        (Text, Byte::Esc) => (Escape, Hold),
        (Text, Byte::C1Lead) => (C1Lead, Hold),
        (Text | C1Lead, Byte::C1Csi) => (Csi, Hold),
        (Text | C1Lead, Byte::C1String) => (StringBody, Hold),
        (Text, _) => (Text, End),
        (C1Lead, Byte::C1Terminator | Byte::OtherC1 | Byte::HighContinuation) => (Text, End),
        (C1Lead, _) => (Text, Restart(0)),
        (Escape | EscIntermediate | Csi, Byte::Esc) => (Text, Restart(0)),
        (Escape | EscIntermediate | Csi, Byte::Bell | Byte::OtherC0) => (state, Execute),
        (Escape, Byte::Bracket) => (Csi, Hold),
        (Escape, Byte::StringLetter) => (StringBody, Hold),
        (Escape | EscIntermediate, Byte::Intermediate) => (EscIntermediate, Hold),
        (Csi, Byte::Intermediate | Byte::Parameter) => (Csi, Hold),
        (Escape | EscIntermediate | Csi, _) => (Text, End),
        (StringBody, Byte::Esc) => (StringEscape, Hold),
        (StringBody, Byte::Bell | Byte::Cancel | Byte::C1Terminator) => (Text, End),
        (StringBody, _) => (StringBody, Hold),
        (StringEscape, Byte::Backslash) => (Text, End),
        (StringEscape, _) => (Escape, Restart(1)),
    }
}
