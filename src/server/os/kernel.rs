//! The real operating system: one poll, signals, processes, threads that write.

use std::cell::RefCell;
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::signal::Signal;

use super::child_socket::ChildSocket;
use super::client_stream::ClientStream;
use super::descendants::Descendants;
use super::files::Files;
use super::listening_socket::ListeningSocket;
use super::persist::{self, persist, report_shortage};
use super::pty_process::PtyProcess;
use super::signals::Signals;
use super::{
    Clock, Daemon, ExecFailure, PendingSignals, Poller, Process, Processes, Ready, SignalSender,
    System, Upgrade,
};
use crate::config::{Rotation, WindowSize};
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::Sink;
use crate::handover;
use crate::limits::SHORTAGE_RETRY;
use crate::server::writers::Worker;
use crate::server::writers::files::{FileKeeper, OwnedFile};
use crate::server::writers::log_file::LogWriter;
use crate::server::writers::rotate::Rotator;
use crate::server::writers::sink::SinkWriter;
use crate::server::writers::thread::{LogThread, Starter, WorkerThread};
use crate::sys::passage::Passage;
use crate::sys::process::exec::ExecImage;
use crate::sys::process::limits::ResourceLimits;
use crate::sys::process::passed_fds::PassedFds;
use crate::sys::process::program_file::ProgramFile;
use crate::sys::process::signal::SignalMaskGuard;
use crate::sys::process::spawn::PreparedCommand;
use crate::sys::process::{self, procfs};
use crate::sys::wake::Wake;
use crate::sys::{fd, memory, pty, time};
use crate::systemd;
use crate::systemd::notify::Notifier;
use crate::systemd::notify_socket::NotifySocket;

const SIGNALS: Token = Token(0);
const WAKE: Token = Token(1);
const ORPHAN: Token = Token(2);
/// The first token that is not the kernel's own.
pub(crate) const FIRST_TOKEN: usize = 3;

/// The operating system that the server runs on.
pub(crate) struct Kernel {
    poll: Poll,
    events: Events,
    wake: Arc<Wake>,
    signals: Signals,
    program: PreparedCommand,
    /// When the log is rotated.
    rotation: Option<Rotation>,
    /// The prefix of messages on stderr.
    argv0: Vec<u8>,
    /// The path of the program to execute in an upgrade.
    installed: PathBuf,
    /// The program that was checked last, until it is executed or refused.
    checked: Option<CheckedProgram>,
    /// The limits under which it was checked.
    checked_limits: ResourceLimits,
    /// With `--overlap`: each child has a NOTIFY_SOCKET.
    has_notify_socket: bool,
    descendants: Descendants,
    /// The PID files and the info file, if there are any.
    files: Option<Files>,
    /// True if something happened to a child that another server started.
    orphan_exited: bool,
    /// True before the first turn of a server that has taken another one's place: whatever the kernel
    /// is short of is waited for.
    persists: bool,
    /// Threads that could not be started yet, and when that is tried again.
    starting: RefCell<Vec<Starter>>,
    start_at: Instant,
}

/// What the event loop is woken by.
struct Wakeups {
    poll: Poll,
    wake: Arc<Wake>,
    signals: Signals,
}

impl Wakeups {
    fn open() -> io::Result<Wakeups> {
        let poll = Poll::new()?;
        let wake = Arc::new(Wake::new(poll.registry(), WAKE)?);
        let signals = Signals::new()?;
        let raw = signals.wake().as_raw_fd();
        poll.registry().register(&mut SourceFd(&raw), SIGNALS, Interest::READABLE)?;
        Ok(Wakeups { poll, wake, signals })
    }
}

/// The program that a check run tries.
enum CheckedProgram {
    /// The check run sends the file through this socket when it has opened it.
    Expected(UnixDatagram),
    Received(ProgramFile),
}

impl Kernel {
    /// Handles signals from now on. `installed` is the path of the program to execute in an upgrade.
    /// `has_notify_socket` is true if each child is to have a NOTIFY_SOCKET; `persists` is true if this
    /// server has taken another one's place.
    ///
    /// # Errors
    /// The system has no descriptor to give.
    pub(crate) fn new(
        program: PreparedCommand,
        rotation: Option<Rotation>,
        argv0: Vec<u8>,
        has_notify_socket: bool,
        descendants: Descendants,
        installed: PathBuf,
        persists: bool,
    ) -> io::Result<Kernel> {
        let wakeups =
            if persists { persist(&argv0, "poll", Wakeups::open) } else { Wakeups::open() };
        let Wakeups { poll, wake, signals } = wakeups?;
        Ok(Kernel {
            wake,
            poll,
            events: Events::with_capacity(64),
            signals,
            program,
            rotation,
            argv0,
            installed,
            checked: None,
            checked_limits: ResourceLimits::now(),
            has_notify_socket,
            descendants,
            files: None,
            orphan_exited: false,
            persists,
            starting: RefCell::new(Vec::new()),
            start_at: Instant::now(),
        })
    }

    /// Registers a listener under `token`.
    ///
    /// # Errors
    /// The system has no memory for it.
    pub(crate) fn watch_listener(
        &self,
        listener: &ListeningSocket,
        token: Token,
    ) -> io::Result<()> {
        self.register(listener, token, Interest::READABLE)
    }

    /// Starts the thread that writes the log, which it takes out of `passage`, and opens anew by its
    /// `path`.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn write_log(
        &self,
        passage: Passage,
        path: Option<PathBuf>,
    ) -> io::Result<SinkWriter<LogThread>> {
        let rotator = self.rotation.map(Rotator::new);
        let thread = self.start_thread("log", LogWriter::new(&passage, path, rotator))?;
        Ok(SinkWriter::new(Sink::Log, thread).with_passage(passage))
    }

    /// Starts the thread of the PID files and the info file, of which the server owns these, if there are
    /// any.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn keep_files(&mut self, owned: Vec<OwnedFile>) -> io::Result<()> {
        if !owned.is_empty() || self.descendants.pid_file().is_some() {
            let thread = self.start_thread("files", FileKeeper::default())?;
            self.files = Some(Files::new(thread, owned));
        }
        Ok(())
    }

    /// Starts the thread that writes standard output, `file`.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn write_stdout(&self, file: File) -> io::Result<SinkWriter<LogThread>> {
        let thread = self.start_thread("stdout", LogWriter::of_stdout(file))?;
        Ok(SinkWriter::new(Sink::Stdout, thread))
    }

    /// Starts a thread for `worker`.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn start_thread<W: Worker>(
        &self,
        name: &str,
        worker: W,
    ) -> io::Result<WorkerThread<W::Job, W::Reply>> {
        let thread = WorkerThread::new(name, worker, Arc::clone(&self.wake));
        let start = thread.starter();
        match start() {
            // Its jobs wait meanwhile, as for a thread that hangs.
            Err(error) if self.persists => {
                report_shortage(&self.argv0, "start a thread", &error);
                self.starting.borrow_mut().push(start);
                Ok(thread)
            }
            result => result.map(|()| thread),
        }
    }

    /// Starts the threads that could not be started. Returns when to try again, if any are left.
    fn start_threads(&mut self) -> Option<Duration> {
        let starting = self.starting.get_mut();
        let now = Instant::now();
        if !starting.is_empty() && now >= self.start_at {
            starting.retain(|start| start().is_err());
            self.start_at = now + SHORTAGE_RETRY;
        }
        (!starting.is_empty()).then(|| self.start_at.saturating_duration_since(now))
    }

    /// Registers a child that another server started under `token`.
    ///
    /// # Errors
    /// The system has no memory for it.
    pub(crate) fn adopt(&self, child: PtyProcess, token: Token) -> io::Result<PtyProcess> {
        self.register(&child.master, token, Interest::READABLE | Interest::WRITABLE)?;
        if let Some(notify_socket) = &child.notify_socket {
            self.register(notify_socket, token, Interest::READABLE)?;
        }
        if let Some(orphan) = &child.pidfd {
            self.register(orphan, ORPHAN, Interest::READABLE)?;
        }
        Ok(child)
    }

    /// Takes the program that was checked, if it is still the one that is installed, and the limits of
    /// this process are those of the check run: with less, the program might not start.
    fn take_checked(&mut self) -> Result<ProgramFile, ExecFailure> {
        let program = match self.checked.take() {
            Some(CheckedProgram::Expected(channel)) => ProgramFile::receive(&channel)?,
            Some(CheckedProgram::Received(program)) => program,
            None => return Err(ExecFailure::ProgramChanged),
        };
        if program.is_current(&self.installed)? && self.checked_limits == ResourceLimits::now() {
            Ok(program)
        } else {
            Err(ExecFailure::ProgramChanged)
        }
    }

    /// Executes `program`. Returns only if that fails.
    fn exec(
        &self,
        program: &ProgramFile,
        state: &[u8],
        inherited_fds: &[i32],
    ) -> io::Result<Infallible> {
        let state = fd::in_memory(state)?;
        // The exec closes it, so that the dynamic linker has one to open its files.
        let _reserved = state.try_clone()?;
        let env = std::env::vars_os().filter(|(name, _)| name != handover::VARIABLE);
        let number = state.as_raw_fd().to_string();
        let env = env.chain([(handover::VARIABLE.into(), number.into())]);
        let image = ExecImage::new(&self.installed, std::env::args_os(), env)?;
        let numbers = || inherited_fds.iter().copied().chain([state.as_raw_fd()]);
        numbers().for_each(|number| fd::set_inherited(number, true));
        let error = image.exec(program);
        numbers().for_each(|number| fd::set_inherited(number, false));
        Err(error)
    }

    fn register(&self, source: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        let raw = source.as_fd().as_raw_fd();
        let register = || self.poll.registry().register(&mut SourceFd(&raw), token, interest);
        if self.persists { persist(&self.argv0, "poll", register) } else { register() }
    }
}

impl Clock for Kernel {
    fn now(&self) -> Timestamps {
        let (seconds, nanos) = time::wall_nanos();
        Timestamps { mono: Monotonic(time::monotonic()), wall: UnixTime { seconds, nanos } }
    }

    fn unix_millis(&self) -> i64 {
        time::wall_millis()
    }
}

impl Poller for Kernel {
    type Connection = ClientStream;
    type Socket = ListeningSocket;

    fn wait(
        &mut self,
        limit: Option<Duration>,
        tell: &mut dyn FnMut(Token, Ready),
    ) -> io::Result<()> {
        if std::mem::take(&mut self.persists) {
            memory::end_waiting();
        }
        let limit = [limit, self.start_threads()].into_iter().flatten().min();
        match self.poll.poll(&mut self.events, limit) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            match event.token() {
                SIGNALS => self.signals.drain(),
                // Each turn looks at what the threads have done.
                WAKE => {}
                ORPHAN => self.orphan_exited = true,
                token => tell(
                    token,
                    Ready {
                        readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                        writable: event.is_writable()
                            || event.is_write_closed()
                            || event.is_error(),
                    },
                ),
            }
        }
        Ok(())
    }

    fn signals(&mut self) -> PendingSignals {
        let mut pending = self.signals.take();
        pending.child |= std::mem::take(&mut self.orphan_exited);
        pending
    }

    fn signal_sender(&self, signal: i32) -> Option<SignalSender> {
        let (pid, uid) = self.signals.sender(signal)?;
        Some(SignalSender { pid, uid })
    }

    fn watch(&mut self, connection: &ClientStream, token: Token) -> io::Result<bool> {
        match self.register(connection, token, Interest::READABLE | Interest::WRITABLE) {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl Processes for Kernel {
    type Process = PtyProcess;

    fn spawn(
        &mut self,
        token: Token,
        beside: bool,
        sockets: &[ChildSocket],
        window: Option<WindowSize>,
    ) -> io::Result<PtyProcess> {
        if let (Some(path), Some(files)) = (self.descendants.pid_file(), &mut self.files) {
            files.remove_pid_file(path);
        }
        let (master, slave) = pty::open()?;
        if let Some(WindowSize { columns, rows }) = window {
            // A child with another window is better than none.
            let _ = pty::set_window(&master, columns, rows);
        }
        self.register(&master, token, Interest::READABLE | Interest::WRITABLE)?;
        let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let (notify_socket, address) =
            if self.has_notify_socket { open_notify_socket()? } else { (None, Vec::new()) };
        if let Some(notify_socket) = &notify_socket {
            // This comes before the fork: after it, nothing may fail any more.
            self.register(notify_socket, token, Interest::READABLE)?;
        }
        let pid = self.program.spawn(&slave, PassedFds::new(&sockets), &address)?;
        // Later, the child may wait in the kernel for a file system that hangs, and whoever reads this then
        // waits with it.
        let start_ticks = procfs::start_ticks(pid);
        self.descendants.begin(start_ticks, beside);
        let master = File::from(master);
        Ok(PtyProcess { pid, start_ticks, master, notify_socket, pidfd: None })
    }

    fn reap_orphans(&mut self, own: [Option<i32>; 3]) {
        process::reap_others(own);
    }

    fn find_daemon(
        &mut self,
        excluded_ancestor: Option<i32>,
        inherited_since: Option<u64>,
    ) -> Result<Daemon, String> {
        let read = |path| match &mut self.files {
            Some(files) => files.read_pid_file(path),
            None => Err("can't be read".to_owned()),
        };
        let daemon = self.descendants.find_daemon(excluded_ancestor, inherited_since, read)?;
        if !daemon.is_child {
            let registered = self.register(&daemon.process, ORPHAN, Interest::READABLE);
            registered.map_err(|error| crate::sys::reason(&error))?;
        }
        Ok(daemon)
    }

    fn signal_orphans(&mut self, signal: i32, own: [Option<i32>; 3]) -> usize {
        self.descendants.signal(signal, own)
    }

    fn descendants_since(&self) -> Option<u64> {
        self.descendants.since_ticks
    }
}

impl Upgrade for Kernel {
    fn spawn_check(&mut self, state: &[u8], token: Token) -> io::Result<PtyProcess> {
        let state = fd::in_memory(state)?;
        self.checked_limits = ResourceLimits::now();
        let check = format!("{}{}", handover::CHECK, state.as_raw_fd());
        let argv = [self.installed.clone().into_os_string(), check.into()];
        let env = std::env::vars_os()
            .filter(|(name, _)| name != handover::VARIABLE && !systemd::is_for_server(name, true));
        let check = ExecImage::new(&self.installed, argv, env)?.spawn(state.as_fd())?;
        self.checked = Some(CheckedProgram::Expected(check.program));
        let master = File::from(OwnedFd::from(check.answer));
        let program = PtyProcess {
            pid: check.pid,
            start_ticks: None,
            master,
            notify_socket: None,
            pidfd: None,
        };
        let watched = self.register(&program.master, token, Interest::READABLE);
        match watched {
            Ok(()) => Ok(program),
            Err(error) => {
                program.signal(Signal::SIGKILL as i32);
                Err(error)
            }
        }
    }

    fn discard_check(&mut self) {
        self.checked = None;
    }

    fn exec_successor(&mut self, state: &[u8], inherited_fds: &[i32], again: bool) -> ExecFailure {
        let program = match self.take_checked() {
            Ok(program) => program,
            Err(failure) => return failure,
        };
        // From here on signals stay pending, for this program or for its successor.
        let _blocked = match SignalMaskGuard::all() {
            Ok(blocked) if !self.signals.any() => blocked,
            Ok(_) => {
                self.checked = Some(CheckedProgram::Received(program));
                return ExecFailure::SignalsPending;
            }
            Err(error) => return error.into(),
        };
        if again {
            let _ = nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGUSR1);
        }
        let Err(error) = self.exec(&program, state, inherited_fds);
        error.into()
    }
}

impl System for Kernel {
    type Notifier = Notifier;
    type Handle<Job, Reply> = WorkerThread<Job, Reply>;

    fn start_log(&mut self, path: &Path) -> io::Result<SinkWriter<LogThread>> {
        self.write_log(Passage::open()?, Some(path.to_owned()))
    }

    fn files_rest(&mut self) -> bool {
        self.files.as_mut().is_none_or(Files::rest)
    }

    fn remove_files(&mut self) -> Vec<String> {
        self.files.as_mut().map(Files::remove_owned).unwrap_or_default()
    }

    fn log_stderr(&mut self, text: &[u8]) {
        persist::log_stderr(&self.argv0, text);
    }
}

/// Opens the socket where a child can report that it is ready. Returns it with the variable that
/// tells the child.
fn open_notify_socket() -> io::Result<(Option<NotifySocket>, Vec<CString>)> {
    match NotifySocket::open() {
        Ok((notify_socket, address)) => {
            let variable = [b"NOTIFY_SOCKET=", address.as_bytes()].concat();
            Ok((Some(notify_socket), vec![CString::new(variable)?]))
        }
        // Without the socket, the child cannot report that.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok((None, Vec::new())),
        Err(error) => Err(error),
    }
}
