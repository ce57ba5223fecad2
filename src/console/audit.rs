//! What happened, for whoever keeps records of it. The console only notes it; drained with
//! [`Console::poll_audit_event`](super::Console::poll_audit_event).

use super::event::{ClientId, DisconnectReason, ExitStatus, Subsystem};

/// What a client asks for by a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The child's death.
    Kill,
    /// The next restart mode.
    Toggle,
    /// A child, while there is none.
    Restart,
    /// A new child beside the one there is.
    Reload,
    /// The server's end, while there is no child.
    Quit,
    /// The end of the client's own connection.
    Logout,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditEvent {
    /// A client connected.
    Joined(ClientId),
    /// A client is gone.
    Left(ClientId, DisconnectReason),
    /// A client gave a command.
    Command(ClientId, Command),
    /// A client was told that it missed so many bytes.
    Skipped(ClientId, u64),
    /// A child was started; its PID.
    Started(i32),
    /// None could be; the reason.
    SpawnFailed(String),
    /// The child wrote what is waited for; its PID.
    Ready(i32),
    /// The child ended; its PID.
    Ended(i32, ExitStatus),
    /// A duty is not done, for this reason.
    Failed(Subsystem, String),
    /// It is done again.
    Recovered(Subsystem),
    /// An endpoint accepts nobody for the moment; the reason.
    AcceptFailed(String, String),
    /// The server before this one died.
    Restarted,
    /// The server has become another version of itself.
    Upgraded,
    /// It could not; the reason.
    UpgradeFailed(String),
}
