//! What a server is put together from, whether it is new or goes on where another stopped.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::bind::Bound;
use super::child_sockets::ChildSocket;
use super::fdstore::FdStore;
use super::files::OwnFile;
use super::handover::Origin;
use super::pty_process::PtyProcess;
use super::stream::ClientStream;
use crate::config::{Config, LogTarget, RunMode};
use crate::console::clock::{Calendar, Moment, UnixTime};
use crate::console::event::ClientId;
use crate::console::{Console, Settings};
use crate::handover::state::RecordsState;
use crate::server::error::StartupError;
use crate::sys::time;
use crate::systemd::notify::Notifier;

/// Where a server comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is the first.
    New,
    /// Another program in this process made way for it.
    Upgraded,
    /// The one before it died.
    Restarted,
}

/// Everything that a server is made of.
pub(super) struct Parts {
    pub(super) begun: Begun,
    pub(super) origin: Origin,
    pub(super) console: Console,
    pub(super) listeners: Vec<Bound>,
    pub(super) child_sockets: Vec<ChildSocket>,
    pub(super) log: Option<Output>,
    /// Why there is none.
    pub(super) log_error: Option<String>,
    pub(super) stdout: Option<Output>,
    /// What the records go on with, and the version of the program before.
    pub(super) records: (RecordsState, String),
    pub(super) child: Option<PtyProcess>,
    pub(super) old_child: Option<PtyProcess>,
    pub(super) connections: Vec<(ClientId, ClientStream)>,
    /// Tokens and clients below it have been.
    pub(super) next_token: usize,
    pub(super) files: Vec<OwnFile>,
    /// The way to the service manager, if it is to be told anything.
    pub(super) notifier: Option<Notifier>,
    /// With `--fdstore`.
    pub(super) fdstore: Option<FdStore>,
    /// Since when the child's kin are in the world.
    pub(super) kin_since: Option<u64>,
    /// Lines for `-d`.
    pub(super) said: Vec<String>,
}

/// A file for a thread to write.
pub(super) struct Output {
    pub(super) file: File,
    /// After a failure: when to try again, and whether only new output makes that worth it.
    pub(super) retry: Option<(Moment, bool)>,
}

/// The way to the service manager, with `--notify` and if there is one.
pub(super) fn notifier(config: &Config) -> Result<Option<Notifier>, StartupError> {
    let address = std::env::var_os("NOTIFY_SOCKET");
    let notifier = address.filter(|name| config.notify && !name.is_empty());
    let notifier = notifier.map(|address| Notifier::new(&address)).transpose();
    notifier.map_err(|error| StartupError::System { what: "use NOTIFY_SOCKET", error })
}

/// What the console is told at the start.
pub(super) fn settings(config: &Config, origin: &Origin, log_opened: bool) -> Settings {
    let server_dir = origin.dir.clone();
    let child_dir = match &config.chdir {
        Some(dir) => dir.as_os_str().as_bytes().to_vec(),
        None => server_dir.clone(),
    };
    let log = config.log_file.as_ref().map(|log| match log {
        LogTarget::Stdout => (b"-".to_vec(), true),
        LogTarget::File(path) => (path.as_os_str().as_bytes().to_vec(), log_opened),
    });
    Settings {
        version: crate::VERSION.as_bytes().to_vec(),
        server_pid: std::process::id(),
        server_started: UnixTime(origin.started),
        server_dir,
        child_dir,
        name: config.name.as_bytes().to_vec(),
        command: config.command.as_bytes().to_vec(),
        executed: config.exec.as_ref().unwrap_or(&config.command).as_bytes().to_vec(),
        log,
        log_stamp: config.log_stamp.clone(),
        to_stdout: config.run_mode == RunMode::Debug,
        to_syslog: config.syslog.is_some(),
        commands: config.command_chars,
        ignore: config.ignore.clone(),
        kill_signal: config.kill_signal,
        holdoff: Duration::from_secs(config.holdoff.into()),
        holdoff_max: Duration::from_secs(config.holdoff_max.into()),
        signal_status: config.signal_status,
        kill_orphans: config.kill_orphans,
        daemonizes: config.child_pid_file.is_some(),
        grace: Duration::from_secs(config.grace_period.into()),
        restart: config.restart,
        wait: config.wait,
        ready: config.ready.clone(),
        overlap: config.overlap,
        time_format: config.time_format.clone(),
        history: config.history,
        wording: config.wording,
    }
}

/// Local time.
pub(super) struct LocalCalendar;

impl Calendar for LocalCalendar {
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8> {
        time::strftime(time.0, format)
    }
}
