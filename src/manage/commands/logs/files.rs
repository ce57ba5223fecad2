//! The log files of instances: their ends, and what they get.

use std::path::PathBuf;

use super::LogFormatter;
use crate::config::LogTarget;
use crate::manage::error::CommandError;
use crate::manage::inspect::bounded;
use crate::manage::inspect::rotated::{self, Position};
use crate::manage::limits::{TAIL_MIN, TAILS_MAX};
use crate::manage::output;
use crate::manage::registry::{Instance, Registry};

/// The log files of instances, by name: what their children write is there, and not in the journal.
pub(super) fn log_files(registry: &Registry, instances: &[Instance]) -> Vec<(String, PathBuf)> {
    let of = |instance: &Instance| {
        if instance.options.is_empty() {
            return None;
        }
        match instance.server_config(registry).ok()?.log.target {
            Some(LogTarget::File(log)) => {
                Some((instance.name.clone(), registry.in_root(&instance.chdir.join(log))))
            }
            _ => None,
        }
    };
    instances.iter().filter_map(of).collect()
}

/// Name, log file, and how far the file has been read.
pub(super) type FollowedFile = (String, PathBuf, Option<Position>);

/// Prints the last lines of log files and of those that were rotated. Without a `count`, lines are
/// selected by what log files do not have.
pub(super) fn print_ends(
    page: &LogFormatter,
    files: &[(String, PathBuf)],
    count: Option<usize>,
) -> Result<Vec<FollowedFile>, CommandError> {
    let Some(count) = count else {
        for (name, path) in files {
            output::print_error(&format!(
                "{name}: only the journal is searched, what its child writes is in {}",
                path.display()
            ));
        }
        return Ok(Vec::new());
    };
    let max = (TAILS_MAX / files.len().max(1)).max(TAIL_MIN);
    let ends = bounded::each(files.to_vec(), move |(_, path)| {
        let newlines = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
        rotated::tail(&path, max, |bytes| newlines(bytes) >= count)
    });
    let mut followed = Vec::new();
    for ((name, path), end) in files.iter().zip(ends) {
        let position = match end {
            Some(Ok(tail)) => {
                let lines: Vec<&[u8]> = tail.bytes.split_inclusive(|&byte| byte == b'\n').collect();
                let skipped = lines.len().saturating_sub(count);
                for line in lines.into_iter().skip(skipped) {
                    output::print(&page.lines(name, None, line))?;
                }
                if tail.is_cut {
                    output::print_error(&format!(
                        "{name}: the oldest lines are left out; all of them are in {}",
                        path.display()
                    ));
                }
                tail.position
            }
            Some(Err(error)) => {
                let error = CommandError::file(path, &error);
                output::print_error(&format!("{name}: {}", error.text));
                None
            }
            None => {
                let path = path.display();
                output::print_error(&format!("{name}: {path}: the disk does not answer"));
                // Every look at such a file costs a thread.
                continue;
            }
        };
        followed.push((name.clone(), path.clone(), position));
    }
    Ok(followed)
}

/// Prints what log files have got.
pub(super) fn print_news(
    page: &LogFormatter,
    files: &mut Vec<FollowedFile>,
) -> Result<(), CommandError> {
    let items: Vec<FollowedFile> = files.clone();
    let news = bounded::each(items, |(_, path, position)| rotated::more(&path, position, TAIL_MIN));
    let mut answers = Vec::new();
    for ((name, path, old), news) in files.drain(..).zip(news) {
        match news {
            Some(Ok((bytes, position))) => {
                for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                    output::print(&page.lines(&name, None, line))?;
                }
                answers.push((name, path, Some(position)));
            }
            // Between the renaming of a file and its successor there is none.
            Some(Err(_)) => answers.push((name, path, old)),
            None => {
                let path = path.display();
                output::print_error(&format!("{name}: {path}: the disk does not answer"));
            }
        }
    }
    *files = answers;
    Ok(())
}
