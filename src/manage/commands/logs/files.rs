//! The log files of instances: what is asked of them, and what they get.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::LogFormatter;
use super::search::{self, Found, Line, Selection, search};
use super::stamps::StampReader;
use crate::config::LogTarget;
use crate::manage::error::CommandError;
use crate::manage::inspect::rotated::{self, Position, Tail};
use crate::manage::inspect::{archive, bounded};
use crate::manage::limits::{LOG_SEARCH_TIMEOUT, TAIL_MIN, TAILS_MAX};
use crate::manage::output;
use crate::manage::registry::{Instance, Registry};
use crate::sys;

/// The log file of an instance: what its child writes is there, and not in the journal.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    /// The name of the instance.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Reads the times of lines. `None`: the lines have none.
    pub(super) stamps: Option<StampReader>,
}

impl LogFile {
    fn complain(&self, what: &str) {
        output::print_error(&format!("{}: {what}", self.name));
    }

    fn does_not_answer(&self) {
        self.complain(&format!("{}: the disk does not answer", self.path.display()));
    }

    fn is_cut(&self) {
        let path = self.path.display();
        self.complain(&format!("the oldest lines are left out; all of them are in {path}"));
    }
}

/// The log files of instances.
pub(super) fn log_files(registry: &Registry, instances: &[Instance]) -> Vec<LogFile> {
    let of = |instance: &Instance| {
        if instance.options.is_empty() {
            return None;
        }
        let log = instance.server_config(registry).ok()?.log;
        let Some(LogTarget::File(path)) = log.target else { return None };
        Some(LogFile {
            name: instance.name.clone(),
            path: registry.in_root(&instance.chdir.join(path)),
            stamps: log.stamp.and_then(|format| StampReader::new(&format)),
        })
    };
    instances.iter().filter_map(of).collect()
}

/// A log file, how far the file has been read, and the time of the last line.
pub(super) type FollowedFile = (LogFile, Option<Position>, Option<i64>);

/// How far a log file has been read, and the time of the last line.
type End = (Option<Position>, Option<i64>);

/// What a first look at a log says.
enum Look {
    /// These last lines are what is asked for.
    Tail(Tail),
    /// All files of the log have to be read.
    Search,
}

/// Prints the lines of log files, and of those that were rotated, that are selected: the last `count`.
pub(super) fn print_selected(
    page: &LogFormatter,
    files: &[LogFile],
    selection: &Selection,
    count: usize,
) -> Result<Vec<FollowedFile>, CommandError> {
    let max = (TAILS_MAX / files.len().max(1)).max(TAIL_MIN);
    let is_search = !selection.is_everything() || count == usize::MAX;
    let looks = bounded::each(files.to_vec(), move |log| {
        let pieces = archive::pieces(&log.path)?;
        if is_search {
            return Ok(Look::Search);
        }
        let newlines = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
        let tail = rotated::tail(&log.path, max, |bytes| newlines(bytes) >= count)?;
        let is_enough = tail.is_cut || newlines(&tail.bytes) >= count;
        // Compressed files, and those with a date in their name, are not read from the end.
        let is_all = pieces.iter().all(|piece| !piece.is_compressed() && !piece.has_date());
        Ok::<_, std::io::Error>(if is_enough || is_all { Look::Tail(tail) } else { Look::Search })
    });
    let mut followed = Vec::new();
    for (log, look) in files.iter().zip(looks) {
        let (position, last) = match look {
            Some(Ok(Look::Tail(tail))) => {
                if tail.is_cut {
                    log.is_cut();
                }
                let mut last = None;
                let lines = search::lines(log.stamps.as_ref(), &tail.bytes, &mut last);
                let skipped = lines.len().saturating_sub(count);
                print_lines(page, &log.name, lines.into_iter().skip(skipped))?;
                (tail.position, last)
            }
            Some(Ok(Look::Search)) => match print_search(page, log, selection, count, max)? {
                Some(end) => end,
                None => continue,
            },
            Some(Err(error)) => {
                log.complain(&format!("{}: {}", log.path.display(), sys::reason(&error)));
                (None, None)
            }
            None => {
                // Every look at such a file costs a thread.
                log.does_not_answer();
                continue;
            }
        };
        followed.push((log.clone(), position, last));
    }
    Ok(followed)
}

/// Prints what a search finds, and returns how far the file has been read and the time of the last
/// line. `None`: the disk does not answer, or nobody reads any longer. More than `max` bytes are not
/// kept in memory.
fn print_search(
    page: &LogFormatter,
    log: &LogFile,
    selection: &Selection,
    count: usize,
    max: usize,
) -> Result<Option<End>, CommandError> {
    if selection.has_times() && log.stamps.is_none() {
        log.complain(
            "its log has no times (--logstamp): whole files are shown, by when they were written",
        );
    }
    let found = search(log.clone(), selection.clone());
    let mut kept: VecDeque<Line> = VecDeque::new();
    let (mut bytes, mut is_cut, mut last) = (0, false, None);
    while output::is_read() {
        match found.recv_timeout(LOG_SEARCH_TIMEOUT) {
            Ok(Found::Lines(lines)) => {
                last = lines.last().and_then(|line| line.micros).or(last);
                if count == usize::MAX {
                    print_lines(page, &log.name, lines.into_iter())?;
                    continue;
                }
                bytes += lines.iter().map(|line| line.text.len()).sum::<usize>();
                kept.extend(lines);
                while kept.len() > count || bytes > max {
                    is_cut |= kept.len() <= count;
                    bytes -= kept.pop_front().map_or(bytes, |line| line.text.len());
                }
            }
            Ok(Found::Failed(what)) => log.complain(&what),
            Ok(Found::End(position)) => {
                if is_cut {
                    log.is_cut();
                }
                print_lines(page, &log.name, kept.into_iter())?;
                return Ok(Some((position, last)));
            }
            Err(_) => {
                log.does_not_answer();
                break;
            }
        }
    }
    Ok(None)
}

fn print_lines(
    page: &LogFormatter,
    name: &str,
    lines: impl Iterator<Item = Line>,
) -> Result<(), CommandError> {
    let show = |Line { micros, text }: Line| {
        page.lines(name, micros.and_then(|micros| u64::try_from(micros).ok()), &text)
    };
    output::print(&lines.map(show).collect::<String>())
}

/// Prints what log files have got.
pub(super) fn print_news(
    page: &LogFormatter,
    files: &mut Vec<FollowedFile>,
    selection: &Selection,
) -> Result<(), CommandError> {
    let items: Vec<FollowedFile> = files.clone();
    let news =
        bounded::each(items, |(log, position, _)| rotated::more(&log.path, position, TAIL_MIN));
    let mut answers = Vec::new();
    for ((log, old, mut last), news) in files.drain(..).zip(news) {
        match news {
            Some(Ok((bytes, position))) => {
                let mut lines = search::lines(log.stamps.as_ref(), &bytes, &mut last);
                lines.retain(|line| selection.has(line));
                print_lines(page, &log.name, lines.into_iter())?;
                answers.push((log, Some(position), last));
            }
            // Between the renaming of a file and its successor there is none.
            Some(Err(_)) => answers.push((log, old, last)),
            None => log.does_not_answer(),
        }
    }
    *files = answers;
    Ok(())
}
