//! What the command line means. Owns validated values only; nothing in here is looked at twice.
//! It knows nothing of argv, clap or sockets: `cli` makes a [`Config`], the server consumes it.

pub(crate) mod c_number;
pub mod control_char;
pub mod endpoint;
pub mod listen;
pub mod network;

use std::ffi::OsString;
use std::path::PathBuf;
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

/// `--log-rotate`.
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

    /// Whether `byte` is in the set.
    pub fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word & (1 << (byte & 63)) != 0)
    }

    /// Whether no byte is in the set.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
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
    /// Control endpoints in the order declared.
    pub controls: Vec<Endpoint>,
    /// `-l`, the last one given.
    pub log_endpoint: Option<Endpoint>,
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
    /// `--coresize`: soft RLIMIT_CORE of the child, bytes.
    pub core_size: Option<u64>,
    /// `-f`, `-d`, PROCSERV_DEBUG.
    pub run_mode: RunMode,
    /// `--user`, a name or a number.
    pub user: Option<OsString>,
    /// `--holdoff`, seconds.
    pub holdoff: u32,
    /// `--holdoff-max`, seconds: not less than `holdoff`.
    pub holdoff_max: u32,
    /// `--grace-period`, seconds.
    pub grace_period: u32,
    /// `-i` with everything that section 1 adds to it.
    pub ignore: ByteSet,
    /// `-k`, `--autorestartcmd`, `-x`.
    pub command_chars: CommandChars,
    /// `--killsig`; 0 sends nothing.
    pub kill_signal: i32,
    /// `-L`.
    pub log_file: Option<LogTarget>,
    /// `--logstamp`: the strftime format of a whole stamp; `None` without the option.
    pub log_stamp: Option<Vec<u8>>,
    /// `--log-rotate`.
    pub log_rotate: Option<Rotation>,
    /// `--savelog`.
    pub save_log: bool,
    /// The mode to start in.
    pub restart: RestartMode,
    /// `--history`: how many of the last bytes of the console a new client is given.
    pub history: usize,
    /// `--compat`.
    pub wording: MessageStyle,
    /// `--allow-from`: where TCP clients may come from; `None` is anywhere.
    pub allow_from: Option<AllowedNetworks>,
    /// `--kill-orphans`.
    pub kill_orphans: bool,
    /// `--child-pidfile`: where a child that makes itself a daemon tells its PID.
    pub child_pid_file: Option<PathBuf>,
    /// `--signal-status`.
    pub signal_status: bool,
    /// `-w`: no first start until told.
    pub wait: bool,
    /// `--fdstore`: the child, the clients and the endpoints outlive a crash of the server.
    pub fdstore: bool,
    /// `--listen`: sockets for the child.
    pub listen: Vec<ListenUri>,
    /// `--overlap`, with what belongs to it.
    pub overlap: Option<OverlapOptions>,
    /// `--notify`, or what implies it: the service manager is told what goes on.
    pub notify: bool,
    /// `--ready`: what the child writes when it is ready.
    pub ready: Option<Vec<u8>>,
    /// `-q`.
    pub quiet: bool,
    /// `-p`, or the environment's PROCSERV_PID.
    pub pid_file: Option<PathBuf>,
    /// `-I`.
    pub info_file: Option<PathBuf>,
    /// `--events`.
    pub events: Option<PathBuf>,
    /// `--status-file`.
    pub status_file: Option<PathBuf>,
    /// `--syslog`: the tag.
    pub syslog: Option<Vec<u8>>,
    /// `--timefmt`, a strftime format.
    pub time_format: Vec<u8>,
    /// What to say on stderr before anything else, one line each without its newline.
    pub warnings: Vec<Vec<u8>>,
}

impl Config {
    /// Whether the terminal, or what else is stdin, is a client.
    pub fn is_foreground(&self) -> bool {
        matches!(self.run_mode, RunMode::Foreground | RunMode::DebugForeground)
    }

    /// The log, if it is a file.
    pub fn log_path(&self) -> Option<PathBuf> {
        match &self.log_file {
            Some(LogTarget::File(path)) => Some(path.clone()),
            Some(LogTarget::Stdout) | None => None,
        }
    }
}
