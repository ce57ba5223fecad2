//! Children after their birth: looking at a death before it is reaped, signalling a group.

use std::ffi::OsStr;
use std::io;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid, getpgrp};

use super::cerr;
pub use super::exit_status::ExitStatus;

/// The PID of this process.
pub fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Whether child `pid` has ended, and how. It is left unreaped, so that its PID and process
/// group can't be anybody else's yet.
pub fn poll_exit(pid: i32) -> Option<ExitStatus> {
    wait_info(libc::P_PID, pid, libc::WNOWAIT).map(|(_, end)| end)
}

/// Reaps child `pid`, which has ended.
pub fn reap(pid: i32) {
    let _ = wait_info(libc::P_PID, pid, 0);
}

/// Reaps every ended child but `except`: orphans that came to us, as PID 1 or as a
/// subreaper.
pub fn reap_others(except: [Option<i32>; 3]) {
    while let Some((pid, _)) = wait_info(libc::P_ALL, 0, libc::WNOWAIT) {
        if except.contains(&Some(pid)) {
            // Looking again would only show the same one.
            return;
        }
        reap(pid);
    }
}

/// A child that has ended, if there is one. Not nix's waitid, for which a death by a real-time
/// signal is an error.
fn wait_info(which: libc::idtype_t, pid: i32, flags: libc::c_int) -> Option<(i32, ExitStatus)> {
    // SAFETY: siginfo_t is plain data, all zero is a valid value of it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = flags | libc::WEXITED | libc::WNOHANG;
    // SAFETY: `info` is valid for writing.
    while let Err(error) = cerr(unsafe { libc::waitid(which, pid as _, &mut info, flags) }) {
        if error.kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
    // SAFETY: waitid has filled in what it has of a child, or left the zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let end = match info.si_code {
        // Not every system cuts the status to the eight bits of wait(2) here.
        libc::CLD_EXITED => ExitStatus::Code(status as u8),
        _ => ExitStatus::Signal(status),
    };
    (pid != 0).then_some((pid, end))
}

/// Sends `signal` to the process group of child `pid`, which is not reaped. A group that is gone
/// is no error.
pub fn signal_group(pid: i32, signal: i32) {
    let pid = Pid::from_raw(pid);
    if let Ok(signal) = Signal::try_from(signal) {
        let sent = match getpgid(Some(pid)) {
            Ok(group) if group != getpgrp() && group.as_raw() > 1 => killpg(group, signal),
            // It was only just forked and is in our own yet.
            _ => Err(nix::errno::Errno::ESRCH),
        };
        if sent.is_err() {
            let _ = kill(pid, signal);
        }
    }
}

/// Whether process `pid` is in a process group that another one leads or led.
pub fn is_in_other_group(pid: i32) -> bool {
    getpgid(Some(Pid::from_raw(pid))).is_ok_and(|group| group.as_raw() != pid)
}

/// Sends `signal` to child `pid`, which is not reaped.
pub fn signal(pid: i32, signal: i32) {
    if let Ok(signal) = Signal::try_from(signal) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Whether a process `pid` exists that this one may signal.
pub fn may_signal(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok()
}

/// Makes this process the parent of all its descendants that lose theirs. That lasts over exec.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// It can't be done here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn adopt_orphans() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Names the calling thread, which for the main thread is the name of the process, as ps(1) shows it:
/// the first 15 bytes of `name`.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn set_name(name: &OsStr) {
    use std::os::unix::ffi::OsStrExt;
    if let Ok(name) = std::ffi::CString::new(name.as_bytes()) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// It keeps the name it has.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn set_name(_name: &OsStr) {}

/// Whether a process `pid` exists.
pub fn exists(pid: i32) -> io::Result<bool> {
    match kill(Pid::from_raw(pid), None) {
        Ok(()) | Err(nix::errno::Errno::EPERM) => Ok(true),
        Err(nix::errno::Errno::ESRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
