//! Caret notation: what a user types for a control character (contract section 1), and the way
//! back for the greeting. procServ itself knows `^A` to `^Z` and `^^` only.

/// The character that a command option names; `None` disables the command.
#[must_use]
pub fn command_char(text: &[u8]) -> Option<u8> {
    // A NUL, `^@`, can't be told from the NUL that telnet clients send after CR.
    list(text).next().filter(|&byte| byte != 0)
}

/// The characters of a list such as `^D^C^]`, in the order given.
pub fn list(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, tail) = match *rest {
            [b'^', b'^', ref tail @ ..] => (b'^', tail),
            [b'^', letter, ref tail @ ..] if let Some(control) = control(letter) => (control, tail),
            [byte, ref tail @ ..] => (byte, tail),
            [] => return None,
        };
        rest = tail;
        Some(byte)
    })
}

/// How the greeting shows `byte`: a control character as `^` and its letter, any other as itself.
#[must_use]
pub fn display(byte: u8) -> Vec<u8> {
    if byte.is_ascii_control() { vec![b'^', byte ^ 0x40] } else { vec![byte] }
}

fn control(letter: u8) -> Option<u8> {
    match letter.to_ascii_uppercase() {
        upper @ (b'@'..=b'Z' | b'[' | b'\\' | b']' | b'_' | b'?') => Some(upper ^ 0x40),
        _ => None,
    }
}
