//! The whole vocabulary between the core and the server that drives it.

use minicbor::{Decode, Encode};

use super::clock::UnixTime;

/// A client for as long as it is connected; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct ClientId(#[n(0)] pub u64);

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Types to the child and gives commands.
    #[n(0)]
    User,
    /// Only listens.
    #[n(1)]
    Logger,
}

/// What a client is connected by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ClientKind {
    /// A socket, TCP or Unix: speaks telnet.
    #[n(0)]
    Telnet,
    /// The terminal of `-f`: no telnet.
    #[n(1)]
    Terminal,
    /// A pipe as stdin of `-f`: only sends, and is not counted.
    #[n(2)]
    Pipe,
    /// A socket, TCP or Unix, without telnet.
    #[n(3)]
    Raw,
}

impl ClientKind {
    /// Whether it is a connection that was accepted.
    pub fn is_socket(self) -> bool {
        matches!(self, ClientKind::Telnet | ClientKind::Raw)
    }
}

/// A reader of the console stream that is not a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// The log of `-L`.
    Log,
    /// Standard output under `-d`.
    Stdout,
    /// Syslog.
    Syslog,
}

/// One of two children, while there is another under `--overlap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildSlot {
    /// The one that runs from now on; the only one when there is no other.
    Current,
    /// The one that is to end.
    Old,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It called exit with this status.
    Code(u8),
    /// This signal killed it.
    Signal(i32),
    /// Nobody can tell: a server before this one was its parent.
    Unknown,
}

/// How a client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectReason {
    /// It closed its connection.
    Closed,
    /// Its connection failed.
    Failed,
    /// It gave the logout command.
    Logout,
    /// The server leaves.
    Exit,
}

/// What the server does beside the console, and may fail in without consequences for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsystem {
    /// The log of `-L`.
    Log,
    /// `--log-rotate`.
    Rotation,
    /// `--syslog`.
    Syslog,
    /// `--events`.
    Events,
    /// `--status-file`.
    Status,
}

/// What happened. Told to the core by [`Console::handle`](super::Console::handle).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A child's terminal produced bytes.
    Output(ChildSlot, &'a [u8]),
    /// No process has a child's terminal open any more, though that child lives.
    OutputClosed(ChildSlot),
    /// A child ended and all its output has been handed over.
    Exited(ChildSlot, ExitStatus),
    /// The child asked for with [`Effect::Spawn`] runs.
    Spawned(i32),
    /// It could not be started; the reason.
    SpawnFailed(&'a str),
    /// The child says that it is ready.
    ChildReady,
    /// SIGUSR2.
    Reload,
    /// [`Effect::FindDaemon`] found the process that the child has become.
    Daemonized(i32),
    /// It did not; the reason.
    DaemonNotFound(&'a str),
    /// [`Effect::SignalOrphans`] found so many processes.
    OrphansSignaled(usize),
    /// A client connected.
    Joined {
        /// Its identity from now on.
        id: ClientId,
        /// What it may do.
        role: Role,
        /// How it is connected.
        medium: ClientKind,
    },
    /// A client sent bytes: one read, one buffer.
    Input {
        /// Who.
        id: ClientId,
        /// What, telnet included.
        bytes: &'a [u8],
    },
    /// A client is gone.
    Left {
        /// Who.
        id: ClientId,
        /// How.
        farewell: DisconnectReason,
    },
    /// SIGTERM.
    Terminate,
    /// SIGHUP.
    ReopenLog,
    /// The log was opened, or can be written again after a failure.
    LogOpened,
    /// The log could not be opened, and an older one goes on if there is one; the reason.
    LogOpenFailed(&'a str),
    /// A duty can't be done for this reason, as strerror(3) has it.
    Failed(Subsystem, &'a str),
    /// It can be done, whether it could before or not.
    Recovered(Subsystem),
    /// No connection can be accepted for want of descriptors or memory.
    AcceptFailed {
        /// Where, as in the info file.
        endpoint: &'a str,
        /// Why, as strerror(3) has it.
        reason: &'a str,
    },
    /// The server before this one died, and its child and clients live.
    Restarted,
    /// The server has become another version of itself.
    Upgraded {
        /// Which.
        version: &'a str,
    },
    /// It could not; the reason.
    UpgradeFailed(&'a str),
}

/// What the server is to do. Drained with [`Console::poll_effect`](super::Console::poll_effect).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start the child; answer with [`Event::Spawned`] or [`Event::SpawnFailed`].
    Spawn,
    /// Start another child beside the one there is, which becomes the old one; answer as above. If it
    /// can't be started, nothing changes.
    SpawnReplacement,
    /// Send this signal to a child's process group.
    Signal(ChildSlot, i32),
    /// A child is dead: kill what is left of its process group, close its PTY, reap it.
    Reap(ChildSlot),
    /// There is no child any more but the old one, which is the child from now on.
    RestoreOld,
    /// The child's first process has ended, and is to be buried only when it is known what it became:
    /// look for that, and answer with [`Event::Daemonized`] or [`Event::DaemonNotFound`].
    FindDaemon,
    /// Look for what the child left behind, and send it this signal; answer with [`Event::OrphansSignaled`].
    SignalOrphans(i32),
    /// Close this client's connection once it has been sent what is pending.
    Disconnect(ClientId),
    /// Close the log file and open it anew.
    ReopenLog,
    /// Leave with this status.
    Exit(u8),
}

/// The child, while there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ChildProcess {
    /// Its process and process group.
    #[n(0)]
    pub pid: i32,
    /// When it was started.
    #[n(1)]
    pub started: UnixTime,
}
