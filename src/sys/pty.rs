//! Pseudo terminals: pty(7), and the size of a terminal's window: TIOCGWINSZ(2const).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::cerr;

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

/// Gives the window of a terminal a size. If that is another one than before, the foreground of the
/// terminal gets SIGWINCH.
///
/// # Errors
/// Those of ioctl(2).
pub(crate) fn set_window(terminal: impl AsFd, columns: u16, rows: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads a `winsize`, which lives longer than the call.
    cerr(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })?;
    Ok(())
}

/// The size of the window of a terminal, in columns and rows.
///
/// # Errors
/// Those of ioctl(2), as `ENOTTY` for what is no terminal.
pub(crate) fn window(terminal: impl AsFd) -> io::Result<(u16, u16)> {
    let mut size = Winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes a `winsize`, which lives longer than the call.
    cerr(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok((size.ws_col, size.ws_row))
}

/// Returns true if a PTY does not show what is typed, and collects it into lines: ECHO off and ICANON
/// on (termios(3)).
pub(crate) fn hides_input(master: &impl AsFd) -> bool {
    tcgetattr(master).is_ok_and(|modes| {
        modes.local_flags.contains(LocalFlags::ICANON)
            && !modes.local_flags.contains(LocalFlags::ECHO)
    })
}
