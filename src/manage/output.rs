//! What commands print.

use std::io::{self, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use super::error::CommandError;
use super::limits::{COLUMN_MAX, MESSAGE_MAX};

/// Prints a line to standard error. Errors are ignored: the reader may have ended.
pub(crate) fn print_error(text: &str) {
    let _ = write!(io::stderr(), "manage-procs: {}", line(text));
}

/// Writes a text to standard output.
///
/// # Errors
/// Those of write(2), except `EPIPE`: the reader may have ended.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::system("standard output", &error))
        }
        _ => Ok(()),
    }
}

/// Returns false if the reader of standard output has ended.
pub(crate) fn is_read() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(count) if count > 0)
}

/// Writes a value to standard output, over several lines.
///
/// # Errors
/// Those of [`print()`].
pub(crate) fn print_json(value: &Value) -> Result<(), CommandError> {
    print(&format!("{value:#}\n"))
}

/// A message as a line: parts of it may be from a file, a server or another user. What is too long
/// loses its middle, as its beginning says what it is about, and its end what is wrong.
pub(crate) fn line(text: &str) -> String {
    format!("{}\n", escape_control(&shortened(text)))
}

/// A text without its middle if it is too long for a message.
pub(crate) fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= MESSAGE_MAX {
        return text.to_owned();
    }
    let half = MESSAGE_MAX / 2;
    let first: String = text.chars().take(half).collect();
    let last: String = text.chars().skip(length - half).collect();
    format!("{first} [...] {last}")
}

/// Replaces control characters by escapes: names and texts of others must not end a line, move the
/// cursor, or turn the direction of writing around.
pub(crate) fn escape_control(text: &str) -> String {
    let letter = |letter: char| match is_harmful(letter) {
        true => letter.escape_default().collect(),
        false => letter.to_string(),
    };
    text.chars().map(letter).collect()
}

/// Returns true for control characters, for separators of lines and paragraphs, and for the
/// characters that change the direction of writing (Unicode, annex 9).
pub(crate) fn is_harmful(letter: char) -> bool {
    if letter.is_control() {
        return true;
    }
    matches!(letter, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Formats a number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a length of time by its two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Formats a length of time by its largest unit.
pub(crate) fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, ..) => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

/// Formats a number of bytes. Large ones are rounded.
pub(crate) fn size(bytes: u64) -> String {
    let (kib, mib, gib) = (bytes >> 10, bytes >> 20, bytes >> 30);
    match (gib, mib, kib) {
        (0, 0, 0..10) => format!("{bytes} bytes"),
        (0, 0..10, _) => format!("{kib} KiB"),
        (0..10, ..) => format!("{mib} MiB"),
        _ => format!("{gib} GiB"),
    }
}

/// Formats rows as a table. The first row has the names of the columns.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| escape_control(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell: &String| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> =
        (0..columns).map(|column| width(column).unwrap_or(0).min(COLUMN_MAX)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_974_212, "1,974,212")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn lengths_of_time() {
        for (seconds, long, short) in
            [(0, "0s", "0s"), (61, "1m01s", "1m"), (3600, "1h00m", "1h"), (90_061, "1d01h", "1d")]
        {
            assert_eq!((span(seconds).as_str(), age(seconds).as_str()), (long, short));
        }
    }

    #[test]
    fn sizes() {
        let sizes = [0, 10_239, 10_240, 10 << 20, 10 << 30, u64::MAX].map(size);
        let expected = ["0 bytes", "10239 bytes", "10 KiB", "10 MiB", "10 GiB", "17179869183 GiB"];
        assert_eq!(sizes, expected);
    }
}
