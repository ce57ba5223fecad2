//! Lines of what another host says, of which nothing is to be believed.

use crate::manage::limits::HOST_LINE_MAX;
use crate::manage::output;
use crate::reply_filter::PlainText;

/// Takes output apart into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// How many bytes of the current line have been dropped, as the line is too long.
    dropped: usize,
}

/// A line without its end. `Err`: it had so many bytes, and is left out.
pub(crate) type Line = Result<Vec<u8>, usize>;

impl Lines {
    /// Takes more output. Returns the lines that are complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut parts = bytes.split(|byte| *byte == b'\n');
        let rest = parts.next_back().unwrap_or_default();
        for part in parts {
            self.append(part);
            lines.push(self.take());
        }
        self.append(rest);
        lines
    }

    /// Takes more output, and looks for a line. Returns what follows that line.
    pub(crate) fn find(&mut self, wanted: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            let lines = self.push(line);
            let is_it = |line: &Line| {
                line.as_ref().is_ok_and(|line| line.strip_suffix(b"\r").unwrap_or(line) == wanted)
            };
            if lines.iter().any(is_it) {
                return Some(after.to_vec());
            }
            rest = after;
        }
        self.push(rest);
        None
    }

    /// The last line, if it has no end.
    pub(crate) fn rest(&mut self) -> Option<Line> {
        (self.dropped > 0 || !self.buffer.is_empty()).then(|| self.take())
    }

    fn append(&mut self, part: &[u8]) {
        if self.dropped > 0 || self.buffer.len() + part.len() > HOST_LINE_MAX {
            self.dropped += self.buffer.len() + part.len();
            self.buffer = Vec::new();
        } else {
            self.buffer.extend_from_slice(part);
        }
    }

    fn take(&mut self) -> Line {
        match std::mem::take(&mut self.dropped) {
            0 => Ok(std::mem::take(&mut self.buffer)),
            dropped => Err(dropped),
        }
    }
}

/// A line as it may be shown on a terminal: without escape sequences, other control characters
/// escaped. What is too long loses its middle.
pub(crate) fn shown(line: &[u8]) -> String {
    output::line(&plain(line))
}

/// A text without escape sequences and tabs, and without CRs at its end. Other control characters are
/// still there.
pub(crate) fn plain(text: &[u8]) -> String {
    let mut plain = Vec::new();
    let mut filter = PlainText::default();
    filter.filter(text, &mut plain);
    filter.break_off(&mut plain);
    String::from_utf8_lossy(&plain).replace('\t', "    ").trim_end_matches('\r').to_owned()
}

/// JSON that may be shown on a terminal: control characters in texts are escaped.
pub(crate) fn json(text: &str) -> String {
    let mut escaped = String::new();
    let mut units = [0; 2];
    for letter in text.chars() {
        if letter != '\n' && output::is_harmful(letter) {
            for unit in letter.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_any_pieces() {
        let mut lines = Lines::default();
        assert!(lines.push(b"a").is_empty());
        assert_eq!(lines.push(b"b\n\nc\nd"), [Ok(b"ab".to_vec()), Ok(vec![]), Ok(b"c".to_vec())]);
        assert_eq!((lines.rest(), lines.rest()), (Some(Ok(b"d".to_vec())), None));
        assert!(lines.push(&vec![b'x'; HOST_LINE_MAX]).is_empty());
        assert!(lines.push(&vec![b'x'; HOST_LINE_MAX]).is_empty());
        assert_eq!(lines.push(b"x\ny\n"), [Err(2 * HOST_LINE_MAX + 1), Ok(b"y".to_vec())]);
        assert!(lines.buffer.capacity() < 100);
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        let line = b"\x1b[31mred\x1b]0;title\x07\x1b[2J\ta\x9b1mb\xc2\x9b7mc\x00\xe2\x80\xae\r";
        let text = shown(line);
        assert!(text.starts_with("red    a") && text.ends_with("\\u{202e}\n"), "{text:?}");
        assert!(!text.trim_end().chars().any(output::is_harmful), "{text:?}");
        assert!(shown(&vec![b'x'; 100_000]).len() < 2000);
        assert_eq!(json("{\"a\": \"\u{9b}\u{202e}\"}\n"), "{\"a\": \"\\u009b\\u202e\"}\n");
    }
}
