//! `start`, `stop` and `restart`, by systemd; and how systemd is called.

use std::process::{Command, Stdio};

use clap::ArgMatches;
use serde_json::json;

use super::edit;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::registry::{Registry, Scope, unit_name};

/// `start`, `stop` or `restart`: `verb` is systemctl's, too.
///
/// # Errors
/// A pattern that describes nothing, and what systemctl says.
pub fn units(site: &Registry, verb: &str, given: &ArgMatches, json: bool) -> CommandResult {
    site.require_live(verb)?;
    let instances = site.matching(&patterns(given))?;
    if instances.is_empty() {
        return Err(CommandError::new("there are no instances"));
    }
    let units: Vec<String> = instances.iter().map(|instance| unit_name(&instance.name)).collect();
    let mut words = vec![verb];
    words.extend(units.iter().map(String::as_str));
    let verbose = given.get_flag("verbose");
    if verb != "stop" {
        edit::refresh(site, verbose, &instances)?;
    }
    systemctl(site, verbose, &words)?;
    if json {
        let names: Vec<_> = instances.iter().map(|instance| &instance.name).collect();
        crate::manage::print_json(&json!({ "command": verb, "instances": names }))?;
    }
    Ok(0)
}

/// The patterns of a command line.
pub fn patterns(given: &ArgMatches) -> Vec<&str> {
    given.get_many::<String>("pattern").into_iter().flatten().map(String::as_str).collect()
}

/// Runs systemctl for the scope of `site`.
///
/// # Errors
/// If it can't be run, or fails; what it has to say is on stderr.
pub fn systemctl(site: &Registry, verbose: bool, words: &[&str]) -> Result<(), CommandError> {
    let mut command = Command::new("systemctl");
    match (&site.root, site.scope) {
        (Some(root), _) => {
            command.arg(format!("--root={}", root.display()));
        }
        (None, Scope::User) => {
            command.arg("--user");
        }
        (None, Scope::System) => {}
    }
    command.args(words).stdin(Stdio::null());
    let shown = format!("systemctl {}", words.join(" "));
    if verbose {
        crate::manage::print_error(&shown);
    }
    let status = command.status().map_err(|error| CommandError::system(&shown, &error))?;
    if status.success() { Ok(()) } else { Err(CommandError::new(format!("{shown}: {status}"))) }
}
