//! Pseudo terminals: pty(7).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

/// Opens a PTY. Returns its master, which is non-blocking, and its slave; both close on exec. The
/// slave has the default modes of the kernel and a window of 0x0.
///
/// # Errors
/// Those of openpty(3) and fcntl(2).
pub(crate) fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = openpty(None, None)?;
    super::fd::set_nonblocking_cloexec(&pair.master)?;
    fcntl(&pair.slave, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok((pair.master, pair.slave))
}

/// Returns true if a PTY does not show what is typed, and collects it into lines: ECHO off and ICANON
/// on (termios(3)).
pub(crate) fn hides_input(master: &impl AsFd) -> bool {
    tcgetattr(master).is_ok_and(|modes| {
        modes.local_flags.contains(LocalFlags::ICANON)
            && !modes.local_flags.contains(LocalFlags::ECHO)
    })
}
