//! `start`, `stop` and `restart`.

use clap::ArgMatches;
use serde_json::json;

use crate::manage::error::{CommandError, CommandResult};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Registry, unit_name};
use crate::manage::systemd::systemctl;

/// `start`, `stop` or `restart`. `verb` is also the verb of systemctl.
///
/// # Errors
/// No instances; a pattern that matches none; those of systemctl.
pub(crate) fn units(
    registry: &Registry,
    verb: &str,
    matches: &ArgMatches,
    json: bool,
) -> CommandResult {
    registry.require_live(verb)?;
    let instances = registry.matching(&Patterns::from_matches(matches)?)?;
    if instances.is_empty() {
        return Err(CommandError::new("there are no instances"));
    }
    let units: Vec<String> = instances.iter().map(|instance| unit_name(&instance.name)).collect();
    let mut words = vec![verb];
    words.extend(units.iter().map(String::as_str));
    let verbose = matches.get_count("verbose") > 0;
    if verb != "stop" {
        systemctl::refresh(registry, verbose, &instances)?;
    }
    systemctl::run(registry, verbose, &words)?;
    if json {
        let names: Vec<_> = instances.iter().map(|instance| &instance.name).collect();
        output::print_json(&json!({ "command": verb, "instances": names }))?;
    }
    Ok(0)
}
