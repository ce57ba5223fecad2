//! `events`: shows what the events files of instances and the journal have, merged by time.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;

use clap::ArgMatches;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use super::fallback;
use crate::event_text::sentence;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::inspect::events::{self, Event, Found, Look};
use crate::manage::inspect::rotated::{self, Position};
use crate::manage::inspect::{bounded, users};
use crate::manage::limits::{FOLLOW_INTERVAL, FOLLOW_LINES, TAIL_MIN};
use crate::manage::output;
use crate::manage::registry::Registry;
use crate::manage::timestamp::{self, Stamps};
use crate::sys::time;

/// `events`.
///
/// # Errors
/// No instances; a pattern that matches none; a time that is none; no instance that records events.
pub(crate) fn events(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    let now = time::wall_millis();
    let limit = |option: &str| {
        let text = matches.get_one::<String>(option);
        let read = |text: &String| timestamp::parse(text, now);
        text.map(read)
            .transpose()
            .map_err(|what| CommandError::usage(format!("--{option}: {what}")))
    };
    let (since, until) = (limit("since")?, limit("until")?);
    let follow = matches.get_flag("follow");
    let (registry, instances) = fallback::matching(registry, matches, is_default)?;
    if instances.is_empty() {
        return Err(CommandError::new("there are no instances"));
    }
    let bounds = (since.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX));
    let Found { events: mut found, looks, journal } =
        events::between(&registry, &instances, bounds.0, bounds.1);
    let failures = report(&looks)? + report_journal(journal);
    if follow && since.is_none() {
        found.drain(..found.len().saturating_sub(FOLLOW_LINES));
    }
    let width = instances.iter().map(|instance| instance.name.len()).max().unwrap_or(0);
    let mut printer = Printer { json, width, stamps: Stamps::new(now) };
    printer.print(&found)?;
    if follow {
        follow_files(looks, &mut printer)?;
    }
    Ok(u8::from(failures > 0))
}

/// Says which files are missing, and returns how many of them can't be read.
fn report(looks: &BTreeMap<String, Look>) -> Result<usize, CommandError> {
    let off = looks.iter().filter(|(_, look)| matches!(look, Look::Off));
    let off: Vec<&str> = off.map(|(name, _)| name.as_str()).collect();
    if off.len() == looks.len() {
        let names = off.join(", ");
        return Err(CommandError::new(format!("no events are recorded (key events): {names}")));
    }
    if !off.is_empty() {
        let names = off.join(", ");
        output::print_error(&format!("no events are recorded (key events) by {names}"));
    }
    let mut failures = 0;
    for (name, look) in looks {
        match look {
            Look::Failed(file, error) => {
                let error = CommandError::file(file, error);
                output::print_error(&format!("{name}: {}", error.text));
                failures += 1;
            }
            Look::NoAnswer => {
                output::print_error(&format!("{name}: its events file does not answer"));
                failures += 1;
            }
            Look::Read { file, is_cut: true, .. } => output::print_error(&format!(
                "{name}: the oldest events are left out; all of them are in {}",
                file.display()
            )),
            Look::Off | Look::Journal | Look::Read { .. } => {}
        }
    }
    Ok(failures)
}

/// Says what is to be said of the journal, and returns how many failures there are.
fn report_journal(journal: Option<Result<bool, String>>) -> usize {
    match journal {
        Some(Err(problem)) => {
            output::print_error(&format!("the journal can't be read: {problem}"));
            1
        }
        Some(Ok(true)) => {
            output::print_error("the oldest events are left out of those in the journal");
            0
        }
        Some(Ok(false)) | None => 0,
    }
}

struct Printer {
    json: bool,
    /// The width of the column of names.
    width: usize,
    stamps: Stamps,
}

impl Printer {
    fn print(&mut self, events: &[Event]) -> Result<(), CommandError> {
        // Of many events a system call each would take longer than everything else.
        for events in events.chunks(1000) {
            let lines: Vec<String> = events.iter().map(|event| self.line(event)).collect();
            output::print(&lines.concat())?;
        }
        Ok(())
    }

    fn line(&mut self, event: &Event) -> String {
        let mut value: Value = serde_json::from_slice(&event.line).unwrap_or_default();
        if self.json {
            if let Some(fields) = value.as_object_mut() {
                fields.insert("instance".to_owned(), json!(event.instance));
            }
            return format!("{value}\n");
        }
        let (name, width) = (&event.instance, self.width);
        let (time, what) = (self.stamps.show(event.millis), sentence(&value, &users::describe));
        output::line(&format!("{time} {name:width$} {what}"))
    }
}

/// A file that is followed.
type Followed = (PathBuf, Option<Position>);

/// Prints what the files get, until the reader of standard output has ended or no file answers.
fn follow_files(looks: BTreeMap<String, Look>, printer: &mut Printer) -> Result<(), CommandError> {
    let in_journal = looks.iter().filter(|(_, look)| matches!(look, Look::Journal));
    let in_journal: Vec<&str> = in_journal.map(|(name, _)| name.as_str()).collect();
    if !in_journal.is_empty() {
        let names = in_journal.join(", ");
        output::print_error(&format!(
            "{names}: events that are in the journal alone are not followed; journalctl -f -t procServ \
             does that"
        ));
    }
    let mut followed: BTreeMap<String, Followed> = BTreeMap::new();
    for (name, look) in looks {
        if let Look::Read { file, position, .. } = look {
            followed.insert(name, (file, position));
        }
    }
    while !followed.is_empty() && wait_for_interval() {
        let items: Vec<(String, Followed)> = followed.clone().into_iter().collect();
        let news =
            bounded::each(items, |(_, (file, position))| rotated::more(&file, position, TAIL_MIN));
        let names: Vec<String> = followed.keys().cloned().collect();
        let mut events = Vec::new();
        for (name, news) in names.into_iter().zip(news) {
            match news {
                Some(Ok((bytes, position))) => {
                    events.extend(events::parse(&name, &bytes));
                    followed.entry(name).and_modify(|(_, old)| *old = Some(position));
                }
                // Between the renaming of a file and its successor there is none.
                Some(Err(_)) => {}
                None => {
                    // Every look at such a file costs a thread.
                    output::print_error(&format!(
                        "{name}: its events file does not answer, and is not followed any longer"
                    ));
                    followed.remove(&name);
                }
            }
        }
        events.sort_by_key(|event| event.millis);
        printer.print(&events)?;
    }
    Ok(())
}

/// Waits until it is time for the next look. Returns false if the reader of standard output has
/// ended.
fn wait_for_interval() -> bool {
    let stdout = std::io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let limit = PollTimeout::try_from(FOLLOW_INTERVAL).unwrap_or(PollTimeout::ZERO);
    !matches!(poll(&mut fds, limit), Ok(count) if count > 0)
}
