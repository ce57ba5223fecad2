//! File descriptors: flags, and what kind of thing stands behind one.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::stat::fstat;

use super::cerr;

/// Makes every descriptor above 2 close on exec, also those that were inherited: a child gets
/// 0, 1 and 2, and nothing that somebody forgot.
pub fn close_on_exec_all() {
    // This needs no descriptor itself.
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
pub fn set_nonblocking_cloexec(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd();
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Takes a descriptor over that another program left open in this process, closed on exec from now
/// on. Its number must not have been taken over before.
pub fn adopt(number: i32) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: sets a flag of a descriptor by number; one that is not open is an error.
    cerr(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and nothing in this process has opened it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Decides whether a program that this process becomes has the descriptor with this number.
pub fn set_inherited(number: i32, inherited: bool) {
    let flags = if inherited { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: sets a flag of a descriptor by number; one that is not open is an error.
    let _ = unsafe { libc::fcntl(number, libc::F_SETFD, flags) };
}

/// A file in memory, without a name, that holds `bytes`. Closed on exec.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub fn in_memory(bytes: &[u8]) -> io::Result<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let mut file = File::from(memfd_create(c"procserv-state", MFdFlags::MFD_CLOEXEC)?);
    io::Write::write_all(&mut file, bytes)?;
    Ok(file)
}

/// Where there are none, one whose name is gone.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let name = format!("procserv-state.{}.{}", std::process::id(), super::time::monotonic());
    let path = std::env::temp_dir().join(name);
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    io::Write::write_all(&mut file, bytes)?;
    Ok(file)
}

/// Writes both slices with one call.
pub fn write_two(mut file: &File, slices: (&[u8], &[u8])) -> io::Result<usize> {
    use std::io::Write;
    file.write_vectored(&[IoSlice::new(slices.0), IoSlice::new(slices.1)])
}

/// What kind of thing stands behind `fd`, a value of `S_IFMT`, and which one: device and inode.
// The widths differ from system to system.
#[allow(clippy::unnecessary_cast)]
pub fn identity(fd: impl AsFd) -> io::Result<(u32, u64, u64)> {
    let stat = fstat(fd)?;
    Ok(((stat.st_mode & libc::S_IFMT) as u32, stat.st_dev as u64, stat.st_ino as u64))
}

/// The soft and the hard limit of open files.
// As above.
#[allow(clippy::unnecessary_cast)]
fn limits() -> io::Result<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok((soft as u64, hard as u64))
}

/// Whether fewer than `reserve` descriptors are left below the limit. The kernel gives out the
/// lowest free number, so a probe tells.
pub fn is_near_limit(probe: BorrowedFd<'_>, reserve: u64) -> bool {
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

/// Raises the soft limit of open files to the hard one. What it was, for the child.
pub fn raise_limit() -> Option<(u64, u64)> {
    let before = limits().ok()?;
    let hard = before.1 as rlim_t;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok()?;
    Some(before)
}

/// For a TCP connection with a person at its end: keystrokes go out at once, a dead peer is found
/// by keepalive after 60 s of silence and 10 probes 60 s apart. A failure leaves the defaults.
pub fn tune_tcp(fd: impl AsFd) {
    use nix::sys::socket::{setsockopt, sockopt};
    let fd = fd.as_fd();
    let _ = setsockopt(&fd, sockopt::TcpNoDelay, &true);
    let _ = setsockopt(&fd, sockopt::KeepAlive, &true);
    // Telnet sends the mark after an interrupt as urgent data. Taken out of the stream, its IAC
    // would swallow the next key.
    let _ = setsockopt(&fd, sockopt::OobInline, &true);
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    {
        let _ = setsockopt(&fd, sockopt::TcpKeepIdle, &60);
        let _ = setsockopt(&fd, sockopt::TcpKeepInterval, &60);
        let _ = setsockopt(&fd, sockopt::TcpKeepCount, &10);
    }
}

/// Whether `fd` takes bytes now, or fails at once.
pub fn has_room(fd: impl AsFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Waits until `fd` takes bytes, or has failed, at most so long (`None`: for ever).
pub fn wait_writable(fd: impl AsFd, limit: Option<Duration>) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let limit = limit.map_or(PollTimeout::NONE, |limit| {
        PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
    });
    let _ = poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)], limit);
}
