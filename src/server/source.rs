//! A file descriptor and what the kernel said about it last: the only code that touches the
//! poll registry.
//!
//! The poll is edge-triggered, so readiness is state, not an event: a bit is set by an event and
//! cleared by nothing but a call that would have blocked. Then work may be left for the next turn
//! without being forgotten, and nobody is ever registered again.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// An owned descriptor with cached readiness.
#[derive(Debug)]
pub(super) struct Source<F> {
    fd: F,
    /// Whether a read may give something.
    pub(super) readable: bool,
    /// Whether a write may take something.
    pub(super) writable: bool,
}

impl<F: AsFd> Source<F> {
    /// Registers `fd` under `token`, for both directions. Something that the poll refuses, a
    /// regular file, is always ready.
    pub(super) fn new(fd: F, token: Token, registry: &Registry) -> io::Result<Source<F>> {
        let raw = fd.as_fd().as_raw_fd();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let always = match registry.register(&mut SourceFd(&raw), token, interest) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => true,
            Err(error) => return Err(error),
        };
        Ok(Source { fd, readable: always, writable: always })
    }

    /// The descriptor.
    pub(super) fn fd(&self) -> &F {
        &self.fd
    }

    /// Notes what an event says. An end or an error is readiness: the next call will tell.
    pub(super) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Reads once. `None`: it would block. Interrupted calls are made again.
    pub(super) fn read(
        &mut self,
        mut call: impl FnMut(&F) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let result = patiently(|| call(&self.fd));
        self.readable = result.is_some();
        result
    }

    /// Writes once. `None`: it would block.
    pub(super) fn write(
        &mut self,
        mut call: impl FnMut(&F) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let result = patiently(|| call(&self.fd));
        self.writable = result.is_some();
        result
    }
}

fn patiently(mut call: impl FnMut() -> io::Result<usize>) -> Option<io::Result<usize>> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            result => return Some(result),
        }
    }
}
