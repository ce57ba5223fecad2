//! Makes a [`Config`] of the options and operands.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::extensions;
use super::matches::Matches;
use super::numeric::Numbers;
use crate::config::control_char;
use crate::config::endpoint::{Access, Endpoint, EndpointError};
use crate::config::{
    ByteSet, ChildOptions, CommandChars, Config, ConsoleOptions, Endpoints, FileOptions,
    LogOptions, LogTarget, OverlapOptions, RestartMode, RestartPolicy, RunMode, ServiceOptions,
};

/// The words of the command line that are not options.
pub(super) struct Operands {
    /// The endpoint before the command, if no option has one (contract section 1).
    pub(super) old_style: Option<OsString>,
    pub(super) command: OsString,
    pub(super) args: Vec<OsString>,
}

/// Why the server cannot start.
pub(super) enum CliError {
    /// A text that is printed after the server's name.
    Message(Vec<u8>),
    /// A wrong endpoint.
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

/// Returns all of the configuration but the server's own name and the warnings.
pub(super) fn config(
    given: Matches,
    numbers: &Numbers,
    Operands { old_style, command, args }: Operands,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Config, CliError> {
    let fdstore = given.has("fdstore");
    let notify = given.has("notify") || given.value("ready").is_some() || fdstore;
    extensions::check_notify(given, notify)?;
    let history = extensions::history(given)?;
    let allow_from = extensions::allow_from(given)?;
    let api = extensions::api(given)?;
    let style = extensions::message_style(given)?;
    let join_line_ends = extensions::join_line_ends(given)?;
    let window = extensions::window(given)?;
    let term = extensions::term(given)?;
    let holdoff_max = extensions::holdoff_max(given, numbers.holdoff)?;
    let (controls, log) = endpoints(given, old_style)?;
    let listen = extensions::listen(given)?;
    let overlap = extensions::overlap(given, numbers)?;
    let stop_input = extensions::stop_input(given, numbers)?;
    let rotation = extensions::log_rotate(given)?;
    let events_rotation = extensions::events_rotate(given)?;
    let commands = command_chars(given);
    let time_format = given.value("timefmt").map_or(b"%c".to_vec(), bytes);
    let name = given.value("name").unwrap_or_else(|| command.clone());
    let stamp = given.has("logstamp").then(|| {
        let default = || [b"[", time_format.as_slice(), b"] "].concat();
        given.value("logstamp").map_or_else(default, bytes)
    });
    let syslog = given.has("syslog");
    let syslog = syslog.then(|| bytes(given.value("syslog").unwrap_or_else(|| name.clone())));
    let path = |id| given.value(id).map(PathBuf::from);
    let debug = given.has("debug") || env("PROCSERV_DEBUG").is_some();
    Ok(Config {
        argv0: OsString::new(),
        warnings: Vec::new(),
        run_mode: match (debug, given.has("foreground")) {
            (false, false) => RunMode::Daemon,
            (false, true) => RunMode::Foreground,
            (true, false) => RunMode::Debug,
            (true, true) => RunMode::DebugForeground,
        },
        keeps_keyboard: extensions::console(given)?,
        quiet: given.has("quiet"),
        endpoints: Endpoints { controls, log, api, allow_from },
        child: ChildOptions {
            command,
            args,
            exec: given.value("exec"),
            name,
            chdir: path("chdir"),
            core_size: numbers.core_size,
            user: given.value("user"),
            listen,
            term,
        },
        restart: RestartPolicy {
            mode: match given.last_of(["oneshot", "noautorestart"]) {
                Some("oneshot") => RestartMode::Oneshot,
                Some(_) => RestartMode::Off,
                None => RestartMode::On,
            },
            wait: given.has("wait"),
            holdoff: seconds(numbers.holdoff),
            holdoff_max: seconds(holdoff_max),
            ready: given.value("ready").map(bytes),
            kill_signal: numbers.kill_signal,
            grace: seconds(numbers.grace_period),
            signal_status: given.has("signal-status"),
            kill_orphans: given.has("kill-orphans"),
            daemon_pid_file: path("child-pidfile"),
            overlap,
            stop_input,
        },
        log: LogOptions {
            target: given.value("logfile").map(|file| match file {
                stdout if stdout == "-" => LogTarget::Stdout,
                file => LogTarget::File(file.into()),
            }),
            stamp,
            rotation,
            plain: extensions::log_plain(given)?,
            save: given.has("savelog"),
            syslog,
        },
        console: ConsoleOptions {
            commands,
            ignore: ignored(given, commands, overlap),
            history,
            announce: given.has("announce"),
            style,
            time_format,
            join_line_ends,
            window,
            record_input: extensions::record_input(given)?,
        },
        service: ServiceOptions { notify, fdstore },
        files: FileOptions {
            pid: given
                .value("pidfile")
                .or_else(|| env("PROCSERV_PID").filter(|file| !file.is_empty()))
                .map(PathBuf::from),
            info: path("info-file"),
            events: extensions::events_file(given),
            events_journal: extensions::events_journal(given),
            events_rotation,
            status: path("status-file"),
        },
    })
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

fn bytes(text: OsString) -> Vec<u8> {
    std::os::unix::ffi::OsStringExt::into_vec(text)
}

/// Returns the control endpoints in the order given, and the log endpoint. As in procServ, an error
/// of a control endpoint comes first, and a log endpoint that a later one replaces is not looked
/// at.
fn endpoints(
    given: Matches,
    old_style: Option<OsString>,
) -> Result<(Vec<Endpoint>, Option<Endpoint>), EndpointError> {
    let control = Access::Control { allow: given.has("allow") };
    let log = Access::Log { restrict: given.has("restrict") };
    let controls = given
        .values("port")
        .chain(old_style.as_ref())
        .map(|spec| Endpoint::parse(spec, control))
        .collect::<Result<_, _>>()?;
    let log = given.value("logport").map(|spec| Endpoint::parse(&spec, log)).transpose()?;
    Ok((controls, log))
}

fn command_chars(given: Matches) -> CommandChars {
    let CommandChars { kill, toggle, logout } = CommandChars::default();
    let command = |id, default| {
        given.value(id).map_or(default, |text| control_char::parse_command(text.as_bytes()))
    };
    CommandChars {
        kill: command("killcmd", kill),
        toggle: command("autorestartcmd", toggle),
        logout: command("logoutcmd", logout),
    }
}

/// Returns the characters of `-i`, the command characters, and NUL if there is any of the others.
fn ignored(given: Matches, commands: CommandChars, overlap: Option<OverlapOptions>) -> ByteSet {
    let list = given.value("ignore");
    let reload = overlap.and_then(|overlap| overlap.command);
    let CommandChars { kill, toggle, logout } = commands;
    let commands = [kill, toggle, logout, reload].into_iter().flatten();
    let listed = control_char::parse_list(list.as_deref().unwrap_or_default().as_bytes());
    let mut set: ByteSet = commands.chain(listed).collect();
    if list.is_some() || !set.is_empty() {
        set.insert(0);
    }
    set
}
