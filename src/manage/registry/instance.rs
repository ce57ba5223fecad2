//! An instance: what a section of a configuration file says about one server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Registry;
use super::ini::Ini;
use super::shlex;
use crate::cli;
use crate::config::Config;

/// A configured server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// The name of the section.
    pub(crate) name: String,
    /// The file with the section.
    pub(crate) file: PathBuf,
    /// The words of the child's command line.
    pub(crate) command: Vec<String>,
    /// The working directory of the child.
    pub(crate) chdir: PathBuf,
    /// The user of server and child, in [`Scope::System`](super::Scope::System).
    pub(crate) user: Option<String>,
    /// Their group.
    pub(crate) group: Option<String>,
    /// One more control endpoint, in procServ's notation.
    pub(crate) port: Option<String>,
    /// Assignments, in the notation of systemd's `Environment=`.
    pub(crate) environment: Option<String>,
    /// A file of assignments for systemd's `EnvironmentFile=`.
    pub(crate) env_file: Option<String>,
    /// The words of more options for the server. procServ's own helper does not know this key.
    pub(crate) options: Vec<String>,
}

impl Instance {
    /// Reads a section of a file.
    ///
    /// # Errors
    /// Why the section is not an instance.
    pub(crate) fn read(file: &Path, ini: &Ini, name: &str) -> Result<Instance, String> {
        let value =
            |key: &str| ini.get(name, key).map(|value| value.filter(|value| !value.is_empty()));
        let split = |key: &str| {
            let words = value(key)?.map(|text| shlex::split(&text)).transpose();
            words.map(Option::unwrap_or_default).map_err(|problem| format!("{key}: {problem}"))
        };
        let command = split("command")?;
        if command.is_empty() {
            return Err("no command".to_owned());
        }
        let instance = Instance {
            name: name.to_owned(),
            file: file.to_owned(),
            command,
            chdir: value("chdir")?.map_or_else(|| "/".into(), PathBuf::from),
            user: value("user")?,
            group: value("group")?,
            port: value("port")?,
            environment: value("environment")?,
            env_file: value("env_file")?,
            options: split("options")?,
        };
        if !instance.chdir.is_absolute() {
            return Err(format!("chdir: {} is not absolute", instance.chdir.display()));
        }
        // The values become lines of a unit, and there a backslash at the end joins two lines.
        for key in ["chdir", "user", "group", "port", "environment", "env_file"] {
            let ends = |letter: char| letter.is_control() && key != "environment";
            if value(key)?.is_some_and(|value| value.contains(ends) || value.ends_with('\\')) {
                return Err(format!("{key}: a line end, or a backslash at the end"));
            }
        }
        Ok(instance)
    }

    /// The command line of the instance's server, without the program.
    pub(crate) fn server_arguments(&self, registry: &Registry) -> Vec<String> {
        let run = registry.run_directory(&self.name);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let chdir = text(self.chdir.clone());
        let (info, status) = (text(run.join("info")), text(run.join("status")));
        let control = text(run.join("control"));
        // Without owner, group and mode before the path, a colon in the path would end one of them.
        let control = format!("unix:{}{control}", if control.contains(':') { ":::" } else { "" });
        let fixed = [
            "--foreground",
            "--logfile",
            "-",
            "--name",
            &self.name,
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
        if let Some(port) = &self.port {
            arguments.extend(["--port".to_owned(), port.clone()]);
        }
        arguments.extend(self.options.iter().cloned());
        if self.command.first().is_some_and(|program| program.starts_with('-')) {
            arguments.push("--".to_owned());
        }
        arguments.extend(self.command.iter().cloned());
        arguments
    }

    /// What the server makes of that command line.
    ///
    /// # Errors
    /// The first line of what the server says when it refuses the command line.
    pub(crate) fn server_config(&self, registry: &Registry) -> Result<Config, String> {
        let arguments = self.server_arguments(registry);
        let argv = std::iter::once("procServ".to_owned()).chain(arguments).map(OsString::from);
        cli::parse(argv.collect(), &|_| None).map_err(|exit| {
            let text = String::from_utf8_lossy(&exit.stderr).into_owned();
            text.lines().next().unwrap_or("prints something and starts nothing").to_owned()
        })
    }
}

/// The name of the unit of an instance.
pub(crate) fn unit_name(name: &str) -> String {
    format!("procserv-{name}.service")
}

/// Checks the name of an instance: it becomes part of the names of files, directories and a unit.
///
/// # Errors
/// What is wrong with the name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "_-.:".contains(letter);
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(format!("a name has 1 to {NAME_MAX} letters"));
    }
    if name.starts_with(['.', '-']) || !name.chars().all(good) {
        return Err(format!(
            "{name:?} is not a name: letters, digits and _ - . : only, no . or - at the start"
        ));
    }
    Ok(())
}

/// `sun_path` must hold `/run/user/UID/procserv-NAME/control`.
const NAME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        for name in
            ["", ".", "..", "../x", "a/b", ".hidden", "-f", "a b", "a\n", "a@b", "a%b", "\u{e4}"]
        {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["ioc1", "LI20:IOC-1.a_b"] {
            assert_eq!(check_name(name), Ok(()));
        }
    }
}
