//! Calls of systemctl(1).

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::unit::{self, UnitState};
use crate::manage::error::CommandError;
use crate::manage::output;
use crate::manage::registry::{Instance, Registry, Scope};

/// Runs systemctl for the scope of `registry`. What systemctl prints goes to standard error.
///
/// # Errors
/// systemctl can't be executed or fails.
pub(crate) fn run(registry: &Registry, verbose: bool, words: &[&str]) -> Result<(), CommandError> {
    let mut command = Command::new("systemctl");
    match (&registry.root, registry.scope) {
        (Some(root), _) => {
            command.arg(format!("--root={}", root.display()));
        }
        (None, Scope::User) => {
            command.arg("--user");
        }
        (None, Scope::System) => {}
    }
    command.args(words).stdin(Stdio::null());
    let line = format!("systemctl {}", words.join(" "));
    if verbose {
        output::print_error(&line);
    }
    let status = command.status().map_err(|error| CommandError::system(&line, &error))?;
    if status.success() { Ok(()) } else { Err(CommandError::new(format!("{line}: {status}"))) }
}

/// Makes units known to systemd, which then starts them at boot.
///
/// # Errors
/// Those of [`run`].
pub(crate) fn enable(
    registry: &Registry,
    verbose: bool,
    units: &[PathBuf],
) -> Result<(), CommandError> {
    if !units.is_empty() {
        let paths = units.iter().map(|unit| registry.in_image(unit).to_string_lossy().into_owned());
        let paths: Vec<String> = paths.collect();
        let words = ["enable", "--quiet"].into_iter().chain(paths.iter().map(String::as_str));
        run(registry, verbose, &words.collect::<Vec<_>>())?;
    }
    if registry.root.is_some() { Ok(()) } else { run(registry, verbose, &["daemon-reload"]) }
}

/// Writes the units of instances whose files have been written or changed since.
///
/// # Errors
/// A unit that can't be written; those of [`run`].
pub(crate) fn refresh(
    registry: &Registry,
    verbose: bool,
    instances: &[Instance],
) -> Result<(), CommandError> {
    let mut units = Vec::new();
    let mut is_unread = false;
    for instance in instances {
        match unit::state(registry, instance) {
            UnitState::Missing | UnitState::Old
                if instance.file == registry.instance_file(&instance.name) =>
            {
                units.push(unit::write(registry, instance)?);
            }
            UnitState::Unread => is_unread = true,
            _ => {}
        }
    }
    if units.is_empty() && !is_unread { Ok(()) } else { enable(registry, verbose, &units) }
}
