//! What this machine has, for the cases that need more than the program under test.

use std::net::{Ipv6Addr, TcpListener};
use std::process::{Command, Stdio};

/// Returns true if there is a program of this name.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Returns true if the tests run with root's rights.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Returns true if there is IPv6, on loopback at least.
pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Returns true if this command can be run and succeeds.
pub fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
