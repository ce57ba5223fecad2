//! The real operating system: one poll, signals, processes, threads that write.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::bind::Bound;
use super::signals::Signals;
use super::stream::Terminus;
use super::system::{Pending, Process, Readiness, Stream, System};
use super::thread::{self, Thread};
use crate::core::clock::{Moment, Now, UnixTime};
use crate::sys::process::{self, End};
use crate::sys::spawn::Program;
use crate::sys::{fd, pty, time};
use crate::systemd::notify::Notifier;

const SIGNALS: Token = Token(0);
const WAKER: Token = Token(1);
/// The first token that is not the kernel's own.
pub(super) const FIRST_TOKEN: usize = 2;

/// What the server runs on.
pub(super) struct Kernel {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    signals: Signals,
    program: Program,
    /// The name to open the log by, if it is a file.
    log_path: Option<PathBuf>,
    /// For the message of a log that can't be opened.
    argv0: Vec<u8>,
    /// The way to the service manager, if it is to be told anything.
    pub(super) notifier: Option<Notifier>,
}

impl Kernel {
    /// Handles signals from now on.
    pub(super) fn new(
        program: Program,
        log_path: Option<PathBuf>,
        argv0: Vec<u8>,
    ) -> io::Result<Kernel> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let signals = Signals::new()?;
        let events = Events::with_capacity(64);
        let kernel =
            Kernel { poll, events, waker, signals, program, log_path, argv0, notifier: None };
        kernel.register(kernel.signals.wake(), SIGNALS, Interest::READABLE)?;
        Ok(kernel)
    }

    /// Has a listener's readiness told under `token`.
    pub(super) fn watch_listener(&self, listener: &Bound, token: Token) -> io::Result<()> {
        self.register(listener, token, Interest::READABLE)
    }

    /// Starts a thread that writes `file`, and opens it anew by the log's name.
    pub(super) fn write_behind(&self, file: File) -> io::Result<Thread> {
        thread::start(file, self.log_path.clone(), Arc::clone(&self.waker))
    }

    fn register(&self, source: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        let raw = source.as_fd().as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&raw), token, interest)
    }
}

impl System for Kernel {
    type Connection = Terminus;
    type Socket = Bound;
    type Process = PtyProcess;
    type Link = Thread;

    fn now(&self) -> Now {
        Now { mono: Moment(time::monotonic()), wall: UnixTime(time::wall()) }
    }

    fn wait(
        &mut self,
        limit: Option<Duration>,
        tell: &mut dyn FnMut(Token, Readiness),
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, limit) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            match event.token() {
                SIGNALS => self.signals.drain(),
                // What the thread has done is looked at in every turn.
                WAKER => {}
                token => tell(
                    token,
                    Readiness {
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

    fn signals(&mut self) -> Pending {
        self.signals.take()
    }

    fn watch(&mut self, connection: &Terminus, token: Token) -> io::Result<bool> {
        match self.register(connection, token, Interest::READABLE | Interest::WRITABLE) {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn spawn(&mut self, token: Token) -> io::Result<PtyProcess> {
        let (master, slave) = pty::open()?;
        self.register(&master, token, Interest::READABLE | Interest::WRITABLE)?;
        let pid = self.program.spawn(&slave)?;
        Ok(PtyProcess { pid, master: File::from(master) })
    }

    fn reap_orphans(&mut self, ours: Option<i32>) {
        process::reap_others(ours);
    }

    fn open_log(&mut self) -> io::Result<Thread> {
        match &self.log_path {
            Some(path) => self.write_behind(thread::open(path)?),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn notify(&mut self, message: &[u8]) -> io::Result<()> {
        self.notifier.as_ref().map_or(Ok(()), |notifier| notifier.send(message, &[]))
    }

    fn complain_of_log(&mut self) {
        if let Some(path) = &self.log_path {
            super::startup::complain(&self.argv0, b"unable to open log file", path);
        }
    }
}

/// A child with the master of its PTY.
#[derive(Debug)]
pub(super) struct PtyProcess {
    pid: i32,
    master: File,
}

impl Stream for PtyProcess {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.master).read(buffer)
    }

    fn write(&self, slices: (&[u8], &[u8])) -> io::Result<usize> {
        fd::write_two(&self.master, slices)
    }
}

impl Process for PtyProcess {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn peek(&self) -> Option<End> {
        process::peek(self.pid)
    }

    fn signal(&self, signal: i32) {
        process::signal_group(self.pid, signal);
    }

    fn bury(self) {
        drop(self.master);
        process::reap(self.pid);
    }
}
