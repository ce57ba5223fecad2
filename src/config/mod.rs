//! What the command line means. Owns validated values only; nothing in here is looked at twice.
//! It knows nothing of argv, clap or sockets: `cli` makes a [`Config`], the server consumes it.

pub(crate) mod c_number;
pub mod control_char;
pub mod endpoint;
pub mod listen;
pub mod network;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minicbor::{Decode, Encode};

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
    /// `-d`: stay; diagnostics, child output and notices on stdout.
    Debug,
    /// `-d` and `-f`: as `Foreground`, with the diagnostics (only) on stdout.
    DebugForeground,
}

/// What follows the end of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum RestartMode {
    /// A new child is started.
    #[n(0)]
    On,
    /// Nothing is started until a user says so.
    #[n(1)]
    Off,
    /// The server exits.
    #[n(2)]
    Oneshot,
}

/// Whose words the messages on the console are in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MessageStyle {
    /// procServ 2.9's.
    #[default]
    Current,
    /// `--compat 2.7`: those of that version, which knows two restart modes (contract section 10).
    V2_7,
}

/// Where `-L` writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// `-L -`.
    Stdout,
    /// A file, as typed (relative to the server's start directory).
    File(PathBuf),
}

/// `--log-rotate`, `--events-rotate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// At the first line end past so many bytes, another file is begun.
    pub size: u64,
    /// So many of the older ones are kept; not 0.
    pub keep: u32,
}

/// The characters that never reach the child: `-i`, the command characters and NUL
/// (contract section 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// The empty set: every byte passes.
    pub const EMPTY: ByteSet = ByteSet([0; 4]);

    /// Adds `byte`.
    pub fn insert(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    /// Returns true if `byte` is in the set.
    pub fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word & (1 << (byte & 63)) != 0)
    }

    /// Returns true if no byte is in the set.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

impl FromIterator<u8> for ByteSet {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        bytes.into_iter().for_each(|byte| set.insert(byte));
        set
    }
}

/// The command characters; `None` is disabled (contract section 1).
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
    /// The new one is on trial for so long, unless it says earlier that it is ready.
    pub after: Duration,
    /// Then the old one has so long to end before it is killed.
    pub grace: Duration,
    /// `--reloadcmd`.
    pub command: Option<u8>,
}

/// Everything the command line says, resolved and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server's own name in its messages: argv\[0\] as given.
    pub argv0: OsString,
    /// What to say on stderr before anything else, one line each without its newline.
    pub warnings: Vec<Vec<u8>>,
    /// `-f`, `-d`, PROCSERV_DEBUG.
    pub run_mode: RunMode,
    /// `-q`.
    pub quiet: bool,
    /// Where clients connect.
    pub endpoints: Endpoints,
    /// What is started.
    pub child: ChildOptions,
    /// When it is started, and how it is ended.
    pub restart: RestartPolicy,
    /// The log.
    pub log: LogOptions,
    /// What clients see and type.
    pub console: ConsoleOptions,
    /// What the service manager is asked for.
    pub service: ServiceOptions,
    /// The other files that the server writes.
    pub files: FileOptions,
}

/// Where clients connect, and from where.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// `-P`, or the first operand: control endpoints in the order declared.
    pub controls: Vec<Endpoint>,
    /// `-l`, the last one given.
    pub log: Option<Endpoint>,
    /// `--allow-from`: where TCP clients may come from; `None` is anywhere.
    pub allow_from: Option<AllowedNetworks>,
}

/// The child's program and what it is given.
#[derive(Debug, Clone, Default)]
pub struct ChildOptions {
    /// `<command>` as given; names the child in messages.
    pub command: OsString,
    /// What follows `<command>`.
    pub args: Vec<OsString>,
    /// `-e`: executed instead of `command`, with `command` and `args` as its arguments 1...
    pub exec: Option<OsString>,
    /// `-n`, or `command`.
    pub name: OsString,
    /// `-c` as given.
    pub chdir: Option<PathBuf>,
    /// `--coresize`: soft RLIMIT_CORE, in bytes.
    pub core_size: Option<u64>,
    /// `--user`, a name or a number.
    pub user: Option<OsString>,
    /// `--listen`: the sockets that it gets.
    pub listen: Vec<ListenUri>,
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
    /// `--holdoff-max`: up to which `holdoff` doubles while children die within it. It never does if
    /// this is not more.
    pub holdoff_max: Duration,
    /// `--ready`: what the child writes when it is ready; else it is once it has been started.
    pub ready: Option<Vec<u8>>,
    /// `--killsig`: sent by the kill command and at the end; 0 sends nothing.
    pub kill_signal: i32,
    /// `--grace-period`: what a child gets between the kill signal and SIGKILL.
    pub grace: Duration,
    /// `--signal-status`: the server exits with 128 and the number of the signal that killed the last
    /// child.
    pub signal_status: bool,
    /// `--kill-orphans`: what has left the child's process group is killed after it.
    pub kill_orphans: bool,
    /// `--child-pidfile`: where a child that makes itself a daemon tells its PID.
    pub daemon_pid_file: Option<PathBuf>,
    /// `--overlap`, with what belongs to it.
    pub overlap: Option<OverlapOptions>,
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
        }
    }
}

/// Where the console is logged.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// `-L`.
    pub target: Option<LogTarget>,
    /// `--logstamp`: the strftime format of a whole stamp; `None` without the option.
    pub stamp: Option<Vec<u8>>,
    /// `--log-rotate`.
    pub rotation: Option<Rotation>,
    /// `--savelog`.
    pub save: bool,
    /// `--syslog`: the tag.
    pub syslog: Option<Vec<u8>>,
}

impl LogOptions {
    /// Returns the log's name, if it is a file.
    pub fn path(&self) -> Option<&Path> {
        match &self.target {
            Some(LogTarget::File(path)) => Some(path),
            Some(LogTarget::Stdout) | None => None,
        }
    }
}

/// What clients see and type.
#[derive(Debug, Clone)]
pub struct ConsoleOptions {
    /// `-k`, `--autorestartcmd`, `-x`.
    pub commands: CommandChars,
    /// `-i`, with everything that section 1 adds to it: what never reaches the child.
    pub ignore: ByteSet,
    /// `--history`: how many of the last bytes of the console a new client is given, at most
    /// [`HISTORY_OPTION_MAX`](crate::limits::HISTORY_OPTION_MAX).
    pub history: usize,
    /// `--compat`.
    pub style: MessageStyle,
    /// `--timefmt`: the strftime format of times in messages.
    pub time_format: Vec<u8>,
}

impl Default for ConsoleOptions {
    fn default() -> ConsoleOptions {
        let commands = CommandChars::default();
        ConsoleOptions {
            commands,
            ignore: commands.kill.into_iter().chain(commands.toggle).chain([0]).collect(),
            history: 0,
            style: MessageStyle::Current,
            time_format: b"%c".to_vec(),
        }
    }
}

/// What the service manager is asked for.
#[derive(Debug, Clone, Copy)]
pub struct ServiceOptions {
    /// `--notify`, or what implies it: the service manager is told what goes on.
    pub notify: bool,
    /// `--fdstore`: the child, the clients and the endpoints outlive a crash of the server.
    pub fdstore: bool,
}

/// The files that the server writes besides the log.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// `-p`, or the environment's PROCSERV_PID.
    pub pid: Option<PathBuf>,
    /// `-I`.
    pub info: Option<PathBuf>,
    /// `--events`.
    pub events: Option<PathBuf>,
    /// `--events-rotate`.
    pub events_rotation: Option<Rotation>,
    /// `--status-file`.
    pub status: Option<PathBuf>,
}

impl Config {
    /// Returns true if the terminal, or what else is stdin, is a client.
    pub fn is_foreground(&self) -> bool {
        matches!(self.run_mode, RunMode::Foreground | RunMode::DebugForeground)
    }
}
