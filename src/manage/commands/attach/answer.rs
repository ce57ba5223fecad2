//! The answer to a line that was typed: the output after it, without the echo of the line.

/// Output after a line, as it comes.
pub(super) struct AnswerReader {
    /// The line that was typed, until its echo has come.
    echo: Option<Vec<u8>>,
    /// The text that is waited for.
    until: Option<Vec<u8>>,
    /// The last line, which may not be complete.
    line: Vec<u8>,
    has_come: bool,
}

impl AnswerReader {
    /// The answer to `line`, which ends with `until` if that is given.
    pub(super) fn new(line: &str, until: Option<&str>) -> AnswerReader {
        AnswerReader {
            echo: Some(line.as_bytes().to_vec()).filter(|echo| !echo.is_empty()),
            until: until.map(|text| text.as_bytes().to_vec()),
            line: Vec::new(),
            has_come: false,
        }
    }

    /// Takes output, and returns the complete lines of the answer. What comes after the text that is
    /// waited for is passed over.
    pub(super) fn push(&mut self, output: &[u8]) -> Vec<u8> {
        let mut lines = Vec::new();
        for &byte in output {
            if self.has_come {
                break;
            }
            self.line.push(byte);
            if byte == b'\n' {
                lines.extend(self.end_line());
            } else if self.echo.is_none() && self.has_text() {
                self.has_come = true;
            }
        }
        lines
    }

    fn end_line(&mut self) -> Vec<u8> {
        let line = std::mem::take(&mut self.line);
        if let Some(echo) = &self.echo
            && line.trim_ascii_end().ends_with(echo.trim_ascii_end())
        {
            self.echo = None;
            return Vec::new();
        }
        self.has_come |= contains(&line, self.until.as_deref());
        line
    }

    fn has_text(&self) -> bool {
        self.until.as_deref().is_some_and(|text| self.line.ends_with(text))
    }

    /// The console is silent: a line without its end is no echo that is still to be completed.
    /// Returns true if the text is in it.
    pub(super) fn settle(&mut self) -> bool {
        self.has_come |= contains(&self.line, self.until.as_deref());
        self.has_come
    }

    /// Returns true if the text that is waited for has come.
    pub(super) fn has_come(&self) -> bool {
        self.has_come
    }

    /// The last line, with a line end if it has none. Empty if there is no such line.
    pub(super) fn rest(mut self) -> Vec<u8> {
        if !self.line.is_empty() {
            self.line.push(b'\n');
        }
        self.line
    }
}

/// Returns true if `line` has the text in it. An empty text is in every line.
fn contains(line: &[u8], text: Option<&[u8]>) -> bool {
    let Some(text) = text else { return false };
    text.is_empty() || line.windows(text.len()).any(|part| part == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, until: &str, pieces: &[&str]) -> (String, bool) {
        let mut reader = AnswerReader::new(line, Some(until));
        let mut shown = Vec::new();
        for piece in pieces {
            shown.extend(reader.push(piece.as_bytes()));
        }
        let has_come = reader.has_come();
        shown.extend(reader.rest());
        (String::from_utf8(shown).unwrap(), has_come)
    }

    #[test]
    fn the_echo_is_no_answer() {
        assert_eq!(read("dbl", "dbl", &["ioc> d", "bl\r\n"]), (String::new(), false));
        let answer = ("rec:1\r\nioc> \n".to_owned(), true);
        assert!(read("dbl", "ioc>", &["ioc> dbl\r\nrec:1\r\nioc", ">"]).1);
        assert_eq!(read("dbl", "ioc> ", &["ioc> dbl\r\nrec:1\r\nioc> ", "later"]), answer);
    }

    #[test]
    fn a_line_after_the_echo_counts() {
        assert_eq!(read("a", "a", &["a\r\n", "b\r\nxa"]), ("b\r\nxa\n".to_owned(), true));
    }

    #[test]
    fn without_an_echo_silence_ends_a_line() {
        let mut reader = AnswerReader::new("dbl", Some("> "));
        assert!(reader.push(b"ioc> ").is_empty() && !reader.has_come());
        assert!(reader.settle());
    }
}
