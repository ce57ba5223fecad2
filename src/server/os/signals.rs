//! Signals as state of the event loop: a flag for each, and a socket that wakes the loop.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal::{self, SIGCHLD, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

use super::PendingSignals;
use crate::sys::process::signal::{self, SenderTracker};

/// The signals that have come since they were last taken.
#[derive(Debug)]
pub(crate) struct Signals {
    wake: UnixStream,
    terminate: Arc<AtomicBool>,
    reopen: Arc<AtomicBool>,
    child: Arc<AtomicBool>,
    upgrade: Arc<AtomicBool>,
    overlap: Arc<AtomicBool>,
    window: Arc<AtomicBool>,
    senders: BTreeMap<i32, SenderTracker>,
}

impl Signals {
    /// Handles SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2 and SIGWINCH from now on.
    ///
    /// # Errors
    /// The system has no descriptor to give.
    pub(crate) fn new() -> io::Result<Signals> {
        // The calls that can be refused come first: a failure leaves nothing registered.
        let (wake, writer) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let writer = Arc::new(writer);
        let mut senders = BTreeMap::new();
        let mut register = |signal: Signal| -> io::Result<Arc<AtomicBool>> {
            let signal = signal as i32;
            let flag = Arc::new(AtomicBool::new(false));
            senders.insert(signal, SenderTracker::install(signal)?);
            // The flag is set before the loop is woken.
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            signal::wake(signal, Arc::clone(&writer))?;
            Ok(flag)
        };
        Ok(Signals {
            terminate: register(SIGTERM)?,
            reopen: register(SIGHUP)?,
            child: register(SIGCHLD)?,
            upgrade: register(SIGUSR1)?,
            overlap: register(SIGUSR2)?,
            window: register(SIGWINCH)?,
            senders,
            wake,
        })
    }

    /// The socket that becomes readable when a signal has come.
    pub(crate) fn wake(&self) -> &UnixStream {
        &self.wake
    }

    /// Empties the socket. To be called before [`take`](Self::take).
    pub(crate) fn drain(&mut self) {
        let mut buffer = [0; 64];
        while self.wake.read(&mut buffer).is_ok_and(|count| count > 0) {}
    }

    /// PID and user of the process that sent this signal last, if it was a process.
    pub(crate) fn sender(&self, signal: i32) -> Option<(i32, u32)> {
        self.senders.get(&signal)?.last()
    }

    /// Returns true if a signal has come since they were last taken.
    pub(crate) fn any(&self) -> bool {
        [&self.terminate, &self.reopen, &self.child, &self.upgrade, &self.overlap]
            .into_iter()
            .any(|flag| flag.load(Ordering::Acquire))
    }

    /// The signals that have come since the last call.
    pub(crate) fn take(&self) -> PendingSignals {
        let take = |flag: &AtomicBool| flag.swap(false, Ordering::AcqRel);
        PendingSignals {
            // The first one to be taken, so that a SIGTERM that came before it is seen with it.
            upgrade: take(&self.upgrade),
            terminate: take(&self.terminate),
            reopen: take(&self.reopen),
            child: take(&self.child),
            overlap: take(&self.overlap),
            window: take(&self.window),
        }
    }
}
