//! Caret notation for control characters: parsing it (contract section 1), and printing it in the
//! greeting (contract section 3). procServ itself knows `^A` to `^Z` and `^^` only.

/// Returns the character that the option of a command names; `None` disables the command.
#[must_use]
pub fn parse_command(text: &[u8]) -> Option<u8> {
    // NUL, `^@`, cannot be told from the NUL that telnet clients send after CR (RFC 854).
    parse_list(text).next().filter(|&byte| byte != 0)
}

/// Returns the characters of a list such as `^D^C^]`, in the order given.
pub fn parse_list(text: &[u8]) -> impl Iterator<Item = u8> {
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

/// Returns the bytes of a text with control characters in caret notation and with the escapes `\r`,
/// `\n`, `\t`, `\e` (ESC), `\\` and `\^`.
///
/// # Errors
///
/// If the text has another escape, or a caret that no control character follows: the escape.
pub fn parse_text(text: &[u8]) -> Result<Vec<u8>, &[u8]> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let (byte, count) = match (first, tail.first()) {
            (b'^', Some(b'^')) => (Some(b'^'), 2),
            (b'^', letter) => (letter.copied().and_then(control), 2),
            (b'\\', letter) => (letter.copied().and_then(escaped), 2),
            (&byte, _) => (Some(byte), 1),
        };
        let (escape, behind) = rest.split_at(count.min(rest.len()));
        bytes.push(byte.ok_or(escape)?);
        rest = behind;
    }
    Ok(bytes)
}

fn escaped(letter: u8) -> Option<u8> {
    match letter {
        b'r' => Some(b'\r'),
        b'n' => Some(b'\n'),
        b't' => Some(b'\t'),
        b'e' => Some(0x1b),
        b'\\' | b'^' => Some(letter),
        _ => None,
    }
}

/// Returns `byte` as the greeting shows it: a control character as `^` and its letter, any other
/// byte as itself.
#[must_use]
pub fn to_caret(byte: u8) -> Vec<u8> {
    if byte.is_ascii_control() { vec![b'^', byte ^ 0x40] } else { vec![byte] }
}

fn control(letter: u8) -> Option<u8> {
    match letter.to_ascii_uppercase() {
        upper @ (b'@'..=b'Z' | b'[' | b'\\' | b']' | b'_' | b'?') => Some(upper ^ 0x40),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expand(text: &[u8]) -> Vec<u8> {
        parse_list(text).collect()
    }

    #[test]
    fn lists_from_the_field() {
        assert_eq!(expand(b"^D^C^]"), [4, 3, 0x1d]);
        assert_eq!(expand(b"^c^@x"), [3, 0, b'x']);
        assert_eq!(expand(b"^?^[^\\^_"), [0x7f, 0x1b, 0x1c, 0x1f]);
    }

    #[test]
    fn a_caret_before_anything_else_is_itself() {
        assert_eq!(expand(b"^"), b"^");
        assert_eq!(expand(b"a^"), b"a^");
        assert_eq!(expand(b"^1^{^~"), b"^1^{^~");
        assert_eq!(expand(b"^\xc3"), b"^\xc3");
        assert_eq!(expand(b"^`"), b"^`");
    }

    /// As procServ 2.7.0 does it: `-i ^^C` swallows `^` and `C`, `-i ^^^C` `^` and 0x03.
    #[test]
    fn two_carets_are_one() {
        assert_eq!(expand(b"^^"), b"^");
        assert_eq!(expand(b"^^C"), b"^C");
        assert_eq!(expand(b"^^^C"), b"^\x03");
    }

    #[test]
    fn a_command_is_the_first_character() {
        assert_eq!(parse_command(b""), None);
        assert_eq!(parse_command(b"^@"), None);
        assert_eq!(parse_command(b"^x"), Some(0x18));
        assert_eq!(parse_command(b"^^"), Some(b'^'));
        assert_eq!(parse_command(b"^1"), Some(b'^'));
        assert_eq!(parse_command(b"xyz"), Some(b'x'));
        assert_eq!(parse_command(b"\xe9"), Some(0xe9));
    }

    #[test]
    fn ascii_survives_display_and_parse() {
        // All but 0x1e: its `^^` already means `^`.
        for byte in (0..128).filter(|&byte| byte != 0x1e) {
            assert_eq!(expand(&to_caret(byte)), [byte]);
        }
        assert_eq!(to_caret(0x1e), b"^^");
        assert_eq!(to_caret(0x18), b"^X");
        assert_eq!(to_caret(0x7f), b"^?");
        assert_eq!(to_caret(b'^'), b"^");
        assert_eq!(to_caret(0xe9), [0xe9]);
    }

    #[test]
    fn texts_have_escapes() {
        for (text, bytes) in [
            (&b"exit\\r"[..], &b"exit\r"[..]),
            (b"^Uexit^M", b"\x15exit\r"),
            (b"\\e:wq\\n\\t", b"\x1b:wq\n\t"),
            (b"\\\\^^\\^^@", b"\\^^\0"),
            (b"^\\r^?\xff", b"\x1cr\x7f\xff"),
            (b"", b""),
        ] {
            assert_eq!(parse_text(text), Ok(bytes.to_vec()), "{}", text.escape_ascii());
        }
        for (text, wrong) in [
            (&b"a\\x"[..], &b"\\x"[..]),
            (b"\\", b"\\"),
            (b"\\R", b"\\R"),
            (b"exit^", b"^"),
            (b"^1", b"^1"),
            (b"\\0", b"\\0"),
        ] {
            assert_eq!(parse_text(text), Err(wrong), "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn a_list_without_carets_is_itself(text in proptest::collection::vec(1..=255_u8, 0..20)) {
            let text: Vec<u8> = text.into_iter().filter(|&byte| byte != b'^').collect();
            prop_assert_eq!(expand(&text), text);
        }

        #[test]
        fn no_list_grows(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            prop_assert!(expand(&text).len() <= text.len());
            prop_assert!(expand(&text).len() * 2 >= text.len());
        }
    }
}
