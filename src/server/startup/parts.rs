//! What every server is assembled from, in whichever way it starts.

use std::fs::File;
use std::io;
use std::rc::Rc;

use super::stream::LogPlace;
use crate::config::time_format::with_fraction;
use crate::config::{Config, LogTarget, RunMode};
use crate::console::clock::{Monotonic, TimeFormatter, UnixTime};
use crate::console::event::ClientId;
use crate::console::{Console, Settings};
use crate::handover::state::{ApiState, RecordsState, ServerIdentity};
use crate::server::memory::Source;
use crate::server::os::child_socket::ChildSocket;
use crate::server::os::client_stream::ClientStream;
use crate::server::os::fdstore::FdStore;
use crate::server::os::listening_socket::ListeningSocket;
use crate::server::os::pty_process::PtyProcess;
use crate::server::writers::files::OwnedFile;
use crate::sys::passage::Passage;
use crate::sys::time;
use crate::systemd::notify::Notifier;

/// The way in which a server starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartKind {
    /// No server was there before.
    Fresh,
    /// Another program in this process has made way for it.
    Upgraded,
    /// The server before it crashed.
    Recovered,
}

/// Everything that a server is made of.
pub(crate) struct ServerParts {
    pub(crate) start_kind: StartKind,
    pub(crate) identity: ServerIdentity,
    pub(crate) console: Console,
    pub(crate) listeners: Vec<ListeningSocket>,
    pub(crate) child_sockets: Vec<ChildSocket>,
    /// The log, in its passage.
    pub(crate) log: Option<Output<Passage>>,
    /// Where its file ends, and the chunk that was begun.
    pub(crate) log_place: LogPlace,
    /// After a crash: what the server before read last and came no further.
    pub(crate) last_read: Option<(Source, Vec<u8>)>,
    /// After a crash: true if nothing that was read is missing.
    pub(crate) complete: bool,
    pub(crate) stdout: Option<Output<File>>,
    /// What the records go on with, and the version of the program before.
    pub(crate) records: (RecordsState, String),
    pub(crate) child: Option<PtyProcess>,
    pub(crate) old_child: Option<PtyProcess>,
    pub(crate) connections: Vec<(ClientId, ClientStream)>,
    /// What the clients of `--api` among them sent and are to be sent.
    pub(crate) api: Vec<ApiState>,
    /// The next token and client id; smaller ones were used.
    pub(crate) next_token: usize,
    pub(crate) files: Vec<OwnedFile>,
    /// The way to the service manager, if it is to be told anything.
    pub(crate) notifier: Option<Rc<Notifier>>,
    /// With `--fdstore`.
    pub(crate) store: Option<FdStore<Notifier>>,
    /// The start time of the oldest child whose descendants are looked for, in USER_HZ ticks since
    /// boot.
    pub(crate) descendants_since: Option<u64>,
    /// Lines to print under `-d`.
    pub(crate) debug_lines: Vec<String>,
}

/// A file for a thread to write, or the passage in which the file is.
pub(crate) struct Output<F> {
    pub(crate) file: F,
    /// After a failed write: when to try again, and whether only new output makes that worth it.
    pub(crate) retry: Option<(Monotonic, bool)>,
}

impl<F> Output<F> {
    /// An output that has not failed.
    pub(crate) fn new(file: F) -> Output<F> {
        Output { file, retry: None }
    }
}

/// A passage with `file` in it, which is open nowhere else then.
///
/// # Errors
/// There is no descriptor, or too many files are on their way.
pub(crate) fn passage(file: File) -> io::Result<Passage> {
    let passage = Passage::open()?;
    passage.put(&file)?;
    Ok(passage)
}

/// The way to the service manager, with `--notify` and if there is a service manager.
///
/// # Errors
/// NOTIFY_SOCKET is no address of a socket, or there is no descriptor.
pub(crate) fn notifier(config: &Config) -> io::Result<Option<Rc<Notifier>>> {
    let address = std::env::var_os("NOTIFY_SOCKET");
    let notifier = address.filter(|name| config.service.notify && !name.is_empty());
    notifier.map(|address| Notifier::new(&address).map(Rc::new)).transpose()
}

/// The settings of the console.
pub(crate) fn settings(config: &Config, identity: &ServerIdentity, log_opened: bool) -> Settings {
    Settings {
        version: crate::VERSION.as_bytes().to_vec(),
        server_pid: std::process::id(),
        server_started: UnixTime { seconds: identity.started, nanos: identity.started_nanos },
        server_dir: identity.dir.0.clone(),
        to_stdout: config.run_mode == RunMode::Debug,
        log_opened: log_opened || config.log.target == Some(LogTarget::Stdout),
        child: config.child.clone(),
        restart: config.restart.clone(),
        log: config.log.clone(),
        console: config.console.clone(),
    }
}

/// Local time.
pub(crate) struct LocalTime;

impl TimeFormatter for LocalTime {
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8> {
        time::strftime(time.seconds, &with_fraction(format, time.nanos))
    }
}
