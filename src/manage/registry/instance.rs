//! An instance: what a section of a configuration file says about one server.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Registry;
use super::configuration::{NOBODY, Sources};
use super::shlex;
use super::sockets::check_group;
use crate::cli;
use crate::config::{Config, RestartPolicy, control_char};
use crate::manage::limits::STOP_MARGIN;

/// A configured server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// The name of the section.
    pub(crate) name: String,
    /// The file with the section; of several, the last that is read.
    pub(crate) file: PathBuf,
    /// All files with the section, in the order in which they are read.
    pub(crate) files: Vec<PathBuf>,
    /// The place among all sections in the order of the files; 0 for one that is read alone.
    pub(crate) place: usize,
    /// The words of the child's command line, after any options for the server. Empty if the
    /// section has no command: then the unit can't start.
    pub(crate) command: Vec<String>,
    /// The working directory of server and child.
    pub(crate) chdir: PathBuf,
    /// The user of server and child. Always there in [`Scope::System`](super::Scope::System), of
    /// no effect otherwise.
    pub(crate) user: Option<String>,
    /// Their group. `None`: the group of the user.
    pub(crate) group: Option<String>,
    /// The control endpoint, in procServ's notation. `None`: the Unix socket of the run directory
    /// alone.
    pub(crate) port: Option<String>,
    /// The group that may type and command, beside the user. procServ's own helper does not know this
    /// key.
    pub(crate) control_group: Option<String>,
    /// The machine that starts the instance, for systemd's `ConditionHost=`.
    pub(crate) host: Option<String>,
    /// Assignments, in the notation of systemd's `Environment=`.
    pub(crate) environment: Option<String>,
    /// A file of assignments, in the notation of systemd's `EnvironmentFile=`.
    pub(crate) env_file: Option<String>,
    /// The words of more options for the server. procServ's own helper does not know this key.
    pub(crate) options: Vec<String>,
    /// TERM of the child, for procServ's `--term`. procServ's own helper does not know this key.
    pub(crate) term: Option<String>,
    /// The size of the child's window, for procServ's `--window`. procServ's own helper does not know
    /// this key.
    pub(crate) window: Option<String>,
    /// True if the server writes an events file. procServ's own helper does not know this key.
    pub(crate) events: bool,
    /// True if the server sends its events to the journal. It is the same key.
    pub(crate) events_journal: bool,
    /// True if the child outlives a server that is killed, with the help of systemd's file descriptor
    /// store. procServ's own helper does not know this key.
    pub(crate) fdstore: bool,
    /// What the server types to the child when it is told to stop. procServ's own helper does not know
    /// this key.
    pub(crate) stop_input: Option<String>,
    /// True if the server records what is typed in its events file. procServ's own helper does not know
    /// this key.
    pub(crate) record_input: bool,
}

/// The keys that a section may have. Others may be there for sections to refer to.
pub(crate) const KEYS: [&str; 17] = [
    "command",
    "chdir",
    "user",
    "group",
    "port",
    "control_group",
    "instance",
    "host",
    "environment",
    "env_file",
    "options",
    "term",
    "window",
    "events",
    "fdstore",
    "stop_input",
    "record_input",
];

impl Instance {
    /// Reads a section.
    ///
    /// # Errors
    /// Why the section is not an instance.
    pub(super) fn read(sources: &Sources, name: &str) -> Result<Instance, String> {
        let value = |key: &str| {
            sources.ini.get(name, key).map(|value| value.filter(|value| !value.is_empty()))
        };
        let split = |key: &str| {
            let words = value(key)?.map(|text| shlex::split(&text)).transpose();
            words.map(Option::unwrap_or_default).map_err(|problem| format!("{key}: {problem}"))
        };
        let chdir = value("chdir")?.ok_or_else(|| "chdir: is empty".to_owned())?;
        let is_given =
            |key| Ok::<bool, String>(sources.ini.is_given(name, key) && value(key)?.is_some());
        let switch = |key: &str, default| match value(key)? {
            Some(text) => truth(&text).ok_or_else(|| format!("{key}: {text:?} is not yes or no")),
            None => Ok(default),
        };
        let (mut user, mut group) = (value("user")?, None);
        if sources.ini.is_given(name, "group") {
            group = value("group")?;
        } else if sources.is_system() && !is_given("user")? {
            group = sources.default_group();
        }
        if sources.is_system() {
            let user = user.get_or_insert_with(|| NOBODY.to_owned());
            check_user(user, name).map_err(|problem| format!("user: {problem}"))?;
        } else if !is_given("user")? {
            user = None;
        }
        let control_group = value("control_group")?;
        let (events, events_journal) = match value("events")?.as_deref() {
            None => (true, false),
            Some("journal") => (false, true),
            Some("both") => (true, true),
            Some(text) => match truth(text) {
                Some(events) => (events, false),
                None => return Err(format!("events: {text:?} is not yes, no, journal or both")),
            },
        };
        if let Some(group) = &control_group {
            check_group(group).map_err(|problem| format!("control_group: {problem}"))?;
        }
        let instance = Instance {
            name: name.to_owned(),
            file: sources.files(name).last().cloned().unwrap_or_default(),
            files: sources.files(name).to_vec(),
            place: 0,
            command: split("command")?,
            chdir: sources.directory().join(chdir),
            user,
            group,
            port: value("port")?.filter(|port| port != "0"),
            control_group,
            host: value("host")?,
            environment: value("environment")?,
            env_file: value("env_file")?,
            options: split("options")?,
            term: value("term")?,
            window: value("window")?,
            events,
            events_journal,
            fdstore: switch("fdstore", false)?,
            stop_input: value("stop_input")?,
            record_input: switch("record_input", false)?,
        };
        // Most of the values become lines of a unit, and there a backslash at the end joins two lines.
        let texts = ["chdir", "user", "group", "port", "host", "environment", "env_file"];
        for key in texts.into_iter().chain(["term", "window"]) {
            let is_allowed = |letter| key == "environment" && matches!(letter, '\n' | '\t');
            let ends = |letter: char| letter.is_control() && !is_allowed(letter);
            if value(key)?.is_some_and(|value| value.contains(ends) || value.ends_with('\\')) {
                return Err(format!("{key}: a line end, or a backslash at the end"));
            }
        }
        // No command line can have one (execve(2)).
        let words = instance.command.iter().chain(&instance.options).chain(&instance.stop_input);
        if words.into_iter().any(|word| word.contains('\0')) {
            return Err("command, options or stop_input: a zero byte".to_owned());
        }
        if instance.record_input && !instance.events && !instance.events_journal {
            return Err("record_input: needs events = yes, journal or both".to_owned());
        }
        if let Some(text) = &instance.stop_input
            && let Err(escape) = control_char::parse_text(text.as_bytes())
        {
            let escape = String::from_utf8_lossy(escape).into_owned();
            return Err(format!("stop_input: {escape:?} is no escape"));
        }
        Ok(instance)
    }

    /// The command line of the instance's server, without the program.
    pub(crate) fn server_arguments(&self, registry: &Registry) -> Vec<String> {
        let run = registry.run_directory(&self.name);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let chdir = text(self.chdir.clone());
        let (info, status) = (text(run.join("info")), text(run.join("status")));
        let fixed = [
            "--foreground",
            if self.fdstore { "--fdstore" } else { "--notify" },
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
        ];
        let mut arguments: Vec<String> = fixed.map(str::to_owned).into();
        for (option, value) in [("--term", &self.term), ("--window", &self.window)] {
            arguments.extend(value.iter().flat_map(|value| [option.to_owned(), value.clone()]));
        }
        if let Some(api) = self.api_endpoint(&run) {
            arguments.extend(["--api".to_owned(), api]);
        }
        if self.events {
            let events = text(self.events_file(registry));
            let rotation = EVENTS_ROTATION.to_owned();
            arguments.extend([
                "--events".to_owned(),
                events,
                "--events-rotate".to_owned(),
                rotation,
            ]);
        }
        if self.events_journal {
            arguments.extend(["--events".to_owned(), "journal".to_owned()]);
        }
        if self.record_input {
            arguments.push("--record-input".to_owned());
        }
        for endpoint in self.endpoints(&run) {
            arguments.extend(["--port".to_owned(), endpoint]);
        }
        if let Some(text) = &self.stop_input {
            arguments.extend(["--stop-input".to_owned(), text.clone()]);
        }
        arguments.extend(self.options.iter().cloned());
        arguments.extend(self.command.iter().cloned());
        arguments
    }

    /// Returns true if the server may have the option `--ready`, which may be abbreviated: then its unit is
    /// started when the child says so.
    pub(crate) fn waits_for_text(&self) -> bool {
        self.options.iter().chain(&self.command).any(|word| word.starts_with("--rea"))
    }

    /// If the server types a text to the child at its end: how long systemd has to wait for that end.
    pub(crate) fn stop_timeout(&self) -> Option<Duration> {
        let text = self.stop_input.iter().flat_map(|text| ["--stop-input", text]);
        let words = ["procServ", "--port", "0"].into_iter().chain(text).map(str::to_owned);
        let words = words.chain(self.options.iter().chain(&self.command).cloned());
        let restart = cli::parse(words.map(OsString::from).collect(), &|_| None).ok()?.restart;
        let RestartPolicy { stop_input, grace, kill_signal, kill_orphans, .. } = restart;
        let graces = u32::from(kill_signal != Signal::SIGKILL as i32) + u32::from(kill_orphans);
        Some(stop_input?.wait + grace * graces + STOP_MARGIN)
    }

    /// The events file, unless the options of the instance name another.
    pub(crate) fn events_file(&self, registry: &Registry) -> PathBuf {
        registry.logs_directory(&self.name).join("events")
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

/// The size at which a new events file begins, and how many older ones are kept: some ten thousand
/// events.
const EVENTS_ROTATION: &str = "1M,3";

/// The meaning of a value that is yes or no, in the words of Python's `configparser`.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// Checks that the user of the instance `name` is root only if the file says `user = root`.
///
/// # Errors
/// Another word for root; a word that systemd makes nothing of.
fn check_user(user: &str, name: &str) -> Result<(), String> {
    // What systemd makes of the specifiers that come from the name of the unit (systemd.unit(5)).
    let (prefix, instance) = name.split_once('@').unwrap_or((name, ""));
    let last = prefix.rsplit('-').next().unwrap_or_default();
    let mut expanded = user.to_owned();
    for (specifier, value) in [("%i", instance), ("%I", instance), ("%j", last), ("%J", last)] {
        expanded = expanded.replace(specifier, value);
    }
    if expanded.is_empty() {
        return Err(format!("{user:?} is nothing for the name {name}"));
    }
    let is_zero = expanded.trim_start_matches('+').parse::<u64>() == Ok(0);
    let is_name = expanded == "root" && user != "root";
    // In a unit of the machine these specifiers are root's.
    if is_zero || is_name || user.contains("%u") || user.contains("%U") {
        return Err(format!("{user:?} is root: say user = root"));
    }
    Ok(())
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
    let good = |letter: char| letter.is_ascii_alphanumeric() || "_-.:@".contains(letter);
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(format!("a name has 1 to {NAME_MAX} letters"));
    }
    // With an @ at its end the unit would be a template.
    if name.starts_with(['.', '-']) || name.ends_with('@') || !name.chars().all(good) {
        return Err(format!(
            "{name:?} is not a name: letters, digits and _ - . : @ only, no . or - at the start, \
             no @ at the end"
        ));
    }
    Ok(())
}

/// `sun_path` must hold `/run/procserv-NAME/control` and a zero byte (unix(7)).
const NAME_MAX: usize = 85;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        for name in
            ["", ".", "..", "../x", "a/b", ".hidden", "-f", "a b", "a\n", "a@", "a%b", "\u{e4}"]
        {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["ioc1", "LI20:IOC-1.a_b", "ioc@1"] {
            assert_eq!(check_name(name), Ok(()));
        }
    }
}
