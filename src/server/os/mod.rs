//! All that the server asks of the operating system while it runs. Every call here may fail,
//! do less than asked, or come late; the server has to live with each outcome, and the simulation
//! has an operating system of its own to see that it does. [`Kernel`](super::os::kernel::Kernel) is
//! the real one.

pub(crate) mod child_socket;
pub(crate) mod client_stream;
pub(crate) mod descendants;
pub(crate) mod fdstore;
pub(crate) mod kernel;
pub(crate) mod listening_socket;
pub(crate) mod pty_process;
pub(crate) mod signals;

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::Token;
use serde::Serialize;

use super::writers::{LogJob, LogReply, WorkerHandle};
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, ClientKind};
use crate::handover::state::{ChildSocketState, ConnectionKind, Descriptor, State};
use crate::sys::file::FileId;
use crate::sys::process::ExitStatus;

/// What the kernel said of a descriptor. An end or an error is readiness: the next call tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ready {
    /// A read may give something.
    pub(super) readable: bool,
    /// A write may take something.
    pub(super) writable: bool,
}

/// Signals that have come since they were last asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PendingSignals {
    /// SIGTERM.
    pub(super) terminate: bool,
    /// SIGHUP.
    pub(super) reopen: bool,
    /// SIGCHLD.
    pub(super) child: bool,
    /// SIGUSR1.
    pub(super) upgrade: bool,
    /// SIGUSR2.
    pub(super) overlap: bool,
}

/// Who is at the other end of a connection. The records have the fields as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum PeerIdentity {
    /// This address.
    Address { address: SocketAddr },
    /// This process, at the time when it connected: `SO_PEERCRED` of unix(7), Linux only.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    Process { uid: u32, gid: u32, pid: i32 },
    /// The system doesn't tell.
    Unknown,
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
    /// It by descriptor.
    pub(crate) process: OwnedFd,
    /// Whether it is a child of this process.
    pub(crate) is_child: bool,
}

/// Something that another program in this process can take over.
pub(super) trait Inheritable {
    /// What it will know it by.
    fn descriptor(&self) -> io::Result<Descriptor>;
}

/// Something to read from and write to without blocking.
pub(super) trait NonblockingIo: Inheritable {
    /// read(2). 0 is the end.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// writev(2) of both slices.
    fn write(&self, slices: (&[u8], &[u8])) -> io::Result<usize>;
}

/// A client's connection. Dropped, it is closed so that the other side sees an orderly end.
pub(super) trait Connection: NonblockingIo {
    /// How the core sees it.
    fn client_kind(&self) -> ClientKind;
    /// Who is at its other end.
    fn peer_identity(&self) -> PeerIdentity;
    /// What another program has to know of it.
    fn kind(&self) -> ConnectionKind;
}

/// A listening socket. Dropped, it is closed, and its file removed.
pub(super) trait Socket: Inheritable {
    /// What it accepts.
    type Connection;
    /// Whether so few descriptors are left that the rest of the server may need them.
    fn is_near_fd_limit(&self) -> bool;
    /// accept(2): a connection, ready for use, and the address of a TCP client.
    fn accept(&self) -> io::Result<(Self::Connection, Option<IpAddr>)>;
    /// The socket file that is removed with it.
    fn file(&self) -> Option<FileId>;
}

/// A child and the master of its PTY. Not reaped before it is buried, so its PID and process
/// group can't be anybody else's.
pub(super) trait Process: NonblockingIo {
    /// Its PID and process group.
    fn pid(&self) -> i32;
    /// Whether it has ended, and how.
    fn poll_exit(&self) -> Option<ExitStatus>;
    /// Sends a signal to its process group.
    fn signal(&self, signal: i32);
    /// It has ended, is reaped, and another process takes its place.
    fn become_daemon(&mut self, daemon: Daemon);
    /// Closes its PTY and reaps it, if it has ended.
    fn reap(self);
    /// The next thing that it told its service manager, which this server is to it: whether it is
    /// that it is ready. `None`: nothing, for now.
    fn read_notification(&self) -> Option<bool>;
    /// Where that comes, for a server after this one.
    fn notify_socket(&self) -> Option<BorrowedFd<'_>>;
    /// When it was started, if that can be told.
    fn start_ticks(&self) -> Option<u64>;
    /// The process by descriptor, if it is no child of this one.
    fn pidfd(&self) -> Option<&OwnedFd>;
}

/// The operating system.
pub(super) trait System {
    type Connection: Connection;
    type Socket: Socket<Connection = Self::Connection>;
    type Process: Process;
    type Handle<Job, Reply>: WorkerHandle<Job, Reply>;

    /// The time.
    fn now(&self) -> Timestamps;
    /// The time of day in milliseconds since the epoch.
    fn millis(&self) -> i64;
    /// Waits until something is ready, at most so long (`None`: for ever), and tells what is.
    fn wait(
        &mut self,
        limit: Option<Duration>,
        tell: &mut dyn FnMut(Token, Ready),
    ) -> io::Result<()>;
    /// The signals since the last call.
    fn signals(&mut self) -> PendingSignals;
    /// Who sent the last signal of this kind, as far as the system tells.
    fn signal_sender(&self, signal: i32) -> Option<SignalSender>;
    /// Has a connection's readiness told under `token`. What can't be watched, a regular file, is
    /// always ready: `true`.
    fn watch(&mut self, connection: &Self::Connection, token: Token) -> io::Result<bool>;
    /// Starts the child on a new PTY, to be told of under `token`; `beside` another one or not.
    fn spawn(&mut self, token: Token, beside: bool) -> io::Result<Self::Process>;
    /// Reaps ended children that are not `ours`: orphans that came to us, as PID 1 or
    /// as a subreaper.
    fn reap_orphans(&mut self, ours: [Option<i32>; 3]);
    /// The process that the child has become, which is nothing of `stranger`; or why there is none.
    fn find_daemon(&mut self, stranger: Option<i32>) -> Result<Daemon, String>;
    /// Sends a signal to what the child left behind, but not to `ours`; how many that are.
    fn signal_orphans(&mut self, signal: i32, ours: [Option<i32>; 3]) -> usize;
    /// Since when the child's kin are in the world, in the kernel's ticks.
    fn descendants_since(&self) -> Option<u64>;
    /// Opens the log, which could not be opened at the start.
    fn open_log(&mut self) -> io::Result<Self::Handle<LogJob, LogReply>>;
    /// Sends a message to the service manager without waiting for it.
    fn notify(&mut self, message: &[u8]) -> io::Result<()>;
    /// Says on stderr that the log can't be opened.
    fn log_open_failed(&mut self);
    /// Runs the program that is installed now on this state; its answer is told of under `token`.
    fn spawn_check(&mut self, state: &[u8], token: Token) -> io::Result<Self::Process>;
    /// Becomes that program, which gets the state and the descriptors with these numbers, and,
    /// `again`, SIGUSR1 right away. Comes back only with the reason why not; signals that
    /// have to be heard first are an interruption.
    fn exec_successor(&mut self, state: &[u8], lasting: &[i32], again: bool) -> io::Error;
    /// The sockets that children are given.
    fn child_sockets(&self) -> io::Result<Vec<ChildSocketState>>;
    /// Whether there is a store for what is to outlive a crash, and the memory in it.
    fn store(&self) -> Option<&File>;
    /// Writes down what belongs to what is stored.
    fn save(&mut self, state: &State) -> io::Result<()>;
    /// Has a connection outlive a crash.
    fn keep(&mut self, id: ClientId, connection: &Self::Connection);
    /// The connection is to be no more.
    fn forget(&mut self, id: ClientId);
    /// This child, which outlives a crash by itself, is no more.
    fn forget_child(&mut self, pid: i32);
    /// A child that has become another process outlives a crash as that.
    fn keep_child(&mut self, child: &Self::Process);
    /// An orderly end: nothing of these connections, of `listeners` and `children`, and of all else is
    /// left.
    fn empty_store(&mut self, connections: &[ClientId], listeners: &[Descriptor], children: &[i32]);
    /// Says something on stderr, if that takes it at once.
    fn log_stderr(&mut self, text: &str);
}
