//! `list` shows the configuration of instances.

use clap::ArgMatches;
use serde_json::{Value, json};

use super::fallback;
use crate::manage::error::CommandResult;
use crate::manage::output;
use crate::manage::registry::shlex;
use crate::manage::registry::{Instance, Registry, unit_name};

/// `list`.
///
/// # Errors
/// A pattern that matches no instance; files that can't be read.
pub(crate) fn list(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    let (_, instances) = fallback::matching(registry, matches, is_default)?;
    if json {
        output::print_json(&instances.iter().map(configured).collect())?;
        return Ok(0);
    }
    let mut rows =
        vec![["NAME", "USER", "PORT", "DIRECTORY", "COMMAND"].map(str::to_owned).to_vec()];
    for instance in &instances {
        let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        rows.push(vec![
            instance.name.clone(),
            or_dash(&instance.user),
            or_dash(&instance.port),
            instance.chdir.display().to_string(),
            shlex::join(&instance.command),
        ]);
    }
    output::print(&output::table(&rows))?;
    Ok(0)
}

fn configured(instance: &Instance) -> Value {
    json!({
        "v": 1,
        "name": instance.name,
        "unit": unit_name(&instance.name),
        "file": instance.file,
        "command": instance.command,
        "chdir": instance.chdir,
        "user": instance.user,
        "group": instance.group,
        "port": instance.port,
        "control_group": instance.control_group,
        "host": instance.host,
        "environment": instance.environment,
        "env_file": instance.env_file,
        "options": instance.options,
        "term": instance.term,
        "window": instance.window,
        "events": instance.events,
        "fdstore": instance.fdstore,
    })
}
