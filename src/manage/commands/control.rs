//! `start`, `stop` and `restart`, by systemd; and how systemd is called.

use clap::ArgMatches;
use serde_json::json;

use crate::manage::error::{CommandError, CommandResult};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Registry, unit_name};
use crate::manage::systemd::systemctl;

/// `start`, `stop` or `restart`: `verb` is systemctl's, too.
///
/// # Errors
/// A pattern that describes nothing, and what systemctl says.
pub(crate) fn units(site: &Registry, verb: &str, given: &ArgMatches, json: bool) -> CommandResult {
    site.require_live(verb)?;
    let instances = site.matching(&Patterns::given(given)?)?;
    if instances.is_empty() {
        return Err(CommandError::new("there are no instances"));
    }
    let units: Vec<String> = instances.iter().map(|instance| unit_name(&instance.name)).collect();
    let mut words = vec![verb];
    words.extend(units.iter().map(String::as_str));
    let verbose = given.get_flag("verbose");
    if verb != "stop" {
        systemctl::refresh(site, verbose, &instances)?;
    }
    systemctl::run(site, verbose, &words)?;
    if json {
        let names: Vec<_> = instances.iter().map(|instance| &instance.name).collect();
        output::print_json(&json!({ "command": verb, "instances": names }))?;
    }
    Ok(0)
}
