//! From a configuration to a running server: everything that can fail is opened before the
//! daemon leaves its caller, in the order in which procServ reports trouble.

pub(crate) mod child_sockets;
pub mod error;
pub(crate) mod launch;
pub(crate) mod parts;
pub(crate) mod pid_files;
pub(crate) mod recovery;
pub mod successor;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::event_loop::upgrade::ServerIdentity;
use super::os::kernel::FIRST_TOKEN;
use super::os::listening_socket::ListeningSocket;
use super::startup::launch::launch;
use super::startup::parts::{LocalTime, OutputFile, ServerParts, StartKind, notifier, settings};
use super::startup::pid_files::OwnedFile;
use super::startup::recovery::Recovery;
use super::startup::successor::Predecessor;
use crate::config::endpoint::{Address, Endpoint};
use crate::config::{Config, LogTarget, RunMode};
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::{Event, Role};
use crate::console::{Console, Settings};
use crate::server::startup::error::StartupError;
use crate::sys::daemonize::{self, ForkSide};
use crate::sys::user::{self, Account};
use crate::sys::{self, fd, file, process, signal, time};
use crate::systemd::listen_fds::ListenFds;
use crate::systemd::notify::Notifier;

/// Runs the server; the exit status. Goes on where the program stopped that was this process
/// before, if there was one.
pub fn run(config: &Config) -> Result<u8, StartupError> {
    // A log over its size limit is an error of write(2), not the end.
    signal::ignore(nix::libc::SIGXFSZ);
    if config.run_mode != RunMode::Daemon {
        signal::ignore(nix::libc::SIGTTIN);
        signal::ignore(nix::libc::SIGTTOU);
    }
    if config.is_foreground() {
        signal::ignore(nix::libc::SIGINT);
        signal::ignore(nix::libc::SIGQUIT);
    }
    match Predecessor::from_environment()? {
        Some(predecessor) => launch(config, predecessor.into_parts(config)?),
        None => start(config),
    }
}

/// A new server.
fn start(config: &Config) -> Result<u8, StartupError> {
    let system = |what| move |error| StartupError::System { what, error };
    let account = account(config)?;
    for warning in &config.warnings {
        stderr(&[warning.as_slice(), b"\n"].concat());
    }
    signal::block_until_ready().map_err(system("set the signal mask"))?;
    fd::close_on_exec_all();
    let env = |name: &str| std::env::var_os(name);
    let mut passed = ListenFds::new(std::process::id(), &env);
    let given = child_sockets::fd_sockets(config, &mut passed);
    let mut stored = Recovery::find(&mut passed);
    let open_files = fd::raise_limit();
    let notifier = notifier(config)?;
    let listeners = bind(config, &mut passed, &mut stored)?;
    let child_sockets = child_sockets::open(config, given, &mut stored)?;
    let said = passed.close();
    let stores = config.service.fdstore && notifier.is_some();
    if !stores {
        stored.discard_state();
    }
    let log = match config.log.path() {
        Some(path) => open_log(config, path).map(Some),
        None => Ok(None),
    };
    let (log, log_error) = match log {
        Ok(log) => (log, None),
        Err(error) => (None, Some(sys::reason(&error))),
    };

    if config.run_mode == RunMode::Daemon {
        let logging = log.is_some() || config.log.target == Some(LogTarget::Stdout);
        become_daemon(config, &listeners, logging)?;
    }
    let pid = own_pid();
    let files = match config.run_mode {
        RunMode::Daemon => adopt_files(config, pid, &listeners),
        _ => write_files(config, pid, &listeners),
    };
    let stdout = || fd::duplicate(io::stdout()).map(File::from).ok();
    let log = match config.log.target {
        // Only now: a daemon's standard output is not its caller's.
        Some(LogTarget::Stdout) => stdout(),
        _ => log,
    };
    let debug = matches!(config.run_mode, RunMode::Debug | RunMode::DebugForeground);
    let stdout = if debug { stdout() } else { None };

    let origin = ServerIdentity {
        argv: std::env::args_os().map(OsStringExt::into_vec).collect(),
        started: time::wall(),
        dir: start_directory(),
        open_files,
        account,
    };
    let settings = settings(config, &origin, log.is_some());
    let records = stored.state().map(|state| (state.records.clone(), state.version.clone()));
    let records = records.unwrap_or_default();
    let kin_since = stored.state().and_then(|state| state.descendants_since);
    let (mut console, begun, next_token) = console(settings, &mut stored);
    let (child, connections) = (stored.child(), stored.connections());
    if log.is_some() {
        let now = Timestamps { mono: Monotonic(time::monotonic()), wall: UnixTime(time::wall()) };
        console.handle(Event::LogOpened, now);
    }
    let fdstore = if stores {
        Some(stored.fdstore().map_err(system("make what survives a crash"))?)
    } else {
        // Another unit's file may have had a store.
        let manager = std::env::var_os("NOTIFY_SOCKET");
        stored.discard(manager.and_then(|address| Notifier::new(&address).ok()));
        None
    };
    let output = |file| OutputFile { file, retry: None };
    let parts = ServerParts {
        start_kind: begun,
        identity: origin,
        console,
        listeners,
        child_sockets,
        log: log.map(output),
        log_error,
        stdout: stdout.map(output),
        records,
        child,
        old_child: None,
        connections,
        next_token,
        files,
        notifier,
        fdstore,
        descendants_since: kin_since,
        debug_lines: said,
    };
    launch(config, parts)
}

/// Forks; returns in the daemon only, once its caller has been told and is gone.
fn become_daemon(
    config: &Config,
    listeners: &[ListeningSocket],
    logging: bool,
) -> Result<(), StartupError> {
    let system = |what| move |error| StartupError::System { what, error };
    match daemonize::fork_daemon().map_err(system("fork"))? {
        ForkSide::Parent { pid, gate: _gate } => {
            announce_daemon(config, pid, logging);
            // Neither dropped nor returned: files and sockets belong to the daemon now.
            std::mem::forget(write_files(config, pid, listeners));
            std::process::exit(0);
        }
        ForkSide::Daemon => daemonize::detach_stdio().map_err(system("open /dev/null")),
    }
}

/// The console that a server before this one left, or else a new one; and which token comes next.
fn console(settings: Settings, stored: &mut Recovery) -> (Console, StartKind, usize) {
    let restored = stored.state().cloned().and_then(|state| {
        let next_token = usize::try_from(state.next_token).ok()?;
        let console = Console::restore(settings.clone(), Box::new(LocalTime), state.console);
        Some((console.ok()?, StartKind::Recovered, next_token))
    });
    restored.unwrap_or_else(|| {
        stored.discard_state();
        (Console::new(settings, Box::new(LocalTime)), StartKind::Fresh, FIRST_TOKEN)
    })
}

/// `<argv0>: <what> <path>` on stderr.
fn report_write_error(argv0: &[u8], what: &[u8], path: &Path) {
    stderr(&[argv0, b": ", what, b" ", path.as_os_str().as_bytes(), b"\n"].concat());
}

fn stderr(text: &[u8]) {
    // Nothing can be said about a stderr that is gone.
    let _ = io::stderr().write_all(text);
}

/// Whom to run the child as, under `--user`.
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

/// All listeners, in the order of the info file: the log endpoint, then the last declared first, and
/// those without telnet after all others, as older programs take the first that they find.
fn bind(
    config: &Config,
    passed: &mut ListenFds,
    stored: &mut Recovery,
) -> Result<Vec<ListeningSocket>, StartupError> {
    let wanted: Vec<&Endpoint> =
        config.endpoints.controls.iter().chain(&config.endpoints.log).collect();
    let mut open =
        |endpoint: &Endpoint, role, kind| -> Result<Vec<ListeningSocket>, StartupError> {
            let bound = match &endpoint.address {
                Address::Passed(which) => passed.take(which).and_then(|taken| {
                    let adopt = |fd| ListeningSocket::from_service_manager(fd, role, endpoint.raw);
                    taken.into_iter().map(adopt).collect()
                }),
                _ => match stored.listener(endpoint, role, &wanted) {
                    Some(bound) => Ok(vec![bound]),
                    None => ListeningSocket::bind(endpoint, role).map(|bound| vec![bound]),
                },
            };
            let endpoint = endpoint.clone();
            bound.map_err(|error| StartupError::Endpoint { endpoint, kind, error })
        };
    let mut listeners = Vec::new();
    for endpoint in &config.endpoints.controls {
        listeners.extend(open(endpoint, Role::User, "control")?);
    }
    if let Some(endpoint) = &config.endpoints.log {
        listeners.extend(open(endpoint, Role::Logger, "log")?);
    }
    listeners.reverse();
    listeners.sort_by_key(|listener| listener.endpoint.raw);
    Ok(listeners)
}

fn open_log(config: &Config, path: &Path) -> io::Result<File> {
    if config.log.save {
        save_log(config, path);
    }
    let log = file::open_append(path);
    if log.is_err() {
        report_write_error(config.argv0.as_bytes(), b"unable to open log file", path);
    }
    log
}

/// `--savelog`: an existing log is moved aside under the time of its last change, never over
/// another file.
fn save_log(config: &Config, path: &Path) {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    if !metadata.is_file() {
        return;
    }
    let stamp = time::format(metadata.mtime(), ".%Y%m%d-%H%M%S");
    let base = [path.as_os_str().as_bytes(), stamp.as_bytes()].concat();
    for number in 0..10_000 {
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let saved = PathBuf::from(OsString::from_vec([&*base, suffix.as_bytes()].concat()));
        // A link fails where a rename would overwrite.
        match fs::hard_link(path, &saved) {
            Ok(()) if fs::remove_file(path).is_ok() => return,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Not every file system knows links.
            Err(_) if !saved.exists() && fs::rename(path, &saved).is_ok() => return,
            _ => break,
        }
    }
    report_write_error(config.argv0.as_bytes(), b"unable to save log file", path);
}

/// What the caller of a daemon is told (contract section 7).
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

/// What the two files hold, with their names.
fn file_contents<'a>(
    config: &'a Config,
    pid: i32,
    listeners: &[ListeningSocket],
) -> [(Option<&'a PathBuf>, Vec<u8>); 2] {
    let mut info = format!("pid:{pid}\n").into_bytes();
    for listener in listeners {
        info.extend_from_slice(&listener.endpoint.to_bytes());
        info.push(b'\n');
    }
    [
        (config.files.pid.as_ref(), format!("{pid}\n").into_bytes()),
        (config.files.info.as_ref(), info),
    ]
}

/// Writes the pid file and the info file.
fn write_files(config: &Config, pid: i32, listeners: &[ListeningSocket]) -> Vec<OwnedFile> {
    let argv0 = config.argv0.as_bytes();
    let [(pid_file, pid_text), (info_file, info_text)] = file_contents(config, pid, listeners);
    let mut files = Vec::new();
    if let Some(path) = pid_file {
        if !config.quiet
            && let Some(other) = running_server(path, pid)
        {
            let line = format!(" names process {other}, another server that is running\n");
            stderr(&[argv0, b": PID file ", path.as_os_str().as_bytes(), line.as_bytes()].concat());
        }
        match OwnedFile::write(path, pid_text) {
            Ok(file) => files.extend(file),
            Err(_) => report_write_error(argv0, b"unable to open PID file", path),
        }
    }
    if let Some(path) = info_file {
        // Skipped silently, as procServ does.
        files.extend(OwnedFile::write(path, info_text).ok().flatten());
    }
    files
}

/// Takes over the files that the daemon's parent wrote for it.
pub(super) fn adopt_files(
    config: &Config,
    pid: i32,
    listeners: &[ListeningSocket],
) -> Vec<OwnedFile> {
    let contents = file_contents(config, pid, listeners);
    let written = contents
        .into_iter()
        .filter_map(|(path, content)| OwnedFile::adopt(path?, content).ok().flatten());
    written.collect()
}

/// The live process that a pid file names, if it is a server like this one.
fn running_server(path: &Path, own: i32) -> Option<i32> {
    // Reading anything else, /dev/stdout perhaps, could wait for ever.
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let pid: i32 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let comm = |pid: i32| fs::read(format!("/proc/{pid}/comm")).ok();
    let same = pid != own && process::exists(pid).is_ok_and(|exists| exists);
    (same && comm(pid)? == comm(i32::try_from(std::process::id()).ok()?)?).then_some(pid)
}

pub(super) fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

/// The directory this process is in, as far as it can be known: it may have been removed.
fn start_directory() -> Vec<u8> {
    let dir = std::env::current_dir().or_else(|_| fs::read_link("/proc/self/cwd"));
    match dir {
        Ok(dir) => dir.into_os_string().into_vec(),
        Err(_) => std::env::var_os("PWD").unwrap_or_default().into_vec(),
    }
}
