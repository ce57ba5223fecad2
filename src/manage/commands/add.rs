//! `add`: writes the file of an instance, then its unit. The instance exists as soon as its file
//! does, which appears in one step.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde_json::json;

use super::doctor::instance;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::output;
use crate::manage::registry::ini;
use crate::manage::registry::shlex;
use crate::manage::registry::{Instance, Registry, Sources, Unusable, check_name, unit_name};
use crate::manage::systemd::launcher;
use crate::manage::systemd::systemctl;
use crate::manage::systemd::unit;
use crate::sys::file::{self, IfExists};

/// `add`.
///
/// # Errors
/// A name or a value that is impossible; an existing instance of this name; files that can't be
/// written.
pub(crate) fn add(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let text = |id| matches.get_one::<String>(id).cloned();
    let name = text("name").unwrap_or_default();
    check_name(&name).map_err(CommandError::usage)?;
    let (force, start) = (matches.get_flag("force"), matches.get_flag("autostart"));
    if start {
        registry.require_live("--autostart")?;
    }
    let file = registry.instance_file(&name);
    match registry.instances()?.get(&name) {
        Some(other) if other.file != file => {
            let other = other.file.display();
            return Err(CommandError::new(format!("{name}: is in {other}: edit it there")));
        }
        Some(_) if !force => return Err(already_exists(&name, &file)),
        _ => registry.require_sole_instance(&name)?,
    }
    let instance = requested_instance(registry, matches, &name, file.clone(), force)?;
    let content = content(registry, &instance)?;
    if !force {
        instance.server_config(registry).map_err(CommandError::usage)?;
    }
    instance::require_startable(registry, &instance, force)?;

    let directory = registry.directory();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&directory)
        .map_err(|error| CommandError::file(&directory, &error))?;
    // The file first: of two commands that add the same name, only one can create it.
    let existing = if force { IfExists::Replace } else { IfExists::Fail };
    file::replace_atomically(&file, content.as_bytes(), 0o644, existing).map_err(|error| {
        match error.kind() {
            ErrorKind::AlreadyExists => already_exists(&name, &file),
            _ => CommandError::file(&file, &error),
        }
    })?;
    let unit_file = unit::write(registry, &instance)?;

    let verbose = matches.get_flag("verbose");
    let enabled = systemctl::enable(registry, verbose, std::slice::from_ref(&unit_file));
    enabled.map_err(|error| {
        CommandError::new(format!(
            "{name}: is in {}, but not enabled: {}",
            file.display(),
            error.text
        ))
    })?;
    if start {
        systemctl::run(registry, verbose, &["start", &unit_name(&name)])?;
    }
    if json {
        output::print_json(
            &json!({ "name": name, "file": file, "unit": unit_file, "started": start }),
        )?;
    } else if !start {
        output::print(&format!("# manage-procs {} start {name}\n", registry.scope.option()))?;
    }
    Ok(0)
}

fn already_exists(name: &str, file: &Path) -> CommandError {
    CommandError::new(format!("{name}: is in {}; --force replaces it", file.display()))
}

/// The instance that a command line describes.
fn requested_instance(
    registry: &Registry,
    matches: &ArgMatches,
    name: &str,
    file: PathBuf,
    force: bool,
) -> Result<Instance, CommandError> {
    let text = |id| matches.get_one::<String>(id).cloned();
    let all = |id| matches.get_many::<String>(id).into_iter().flatten().cloned();
    let chdir = absolute(&text("chdir").unwrap_or_else(|| ".".to_owned()))?;
    let mut command: Vec<String> = all("command").collect();
    if !force && !registry.in_root(&chdir).is_dir() {
        return Err(CommandError::new(format!("--chdir: {} is not a directory", chdir.display())));
    }
    if let Some(program) = command.first_mut() {
        resolve(registry, &chdir, program, force)?;
    }
    let options = shlex::split(&text("options").unwrap_or_default())
        .map_err(|problem| CommandError::usage(format!("--options: {problem}")))?;
    let assignments: Vec<String> = all("environment").collect();
    for assignment in &assignments {
        let name = assignment.split_once('=').map(|(name, _)| name);
        let letters =
            |name: &str| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !name.is_some_and(|name| !name.is_empty() && letters(name)) {
            return Err(CommandError::usage(format!(
                "--environment: {assignment} is not NAME=VALUE"
            )));
        }
    }
    let environment: Vec<String> = assignments.iter().map(|text| unit::assignment(text)).collect();
    let env_file = text("env-file").map(|file| absolute(&file)).transpose()?;
    Ok(Instance {
        name: name.to_owned(),
        file,
        command,
        chdir,
        user: text("username"),
        group: text("group"),
        files: Vec::new(),
        host: None,
        port: text("port"),
        environment: (!environment.is_empty()).then(|| environment.join(" ")),
        env_file: env_file.map(|path| path.to_string_lossy().into_owned()),
        options,
    })
}

/// Checks that the program exists. A file of the working directory gets its path in the place of
/// its name, as the server looks a name up in PATH.
fn resolve(
    registry: &Registry,
    chdir: &Path,
    program: &mut String,
    force: bool,
) -> Result<(), CommandError> {
    let local = chdir.join(&program);
    let inside = registry.in_root(&local);
    if launcher::is_program(&inside) {
        if !program.contains('/') {
            *program = local.to_string_lossy().into_owned();
        }
        return Ok(());
    }
    if force || (!program.contains('/') && on_path(registry, program)) {
        return Ok(());
    }
    let what = if inside.exists() { "is not executable" } else { "is not there" };
    Err(CommandError::new(format!("{}: {what}; --force adds it all the same", local.display())))
}

fn on_path(registry: &Registry, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .any(|directory| launcher::is_program(&registry.in_root(&directory.join(program))))
}

fn absolute(path: &str) -> Result<PathBuf, CommandError> {
    let path =
        std::path::absolute(path).map_err(|error| CommandError::file(Path::new(path), &error))?;
    Ok(path.components().collect())
}

/// The content of the file of an instance.
///
/// # Errors
/// A value that would be read differently.
fn content(registry: &Registry, instance: &Instance) -> Result<String, CommandError> {
    let chdir =
        instance.chdir.to_str().ok_or_else(|| CommandError::usage("--chdir: is not UTF-8"))?;
    let lines = [
        ("command", Some(shlex::join(&instance.command))),
        ("chdir", Some(chdir.to_owned())),
        ("user", instance.user.clone()),
        ("group", instance.group.clone()),
        ("port", instance.port.clone()),
        ("environment", instance.environment.clone()),
        ("env_file", instance.env_file.clone()),
        ("options", (!instance.options.is_empty()).then(|| shlex::join(&instance.options))),
    ];
    let mut content = format!("[{}]\n", instance.name);
    for (key, value) in lines {
        if value.as_ref().is_some_and(String::is_empty) {
            return Err(CommandError::usage(format!("{}: {key}: a value is empty", instance.name)));
        }
        if let Some(value) = value {
            let value = ini::escaped(&value).map_err(|problem| {
                CommandError::usage(format!("{}: {key}: {problem}", instance.name))
            })?;
            // Writing to a String does not fail.
            let _ = writeln!(content, "{key} = {value}");
        }
    }
    // Reading has all the checks.
    let mut sources = Sources::empty(registry);
    sources.add(&instance.file, &content);
    match sources.instance(&instance.name) {
        Ok(_) => Ok(content),
        Err(Unusable::Wrong(problem)) => {
            Err(CommandError::usage(format!("{}: {problem}", instance.name)))
        }
        Err(_) => Err(CommandError::usage(format!("{}: is not a name", instance.name))),
    }
}
