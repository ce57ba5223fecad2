//! `manage-procs send`: types a line on a console, and prints the answer.

use std::io;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use serde_json::{Value, json};

use super::answer::AnswerReader;
use super::console;
use super::dialogue::{Dialogue, Received};
use crate::manage::commands::control::request;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::inspect::api::ApiConnection;
use crate::manage::limits::{REPLAY_QUIET, SEND_UNTIL, SEND_WAIT};
use crate::manage::output;
use crate::manage::registry::Registry;
use crate::reply_filter::ReplyFilter;

/// `send`. The exit status is 1 if the text of `--until` has not come.
///
/// # Errors
/// An instance that does not run, or whose child does not take the line.
pub(crate) fn send(registry: &Registry, matches: &ArgMatches, is_default: bool) -> CommandResult {
    let name = matches.get_one::<String>("name").map(String::as_str).unwrap_or_default();
    let words = matches.get_many::<String>("text").unwrap_or_default();
    let line = words.map(String::as_str).collect::<Vec<_>>().join(" ");
    let until = matches.get_one::<String>("until").map(String::as_str);
    let given = matches.get_one::<u32>("wait").map(|&time| Duration::from_secs(time.into()));
    let time = given.unwrap_or(if until.is_some() { SEND_UNTIL } else { SEND_WAIT });
    let api = request::connect(registry, is_default, name)?;
    let must_read = until.is_some() || !time.is_zero() || api.is_none();
    let mut dialogue = match must_read {
        true => {
            let mut found = console::find(Ok(registry.clone()), is_default, name)?;
            // Who may use the interface for programs may not be able to type on the console.
            if api.is_none() {
                found.targets.retain(|target| !target.view);
            }
            let mut dialogue = Dialogue::open(found.targets, name)?;
            dialogue.skip_replay().map_err(|error| CommandError::system(name, &error))?;
            Some(dialogue)
        }
        false => None,
    };
    match (api, &mut dialogue) {
        (Some(mut api), _) => type_by_api(&mut api, name, &line)?,
        (None, Some(dialogue)) => type_on_console(dialogue, name, &line)?,
        (None, None) => {}
    }
    match dialogue {
        Some(dialogue) => print_answer(dialogue, name, &line, until, time),
        None => Ok(0),
    }
}

/// Types a line to the child. It is no command to the server, whatever its characters.
fn type_by_api(api: &mut ApiConnection, name: &str, line: &str) -> Result<(), CommandError> {
    let text = format!("{line}\r");
    let result = api
        .request(&json!({ "request": "input", "text": text }))
        .map_err(|error| request::failure(name, &error))?;
    let bytes = result.get("bytes").and_then(Value::as_u64).unwrap_or_default();
    if usize::try_from(bytes).ok() == Some(text.len()) {
        return Ok(());
    }
    Err(CommandError::new(format!(
        "{name}: only {bytes} of {} bytes were typed: the server keeps its command characters from \
         the child, and what has no room while the child does not read",
        text.len()
    )))
}

/// Types a line as a person does, whose control characters are commands to the server.
fn type_on_console(dialogue: &mut Dialogue, name: &str, line: &str) -> Result<(), CommandError> {
    if line.contains(char::is_control) {
        return Err(CommandError::new(format!(
            "{name}: the server has no socket for programs, and control characters on a console \
             may be commands to it"
        )));
    }
    dialogue.queue(format!("{line}\r").as_bytes());
    Ok(())
}

/// Prints what comes until the text has come or the time is over.
fn print_answer(
    mut dialogue: Dialogue,
    name: &str,
    line: &str,
    until: Option<&str>,
    time: Duration,
) -> CommandResult {
    let mut filter = ReplyFilter::new();
    let mut answer = AnswerReader::new(line, until);
    let end = Instant::now() + time;
    let failed = |error: io::Error| CommandError::system(name, &error);
    let mut is_closed = false;
    while !answer.has_come() && !is_closed {
        let now = Instant::now();
        if now >= end && dialogue.is_sent() {
            break;
        }
        match dialogue.receive(end.min(now + REPLAY_QUIET)).map_err(failed)? {
            Received::Output(output) => print(&answer.push(&output), &mut filter)?,
            Received::Nothing if answer.settle() => break,
            Received::Nothing if now >= end => break,
            Received::Nothing => {}
            Received::Closed => is_closed = true,
        }
    }
    let has_come = answer.has_come();
    print(&answer.rest(), &mut filter)?;
    match until {
        Some(text) if !has_come => {
            let why = if is_closed { "the server closed the console" } else { "the time is over" };
            Err(CommandError::new(format!("{name}: {text:?} has not come: {why}")))
        }
        _ => Ok(0),
    }
}

/// Prints output of the child, without what a terminal would answer: the next program would read that.
fn print(output: &[u8], filter: &mut ReplyFilter) -> Result<(), CommandError> {
    let mut filtered = Vec::new();
    filter.filter_queries(output, &mut filtered);
    output::print(&String::from_utf8_lossy(&filtered).replace('\r', ""))
}
