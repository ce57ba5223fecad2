//! File descriptors: flags, limits, and the kind of file behind one.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::stat::fstat;

use super::cerr;

/// Makes every descriptor above 2 close on exec, also inherited ones: a child gets 0, 1 and 2, and
/// no descriptor that somebody forgot to close.
pub(crate) fn close_on_exec_all() {
    // close_range(2) needs no descriptor itself.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: sets a flag of descriptors by number.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } == 0
    {
        return;
    }
    let open: Vec<i32> = match fs::read_dir("/dev/fd") {
        Ok(entries) => {
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
        }
        Err(_) => (3..1024).collect(),
    };
    for fd in open.into_iter().filter(|&fd| fd > 2) {
        // SAFETY: sets a flag of a descriptor by number; one that is not open is an error.
        let _ = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Makes `fd` close on exec and non-blocking.
///
/// # Errors
/// Those of fcntl(2).
pub(crate) fn set_nonblocking_cloexec(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd();
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Takes a descriptor over that another program left open in this process, and makes it close on
/// exec. A number must not be taken over twice.
///
/// # Errors
/// `EBADF` if the number is 0, 1 or 2, or is not open.
pub fn adopt(number: i32) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: sets a flag of a descriptor by number; one that is not open is an error.
    cerr(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and nothing in this process has opened it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Returns a copy of `fd` with a number of at least `least`. The copy closes on exec.
///
/// # Errors
/// Those of fcntl(2).
pub(crate) fn copy_above(fd: impl AsFd, least: i32) -> io::Result<OwnedFd> {
    let copy = fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(least))?;
    // SAFETY: fcntl(2) has just opened it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Decides whether a program that this process becomes has the descriptor with this number.
pub(crate) fn set_inherited(number: i32, inherited: bool) {
    let flags = if inherited { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: sets a flag of a descriptor by number; one that is not open is an error.
    let _ = unsafe { libc::fcntl(number, libc::F_SETFD, flags) };
}

/// Returns a file in memory (memfd_create(2)) that holds `bytes` and closes on exec.
///
/// # Errors
/// Those of memfd_create(2) and write(2).
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub(crate) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let mut file = File::from(memfd_create(c"procserv-state", MFdFlags::MFD_CLOEXEC)?);
    io::Write::write_all(&mut file, bytes)?;
    Ok(file)
}

/// Returns a file that holds `bytes` and has no name any more, as this system has no files in
/// memory.
///
/// # Errors
/// Those of creating, removing and writing a file.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub(crate) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let name = format!("procserv-state.{}.{}", std::process::id(), super::time::monotonic());
    let path = std::env::temp_dir().join(name);
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    io::Write::write_all(&mut file, bytes)?;
    Ok(file)
}

/// Writes both slices with one call of writev(2). Returns how many bytes were written.
///
/// # Errors
/// Those of writev(2).
pub(crate) fn write_two(mut file: &File, slices: (&[u8], &[u8])) -> io::Result<usize> {
    use std::io::Write;
    file.write_vectored(&[IoSlice::new(slices.0), IoSlice::new(slices.1)])
}

/// Returns `st_mode & S_IFMT`, `st_dev` and `st_ino` of the file behind `fd` (stat(2)).
///
/// # Errors
/// Those of fstat(2).
// The widths differ from system to system.
#[allow(clippy::unnecessary_cast)]
pub(crate) fn identity(fd: impl AsFd) -> io::Result<(u32, u64, u64)> {
    let stat = fstat(fd)?;
    Ok(((stat.st_mode & libc::S_IFMT) as u32, stat.st_dev as u64, stat.st_ino as u64))
}

/// Returns the soft and the hard limit of open files (RLIMIT_NOFILE).
// As above.
#[allow(clippy::unnecessary_cast)]
fn limits() -> io::Result<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok((soft as u64, hard as u64))
}

/// Returns true if fewer than `reserve` descriptors are left below the soft limit. The kernel gives
/// out the lowest free number, so a copy of `probe` tells how many are open.
pub(crate) fn is_near_limit(probe: BorrowedFd<'_>, reserve: u64) -> bool {
    let Ok((soft, _)) = limits() else {
        return false;
    };
    match probe.try_clone_to_owned() {
        Ok(copy) => {
            let lowest = u64::try_from(copy.as_raw_fd()).unwrap_or(0);
            lowest >= soft.saturating_sub(reserve)
        }
        Err(_) => true,
    }
}

/// Raises the soft limit of open files to the hard one. Returns the soft and the hard limit as they
/// were, for the child.
pub(crate) fn raise_limit() -> Option<(u64, u64)> {
    let before = limits().ok()?;
    let hard = before.1 as rlim_t;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok()?;
    Some(before)
}

/// Sets the options of a TCP connection with a person at its other end (tcp(7)): keystrokes go out
/// at once, and keepalive finds a dead peer after 60 s of silence and 10 probes 60 s apart. Options
/// that cannot be set keep their defaults.
pub(crate) fn tune_tcp(fd: impl AsFd) {
    use nix::sys::socket::{setsockopt, sockopt};
    let fd = fd.as_fd();
    let _ = setsockopt(&fd, sockopt::TcpNoDelay, &true);
    let _ = setsockopt(&fd, sockopt::KeepAlive, &true);
    // Telnet sends the data mark after an interrupt as urgent data (RFC 854). Without that byte the
    // IAC before it would swallow the next key.
    let _ = setsockopt(&fd, sockopt::OobInline, &true);
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    {
        let _ = setsockopt(&fd, sockopt::TcpKeepIdle, &60);
        let _ = setsockopt(&fd, sockopt::TcpKeepInterval, &60);
        let _ = setsockopt(&fd, sockopt::TcpKeepCount, &10);
    }
}

/// Returns true if a write to `fd` would take bytes or fail at once.
pub(crate) fn has_room(fd: impl AsFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Waits until `fd` takes bytes or has failed, at most for `limit` (`None`: for ever).
pub(crate) fn wait_writable(fd: impl AsFd, limit: Option<Duration>) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let limit = limit.map_or(PollTimeout::NONE, |limit| {
        PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
    });
    let _ = poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)], limit);
}
