//! Units of systemd, made of instances; and the generators, which systemd runs at boot and at each
//! reload, so that an instance that somebody wrote into a file by hand is a unit, too.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::cli;
use crate::config::Config;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::registry::{Instance, Registry, Scope, unit_name};
use crate::sys::file::{self, IfExists};

/// The unit of an instance. `launcher` is the command that becomes its server, as words.
pub fn text(scope: Scope, instance: &Instance, launcher: &[String]) -> String {
    made(scope, instance, launcher, None)
}

/// `source` is what a change of makes systemd ask for a reload.
fn made(scope: Scope, instance: &Instance, launcher: &[String], source: Option<&Path>) -> String {
    let name = &instance.name;
    let mut unit = String::new();
    let mut line = |text: String| {
        unit.push_str(&text);
        unit.push('\n');
    };
    line(HEAD.to_owned());
    line("[Unit]".to_owned());
    line(format!("Description=procServ for {name}"));
    line("After=network.target remote-fs.target".to_owned());
    line(format!("ConditionPathIsDirectory={}", literal(&instance.chdir.to_string_lossy())));
    if let Some(source) = source
        && !source.to_string_lossy().contains(char::is_control)
    {
        line(format!("SourcePath={}", literal(&source.to_string_lossy())));
    }
    line("\n[Service]".to_owned());
    line("Type=simple".to_owned());
    let command: Vec<String> = launcher.iter().map(|word| argument(word)).collect();
    line(format!("ExecStart={} {} {name}", command.join(" "), scope.option()));
    // What follows a bare colon is the name of a link to it, since systemd 251.
    line(format!("RuntimeDirectory=procserv-{}", name.replace(':', "\\:")));
    line("StandardOutput=journal".to_owned());
    line("StandardError=inherit".to_owned());
    line(format!("SyslogIdentifier=procserv-{name}"));
    if scope == Scope::System {
        if let Some(user) = &instance.user {
            line(format!("User={}", literal(user)));
        }
        if let Some(group) = &instance.group {
            line(format!("Group={}", literal(group)));
        }
    }
    if let Some(environment) = &instance.environment {
        line(format!("Environment={}", literal(&environment.replace('\n', " "))));
    }
    if let Some(file) = &instance.env_file {
        line(format!("EnvironmentFile={}", literal(file)));
    }
    line("\n[Install]".to_owned());
    line(format!("WantedBy={}", target(scope)));
    unit
}

/// Where a scope's units are wanted. A user's systemd has no multi-user.target.
fn target(scope: Scope) -> &'static str {
    match scope {
        Scope::System => "multi-user.target",
        Scope::User => "default.target",
    }
}

/// A value in which systemd expands nothing.
fn literal(value: &str) -> String {
    value.replace('%', "%%")
}

/// A word of a command line that systemd takes as it is.
fn argument(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/_-.:=+,@".contains(letter);
    if word.chars().all(plain) && !word.is_empty() {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in word.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '%' | '$' => quoted.extend([letter, letter]),
            letter if letter.is_control() => {
                // A String takes everything.
                let _ = write!(quoted, "\\x{:02x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// An assignment in the notation of systemd's `Environment=`.
pub fn assignment(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// The command that becomes an instance's server, for units: the link of procServ's name beside this
/// program, or this program with a command of its own.
///
/// # Errors
/// If nobody knows where this program is.
pub fn launcher(site: &Registry) -> Result<Vec<String>, CommandError> {
    if site.root.is_some() && site.in_root(INSTALLED.as_ref()).exists() {
        return Ok(vec![INSTALLED.to_owned()]);
    }
    let myself =
        std::env::current_exe().map_err(|error| CommandError::file(Path::new("/proc"), &error))?;
    let words = |path: PathBuf| vec![path.to_string_lossy().into_owned()];
    let link = myself.with_file_name("procServ-launcher");
    if link.exists() {
        return Ok(words(link));
    }
    Ok([words(myself), vec!["launcher".to_owned()]].concat())
}

/// Where packages have it.
const INSTALLED: &str = "/usr/bin/procServ-launcher";

/// A generator: `argv` names up to three directories, the first for units. A problem with one
/// instance goes to stderr, which is the kernel's log or the journal.
///
/// # Errors
/// If nothing can be written.
pub fn generate(scope: Scope, argv: &[OsString]) -> CommandResult {
    let Some(directory) = argv.get(1).map(PathBuf::from) else {
        return Err(CommandError::usage(
            "a generator is run by systemd, with a directory to write to",
        ));
    };
    let site = Registry::open(scope, None)?;
    let launcher = launcher(&site)?;
    let wants = directory.join(format!("{}.wants", target(scope)));
    for instance in site.instances()?.values() {
        let unit = unit_name(&instance.name);
        write_generated(
            &directory,
            &wants,
            &unit,
            &made(scope, instance, &launcher, Some(&instance.file)),
        )
        .map_err(|error| CommandError::file(&directory.join(&unit), &error))?;
    }
    Ok(0)
}

fn write_generated(directory: &Path, wants: &Path, unit: &str, text: &str) -> std::io::Result<()> {
    file::replace_atomically(&directory.join(unit), text.as_bytes(), 0o644, IfExists::Replace)?;
    fs::create_dir_all(wants)?;
    let link = wants.join(unit);
    files::remove(&link)?;
    symlink(Path::new("..").join(unit), link)
}

/// A unit that `add` made, beside its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitState {
    /// As the instance says, or made by the generator.
    Good,
    /// Not there or not known to systemd, as after an `add` that was interrupted, and nothing makes
    /// it.
    Missing,
    /// The instance has been changed since.
    Old,
    /// The same, but it was written by something else, or by hand.
    Foreign,
    /// The generator has not run since the instance was written or changed.
    Unread,
}

/// Compares the unit of an instance with what the instance says.
pub fn state(site: &Registry, instance: &Instance) -> UnitState {
    let name = &instance.name;
    let new = text(site.scope, instance, &[]);
    let is = |old: &str| settings(old) == settings(&new);
    let is_linked = site.unit_link(name).symlink_metadata().is_ok();
    match files::read_text(&site.unit_file(name)).ok().filter(|_| is_linked) {
        Some(old) if is(&old) => UnitState::Good,
        Some(old) if old.starts_with(HEAD) => UnitState::Old,
        Some(_) => UnitState::Foreign,
        None if !has_generator(site) => UnitState::Missing,
        // It runs at boot.
        None if site.root.is_some() => UnitState::Good,
        None => match files::read_text(&site.generated_unit(name)) {
            Ok(old) if is(&old) => UnitState::Good,
            _ => UnitState::Unread,
        },
    }
}

/// What a unit has from its instance, all other settings being the same for all.
fn settings(text: &str) -> Vec<&str> {
    let keys = [
        "User=",
        "Group=",
        "Environment=",
        "EnvironmentFile=",
        "ConditionPathIsDirectory=",
        "RuntimeDirectory=",
    ];
    let is_own = |line: &&str| keys.iter().any(|key| line.starts_with(key));
    let mut lines: Vec<&str> = text.lines().filter(is_own).collect();
    lines.sort_unstable();
    lines
}

fn has_generator(site: &Registry) -> bool {
    let kind = site.scope.option().trim_start_matches("--");
    ["/etc", "/usr/local/lib", "/usr/lib", "/lib"].iter().any(|directory| {
        let path =
            format!("{directory}/systemd/{kind}-generators/systemd-procserv-generator-{kind}");
        site.in_root(path.as_ref()).exists()
    })
}

/// Writes a unit where `add` does.
///
/// # Errors
/// If it can't be written.
pub fn write(site: &Registry, instance: &Instance) -> Result<PathBuf, CommandError> {
    let path = site.unit_file(&instance.name);
    let unit = text(site.scope, instance, &launcher(site)?);
    file::replace_atomically(&path, unit.as_bytes(), 0o644, IfExists::Replace)
        .map_err(|error| CommandError::file(&path, &error))?;
    Ok(path)
}

/// How a unit begins that is ours to replace.
const HEAD: &str = "# Made by manage-procs; a change here is lost. See systemctl edit.";

/// The command line of `instance`'s server, without the program, with the files of its run directory.
pub fn server_arguments(instance: &Instance, run: &Path) -> Vec<String> {
    let shown = |path: PathBuf| path.to_string_lossy().into_owned();
    let chdir = shown(instance.chdir.clone());
    let (info, status) = (shown(run.join("info")), shown(run.join("status")));
    let control = shown(run.join("control"));
    // In a path without owner, group and mode before it a colon would end one of these.
    let control = format!("unix:{}{control}", if control.contains(':') { ":::" } else { "" });
    let fixed = [
        "--foreground",
        "--logfile",
        "-",
        "--name",
        &instance.name,
        "--ignore",
        "^D^C^]",
        "--logoutcmd",
        "^D",
        "--chdir",
        &chdir,
        "--info-file",
        &info,
        "--status-file",
        &status,
        "--port",
        &control,
    ];
    let mut arguments: Vec<String> = fixed.map(str::to_owned).into();
    if let Some(port) = &instance.port {
        arguments.extend(["--port".to_owned(), port.clone()]);
    }
    arguments.extend(instance.options.iter().cloned());
    if instance.command.first().is_some_and(|program| program.starts_with('-')) {
        arguments.push("--".to_owned());
    }
    arguments.extend(instance.command.iter().cloned());
    arguments
}

/// What the server of `instance` makes of its command line, or why it refuses it.
pub fn config(site: &Registry, instance: &Instance) -> Result<Config, String> {
    let arguments = server_arguments(instance, &site.run_directory(&instance.name));
    let argv = std::iter::once("procServ".to_owned()).chain(arguments).map(OsString::from);
    cli::parse(argv.collect(), &|_| None).map_err(|exit| {
        let text = String::from_utf8_lossy(&exit.stderr).into_owned();
        text.lines().next().unwrap_or("prints something and starts nothing").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_expands_nothing() {
        assert_eq!(argument("/a b$%"), "\"/a b$$%%\"");
        assert_eq!(argument("/opt/x"), "/opt/x");
        assert_eq!(assignment("A=\"1\" \\ 2"), "\"A=\\\"1\\\" \\\\ 2\"");
        assert_eq!(literal("50%"), "50%%");
    }
}
