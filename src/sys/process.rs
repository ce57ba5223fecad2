//! Children after their birth: looking at a death before it is reaped, signalling a group.

use std::io;

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

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
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(Pid::from_raw(pid)), flags) {
        Ok(WaitStatus::Exited(_, code)) => Some(End::Exited(code)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Killed(signal as i32)),
        _ => None,
    }
}

/// Reaps child `pid`, which has ended.
pub fn reap(pid: i32) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    let _ = waitid(Id::Pid(Pid::from_raw(pid)), flags);
}

/// Reaps every ended child but `except`: orphans that came to us as PID 1.
pub fn reap_others(except: Option<i32>) {
    loop {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::All, flags).ok().and_then(|status| status.pid()) {
            // Looking again would only show the same one.
            Some(pid) if Some(pid.as_raw()) == except => return,
            Some(pid) => reap(pid.as_raw()),
            None => return,
        }
    }
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
