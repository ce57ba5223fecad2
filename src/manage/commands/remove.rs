//! `remove`. An instance is gone when its file is: a unit without its instance starts nothing.

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
/// An instance that is not there, that stands in a file with others, or that can't be stopped.
pub(crate) fn remove(site: &Registry, given: &ArgMatches, json: bool) -> CommandResult {
    let name = given.get_one::<String>("name").cloned().unwrap_or_default();
    check_name(&name).map_err(CommandError::usage)?;
    let file = site.instance_file(&name);
    let unit_file = site.unit_file(&name);
    if !file.exists() {
        if let Some(other) = site.instances()?.get(&name) {
            return Err(CommandError::new(format!(
                "{name}: edit {}, where it is",
                other.file.display()
            )));
        }
        // The rest of one whose removal was interrupted.
        if !unit_file.exists() {
            return Err(CommandError::new(format!(
                "no instance {name}: {} is not there",
                file.display()
            )));
        }
    }
    site.require_sole_instance(&name)?;
    let verbose = given.get_flag("verbose");
    let unit = unit_name(&name);
    if site.root.is_none()
        && let Err(failure) = systemctl::run(site, verbose, &["stop", &unit])
    {
        if !given.get_flag("force") {
            return Err(CommandError::new(format!(
                "{name}: not stopped and not removed: {}",
                failure.text
            )));
        }
        output::print_error(&failure.text);
    }
    let gone = |path: &Path| files::remove(path).map_err(|error| CommandError::file(path, &error));
    // Disabled while the unit is there: systemctl finds its links by it.
    let disabled = systemctl::run(site, verbose, &["disable", "--quiet", &unit]);
    gone(&file)?;
    gone(&unit_file)?;
    let reloaded = if site.root.is_none() {
        systemctl::run(site, verbose, &["daemon-reload"])
    } else {
        Ok(())
    };
    disabled.and(reloaded).map_err(|failure| {
        CommandError::new(format!(
            "{name}: is removed, but systemd may still know it: {}",
            failure.text
        ))
    })?;
    if json {
        output::print_json(&json!({ "name": name, "removed": true }))?;
    }
    Ok(0)
}
