//! What systemd, or a service manager that speaks its protocols, passes to the server
//! ([`listen_fds`]) and is told by it ([`notify`]), and the server in
//! its place before a child ([`notify_socket`]). The first two come by the environment, which stays as it
//! is: only the child's is another.

pub(crate) mod listen_fds;
pub(crate) mod notify;
pub(crate) mod notify_socket;

use std::ffi::OsStr;

/// Returns true if a variable of the environment is meant for the server alone, which `notifies` the service
/// manager itself or leaves that to its child.
pub(crate) fn is_for_server(name: &OsStr, notifies: bool) -> bool {
    match name.to_str() {
        Some("LISTEN_PID" | "LISTEN_PIDFDID" | "LISTEN_FDS" | "LISTEN_FDNAMES") => true,
        Some("NOTIFY_SOCKET" | "WATCHDOG_USEC" | "WATCHDOG_PID") => notifies,
        _ => false,
    }
}
