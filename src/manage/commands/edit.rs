//! `add` and `remove`. An instance is there when its file is, which comes and goes in one step: the
//! unit is made of it, and a unit without it starts nothing.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde_json::json;

use super::control::systemctl;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::registry::ini::{self, Ini};
use crate::manage::registry::shlex;
use crate::manage::registry::{Instance, Registry, check_name, unit_name};
use crate::manage::systemd::launcher;
use crate::manage::systemd::unit::{self, UnitState};
use crate::sys::file::{self, IfExists};

/// `add`.
///
/// # Errors
/// A name or a value that can't be; an instance of this name; files that can't be written.
pub fn add(site: &Registry, given: &ArgMatches, json: bool) -> CommandResult {
    let text = |id| given.get_one::<String>(id).cloned();
    let name = text("name").unwrap_or_default();
    check_name(&name).map_err(CommandError::usage)?;
    let (force, start) = (given.get_flag("force"), given.get_flag("autostart"));
    if start {
        site.require_live("--autostart")?;
    }
    let file = site.instance_file(&name);
    match site.instances()?.get(&name) {
        Some(other) if other.file != file => {
            let other = other.file.display();
            return Err(CommandError::new(format!("{name}: is in {other}: edit it there")));
        }
        Some(_) if !force => return Err(already_exists(&name, &file)),
        _ => require_sole_instance(&name, &file)?,
    }
    let instance = requested_instance(site, given, &name, file.clone(), force)?;
    let content = content(&instance)?;
    if !force {
        unit::config(site, &instance).map_err(CommandError::usage)?;
    }

    let directory = site.directory();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&directory)
        .map_err(|error| CommandError::file(&directory, &error))?;
    // First what another add of this name refuses, then what it would have replaced.
    let existing = if force { IfExists::Replace } else { IfExists::Fail };
    file::replace_atomically(&file, content.as_bytes(), 0o644, existing).map_err(|error| {
        match error.kind() {
            ErrorKind::AlreadyExists => already_exists(&name, &file),
            _ => CommandError::file(&file, &error),
        }
    })?;
    let unit_file = unit::write(site, &instance)?;

    let verbose = given.get_flag("verbose");
    let enabled = enable(site, verbose, std::slice::from_ref(&unit_file));
    enabled.map_err(|failure| {
        CommandError::new(format!(
            "{name}: is in {}, but not enabled: {}",
            file.display(),
            failure.text
        ))
    })?;
    if start {
        systemctl(site, verbose, &["start", &unit_name(&name)])?;
    }
    if json {
        crate::manage::print_json(
            &json!({ "name": name, "file": file, "unit": unit_file, "started": start }),
        )?;
    } else if !start {
        crate::manage::print(&format!("# manage-procs {} start {name}\n", site.scope.option()))?;
    }
    Ok(0)
}

fn already_exists(name: &str, file: &Path) -> CommandError {
    CommandError::new(format!("{name}: is in {}; --force replaces it", file.display()))
}

/// The file of an instance goes as a whole, and others may have been written into it.
fn require_sole_instance(name: &str, file: &Path) -> Result<(), CommandError> {
    let text = match files::read_text(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        text => text.map_err(|error| CommandError::file(file, &error))?,
    };
    let wrong = |what| CommandError::new(format!("{name}: edit {}: {what}", file.display()));
    let ini =
        Ini::parse(&text).map_err(|error| wrong(format!("line {}: {}", error.line, error.what)))?;
    match ini.sections().find(|section| *section != name) {
        Some(other) => Err(wrong(format!("[{other}] is in it, too"))),
        None => Ok(()),
    }
}

fn requested_instance(
    site: &Registry,
    given: &ArgMatches,
    name: &str,
    file: PathBuf,
    force: bool,
) -> Result<Instance, CommandError> {
    let text = |id| given.get_one::<String>(id).cloned();
    let all = |id| given.get_many::<String>(id).into_iter().flatten().cloned();
    let chdir = absolute(&text("chdir").unwrap_or_else(|| ".".to_owned()))?;
    let mut command: Vec<String> = all("command").collect();
    if !force && !site.in_root(&chdir).is_dir() {
        return Err(CommandError::new(format!("--chdir: {} is not a directory", chdir.display())));
    }
    if let Some(program) = command.first_mut() {
        resolve(site, &chdir, program, force)?;
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
        port: text("port"),
        environment: (!environment.is_empty()).then(|| environment.join(" ")),
        env_file: env_file.map(|path| path.to_string_lossy().into_owned()),
        options,
    })
}

/// Names the program so that the server finds it: a file of the directory by its path, one of PATH
/// by its name.
fn resolve(
    site: &Registry,
    chdir: &Path,
    program: &mut String,
    force: bool,
) -> Result<(), CommandError> {
    let local = chdir.join(&program);
    let inside = site.in_root(&local);
    if launcher::is_program(&inside) {
        if !program.contains('/') {
            *program = local.to_string_lossy().into_owned();
        }
        return Ok(());
    }
    if force || (!program.contains('/') && on_path(site, program)) {
        return Ok(());
    }
    let what = if inside.exists() { "is not executable" } else { "is not there" };
    Err(CommandError::new(format!("{}: {what}; --force adds it all the same", local.display())))
}

fn on_path(site: &Registry, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .any(|directory| launcher::is_program(&site.in_root(&directory.join(program))))
}

fn absolute(path: &str) -> Result<PathBuf, CommandError> {
    let path =
        std::path::absolute(path).map_err(|error| CommandError::file(Path::new(path), &error))?;
    Ok(path.components().collect())
}

/// Has systemd know units, and start them at boot.
fn enable(site: &Registry, verbose: bool, units: &[PathBuf]) -> Result<(), CommandError> {
    if !units.is_empty() {
        let paths = units.iter().map(|unit| site.in_image(unit).to_string_lossy().into_owned());
        let paths: Vec<String> = paths.collect();
        let words = ["enable", "--quiet"].into_iter().chain(paths.iter().map(String::as_str));
        systemctl(site, verbose, &words.collect::<Vec<_>>())?;
    }
    if site.root.is_some() { Ok(()) } else { systemctl(site, verbose, &["daemon-reload"]) }
}

/// Brings the units in line with their instances, whose files somebody may have written or changed.
///
/// # Errors
/// A unit that can't be written; what systemctl says.
pub fn refresh(site: &Registry, verbose: bool, instances: &[Instance]) -> Result<(), CommandError> {
    let mut units = Vec::new();
    let mut is_unread = false;
    for instance in instances {
        match unit::state(site, instance) {
            UnitState::Missing | UnitState::Old
                if instance.file == site.instance_file(&instance.name) =>
            {
                units.push(unit::write(site, instance)?);
            }
            UnitState::Unread => is_unread = true,
            _ => {}
        }
    }
    if units.is_empty() && !is_unread { Ok(()) } else { enable(site, verbose, &units) }
}

/// The file of an instance, which is read as what was asked for.
fn content(instance: &Instance) -> Result<String, CommandError> {
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
        if let Some(value) = value {
            let value = ini::escaped(&value).map_err(|problem| {
                CommandError::usage(format!("{}: {key}: {problem}", instance.name))
            })?;
            // A String takes everything.
            let _ = writeln!(content, "{key} = {value}");
        }
    }
    // Whoever reads it has the checks.
    let read = Ini::parse(&content)
        .map_err(|error| error.what)
        .and_then(|ini| Instance::read(&instance.file, &ini, &instance.name));
    match read {
        Ok(read) if read == *instance => Ok(content),
        Ok(_) => Err(CommandError::usage(format!("{}: a value is empty", instance.name))),
        Err(problem) => Err(CommandError::usage(format!("{}: {problem}", instance.name))),
    }
}

/// `remove`.
///
/// # Errors
/// An instance that is not there, that stands in a file with others, or that can't be stopped.
pub fn remove(site: &Registry, given: &ArgMatches, json: bool) -> CommandResult {
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
    require_sole_instance(&name, &file)?;
    let verbose = given.get_flag("verbose");
    let unit = unit_name(&name);
    if site.root.is_none()
        && let Err(failure) = systemctl(site, verbose, &["stop", &unit])
    {
        if !given.get_flag("force") {
            return Err(CommandError::new(format!(
                "{name}: not stopped and not removed: {}",
                failure.text
            )));
        }
        crate::manage::print_error(&failure.text);
    }
    let gone = |path: &Path| files::remove(path).map_err(|error| CommandError::file(path, &error));
    // Disabled while the unit is there: systemctl finds its links by it.
    let disabled = systemctl(site, verbose, &["disable", "--quiet", &unit]);
    gone(&file)?;
    gone(&unit_file)?;
    let reloaded =
        if site.root.is_none() { systemctl(site, verbose, &["daemon-reload"]) } else { Ok(()) };
    disabled.and(reloaded).map_err(|failure| {
        CommandError::new(format!(
            "{name}: is removed, but systemd may still know it: {}",
            failure.text
        ))
    })?;
    if json {
        crate::manage::print_json(&json!({ "name": name, "removed": true }))?;
    }
    Ok(0)
}
