//! `logs`: what instances say, from the journal, line by line with their names.

use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};

use clap::ArgMatches;
use serde_json::{Value, json};

use super::control::patterns;
use super::error::{Failure, Outcome};
use super::site::{Scope, Site, unit_name};
use crate::attach::filter::Filter;

/// `logs`.
///
/// # Errors
/// A pattern that describes nothing; a journal that can't be read.
pub fn logs(site: &Site, given: &ArgMatches, json: bool) -> Outcome {
    let names: Vec<String> =
        site.matching(&patterns(given))?.into_iter().map(|instance| instance.name).collect();
    if names.is_empty() {
        return Err(Failure::new("there are no instances"));
    }
    let mut command = Command::new("journalctl");
    command.args(["--output=json", "--all", "--no-pager", "--quiet"]).stdin(Stdio::null());
    if let Some(root) = &site.root {
        command.arg(format!("--root={}", root.display()));
    }
    if site.scope == Scope::User {
        command.arg("--user");
    }
    for name in &names {
        command.args(["--unit", &unit_name(name)]);
    }
    if given.get_flag("follow") {
        command.arg("--follow");
    }
    if let Some(lines) = given.get_one::<u32>("lines") {
        command.arg(format!("--lines={lines}"));
    } else if given.get_flag("follow") && names.len() == 1 {
        command.arg("--lines=10");
    }
    if given.get_flag("verbose") {
        eprintln!("manage-procs: {command:?}");
    }
    let mut journal = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::system("journalctl", &error))?;
    let colour = match given.get_one::<String>("color").map(String::as_str) {
        Some("always") => true,
        Some("never") => false,
        _ => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let mut page = Page { names: &names, colour, json };
    let lines = BufReader::new(journal.stdout.take().into_iter().next().ok_or_else(no_output)?);
    for line in lines.split(b'\n') {
        let line = line.map_err(|error| Failure::system("journalctl", &error))?;
        if let Ok(entry) = serde_json::from_slice(&line) {
            page.entry(&entry)?;
        }
    }
    let status = journal.wait().map_err(|error| Failure::system("journalctl", &error))?;
    if status.success() { Ok(0) } else { Err(Failure::new(format!("journalctl: {status}"))) }
}

fn no_output() -> Failure {
    Failure::new("journalctl: no output")
}

struct Page<'a> {
    names: &'a [String],
    colour: bool,
    json: bool,
}

impl Page<'_> {
    fn entry(&mut self, entry: &Value) -> Result<(), Failure> {
        let name = instance(entry).unwrap_or_default();
        let message = message(entry);
        if self.json {
            let micros = entry.get("__REALTIME_TIMESTAMP").and_then(Value::as_str);
            let micros: Option<u64> = micros.and_then(|text| text.parse().ok());
            let entry = json!({
                "name": name, "time_us": micros, "message": String::from_utf8_lossy(&message)
            });
            return print_or_leave(&format!("{entry}\n"));
        }
        // What the child has written may be anything.
        let mut shown = Vec::new();
        Filter::new().strip(&message, &mut shown);
        let text = String::from_utf8_lossy(&shown);
        let text = text.trim_end_matches(['\r', '\n']);
        if self.names.len() == 1 {
            return print_or_leave(&format!("{text}\n"));
        }
        let width = self.names.iter().map(String::len).max().unwrap_or(0);
        let label = format!("{name:width$}");
        let place = self.names.iter().position(|other| other == name).unwrap_or(0);
        let label = match COLOURS.get(place % COLOURS.len()) {
            Some(colour) if self.colour => format!("\x1b[{colour}m{label}\x1b[0m"),
            _ => label,
        };
        print_or_leave(&format!("{label} | {text}\n"))
    }
}

/// Whoever reads it may leave, and then there is nobody to follow the journal for.
fn print_or_leave(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::system("standard output", &error))
}

/// The foregrounds that are read well on black and on white.
const COLOURS: [&str; 10] = ["36", "33", "32", "35", "34", "31", "1;36", "1;33", "1;32", "1;35"];

/// Whose entry it is: of the unit itself, or of systemd about the unit.
fn instance(entry: &Value) -> Option<&str> {
    ["UNIT", "USER_UNIT", "_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT"].iter().find_map(|field| {
        entry.get(field)?.as_str()?.strip_prefix("procserv-")?.strip_suffix(".service")
    })
}

/// The text, which is a list of bytes where it is not UTF-8 or has control characters.
fn message(entry: &Value) -> Vec<u8> {
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
