//! `remove`: stops an instance and removes its file, then its unit. A unit whose instance has no
//! file starts nothing.

use std::path::Path;

use clap::ArgMatches;
use serde_json::json;

use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::output;
use crate::manage::registry::{Registry, check_name, unit_name};
use crate::manage::systemd::systemctl;

/// `remove`.
///
/// # Errors
/// An instance that does not exist, is in a file with other instances, or can't be stopped.
pub(crate) fn remove(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let name = matches.get_one::<String>("name").cloned().unwrap_or_default();
    check_name(&name).map_err(CommandError::usage)?;
    let file = registry.instance_file(&name);
    let unit_file = registry.unit_file(&name);
    if !file.exists() {
        if let Some(other) = registry.instances()?.get(&name) {
            return Err(CommandError::new(format!(
                "{name}: edit {}, where it is",
                other.file.display()
            )));
        }
        // An interrupted removal has left the unit.
        if !unit_file.exists() {
            return Err(CommandError::new(format!(
                "no instance {name}: {} is not there",
                file.display()
            )));
        }
    }
    registry.require_sole_instance(&name)?;
    let verbose = matches.get_flag("verbose");
    let unit = unit_name(&name);
    if registry.root.is_none()
        && let Err(error) = systemctl::run(registry, verbose, &["stop", &unit])
    {
        if !matches.get_flag("force") {
            return Err(CommandError::new(format!(
                "{name}: not stopped and not removed: {}",
                error.text
            )));
        }
        output::print_error(&error.text);
    }
    let remove =
        |path: &Path| files::remove(path).map_err(|error| CommandError::file(path, &error));
    // systemctl finds the links of the unit only while the unit exists.
    let disabled = systemctl::run(registry, verbose, &["disable", "--quiet", &unit]);
    remove(&file)?;
    remove(&unit_file)?;
    let reloaded = if registry.root.is_none() {
        systemctl::run(registry, verbose, &["daemon-reload"])
    } else {
        Ok(())
    };
    disabled.and(reloaded).map_err(|error| {
        CommandError::new(format!(
            "{name}: is removed, but systemd may still know it: {}",
            error.text
        ))
    })?;
    if json {
        output::print_json(&json!({ "name": name, "removed": true }))?;
    }
    Ok(0)
}
