//! `start`, `stop` and `restart`. Beside them: other commands to servers that run.

pub(crate) mod request;
pub(crate) mod upgrade;

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::thread;

use clap::ArgMatches;
use serde_json::json;

use crate::manage::error::{CommandError, CommandResult};
use crate::manage::inspect::units::{self, UnitStatus};
use crate::manage::limits::START_SETTLE;
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Registry, unit_name};
use crate::manage::systemd::systemctl;

/// `start`, `stop` or `restart`. `verb` is also the verb of systemctl. On a terminal each instance
/// gets a line. The exit status is 1 if one failed.
///
/// # Errors
/// No instances; a pattern that matches none; those of systemctl, if systemd does not tell which
/// instance is concerned.
pub(crate) fn units(
    registry: &Registry,
    verb: &str,
    matches: &ArgMatches,
    json: bool,
) -> CommandResult {
    registry.require_live(verb)?;
    let patterns = Patterns::from_matches(matches)?;
    if patterns.texts().is_empty() && !matches.get_flag("all") {
        return Err(CommandError::usage(format!(
            "{verb} needs names or patterns, or --all for all instances"
        )));
    }
    let verbose = matches.get_count("verbose") > 0;
    let names = if verb == "stop" {
        names_to_stop(registry, &patterns)?
    } else {
        let instances = registry.matching(&patterns)?;
        systemctl::refresh(registry, verbose, &instances)?;
        instances.into_iter().map(|instance| instance.name).collect()
    };
    if names.is_empty() {
        return Err(CommandError::new("there are no instances"));
    }
    let units: Vec<String> = names.iter().map(|name| unit_name(name)).collect();
    let words: Vec<&str> = std::iter::once(verb).chain(units.iter().map(String::as_str)).collect();
    let result = systemctl::run(registry, verbose, &words);
    if verb != "stop" {
        thread::sleep(START_SETTLE);
    }
    let states = units::show(registry, &units).unwrap_or_default();
    let mut failed = Vec::new();
    let on_terminal = std::io::stdout().is_terminal() && !json;
    for name in &names {
        match outcome(verb, states.get(&unit_name(name))) {
            Ok(word) if on_terminal && (result.is_ok() || !states.is_empty()) => {
                output::print(&output::line(&format!("{name}: {word}")))?;
            }
            Ok(_) => {}
            Err(problem) => {
                output::print_error(&format!("{name}: {problem}"));
                failed.push(name);
            }
        }
    }
    if json {
        output::print_json(&json!({ "command": verb, "instances": names, "failed": failed }))?;
    }
    if failed.is_empty() { result.map(|()| 0) } else { Ok(1) }
}

/// The names of the instances that patterns select, and of units whose instance is in no file any
/// more.
fn names_to_stop(registry: &Registry, patterns: &Patterns) -> Result<Vec<String>, CommandError> {
    let configured = registry.instances()?;
    let known: Vec<&str> = configured.keys().map(String::as_str).collect();
    let mut names = BTreeSet::new();
    for text in patterns.texts() {
        let pattern = Patterns::parse(&[text])?;
        if pattern.unused(&known).is_some() {
            let loaded = units::loaded(registry, text).unwrap_or_default();
            if loaded.is_empty() {
                return registry.matching(&pattern).map(|_| Vec::new());
            }
            names.extend(loaded);
        }
    }
    names.extend(configured.into_keys().filter(|name| patterns.selects(name)));
    Ok(names.into_iter().collect())
}

/// What became of a unit, in a few words. `None` if systemd does not tell.
///
/// # Errors
/// What is wrong with the unit.
fn outcome(verb: &str, state: Option<&UnitStatus>) -> Result<&'static str, String> {
    let done = match verb {
        "stop" => "stopped",
        "restart" => "restarted",
        _ => "started",
    };
    let Some(state) = state else { return Ok(done) };
    match (verb, state.get("ActiveState")) {
        ("stop", "active" | "activating" | "deactivating" | "reloading") => {
            Err(format!("not stopped: it is {}", state.get("ActiveState")))
        }
        ("stop", _) => Ok(done),
        _ if !matches!(state.get("LoadState"), "" | "loaded") => Err(format!(
            "systemd can't load its unit: {}; systemctl status has the reason",
            state.get("LoadState")
        )),
        _ if state.has_failed() => Err(format!("has failed: {}", state.failure())),
        _ if state.was_skipped() => Err("not started: a condition of its unit does not hold, \
            such as its directory or its host"
            .to_owned()),
        (_, "inactive" | "deactivating") => Err("has ended already".to_owned()),
        _ => Ok(done),
    }
}
