//! A client of the server under test that waits for bytes with a deadline, never for luck.

use super::{TestEnv, text};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The telnet bytes that end every greeting: IAC WILL ECHO, IAC DO LINEMODE.
pub const NEGOTIATION: &[u8] = b"\xff\xfb\x01\xff\xfd\x22";

/// One connection, and all that came over it.
pub struct Client {
    env: TestEnv,
    dir: PathBuf,
    stream: File,
    received: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl Client {
    /// A client on a stream already open.
    pub(super) fn new(env: TestEnv, dir: &Path, stream: OwnedFd) -> Client {
        // Non-blocking, so that every wait is ours and ends.
        let flags = OFlag::from_bits_retain(fcntl(&stream, FcntlArg::F_GETFL).expect("F_GETFL"));
        fcntl(&stream, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).expect("F_SETFL");
        let stream = File::from(stream);
        Client { env, dir: dir.to_owned(), stream, received: Vec::new(), taken: 0, ended: false }
    }

    /// Connects to an endpoint, `unix:PATH`, `unix:@NAME`, `HOST:PORT` or, here, `PORT`.
    pub(super) fn connect(endpoint: &str, dir: &Path) -> std::io::Result<OwnedFd> {
        if let Some(name) = endpoint.strip_prefix("unix:@") {
            let address = SocketAddr::from_abstract_name(name)?;
            UnixStream::connect_addr(&address).map(OwnedFd::from)
        } else if let Some(path) = endpoint.strip_prefix("unix:") {
            UnixStream::connect(dir.join(path)).map(OwnedFd::from)
        } else if let Ok(port) = endpoint.parse::<u16>() {
            TcpStream::connect(("127.0.0.1", port)).map(OwnedFd::from)
        } else {
            TcpStream::connect(endpoint).map(OwnedFd::from)
        }
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        let deadline = Instant::now() + self.env.timeout();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let ready = self.wait(PollFlags::POLLOUT, deadline);
                    assert!(ready, "in vain waited to send {} more bytes", rest.len());
                }
                Err(error) => panic!("send: {error}; received:\n{}", text::show(&self.received)),
            }
        }
    }

    /// Sends a line to a child that is a `cat`. Returns false if the connection ends before the answer.
    pub fn is_answered(&mut self, word: &str) -> bool {
        if self.stream.write_all(format!("{word}\n").as_bytes()).is_err() {
            return false;
        }
        let answer = format!("{word}\r\n{word}\r\n");
        let deadline = Instant::now() + self.env.timeout();
        let mut buffer = [0; 4096];
        while text::find(&self.received[self.taken..], answer.as_bytes()).is_none() {
            assert!(self.wait(PollFlags::POLLIN, deadline), "in vain waited for {answer:?}");
            match self.stream.read(&mut buffer) {
                Ok(count) if count > 0 => self.received.extend_from_slice(&buffer[..count]),
                Ok(_) | Err(_) => return false,
            }
        }
        self.until(answer);
        true
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        shutdown(self.stream.as_raw_fd(), Shutdown::Write).expect("shutdown");
    }

    /// Closes a TCP connection with a reset.
    pub fn reset(self) {
        use nix::sys::socket::{setsockopt, sockopt};
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.stream, sockopt::Linger, &at_once).expect("SO_LINGER");
    }

    /// Takes all up to and including the next occurrence of `pattern`.
    pub fn until(&mut self, pattern: impl AsRef<[u8]>) -> Vec<u8> {
        let pattern = pattern.as_ref();
        let what = format!("\"{}\"", pattern.escape_ascii());
        // Each byte is looked at once: a test that reads slowly would be passed by the stream.
        let mut searched = 0;
        self.take(&what, |new| {
            let found =
                text::find(&new[searched..], pattern).map(|at| searched + at + pattern.len());
            searched = new.len().saturating_sub(pattern.len());
            found
        })
    }

    /// Takes all up to the end of the last of these patterns to come, in whatever order they come.
    pub fn until_all<const N: usize>(&mut self, patterns: [&str; N]) -> Vec<u8> {
        self.take(&format!("{patterns:?}"), |new| {
            let ends =
                patterns.map(|pattern| Some(text::find(new, pattern.as_bytes())? + pattern.len()));
            ends.into_iter().collect::<Option<Vec<_>>>()?.into_iter().max()
        })
    }

    /// Takes all up to the end of the first of these patterns to come.
    pub fn until_any<const N: usize>(&mut self, patterns: [&str; N]) -> Vec<u8> {
        self.take(&format!("any of {patterns:?}"), |new| {
            let ends = patterns
                .iter()
                .filter_map(|pattern| Some(text::find(new, pattern.as_bytes())? + pattern.len()));
            ends.min()
        })
    }

    /// Takes the greeting, telnet negotiation included.
    pub fn greeting(&mut self) -> Vec<u8> {
        self.until(NEGOTIATION)
    }

    /// Takes as much as `expected` is and compares it: see [`super::TestServer::assert_console`].
    pub fn expect(&mut self, expected: &str) {
        let words = self.env.translate(expected);
        let lines = words.matches('\n').count();
        let tail = words.len() - words.rfind('\n').map_or(0, |at| at + 1);
        let got = self.take(&format!("{expected:?}"), |new| {
            let mut ends = new.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            let end = if lines == 0 { 0 } else { ends.nth(lines - 1)?.0 + 1 };
            Some(end + tail).filter(|end| *end <= new.len())
        });
        text::assert_console(&self.env, &self.dir, &got, expected);
    }

    /// Takes this many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.take(&format!("{count} bytes"), |new| Some(count).filter(|count| *count <= new.len()))
    }

    /// Takes all the rest, up to the end of the stream.
    pub fn until_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + self.env.timeout();
        while !self.ended {
            self.receive("the end of the stream", deadline);
        }
        self.take("what is left", |new| Some(new.len()))
    }

    /// All that ever came.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    fn take(&mut self, what: &str, mut end: impl FnMut(&[u8]) -> Option<usize>) -> Vec<u8> {
        let deadline = Instant::now() + self.env.timeout();
        loop {
            if let Some(count) = end(&self.received[self.taken..]) {
                let from = self.taken;
                self.taken += count;
                return self.received[from..self.taken].to_vec();
            }
            let new = &self.received[self.taken..];
            assert!(!self.ended, "connection ended before {what}; new:\n{}", text::show(new));
            self.receive(what, deadline);
        }
    }

    fn receive(&mut self, what: &str, deadline: Instant) {
        // A flood of something else ends the wait too.
        let ready = self.wait(PollFlags::POLLIN, deadline) && Instant::now() < deadline;
        let new = &self.received[self.taken..];
        assert!(ready, "in vain waited for {what}; new:\n{}", text::show(new));
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // The master of a terminal that nobody has open any more says EIO.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => self.ended = true,
            Err(error) => panic!("{error} before {what}; new:\n{}", text::show(new)),
        }
    }

    fn wait(&self, event: PollFlags, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(self.stream.as_fd(), event)];
        poll(&mut polled, timeout).expect("poll") > 0
    }
}
