//! Pseudo terminals: pty(7).

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;

/// A new PTY: its master, non-blocking, and its slave, both closed on exec. The slave has the
/// kernel's default modes and a window of 0x0.
pub fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = openpty(None, None)?;
    super::fd::set_nonblocking_cloexec(&pair.master)?;
    fcntl(&pair.slave, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok((pair.master, pair.slave))
}
