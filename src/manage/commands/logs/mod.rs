//! `logs`: shows the output of instances from the journal and from log files, each line with
//! its time and the name of its instance.

mod files;
mod search;
mod stamps;

use std::io::{BufRead, BufReader, IsTerminal};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use self::files::{FollowedFile, log_files, print_news, print_selected};
use self::search::Selection;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::limits::{FOLLOW_INTERVAL, FOLLOW_LINES, LOG_LINES};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Registry, Scope, unit_name};
use crate::manage::timestamp::Stamps;
use crate::reply_filter::ReplyFilter;
use crate::sys::time;

/// `logs`. `is_paged`: standard output goes to a pager on a terminal.
///
/// # Errors
/// No instances; a pattern that matches none; a journal that can't be read.
pub(crate) fn logs(
    registry: &Registry,
    matches: &ArgMatches,
    is_paged: bool,
    json: bool,
) -> CommandResult {
    let instances = registry.matching(&Patterns::from_matches(matches)?)?;
    if instances.is_empty() {
        return Err(CommandError::new("there are no instances"));
    }
    let follow = matches.get_flag("follow");
    let text = |option| matches.get_one::<String>(option).map(String::as_str);
    let selections = ["since", "until", "grep"].map(|option| (option, text(option)));
    let selects = selections.iter().any(|(_, value)| value.is_some());
    // journalctl shows all if it is not told how much.
    let lines = match text("lines") {
        None if follow && !selects => Some(FOLLOW_LINES.to_string()),
        None if !selects => Some(LOG_LINES.to_string()),
        lines => lines.map(str::to_owned),
    };
    let files = log_files(registry, &instances);
    let now = time::wall_millis();
    let [since, until, pattern] = selections.map(|(_, value)| value);
    let selection = match files.is_empty() {
        // journalctl may know more notations.
        true => Selection::default(),
        false => Selection::new(since, until, pattern, now)?,
    };
    let names: Vec<String> = instances.into_iter().map(|instance| instance.name).collect();
    let mut command = Command::new("journalctl");
    command.args(["--output=json", "--all", "--no-pager", "--quiet"]).stdin(Stdio::null());
    if let Some(root) = &registry.root {
        command.arg(format!("--root={}", root.display()));
    }
    if registry.scope == Scope::User {
        command.arg("--user");
    }
    for name in &names {
        command.args(["--unit", &unit_name(name)]);
    }
    if follow {
        command.arg("--follow");
    }
    let selections = selections.into_iter().chain([("lines", lines.as_deref())]);
    for (option, value) in selections.filter_map(|(option, value)| Some((option, value?))) {
        command.arg(format!("--{option}={value}"));
    }
    if matches.get_count("verbose") > 0 {
        output::print_error(&format!("{command:?}"));
    }
    let journal = command.stdout(Stdio::piped()).spawn();
    let mut journal = Journal(journal.map_err(|error| CommandError::system("journalctl", &error))?);
    let is_terminal = is_paged || std::io::stdout().is_terminal();
    let colour = match text("color") {
        Some("always") => true,
        Some("never") => false,
        _ => is_terminal && std::env::var_os("NO_COLOR").is_none(),
    };
    let stamps = (!matches.get_flag("no-time")).then(|| Stamps::new(now));
    let page = LogFormatter { names: &names, colour, json, stamps };
    let count = lines.as_deref().and_then(|lines| lines.parse().ok()).unwrap_or(usize::MAX);
    let print_files = || print_selected(&page, &files, &selection, count);
    // The output of a child comes behind what systemd says of its start.
    let positions = if follow { print_files()? } else { Vec::new() };
    let output = journal.0.stdout.take();
    let output = output.ok_or_else(|| CommandError::new("journalctl: no output"))?;
    if !print_journal(&page, output, positions, &selection)? {
        return Ok(0);
    }
    let status = journal.0.wait().map_err(|error| CommandError::system("journalctl", &error))?;
    if !follow {
        print_files()?;
    }
    if status.success() { Ok(0) } else { Err(CommandError::new(format!("journalctl: {status}"))) }
}

/// Prints what journalctl writes, and what the log files get meanwhile. Returns false if the reader
/// of standard output has ended.
fn print_journal(
    page: &LogFormatter,
    output: ChildStdout,
    mut files: Vec<FollowedFile>,
    selection: &Selection,
) -> Result<bool, CommandError> {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    let mut next = Instant::now() + FOLLOW_INTERVAL;
    loop {
        if !files.is_empty() && Instant::now() >= next {
            print_news(page, &mut files, selection)?;
            next = Instant::now() + FOLLOW_INTERVAL;
        }
        if output.buffer().is_empty() {
            let limit = (!files.is_empty()).then(|| next.saturating_duration_since(Instant::now()));
            match wait_for_output(output.get_ref(), limit) {
                Wait::Ready => {}
                Wait::Quiet => continue,
                Wait::Left => return Ok(false),
            }
        }
        line.clear();
        let read = output.read_until(b'\n', &mut line);
        if read.map_err(|error| CommandError::system("journalctl", &error))? == 0 {
            return Ok(true);
        }
        if let Ok(entry) = serde_json::from_slice(&line) {
            output::print(&page.entry(&entry))?;
        }
    }
}

enum Wait {
    Ready,
    Quiet,
    Left,
}

/// Waits until there is something to read, or up to `limit`, or until the reader of standard output
/// has ended: then the journal needs not be followed any longer.
fn wait_for_output(output: &ChildStdout, limit: Option<Duration>) -> Wait {
    let stdout = std::io::stdout();
    let mut fds = [
        PollFd::new(output.as_fd(), PollFlags::POLLIN),
        PollFd::new(stdout.as_fd(), PollFlags::empty()),
    ];
    let limit = limit.and_then(|limit| PollTimeout::try_from(limit).ok());
    while poll(&mut fds, limit.unwrap_or(PollTimeout::NONE)) == Err(Errno::EINTR) {}
    match fds.map(|fd| fd.any() == Some(true)) {
        [_, true] => Wait::Left,
        [true, _] => Wait::Ready,
        _ => Wait::Quiet,
    }
}

/// The process of journalctl, which ends when this is dropped.
struct Journal(Child);

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct LogFormatter<'a> {
    names: &'a [String],
    colour: bool,
    json: bool,
    /// `None`: lines are printed without times.
    stamps: Option<Stamps>,
}

impl LogFormatter<'_> {
    /// An entry of the journal.
    fn entry(&self, entry: &Value) -> String {
        let micros = entry.get("__REALTIME_TIMESTAMP").and_then(Value::as_str);
        let micros = micros.and_then(|text| text.parse().ok());
        self.lines(instance(entry).unwrap_or_default(), micros, &message(entry))
    }

    /// What an instance has written, at a time in microseconds since the epoch if that is known.
    fn lines(&self, name: &str, micros: Option<u64>, message: &[u8]) -> String {
        if self.json {
            let entry = json!({
                "name": name, "time_us": micros, "message": String::from_utf8_lossy(message)
            });
            return format!("{entry}\n");
        }
        let millis = micros.and_then(|micros| i64::try_from(micros / 1000).ok());
        let stamp = millis.and_then(|millis| Some(self.stamps.as_ref()?.show(millis) + " "));
        let stamp = stamp.unwrap_or_default();
        if self.names.len() == 1 {
            return format!("{stamp}{}\n", self_contained(message));
        }
        let width = self.names.iter().map(String::len).max().unwrap_or(0);
        let label = format!("{name:width$}");
        let place = self.names.iter().position(|other| other == name).unwrap_or(0);
        let label = match COLOURS.get(place % COLOURS.len()) {
            Some(colour) if self.colour => format!("\x1b[{colour}m{label}\x1b[0m"),
            _ => label,
        };
        let message = String::from_utf8_lossy(message);
        let mut lines: Vec<&str> =
            message.split(is_line_end).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            lines.push("");
        }
        let line = |line: &&str| {
            format!("{stamp}{label} | {}\n", self_contained(only_colours(line).as_bytes()))
        };
        lines.iter().map(line).collect()
    }
}

/// A message, which may have any control sequences, without those that a terminal answers, and with
/// an end that puts back what the message has changed: the next line must not get its colour.
fn self_contained(message: &[u8]) -> String {
    let mut text = Vec::new();
    let mut filter = ReplyFilter::new();
    filter.filter_queries(message, &mut text);
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_end_matches(['\r', '\n']);
    format!("{text}{}", String::from_utf8_lossy(&filter.reset_sequence()))
}

/// Returns true for what begins a new line, or this line again.
pub(crate) fn is_line_end(letter: char) -> bool {
    matches!(letter, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A line without anything that moves the cursor, turns the direction of writing around or erases:
/// such a line could write over its label. Only tabs and colours (SGR) are left.
fn only_colours(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        let length = if letter == '\x1b' { sequence_length(rest) } else { letter.len_utf8() };
        let (piece, after) = rest.split_at(length);
        let is_colour = piece.strip_prefix("\x1b[").and_then(|it| it.strip_suffix('m'));
        let is_colour = is_colour
            .is_some_and(|it| it.chars().all(|it| it.is_ascii_digit() || ";:".contains(it)));
        if is_colour || letter == '\t' || (letter != '\x1b' && !output::is_harmful(letter)) {
            kept.push_str(piece);
        }
        rest = after;
    }
    kept
}

/// The length of a control sequence (ECMA-48), in bytes. What has no end goes up to the end of
/// `text`.
fn sequence_length(text: &str) -> usize {
    let end = |from: usize, is_last: fn(char) -> bool| {
        let found = text.char_indices().skip(from).find(|(_, letter)| is_last(*letter));
        found.map_or(text.len(), |(place, letter)| place + letter.len_utf8())
    };
    match text.chars().nth(1) {
        Some('[') => end(2, |letter| !matches!(letter, ' '..='?')),
        Some(']' | 'P' | 'X' | '^' | '_') => {
            // The terminator `ESC \\` is a sequence of its own, and goes, too.
            let bell = text.find('\x07').map_or(text.len(), |place| place + 1);
            bell.min(
                text.get(1..).and_then(|rest| rest.find('\x1b')).map_or(text.len(), |it| it + 1),
            )
        }
        _ => end(1, |letter| !matches!(letter, ' '..='/')),
    }
}

/// Foreground colours (SGR) that can be read on black and on white.
const COLOURS: [&str; 10] = ["36", "33", "32", "35", "34", "31", "1;36", "1;33", "1;32", "1;35"];

/// The instance of an entry, which the unit has written, or systemd or journald about the unit.
fn instance(entry: &Value) -> Option<&str> {
    UNIT_FIELDS.iter().find_map(|field| {
        entry.get(field)?.as_str()?.strip_prefix("procserv-")?.strip_suffix(".service")
    })
}

const UNIT_FIELDS: [&str; 6] = [
    "UNIT",
    "USER_UNIT",
    "_SYSTEMD_UNIT",
    "_SYSTEMD_USER_UNIT",
    "OBJECT_SYSTEMD_UNIT",
    "OBJECT_SYSTEMD_USER_UNIT",
];

/// The text of an entry. journalctl prints a list of bytes if the text is not UTF-8 or has control
/// characters.
pub(crate) fn message(entry: &Value) -> Vec<u8> {
    match entry.get("MESSAGE") {
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(Value::Array(bytes)) => {
            bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_journal() {
        let entry = json!({ "MESSAGE": [27, 91, 99, 65], "_SYSTEMD_UNIT": "procserv-a.b.service" });
        assert_eq!(instance(&entry), Some("a.b"));
        assert_eq!(message(&entry), b"\x1b[cA");
        let entry = json!({ "MESSAGE": "Started", "UNIT": "procserv-x.service",
            "_SYSTEMD_UNIT": "init.scope" });
        assert_eq!(instance(&entry), Some("x"));
        assert_eq!(message(&entry), b"Started");
    }
}
