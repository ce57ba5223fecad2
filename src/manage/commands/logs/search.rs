//! Searches log files and those that were rotated before them: each byte is read once, and memory does
//! not grow with the files.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use regex::bytes::{Regex, RegexBuilder};

use super::files::LogFile;
use super::stamps::StampReader;
use crate::manage::error::CommandError;
use crate::manage::inspect::archive::{self, Piece};
use crate::manage::inspect::rotated::{self, Position};
use crate::manage::limits::{LOG_CHUNK, LOG_LINE_MAX};
use crate::manage::timestamp;
use crate::sys;

/// Which lines are asked for. Times are in microseconds since the epoch.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    since: Option<i64>,
    until: Option<i64>,
    pattern: Option<Regex>,
}

impl Selection {
    /// `now` is in milliseconds since the epoch. A pattern without capital letters matches them, too, as
    /// in journalctl(1).
    ///
    /// # Errors
    /// What is no time or no pattern.
    pub(super) fn new(
        since: Option<&str>,
        until: Option<&str>,
        pattern: Option<&str>,
        now: i64,
    ) -> Result<Selection, CommandError> {
        let time = |option: &str, text: Option<&str>| {
            let read = |text| timestamp::parse(text, now).map(|millis| millis.saturating_mul(1000));
            text.map(read)
                .transpose()
                .map_err(|what| CommandError::usage(format!("--{option}: {what}")))
        };
        let compile = |text: &str| {
            let is_insensitive = !text.chars().any(char::is_uppercase);
            let built = RegexBuilder::new(text).case_insensitive(is_insensitive).build();
            built.map_err(|_| CommandError::usage(format!("--grep: {text:?} is not a pattern")))
        };
        Ok(Selection {
            since: time("since", since)?,
            until: time("until", until)?,
            pattern: pattern.map(compile).transpose()?,
        })
    }

    pub(super) fn has_times(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    pub(super) fn is_everything(&self) -> bool {
        !self.has_times() && self.pattern.is_none()
    }

    /// Returns true if something that was written from the first to the second time is asked for.
    fn overlaps(&self, first: i64, last: i64) -> bool {
        self.since.is_none_or(|since| last >= since)
            && self.until.is_none_or(|until| first <= until)
    }

    /// Returns true if a line is asked for. A time that is not known may be any.
    pub(super) fn has(&self, line: &Line) -> bool {
        line.micros.is_none_or(|micros| self.overlaps(micros, micros))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&line.text))
    }
}

/// A line of a log file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The time of its stamp, or of the stamp before it, in microseconds since the epoch.
    pub(super) micros: Option<i64>,
    /// What stands behind the stamp.
    pub(super) text: Vec<u8>,
}

/// The lines in some bytes of a log. `last` is the time of the last stamp.
pub(super) fn lines(
    stamps: Option<&StampReader>,
    bytes: &[u8],
    last: &mut Option<i64>,
) -> Vec<Line> {
    let all = bytes.split_inclusive(|&byte| byte == b'\n');
    all.map(|line| match stamps.and_then(|stamps| stamps.split(line)) {
        Some((micros, text)) => {
            *last = Some(micros);
            Line { micros: *last, text: text.to_vec() }
        }
        None => Line { micros: *last, text: line.to_vec() },
    })
    .collect()
}

/// What a search reports.
#[derive(Debug)]
pub(super) enum Found {
    /// The lines in a piece of the log that are asked for. Often there are none.
    Lines(Vec<Line>),
    /// Why a file can't be read.
    Failed(String),
    /// All is read, and the log itself up to here.
    End(Option<Position>),
}

/// Searches the files of a log in a thread, which waits while nobody takes what it finds.
pub(super) fn search(log: LogFile, selection: Selection) -> Receiver<Found> {
    let (sender, found) = sync_channel(2);
    thread::spawn(move || {
        let search = Search { log, selection, sender, last: None };
        // A failed search is one that nobody wants any longer.
        let _ = search.run();
    });
    found
}

/// Nobody wants to know more.
struct Unwanted;

struct Search {
    log: LogFile,
    selection: Selection,
    sender: SyncSender<Found>,
    /// The time of the last stamp.
    last: Option<i64>,
}

impl Search {
    fn run(mut self) -> Result<(), Unwanted> {
        let pieces = match archive::pieces(&self.log.path) {
            Ok(pieces) => pieces,
            Err(error) => {
                self.fail(&self.log.path.display().to_string(), &error)?;
                return self.report(Found::End(None));
            }
        };
        let count = pieces.len();
        let mut position = None;
        let mut before = i64::MIN;
        for (number, piece) in pieces.into_iter().enumerate() {
            let is_live = number + 1 == count;
            // What was written between two rotations is in one file. A stamp may be older than that.
            let first = if self.log.stamps.is_some() { i64::MIN } else { before };
            before = piece.modified;
            if !self.selection.overlaps(first, piece.modified) {
                if is_live {
                    let end = rotated::tail(&self.log.path, 1, |_| true);
                    position = end.ok().and_then(|end| end.position);
                }
                continue;
            }
            match self.read(&piece, is_live)? {
                Ok(offset) => position = Some(Position::new(piece.id, offset)),
                Err(error) => self.fail(&piece.path.display().to_string(), &error)?,
            }
        }
        self.report(Found::End(position))
    }

    /// Reads a file, and returns the offset behind its last line.
    fn read(&mut self, piece: &Piece, is_live: bool) -> Result<io::Result<u64>, Unwanted> {
        let mut content = match piece.open() {
            Ok(content) => content,
            Err(error) => return Ok(Err(error)),
        };
        let mut chunk = vec![0; LOG_CHUNK];
        let mut bytes = Vec::new();
        let mut offset = 0;
        loop {
            let count = match content.read(&mut chunk) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(error)),
            };
            bytes.extend(chunk.get(..count).unwrap_or_default());
            let mut end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            // A line may have no end. That of the log itself may come.
            if (count == 0 && !is_live) || (end == 0 && bytes.len() >= LOG_LINE_MAX) {
                end = bytes.len();
            }
            let rest = bytes.split_off(end);
            let mut found = lines(self.log.stamps.as_ref(), &bytes, &mut self.last);
            found.retain(|line| self.selection.has(line));
            self.report(Found::Lines(found))?;
            offset += bytes.len() as u64;
            bytes = rest;
            if count == 0 {
                return Ok(content.finish().map(|()| offset));
            }
        }
    }

    fn fail(&self, path: &str, error: &io::Error) -> Result<(), Unwanted> {
        self.report(Found::Failed(format!("{path}: {}", sys::reason(error))))
    }

    fn report(&self, found: Found) -> Result<(), Unwanted> {
        self.sender.send(found).map_err(|_| Unwanted)
    }
}
