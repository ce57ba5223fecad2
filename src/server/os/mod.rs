//! All that the server asks of the operating system while it runs. Every call here may fail,
//! do less than asked, or come late; the server has to live with each outcome, and the simulation
//! has an operating system of its own to see that it does. [`Kernel`](self::kernel::Kernel) is the
//! real one.

pub(crate) mod child_socket;
pub(crate) mod client_stream;
pub(crate) mod descendants;
pub(crate) mod fdstore;
pub(crate) mod files;
pub(crate) mod journal;
pub(crate) mod kernel;
pub(crate) mod listening_socket;
pub(crate) mod persist;
pub(crate) mod pty_process;
pub(crate) mod signals;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use mio::Token;
use serde::Serialize;

use self::child_socket::ChildSocket;
use super::writers::sink::SinkWriter;
use super::writers::{LogJob, LogReply, WorkerHandle};
use crate::config::WindowSize;
use crate::console::clock::Timestamps;
use crate::handover::state::ConnectionKind;
use crate::sys::file::FileId;
use crate::sys::process::{ExitStatus, user};
use crate::systemd::notify::Notifier;

/// What the kernel says of a descriptor. An end or an error is readiness: the next call tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    /// True if a read may give something.
    pub(crate) readable: bool,
    /// True if a write may take something.
    pub(crate) writable: bool,
}

/// The signals that have come since they were last asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PendingSignals {
    /// SIGTERM.
    pub(crate) terminate: bool,
    /// SIGHUP.
    pub(crate) reopen: bool,
    /// SIGCHLD.
    pub(crate) child: bool,
    /// SIGUSR1.
    pub(crate) upgrade: bool,
    /// SIGUSR2.
    pub(crate) overlap: bool,
    /// SIGWINCH.
    pub(crate) window: bool,
}

/// The peer at the other end of a connection. The records have the fields as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum PeerIdentity {
    /// The peer of a TCP connection.
    Address { address: SocketAddr },
    /// This process, at the time when it connected: `SO_PEERCRED` of unix(7), Linux only.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    Process { uid: u32, gid: u32, pid: i32 },
    /// The system does not tell.
    Unknown,
}

impl PeerIdentity {
    /// The peer in words for people. One that the system does not tell is called after its endpoint.
    pub(crate) fn describe(&self, endpoint: &str) -> String {
        match self {
            PeerIdentity::Address { address } => address.to_string(),
            PeerIdentity::Process { uid, .. } => match user::local_name(*uid) {
                Some(name) => format!("{name} (uid {uid})"),
                None => format!("uid {uid}"),
            },
            PeerIdentity::Unknown => endpoint.to_owned(),
        }
    }
}

/// The process that sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct SignalSender {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

/// The process that the child has become.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) pid: i32,
    /// The start time in USER_HZ ticks since boot, if the system tells.
    pub(crate) start_ticks: Option<u64>,
    /// The process by descriptor.
    pub(crate) process: OwnedFd,
    /// True if the process is a child of this one.
    pub(crate) is_child: bool,
}

/// Something to read from and write to without blocking.
pub(crate) trait NonblockingIo {
    /// read(2). 0 is the end.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// writev(2) of both slices.
    fn write(&self, slices: (&[u8], &[u8])) -> io::Result<usize>;
}

/// A client's connection. Dropped, it is closed so that the other side sees an orderly end.
pub(crate) trait Connection: NonblockingIo + AsFd {
    /// The peer at its other end.
    fn peer_identity(&self) -> PeerIdentity;
    /// What another program has to know of it.
    fn kind(&self) -> ConnectionKind;
    /// After the end of file: `None` while the other side may still read, else why it does not, an error
    /// if the connection has failed.
    fn hang_up(&self) -> Option<io::Result<()>>;
    /// Has the system find out soon if the other side, which has ended its input, closes the connection.
    fn expect_hang_up(&self);
    /// The size of its window, if it is a terminal.
    fn window(&self) -> Option<WindowSize>;
    /// At most how many of the bytes that were written the peer has not read.
    fn unread(&self) -> usize;
}

/// A listening socket. Dropped, it is closed, and its file removed.
pub(crate) trait Socket: AsFd {
    /// What it accepts.
    type Connection;
    /// Returns true if so few descriptors are left that the rest of the server may need them.
    fn is_near_fd_limit(&self) -> bool;
    /// accept(2): a connection, ready for use, and the address of a TCP client.
    fn accept(&self) -> io::Result<(Self::Connection, Option<IpAddr>)>;
    /// The socket file that is removed with it.
    fn file(&self) -> Option<FileId>;
}

/// A child and the master of its PTY, which is its descriptor. The child is not reaped before
/// [`reap`](Self::reap), so its PID and its process group cannot be anybody else's.
pub(crate) trait Process: NonblockingIo + AsFd {
    /// The PID of the child, which is its process group too.
    fn pid(&self) -> i32;
    /// How the child ended, if it has. It is not reaped by that.
    fn poll_exit(&self) -> Option<ExitStatus>;
    /// Sends a signal to the child's process group.
    fn signal(&self, signal: i32);
    /// Gives the window of the child's terminal a size.
    fn set_window(&self, size: WindowSize);
    /// Reaps the child, which has ended, and lets the daemon take its place.
    fn become_daemon(&mut self, daemon: Daemon);
    /// Returns true if the PTY does not show what is typed, and collects it into lines: ECHO off and
    /// ICANON on, as getpass(3) sets them.
    fn hides_input(&self) -> bool;
    /// Closes the PTY, and reaps the child if it has ended.
    fn reap(self);
    /// Reads the next message that the child sends to its service manager, which this server is to
    /// it: `Some(true)` if the message says that the child is ready, `None` if there is none.
    fn read_notification(&self) -> Option<bool>;
    /// The socket that those messages come from, for the server's successor.
    fn notify_socket(&self) -> Option<BorrowedFd<'_>>;
    /// The start time of the child in USER_HZ ticks since boot (field 22 of proc_pid_stat(5)), if the
    /// system tells.
    fn start_ticks(&self) -> Option<u64>;
    /// The process by descriptor, if it is no child of this process.
    fn pidfd(&self) -> Option<&OwnedFd>;
    /// Opens a descriptor of the process, for the service manager to keep.
    fn open_pidfd(&self) -> io::Result<OwnedFd>;
}

/// The way to the service manager (sd_notify(3)).
pub(crate) trait Notify {
    /// Sends one message, with descriptors for the service manager to keep. Never waits.
    ///
    /// # Errors
    /// The service manager has no room for the message now (`WouldBlock`), or does not listen.
    fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()>;
}

impl Notify for Notifier {
    fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        Notifier::send(self, message, fds)
    }
}

/// The clocks.
pub(crate) trait Clock {
    /// The time of one turn of the loop.
    fn now(&self) -> Timestamps;
    /// The time of day in milliseconds since the epoch.
    fn unix_millis(&self) -> i64;
}

/// The poll that the loop waits in, and what it tells of.
pub(crate) trait Poller {
    type Connection: Connection;
    type Socket: Socket<Connection = Self::Connection>;

    /// Waits until something is ready, but not longer than `limit`, and calls `tell` with each token
    /// that is.
    fn wait(
        &mut self,
        limit: Option<Duration>,
        tell: &mut dyn FnMut(Token, Ready),
    ) -> io::Result<()>;
    /// Registers a connection under `token`. Returns true if the connection cannot be polled, as a
    /// regular file cannot: it is always ready.
    fn watch(&mut self, connection: &Self::Connection, token: Token) -> io::Result<bool>;
    /// The signals since the last call.
    fn signals(&mut self) -> PendingSignals;
    /// The process that sent the last signal of this kind, as far as the system tells.
    fn signal_sender(&self, signal: i32) -> Option<SignalSender>;
}

/// The child, its descendants and what they leave behind.
pub(crate) trait Processes {
    type Process: Process;

    /// Starts the child on a new PTY, registered under `token`, and passes it `sockets`. `beside` is
    /// true if another child runs. The window of the PTY has the size `window`, or that of the kernel.
    fn spawn(
        &mut self,
        token: Token,
        beside: bool,
        sockets: &[ChildSocket],
        window: Option<WindowSize>,
    ) -> io::Result<Self::Process>;
    /// Reaps ended children that are not among `own`: orphans whose parent this process has become,
    /// as PID 1 or as a subreaper.
    fn reap_orphans(&mut self, own: [Option<i32>; 3]);
    /// The process that the child has become, which does not descend from `excluded_ancestor`; or the
    /// reason why there is none.
    fn find_daemon(&mut self, excluded_ancestor: Option<i32>) -> Result<Daemon, String>;
    /// Sends a signal to the processes that the child left behind, except those in `own`. Returns how
    /// many there are.
    fn signal_orphans(&mut self, signal: i32, own: [Option<i32>; 3]) -> usize;
    /// The start time of the oldest child whose descendants are looked for, in USER_HZ ticks since
    /// boot.
    fn descendants_since(&self) -> Option<u64>;
}

/// The reason for which a program that was checked is not executed.
#[derive(Debug)]
pub(crate) enum ExecFailure {
    /// Signals have to be handled first.
    SignalsPending,
    /// The program that is installed now is not the one that was checked.
    ProgramChanged,
    /// The system refuses something.
    Refused(io::Error),
}

impl From<io::Error> for ExecFailure {
    fn from(error: io::Error) -> ExecFailure {
        ExecFailure::Refused(error)
    }
}

/// Upgrade in place.
pub(crate) trait Upgrade: Processes {
    /// Runs the program that is installed now, to check that it can go on from this state. Its answer
    /// is read under `token`.
    fn spawn_check(&mut self, state: &[u8], token: Token) -> io::Result<Self::Process>;
    /// Forgets the program that was checked: it will not be executed.
    fn discard_check(&mut self);
    /// Executes the program that was checked in this process. It gets the state, the descriptors with
    /// these numbers and, if `again` is true, SIGUSR1 right away. Returns only if the program was not
    /// executed.
    fn exec_successor(&mut self, state: &[u8], inherited_fds: &[i32], again: bool) -> ExecFailure;
}

/// The operating system.
pub(crate) trait System: Clock + Poller + Upgrade {
    type Notifier: Notify;
    /// The handle of a thread that writes.
    type Handle<Job, Reply>: WorkerHandle<Job, Reply>;

    /// Starts the thread of the log, which is to open `path`.
    fn start_log(&mut self, path: &Path) -> io::Result<SinkWriter<Self::Handle<LogJob, LogReply>>>;
    /// Returns true if the thread of the PID files and the info file has no job.
    fn files_rest(&mut self) -> bool;
    /// At the end: removes PID file and info file. Returns what there is to say of files that may be left.
    fn remove_files(&mut self) -> Vec<String>;
    /// Writes `<argv0>: <text>` to stderr, unless that would have to be waited for.
    fn log_stderr(&mut self, text: &[u8]);
}
