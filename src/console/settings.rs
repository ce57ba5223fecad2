//! What is given to the console at the start.

use std::time::Duration;

use super::child::restart_delay::{self, RestartDelay};
use super::child::supervisor::Policy;
use super::clock::UnixTime;
use super::event::{ClientKind, Role};
use super::stream::reader::Encoding;
use crate::config::{ByteSet, CommandChars, MessageStyle, OverlapOptions, RestartMode};

/// What the console has to know, fixed at the start. Texts are bytes: paths need not be UTF-8.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What `-V` prints.
    pub version: Vec<u8>,
    /// The server's process.
    pub server_pid: u32,
    /// When it started.
    pub server_started: UnixTime,
    /// The directory it was started in.
    pub server_dir: Vec<u8>,
    /// The child's directory as given, or the server's.
    pub child_dir: Vec<u8>,
    /// The child's name in messages.
    pub name: Vec<u8>,
    /// `<command>` as given.
    pub command: Vec<u8>,
    /// What is executed and passed as argv\[0\].
    pub executed: Vec<u8>,
    /// The log file's name and whether it could be opened; `None` without `-L`.
    pub log: Option<(Vec<u8>, bool)>,
    /// `--logstamp`.
    pub log_stamp: Option<Vec<u8>>,
    /// Whether standard output is a reader (`-d`).
    pub to_stdout: bool,
    /// Whether syslog is one.
    pub to_syslog: bool,
    /// Command characters.
    pub commands: CommandChars,
    /// What never reaches the child, command characters included.
    pub ignore: ByteSet,
    /// Sent by the kill command and at the end; 0 sends nothing.
    pub kill_signal: i32,
    /// Least time between two starts.
    pub holdoff: Duration,
    /// The limit up to which that doubles while children die within it; not above it: it never does.
    pub holdoff_max: Duration,
    /// Whether the server exits with 128 and the number of the signal that killed the last child.
    pub signal_status: bool,
    /// What a child gets between the kill signal at SIGTERM and SIGKILL.
    pub grace: Duration,
    /// The mode to start in.
    pub restart: RestartMode,
    /// Whether the first start waits for a user.
    pub wait: bool,
    /// `--ready`: what the child writes when it is ready; else it is once it has been started.
    pub ready: Option<Vec<u8>>,
    /// `--overlap`.
    pub overlap: Option<OverlapOptions>,
    /// `--kill-orphans`: what left the child's process group is killed after it.
    pub kill_orphans: bool,
    /// `--child-pidfile`: the child makes itself a daemon.
    pub daemonizes: bool,
    /// strftime format of times in messages.
    pub time_format: Vec<u8>,
    /// `--history`: how many of the last bytes a new client is given, at most
    /// [`REPLAY_MAX`](crate::limits::HISTORY_OPTION_MAX).
    pub history: usize,
    /// Whose words messages are in.
    pub wording: MessageStyle,
}

impl Settings {
    /// How the stream looks to a client.
    pub(super) fn encoding(&self, role: Role, medium: ClientKind) -> Encoding {
        let stamp = match role {
            Role::Logger => self.log_stamp.clone(),
            Role::User => None,
        };
        Encoding { telnet: medium == ClientKind::Telnet, stamp }
    }

    /// What the supervisor has to know.
    pub(super) fn policy(&self) -> Policy {
        let server = [self.server_pid.to_string(), self.server_started.0.to_string()];
        let words = server.iter().map(String::as_bytes).chain([&*self.name]);
        let (least, most) = (self.holdoff, self.holdoff_max);
        let holdoff = RestartDelay { least, most, seed: restart_delay::seed(words) };
        Policy { holdoff, signal_status: self.signal_status }
    }

    /// How it looks in the log.
    pub(super) fn log_encoding(&self) -> Encoding {
        Encoding { telnet: false, stamp: self.log_stamp.clone() }
    }
}

#[cfg(test)]
impl Settings {
    /// Those of a command line without options.
    pub(crate) fn plain() -> Settings {
        let mut ignore = ByteSet::EMPTY;
        for byte in [0, 0x18, 0x14] {
            ignore.insert(byte);
        }
        Settings {
            version: b"procServ Process Server 2.9.0".to_vec(),
            server_pid: 15539,
            server_started: UnixTime(1),
            server_dir: b"/home/x".to_vec(),
            child_dir: b"/home/x".to_vec(),
            name: b"./st.cmd".to_vec(),
            command: b"./st.cmd".to_vec(),
            executed: b"./st.cmd".to_vec(),
            log: None,
            log_stamp: None,
            to_stdout: false,
            to_syslog: false,
            commands: CommandChars { kill: Some(0x18), toggle: Some(0x14), logout: None },
            ignore,
            kill_signal: 9,
            holdoff: Duration::from_secs(15),
            holdoff_max: Duration::ZERO,
            signal_status: false,
            kill_orphans: false,
            daemonizes: false,
            grace: Duration::ZERO,
            restart: RestartMode::On,
            wait: false,
            ready: None,
            overlap: None,
            time_format: b"%c".to_vec(),
            history: 0,
            wording: MessageStyle::Current,
        }
    }
}
