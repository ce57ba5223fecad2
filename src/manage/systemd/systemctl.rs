//! Calls of systemctl(1). In an image there is no systemd to ask, and systemctl would follow links of
//! the image that lead to this machine, so links are made and removed by this program there.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::unit::{self, UnitState};
use crate::manage::error::CommandError;
use crate::manage::files;
use crate::manage::output;
use crate::manage::registry::{Instance, Registry, unit_name};

/// Runs systemctl for the scope of `registry`. What systemctl prints goes to standard error.
///
/// # Errors
/// systemctl can't be executed or fails.
pub(crate) fn run(registry: &Registry, verbose: bool, words: &[&str]) -> Result<(), CommandError> {
    let status = status(registry, verbose, words)?;
    let line = format!("systemctl {}", words.join(" "));
    if status.success() { Ok(()) } else { Err(CommandError::new(format!("{line}: {status}"))) }
}

/// Runs systemctl in the same way, and returns its exit status.
///
/// # Errors
/// systemctl can't be executed.
pub(crate) fn status(
    registry: &Registry,
    verbose: bool,
    words: &[&str],
) -> Result<ExitStatus, CommandError> {
    registry.require_live(words.first().unwrap_or(&"systemctl"))?;
    let mut command = Command::new("systemctl");
    command.arg(registry.scope.option()).args(words).stdin(Stdio::null());
    let line = format!("systemctl {} {}", registry.scope.option(), words.join(" "));
    if verbose {
        output::print_error(&line);
    }
    command.status().map_err(|error| CommandError::system(&line, &error))
}

/// Has units started at boot, and makes them known to systemd.
///
/// # Errors
/// Those of [`run`]; in an image, links that can't be made.
pub(crate) fn enable(
    registry: &Registry,
    verbose: bool,
    units: &[PathBuf],
) -> Result<(), CommandError> {
    if registry.root.is_none() {
        run_for(registry, verbose, "enable", units)?;
        return run(registry, verbose, &["daemon-reload"]);
    }
    for unit in units {
        let target = registry.in_image(unit);
        let name = unit.file_name().unwrap_or_default();
        for directory in [registry.unit_links(), registry.boot_links()] {
            make_link(&target, &directory.join(name))?;
        }
    }
    Ok(())
}

/// Has units no longer started at boot. Without a generator systemd still finds them.
///
/// # Errors
/// Those of [`run`]; in an image, links that can't be removed.
pub(crate) fn disable(
    registry: &Registry,
    verbose: bool,
    names: &[&str],
) -> Result<(), CommandError> {
    if registry.root.is_none() {
        let units: Vec<PathBuf> = names.iter().map(|name| unit_name(name).into()).collect();
        return run_for(registry, verbose, "disable", &units);
    }
    for name in names {
        remove_links(registry, name)?;
    }
    Ok(())
}

/// Removes the links of a unit that is gone or is going to be.
///
/// # Errors
/// A link that can't be removed.
pub(crate) fn remove_links(registry: &Registry, name: &str) -> Result<(), CommandError> {
    for directory in [registry.unit_links(), registry.boot_links()] {
        let link = directory.join(unit_name(name));
        if link.is_symlink() {
            fs::remove_file(&link).map_err(|error| CommandError::file(&link, &error))?;
        }
    }
    Ok(())
}

/// Has an instance no longer started at boot, and deletes its unit, which may be gone already.
///
/// # Errors
/// A file that can't be removed; those of [`disable`] and [`run`], after everything has been tried.
pub(crate) fn forget(registry: &Registry, verbose: bool, name: &str) -> Result<(), CommandError> {
    let unit = registry.unit_file(name);
    // systemctl finds the links of the unit only while the unit exists.
    let disabled = match registry.unit_link(name).is_symlink() || unit.exists() {
        true => disable(registry, verbose, &[name]),
        false => Ok(()),
    };
    files::remove(&unit).map_err(|error| CommandError::file(&unit, &error))?;
    remove_links(registry, name)?;
    let reloaded = match &registry.root {
        None => run(registry, verbose, &["daemon-reload"]),
        Some(_) => Ok(()),
    };
    disabled.and(reloaded)
}

/// Makes units known to systemd that are in no directory of systemd's.
fn link(registry: &Registry, verbose: bool, units: &[PathBuf]) -> Result<(), CommandError> {
    match registry.root {
        None => run_for(registry, verbose, "link", units),
        Some(_) => units.iter().try_for_each(|unit| {
            let name = unit.file_name().unwrap_or_default();
            make_link(&registry.in_image(unit), &registry.unit_links().join(name))
        }),
    }
}

/// Runs one command of systemctl for many units. systemd reads units anew only once, after that.
fn run_for(
    registry: &Registry,
    verbose: bool,
    verb: &str,
    units: &[PathBuf],
) -> Result<(), CommandError> {
    let units: Vec<_> = units.iter().map(|unit| unit.to_string_lossy()).collect();
    let words = [verb, "--quiet", "--no-reload"].into_iter();
    run(registry, verbose, &words.chain(units.iter().map(AsRef::as_ref)).collect::<Vec<_>>())
}

fn make_link(target: &Path, link: &Path) -> Result<(), CommandError> {
    files::make_directory(link.parent().unwrap_or(Path::new("/")))?;
    match fs::read_link(link) {
        Ok(old) if old == target => return Ok(()),
        Ok(_) => fs::remove_file(link).map_err(|error| CommandError::file(link, &error))?,
        Err(_) => {}
    }
    symlink(target, link).map_err(|error: io::Error| CommandError::file(link, &error))
}

/// Writes the units of instances whose files have been written or changed since. What is started at
/// boot stays as it is. A unit that somebody else has written stays, and is named if it is not what the
/// instance says: it may have another user.
///
/// # Errors
/// A unit that can't be written; those of [`run`].
pub(crate) fn refresh(
    registry: &Registry,
    verbose: bool,
    instances: &[Instance],
) -> Result<(), CommandError> {
    let state = |instance| (instance, unit::state(registry, instance));
    let states: Vec<_> = instances.iter().map(state).collect();
    for (instance, _) in states.iter().filter(|(_, state)| *state == UnitState::Foreign) {
        let unit = registry.unit_link(&instance.name);
        let (unit, file) = (unit.display(), instance.file.display());
        output::print_error(&format!(
            "{}: {unit} is not what {file} says, and stays",
            instance.name
        ));
    }
    let is_old = |state| matches!(state, UnitState::Missing | UnitState::Old);
    let old = states.iter().filter(|(_, state)| is_old(*state)).map(|(instance, _)| *instance);
    let old: Vec<&Instance> = old.collect();
    let is_unread = states.iter().any(|(_, state)| *state == UnitState::Unread);
    if old.is_empty() && !is_unread {
        return Ok(());
    }
    if !old.is_empty() {
        let written = unit::write(registry, old.iter().copied())?;
        let mut unknown = Vec::new();
        for (instance, path) in old.iter().zip(written) {
            let link = registry.unit_link(&instance.name);
            // A link that still leads nowhere is to another place.
            if link.is_symlink() && !registry.in_root(&registry.in_image(&link)).exists() {
                fs::remove_file(&link).map_err(|error| CommandError::file(&link, &error))?;
            }
            if link.symlink_metadata().is_err() {
                unknown.push(path);
            }
        }
        if !unknown.is_empty() {
            self::link(registry, verbose, &unknown)?;
        }
    }
    if registry.root.is_some() { Ok(()) } else { run(registry, verbose, &["daemon-reload"]) }
}
