//! What `add` is asked for: on the command line or in a file.

use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use clap::ArgMatches;

use crate::manage::error::CommandError;
use crate::manage::files;
use crate::manage::inspect::bounded;
use crate::manage::registry::edit;
use crate::manage::registry::ini::{self, Ini};
use crate::manage::registry::shlex;
use crate::manage::registry::{Registry, check_name};
use crate::manage::systemd::launcher::is_program;
use crate::manage::systemd::unit;

/// An instance that is to be added.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) name: String,
    /// Its file, which may exist.
    pub(super) file: PathBuf,
    /// What the file is going to contain.
    pub(super) content: String,
    /// True if the request says who the user is.
    pub(super) has_user: bool,
}

/// Reads the sections of a file, each of which is an instance.
///
/// # Errors
/// A file that can't be read, has no sections or has wrong ones.
pub(super) fn from_file(registry: &Registry, path: &Path) -> Result<Vec<Request>, CommandError> {
    let text = files::read_text(path).map_err(|error| CommandError::file(path, &error))?;
    let wrong =
        |line: usize, what: &str| CommandError::usage(format!("{}:{line}: {what}", path.display()));
    let ini = Ini::parse(&text);
    if let Some(error) = ini.problems.iter().chain(&ini.warnings).next() {
        return Err(wrong(error.line, &error.what));
    }
    if ini.has_defaults() {
        return Err(wrong(1, "has a section DEFAULT, which would count for all instances"));
    }
    let mut requests = Vec::new();
    for (name, content) in edit::sections(&text) {
        check_name(&name).map_err(|problem| wrong(1, &problem))?;
        let (file, has_user) = (registry.instance_file(&name), ini.is_given(&name, "user"));
        requests.push(Request { name, file, content, has_user });
    }
    if requests.is_empty() { Err(wrong(1, "has no section")) } else { Ok(requests) }
}

/// Reads the command line.
///
/// # Errors
/// A name or a value that is impossible.
pub(super) fn from_command_line(
    registry: &Registry,
    matches: &ArgMatches,
) -> Result<Request, CommandError> {
    let text = |id| matches.get_one::<String>(id).cloned();
    let all = |id| matches.get_many::<String>(id).into_iter().flatten().cloned();
    let name = text("name").unwrap_or_default();
    check_name(&name).map_err(CommandError::usage)?;
    let chdir = absolute(registry, &text("chdir").unwrap_or_else(|| ".".to_owned()))?;
    let mut command: Vec<String> = all("command").collect();
    if let Some(program) = command.first_mut() {
        resolve(registry, &chdir, program);
    }
    let options = shlex::split(&text("options").unwrap_or_default())
        .map_err(|problem| CommandError::usage(format!("--options: {problem}")))?;
    let values = [
        ("command", Some(shlex::join(&command))),
        ("chdir", Some(plain("--chdir", &utf8(chdir)?)?)),
        ("user", text("username").map(|user| plain("--user", &user)).transpose()?),
        ("group", text("group").map(|group| plain("--group", &group)).transpose()?),
        ("port", text("port")),
        ("environment", environment(all("environment"))?),
        ("env_file", text("env-file").map(|file| env_file(registry, &file)).transpose()?),
        ("options", (!options.is_empty()).then(|| shlex::join(&options))),
    ];
    let mut content = format!("\n[{name}]\n");
    for (key, value) in values {
        let Some(value) = value else { continue };
        let wrong = |what: &str| CommandError::usage(format!("{name}: {key}: {what}"));
        if value.is_empty() {
            return Err(wrong("a value is empty"));
        }
        let value = ini::escaped(&value).map_err(|problem| wrong(&problem))?;
        // Writing to a String does not fail.
        let _ = writeln!(content, "{key} = {value}");
    }
    let file = registry.instance_file(&name);
    let has_user = matches.contains_id("username");
    if name == "DEFAULT" {
        return Err(CommandError::usage("DEFAULT: is the section of the values of all instances"));
    }
    Ok(Request { name, file, content, has_user })
}

/// Makes the program a path. A name that is not in the directory, but in PATH, stays a name.
fn resolve(registry: &Registry, chdir: &Path, program: &mut String) {
    let path = normalized(&chdir.join(&program));
    let place = registry.in_root(&path);
    // A disk that does not answer has no program for this purpose; a later check says so.
    let is_local =
        program.contains('/') || bounded::one(move || is_program(&place)).unwrap_or(false);
    if is_local || !on_path(registry, program) {
        *program = path.to_string_lossy().into_owned();
    }
}

/// Refuses a `%`, which systemd would take for the begin of a specifier.
fn plain(option: &str, value: &str) -> Result<String, CommandError> {
    match value.contains('%') {
        true => Err(CommandError::usage(format!("{option}: {value} has a %"))),
        false => Ok(value.to_owned()),
    }
}

/// The assignments in systemd's notation.
fn environment(assignments: impl Iterator<Item = String>) -> Result<Option<String>, CommandError> {
    let mut quoted = Vec::new();
    for assignment in assignments {
        let name = assignment.split_once('=').map(|(name, _)| name);
        let letters =
            |name: &str| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        // systemd leaves out any other (systemd.exec(5)).
        let is_name = |name: &str| !name.starts_with(|letter: char| letter.is_ascii_digit());
        if !name.is_some_and(|name| !name.is_empty() && is_name(name) && letters(name)) {
            return Err(CommandError::usage(format!(
                "--environment: {assignment} is not NAME=VALUE"
            )));
        }
        quoted.push(unit::literal(&unit::assignment(&assignment)));
    }
    Ok((!quoted.is_empty()).then(|| quoted.join(" ")))
}

/// The file of assignments, which must exist.
fn env_file(registry: &Registry, file: &str) -> Result<String, CommandError> {
    let path = absolute(registry, file)?;
    let place = registry.in_root(&path);
    if bounded::one(move || place.exists()) == Some(false) {
        return Err(CommandError::new(format!("File not found: \"{}\"", path.display())));
    }
    Ok(unit::literal(&utf8(path)?))
}

fn utf8(path: PathBuf) -> Result<String, CommandError> {
    path.into_os_string()
        .into_string()
        .map_err(|path| CommandError::usage(format!("{}: is not UTF-8", path.display())))
}

/// An absolute path. A directory that is inside of the image is named as the image names it.
fn absolute(registry: &Registry, path: &str) -> Result<PathBuf, CommandError> {
    let here = std::env::current_dir()
        .map_err(|error| CommandError::file(Path::new("the current directory"), &error))?;
    Ok(normalized(&registry.in_image(&here).join(path)))
}

/// Returns true if PATH has a program of this name.
fn on_path(registry: &Registry, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .any(|directory| is_program(&registry.in_root(&directory.join(program))))
}

/// A path without `.` and `..`.
fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}
