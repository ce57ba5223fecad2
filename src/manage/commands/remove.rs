//! `remove`: stops an instance and removes its section from all files, then its unit. A unit whose
//! instance has no section starts nothing.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use clap::ArgMatches;
use serde_json::json;

use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::limits::EDIT_LOCK_TIMEOUT;
use crate::manage::output;
use crate::manage::registry::{Registry, Sources, Unusable, check_name, edit, unit_name};
use crate::manage::systemd::systemctl;
use crate::sys::file::lock_directory;

/// `remove`.
///
/// # Errors
/// An instance that does not exist or can't be stopped; a question that was answered with no; files
/// that can't be written.
pub(crate) fn remove(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let name = matches.get_one::<String>("name").cloned().unwrap_or_default();
    check_name(&name).map_err(CommandError::usage)?;
    let (force, verbose) = (matches.get_flag("force"), matches.get_count("verbose") > 0);
    let sources = Sources::read(registry)?;
    let sections = match sources.instance(&name) {
        Err(Unusable::Off) => {
            let text = format!("'{name}' not an instance: its section stays where it is");
            return Err(CommandError::new(text));
        }
        Err(Unusable::Absent) => Vec::new(),
        _ => sources.files(&name).to_vec(),
    };
    if !force && io::stdin().is_terminal() {
        for file in &sections {
            ask(&format!("Remove section '{name}' from {} ? [yN]", file.display()))?;
        }
    }
    let (unit_file, link) = (registry.unit_file(&name), registry.unit_link(&name));
    let is_known = !sections.is_empty() || unit_file.exists() || link.is_symlink();
    stop(registry, &name, verbose, force)?;
    for file in &sections {
        remove_section(registry, file, &name)?;
    }
    let forgotten = systemctl::forget(registry, verbose, &name);
    if !is_known {
        let (main, directory) = (registry.main_file(), registry.directory());
        return Err(CommandError::new(format!(
            "no instance {name} in {} and {}",
            main.display(),
            directory.display()
        )));
    }
    forgotten.map_err(|error| {
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

/// Stops the server. A unit that systemd does not know has none.
///
/// # Errors
/// Those of systemctl, unless `force`.
fn stop(registry: &Registry, name: &str, verbose: bool, force: bool) -> Result<(), CommandError> {
    if registry.root.is_some() {
        return Ok(());
    }
    let words = ["stop", &unit_name(name)];
    let problem = match systemctl::status(registry, verbose, &words) {
        Ok(status) if status.success() || status.code() == Some(NOT_LOADED) => return Ok(()),
        Ok(status) => format!("systemctl {}: {status}", words.join(" ")),
        Err(error) => error.text,
    };
    if force {
        output::print_error(&problem);
        return Ok(());
    }
    Err(CommandError::new(format!("{name}: not stopped and not removed: {problem}")))
}

/// The exit status of systemctl for a unit that is not there.
const NOT_LOADED: i32 = 5;

/// Asks until there is an answer.
///
/// # Errors
/// The answer is no, or there is none.
fn ask(question: &str) -> Result<(), CommandError> {
    loop {
        output::print(&format!("{} ", output::escape_control(question)))?;
        // What is not shown has not been asked.
        io::stdout().flush().map_err(|error| CommandError::system("standard output", &error))?;
        let mut answer = String::new();
        let length = io::stdin().lock().read_line(&mut answer);
        length.map_err(|error| CommandError::system("standard input", &error))?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(()),
            "" | "n" | "no" => return Err(CommandError::new("nothing is removed")),
            _ => {}
        }
    }
}

/// Takes a section out of a file. A file with nothing else is removed.
fn remove_section(registry: &Registry, file: &Path, name: &str) -> Result<(), CommandError> {
    let path = registry.in_root(&registry.in_image(file));
    let _lock = lock_directory(&path, EDIT_LOCK_TIMEOUT);
    let failed = |error: &io::Error| CommandError::file(file, error);
    let text = files::read_text(&path).map_err(|error| failed(&error))?;
    let left = edit::without_section(&text, name)
        .map_err(|what| CommandError::new(format!("{}: {what}", file.display())))?;
    if edit::is_blank(&left) {
        return files::remove(&path).map(drop).map_err(|error| failed(&error));
    }
    files::rewrite(&path, &left, false).map_err(|error| failed(&error))
}
