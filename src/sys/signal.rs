//! Signal masks and dispositions.

use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

/// Empties this process's signal mask: it must hear signals, whoever started it.
pub fn unblock_all() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// While it lives, this thread takes no signals, nor do threads and programs that it starts.
pub struct Blocked(SigSet);

impl Blocked {
    /// Blocks all signals: they stay pending, also across an exec.
    pub fn all() -> io::Result<Blocked> {
        Blocked::set(SigSet::all())
    }

    /// Blocks all but those of a terminal's keys. They would stay pending, where a server that
    /// ignores them discards them.
    pub(super) fn but_keys() -> io::Result<Blocked> {
        let mut set = SigSet::all();
        for key in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP] {
            set.remove(key);
        }
        Blocked::set(set)
    }

    fn set(set: SigSet) -> io::Result<Blocked> {
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), Some(&mut before))?;
        Ok(Blocked(before))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // A mask that the kernel gave is one that it takes.
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.0), None);
    }
}

/// Holds SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 back until [`unblock_all`], so that they find somebody to clean
/// up; all other signals come at once, whatever mask was inherited.
pub fn hold_back() -> io::Result<()> {
    let set =
        SigSet::from_iter([Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2]);
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?)
}

/// Ignores `signal`. Does not affect the children, who start with defaults.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN runs no code; an unknown signal is an error.
    let _ = unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Sets all dispositions to their defaults and empties the mask. Async-signal-safe.
pub(super) fn reset_all() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL runs no code; KILL, STOP and unknown numbers are errors.
        let _ = unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero sigset_t is valid memory for sigemptyset, which then initialises it.
    unsafe {
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &empty, std::ptr::null_mut());
    }
}
