//! The stamps of `--logstamp`, read back as times.

use chrono::format::{Item, Parsed, StrftimeItems, parse_and_remainder};
use chrono::{DateTime, Local, TimeDelta, TimeZone};

use crate::config::time_format;
use crate::sys::time;

/// Reads stamps of one format.
#[derive(Debug, Clone)]
pub(super) struct StampReader {
    /// The format without the blanks at its end.
    items: Vec<Item<'static>>,
    /// These blanks, which are not those at the beginning of a line.
    blanks: String,
}

/// A stamp is not longer than this, in bytes.
const STAMP_MAX: usize = 256;

impl StampReader {
    /// For a format of strftime(3). `None` if no date and time can be read back from such a stamp: it
    /// has no date, or a conversion that chrono does not know.
    pub(super) fn new(format: &[u8]) -> Option<StampReader> {
        let text = std::str::from_utf8(format).ok()?;
        // chrono has another letter for the fraction of the second.
        let mut text = text.replace("%%", "%\u{0}");
        for digits in ["3", "6", "9"] {
            text = text.replace(&format!("%{digits}N"), &format!("%{digits}f"));
        }
        let text = text.replace("%\u{0}", "%%");
        let bare = text.trim_end_matches(' ');
        let blanks = " ".repeat(text.len() - bare.len());
        let items: Vec<Item<'static>> = StrftimeItems::new(bare).map(Item::to_owned).collect();
        let reader = StampReader { items, blanks };
        // A stamp of this moment has to be this moment, to the minute.
        let (now, nanos) = time::wall_nanos();
        let sample = time::strftime(now, &time_format::with_fraction(format, nanos));
        let (micros, rest) = reader.split(&sample)?;
        (rest.is_empty() && (now - micros.div_euclid(1_000_000)).abs() <= 60).then_some(reader)
    }

    /// The time of a line, in microseconds since the epoch, and what the line has behind its stamp. `None`
    /// for a line without a stamp.
    pub(super) fn split<'l>(&self, line: &'l [u8]) -> Option<(i64, &'l [u8])> {
        let head = line.get(..STAMP_MAX).unwrap_or(line);
        let head = match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
        };
        let mut parsed = Parsed::new();
        let rest = parse_and_remainder(&mut parsed, head, self.items.iter()).ok()?;
        let rest = rest.strip_prefix(&self.blanks)?;
        let time = match parsed.to_datetime() {
            Ok(time) => time.timestamp_micros(),
            Err(_) => local(&parsed)?.timestamp_micros(),
        };
        Some((time, line.get(head.len() - rest.len()..)?))
    }
}

/// A time without an offset is local time.
fn local(parsed: &Parsed) -> Option<DateTime<Local>> {
    let time = parsed.to_naive_datetime_with_offset(0).ok()?;
    // Summer time begins by leaving an hour out.
    let later = || Local.from_local_datetime(&(time + TimeDelta::hours(1))).earliest();
    Local.from_local_datetime(&time).earliest().or_else(later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_back() {
        // 2026-11-30 12:34:56.789 in local time.
        let seconds = Local.with_ymd_and_hms(2026, 11, 30, 12, 34, 56).unwrap().timestamp();
        for (format, precision) in [
            ("[%c] ", 1_000_000),
            ("%Y-%m-%d %H:%M:%S ", 1_000_000),
            ("[%F %T.%3N] ", 1000),
            ("%FT%T.%6N%z|", 1),
            ("%s: ", 1_000_000),
            ("%a %d %b %Y %T %Z  ", 1_000_000),
            ("%d/%m/%y %I:%M:%S %p%% ", 1_000_000),
        ] {
            let reader = StampReader::new(format.as_bytes()).unwrap_or_else(|| panic!("{format}"));
            let format = time_format::with_fraction(format.as_bytes(), 789_000_000);
            let mut line = time::strftime(seconds, &format);
            line.extend(b"   text \xff");
            let (micros, rest) = reader.split(&line).unwrap();
            let expected = (seconds * 1_000_000 + 789_000) / precision * precision;
            assert_eq!((micros, rest), (expected, &b"   text \xff"[..]), "{format:?}");
            assert_eq!(reader.split(b"text"), None);
            assert_eq!(reader.split(b""), None);
        }
        for format in ["", "[%T] ", "%Y ", "%Ey-%m-%d %T", "%", "%^a %d", "x"] {
            assert!(StampReader::new(format.as_bytes()).is_none(), "{format}");
        }
    }
}
