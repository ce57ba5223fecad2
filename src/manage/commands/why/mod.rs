//! `why`: what happened to an instance, who did it, what is wrong now, and what to try next.

mod advice;
mod console;
mod cores;
mod json;
mod page;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::ArgMatches;

use self::advice::Advice;
use self::console::{Console, Place};
use self::cores::Core;
use super::doctor::{self, Finding};
use super::fallback;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::inspect::bounded;
use crate::manage::inspect::ends::{self, End};
use crate::manage::inspect::overview::{self, Overview, State};
use crate::manage::inspect::past::{self, ModeChange, Past};
use crate::manage::limits::{CRASH_LOOP_LIFE, ENDS_SHOWN, TAIL_MIN};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Registry, check_name};

/// `why`.
///
/// # Errors
/// A wrong name; no such instance; files that can't be read.
pub(crate) fn why(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    let name = matches.get_one::<String>("name").map(String::as_str).unwrap_or_default();
    check_name(name).map_err(CommandError::usage)?;
    let patterns = Patterns::parse(&[name])?;
    let registry = fallback::registry_of(registry, &patterns, is_default)?;
    for one in overview::look(&registry, &patterns)? {
        let report = Report::of(&registry, one);
        if json {
            output::print_json(&report.json())?;
        } else {
            output::print(&report.page())?;
        }
    }
    Ok(0)
}

/// Prints the same for an instance that has been looked at.
///
/// # Errors
/// Those of standard output.
pub(crate) fn print(registry: &Registry, one: Overview) -> Result<(), CommandError> {
    output::print(&Report::of(registry, one).page())
}

/// All that is told of an instance.
#[derive(Debug)]
struct Report {
    one: Overview,
    /// Since when the instance is in its state, if that is known.
    since: Option<SystemTime>,
    ends: Vec<ReportedEnd>,
    mode_change: Option<ModeChange>,
    /// Why the console could not be read.
    console_problem: Option<String>,
    log: Log,
    /// What keeps the instance from starting.
    obstacles: Vec<Finding>,
    advice: Advice,
}

/// An end, with what is known of its circumstances.
#[derive(Debug)]
struct ReportedEnd {
    end: End,
    core: Option<Core>,
    /// The last lines of the console before it.
    lines: Vec<String>,
}

/// Where the output of the child is.
#[derive(Debug)]
enum Log {
    /// In a file of so many bytes. `None`: the file is not there, or does not answer.
    File(PathBuf, Option<u64>),
    Journal,
    Unknown,
}

impl Report {
    fn of(registry: &Registry, one: Overview) -> Report {
        let (console, obstacles, past) = gather(registry, &one);
        let mut ends = ends::joined(one.ends.clone(), past.ends);
        let since = since(&one, &ends);
        ends.truncate(ENDS_SHOWN);
        let oldest = ends.iter().filter(|end| cores::may_have_one(end)).filter_map(start).min();
        let cores = oldest.map(|time| cores::list(registry, &one.name, time)).unwrap_or_default();
        let ends: Vec<ReportedEnd> = ends
            .into_iter()
            .map(|end| ReportedEnd {
                core: cores::of(&cores, &end).cloned(),
                lines: console.last_lines(&end),
                end,
            })
            .collect();
        let mode_change = past.mode_change.filter(|_| one.mode().is_some_and(|mode| mode != "ON"));
        let log = log(registry, &one);
        let advice = Advice::default();
        let console_problem = console.problem;
        let mut report =
            Report { one, since, ends, mode_change, console_problem, log, obstacles, advice };
        report.advice = advice::advice(registry, &report);
        report
    }
}

/// When a child had been started that ended so, or else when it ended.
fn start(end: &End) -> Option<SystemTime> {
    let time = end.time?;
    Some(end.life.and_then(|life| time.checked_sub(Duration::from_secs(life))).unwrap_or(time))
}

/// Looks at what takes time, at the same time. Each of these looks has a limit.
fn gather(registry: &Registry, one: &Overview) -> (Console, Vec<Finding>, Past) {
    let Some(instance) = &one.instance else { return Default::default() };
    let shared = || (registry.clone(), Arc::clone(instance));
    let console = {
        let (registry, instance) = shared();
        std::thread::spawn(move || {
            let place = console::place(&registry, &instance);
            console::read(&registry, &instance.name, &place)
        })
    };
    let past = {
        let (registry, instance) = shared();
        std::thread::spawn(move || {
            bounded::one(move || past::read(&registry, &instance, TAIL_MIN)).unwrap_or_default()
        })
    };
    let is_down = matches!(one.state, State::Failed | State::Dead | State::Stopped);
    let obstacles = doctor::obstacles(registry, instance, is_down);
    (console.join().unwrap_or_default(), obstacles, past.join().unwrap_or_default())
}

/// The file with the output of the child, and its size.
fn log(registry: &Registry, one: &Overview) -> Log {
    let place = one.instance.as_ref().map(|instance| console::place(registry, instance));
    match place {
        Some(Place::File(path)) => {
            let file = path.clone();
            let size = bounded::one(move || files::open(&file)?.metadata());
            Log::File(path, size.and_then(Result::ok).map(|metadata| metadata.len()))
        }
        Some(Place::Journal) => Log::Journal,
        Some(Place::Unknown) | None => Log::Unknown,
    }
}

/// Since when an instance is in its state. `ends` are all that are known, newest first.
fn since(one: &Overview, ends: &[End]) -> Option<SystemTime> {
    let live = one.server.as_ref();
    let child_since = live.and_then(|live| live.child_since);
    let changed = || one.unit.as_ref()?.time("StateChangeTimestamp");
    let last = |is_server| ends.iter().find(|end| end.is_server == is_server)?.time;
    match one.state {
        State::Running => child_since,
        State::Starting => child_since.or_else(changed),
        State::Looping => {
            let is_short =
                |end: &&End| !end.is_wanted && end.life.is_some_and(|it| it < CRASH_LOOP_LIFE);
            ends.iter().take_while(is_short).last().and_then(start)
        }
        State::Down | State::HeldOff(_) => last(false),
        // A unit that is started again and again changes its state all the time.
        State::Failed if one.unit.as_ref().is_some_and(|unit| unit.restarts_itself()) => None,
        State::Failed | State::Stopped | State::Dead => last(true).or_else(changed),
        State::Exiting => changed(),
        State::Orphan => live.and_then(|live| live.since),
        State::Broken | State::NoAnswer | State::Hung | State::Hidden => None,
    }
}
