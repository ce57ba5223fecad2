//! Units of systemd, made of instances; and the generators, which systemd runs at boot and at each
//! reload, so that an instance that somebody wrote into a file by hand is a unit, too.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::manage::error::CommandError;
use crate::manage::files;
use crate::manage::registry::{Instance, Registry, Scope};
use crate::sys::file::{self, IfExists};

/// The unit of an instance. `launcher` is the command that becomes the instance's server, as words.
/// systemd asks for a reload when the file `source` has changed.
pub(crate) fn text(
    scope: Scope,
    instance: &Instance,
    launcher: &[String],
    source: Option<&Path>,
) -> String {
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
pub(super) fn target(scope: Scope) -> &'static str {
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
pub(crate) fn assignment(text: &str) -> String {
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
pub(crate) fn launcher(registry: &Registry) -> Result<Vec<String>, CommandError> {
    if registry.root.is_some() && registry.in_root(INSTALLED.as_ref()).exists() {
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

/// A unit that `add` made, beside its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitState {
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
pub(crate) fn state(registry: &Registry, instance: &Instance) -> UnitState {
    let name = &instance.name;
    let new = text(registry.scope, instance, &[], None);
    let is = |old: &str| settings(old) == settings(&new);
    let is_linked = registry.unit_link(name).symlink_metadata().is_ok();
    match files::read_text(&registry.unit_file(name)).ok().filter(|_| is_linked) {
        Some(old) if is(&old) => UnitState::Good,
        Some(old) if old.starts_with(HEAD) => UnitState::Old,
        Some(_) => UnitState::Foreign,
        None if !has_generator(registry) => UnitState::Missing,
        // It runs at boot.
        None if registry.root.is_some() => UnitState::Good,
        None => match files::read_text(&registry.generated_unit(name)) {
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

fn has_generator(registry: &Registry) -> bool {
    let kind = registry.scope.option().trim_start_matches("--");
    ["/etc", "/usr/local/lib", "/usr/lib", "/lib"].iter().any(|directory| {
        let path =
            format!("{directory}/systemd/{kind}-generators/systemd-procserv-generator-{kind}");
        registry.in_root(path.as_ref()).exists()
    })
}

/// Writes a unit where `add` does.
///
/// # Errors
/// If it can't be written.
pub(crate) fn write(registry: &Registry, instance: &Instance) -> Result<PathBuf, CommandError> {
    let path = registry.unit_file(&instance.name);
    let unit = text(registry.scope, instance, &launcher(registry)?, None);
    file::replace_atomically(&path, unit.as_bytes(), 0o644, IfExists::Replace)
        .map_err(|error| CommandError::file(&path, &error))?;
    Ok(path)
}

/// How a unit begins that is ours to replace.
const HEAD: &str = "# Made by manage-procs; a change here is lost. See systemctl edit.";

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
