//! `set` and `edit`: change the section of an instance. A change that would make the instance
//! unusable is not saved, and the old file is kept.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ArgMatches;
use serde_json::json;

use super::doctor::instance;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::limits::EDIT_LOCK_TIMEOUT;
use crate::manage::output;
use crate::manage::registry::edit::{has_key, with_value};
use crate::manage::registry::{KEYS, Registry, Sources, Unusable, check_name, shlex};
use crate::manage::systemd::systemctl;
use crate::sys::file::lock_directory;

/// `set`.
///
/// # Errors
/// No such instance or key; values that make the instance unusable; files that can't be written.
pub(crate) fn set(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let name = name(matches);
    let files = section_files(registry, name)?;
    let _locks: Vec<_> = files.iter().map(|file| lock_directory(file, EDIT_LOCK_TIMEOUT)).collect();
    let read = |file: &PathBuf| {
        let text = files::read_text(file).map_err(|error| CommandError::file(file, &error))?;
        Ok::<_, CommandError>((file.clone(), text))
    };
    let mut texts = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let old = texts.clone();
    for text in matches.get_many::<String>("value").into_iter().flatten() {
        let usage = |what: &str| CommandError::usage(format!("{text}: {what}"));
        let (key, value) = text.split_once('=').ok_or_else(|| usage("is not KEY=VALUE"))?;
        let (key, value) = (key.trim().to_lowercase(), value.trim());
        if !KEYS.contains(&key.as_str()) {
            return Err(usage(&format!("is about none of the keys {}", KEYS.join(", "))));
        }
        if value.contains(char::is_control) {
            return Err(usage("has a line end or another control character"));
        }
        // A key is changed where it counts: in the last file that has it.
        let at = texts.iter().rposition(|(_, text)| has_key(text, name, &key));
        let Some((file, text)) = texts.get_mut(at.unwrap_or(files.len() - 1)) else { continue };
        *text = with_value(text, name, &key, Some(value).filter(|value| !value.is_empty()))
            .map_err(|what| CommandError::new(format!("{}: {what}", file.display())))?;
    }
    let changed = texts.into_iter().zip(&old).filter(|(new, old)| new != *old);
    save(registry, matches, &changed.map(|(new, _)| new).collect(), json)
}

/// `edit`.
///
/// # Errors
/// No such instance; an editor that fails; a text that makes the instance unusable; files that can't
/// be written.
pub(crate) fn edit(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let files = section_files(registry, name(matches))?;
    let Some(file) = files.last().cloned() else { return Ok(1) };
    let failed = |error: io::Error| CommandError::file(&file, &error);
    let old = files::read_text(&file).map_err(failed)?;
    // The copy is beside the file, where only those write who may write the file.
    let mut copy = tempfile::Builder::new()
        .prefix(".procserv-")
        .suffix(".edit")
        .tempfile_in(file.parent().unwrap_or(Path::new("/")))
        .map_err(failed)?;
    copy.write_all(old.as_bytes()).map_err(failed)?;
    loop {
        run_editor(copy.path())?;
        // Many editors replace the file.
        let new = files::read_text(copy.path()).map_err(failed)?;
        if new == old {
            output::print_error("nothing is changed");
            return Ok(0);
        }
        let saved = {
            let _lock = lock_directory(&file, EDIT_LOCK_TIMEOUT);
            if files::read_text(&file).map_err(failed)? != old {
                let text = format!("{}: somebody else has changed it", file.display());
                return Err(CommandError::new(text));
            }
            save(registry, matches, &BTreeMap::from([(file.clone(), new)]), json)
        };
        match saved {
            Err(error) if io::stdin().is_terminal() => {
                output::print_error(&error.text);
                output::print("Edit again? [Yn] ")?;
                let mut answer = String::new();
                let length = io::stdin().lock().read_line(&mut answer);
                if !matches!(length, Ok(1..)) || answer.trim().to_lowercase().starts_with('n') {
                    return Err(CommandError::new("nothing is changed"));
                }
            }
            result => return result,
        }
    }
}

fn name(matches: &ArgMatches) -> &str {
    matches.get_one::<String>("name").map(String::as_str).unwrap_or_default()
}

/// The files with the section, of which there is at least one, in the order in which they are read.
fn section_files(registry: &Registry, name: &str) -> Result<Vec<PathBuf>, CommandError> {
    check_name(name).map_err(CommandError::usage)?;
    let in_root = |file: &PathBuf| registry.in_root(&registry.in_image(file));
    let files: Vec<PathBuf> = Sources::read(registry)?.files(name).iter().map(in_root).collect();
    match files.is_empty() {
        true => Err(CommandError::new(format!("Instance '{name}' not found"))),
        false => Ok(files),
    }
}

/// Saves files, if the instance can be used then, and makes its unit anew. What is switched off has no
/// unit.
fn save(
    registry: &Registry,
    matches: &ArgMatches,
    changed: &BTreeMap<PathBuf, String>,
    json: bool,
) -> CommandResult {
    let name = name(matches);
    let wrong = |what: &str| CommandError::new(format!("{name}: {what}; nothing is changed"));
    let instance = match Sources::read_with(registry, changed)?.instance(name) {
        Ok(instance) => Some(instance),
        Err(Unusable::Off) => None,
        Err(Unusable::Absent) => return Err(wrong("its section is gone; see manage-procs remove")),
        Err(Unusable::Spoiled) => return Err(wrong("a line is neither a section nor a key")),
        Err(Unusable::Wrong(problem)) => return Err(wrong(&problem)),
    };
    if let Some(instance) = &instance {
        let force = matches.get_flag("force");
        instance::require_startable(registry, std::slice::from_ref(instance), force)?;
    }
    for (file, text) in changed {
        files::rewrite(file, text, true).map_err(|error| CommandError::file(file, &error))?;
    }
    let verbose = matches.get_count("verbose") > 0;
    let done = match &instance {
        Some(instance) => systemctl::refresh(registry, verbose, std::slice::from_ref(instance)),
        // The unit would be started at boot, and fail.
        None => systemctl::forget(registry, verbose, name),
    };
    done.map_err(|error| {
        CommandError::new(format!("{name}: is changed, but its unit is not: {}", error.text))
    })?;
    if json {
        output::print_json(&json!({ "name": name, "files": changed.keys().collect::<Vec<_>>() }))?;
    } else if registry.root.is_none() {
        let verb = if instance.is_some() { "restart" } else { "stop" };
        output::print(&format!("# manage-procs {} {verb} {name}\n", registry.scope.option()))?;
    }
    Ok(0)
}

/// Has the user edit a file.
fn run_editor(path: &Path) -> Result<(), CommandError> {
    let chosen = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok());
    let chosen = chosen.filter(|words| !words.trim().is_empty()).unwrap_or("vi".to_owned());
    let words =
        shlex::split(&chosen).map_err(|what| CommandError::new(format!("EDITOR: {what}")))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(CommandError::new("EDITOR: no command"));
    };
    let status = Command::new(program).args(arguments).arg(path).status();
    match status.map_err(|error| CommandError::system(program, &error))? {
        status if status.success() => Ok(()),
        status => Err(CommandError::new(format!("{program}: {status}; nothing is changed"))),
    }
}
