//! Becoming a daemon: fork once, before threads and event loop exist.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use nix::unistd::{ForkResult, fork, setsid};

/// Which side of the fork this is.
pub enum ForkSide {
    /// The process that was started: has to announce the daemon with this PID and exit.
    Parent {
        /// The daemon.
        pid: i32,
        /// The daemon waits until this is closed.
        gate: OwnedFd,
    },
    /// The daemon: in a session of its own, the parent is done.
    Daemon,
}

/// Forks. The daemon's side returns only when the parent has closed its gate, by exiting: so
/// nothing that the parent still writes can come after something that the daemon does.
pub fn fork_daemon() -> io::Result<ForkSide> {
    let (mut wait, gate) = io::pipe()?;
    // SAFETY: no thread was started yet, so the child may go on as it likes.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            Ok(ForkSide::Parent { pid: child.as_raw(), gate: gate.into() })
        }
        ForkResult::Child => {
            drop(gate);
            setsid()?;
            // End of file or an error: either way the parent is gone.
            let _ = wait.read(&mut [0]);
            Ok(ForkSide::Daemon)
        }
    }
}

/// Puts /dev/null on 0, 1 and 2.
pub fn detach_stdio() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}
