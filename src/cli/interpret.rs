//! What the words mean together.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::ArgMatches;

use super::extensions;
use super::numeric::Numbers;
use crate::config::control_char;
use crate::config::endpoint::{Access, Endpoint, EndpointError};
use crate::config::{
    ByteSet, CommandChars, Config, LogTarget, OverlapOptions, RestartMode, RunMode,
};

/// The words that are no options.
pub(super) struct Operands {
    /// An endpoint before the command, in the old style.
    pub(super) old_style: Option<OsString>,
    pub(super) command: OsString,
    pub(super) args: Vec<OsString>,
}

/// What keeps the server from starting.
pub(super) enum CliError {
    /// To be told after the server's name.
    Message(Vec<u8>),
    /// An endpoint that is none.
    Endpoint(EndpointError),
}

impl From<&str> for CliError {
    fn from(text: &str) -> CliError {
        CliError::Message(text.into())
    }
}

impl From<String> for CliError {
    fn from(text: String) -> CliError {
        CliError::Message(text.into())
    }
}

impl From<Vec<u8>> for CliError {
    fn from(text: Vec<u8>) -> CliError {
        CliError::Message(text)
    }
}

impl From<EndpointError> for CliError {
    fn from(error: EndpointError) -> CliError {
        CliError::Endpoint(error)
    }
}

/// All of it but the server's own name and the warnings.
pub(super) fn config(
    given: &Matches,
    numbers: &Numbers,
    Operands { old_style, command, args }: Operands,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Config, CliError> {
    let fdstore = given.flag("fdstore");
    let notify = given.flag("notify") || given.value("ready").is_some() || fdstore;
    extensions::check_notify(given, notify)?;
    let history = extensions::history(given)?;
    let allow_from = extensions::allow_from(given)?;
    let wording = extensions::wording(given)?;
    let holdoff_max = extensions::holdoff_max(given, numbers.holdoff)?;
    let (controls, log_endpoint) = endpoints(given, old_style)?;
    let listen = extensions::listen(given)?;
    let overlap = extensions::overlap(given, numbers)?;
    let log_rotate = extensions::log_rotate(given)?;
    let command_chars = command_chars(given);
    let time_format = given.value("timefmt").map_or(b"%c".to_vec(), bytes);
    let name = given.value("name").unwrap_or_else(|| command.clone());
    let syslog = given.0.contains_id("syslog");
    let syslog = syslog.then(|| bytes(given.value("syslog").unwrap_or_else(|| name.clone())));
    Ok(Config {
        controls,
        log_endpoint,
        name,
        command,
        args,
        exec: given.value("exec"),
        chdir: given.value("chdir").map(PathBuf::from),
        core_size: numbers.core_size,
        user: given.value("user"),
        run_mode: match (
            given.flag("debug") || env("PROCSERV_DEBUG").is_some(),
            given.flag("foreground"),
        ) {
            (false, false) => RunMode::Daemon,
            (false, true) => RunMode::Foreground,
            (true, false) => RunMode::Debug,
            (true, true) => RunMode::DebugForeground,
        },
        holdoff: numbers.holdoff,
        holdoff_max,
        grace_period: numbers.grace_period,
        ignore: ignored(given, command_chars, overlap),
        command_chars,
        kill_signal: numbers.kill_signal,
        log_file: given.value("logfile").map(|file| match file {
            stdout if stdout == "-" => LogTarget::Stdout,
            file => LogTarget::File(file.into()),
        }),
        log_stamp: given.0.contains_id("logstamp").then(|| {
            let default = || [b"[", time_format.as_slice(), b"] "].concat();
            given.value("logstamp").map_or_else(default, bytes)
        }),
        log_rotate,
        syslog,
        save_log: given.flag("savelog"),
        restart: if given.flag("oneshot") {
            RestartMode::Oneshot
        } else if given.flag("noautorestart") {
            RestartMode::Off
        } else {
            RestartMode::On
        },
        history,
        wording,
        allow_from,
        kill_orphans: given.flag("kill-orphans"),
        child_pid_file: given.value("child-pidfile").map(PathBuf::from),
        signal_status: given.flag("signal-status"),
        wait: given.flag("wait"),
        fdstore,
        listen,
        overlap,
        notify,
        ready: given.value("ready").map(bytes),
        quiet: given.flag("quiet"),
        pid_file: given
            .value("pidfile")
            .or_else(|| env("PROCSERV_PID").filter(|file| !file.is_empty()))
            .map(PathBuf::from),
        info_file: given.value("info-file").map(PathBuf::from),
        events: given.value("events").map(PathBuf::from),
        status_file: given.value("status-file").map(PathBuf::from),
        time_format,
        warnings: Vec::new(),
        argv0: OsString::new(),
    })
}

/// What clap found, with the types all our options have.
pub(super) struct Matches<'a>(pub(super) &'a ArgMatches);

impl Matches<'_> {
    pub(super) fn flag(&self, id: &str) -> bool {
        self.0.get_flag(id)
    }

    /// Every value of the option `id`, in the order given.
    pub(super) fn values(&self, id: &str) -> impl Iterator<Item = &OsString> {
        self.0.get_many(id).unwrap_or_default()
    }

    /// The one that counts. A bare `--logstamp` has none and so takes no earlier one back.
    pub(super) fn value(&self, id: &str) -> Option<OsString> {
        self.values(id).last().cloned()
    }
}

fn bytes(text: OsString) -> Vec<u8> {
    std::os::unix::ffi::OsStringExt::into_vec(text)
}

/// The control endpoints in the order declared, and the log endpoint. procServ, too, looks at the
/// control ones first, and never at a log endpoint that a later one replaces.
fn endpoints(
    given: &Matches,
    old_style: Option<OsString>,
) -> Result<(Vec<Endpoint>, Option<Endpoint>), EndpointError> {
    let control = Access::Control { allow: given.flag("allow") };
    let log = Access::Log { restrict: given.flag("restrict") };
    let controls = given
        .values("port")
        .chain(old_style.as_ref())
        .map(|spec| Endpoint::parse(spec, control))
        .collect::<Result<_, _>>()?;
    let log = given.value("logport").map(|spec| Endpoint::parse(&spec, log)).transpose()?;
    Ok((controls, log))
}

fn command_chars(given: &Matches) -> CommandChars {
    let command = |id, default| {
        given.value(id).map_or(default, |text| control_char::parse_command(text.as_bytes()))
    };
    CommandChars {
        kill: command("killcmd", Some(0x18)),
        toggle: command("autorestartcmd", Some(0x14)),
        logout: command("logoutcmd", None),
    }
}

/// The list of `-i`, the command characters, and NUL as soon as there is any list.
fn ignored(given: &Matches, commands: CommandChars, overlap: Option<OverlapOptions>) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    let list = given.value("ignore");
    let reload = overlap.and_then(|overlap| overlap.command);
    let commands = [commands.kill, commands.toggle, commands.logout, reload];
    for byte in commands.into_iter().flatten() {
        set.insert(byte);
    }
    for byte in control_char::parse_list(list.as_deref().unwrap_or_default().as_bytes()) {
        set.insert(byte);
    }
    if list.is_some() || !set.is_empty() {
        set.insert(0);
    }
    set
}
