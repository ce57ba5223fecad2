//! A client's connection: a socket, the terminal of `-f`, or a pipe that only sends.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::sys::socket::{Shutdown, shutdown};

use super::source::Source;
use crate::core::event::Medium;
use crate::limits::CLIENT_BUDGET;
use crate::sys::fd;
use crate::sys::pty::Terminal;

/// What is behind a connection.
#[derive(Debug)]
pub(super) enum Stream {
    Socket(File),
    Terminal(Terminal),
    Pipe(File),
}

impl Stream {
    /// A connection that was accepted.
    pub(super) fn socket(connection: OwnedFd) -> Stream {
        Stream::Socket(File::from(connection))
    }

    /// What `-f` finds as standard input, if it can be a client: a terminal in the foreground,
    /// or a pipe.
    pub(super) fn stdin() -> Option<Stream> {
        let stdin = io::stdin();
        if let Some(terminal) = Terminal::open(stdin.as_fd()) {
            return Some(Stream::Terminal(terminal));
        }
        let kind = nix::sys::stat::fstat(stdin.as_fd()).ok()?.st_mode & nix::libc::S_IFMT;
        if kind != nix::libc::S_IFIFO {
            return None;
        }
        // Opened anew, so that O_NONBLOCK is not shared with whoever gave it to us.
        let pipe = File::options()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open("/dev/fd/0")
            .ok()?;
        Some(Stream::Pipe(pipe))
    }

    /// How the core sees it.
    pub(super) fn medium(&self) -> Medium {
        match self {
            Stream::Socket(_) => Medium::Telnet,
            Stream::Terminal(_) => Medium::Terminal,
            Stream::Pipe(_) => Medium::Pipe,
        }
    }

    fn file(&self) -> &File {
        match self {
            Stream::Socket(file) | Stream::Pipe(file) => file,
            Stream::Terminal(terminal) => terminal.file(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }
}

/// One connection, while it lasts.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) source: Source<Stream>,
    /// It is to be closed at the end of the turn.
    pub(super) leaving: bool,
}

impl Peer {
    /// Reads once. `None`: nothing at the moment; 0: it has ended or failed.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let result = self.source.read(|stream| stream.file().read(buffer));
        result.map(|result| result.unwrap_or(0))
    }

    /// Writes once. `None`: it takes nothing at the moment, or has failed and is leaving.
    pub(super) fn write(&mut self, slices: (&[u8], &[u8])) -> Option<usize> {
        match self.source.write(|stream| fd::write_two(stream.file(), slices))? {
            Ok(count) => Some(count),
            Err(_) => {
                self.leaving = true;
                None
            }
        }
    }
}

impl Drop for Peer {
    /// An orderly end of file for the other side: input that nobody read would turn it into a
    /// reset, which takes output on its way along.
    fn drop(&mut self) {
        if let Stream::Socket(file) = self.source.fd() {
            let _ = shutdown(file.as_raw_fd(), Shutdown::Write);
            let mut file = file;
            let mut buffer = [0; 4096];
            for _ in 0..(4 * CLIENT_BUDGET / buffer.len()) {
                if !file.read(&mut buffer).is_ok_and(|count| count > 0) {
                    break;
                }
            }
        }
    }
}
