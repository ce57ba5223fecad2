//! Signal masks and dispositions.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

/// Empties this process's signal mask: it must hear signals, whoever started it.
pub fn unblock_all() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// While it lives, this thread takes no signals, nor do threads and programs that it starts.
pub struct SignalMaskGuard(SigSet);

impl SignalMaskGuard {
    /// Blocks all signals: they stay pending, also across an exec.
    pub fn all() -> io::Result<SignalMaskGuard> {
        SignalMaskGuard::set(SigSet::all())
    }

    /// Blocks all but those of a terminal's keys. They would stay pending, where a server that
    /// ignores them discards them.
    pub(super) fn all_but_keyboard() -> io::Result<SignalMaskGuard> {
        let mut set = SigSet::all();
        for key in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP] {
            set.remove(key);
        }
        SignalMaskGuard::set(set)
    }

    fn set(set: SigSet) -> io::Result<SignalMaskGuard> {
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), Some(&mut before))?;
        Ok(SignalMaskGuard(before))
    }
}

impl Drop for SignalMaskGuard {
    fn drop(&mut self) {
        // A mask that the kernel gave is one that it takes.
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.0), None);
    }
}

/// Holds SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 back until [`unblock_all`], so that they find somebody to clean
/// up; all other signals come at once, whatever mask was inherited.
pub fn block_until_ready() -> io::Result<()> {
    let set =
        SigSet::from_iter([Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2]);
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?)
}

/// Who sent a signal.
#[derive(Debug)]
pub struct SenderTracker(Arc<AtomicU64>);

/// In what is noted: that there is somebody.
const KNOWN: u64 = 1 << 63;

impl SenderTracker {
    /// Notes it from now on, at each `signal`.
    pub fn install(signal: i32) -> io::Result<SenderTracker> {
        let noted = Arc::new(AtomicU64::new(0));
        let place = Arc::clone(&noted);
        let action = move |info: &libc::siginfo_t| {
            // The codes above are the kernel's own.
            let sender = if info.si_code <= 0 {
                // SAFETY: a signal that a process sent has these two fields.
                let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
                KNOWN | u64::from(pid.unsigned_abs()) << 32 | u64::from(uid)
            } else {
                0
            };
            place.store(sender, Ordering::Release);
        };
        // SAFETY: all that the action does is to read its argument and to store a number.
        unsafe { signal_hook_registry::register_sigaction(signal, action) }?;
        Ok(SenderTracker(noted))
    }

    /// The process and its user. A process of another PID namespace is 0.
    pub fn last(&self) -> Option<(i32, u32)> {
        let sender = self.0.load(Ordering::Acquire);
        let pid = i32::try_from((sender & !KNOWN) >> 32).ok()?;
        (sender & KNOWN != 0).then_some((pid, sender as u32))
    }
}

/// Ignores `signal`. Does not affect the children, who start with defaults.
/// Ignores `signal`. Does not affect the children, who start with defaults. Async-signal-safe.
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
