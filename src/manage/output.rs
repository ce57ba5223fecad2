//! What commands print.

use std::io::{self, Write};

use serde_json::Value;

use super::error::CommandError;
use super::limits::COLUMN_MAX;

/// Prints a line to standard error. Errors are ignored: the reader may have ended.
pub(crate) fn print_error(text: &str) {
    let _ = writeln!(io::stderr(), "manage-procs: {text}");
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

/// Writes a value to standard output, over several lines.
///
/// # Errors
/// Those of [`print()`].
pub(crate) fn print_json(value: &Value) -> Result<(), CommandError> {
    print(&format!("{value:#}\n"))
}

/// Replaces control characters by escapes: names and texts of others must not end a line or move
/// the cursor.
pub(crate) fn escape_control(text: &str) -> String {
    let letter = |letter: char| match letter.is_control() {
        true => letter.escape_default().collect(),
        false => letter.to_string(),
    };
    text.chars().map(letter).collect()
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
