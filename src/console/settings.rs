//! The settings of the console, which are fixed at the start.

use std::os::unix::ffi::OsStrExt;

use super::child::restart_delay::{self, RestartDelay};
use super::child::supervisor::Policy;
use super::clock::{Timestamps, UnixTime};
use super::event::{ClientKind, Role};
use super::stream::encode::Encoding;
use crate::config::time_format::has_fraction;
use crate::config::{ChildOptions, ConsoleOptions, LogOptions, LogTarget, RestartPolicy};
use crate::telnet::LineEnds;

/// The settings of the console.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What `-V` prints.
    pub version: Vec<u8>,
    /// The server's process.
    pub server_pid: u32,
    /// When the server was started.
    pub server_started: UnixTime,
    /// The directory that the server was started in.
    pub server_dir: Vec<u8>,
    /// True if standard output is a reader (`-d`).
    pub to_stdout: bool,
    /// True if the log of `-L` could be opened.
    pub log_opened: bool,
    /// The child's program.
    pub child: ChildOptions,
    /// When children are started, and how they are ended.
    pub restart: RestartPolicy,
    /// The log.
    pub log: LogOptions,
    /// What clients see and type.
    pub console: ConsoleOptions,
}

impl Settings {
    /// Returns the child's name in messages.
    pub(super) fn name(&self) -> &[u8] {
        self.child.name.as_bytes()
    }

    /// Returns `<command>` as given.
    pub(super) fn command(&self) -> &[u8] {
        self.child.command.as_bytes()
    }

    /// Returns what is executed and passed as argv\[0\].
    pub(super) fn executed(&self) -> &[u8] {
        self.child.exec.as_ref().unwrap_or(&self.child.command).as_bytes()
    }

    /// Returns the child's directory as given, or the server's.
    pub(super) fn child_dir(&self) -> &[u8] {
        match &self.child.chdir {
            Some(dir) => dir.as_os_str().as_bytes(),
            None => &self.server_dir,
        }
    }

    /// Returns true if the child makes itself a daemon.
    pub(super) fn daemonizes(&self) -> bool {
        self.restart.daemon_pid_file.is_some()
    }

    /// Returns the log as the greeting names it, if there is one.
    pub(super) fn log_name(&self) -> Option<&[u8]> {
        self.log.target.as_ref().map(|target| match target {
            LogTarget::Stdout => &b"-"[..],
            LogTarget::File(path) => path.as_os_str().as_bytes(),
        })
    }

    /// Returns how the stream is encoded for a client.
    pub(super) fn encoding(&self, role: Role, kind: ClientKind) -> Encoding {
        let stamp = match role {
            Role::Logger => self.log.stamp.clone(),
            Role::User | Role::Viewer | Role::Api => None,
        };
        Encoding { telnet: kind == ClientKind::Telnet, stamp, plain: false }
    }

    /// Returns `now` as precise as times are shown: with a fraction of the second only if some format
    /// has one, because the stream keeps each time that differs from the one before.
    pub(super) fn as_shown(&self, now: Timestamps) -> Timestamps {
        let formats = [Some(&self.console.time_format), self.log.stamp.as_ref()];
        let has_fraction = formats.into_iter().flatten().any(|format| has_fraction(format));
        Timestamps { wall: if has_fraction { now.wall } else { now.wall.whole_second() }, ..now }
    }

    /// Returns what becomes of the line ends of telnet clients.
    pub(super) fn line_ends(&self) -> LineEnds {
        if self.console.join_line_ends { LineEnds::Join } else { LineEnds::Keep }
    }

    /// Returns the settings of the supervisor.
    pub(super) fn policy(&self) -> Policy {
        let server = [self.server_pid.to_string(), self.server_started.seconds.to_string()];
        let words = server.iter().map(String::as_bytes).chain([self.name()]);
        let (least, most) = (self.restart.holdoff, self.restart.holdoff_max);
        let holdoff = RestartDelay { least, most, seed: restart_delay::seed(words) };
        Policy {
            holdoff,
            signal_status: self.restart.signal_status,
            daemonizes: self.daemonizes(),
            kill_orphans: self.restart.kill_orphans,
            grace: self.restart.grace,
        }
    }

    /// Returns how the stream is encoded for the log.
    pub(super) fn log_encoding(&self) -> Encoding {
        Encoding { telnet: false, stamp: self.log.stamp.clone(), plain: self.log.plain }
    }
}

#[cfg(test)]
impl Settings {
    /// The settings of a command line without options.
    pub(crate) fn plain() -> Settings {
        let child = ChildOptions {
            command: "./st.cmd".into(),
            name: "./st.cmd".into(),
            ..ChildOptions::default()
        };
        Settings {
            version: b"procServ Process Server 2.9.0".to_vec(),
            server_pid: 15539,
            server_started: UnixTime::from_secs(1),
            server_dir: b"/home/x".to_vec(),
            to_stdout: false,
            log_opened: false,
            child,
            restart: RestartPolicy::default(),
            log: LogOptions::default(),
            console: ConsoleOptions::default(),
        }
    }

    /// These settings with a log file.
    pub(crate) fn with_log(mut self, path: &str, opened: bool) -> Settings {
        self.log.target = Some(LogTarget::File(path.into()));
        self.log_opened = opened;
        self
    }

    /// These settings, changed by `change`.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Settings {
        change(&mut self);
        self
    }
}
