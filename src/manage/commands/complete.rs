//! `complete`: the names of instances, for the completion of shells.

use std::ffi::OsString;

use super::fallback;
use crate::manage::cli;
use crate::manage::error::CommandResult;
use crate::manage::output;
use crate::manage::registry::Registry;

/// No user has typed this word.
const PLACE: &str = "\u{1}";

/// `complete`: prints the instances whose name may be the last of the words of a command line. The
/// words are `--`, and those behind the name of the program.
///
/// # Errors
/// Those of standard output.
pub(crate) fn complete(words: &[OsString]) -> CommandResult {
    let Some((last, before)) = words.split_last() else { return Ok(0) };
    let before = before.get(1..).unwrap_or_default();
    let last = last.to_string_lossy();
    let names: String = names(before, &last).iter().map(|name| format!("{name}\n")).collect();
    output::print(&names)?;
    Ok(0)
}

/// Nothing is said about errors in the middle of a line that somebody types.
fn names(before: &[OsString], last: &str) -> Vec<String> {
    let line = [OsString::from("manage-procs")].into_iter().chain(before.iter().cloned());
    let definition = cli::definition().ignore_errors(true);
    let parsed = definition.try_get_matches_from(line.chain([OsString::from(PLACE)]));
    let Ok(matches) = parsed else { return Vec::new() };
    let Some((command, arguments)) = matches.subcommand() else { return Vec::new() };
    let is_there = |id: &&str| {
        let values = arguments.try_get_raw(id).ok().flatten();
        values.is_some_and(|mut values| values.any(|value| value == PLACE))
    };
    // `add` wants the name of an instance that is not there.
    if command == "add" || !["name", "pattern", "console"].iter().any(is_there) {
        return Vec::new();
    }
    let Ok(registry) = Registry::new(&matches) else { return Vec::new() };
    let of = |registry: &Registry| {
        let instances = registry.configured().map(|found| found.instances).unwrap_or_default();
        instances.into_keys().filter(|name| name.starts_with(last)).collect::<Vec<_>>()
    };
    let names = of(&registry);
    // `status` and others show an ordinary user the machine's instances, too.
    if names.is_empty() && !matches.get_flag("user") {
        return fallback::machine(&registry).as_ref().map(of).unwrap_or_default();
    }
    names
}
