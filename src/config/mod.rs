//! What the command line means, as values that have been checked. This folder knows nothing of
//! argv, clap or sockets: `cli` makes a [`Config`], and the server uses it.

mod byte_set;
pub(crate) mod c_number;
pub mod control_char;
pub mod endpoint;
pub mod listen;
pub mod network;
pub(crate) mod time_format;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minicbor::{Decode, Encode};

pub use self::byte_set::ByteSet;
use crate::config::endpoint::Endpoint;
use crate::config::listen::ListenUri;
use crate::config::network::AllowedNetworks;

/// How the server relates to the terminal and process that started it (contract section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunMode {
    /// Neither `-f` nor `-d`: detach, `/dev/null` as 0, 1, 2.
    Daemon,
    /// `-f`: stay; stdin, if it is a terminal or a pipe, is a control client.
    Foreground,
    /// `-d`: stay; diagnostics, the child's output and the server's messages on stdout.
    Debug,
    /// `-d` and `-f`: as `Foreground`, with the diagnostics (only) on stdout.
    DebugForeground,
}

/// What the server does after the end of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum RestartMode {
    /// It starts a new child.
    #[n(0)]
    On,
    /// It starts nothing until a user says so.
    #[n(1)]
    Off,
    /// It exits.
    #[n(2)]
    Oneshot,
}

/// The version of procServ whose words the messages on the console have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MessageStyle {
    /// procServ 2.9.
    #[default]
    Current,
    /// `--compat 2.7`: procServ 2.7, which knows two restart modes (contract section 10).
    V2_7,
}

/// The target of `-L`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// `-L -`.
    Stdout,
    /// A file, as given: a relative path is relative to the directory that the server was started
    /// in.
    File(PathBuf),
}

/// `--log-rotate`, `--events-rotate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// A new file is begun at the first line end past so many bytes.
    pub size: u64,
    /// The number of older files that are kept; not 0.
    pub keep: u32,
}

/// The command characters; `None` means that a command is disabled (contract section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandChars {
    /// `-k`.
    pub kill: Option<u8>,
    /// `--autorestartcmd`.
    pub toggle: Option<u8>,
    /// `-x`.
    pub logout: Option<u8>,
}

impl Default for CommandChars {
    fn default() -> CommandChars {
        CommandChars { kill: Some(0x18), toggle: Some(0x14), logout: None }
    }
}

/// `--overlap`: a new child is started beside the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverlapOptions {
    /// The new child is on trial for so long, unless it is ready earlier.
    pub after: Duration,
    /// The old child then has so long to end before it is killed.
    pub grace: Duration,
    /// `--reloadcmd`.
    pub command: Option<u8>,
}

/// The size of a terminal's window, in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WindowSize {
    /// The width.
    #[n(0)]
    pub columns: u16,
    /// The height.
    #[n(1)]
    pub rows: u16,
}

/// `--window`: the size of the window that the child's terminal has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WindowPolicy {
    /// The kernel's default, 0 by 0.
    #[default]
    Unset,
    /// The size of the client that typed last.
    Follow,
    /// This size, whatever clients have.
    Fixed(WindowSize),
}

/// `--stop-input`: what is typed to the child at SIGTERM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopInput {
    /// The bytes to type; not empty.
    pub text: Vec<u8>,
    /// The child then has so long to end before it is sent the kill signal.
    pub wait: Duration,
}

/// The meaning of a whole command line.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server's own name in its messages: argv\[0\] as given.
    pub argv0: OsString,
    /// Lines, without their newlines, that are printed on stderr before anything else.
    pub warnings: Vec<Vec<u8>>,
    /// `-f`, `-d`, PROCSERV_DEBUG.
    pub run_mode: RunMode,
    /// `--console`: standard input is a client also if the log is standard output.
    pub keeps_keyboard: bool,
    /// `-q`.
    pub quiet: bool,
    /// The endpoints, and who may connect.
    pub endpoints: Endpoints,
    /// The child's program.
    pub child: ChildOptions,
    /// When children are started, and how they are ended.
    pub restart: RestartPolicy,
    /// The log.
    pub log: LogOptions,
    /// The console.
    pub console: ConsoleOptions,
    /// The service manager.
    pub service: ServiceOptions,
    /// The files that the server writes besides the log.
    pub files: FileOptions,
}

/// The endpoints, and who may connect.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// `-P`, or the first operand: the control endpoints in the order given.
    pub controls: Vec<Endpoint>,
    /// `-l`: the log endpoint.
    pub log: Option<Endpoint>,
    /// `--api`: the endpoint for programs.
    pub api: Option<Endpoint>,
    /// `--allow-from`: the networks that TCP clients may come from; `None` means all.
    pub allow_from: Option<AllowedNetworks>,
}

/// The child's program and its surroundings.
#[derive(Debug, Clone, Default)]
pub struct ChildOptions {
    /// `<command>` as given.
    pub command: OsString,
    /// The words after `<command>`.
    pub args: Vec<OsString>,
    /// `-e`: executed instead of `command`, with `command` and `args` as its arguments 1...
    pub exec: Option<OsString>,
    /// `-n`, or `command`: the child's name in messages.
    pub name: OsString,
    /// `-c` as given: the child's directory.
    pub chdir: Option<PathBuf>,
    /// `--coresize`: soft RLIMIT_CORE, in bytes.
    pub core_size: Option<u64>,
    /// `--user`, a name or a number.
    pub user: Option<OsString>,
    /// `--listen`: the sockets that children are given.
    pub listen: Vec<ListenUri>,
    /// `--term`: TERM in the child's environment.
    pub term: Option<OsString>,
}

/// When children are started, and how they are ended.
#[derive(Debug, Clone)]
pub struct RestartPolicy {
    /// `--oneshot`, `--noautorestart`: the mode to start in.
    pub mode: RestartMode,
    /// `-w`: no first start until a user says so.
    pub wait: bool,
    /// `--holdoff`: the least time between two starts.
    pub holdoff: Duration,
    /// `--holdoff-max`: the limit up to which `holdoff` doubles while children die within that
    /// time. If the limit is not larger, `holdoff` never doubles.
    pub holdoff_max: Duration,
    /// `--ready`: the text that a child writes when it is ready; without it, a child is ready as
    /// soon as it has been started.
    pub ready: Option<Vec<u8>>,
    /// `--killsig`: the signal that the kill command and the end of the server send; 0 sends
    /// nothing.
    pub kill_signal: i32,
    /// `--grace-period`: the time from the kill signal to SIGKILL.
    pub grace: Duration,
    /// `--signal-status`: the server exits with 128 and the number of the signal that killed the
    /// last child.
    pub signal_status: bool,
    /// `--kill-orphans`: processes that have left the child's process group are killed after its
    /// end.
    pub kill_orphans: bool,
    /// `--child-pidfile`: the file where a child that makes itself a daemon writes its PID.
    pub daemon_pid_file: Option<PathBuf>,
    /// `--overlap`, with the options that belong to it.
    pub overlap: Option<OverlapOptions>,
    /// `--stop-input`, with the time that `--grace-period` gives it.
    pub stop_input: Option<StopInput>,
}

impl Default for RestartPolicy {
    fn default() -> RestartPolicy {
        RestartPolicy {
            mode: RestartMode::On,
            wait: false,
            holdoff: Duration::from_secs(15),
            holdoff_max: Duration::ZERO,
            ready: None,
            kill_signal: 9,
            grace: Duration::ZERO,
            signal_status: false,
            kill_orphans: false,
            daemon_pid_file: None,
            overlap: None,
            stop_input: None,
        }
    }
}

/// The log and syslog.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// `-L`.
    pub target: Option<LogTarget>,
    /// `--logstamp`: the strftime(3) format of a whole stamp; `None` without the option.
    pub stamp: Option<Vec<u8>>,
    /// `--log-rotate`.
    pub rotation: Option<Rotation>,
    /// `--log-plain`: the log has no escape sequence and no CR before LF.
    pub plain: bool,
    /// `--savelog`.
    pub save: bool,
    /// `--syslog`: the tag.
    pub syslog: Option<Vec<u8>>,
}

impl LogOptions {
    /// Returns the name of the log, if that is a file.
    pub fn path(&self) -> Option<&Path> {
        match &self.target {
            Some(LogTarget::File(path)) => Some(path),
            Some(LogTarget::Stdout) | None => None,
        }
    }
}

/// What clients see of the console, and which input of them has a meaning.
#[derive(Debug, Clone)]
pub struct ConsoleOptions {
    /// `-k`, `--autorestartcmd`, `-x`.
    pub commands: CommandChars,
    /// `-i`, the command characters, and NUL: the bytes that never reach the child (contract
    /// section 1).
    pub ignore: ByteSet,
    /// `--history`: the number of bytes that a new client is given of the past, at most
    /// `limits::HISTORY_OPTION_MAX`.
    pub history: usize,
    /// `--announce`: everybody is told who attaches and who leaves.
    pub announce: bool,
    /// `--compat`.
    pub style: MessageStyle,
    /// `--timefmt`: the strftime(3) format of times in messages.
    pub time_format: Vec<u8>,
    /// `--crlf`: CR LF and CR NUL from a client that speaks telnet are one CR.
    pub join_line_ends: bool,
    /// `--window`.
    pub window: WindowPolicy,
    /// `--record-input`: what is typed to the child is recorded in the events file.
    pub record_input: bool,
}

impl Default for ConsoleOptions {
    fn default() -> ConsoleOptions {
        let commands = CommandChars::default();
        ConsoleOptions {
            commands,
            ignore: commands.kill.into_iter().chain(commands.toggle).chain([0]).collect(),
            history: 0,
            announce: false,
            style: MessageStyle::Current,
            time_format: b"%c".to_vec(),
            join_line_ends: true,
            window: WindowPolicy::Unset,
            record_input: false,
        }
    }
}

/// What the server does with the service manager.
#[derive(Debug, Clone, Copy)]
pub struct ServiceOptions {
    /// `--notify`, or an option that implies it: the server reports to the service manager.
    pub notify: bool,
    /// `--fdstore`: the child, the clients and the endpoints survive a crash of the server.
    pub fdstore: bool,
}

/// The files that the server writes besides the log.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// `-p`, or the environment's PROCSERV_PID.
    pub pid: Option<PathBuf>,
    /// `-I`.
    pub info: Option<PathBuf>,
    /// `--events` with a file.
    pub events: Option<PathBuf>,
    /// `--events journal`: events are sent to the journal of systemd.
    pub events_journal: bool,
    /// `--events-rotate`.
    pub events_rotation: Option<Rotation>,
    /// `--status-file`.
    pub status: Option<PathBuf>,
}

impl Config {
    /// Returns true under `-f`.
    pub fn is_foreground(&self) -> bool {
        matches!(self.run_mode, RunMode::Foreground | RunMode::DebugForeground)
    }

    /// Returns true if standard input is a client, if it can be one (contract section 7).
    pub fn has_keyboard(&self) -> bool {
        self.is_foreground() && (self.keeps_keyboard || self.log.target != Some(LogTarget::Stdout))
    }

    /// Returns true if standard output is the log unless a terminal is standard input.
    pub fn prefers_terminal(&self) -> bool {
        self.keeps_keyboard && self.log.target == Some(LogTarget::Stdout)
    }

    /// Returns this configuration without a log, as the terminal shows the console.
    #[must_use]
    pub fn without_log(&self) -> Config {
        let log = LogOptions { target: None, ..self.log.clone() };
        Config { log, ..self.clone() }
    }
}
