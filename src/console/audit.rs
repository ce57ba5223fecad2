//! What happened, for the files of `--events` and `--status-file`. The console only collects it; the
//! server drains it with [`Console::poll_audit_event`](super::Console::poll_audit_event).

use crate::config::RestartMode;

use super::event::{ClientId, DisconnectReason, ExitStatus, Subsystem};

/// A command that a client gave, by a character or as a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Kill the child.
    Kill,
    /// Switch to the next restart mode.
    Toggle,
    /// Start a child, as none runs.
    Restart,
    /// Replace the child by one that is started beside it.
    Reload,
    /// Set this restart mode.
    SetMode(RestartMode),
    /// End the server: by a character only if no child runs.
    Quit,
    /// Close the client's connection.
    Logout,
}

/// A line that a client has typed, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedText {
    /// What was typed, without the line end.
    pub content: TypedContent,
    /// True if no line end came after it.
    pub unfinished: bool,
}

/// See [`TypedText`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypedContent {
    /// These bytes.
    Shown(Vec<u8>),
    /// So many bytes, which the child's terminal does not show.
    Hidden(u64),
}

/// One entry of the events file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditEvent {
    /// A client connected.
    Joined(ClientId),
    /// A client is no longer connected.
    Left(ClientId, DisconnectReason),
    /// A client gave a command so many times.
    Command(ClientId, Command, u64),
    /// A client typed this to the child.
    Typed(ClientId, TypedText),
    /// A client was told that it missed so many bytes.
    Skipped(ClientId, u64),
    /// The child with this PID was started.
    Started(i32),
    /// A child could not be started, for this reason.
    SpawnFailed(String),
    /// The child with this PID wrote the text of `--ready`.
    Ready(i32),
    /// The child with this PID has closed its terminal, and is killed for that.
    TerminalClosed(i32),
    /// The child with this PID ended.
    Ended(i32, ExitStatus),
    /// A subsystem failed, for this reason.
    Failed(Subsystem, String),
    /// The log could not be opened, for this reason.
    LogOpenFailed(String),
    /// A subsystem works again. The number is that of the bytes that it lacks.
    Recovered(Subsystem, u64),
    /// An endpoint cannot accept connections for the moment: the endpoint and the reason.
    AcceptFailed(String, String),
    /// The server went on after a crash of the one before.
    Restarted,
    /// The server was upgraded to another version.
    Upgraded,
    /// An upgrade failed, for this reason.
    UpgradeFailed(String),
}
