//! What a user types, as keys. Terminals send keys as bytes and escape sequences (ECMA-48, xterm's
//! `ctlseqs`).

/// A key that has a meaning here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    /// A character of a text that was pasted (`?2004`), which must not be taken for commands.
    Pasted(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Control and a letter, such as `C` for `^C`.
    Control(char),
}

/// What precedes and follows a text that is pasted.
const PASTE: [&[u8]; 2] = [b"\x1b[200~", b"\x1b[201~"];

/// An escape sequence that is longer, in bytes, is of no key.
const SEQUENCE_MAX: usize = 32;

/// Decodes what a terminal sends.
#[derive(Debug, Default)]
pub(super) struct KeyDecoder {
    /// The beginning of a key, whose rest is still to come.
    pending: Vec<u8>,
    is_pasting: bool,
}

impl KeyDecoder {
    /// The keys in `bytes`, which one call of read(2) has returned.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.pending.extend(bytes);
        let mut keys = Vec::new();
        let mut rest = std::mem::take(&mut self.pending);
        while let Some((key, length)) = self.first(&rest) {
            keys.extend(key);
            rest.drain(..length);
        }
        self.pending = rest;
        keys
    }

    /// The first key, if there is one, and how many bytes to go on behind. `None` if more bytes are
    /// needed.
    fn first(&mut self, bytes: &[u8]) -> Option<(Option<Key>, usize)> {
        match bytes {
            [] => None,
            // The escape key alone is sent alone.
            [0x1b] => Some((Some(Key::Escape), 1)),
            [0x1b, b'[' | b'O', ..] => self.sequence(bytes),
            [0x1b, ..] => Some((Some(Key::Escape), 1)),
            [byte @ ..=0x1f | byte @ 0x7f, ..] if !self.is_pasting => {
                Some((Some(control(*byte)), 1))
            }
            _ => self.character(bytes),
        }
    }

    fn sequence(&mut self, bytes: &[u8]) -> Option<(Option<Key>, usize)> {
        // `ESC [ [ A` is a function key of Linux's console.
        let start = if bytes.starts_with(b"\x1b[[") { 3 } else { 2 };
        let end = bytes.iter().skip(start).position(|byte| (0x40..=0x7e).contains(byte));
        let Some(end) = end.map(|end| start + end) else {
            return (bytes.len() > SEQUENCE_MAX).then_some((None, bytes.len()));
        };
        let sequence = bytes.get(..=end).unwrap_or_default();
        if let Some(place) = PASTE.iter().position(|mark| *mark == sequence) {
            self.is_pasting = place == 0;
        }
        let key = match (sequence.get(2..end), sequence.last()) {
            _ if start == 3 || self.is_pasting => None,
            (_, Some(b'A')) => Some(Key::Up),
            (_, Some(b'B')) => Some(Key::Down),
            (_, Some(b'H')) | (Some(b"1" | b"7"), Some(b'~')) => Some(Key::Home),
            (_, Some(b'F')) | (Some(b"4" | b"8"), Some(b'~')) => Some(Key::End),
            (Some(b"5"), Some(b'~')) => Some(Key::PageUp),
            (Some(b"6"), Some(b'~')) => Some(Key::PageDown),
            (Some(b""), Some(b'M')) if sequence.starts_with(b"\x1bO") => Some(Key::Enter),
            _ => None,
        };
        Some((key, end + 1))
    }

    /// A character in UTF-8.
    fn character(&self, bytes: &[u8]) -> Option<(Option<Key>, usize)> {
        let chunk = bytes.utf8_chunks().next()?;
        let Some(letter) = chunk.valid().chars().next() else {
            let length = chunk.invalid().len();
            // The rest of a character may be still to come, of at most four bytes.
            let is_whole = length < bytes.len()
                || std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some());
            return is_whole.then_some((None, length));
        };
        let key = if self.is_pasting { Key::Pasted(letter) } else { Key::Char(letter) };
        Some((Some(key), letter.len_utf8()))
    }
}

fn control(byte: u8) -> Key {
    match byte {
        b'\r' | b'\n' => Key::Enter,
        0x08 | 0x7f => Key::Backspace,
        _ => Key::Control(char::from(byte | 0x40)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        KeyDecoder::default().decode(bytes)
    }

    #[test]
    fn keys_of_terminals() {
        for (bytes, key) in [
            (b"q".as_slice(), Key::Char('q')),
            ("\u{e4}".as_bytes(), Key::Char('\u{e4}')),
            (b"\x1b", Key::Escape),
            (b"\r", Key::Enter),
            (b"\x7f", Key::Backspace),
            (b"\x03", Key::Control('C')),
            (b"\x1b[A", Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[1;5B", Key::Down),
            (b"\x1b[5~", Key::PageUp),
            (b"\x1b[6~", Key::PageDown),
            (b"\x1b[1~", Key::Home),
            (b"\x1b[F", Key::End),
        ] {
            assert_eq!(keys(bytes), [key], "{bytes:?}");
            // However the bytes arrive, except that the first alone is a key.
            let mut decoder = KeyDecoder::default();
            let mut found = decoder.decode(&bytes[..bytes.len().min(2)]);
            bytes.iter().skip(2).for_each(|byte| found.extend(decoder.decode(&[*byte])));
            assert_eq!(found, [key], "{bytes:?}");
        }
        assert_eq!(keys(b"\x1bq"), [Key::Escape, Key::Char('q')]);
        for bytes in [b"\x1b[[A".as_slice(), b"\x1b[?1;2c", b"\x1b[999~", b"\xff", b"\x1b[<0;1;1M"]
        {
            assert_eq!(keys(bytes), [], "{bytes:?}");
        }
    }

    #[test]
    fn what_is_pasted_is_no_command() {
        let mut decoder = KeyDecoder::default();
        let mut found = decoder.decode(b"\x1b[200~q\r\x1b[A");
        found.extend(decoder.decode(b"\x1b[201~q"));
        let expected = [Key::Pasted('q'), Key::Pasted('\r'), Key::Char('q')];
        assert_eq!(found, expected);
    }

    /// Bytes of any kind neither block nor pile up.
    #[test]
    fn nothing_piles_up() {
        let mut decoder = KeyDecoder::default();
        for seed in 0..200_u8 {
            let bytes: Vec<u8> = (0..97_u8).map(|step| step.wrapping_mul(seed) ^ 0x1b).collect();
            decoder.decode(&bytes);
            decoder.decode(&[0x1b, b'[', b'1', b';'].repeat(usize::from(seed)));
            assert!(decoder.pending.len() <= SEQUENCE_MAX, "{:?}", decoder.pending);
        }
    }
}
