//! A stream, and what the kernel said about it last.
//!
//! The poll is edge-triggered, so readiness is state, not an event: a bit is set by an event and
//! cleared only by a call that would have blocked. So work can be left for the next turn without
//! being forgotten, and no descriptor is ever registered again.

use std::io;

use nix::libc::{ENOBUFS, ENOMEM};

use crate::server::os::{NonblockingIo, Ready};

/// A stream with cached readiness.
#[derive(Debug)]
pub(crate) struct PollStream<S> {
    stream: S,
    ready: Ready,
    /// The calls for which the system had no memory. No event tells when they can be made again.
    refused: Ready,
}

impl<S: NonblockingIo> PollStream<S> {
    /// A stream of which nothing is known, or one that is `always` ready.
    pub(crate) fn new(stream: S, always: bool) -> PollStream<S> {
        let ready = Ready { readable: always, writable: always };
        PollStream { stream, ready, refused: Ready::default() }
    }

    /// The stream.
    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    /// The stream, to be changed.
    pub(crate) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Takes the stream back.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Returns true if a read may give something.
    pub(crate) fn is_readable(&self) -> bool {
        self.ready.readable
    }

    /// Returns true if a write may take something.
    pub(crate) fn is_writable(&self) -> bool {
        self.ready.writable
    }

    /// Takes note of what an event says.
    pub(crate) fn set_ready(&mut self, ready: Ready) {
        self.ready.readable |= ready.readable;
        self.ready.writable |= ready.writable;
    }

    /// Takes note that reading gives nothing before the next event.
    pub(crate) fn rest_reading(&mut self) {
        self.ready.readable = false;
    }

    /// Returns true if the system had no memory for the last read.
    pub(crate) fn is_read_refused(&self) -> bool {
        self.refused.readable
    }

    /// Returns true if the system had no memory for a call.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused != Ready::default()
    }

    /// Has the calls made again for which the system had no memory.
    pub(crate) fn retry_refused(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        self.set_ready(refused);
    }

    /// Reads once. Returns `None` if that would block, or if the system has no memory for it.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let result = call(&mut self.refused.readable, || self.stream.read(buffer));
        self.ready.readable = result.is_some();
        result
    }

    /// Writes once. Returns `None` if that would block, or if the system has no memory for it.
    pub(crate) fn write(&mut self, slices: (&[u8], &[u8])) -> Option<io::Result<usize>> {
        let result = call(&mut self.refused.writable, || self.stream.write(slices));
        self.ready.writable = result.is_some();
        result
    }
}

/// Makes a call again if a signal interrupted it. `None` if it would block, or if the system has no
/// memory for it, which is noted in `refused`.
fn call(
    refused: &mut bool,
    mut call: impl FnMut() -> io::Result<usize>,
) -> Option<io::Result<usize>> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) if matches!(error.raw_os_error(), Some(ENOMEM | ENOBUFS)) => {
                *refused = true;
                return None;
            }
            result => return Some(result),
        }
    }
}

/// The part of `buffer` that a read has filled with `count` bytes.
pub(crate) fn filled(buffer: &[u8], count: usize) -> &[u8] {
    let part = buffer.get(..count);
    debug_assert!(part.is_some(), "{count} bytes in a buffer of {}", buffer.len());
    part.unwrap_or_default()
}
