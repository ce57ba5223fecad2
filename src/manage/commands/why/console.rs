//! The last lines that children wrote on the console before they ended, from the log file of an instance
//! or from the journal.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::config::LogTarget;
use crate::manage::commands::logs;
use crate::manage::error::CommandError;
use crate::manage::inspect::ends::End;
use crate::manage::inspect::{bounded, rotated};
use crate::manage::limits::{JOURNAL_TIMEOUT, LAST_LINES, LAST_LINES_JOURNAL, TAIL_MIN};
use crate::manage::registry::{Instance, Registry, Scope, unit_name};

/// Where the output of a child goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    Journal,
    /// Nowhere, or to standard error and the like.
    Unknown,
}

/// What was found on a console.
#[derive(Debug, Default)]
pub(super) struct Console {
    pieces: Vec<Piece>,
    /// Why nothing could be read.
    pub(super) problem: Option<String>,
}

/// What one child wrote.
#[derive(Debug, Default, PartialEq, Eq)]
struct Piece {
    pid: Option<i64>,
    has_ended: bool,
    /// The last lines.
    lines: VecDeque<String>,
}

/// The place of an instance's output.
pub(super) fn place(registry: &Registry, instance: &Instance) -> Place {
    match instance.server_config(registry).map(|config| config.log.target) {
        Ok(Some(LogTarget::File(log))) => Place::File(registry.in_root(&instance.chdir.join(log))),
        Ok(Some(_)) => Place::Journal,
        _ => Place::Unknown,
    }
}

/// Reads the end of what was written there.
pub(super) fn read(registry: &Registry, name: &str, place: &Place) -> Console {
    match place {
        Place::File(path) => log_file(path),
        Place::Journal => journal(registry, name),
        Place::Unknown => Console::default(),
    }
}

fn log_file(path: &Path) -> Console {
    let file = path.to_owned();
    let problem = match bounded::one(move || rotated::tail(&file, TAIL_MIN, |_| false)) {
        Some(Ok(tail)) => {
            let lines = tail.bytes.split(|&byte| byte == b'\n').map(|line| (None, line.to_vec()));
            return Console { pieces: pieces(lines), problem: None };
        }
        Some(Err(error)) => CommandError::file(path, &error).text,
        None => format!("{}: the disk does not answer", path.display()),
    };
    Console { problem: Some(problem), ..Console::default() }
}

fn journal(registry: &Registry, name: &str) -> Console {
    let mut command = Command::new("journalctl");
    command.args(["--output=json", "--no-pager", "--quiet"]);
    command.arg(format!("--lines={LAST_LINES_JOURNAL}"));
    command.arg("--output-fields=_PID,MESSAGE,UNIT,USER_UNIT");
    if let Some(root) = &registry.root {
        command.arg(format!("--root={}", root.display()));
    }
    if registry.scope == Scope::User {
        command.arg("--user");
    }
    command.args(["--unit", &unit_name(name)]);
    let text = match bounded::output(command, JOURNAL_TIMEOUT) {
        Ok(text) => text,
        Err(problem) => {
            let problem = Some(format!("the journal can't be read: {problem}"));
            return Console { problem, ..Console::default() };
        }
    };
    let entries = text.lines().filter_map(|entry| serde_json::from_str::<Value>(entry).ok());
    // Beside the console there is what systemd says of the unit.
    let of_systemd = ["UNIT", "USER_UNIT"];
    let entries = entries.filter(|entry| of_systemd.iter().all(|key| entry.get(key).is_none()));
    let writer = |entry: &Value| entry.get("_PID")?.as_str()?.parse().ok();
    let lines = entries.map(|entry| (writer(&entry), logs::message(&entry)));
    Console { pieces: pieces(lines), problem: None }
}

impl Console {
    /// The last lines of the child that ended so. None if they are not among what was read.
    pub(super) fn last_lines(&self, end: &End) -> Vec<String> {
        // The child of a server that exited has an end of its own.
        if end.pid.is_none() {
            return Vec::new();
        }
        let of_it = |piece: &&Piece| piece.pid == end.pid && (piece.has_ended || end.is_server);
        let found = self.pieces.iter().rev().find(of_it);
        found.map(|piece| piece.lines.iter().cloned().collect()).unwrap_or_default()
    }
}

/// A line, with the process that wrote it, if that is known.
type WrittenLine = (Option<i64>, Vec<u8>);

/// What the children wrote, by the server's messages of their starts and ends.
fn pieces(lines: impl Iterator<Item = WrittenLine>) -> Vec<Piece> {
    let mut pieces = vec![Piece::default()];
    for (writer, line) in lines {
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        let started = line.find("@@@ The PID of new child ").and_then(|place| {
            let (_, pid) = line.get(place..)?.rsplit_once(" is: ")?;
            leading_number(pid)
        });
        let ended = line.split_once("@@@ Received a sigChild for process ");
        let ended = ended.and_then(|(_, pid)| leading_number(pid));
        if let Some(pid) = started {
            pieces.push(Piece { pid: Some(pid), ..Piece::default() });
        } else if let Some(pid) = ended {
            // The start of the first one may not have been read.
            let is_it =
                |piece: &&mut Piece| !piece.has_ended && piece.pid.is_none_or(|it| it == pid);
            if let Some(piece) = pieces.iter_mut().rev().find(is_it) {
                (piece.pid, piece.has_ended) = (Some(pid), true);
            }
        } else if let Some(piece) = pieces.last_mut()
            && !piece.has_ended
            && !line.is_empty()
            && !is_message(line)
            // A child that can't be executed says so on its standard error, too.
            && (writer.is_none() || writer != piece.pid)
        {
            piece.lines.push_back(line.to_owned());
            if piece.lines.len() > LAST_LINES {
                piece.lines.pop_front();
            }
        }
    }
    pieces
}

fn leading_number(text: &str) -> Option<i64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// Returns true for a line of the server, which a log file may have behind a time.
fn is_message(line: &str) -> bool {
    let is_stamp = |text: &str| text.is_empty() || text.contains(|it: char| it.is_ascii_digit());
    line.find("@@@ ").is_some_and(|place| line.get(..place).is_some_and(is_stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Option<i64>, bool, String)> {
        let lines = text.lines().map(|line| (None, line.as_bytes().to_vec()));
        let shown = |piece: Piece| {
            let lines: Vec<String> = piece.lines.into();
            (piece.pid, piece.has_ended, lines.join("|"))
        };
        pieces(lines).into_iter().map(shown).collect()
    }

    #[test]
    fn children_have_their_lines() {
        let found = read(
            "old\r\n@@@ Received a sigChild for process 7. The process was killed by signal 9\r\n\
             between\n[13:00] @@@ Restarting child \"a\"\n\
             [13:00] @@@ The PID of new child \"is: 9\" is: 8\nnew @@@ line\n\n@@@ Got a kill command\n\
             @@@ Received a sigChild for process 8. Normal exit status = 3\n\
             @@@ The PID of new child \"a\" is: 9\nlast\n",
        );
        let expected = [
            (Some(7), true, "old".to_owned()),
            (Some(8), true, "new @@@ line".to_owned()),
            (Some(9), false, "last".to_owned()),
        ];
        assert_eq!(found, expected);
        let line = |writer, text: &str| (Some(writer), text.as_bytes().to_vec());
        let found = pieces(
            [line(1, "@@@ The PID of new child \"a\" is: 2"), line(2, "x"), line(1, "y")]
                .into_iter(),
        );
        assert_eq!(found.last().unwrap().lines, ["y"]);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let text: String = (0..50).map(|number| format!("line {number}\n")).collect();
        let lines: Vec<String> = (40..50).map(|number| format!("line {number}")).collect();
        assert_eq!(read(&text), [(None, false, lines.join("|"))]);
        assert_eq!(
            read("@@@ Received a sigChild for process x\n@@@ The PID of new child\n").len(),
            1
        );
    }
}
