//! Processes by descriptor (pidfd_open(2)): for one that is not our child, the only name that never
//! becomes another's. Linux only; elsewhere nothing can be had.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::process::ExitStatus;

/// A descriptor of process `pid`, closed on exec.
#[cfg(target_os = "linux")]
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: a system call on plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = super::cerr(libc::c_int::try_from(fd).unwrap_or(-1))?;
    // SAFETY: the kernel has just made it, for us.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) })
}

/// Whether there is a process behind it, dead or alive.
pub fn is_pidfd(fd: impl AsFd) -> bool {
    let info = std::fs::read(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()));
    info.is_ok_and(|info| info.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"Pid:")))
}

/// Process `pid`, if that is still the one that was started at `begun`.
pub fn find(pid: i32, begun: u64) -> Option<OwnedFd> {
    let process = open(pid).ok()?;
    (super::procfs::start_ticks(pid) == Some(begun)).then_some(process)
}

/// Kills the process group that the process leads or led, and waits at most so long for its end.
pub fn kill_group(process: impl AsFd, pid: i32, patience: Duration) {
    let process = process.as_fd();
    signal_group(process, pid, libc::SIGKILL);
    let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
    let _ = poll(&mut [PollFd::new(process, PollFlags::POLLIN)], patience);
}

/// Returns how the process has ended, or `None` if it has not. The kernel tells only when the parent
/// of the process has reaped it, for which this waits at most `reap_wait`.
pub fn exit_status(process: impl AsFd, reap_wait: Duration) -> Option<ExitStatus> {
    let process = process.as_fd();
    let is = |events, wait: PollTimeout| {
        let mut fds = [PollFd::new(process, events)];
        poll(&mut fds, wait).is_ok_and(|count| count > 0)
    };
    if !is(PollFlags::POLLIN, PollTimeout::ZERO) {
        return None;
    }
    // Hangs up when it is reaped.
    is(PollFlags::empty(), PollTimeout::try_from(reap_wait).unwrap_or(PollTimeout::ZERO));
    Some(wait_status(process.as_raw_fd()).map_or(ExitStatus::Unknown, end))
}

/// Whether it has not ended.
pub fn is_alive(process: impl AsFd) -> bool {
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

/// PIDFD_GET_INFO, of Linux 6.15 and later, with what is needed of its `struct pidfd_info`.
#[cfg(target_os = "linux")]
fn wait_status(process: i32) -> Option<i32> {
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const WITH_EXIT: u64 = 1 << 3;
    const GET_INFO: libc::c_ulong = 0xC040_FF0B;
    let mut info = Info { mask: WITH_EXIT, ..Info::default() };
    // SAFETY: `info` has the size that the request's number tells, 64 bytes, and is valid for
    // writing.
    let result = unsafe { libc::ioctl(process, GET_INFO as _, &raw mut info) };
    (result == 0 && info.mask & WITH_EXIT != 0).then_some(info.exit_code)
}

/// Sends `signal` to the process group of process `pid`, of which this is a descriptor: to the one
/// that it leads or led, or that it is in while it lives. A group that is gone is no error.
#[cfg(target_os = "linux")]
pub fn signal_group(process: impl AsFd, pid: i32, signal: i32) {
    const GROUP: libc::c_uint = 1 << 2;
    if pid > 1 && super::process::is_in_other_group(pid) && is_alive(&process) {
        return super::process::signal_group(pid, signal);
    }
    let fd = process.as_fd().as_raw_fd();
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a system call on plain numbers and a null pointer, which it allows.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, GROUP) };
    // Linux before 6.9 knows no groups here. While the leader lives, the number is its own.
    let unknown = io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL);
    if sent == -1 && unknown && pid > 1 && is_alive(process) {
        super::process::signal_group(pid, signal);
    }
}

/// Sends `signal` to the process.
#[cfg(target_os = "linux")]
pub fn signal(process: impl AsFd, signal: i32) -> io::Result<()> {
    let fd = process.as_fd().as_raw_fd();
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a system call on plain numbers and a null pointer, which it allows.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) };
    super::cerr(libc::c_int::try_from(sent).unwrap_or(-1)).map(drop)
}

/// Nobody can have a descriptor for this.
#[cfg(not(target_os = "linux"))]
pub fn signal(_process: impl AsFd, _signal: i32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There are none here.
#[cfg(not(target_os = "linux"))]
pub fn open(_pid: i32) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn wait_status(_process: i32) -> Option<i32> {
    None
}

/// Nobody can have a descriptor for this.
#[cfg(not(target_os = "linux"))]
pub fn signal_group(_process: impl AsFd, _pid: i32, _signal: i32) {}

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
