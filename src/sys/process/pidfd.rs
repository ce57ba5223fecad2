//! Processes by descriptor (pidfd_open(2)). For a process that is not a child of this one, a
//! descriptor is the only name that never comes to mean another process. Linux only; elsewhere
//! there are none.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::ExitStatus;
use crate::sys::fd::poll_within;

/// Returns a descriptor of process `pid`, which closes on exec.
///
/// # Errors
/// Those of pidfd_open(2).
#[cfg(target_os = "linux")]
pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: a system call on plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = crate::sys::cerr(libc::c_int::try_from(fd).unwrap_or(-1))?;
    // SAFETY: the kernel has just opened the descriptor for this process.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) })
}

/// Returns true if `fd` is a descriptor of a process, dead or alive (`Pid:` in proc_pid_fdinfo(5)).
pub(crate) fn is_pidfd(fd: impl AsFd) -> bool {
    let info = std::fs::read(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()));
    info.is_ok_and(|info| info.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"Pid:")))
}

/// Returns a descriptor of process `pid`, if that process was started at `start_ticks`, in ticks of
/// USER_HZ since boot (field 22 of proc_pid_stat(5)).
pub(crate) fn find(pid: i32, start_ticks: u64) -> Option<OwnedFd> {
    let process = open(pid).ok()?;
    (crate::sys::process::procfs::start_ticks(pid) == Some(start_ticks)).then_some(process)
}

/// Kills the process group that the process leads or led, and waits for the end of the process, at
/// most for `limit`.
pub(crate) fn kill_group(process: impl AsFd, pid: i32, limit: Duration) {
    let process = process.as_fd();
    signal_group(process, pid, libc::SIGKILL);
    let _ = poll_within(&mut [PollFd::new(process, PollFlags::POLLIN)], limit);
}

/// Returns how the process has ended, or `None` if it has not. The kernel tells only when the parent
/// of the process has reaped it, for which this waits at most `reap_wait`.
pub(crate) fn exit_status(process: impl AsFd, reap_wait: Duration) -> Option<ExitStatus> {
    let process = process.as_fd();
    let is = |events, wait| {
        let mut fds = [PollFd::new(process, events)];
        poll_within(&mut fds, wait).is_ok_and(|count| count > 0)
    };
    if !is(PollFlags::POLLIN, Duration::ZERO) {
        return None;
    }
    // The descriptor hangs up when the process is reaped.
    is(PollFlags::empty(), reap_wait);
    Some(wait_status(process.as_raw_fd()).map_or(ExitStatus::Unknown, end))
}

/// Returns true if the process has not ended.
pub(crate) fn is_alive(process: impl AsFd) -> bool {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count == 0)
}

fn end(status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(status) {
        ExitStatus::Signal(libc::WTERMSIG(status))
    } else {
        ExitStatus::Code(libc::WEXITSTATUS(status) as u8)
    }
}

/// Returns the status of wait(2) for a process that was reaped, by the request PIDFD_GET_INFO of
/// linux/pidfd.h. Its answer has the status since Linux 6.15 (PIDFD_INFO_EXIT).
#[cfg(target_os = "linux")]
fn wait_status(process: i32) -> Option<i32> {
    /// The first 64 bytes of `struct pidfd_info`, of which later versions have more.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        /// `pid` to `fsgid`.
        ids: [u32; 11],
        exit_code: i32,
    }
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    /// `_IOWR(0xFF, 11, struct pidfd_info)`, with the size of the first version, 64 bytes.
    const PIDFD_GET_INFO: libc::c_ulong = 0xC040_FF0B;
    let mut info = Info { mask: PIDFD_INFO_EXIT, ..Info::default() };
    // SAFETY: `info` has the size that the request's number tells, 64 bytes, and is valid for
    // writing.
    let result = unsafe { libc::ioctl(process, PIDFD_GET_INFO as _, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// Sends `signal` to the process group of process `pid`, whose descriptor `process` is: to the
/// group that the process leads or led, or else to the one that it is in while it lives. If there
/// is no such group, nothing happens.
#[cfg(target_os = "linux")]
pub(crate) fn signal_group(process: impl AsFd, pid: i32, signal: i32) {
    /// Of linux/pidfd.h.
    const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;
    // The group that it is in may be one that another process leads or led.
    let group = nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(pid)));
    let is_others = group.is_ok_and(|group| group.as_raw() != pid);
    if pid > 1 && is_others && is_alive(&process) {
        return crate::sys::process::signal_group(pid, signal);
    }
    let fd = process.as_fd().as_raw_fd();
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a system call on plain numbers and a null pointer, which it allows.
    let sent = unsafe {
        let flags = PIDFD_SIGNAL_PROCESS_GROUP;
        libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, flags)
    };
    // Linux before 6.9 knows no groups here. While the leader lives, no other group has its number.
    let unknown = io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL);
    if sent == -1 && unknown && pid > 1 && is_alive(process) {
        crate::sys::process::signal_group(pid, signal);
    }
}

/// Sends `signal` to the process.
///
/// # Errors
/// Those of pidfd_send_signal(2).
#[cfg(target_os = "linux")]
pub(crate) fn signal(process: impl AsFd, signal: i32) -> io::Result<()> {
    let fd = process.as_fd().as_raw_fd();
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a system call on plain numbers and a null pointer, which it allows.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) };
    crate::sys::cerr(libc::c_int::try_from(sent).unwrap_or(-1)).map(drop)
}

/// Sends nothing, as nobody can have a descriptor of a process on this system.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn signal(_process: impl AsFd, _signal: i32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There are no descriptors of processes on this system.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn open(_pid: i32) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn wait_status(_process: i32) -> Option<i32> {
    None
}

/// Sends nothing, as nobody can have a descriptor of a process on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn signal_group(_process: impl AsFd, _pid: i32, _signal: i32) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn end_of_a_process_is_seen() {
        let wait = Duration::from_secs(1);
        let mut shell = Command::new("/bin/sh");
        let shell = shell.args(["-c", "read x; exit 7"]).stdin(std::process::Stdio::piped());
        let mut child = shell.spawn().expect("a child");
        let process = open(child.id() as i32).expect("a descriptor");
        assert!(exit_status(&process, wait).is_none());
        drop(child.stdin.take());
        child.wait().expect("its end");
        let end = exit_status(&process, wait).expect("an end");
        // Kernels before 6.15 can't tell.
        assert!(matches!(end, ExitStatus::Code(7) | ExitStatus::Unknown), "{end:?}");
        signal_group(&process, child.id() as i32, libc::SIGTERM);
    }
}
