//! The units of instances (systemd.service(5)).

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use crate::manage::error::CommandError;
use crate::manage::files;
use crate::manage::output;
use crate::manage::registry::{Instance, Registry, Scope};
use crate::sys::file::IfExists;

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
    // A server that is killed again and again, or finds its port in use, is started again all the same.
    line("StartLimitIntervalSec=0".to_owned());
    // In these values a % of the file is systemd's: sites write specifiers as %%H.
    line(format!("ConditionPathIsDirectory={}", instance.chdir.to_string_lossy()));
    if let Some(host) = &instance.host {
        line(format!("ConditionHost={host}"));
    }
    if let Some(source) = source
        && !source.to_string_lossy().contains(char::is_control)
    {
        line(format!("SourcePath={}", literal(&source.to_string_lossy())));
    }
    line("\n[Service]".to_owned());
    line("Type=notify".to_owned());
    if instance.waits_for_text() {
        // A child may take any time until it says that it is ready.
        line("TimeoutStartSec=infinity".to_owned());
    }
    if let Some(timeout) = instance.stop_timeout() {
        line(format!("TimeoutStopSec={}", timeout.as_secs()));
    }
    if let Some(file) = &instance.env_file {
        line(format!("EnvironmentFile={file}"));
    }
    if let Some(environment) = &instance.environment {
        line(format!("Environment={}", environment.replace('\n', " ")));
    }
    let command: Vec<String> = launcher.iter().map(|word| argument(word)).collect();
    line(format!("ExecStart={} {} {name}", command.join(" "), scope.option()));
    // Since systemd 251 the name of a link to the directory follows a bare colon.
    let directory = format!("procserv-{}", name.replace(':', "\\:"));
    line(format!("RuntimeDirectory={directory}"));
    // The next server learns from the status file of a server that was killed.
    line("RuntimeDirectoryPreserve=restart".to_owned());
    // Older versions of systemd have the logs of a user elsewhere: there the launcher makes it.
    if instance.events && scope == Scope::System {
        line(format!("LogsDirectory={directory}"));
    }
    line("StandardOutput=journal".to_owned());
    line("StandardError=inherit".to_owned());
    line(format!("SyslogIdentifier=procserv-{name}"));
    if scope == Scope::System {
        if let Some(user) = &instance.user {
            line(format!("User={user}"));
        }
        if let Some(group) = &instance.group {
            line(format!("Group={group}"));
        }
        // Only a member of a group may give a socket to it (chown(2)).
        if let Some(group) = &instance.control_group {
            line(format!("SupplementaryGroups={group}"));
        }
    }
    unit.push_str(RESILIENCE);
    if instance.fdstore {
        unit.push_str(SURVIVAL);
        unit.push_str(&format!("FileDescriptorStoreMax={STORE_SIZE}\n"));
    } else {
        unit.push_str(REPLACEMENT);
    }
    unit.push_str(&format!("\n[Install]\nWantedBy={}\n", scope.boot_target()));
    unit
}

/// What the units of procServ's helper do not have. A server that was killed is started again, one
/// that was told to quit is not. A child that runs out of memory is restarted by its server. The output
/// of a child at its start, ten times what the journal takes from a service by default, is not cut.
const RESILIENCE: &str = "\
Restart=on-failure
OOMPolicy=continue
LogRateLimitBurst=100000
";

/// SIGTERM goes to the server alone, which ends its child. If the server is killed, systemd kills the
/// child, and the next server starts another.
const REPLACEMENT: &str = "\
RestartSec=2
KillMode=mixed
";

/// If the server is killed, systemd leaves the child alone and keeps its terminal, the endpoints and the
/// clients for the next server.
const SURVIVAL: &str = "\
RestartSec=100ms
KillMode=process
";

/// How many descriptors systemd keeps for a server: three, one for each endpoint and one for each client.
pub(crate) const STORE_SIZE: u32 = 512;

/// Escapes a value: systemd expands specifiers (systemd.unit(5)) in it.
pub(crate) fn literal(value: &str) -> String {
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
/// program, or else this program and the word `launcher`. In an image it is the launcher there.
///
/// # Errors
/// The path of this program is unknown.
pub(crate) fn launcher(registry: &Registry) -> Result<Vec<String>, CommandError> {
    if let Some(root) = &registry.root {
        let is_there = |path: &&str| registry.in_root(Path::new(path)).exists();
        let found = INSTALLED.iter().find(|path| is_there(path));
        if found.is_none() {
            let text = "has no procServ-launcher: install the package there";
            output::print_error(&format!("{}: {text}", root.display()));
        }
        let [first, ..] = INSTALLED;
        return Ok(vec![(*found.unwrap_or(&first)).to_owned()]);
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

/// Where the launcher is installed: by packages, and from source.
const INSTALLED: [&str; 2] = ["/usr/bin/procServ-launcher", "/usr/local/bin/procServ-launcher"];

/// How the unit of an instance and the instance compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitState {
    /// The unit is what the instance says, or the generator makes the unit.
    Good,
    /// There is no unit, or systemd does not know it, as after an interrupted `add`, and there is
    /// no generator. Or systemd has a link to a unit that is not there, which hides the unit of the
    /// generator.
    Missing,
    /// The instance has been changed since the unit was written.
    Old,
    /// The unit is not what the instance says, and was written neither by this program nor by
    /// procServ's helper.
    Foreign,
    /// The generator has not run since the instance was changed.
    Unread,
}

/// Compares the unit of an instance with what the instance says.
pub(crate) fn state(registry: &Registry, instance: &Instance) -> UnitState {
    let name = &instance.name;
    let new = text(registry.scope, instance, &[], None);
    let compare = |old: &str| match is_ours(old) {
        true if directives(old) == directives(&new) => UnitState::Good,
        true => UnitState::Old,
        false if settings(old) == settings(&new) => UnitState::Good,
        false if is_of_the_helper(old, name) => UnitState::Old,
        false => UnitState::Foreign,
    };
    let link = registry.unit_link(name);
    if link.symlink_metadata().is_ok() {
        return match files::read_text(&registry.in_root(&registry.in_image(&link))) {
            Ok(old) => compare(&old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => UnitState::Missing,
            // Nothing is wrong with a unit that somebody has masked (a link to /dev/null).
            Err(_) => UnitState::Good,
        };
    }
    if !has_generator(registry) {
        return UnitState::Missing;
    }
    // The generator runs when the image is booted.
    if registry.root.is_some() {
        return UnitState::Good;
    }
    match files::read_text(&registry.generated_unit(name)).map(|old| compare(&old)) {
        Ok(UnitState::Good) => UnitState::Good,
        _ => UnitState::Unread,
    }
}

/// The lines of a unit of this program that are wrong when they differ. The launcher may have another
/// place.
fn directives(text: &str) -> Vec<&str> {
    let is_free = |line: &&str| line.starts_with("ExecStart=") || line.starts_with("SourcePath=");
    text.lines().filter(|line| !is_free(line)).collect()
}

/// The settings of a unit that come from its instance. All others are the same for all instances.
fn settings(text: &str) -> Vec<&str> {
    let keys = [
        "User=",
        "Group=",
        "SupplementaryGroups=",
        "Environment=",
        "EnvironmentFile=",
        "ConditionPathIsDirectory=",
        "ConditionHost=",
        "RuntimeDirectory=",
    ];
    let is_own = |line: &&str| keys.iter().any(|key| line.starts_with(key));
    let mut lines: Vec<&str> = text.lines().filter(is_own).collect();
    lines.sort_unstable();
    lines
}

/// Returns true if a generator makes the units of instances.
pub(crate) fn has_generator(registry: &Registry) -> bool {
    let kind = registry.scope.option().trim_start_matches("--");
    ["/etc", "/usr/local/lib", "/usr/lib", "/lib"].iter().any(|directory| {
        let path =
            format!("{directory}/systemd/{kind}-generators/systemd-procserv-generator-{kind}");
        registry.in_root(path.as_ref()).exists()
    })
}

/// Writes the units of instances into `procServ.d`, and returns their paths.
///
/// # Errors
/// A file that can't be written.
pub(crate) fn write<'a>(
    registry: &Registry,
    instances: impl IntoIterator<Item = &'a Instance>,
) -> Result<Vec<PathBuf>, CommandError> {
    let launcher = launcher(registry)?;
    let unit = |instance: &Instance| {
        let path = registry.unit_file(&instance.name);
        (path, text(registry.scope, instance, &launcher, None))
    };
    let units: Vec<(PathBuf, String)> = instances.into_iter().map(unit).collect();
    files::make_directory(&registry.directory())?;
    files::write_all(&units, IfExists::Replace)?;
    Ok(units.into_iter().map(|(path, _)| path).collect())
}

/// Returns true if this program has written the unit, and may replace it.
pub(crate) fn is_ours(text: &str) -> bool {
    text.starts_with(HEAD)
}

/// Returns true if procServ's helper has written the unit: it has no comment at its head, and executes
/// the launcher. The helper, too, writes its units anew when an instance has changed.
pub(crate) fn is_of_the_helper(text: &str, name: &str) -> bool {
    let description = format!("Description=procServ for {name}");
    let executes_launcher = |line: &str| {
        let words = line.strip_prefix("ExecStart=").map(|command| command.split(' ').collect());
        let words: Vec<&str> = words.unwrap_or_default();
        matches!(words[..], [program, "--system" | "--user", last]
            if program.ends_with("/procServ-launcher") && last == name)
    };
    text.starts_with("[Unit]\n")
        && text.lines().any(|line| line == description)
        && text.lines().any(executes_launcher)
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
