//! Becoming a daemon (daemon(7)): this process forks once, before threads and event loop exist.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use nix::unistd::{ForkResult, fork, setsid};

/// The side of the fork that this process is.
pub(crate) enum ForkSide {
    /// The process that was started. It has to announce the daemon and exit.
    Parent {
        /// The PID of the daemon.
        pid: i32,
        /// The daemon waits until this pipe is closed.
        gate: OwnedFd,
    },
    /// The daemon, in a session of its own. Its parent has exited.
    Daemon,
}

/// Forks. In the daemon it returns only when the parent has closed its gate, by exiting: nothing that
/// the parent still writes can come after something that the daemon does.
///
/// # Errors
/// Those of pipe(2), fork(2) and setsid(2).
pub(crate) fn fork_daemon() -> io::Result<ForkSide> {
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

/// Puts /dev/null on descriptors 0, 1 and 2.
///
/// # Errors
/// Those of opening /dev/null.
pub(crate) fn detach_stdio() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}
