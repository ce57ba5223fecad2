//! Signals to a session: handlers only record them, and the session acts on them when the terminal
//! has the right modes.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::flag::{register_conditional_default, register_usize};

/// The signals that have come and have not been handled.
pub(crate) struct Signals {
    wake: UnixStream,
    /// The last signal that ends a session. A later signal of the other kind does not replace it.
    end: Arc<AtomicUsize>,
    /// The last signal that stops or continues a session.
    job: Arc<AtomicUsize>,
    /// True if the size of the terminal's window has changed.
    window: Arc<AtomicBool>,
    /// Signals that end a session have their default action again.
    released: Arc<AtomicBool>,
}

impl Signals {
    /// Installs the handlers. `others` are signals after which there is only something to look at.
    ///
    /// # Errors
    /// Those of sigaction(2) and socketpair(2).
    pub(crate) fn catch(others: &[i32]) -> io::Result<Signals> {
        let (wake, sender) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let signals = Signals {
            wake,
            end: Arc::default(),
            job: Arc::default(),
            window: Arc::default(),
            released: Arc::default(),
        };
        signal_hook::flag::register(SIGWINCH, Arc::clone(&signals.window))?;
        signal_hook::low_level::pipe::register(SIGWINCH, OwnedFd::from(sender.try_clone()?))?;
        for &number in others {
            signal_hook::low_level::pipe::register(number, OwnedFd::from(sender.try_clone()?))?;
        }
        for number in [SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT] {
            let ends = !matches!(number, SIGTSTP | SIGCONT);
            let last = if ends { &signals.end } else { &signals.job };
            if ends {
                register_conditional_default(number, Arc::clone(&signals.released))?;
            }
            register_usize(number, Arc::clone(last), usize::try_from(number).unwrap_or(0))?;
            signal_hook::low_level::pipe::register(number, OwnedFd::from(sender.try_clone()?))?;
        }
        Ok(signals)
    }

    /// Takes the signal that ends the session, or else the one that stops or continues it. 0 if no
    /// signal has come.
    pub(crate) fn take(&self) -> i32 {
        let mut woken = [0; 16];
        while matches!({ &self.wake }.read(&mut woken), Ok(1..)) {}
        let end = self.end.swap(0, Ordering::SeqCst);
        let number = if end == 0 { self.job.swap(0, Ordering::SeqCst) } else { end };
        i32::try_from(number).unwrap_or(0)
    }

    /// Returns true if the size of the terminal's window has changed since this was asked last.
    pub(super) fn window_changed(&self) -> bool {
        self.window.swap(false, Ordering::SeqCst)
    }

    /// Has such a signal wait for the session again, after [`release`](Self::release).
    pub(super) fn hold(&self) {
        self.released.store(false, Ordering::SeqCst);
    }

    /// Has a signal that ends a session end the process at once from now on, as the last output may
    /// find a terminal that is stuck. Returns the signal that has come before.
    pub(super) fn release(&self) -> Option<i32> {
        self.released.store(true, Ordering::SeqCst);
        i32::try_from(self.end.swap(0, Ordering::SeqCst)).ok().filter(|&number| number != 0)
    }
}

/// Readable when a signal has come.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
