//! The units of instances (systemd.service(5)).

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
    // Since systemd 251 the name of a link to the directory follows a bare colon.
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
    line(format!("WantedBy={}", scope.boot_target()));
    unit
}

/// Escapes a value: systemd expands specifiers (systemd.unit(5)) in it.
fn literal(value: &str) -> String {
    value.replace('%', "%%")
}

/// Quotes a word of a command line for systemd.
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
                // Writing to a String does not fail.
                let _ = write!(quoted, "\\x{:02x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// Quotes an assignment for systemd's `Environment=`.
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

/// The command by which a unit starts the server of an instance: `procServ-launcher` beside this
/// program, or else this program and the word `launcher`.
///
/// # Errors
/// The path of this program is unknown.
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

/// Where packages install the launcher.
const INSTALLED: &str = "/usr/bin/procServ-launcher";

/// How the unit of an instance and the instance compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitState {
    /// The unit is what the instance says, or the generator makes the unit.
    Good,
    /// There is no unit, or systemd does not know it, as after an interrupted `add`, and there is
    /// no generator.
    Missing,
    /// The instance has been changed since the unit was written.
    Old,
    /// The unit is not what the instance says, and was not written by this program.
    Foreign,
    /// The generator has not run since the instance was changed.
    Unread,
}

/// Compares the unit of an instance with what the instance says.
pub(crate) fn state(registry: &Registry, instance: &Instance) -> UnitState {
    let name = &instance.name;
    let new = text(registry.scope, instance, &[], None);
    let is_current = |old: &str| settings(old) == settings(&new);
    let is_linked = registry.unit_link(name).symlink_metadata().is_ok();
    match files::read_text(&registry.unit_file(name)).ok().filter(|_| is_linked) {
        Some(old) if is_current(&old) => UnitState::Good,
        Some(old) if old.starts_with(HEAD) => UnitState::Old,
        Some(_) => UnitState::Foreign,
        None if !has_generator(registry) => UnitState::Missing,
        // The generator runs when the image is booted.
        None if registry.root.is_some() => UnitState::Good,
        None => match files::read_text(&registry.generated_unit(name)) {
            Ok(old) if is_current(&old) => UnitState::Good,
            _ => UnitState::Unread,
        },
    }
}

/// The settings of a unit that come from its instance. All others are the same for all instances.
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

/// Writes the unit of an instance, beside the file of the instance.
///
/// # Errors
/// A file that can't be written.
pub(crate) fn write(registry: &Registry, instance: &Instance) -> Result<PathBuf, CommandError> {
    let path = registry.unit_file(&instance.name);
    let unit = text(registry.scope, instance, &launcher(registry)?, None);
    file::replace_atomically(&path, unit.as_bytes(), 0o644, IfExists::Replace)
        .map_err(|error| CommandError::file(&path, &error))?;
    Ok(path)
}

/// The first line of the units that this program may replace.
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
