//! Waking a poll from another thread, which may have a descriptor table of its own.

use std::io;

use mio::{Registry, Token};

/// Wakes a poll.
#[derive(Debug)]
pub(crate) struct Wake {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    event: nix::sys::eventfd::EventFd,
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    waker: mio::Waker,
}

/// An eventfd(2), whose number a thread can keep in its own table; mio's is hidden.
#[cfg(any(target_os = "linux", target_os = "android"))]
impl Wake {
    /// Wakes the poll of `registry` with `token`.
    ///
    /// # Errors
    /// Those of eventfd(2) and epoll_ctl(2).
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Wake> {
        use std::os::fd::AsRawFd;

        use mio::Interest;
        use mio::unix::SourceFd;
        use nix::sys::eventfd::{EfdFlags, EventFd};

        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let event = EventFd::from_value_and_flags(0, flags)?;
        registry.register(&mut SourceFd(&event.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Wake { event })
    }

    /// Wakes the poll, or has the next one return at once.
    pub(crate) fn wake(&self) {
        // Each write is an edge. Nobody reads, so the counter is full after some 2^64 of them.
        let _ = self.event.write(1);
    }

    /// The descriptors that a thread that wakes needs.
    pub(crate) fn descriptors(&self) -> Vec<std::os::fd::RawFd> {
        vec![std::os::fd::AsRawFd::as_raw_fd(&self.event)]
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Wake {
    /// Wakes the poll of `registry` with `token`.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Wake> {
        Ok(Wake { waker: mio::Waker::new(registry, token)? })
    }

    /// Wakes the poll, or has the next one return at once.
    pub(crate) fn wake(&self) {
        let _ = self.waker.wake();
    }

    /// The descriptors that a thread that wakes needs: none, as it shares its process's.
    pub(crate) fn descriptors(&self) -> Vec<std::os::fd::RawFd> {
        Vec::new()
    }
}
