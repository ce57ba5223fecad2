//! The vocabulary between the console and the server that drives it: the server hands in events,
//! and the console answers with effects.

use minicbor::{Decode, Encode};

use super::clock::UnixTime;
use crate::config::WindowSize;
pub use crate::sys::process::exit_status::ExitStatus;

/// The identity of a client for as long as it is connected. It is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct ClientId(#[n(0)] pub u64);

impl ClientId {
    /// Stands for the server itself where input has a sender. No client has it.
    pub const SERVER: ClientId = ClientId(u64::MAX);
}

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Types to the child and gives commands.
    #[n(0)]
    User,
    /// Only reads, with stamps and without being told who else is there.
    #[n(1)]
    Logger,
    /// Sees what a user sees, and only reads.
    #[n(2)]
    Viewer,
    /// A program: it sends requests, and gets answers instead of the console.
    #[n(3)]
    Api,
}

impl Role {
    /// Returns the role's name in the records and in `--allow-from`.
    pub fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Logger => "logger",
            Role::Viewer => "viewer",
            Role::Api => "api",
        }
    }
}

/// How a client is connected, and which protocol it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ClientKind {
    /// A socket, TCP or Unix, with telnet.
    #[n(0)]
    Telnet,
    /// A socket, TCP or Unix, without telnet.
    #[n(3)]
    Raw,
    /// The terminal of `-f`, without telnet.
    #[n(1)]
    Terminal,
    /// A pipe as the standard input of `-f`. It only sends, and greetings do not count it.
    #[n(2)]
    Pipe,
    /// A Unix socket of `--api`.
    #[n(4)]
    Api,
}

impl ClientKind {
    /// Returns true if the client gets the console stream and counts in greetings.
    pub fn reads_stream(self) -> bool {
        !matches!(self, ClientKind::Pipe | ClientKind::Api)
    }

    /// Returns true if the client is a connection to the console that a listening socket accepted.
    pub fn is_socket(self) -> bool {
        matches!(self, ClientKind::Telnet | ClientKind::Raw)
    }
}

/// A reader of the console stream that is not a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// The log of `-L`.
    Log,
    /// Standard output under `-d`.
    Stdout,
    /// Syslog under `--syslog`.
    Syslog,
}

/// One of the two children that run at the same time under `--overlap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildSlot {
    /// The newer child, or the only one.
    Current,
    /// The older child, which the current one is to replace.
    Old,
}

/// Why a client is no longer connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The client closed its connection.
    Closed,
    /// The connection failed.
    Failed,
    /// The client gave the logout command.
    Logout,
    /// The server exits.
    Exit,
}

/// A task of the server whose failure does not affect the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subsystem {
    /// The log of `-L`.
    Log,
    /// The sync of the log to the disk.
    Sync,
    /// The rotation of the log under `--log-rotate`.
    Rotation,
    /// The output to syslog under `--syslog`.
    Syslog,
    /// The file of `--events`.
    Events,
    /// The rotation of the events file under `--events-rotate`.
    EventsRotation,
    /// The journal of `--events journal`.
    Journal,
    /// The file of `--status-file`.
    Status,
    /// The memory for the last bytes of the console, which grows with `--history`.
    History,
    /// The start of a child, for which the system has no process or terminal.
    Start,
}

/// What happened. The server hands it to [`Console::handle`](super::Console::handle).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A child wrote bytes to its terminal.
    Output(ChildSlot, &'a [u8]),
    /// A child lives, but no process has its terminal open any more.
    OutputClosed(ChildSlot),
    /// A child ended, and all its output has been handed over.
    Exited(ChildSlot, ExitStatus),
    /// The child of [`Effect::Spawn`] or [`Effect::SpawnReplacement`] runs and has this PID.
    Spawned(i32),
    /// The child could not be started, for this reason.
    SpawnFailed(&'a str),
    /// The current child sent READY=1, as sd_notify(3) does.
    ChildReady,
    /// SIGUSR2 came.
    Reload,
    /// [`Effect::FindDaemon`] found the daemon, which has this PID.
    Daemonized(i32),
    /// [`Effect::FindDaemon`] did not find the daemon, for this reason.
    DaemonNotFound(&'a str),
    /// [`Effect::SignalOrphans`] found so many processes.
    OrphansSignaled(usize),
    /// A client is about to connect. The event comes before [`Event::Joined`], and only under
    /// `--announce`.
    Introduced {
        /// The client's identity from then on.
        id: ClientId,
        /// What the client may do.
        role: Role,
        /// How the client is connected.
        kind: ClientKind,
        /// The client as others are to know it.
        who: &'a str,
    },
    /// A client connected.
    Joined {
        /// The client's identity from now on.
        id: ClientId,
        /// What the client may do.
        role: Role,
        /// How the client is connected.
        kind: ClientKind,
    },
    /// A client sent bytes. Contract section 5 speaks of one read as a buffer, so this is one read.
    Input {
        /// The client.
        id: ClientId,
        /// The bytes, telnet sequences included.
        bytes: &'a [u8],
    },
    /// A client that is a terminal has a window of this size.
    Window {
        /// The client.
        id: ClientId,
        /// The size.
        size: WindowSize,
    },
    /// The terminal of the child that gets the input hides what is typed from now on, as for a password,
    /// or no longer. The event comes only under `--record-input`.
    InputHidden(bool),
    /// A client is no longer connected.
    Left {
        /// The client.
        id: ClientId,
        /// Why the connection ended.
        reason: DisconnectReason,
    },
    /// SIGTERM came.
    Terminate,
    /// SIGHUP came.
    ReopenLog,
    /// The log was opened, or can be written again after a failure.
    LogOpened,
    /// The log could not be opened, for this reason. An older log stays in use, if there is one.
    LogOpenFailed(&'a str),
    /// A subsystem fails, for this reason in strerror(3)'s words.
    Failed(Subsystem, &'a str),
    /// A subsystem works, whether it failed before or not.
    Recovered(Subsystem),
    /// Connections cannot be accepted for want of descriptors or memory.
    AcceptFailed {
        /// The endpoint in the form of the info file.
        endpoint: &'a str,
        /// The reason in strerror(3)'s words.
        reason: &'a str,
    },
    /// This server took over the child and the clients of a server that crashed.
    Restarted,
    /// This server went on in the place of another version of the program.
    Upgraded {
        /// The version that runs now.
        version: &'a str,
    },
    /// The upgrade to another version failed, for this reason.
    UpgradeFailed(&'a str),
}

/// What the server has to do. The server drains it with
/// [`Console::poll_effect`](super::Console::poll_effect).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start the child; answer with [`Event::Spawned`] or [`Event::SpawnFailed`].
    Spawn,
    /// Start another child, beside the running one, which becomes the old child; answer as above. If
    /// the new child cannot be started, nothing changes.
    SpawnReplacement,
    /// Send this signal to a child's process group.
    Signal(ChildSlot, i32),
    /// A child is dead: kill the rest of its process group, close its terminal, reap the child.
    Reap(ChildSlot),
    /// The current child is gone, and the old child takes its place.
    RestoreOld,
    /// The child's first process has ended and may only be reaped when its successor is known: look
    /// for the daemon, and answer with [`Event::Daemonized`] or [`Event::DaemonNotFound`].
    FindDaemon,
    /// Send this signal to every process that the child left behind; answer with
    /// [`Event::OrphansSignaled`].
    SignalOrphans(i32),
    /// Close this client's connection when everything pending has been sent.
    Disconnect(ClientId),
    /// Close the log file and open it again.
    ReopenLog,
    /// Give the terminals of the children a window of this size.
    SetWindow(WindowSize),
    /// Exit with this status.
    Exit(u8),
}

/// A running child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ChildProcess {
    /// The process and its process group.
    #[n(0)]
    pub pid: i32,
    /// When the child was started.
    #[n(1)]
    pub started: UnixTime,
}
