//! `status` shows the servers and children of instances.

pub(crate) mod json;
pub(crate) mod row;

use std::cmp::Reverse;
use std::io::IsTerminal;
use std::time::SystemTime;

use clap::ArgMatches;

use self::row::{HEADER, Row};
use crate::manage::commands::{fallback, why};
use crate::manage::error::CommandResult;
use crate::manage::inspect::overview::{self, Overview};
use crate::manage::inspect::proc::{self, Process};
use crate::manage::limits::LINE_MAX;
use crate::manage::output::{self, span};
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Registry, check_name};

/// `status`. With `--check` the exit status is 3 if something is wrong.
///
/// # Errors
/// A pattern that matches no instance; files that can't be read.
pub(crate) fn status(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    let patterns = Patterns::from_matches(matches)?;
    let registry = fallback::registry_of(registry, &patterns, is_default)?;
    let mut all = overview::look(&registry, &patterns)?;
    let is_wrong = all.iter().any(Overview::is_wrong);
    let now = SystemTime::now();
    if matches.get_flag("failed") {
        all.retain(Overview::is_wrong);
    }
    match matches.get_one::<String>("sort").map_or("name", String::as_str) {
        "state" => all.sort_by_key(|one| one.state),
        "up" => all.sort_by_key(|one| one.up(now).unwrap_or(u64::MAX)),
        "restarts" => all.sort_by_key(|one| Reverse(restarts(one, "/restarts_24h"))),
        _ => {}
    }
    let is_long = is_one_name(&patterns)
        && !["plain", "failed", "wide"].iter().any(|option| matches.get_flag(option));
    if json {
        output::print_json(&all.iter().map(|one| json::object(&registry, one)).collect())?;
    } else if matches.get_flag("plain") {
        all.sort_by_key(|one| one.instance.as_ref().map(|instance| instance.place));
        output::print(&all.iter().map(of_helper).collect::<String>())?;
    } else if is_long {
        for one in all {
            why::print(&registry, one)?;
        }
    } else if all.is_empty() {
        output::print(if matches.get_flag("failed") {
            "nothing is wrong\n"
        } else {
            "no instances: manage-procs add makes one\n"
        })?;
    } else {
        print_table(&all, matches.get_flag("wide"), now)?;
    }
    Ok(if matches.get_flag("check") && is_wrong { 3 } else { 0 })
}

/// Returns true if there is a single name, and no pattern.
fn is_one_name(patterns: &Patterns) -> bool {
    matches!(patterns.texts()[..], [text] if check_name(text).is_ok())
}

fn print_table(
    all: &[Overview],
    is_wide: bool,
    now: SystemTime,
) -> Result<(), crate::manage::error::CommandError> {
    let more: &[&str] =
        if is_wide { &["SERVER", "CHILD", "CPU TIME", "MEMORY", "CONSOLE"] } else { &[] };
    let insert = |mut cells: Vec<String>, wide: Vec<String>| {
        cells.splice(5..5, wide);
        cells
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let rows: Vec<Row> = all.iter().map(Row::of).collect();
    let mut lines = vec![insert(words(&HEADER), words(more))];
    for (one, row) in all.iter().zip(&rows) {
        let wide = if is_wide { wide_cells(one) } else { Vec::new() };
        lines.push(insert(row.cells(now).to_vec(), wide));
    }
    let is_coloured = std::io::stdout().is_terminal() && row::may_colour();
    let table = output::table(&lines);
    let states = std::iter::once(None).chain(rows.iter().map(Some));
    for (line, row) in table.lines().zip(states) {
        let line = if is_wide { line.to_owned() } else { cut(line) };
        let colour = row.filter(|_| is_coloured).and_then(Row::colour);
        output::print(&match colour {
            Some(colour) => format!("\x1b[{colour}m{line}\x1b[0m\n"),
            None => format!("{line}\n"),
        })?;
    }
    Ok(())
}

/// A line that fits on a terminal.
fn cut(line: &str) -> String {
    if line.chars().count() <= LINE_MAX {
        return line.to_owned();
    }
    let start: String = line.chars().take(LINE_MAX - 1).collect();
    format!("{}\u{2026}", start.trim_end())
}

fn restarts(one: &Overview, pointer: &str) -> Option<u64> {
    one.field(pointer)?.as_u64()
}

fn wide_cells(one: &Overview) -> Vec<String> {
    let dash = || "-".to_owned();
    let live = one.server.as_ref();
    let pid = |process: Option<&Process>| process.map_or_else(dash, |it| it.pid.to_string());
    let child = live.and_then(|live| live.child.as_ref());
    let usage = child.and_then(|child| proc::usage(child.pid));
    let endpoints = live.map(|live| live.endpoints.join(" ")).filter(|text| !text.is_empty());
    vec![
        pid(live.and_then(|live| live.server.as_ref())),
        pid(child),
        usage.map_or_else(dash, |usage| span(usage.cpu.as_secs())),
        usage.map_or_else(dash, |usage| format!("{}M", usage.memory >> 20)),
        endpoints.unwrap_or_else(dash),
    ]
}

/// The line of procServ's helper, for scripts that read it (its contract, chapter 5).
fn of_helper(one: &Overview) -> String {
    let name = &one.name;
    let live = match &one.server {
        Some(live) if live.server.is_some() || live.is_hidden() => live,
        Some(_) => return format!("{name} Dead\n"),
        None => return format!("{name} Stopped\n"),
    };
    let endpoint = |text: &String| {
        let bare = text.strip_prefix("tcp:").or_else(|| text.strip_prefix("unix:"));
        output::escape_control(bare.unwrap_or(text))
    };
    // The info file has the other order.
    let endpoints: Vec<String> = live.endpoints.iter().rev().map(endpoint).collect();
    format!("{name} Running\t{}\n", endpoints.join(" "))
}
