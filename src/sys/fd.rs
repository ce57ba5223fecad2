//! File descriptors: flags, limits, and the kind of file behind one.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::stat::fstat;

use super::cerr;
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::process::system_call_filter;

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

/// The descriptor table of the calling thread.
#[derive(Debug)]
pub(crate) struct DescriptorTable {
    /// True if no other thread has this table.
    own: bool,
}

impl DescriptorTable {
    /// Gives the calling thread a table of its own, in which 0, 1, 2 and `kept` are open. What it opens
    /// from then on no child of the other threads inherits and none of them closes: a file system that
    /// hangs hangs this thread alone. Nothing that the others close stays open here.
    ///
    /// Where a thread can have no such table it goes on sharing the one of its process.
    ///
    /// # Errors
    /// The kernel has no memory or no descriptor for the table, or no process to try it first.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn separate(kept: &[RawFd]) -> io::Result<DescriptorTable> {
        if !system_call_filter::allows_separate_table()? {
            return Ok(DescriptorTable { own: false });
        }
        // SAFETY: this thread alone gets a copy of the table; no descriptor is closed by that.
        match cerr(unsafe { libc::unshare(libc::CLONE_FILES) }) {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EMFILE)) => {
                return Err(error);
            }
            Err(_) => return Ok(DescriptorTable { own: false }),
        }
        let mut kept: Vec<u32> = kept.iter().filter_map(|&fd| u32::try_from(fd).ok()).collect();
        kept.sort_unstable();
        let mut first = 3;
        for end in kept.into_iter().chain([u32::MAX]) {
            if first < end {
                close_range(first, if end == u32::MAX { end } else { end - 1 });
            }
            first = end.saturating_add(1);
        }
        Ok(DescriptorTable { own: true })
    }

    /// Does nothing, as on this system all threads of a process share its table.
    ///
    /// # Errors
    /// None.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn separate(_kept: &[RawFd]) -> io::Result<DescriptorTable> {
        Ok(DescriptorTable { own: false })
    }

    /// Returns the descriptor with this number, which another thread has open in its table, for this
    /// one. It has the same number if this thread has a table of its own, so a number must not be taken
    /// twice.
    ///
    /// # Errors
    /// `EBADF` if the number is not open; the table is full.
    pub(crate) fn take(&self, number: RawFd) -> io::Result<OwnedFd> {
        if self.own {
            return adopt(number);
        }
        // SAFETY: a system call on plain numbers.
        let copy = cerr(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) })?;
        // SAFETY: the kernel has just opened it.
        Ok(unsafe { OwnedFd::from_raw_fd(copy) })
    }
}

/// Closes the descriptors from `first` to `last`, of a table that no other thread has and whose
/// descriptors no value owns.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn close_range(first: u32, last: u32) {
    // SAFETY: see above.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return;
    }
    // Linux before 5.9.
    let entries = fs::read_dir("/proc/thread-self/fd").into_iter().flatten().flatten();
    let open: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        // SAFETY: see above.
        let _ = unsafe { libc::close(fd as libc::c_int) };
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

/// Returns true if fewer descriptors are left below the soft limit than `reserve` returns for that
/// limit. The kernel gives out the lowest free number, so a copy of `probe` tells how many are open.
pub(crate) fn is_near_limit(probe: BorrowedFd<'_>, reserve: impl FnOnce(u64) -> u64) -> bool {
    let Ok((soft, _)) = limits() else {
        return false;
    };
    match probe.try_clone_to_owned() {
        Ok(copy) => {
            let lowest = u64::try_from(copy.as_raw_fd()).unwrap_or(0);
            lowest >= soft.saturating_sub(reserve(soft))
        }
        Err(_) => true,
    }
}

/// Returns how many of `wanted` descriptors cannot be opened because of the limit of open files, and
/// that limit; `None` if all of them can be opened.
pub(crate) fn missing(wanted: u64) -> Option<(u64, u64)> {
    let probe = io::stdin();
    let mut copies = Vec::new();
    for missing in (1..=wanted).rev() {
        match probe.as_fd().try_clone_to_owned() {
            Ok(copy) => copies.push(copy),
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                return Some((missing, limits().ok()?.0));
            }
            Err(_) => return None,
        }
    }
    None
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

/// Sets the options of a TCP connection of which the other side has ended its input (tcp(7)). When it
/// closes the connection, nothing comes of that: only an answer to data or to keepalive tells, and for
/// Linux' 60 s of FIN_WAIT_2 keepalive is answered as before. A peer that is gone is found after 15 s of
/// silence and 4 probes 15 s apart. Sockets of other kinds have no such options.
pub(crate) fn tune_half_closed_tcp(fd: impl AsFd) {
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        let fd = fd.as_fd();
        let _ = setsockopt(&fd, sockopt::TcpKeepIdle, &15);
        let _ = setsockopt(&fd, sockopt::TcpKeepInterval, &15);
        let _ = setsockopt(&fd, sockopt::TcpKeepCount, &4);
    }
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    let _ = fd;
}

/// Returns `None` if the other side of a socket may still read, else the result of the connection: it
/// was closed or reset, or it failed.
pub(crate) fn hang_up(fd: impl AsFd) -> Option<io::Result<()>> {
    use nix::sys::socket::{getsockopt, sockopt};
    let fd = fd.as_fd();
    // These events are always reported.
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    if !poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0) {
        return None;
    }
    let error = getsockopt(&fd, sockopt::SocketError).unwrap_or_default();
    Some(match Errno::from_raw(error) {
        _ if error == 0 => Ok(()),
        Errno::EPIPE | Errno::ECONNRESET => Ok(()),
        errno => Err(errno.into()),
    })
}

/// Waits for one of `fds`, at most for `limit`, and goes on waiting if a signal comes. Returns how many
/// are ready.
///
/// # Errors
/// Those of poll(2).
pub(crate) fn poll_within(fds: &mut [PollFd<'_>], limit: Duration) -> io::Result<libc::c_int> {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match poll(fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Returns true if a write to `fd` would take bytes or fail at once.
pub(crate) fn has_room(fd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Waits until `fd` takes bytes or has failed, at most for `limit` (`None`: for ever).
pub(crate) fn wait_writable(fd: impl AsFd, limit: Option<Duration>) {
    let limit = limit.map_or(PollTimeout::NONE, |limit| {
        PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
    });
    let _ = poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)], limit);
}
