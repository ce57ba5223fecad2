//! The state that crosses the exec, as plain data. Fields have numbers, under the rules that
//! `console::snapshot` states.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use minicbor::{Decode, Encode};

use crate::console::error::InvalidSnapshot;
use crate::console::event::{ClientKind, Role};
use crate::console::snapshot::Snapshot;
use crate::sys::fd;
use crate::sys::file::FileId;
use crate::sys::process::user::Account;
use crate::sys::terminal::TermiosFlags;

/// The whole state of a server.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct State {
    /// What `-V` of the writer prints.
    #[n(0)]
    pub version: String,
    /// The command line that the server was started with.
    #[n(1)]
    pub argv: Vec<Text>,
    /// When the server was started, in seconds since the epoch.
    #[n(2)]
    pub started: i64,
    /// Soft and hard RLIMIT_NOFILE for children, if the server has changed its own.
    #[n(3)]
    pub open_files: Option<(u64, u64)>,
    /// The ID of the next client, larger than those of all clients before.
    #[n(4)]
    pub next_token: u64,
    /// The console.
    #[n(5)]
    pub console: Snapshot,
    /// The child, if one runs.
    #[n(6)]
    pub child: Option<ChildState>,
    /// The endpoints.
    #[cbor(n(7), default)]
    pub listeners: Vec<ListenerState>,
    /// The clients.
    #[cbor(n(8), default)]
    pub connections: Vec<ConnectionState>,
    /// The log of `-L`, if it could be opened.
    #[n(9)]
    pub log: Option<SinkState>,
    /// Standard output under `-d`.
    #[n(10)]
    pub stdout: Option<SinkState>,
    /// The directory that the server was started in.
    #[cbor(n(11), default)]
    pub dir: Text,
    /// The file in memory that outlives a crash, under `--fdstore`.
    #[n(12)]
    pub store: Option<Descriptor>,
    /// What the events file and the status file go on with.
    #[cbor(n(13), default)]
    pub records: RecordsState,
    /// The user that children are run as, under `--user`.
    #[n(14)]
    pub account: Option<Account>,
    /// When the child was started whose descendants may still live, in ticks of USER_HZ since boot:
    /// older processes do not descend from it.
    #[n(15)]
    pub descendants_since: Option<u64>,
    /// The sockets for the child, in the order of the command line.
    #[cbor(n(16), default)]
    pub child_sockets: Vec<ChildSocketState>,
    /// The old child, if one is being replaced.
    #[n(17)]
    pub old_child: Option<ChildState>,
    /// The path that the program was started by, with links unresolved. A program that is executed
    /// from a descriptor cannot find it out.
    #[n(18)]
    pub program: Option<Text>,
    /// The log of `-L`, if it could be opened, while it is open in no descriptor table. A state has this
    /// one or the other one ([`log`](Self::log)).
    #[n(19)]
    pub passed_log: Option<PassedSinkState>,
    /// Nanoseconds from the second `started` to the start of the server.
    #[cbor(n(20), default)]
    pub started_nanos: u32,
    /// The clients of `--api`.
    #[cbor(n(21), default)]
    pub api: Vec<ApiState>,
}

/// What was true when the first server of a chain of upgrades started, and its successors need.
#[derive(Debug, Clone, Default)]
pub struct ServerIdentity {
    /// The command line.
    pub argv: Vec<Text>,
    /// When the server was started, in seconds since the epoch.
    pub started: i64,
    /// Nanoseconds from that second to the start.
    pub started_nanos: u32,
    /// The directory that the server was started in.
    pub dir: Text,
    /// Soft and hard RLIMIT_NOFILE for children, if the server has changed its own.
    pub open_files: Option<(u64, u64)>,
    /// The account that children are run as, under `--user`.
    pub account: Option<Account>,
    /// The path of the program to execute in an upgrade, if it is known.
    pub program: Option<PathBuf>,
}

/// Bytes that need not be UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Text(#[cbor(n(0), with = "minicbor::bytes")] pub Vec<u8>);

/// An open descriptor, and the file that has to be behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Descriptor {
    /// The number of the descriptor.
    #[n(0)]
    pub number: i32,
    /// `st_mode & S_IFMT`.
    #[n(1)]
    pub kind: u32,
    /// `st_dev`.
    #[n(2)]
    pub device: u64,
    /// `st_ino`.
    #[n(3)]
    pub inode: u64,
}

impl Descriptor {
    /// Describes `fd` for another program in this process.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn of(fd: impl AsFd) -> io::Result<Descriptor> {
        let fd = fd.as_fd();
        let (kind, device, inode) = fd::identity(fd)?;
        Ok(Descriptor { number: fd.as_raw_fd(), kind, device, inode })
    }
}

/// A child that has not been reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ChildState {
    /// The PID, and the ID of the process group.
    #[n(0)]
    pub pid: i32,
    /// The master of the child's terminal.
    #[n(1)]
    pub pty: Descriptor,
    /// A descriptor of the process, if it was started by a server that has died since.
    #[n(2)]
    pub pidfd: Option<Descriptor>,
    /// When the process was started, in ticks of USER_HZ since boot (field 22 of proc_pid_stat(5)):
    /// no other process has this PID and this time.
    #[n(3)]
    pub start_ticks: Option<u64>,
    /// The socket behind the child's NOTIFY_SOCKET, under `--overlap`.
    #[n(4)]
    pub notify_socket: Option<Descriptor>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ListenerState {
    /// What clients of the endpoint may do.
    #[n(0)]
    pub role: Role,
    /// The listening socket.
    #[n(1)]
    pub socket: Descriptor,
    /// The socket file, if there is one.
    #[n(2)]
    pub file: Option<FileId>,
    /// True if the connections are without telnet.
    #[cbor(n(3), default)]
    pub raw: bool,
}

/// A socket that children are given.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ChildSocketState {
    /// The address of `--listen`.
    #[n(0)]
    pub uri: Text,
    /// The socket.
    #[n(1)]
    pub socket: Descriptor,
    /// The name that children find in LISTEN_FDNAMES.
    #[cbor(n(2), default)]
    pub name: Text,
    /// The socket file, if there is one.
    #[n(3)]
    pub file: Option<FileId>,
    /// True if the service manager passed the socket, and so keeps it anyway.
    #[cbor(n(4), default)]
    pub passed: bool,
}

/// A client's connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ConnectionState {
    /// The ID of the client.
    #[n(0)]
    pub id: u64,
    /// The descriptor that is read and written.
    #[n(1)]
    pub stream: Descriptor,
    /// The kind of connection.
    #[n(2)]
    pub kind: ConnectionKind,
}

/// The kind of a connection, with what is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub enum ConnectionKind {
    /// A socket, TCP or Unix.
    #[n(0)]
    Telnet,
    /// A socket, TCP or Unix, without telnet.
    #[n(3)]
    Raw,
    /// The terminal of `-f`, with the modes that it is to get back.
    #[n(2)]
    Terminal(#[n(0)] TermiosFlags),
    /// A pipe that only sends.
    #[n(1)]
    Pipe,
    /// A Unix socket of `--api`.
    #[n(4)]
    Api,
}

/// A file that the console is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SinkState {
    /// The file.
    #[n(0)]
    pub file: Descriptor,
    /// When the file is tried again, after a failed write.
    #[n(1)]
    pub retry: Option<Retry>,
}

/// A file that the console is written to, on its way through a passage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PassedSinkState {
    /// The socket where files are put in.
    #[n(0)]
    pub entry: Descriptor,
    /// The socket where they come out. The file waits there.
    #[n(1)]
    pub exit: Descriptor,
    /// When the file is tried again, after a failed write.
    #[n(2)]
    pub retry: Option<Retry>,
}

/// The state of the events file and of the status file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecordsState {
    /// Events that are still to be written, as whole lines.
    #[cbor(n(0), default)]
    pub pending: Text,
    /// The number of events that found no room.
    #[cbor(n(1), default)]
    pub lost: u64,
    /// The clients.
    #[cbor(n(2), default)]
    pub clients: Vec<ClientState>,
    /// What happened to children and servers so far.
    #[cbor(n(3), default)]
    pub history: HistoryState,
    /// The events that were sent to the journal.
    #[cbor(n(4), default)]
    pub journal: JournalState,
}

/// How many events the journal has and lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct JournalState {
    /// The number of events that the journal took.
    #[cbor(n(0), default)]
    pub sent: u64,
    /// The number of events that the journal did not take.
    #[cbor(n(1), default)]
    pub lost: u64,
    /// The number of lost events that the journal has not been told of.
    #[cbor(n(2), default)]
    pub untold: u64,
}

/// What the status file says of the past. Texts are JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HistoryState {
    /// The last ends of children, newest first.
    #[cbor(n(0), default)]
    pub ends: Vec<String>,
    /// The children that run.
    #[cbor(n(1), default)]
    pub children: Vec<RecordedChild>,
    /// The last request for a replacement of the child, as a cause of its end.
    #[n(2)]
    pub reload: Option<String>,
    /// How many upgrades in place there were.
    #[cbor(n(3), default)]
    pub upgrades: u64,
    /// How many servers in a row before this one came to no orderly end.
    #[cbor(n(4), default)]
    pub crashes: u64,
    /// The last server that came to no orderly end.
    #[n(5)]
    pub last_server: Option<String>,
    /// Bytes of output that clients were not sent, as they read too slowly.
    #[cbor(n(6), default)]
    pub skipped: u64,
}

/// What the records know of a child that runs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecordedChild {
    /// The PID.
    #[n(0)]
    pub pid: i32,
    /// When it was started, in milliseconds since the epoch.
    #[cbor(n(1), default)]
    pub started: i64,
    /// What was done last that may end it, as JSON.
    #[n(2)]
    pub cause: Option<String>,
}

/// What the events file and the status file say of a client.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClientState {
    /// The ID of the client.
    #[n(0)]
    pub id: u64,
    /// What the client may do.
    #[n(1)]
    pub role: Role,
    /// The endpoint where the client connected.
    #[cbor(n(2), default)]
    pub endpoint: String,
    /// When the client connected, in seconds since the epoch.
    #[cbor(n(3), default)]
    pub since: i64,
}

/// A client of `--api`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ApiState {
    /// The ID of the client.
    #[n(0)]
    pub id: u64,
    /// What the client sent and was not executed.
    #[cbor(n(1), default)]
    pub input: Text,
    /// True while the rest of a line that is too long is thrown away.
    #[cbor(n(2), default)]
    pub discarding: bool,
    /// True if the client has ended its side of the connection.
    #[cbor(n(3), default)]
    pub input_ended: bool,
    /// Lines that the client has not taken.
    #[cbor(n(4), default)]
    pub output: Text,
    /// True if the client is sent status and events.
    #[cbor(n(5), default)]
    pub subscribed: bool,
    /// How many events the client missed and has not been told of.
    #[cbor(n(6), default)]
    pub skipped: u64,
}

/// When a file that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Retry {
    /// The time, in nanoseconds of CLOCK_MONOTONIC.
    #[n(0)]
    pub at: u64,
    /// True if only new output is a reason to try again.
    #[n(1)]
    pub on_output: bool,
}

impl State {
    /// The identity that the server's successor goes on with.
    pub fn identity(&self) -> ServerIdentity {
        ServerIdentity {
            argv: self.argv.clone(),
            started: self.started,
            started_nanos: self.started_nanos,
            dir: self.dir.clone(),
            open_files: self.open_files,
            account: self.account.clone(),
            program: self.program.clone().map(|path| OsString::from_vec(path.0).into()),
        }
    }

    /// Returns all descriptors that stay open.
    pub fn descriptors(&self) -> impl Iterator<Item = Descriptor> {
        let children = [&self.child, &self.old_child].into_iter().flatten();
        let child = children.flat_map(|child| [Some(child.pty), child.pidfd, child.notify_socket]);
        let child = child.flatten();
        let listeners = self.listeners.iter().map(|listener| listener.socket);
        let connections = self.connections.iter().map(|client| client.stream);
        let sinks = [&self.log, &self.stdout].into_iter().flatten().map(|sink| sink.file);
        let child_sockets = self.child_sockets.iter().map(|socket| socket.socket);
        let passage = self.passed_log.iter().flat_map(|log| [log.entry, log.exit]);
        let all = child.chain(listeners).chain(connections).chain(sinks).chain(self.store);
        all.chain(child_sockets).chain(passage)
    }

    /// Checks that the console and the rest of the state have the same children and the same
    /// clients, and that no descriptor is there twice.
    pub(super) fn check(&self) -> Result<(), InvalidSnapshot> {
        if self.console.child().map(|child| child.pid) != self.child.map(|child| child.pid) {
            return Err(InvalidSnapshot("the child is not the console's"));
        }
        let old = self.console.old_child().map(|child| child.pid);
        if old != self.old_child.map(|child| child.pid) {
            return Err(InvalidSnapshot("the old child is not the console's"));
        }
        let clients: BTreeMap<u64, ClientKind> =
            self.console.clients().map(|(id, kind)| (id.0, kind)).collect();
        let connections: BTreeMap<u64, ClientKind> =
            self.connections.iter().map(|client| (client.id, client.kind.client_kind())).collect();
        if clients != connections || connections.len() != self.connections.len() {
            return Err(InvalidSnapshot("the clients are not the console's"));
        }
        let numbers: BTreeSet<i32> = self.descriptors().map(|fd| fd.number).collect();
        if numbers.len() != self.descriptors().count() {
            return Err(InvalidSnapshot("one descriptor for two"));
        }
        if clients.keys().any(|&id| id >= self.next_token) {
            return Err(InvalidSnapshot("a client has an id that is still to be given"));
        }
        Ok(())
    }
}

impl ConnectionKind {
    /// Returns what the console knows of the connection.
    pub fn client_kind(&self) -> ClientKind {
        match self {
            ConnectionKind::Telnet => ClientKind::Telnet,
            ConnectionKind::Raw => ClientKind::Raw,
            ConnectionKind::Terminal(_) => ClientKind::Terminal,
            ConnectionKind::Pipe => ClientKind::Pipe,
            ConnectionKind::Api => ClientKind::Api,
        }
    }
}
