//! The names of descriptors in the service manager's store.

use crate::console::event::ClientId;
use crate::handover::state::Descriptor;

/// The prefix of the names of all descriptors in the store.
pub(super) const PREFIX: &str = "procserv.";
/// The name of the memory file.
pub(crate) const STATE: &str = "state";
/// The prefix of the name of an endpoint.
pub(crate) const LISTENER: &str = "listener.";
/// The prefix of the name of a client's connection.
pub(crate) const CLIENT: &str = "client.";

/// The name of the PTY master of the child with this PID.
pub(crate) fn pty(pid: i32) -> String {
    format!("pty.{pid}")
}

/// The name of the pidfd of the child with this PID.
pub(crate) fn child(pid: i32) -> String {
    format!("child.{pid}")
}

/// The name of the socket that the child with this PID reports its readiness to.
pub(crate) fn notify_socket(pid: i32) -> String {
    format!("notices.{pid}")
}

/// The PID of the child whose pidfd has this name.
pub(crate) fn pid(name: &str) -> Option<i32> {
    name.strip_prefix("child.")?.parse().ok()
}

/// The name of an endpoint's socket. Its place among the endpoints may change; its inode does not.
pub(crate) fn listener(socket: Descriptor) -> String {
    format!("{LISTENER}{}", socket.inode)
}

/// The name of a client's connection.
pub(crate) fn client(id: ClientId) -> String {
    format!("{CLIENT}{}", id.0)
}

/// The name of the socket for the child at this place on the command line. It is the socket's name in
/// LISTEN_FDNAMES, too, unless a service manager has given it one.
pub(crate) fn child_socket(index: usize) -> String {
    format!("listen.{index}")
}

/// The name without the prefix, if the descriptor is one of a server's.
pub(crate) fn parse_name(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name.strip_prefix(PREFIX.as_bytes())?).ok()
}

/// The message that has the service manager close what it keeps under this name.
pub(crate) fn removal(name: &str) -> Vec<u8> {
    format!("FDSTOREREMOVE=1\nFDNAME={PREFIX}{name}").into_bytes()
}
