//! What the kernel says about sockets.

use super::TestEnv;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// The addresses, as the kernel writes them, that somebody listens on with this TCP port.
fn listeners(port: u16) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let wanted = format!("{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let local = rows.filter(|row| row[3] == "0A").filter_map(|row| row[1].split_once(':'));
    local.filter(|(_, port)| *port == wanted).map(|(address, _)| address.to_owned()).collect()
}

/// Makes a call again if it was interrupted. A process that was stopped and goes on interrupts its
/// receive calls that have a time limit, also without a signal handler (signal(7)).
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl TestEnv {
    /// Waits until this port is listened to on this address, as the kernel's table has it, and on no
    /// other. A row may be missing there while others come and go.
    pub fn listens(&self, port: u16, address: &str) {
        self.wait_for(&format!("port {port} to be listened to on {address}"), || {
            (listeners(port) == [address]).then_some(())
        });
    }

    /// Leaves a socket file that nobody listens to any more.
    pub fn stale_socket(&self, path: impl AsRef<Path>) {
        drop(UnixListener::bind(path.as_ref()).expect("bind"));
        self.nobody_answers(path);
    }

    /// Waits until a socket that was closed is closed everywhere: a process that another case starts
    /// meanwhile has it, too, until it executes its program.
    pub fn nobody_answers(&self, path: impl AsRef<Path>) {
        self.wait_for("the socket to be closed", || UnixStream::connect(path.as_ref()).err());
    }
}
