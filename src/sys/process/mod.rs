//! Child processes: their exit status, reaping them, signals to them and their process groups.

pub(crate) mod daemonize;
pub(crate) mod exec;
pub(crate) mod exit_status;
pub(crate) mod left_behind;
pub(crate) mod limits;
pub(crate) mod passed_fds;
pub(crate) mod pidfd;
pub(crate) mod procfs;
pub(crate) mod program_file;
pub(crate) mod signal;
pub(crate) mod spawn;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod system_call_filter;
pub(crate) mod user;

use std::ffi::OsStr;
use std::io;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid, getpgrp};

pub use self::exit_status::ExitStatus;
use super::cerr;

/// Returns the PID of this process.
pub(crate) fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Has the process that `command` starts get SIGTERM when the thread that starts it ends, with the
/// whole process or not. Only Linux can do that.
pub(crate) fn end_with_parent(command: &mut std::process::Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let ask = || Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?);
        // SAFETY: between fork and exec, this makes one system call and allocates nothing.
        unsafe { command.pre_exec(ask) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// Returns how child `pid` has ended, or `None` if it has not. The child is not reaped, so no other
/// process or group can have its PID yet.
pub(crate) fn poll_exit(pid: i32) -> Option<ExitStatus> {
    wait_info(libc::P_PID, pid, libc::WNOWAIT).map(|(_, end)| end)
}

/// Reaps child `pid`, if it has ended.
pub(crate) fn reap(pid: i32) {
    let _ = wait_info(libc::P_PID, pid, 0);
}

/// Reaps every child that has ended, except these: orphans that this process adopted, because it is
/// PID 1 or a subreaper (PR_SET_CHILD_SUBREAPER(2const)).
pub(crate) fn reap_others(except: [Option<i32>; 3]) {
    while let Some((pid, _)) = wait_info(libc::P_ALL, 0, libc::WNOWAIT) {
        if except.contains(&Some(pid)) {
            // Another call would only return the same child.
            return;
        }
        reap(pid);
    }
}

/// Returns a child that has ended, if there is one (waitid(2)). nix's function fails for a child
/// that a real-time signal has killed.
fn wait_info(which: libc::idtype_t, pid: i32, flags: libc::c_int) -> Option<(i32, ExitStatus)> {
    // SAFETY: siginfo_t is plain data, of which all zeros are a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = flags | libc::WEXITED | libc::WNOHANG;
    // SAFETY: `info` is valid for writing.
    while let Err(error) = cerr(unsafe { libc::waitid(which, pid as _, &mut info, flags) }) {
        if error.kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
    // SAFETY: waitid has filled in the fields of a child, or left the zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let end = match info.si_code {
        // Not every system cuts the status to the eight bits of wait(2) here.
        libc::CLD_EXITED => ExitStatus::Code(status as u8),
        _ => ExitStatus::Signal(status),
    };
    (pid != 0).then_some((pid, end))
}

/// Sends `signal` to the process group of child `pid`, which must not have been reaped. If the
/// group is gone, the child alone gets it.
pub(crate) fn signal_group(pid: i32, signal: i32) {
    let pid = Pid::from_raw(pid);
    if let Ok(signal) = Signal::try_from(signal) {
        let sent = match getpgid(Some(pid)) {
            Ok(group) if group != getpgrp() && group.as_raw() > 1 => killpg(group, signal),
            // The child was only just forked, and still is in the group of this process.
            _ => Err(nix::errno::Errno::ESRCH),
        };
        if sent.is_err() {
            let _ = kill(pid, signal);
        }
    }
}

/// Sends `signal` to child `pid`, which must not have been reaped.
pub(crate) fn signal(pid: i32, signal: i32) {
    if let Ok(signal) = Signal::try_from(signal) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Names the calling thread, which for the main thread is the name of the process, as ps(1) shows it:
/// the first 15 bytes of `name` (PR_SET_NAME(2const)).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set_name(name: &OsStr) {
    use std::os::unix::ffi::OsStrExt;
    if let Ok(name) = std::ffi::CString::new(name.as_bytes()) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// Changes nothing: the process keeps its name.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set_name(_name: &OsStr) {}

/// Returns true if a process `pid` exists that this process may signal.
pub(crate) fn may_signal(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok()
}

/// Makes this process the parent of all its descendants that lose their parent
/// (PR_SET_CHILD_SUBREAPER(2const)). It stays so after an exec.
///
/// # Errors
/// Those of prctl(2).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// This system has no such call.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns true if a process `pid` exists.
///
/// # Errors
/// Those of kill(2), except that the process is another user's or does not exist.
pub(crate) fn exists(pid: i32) -> io::Result<bool> {
    match kill(Pid::from_raw(pid), None) {
        Ok(()) | Err(nix::errno::Errno::EPERM) => Ok(true),
        Err(nix::errno::Errno::ESRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
