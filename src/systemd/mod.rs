//! The protocols of systemd, which other service managers have, too: sockets that are passed to the
//! server ([`listen_fds`]), and notifications that the server sends ([`notify`]) and receives from
//! its child ([`notify_socket`]). The variables of the environment for the first two stay as they
//! are, except in the environment of the child.

pub(crate) mod listen_fds;
pub(crate) mod notify;
pub(crate) mod notify_socket;

use std::ffi::OsStr;

/// Returns true if a variable of the environment is meant for the server alone, which `notifies`
/// the service manager itself or leaves that to its child.
pub(crate) fn is_for_server(name: &OsStr, notifies: bool) -> bool {
    match name.to_str() {
        Some("LISTEN_PID" | "LISTEN_PIDFDID" | "LISTEN_FDS" | "LISTEN_FDNAMES") => true,
        Some("NOTIFY_SOCKET" | "WATCHDOG_USEC" | "WATCHDOG_PID") => notifies,
        _ => false,
    }
}
