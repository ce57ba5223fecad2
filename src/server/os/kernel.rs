//! The real operating system: one poll, signals, processes, threads that write.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::libc::PIPE_BUF;
use nix::sys::signal::Signal;

use super::client_stream::ClientStream;
use super::descendants::{Daemon, Descendants};
use super::fdstore::{self, FdStore};
use super::listening_socket::ListeningSocket;
use super::pty_process::PtyProcess;
use super::signals::Signals;
use super::{PendingSignals, Process, Ready, System};
use crate::config::Rotation;
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::ClientId;
use crate::handover;
use crate::handover::state::{ChildSocketState, Descriptor, State};
use crate::limits::FDSTORE_RETRY;
use crate::server::records::SignalSender;
use crate::server::startup::child_sockets::{ChildSocket, fdstore_name};
use crate::server::writers::log_file::LogWriter;
use crate::server::writers::rotate::Rotator;
use crate::server::writers::thread::{self, Worker, WorkerThread};
use crate::sys::exec::{self, ExecImage};
use crate::sys::passed_fds::PassedFds;
use crate::sys::process;
use crate::sys::signal::SignalMaskGuard;
use crate::sys::spawn::PreparedCommand;
use crate::sys::{fd, file, pidfd, pty, time};
use crate::systemd;
use crate::systemd::notify::Notifier;
use crate::systemd::notify_socket::NotifySocket;

const SIGNALS: Token = Token(0);
const WAKER: Token = Token(1);
const ORPHAN: Token = Token(2);
/// The first token that is not the kernel's own.
pub(crate) const FIRST_TOKEN: usize = 3;

/// What the server runs on.
pub(crate) struct Kernel {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    signals: Signals,
    program: PreparedCommand,
    /// The name to open the log by, if it is a file.
    log_path: Option<PathBuf>,
    /// When another log is begun.
    pub(crate) rotation: Option<Rotation>,
    /// For messages on stderr.
    argv0: Vec<u8>,
    /// What to become.
    installed: PathBuf,
    /// The way to the service manager, if it is to be told anything.
    pub(crate) notifier: Option<Notifier>,
    /// With `--fdstore`: what outlives a crash.
    pub(crate) fdstore: Option<FdStore>,
    /// With `--overlap`: each child has a NOTIFY_SOCKET.
    pub(crate) has_notify_socket: bool,
    /// What every child is given.
    pub(crate) child_sockets: Vec<ChildSocket>,
    /// The child's descendants.
    pub(crate) descendants: Descendants,
    /// Something happened to a child that another server started.
    orphan_exited: bool,
}

impl Kernel {
    /// Handles signals from now on.
    pub(crate) fn new(
        program: PreparedCommand,
        log_path: Option<PathBuf>,
        argv0: Vec<u8>,
    ) -> io::Result<Kernel> {
        let installed = exec::program_path();
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let signals = Signals::new()?;
        let events = Events::with_capacity(64);
        let kernel = Kernel {
            poll,
            events,
            waker,
            signals,
            program,
            log_path,
            rotation: None,
            argv0,
            installed,
            notifier: None,
            fdstore: None,
            has_notify_socket: false,
            child_sockets: Vec::new(),
            descendants: Descendants::default(),
            orphan_exited: false,
        };
        kernel.register(kernel.signals.wake(), SIGNALS, Interest::READABLE)?;
        Ok(kernel)
    }

    /// Has a listener's readiness told under `token`.
    pub(crate) fn watch_listener(
        &self,
        listener: &ListeningSocket,
        token: Token,
    ) -> io::Result<()> {
        self.register(listener, token, Interest::READABLE)
    }

    /// Starts a thread that writes the log, `file`.
    pub(crate) fn write_log(&self, file: File) -> io::Result<WorkerThread> {
        let rotator = self.rotation.map(Rotator::new);
        self.start_thread("log", LogWriter::new(file, self.log_path.clone(), rotator))
    }

    /// Starts a thread that writes standard output, `file`.
    pub(crate) fn write_stdout(&self, file: File) -> io::Result<WorkerThread> {
        self.start_thread("stdout", LogWriter::new(file, None, None))
    }

    /// Starts a thread for `worker`.
    pub(crate) fn start_thread(&self, name: &str, worker: impl Worker) -> io::Result<WorkerThread> {
        thread::start(name, worker, Arc::clone(&self.waker))
    }

    /// Takes over a child that another server started.
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

    /// Offers the manager what it had no room for. How long to wait at most before the next try.
    fn fill_fdstore(&mut self) -> Option<Duration> {
        let (fdstore, notifier) = (self.fdstore.as_mut()?, self.notifier.as_ref()?);
        (!fdstore.flush(notifier)).then_some(FDSTORE_RETRY)
    }

    /// `<argv0>: <text>` on stderr, unless that would have to be waited for.
    fn write_stderr(&self, text: &[u8]) {
        let line = [&self.argv0, b": ".as_slice(), text].concat();
        // A pipe that takes anything takes so much.
        let line = line.get(..PIPE_BUF - 1).unwrap_or(&line);
        if fd::has_room(io::stderr()) {
            let _ = io::stderr().write_all(&[line, b"\n"].concat());
        }
    }

    fn register(&self, source: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        let raw = source.as_fd().as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&raw), token, interest)
    }
}

impl System for Kernel {
    type Connection = ClientStream;
    type Socket = ListeningSocket;
    type Process = PtyProcess;
    type Link = WorkerThread;

    fn now(&self) -> Timestamps {
        Timestamps { mono: Monotonic(time::monotonic()), wall: UnixTime(time::wall()) }
    }

    fn millis(&self) -> i64 {
        time::wall_millis()
    }

    fn wait(
        &mut self,
        limit: Option<Duration>,
        tell: &mut dyn FnMut(Token, Ready),
    ) -> io::Result<()> {
        let limit = self.fill_fdstore().into_iter().chain(limit).min();
        match self.poll.poll(&mut self.events, limit) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            match event.token() {
                SIGNALS => self.signals.drain(),
                // What the thread has done is looked at in every turn.
                WAKER => {}
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

    fn spawn(&mut self, token: Token, beside: bool) -> io::Result<PtyProcess> {
        self.descendants.prepare();
        let (master, slave) = pty::open()?;
        self.register(&master, token, Interest::READABLE | Interest::WRITABLE)?;
        let sockets: Vec<_> = self.child_sockets.iter().map(AsFd::as_fd).collect();
        let (notify_socket, address) =
            if self.has_notify_socket { open_notify_socket()? } else { (None, Vec::new()) };
        if let Some(notify_socket) = &notify_socket {
            // Whatever comes, the child is looked after.
            self.register(notify_socket, token, Interest::READABLE)?;
        }
        let pid = self.program.spawn(&slave, PassedFds::new(&sockets), &address)?;
        self.descendants.begin(pid, beside);
        let child = PtyProcess { pid, master: File::from(master), notify_socket, pidfd: None };
        self.keep_child(&child);
        Ok(child)
    }

    fn reap_orphans(&mut self, ours: [Option<i32>; 3]) {
        process::reap_others(ours);
    }

    fn find_daemon(&mut self, stranger: Option<i32>) -> Result<Daemon, String> {
        let daemon = self.descendants.find_daemon(stranger)?;
        if !daemon.is_child {
            let registered = self.register(&daemon.process, ORPHAN, Interest::READABLE);
            registered.map_err(|error| crate::sys::reason(&error))?;
        }
        Ok(daemon)
    }

    fn signal_orphans(&mut self, signal: i32, ours: [Option<i32>; 3]) -> usize {
        self.descendants.signal(signal, ours)
    }

    fn descendants_since(&self) -> Option<u64> {
        self.descendants.since_ticks
    }

    fn open_log(&mut self) -> io::Result<WorkerThread> {
        match &self.log_path {
            Some(path) => self.write_log(file::open_append(path)?),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn notify(&mut self, message: &[u8]) -> io::Result<()> {
        self.notifier.as_ref().map_or(Ok(()), |notifier| notifier.send(message, &[]))
    }

    fn log_open_failed(&mut self) {
        if let Some(path) = &self.log_path {
            self.write_stderr(&[b"unable to open log file ", path.as_os_str().as_bytes()].concat());
        }
    }

    fn spawn_check(&mut self, state: &[u8], token: Token) -> io::Result<PtyProcess> {
        let state = fd::in_memory(state)?;
        let check = format!("{}{}", handover::CHECK, state.as_raw_fd());
        let argv = [self.installed.clone().into_os_string(), check.into()];
        let env = std::env::vars_os().filter(|(name, _)| !systemd::is_for_server(name, true));
        let (pid, answer) = ExecImage::new(&self.installed, argv, env)?.spawn(state.as_fd())?;
        let master = File::from(OwnedFd::from(answer));
        let program = PtyProcess { pid, master, notify_socket: None, pidfd: None };
        let watched = self.register(&program.master, token, Interest::READABLE);
        match watched {
            Ok(()) => Ok(program),
            Err(error) => {
                program.signal(nix::libc::SIGKILL);
                Err(error)
            }
        }
    }

    fn exec_successor(&mut self, state: &[u8], lasting: &[i32], again: bool) -> io::Error {
        // What the manager is yet to get would be lost.
        if self.fill_fdstore().is_some() {
            return io::ErrorKind::Interrupted.into();
        }
        // From here on they stay pending, for whoever is in this process then.
        let _blocked = match SignalMaskGuard::all() {
            Ok(blocked) if !self.signals.any() => blocked,
            Ok(_) => return io::ErrorKind::Interrupted.into(),
            Err(error) => return error,
        };
        if again {
            let _ = nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGUSR1);
        }
        let image = fd::in_memory(state).and_then(|state| {
            let env = std::env::vars_os().filter(|(name, _)| name != handover::VARIABLE);
            let number = state.as_raw_fd().to_string();
            let env = env.chain([(handover::VARIABLE.into(), number.into())]);
            Ok((ExecImage::new(&self.installed, std::env::args_os(), env)?, state))
        });
        let (image, state) = match image {
            Ok(image) => image,
            Err(error) => return error,
        };
        let numbers = || lasting.iter().copied().chain([state.as_raw_fd()]);
        numbers().for_each(|number| fd::set_cloexec_keep(number, true));
        let error = image.exec();
        numbers().for_each(|number| fd::set_cloexec_keep(number, false));
        error
    }

    fn child_sockets(&self) -> io::Result<Vec<ChildSocketState>> {
        self.child_sockets.iter().map(ChildSocket::state).collect()
    }

    fn store(&self) -> Option<&File> {
        self.fdstore.as_ref().map(FdStore::memory)
    }

    fn save(&mut self, state: &State) -> io::Result<()> {
        self.fdstore.as_mut().map_or(Ok(()), |fdstore| fdstore.save(state))
    }

    fn keep(&mut self, id: ClientId, connection: &ClientStream) {
        if let Some(fdstore) = &mut self.fdstore {
            fdstore.store(&fdstore::client(id), connection, true);
        }
    }

    fn forget(&mut self, id: ClientId) {
        if let Some(fdstore) = &mut self.fdstore {
            fdstore.remove(&fdstore::client(id));
        }
    }

    fn keep_child(&mut self, child: &PtyProcess) {
        let Some(fdstore) = &mut self.fdstore else {
            return;
        };
        fdstore.store(&fdstore::pty(child.pid), &child.master, false);
        if let Some(notify_socket) = &child.notify_socket {
            fdstore.store(&fdstore::notify_socket(child.pid), notify_socket, false);
        }
        if let Ok(process) = pidfd::open(child.pid) {
            fdstore.store(&fdstore::child(child.pid), &process, false);
        }
        // Killed before that, the server would leave a child that nobody knows.
        self.fill_fdstore();
    }

    fn forget_child(&mut self, pid: i32) {
        if let Some(fdstore) = &mut self.fdstore {
            [fdstore::pty(pid), fdstore::child(pid)].iter().for_each(|what| fdstore.remove(what));
            if self.has_notify_socket {
                fdstore.remove(&fdstore::notify_socket(pid));
            }
        }
    }

    fn empty_store(
        &mut self,
        connections: &[ClientId],
        listeners: &[Descriptor],
        children: &[i32],
    ) {
        // First of all the state: without it, the rest is only closed.
        if let Some(fdstore) = &mut self.fdstore {
            fdstore.clear();
            connections.iter().for_each(|&id| fdstore.remove(&fdstore::client(id)));
            listeners.iter().for_each(|&socket| fdstore.remove(&fdstore::listener(socket)));
            (0..self.child_sockets.len()).for_each(|index| fdstore.remove(&fdstore_name(index)));
        }
        children.iter().for_each(|&pid| self.forget_child(pid));
        self.fill_fdstore();
    }

    fn log_stderr(&mut self, text: &str) {
        self.write_stderr(text.as_bytes());
    }
}

/// Where a child can say that it is ready, and the variable that tells it.
fn open_notify_socket() -> io::Result<(Option<NotifySocket>, Vec<CString>)> {
    match NotifySocket::open() {
        Ok((notify_socket, address)) => {
            let variable = [b"NOTIFY_SOCKET=", address.as_bytes()].concat();
            Ok((Some(notify_socket), vec![CString::new(variable)?]))
        }
        // Then it can't.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok((None, Vec::new())),
        Err(error) => Err(error),
    }
}
