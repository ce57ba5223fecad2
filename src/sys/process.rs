//! Children after their birth: looking at a death before it is reaped, signalling a group.

use std::io;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::cerr;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

/// Whether child `pid` has ended, and how. It is left unreaped, so that its PID and process
/// group can't be anybody else's yet.
pub fn peek(pid: i32) -> Option<End> {
    look(libc::P_PID, pid, libc::WNOWAIT).map(|(_, end)| end)
}

/// Reaps child `pid`, which has ended.
pub fn reap(pid: i32) {
    let _ = look(libc::P_PID, pid, 0);
}

/// Reaps every ended child but `except`: orphans that came to us as PID 1.
pub fn reap_others(except: [Option<i32>; 3]) {
    while let Some((pid, _)) = look(libc::P_ALL, 0, libc::WNOWAIT) {
        if except.contains(&Some(pid)) {
            // Looking again would only show the same one.
            return;
        }
        reap(pid);
    }
}

/// A child that has ended, if there is one. Not nix's waitid, for which a death by a real-time
/// signal is an error.
fn look(which: libc::idtype_t, pid: i32, flags: libc::c_int) -> Option<(i32, End)> {
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
    let end = if info.si_code == libc::CLD_EXITED { End::Exited } else { End::Killed };
    (pid != 0).then(|| (pid, end(status)))
}

/// Sends `signal` to the process group of child `leader`, which is not reaped. A group that is gone
/// is no error.
pub fn signal_group(leader: i32, signal: i32) {
    let leader = Pid::from_raw(leader);
    if let Ok(signal) = Signal::try_from(signal)
        && killpg(leader, signal).is_err()
    {
        // It was only just forked and leads no group yet.
        let _ = kill(leader, signal);
    }
}

/// Whether a process `pid` exists.
pub fn exists(pid: i32) -> io::Result<bool> {
    match kill(Pid::from_raw(pid), None) {
        Ok(()) | Err(nix::errno::Errno::EPERM) => Ok(true),
        Err(nix::errno::Errno::ESRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
