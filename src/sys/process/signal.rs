//! Signal masks and dispositions.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::socket::{MsgFlags, send};

/// Empties the signal mask of this process, whatever mask it was started with.
///
/// # Errors
/// Those of sigprocmask(2).
pub(crate) fn unblock_all() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// Blocks signals in this thread, and in threads and programs that it starts, until it is dropped.
pub(crate) struct SignalMaskGuard(SigSet);

impl SignalMaskGuard {
    /// Blocks all signals: they stay pending, also across an exec.
    ///
    /// # Errors
    /// Those of sigprocmask(2).
    pub(crate) fn all() -> io::Result<SignalMaskGuard> {
        SignalMaskGuard::set(SigSet::all())
    }

    /// Blocks all signals but those that a terminal's keys send. A server that ignores these
    /// discards them; blocked, they would stay pending for the child.
    pub(crate) fn all_but_keyboard() -> io::Result<SignalMaskGuard> {
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
        // It cannot fail: the kernel itself gave this mask.
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.0), None);
    }
}

/// Blocks SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 until [`unblock_all`], when there is a server that
/// can act on them, and unblocks all other signals, whatever mask was inherited.
///
/// # Errors
/// Those of sigprocmask(2).
pub(crate) fn block_until_ready() -> io::Result<()> {
    let set =
        SigSet::from_iter([Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2]);
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?)
}

/// Remembers which process sent a signal last. It is an action of signal-hook-registry and not the
/// feature of signal-hook for this, which compiles C.
#[derive(Debug)]
pub(crate) struct SenderTracker(Arc<AtomicU64>);

/// Set in the number if the signal has a sender. The 31 bits below are its PID, the lower 32 its
/// user.
const KNOWN: u64 = 1 << 63;

impl SenderTracker {
    /// Remembers the sender of each `signal` from now on.
    ///
    /// # Errors
    /// Those of sigaction(2).
    pub(crate) fn install(signal: i32) -> io::Result<SenderTracker> {
        let noted = Arc::new(AtomicU64::new(0));
        let place = Arc::clone(&noted);
        let action = move |info: &libc::siginfo_t| {
            // A positive code means that the kernel itself sent the signal (sigaction(2)).
            let sender = if info.si_code <= 0 {
                // SAFETY: a signal that a process has sent has these two fields.
                let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
                KNOWN | u64::from(pid.unsigned_abs()) << 32 | u64::from(uid)
            } else {
                0
            };
            place.store(sender, Ordering::Release);
        };
        // SAFETY: the action only reads its argument and stores a number, which is
        // async-signal-safe.
        unsafe { signal_hook_registry::register_sigaction(signal, action) }?;
        Ok(SenderTracker(noted))
    }

    /// Returns the PID and the user ID of the sender, if a process sent the signal. The PID of a
    /// process outside the PID namespace is 0.
    pub(crate) fn last(&self) -> Option<(i32, u32)> {
        let sender = self.0.load(Ordering::Acquire);
        let pid = i32::try_from((sender & !KNOWN) >> 32).ok()?;
        (sender & KNOWN != 0).then_some((pid, sender as u32))
    }
}

/// Writes a byte to `socket` for each `signal` from now on, unless the socket is full. Unlike the function of
/// signal-hook for this, it takes no descriptor for each signal.
///
/// # Errors
/// Those of sigaction(2).
pub(crate) fn wake(signal: i32, socket: Arc<UnixStream>) -> io::Result<()> {
    // A full socket wakes as well, and there is nobody to tell another error.
    let action = move || {
        let _ = send(socket.as_raw_fd(), b"X", MsgFlags::MSG_DONTWAIT);
    };
    // SAFETY: the action only calls send(2), which is async-signal-safe.
    unsafe { signal_hook_registry::register(signal, action) }?;
    Ok(())
}

/// Ignores `signal`. Children are not affected, as they start with the default dispositions.
/// Async-signal-safe.
pub(crate) fn ignore(signal: i32) {
    // SAFETY: SIG_IGN runs no code; an unknown signal is an error.
    let _ = unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Ignores signals until it is dropped, which restores their actions.
pub(crate) struct IgnoredGuard(Vec<(libc::c_int, libc::sigaction)>);

impl IgnoredGuard {
    /// Ignores `signals`. An exec does not change that.
    pub(crate) fn new(signals: &[Signal]) -> IgnoredGuard {
        let ignored = signals.iter().filter_map(|&signal| {
            let signal = signal as libc::c_int;
            // SAFETY: sigaction is plain data, all zero is a valid value of it.
            let [mut ignore, mut before]: [libc::sigaction; 2] = unsafe { std::mem::zeroed() };
            ignore.sa_sigaction = libc::SIG_IGN;
            // SAFETY: SIG_IGN runs no code, and `before` is valid for writing.
            (unsafe { libc::sigaction(signal, &ignore, &mut before) } == 0)
                .then_some((signal, before))
        });
        IgnoredGuard(ignored.collect())
    }
}

impl Drop for IgnoredGuard {
    fn drop(&mut self) {
        for (signal, before) in &self.0 {
            // SAFETY: the action was that of this signal before.
            unsafe { libc::sigaction(*signal, before, std::ptr::null_mut()) };
        }
    }
}

/// Gives `signals` their default action.
pub(crate) fn restore_default(signals: &[Signal]) {
    for &signal in signals {
        // SAFETY: SIG_DFL runs no code.
        let _ = unsafe { libc::signal(signal as libc::c_int, libc::SIG_DFL) };
    }
}

/// Sets all dispositions to their defaults and empties the mask. Async-signal-safe.
pub(crate) fn reset_all() {
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
