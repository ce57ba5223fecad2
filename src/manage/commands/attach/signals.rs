//! Signals to a session: noted, and obeyed when the terminal is as it should be.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::flag::{register_conditional_default, register_usize};

/// Those that came.
pub(super) struct Signals {
    wake: UnixStream,
    /// The last that ends a session, and the last that stops or continues one: neither must make
    /// the other forgotten.
    end: Arc<AtomicUsize>,
    job: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Signals {
    /// From now on they are only noted.
    pub(super) fn catch() -> io::Result<Signals> {
        let (wake, sender) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let signals =
            Signals { wake, end: Arc::default(), job: Arc::default(), over: Arc::default() };
        for number in [SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT] {
            let ends = !matches!(number, SIGTSTP | SIGCONT);
            let noted = if ends { &signals.end } else { &signals.job };
            if ends {
                register_conditional_default(number, Arc::clone(&signals.over))?;
            }
            register_usize(number, Arc::clone(noted), usize::try_from(number).unwrap_or(0))?;
            signal_hook::low_level::pipe::register(number, OwnedFd::from(sender.try_clone()?))?;
        }
        Ok(signals)
    }

    /// One that ends a session, else one that stops or continues it, since the last time. 0: none.
    pub(super) fn take(&self) -> i32 {
        let mut woken = [0; 16];
        while matches!({ &self.wake }.read(&mut woken), Ok(1..)) {}
        let end = self.end.swap(0, Ordering::SeqCst);
        let number = if end == 0 { self.job.swap(0, Ordering::SeqCst) } else { end };
        i32::try_from(number).unwrap_or(0)
    }

    /// From now on those that end a session end the process: what is still said may find a terminal
    /// that is stuck. One that came before.
    pub(super) fn let_go(&self) -> Option<i32> {
        self.over.store(true, Ordering::SeqCst);
        i32::try_from(self.end.swap(0, Ordering::SeqCst)).ok().filter(|&number| number != 0)
    }
}

/// Readable when one came.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
