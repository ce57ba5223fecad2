//! A server that goes on from no other program in this process. Everything that can fail is opened
//! before the daemon leaves its caller, in the order in which procServ reports trouble.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::rc::Rc;

use super::child_sockets::{self, FdSockets};
use super::error::StartupError;
use super::log_files::open_log;
use super::parts::{LocalTime, Output, ServerParts, StartKind, notifier, passage, settings};
use super::pid_files::{write_files, written_files};
use super::recovery::Recovery;
use super::stream::{NotTheLog, continue_log, hold_stream, written_behind};
use super::{open_files, stderr, system};
use crate::config::endpoint::{Address, Endpoint};
use crate::config::{Config, LogTarget, RunMode};
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::{Event, Role};
use crate::console::{Console, Settings};
use crate::handover::state::{ServerIdentity, Text};
use crate::server::memory::Source;
use crate::server::os::child_socket::ChildSocket;
use crate::server::os::kernel::FIRST_TOKEN;
use crate::server::os::listening_socket::ListeningSocket;
use crate::server::writers::files::OwnedFile;
use crate::server::writers::log_file::file_end;
use crate::sys::process::daemonize::{self, ForkSide};
use crate::sys::process::user::{self, Account};
use crate::sys::process::{self, exec, signal};
use crate::sys::{self, fd, time};
use crate::systemd::listen_fds::ListenFds;
use crate::systemd::notify::Notifier;

/// The parts of a server that starts, after a crash with what the last one left.
pub(super) fn parts(config: &Config) -> Result<ServerParts, StartupError> {
    let account = account(config)?;
    for warning in &config.warnings {
        stderr(&[warning.as_slice(), b"\n"].concat());
    }
    signal::block_until_ready().map_err(system("set the signal mask"))?;
    // From here on nothing is opened before what was inherited is known.
    fd::close_on_exec_all();
    let env = |name: &str| std::env::var_os(name);
    let mut passed = ListenFds::new(std::process::id(), &env);
    let fd_sockets = child_sockets::fd_sockets(config, &mut passed);
    let mut recovery = Recovery::find(&mut passed);
    let open_files = fd::raise_limit();
    let notifier = notifier(config).map_err(system("use NOTIFY_SOCKET"))?;
    // A server that crashed had room for all that it left behind.
    if recovery.state().is_none() {
        open_files::check(config, config.service.fdstore && notifier.is_some())?;
    }
    let sockets = Sockets::open(config, passed, fd_sockets, &mut recovery)?;
    let crashed = recovery.state().filter(|state| state.console.landed().is_some());
    let written = crashed.and_then(|state| state.console.log_place()).map(|place| WrittenLog {
        begun: place.begun,
        appended: written_behind(config.log.path(), &place),
    });
    let log = match config.log.path() {
        Some(path) => open_log(config, path).map(Some),
        None => Ok(None),
    };
    if config.run_mode == RunMode::Daemon {
        let logging = matches!(log, Ok(Some(_))) || config.log.target == Some(LogTarget::Stdout);
        become_daemon(config, &sockets.listeners, logging)?;
    }
    let pid = process::own_pid();
    let files = match config.run_mode {
        RunMode::Daemon => {
            let written = written_files(config, pid, &sockets.listeners);
            written.into_iter().filter_map(OwnedFile::adopt).collect()
        }
        _ => write_files(config, pid, &sockets.listeners),
    };
    let (started, started_nanos) = time::wall_nanos();
    let identity = ServerIdentity {
        argv: std::env::args_os().map(|word| Text(word.into_vec())).collect(),
        started,
        started_nanos,
        dir: Text(start_directory()),
        open_files,
        account,
        program: Some(exec::program_path(None)),
    };
    assemble(config, identity, recovery, notifier, sockets, (log, written), files)
}

/// What a server before this one has written of the log behind the place that it noted.
struct WrittenLog {
    /// How many bytes it noted.
    begun: u64,
    /// The bytes behind them, if they could be found.
    appended: Option<Vec<u8>>,
}

/// The sockets that the server listens on.
struct Sockets {
    listeners: Vec<ListeningSocket>,
    child_sockets: Vec<ChildSocket>,
    /// Diagnostic lines about passed sockets that no endpoint asks for.
    debug_lines: Vec<String>,
}

impl Sockets {
    fn open(
        config: &Config,
        mut passed: ListenFds,
        fd_sockets: FdSockets,
        recovery: &mut Recovery,
    ) -> Result<Sockets, StartupError> {
        let listeners = bind(config, &mut passed, recovery)?;
        let child_sockets = child_sockets::open(config, fd_sockets, recovery)?;
        Ok(Sockets { listeners, child_sockets, debug_lines: passed.close() })
    }
}

/// Puts the parts together. `log` is the result of opening the log, unless the log is standard
/// output, and what a server before this one has written of it.
fn assemble(
    config: &Config,
    identity: ServerIdentity,
    mut recovery: Recovery,
    notifier: Option<Rc<Notifier>>,
    sockets: Sockets,
    (log, written): (io::Result<Option<File>>, Option<WrittenLog>),
    files: Vec<OwnedFile>,
) -> Result<ServerParts, StartupError> {
    let store_notifier = notifier.clone().filter(|_| config.service.fdstore);
    if store_notifier.is_none() {
        recovery.discard_state();
    }
    let stdout = || io::stdout().as_fd().try_clone_to_owned().map(File::from).ok();
    let log = match config.log.target {
        // A daemon's standard output is not its caller's, so this comes after the fork.
        Some(LogTarget::Stdout) => Ok(stdout()),
        _ => log,
    };
    let debug = matches!(config.run_mode, RunMode::Debug | RunMode::DebugForeground);
    let stdout = if debug { stdout() } else { None };

    let settings = settings(config, &identity, matches!(log, Ok(Some(_))));
    let records = recovery.state().map(|state| (state.records.clone(), state.version.clone()));
    let Start { mut console, start_kind, next_token, last_read } = start(settings, &mut recovery);
    let mut complete = last_read.is_some();
    let (child, connections) = (recovery.child(), recovery.connections());
    let (seconds, nanos) = time::wall_nanos();
    let wall = UnixTime { seconds, nanos };
    let now = Timestamps { mono: Monotonic(time::monotonic()), wall };
    let mut log_place = (None, None);
    if let Ok(Some(file)) = &log {
        log_place.0 = file_end(file);
        // Without a place there was no log.
        if let Some(WrittenLog { begun, appended }) = written.filter(|_| complete) {
            let appended = appended.ok_or(NotTheLog);
            match appended.and_then(|bytes| continue_log(&mut console, begun, &bytes)) {
                Ok(begun) => log_place.1 = begun,
                Err(NotTheLog) => complete = false,
            }
        }
    }
    match &log {
        Ok(Some(_)) => console.handle(Event::LogOpened, now),
        Ok(None) => {}
        Err(error) => console.handle(Event::LogOpenFailed(&sys::reason(error)), now),
    }
    let store = match store_notifier {
        Some(notifier) => {
            let store = recovery.fdstore(notifier, config.console.history);
            let (mut store, has_stream) = store.map_err(system("make what survives a crash"))?;
            hold_stream(&mut store, &mut console, has_stream);
            Some(store)
        }
        None => {
            // The store may be that of another unit's file.
            let address = std::env::var_os("NOTIFY_SOCKET");
            recovery.discard(address.and_then(|address| Notifier::new(&address).ok()));
            None
        }
    };
    let log = log.ok().flatten().map(passage).transpose().map_err(system("pass the log on"))?;
    Ok(ServerParts {
        start_kind,
        identity,
        console,
        listeners: sockets.listeners,
        child_sockets: sockets.child_sockets,
        log: log.map(Output::new),
        log_place,
        last_read: last_read.flatten(),
        complete,
        stdout: stdout.map(Output::new),
        records: records.unwrap_or_default(),
        child,
        old_child: None,
        connections,
        // A crash may have cut their lines.
        api: Vec::new(),
        next_token,
        files,
        notifier,
        store,
        // Nothing that a server left behind becomes a child of this process: its children are its launcher's.
        descendants_since: None,
        debug_lines: sockets.debug_lines,
    })
}

/// Forks. Returns only in the daemon, after its caller was told of it and has exited.
fn become_daemon(
    config: &Config,
    listeners: &[ListeningSocket],
    logging: bool,
) -> Result<(), StartupError> {
    match daemonize::fork_daemon().map_err(system("fork"))? {
        ForkSide::Parent { pid, gate: _gate } => {
            announce_daemon(config, pid, logging);
            // Files and sockets belong to the daemon now, so they are not removed.
            std::mem::forget(write_files(config, pid, listeners));
            std::process::exit(0);
        }
        ForkSide::Daemon => daemonize::detach_stdio().map_err(system("open /dev/null")),
    }
}

/// The console of a server that starts.
struct Start {
    console: Console,
    start_kind: StartKind,
    next_token: usize,
    /// If the stream of a server that crashed is whole: what that server read last and came no further.
    last_read: Option<Option<(Source, Vec<u8>)>>,
}

/// The console of a server that crashed or a new one.
fn start(settings: Settings, recovery: &mut Recovery) -> Start {
    let recovered = recovery.console().and_then(|(state, found)| {
        let next_token = usize::try_from(state.next_token).ok()?;
        let (ring, last_read) = match found {
            Some(found) => (Some(found.ring), Some(found.last_read)),
            None => (None, None),
        };
        let (settings, formatter) = (settings.clone(), Box::new(LocalTime));
        let console = Console::restore_with_ring(settings, formatter, state.console, ring).ok()?;
        Some(Start { console, start_kind: StartKind::Recovered, next_token, last_read })
    });
    recovered.unwrap_or_else(|| {
        recovery.discard_state();
        Start {
            console: Console::new(settings, Box::new(LocalTime)),
            start_kind: StartKind::Fresh,
            next_token: FIRST_TOKEN,
            last_read: None,
        }
    })
}

/// Tells the caller of a daemon about it (contract section 7).
fn announce_daemon(config: &Config, pid: i32, logging: bool) {
    if config.quiet {
        return;
    }
    let line = format!(": spawning daemon process: {pid}\n");
    stderr(&[config.argv0.as_bytes(), line.as_bytes()].concat());
    if !logging {
        stderr(match config.endpoints.log {
            Some(_) => b"Warning: No log file specified.\n",
            None => b"Warning: No log file and no port for log connections specified.\n",
        });
    }
}

/// The account that children are run as, under `--user`.
fn account(config: &Config) -> Result<Option<Account>, StartupError> {
    let Some(who) = &config.child.user else {
        return Ok(None);
    };
    let refused = |error| StartupError::System { what: "obey --user", error };
    if !user::is_root() {
        return Err(refused(io::Error::other("the server was not started as root")));
    }
    match Account::find(who).map_err(refused)? {
        Some(account) => Ok(Some(account)),
        None => Err(refused(io::Error::other(format!("unknown user '{}'", who.display())))),
    }
}

/// All listeners in the order of the info file: the log endpoint, then the endpoint declared last,
/// and those without telnet after all others, as older programs take the first that they find.
fn bind(
    config: &Config,
    passed: &mut ListenFds,
    recovery: &mut Recovery,
) -> Result<Vec<ListeningSocket>, StartupError> {
    let wanted: Vec<&Endpoint> = config
        .endpoints
        .controls
        .iter()
        .chain(&config.endpoints.log)
        .chain(&config.endpoints.api)
        .collect();
    let mut open =
        |endpoint: &Endpoint, role, kind| -> Result<Vec<ListeningSocket>, StartupError> {
            let sockets = match &endpoint.address {
                Address::Passed(which) => passed.take(which).and_then(|taken| {
                    let adopt = |fd| ListeningSocket::from_service_manager(fd, role, endpoint.raw);
                    taken.into_iter().map(adopt).collect()
                }),
                _ => match recovery.listener(endpoint, role, &wanted) {
                    Some(socket) => Ok(vec![socket]),
                    None => ListeningSocket::bind(endpoint, role).map(|socket| vec![socket]),
                },
            };
            let endpoint = endpoint.clone();
            sockets.map_err(|error| StartupError::Endpoint { endpoint, kind, error })
        };
    let mut listeners = Vec::new();
    for endpoint in &config.endpoints.controls {
        let role = if endpoint.view { Role::Viewer } else { Role::User };
        listeners.extend(open(endpoint, role, "control")?);
    }
    if let Some(endpoint) = &config.endpoints.log {
        listeners.extend(open(endpoint, Role::Logger, "log")?);
    }
    listeners.reverse();
    listeners.sort_by_key(|listener| (listener.endpoint.view, listener.endpoint.raw));
    if let Some(endpoint) = &config.endpoints.api {
        listeners.extend(open(endpoint, Role::Api, "api")?);
    }
    Ok(listeners)
}

/// The directory that this process is in, as far as it can be known: it may have been removed.
fn start_directory() -> Vec<u8> {
    let dir = std::env::current_dir().or_else(|_| fs::read_link("/proc/self/cwd"));
    match dir {
        Ok(dir) => dir.into_os_string().into_vec(),
        Err(_) => std::env::var_os("PWD").unwrap_or_default().into_vec(),
    }
}
