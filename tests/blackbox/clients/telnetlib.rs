//! Python's telnetlib: how it reads, answers and gives up.

use crate::support::{find, uninterrupted};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// By how much a limit of a client is longer here: the machine may be busy with something else. All
/// that a client waits for comes, and ends the wait.
const SLACK: u32 = 10;

/// A `telnetlib.Telnet`.
pub(crate) struct Telnet {
    stream: TcpStream,
    /// A telnet command that has only begun.
    command: Vec<u8>,
    /// What came and nobody has taken, telnet commands taken out.
    cooked: Vec<u8>,
    ended: bool,
}

impl Telnet {
    /// `Telnet(host, port, timeout)`, with one second, the limit of all its users.
    pub(crate) fn open(port: u16) -> Telnet {
        Telnet::try_open(port).unwrap_or_else(|error| panic!("port {port}: {error}"))
    }

    /// The same; an error where Python raises one.
    pub(crate) fn try_open(port: u16) -> std::io::Result<Telnet> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        // Python doesn't: then the kernel may hold a character back until an answer to the
        // negotiation is acknowledged, and forget it at a close. No server can help that.
        stream.set_nodelay(true)?;
        Ok(Telnet { stream, command: Vec::new(), cooked: Vec::new(), ended: false })
    }

    /// `read_until(pattern, seconds)`: all up to the pattern, or whatever has come in that time.
    pub(crate) fn read_until(&mut self, pattern: &str, seconds: u64) -> Vec<u8> {
        let end = |text: &[u8]| find(text, pattern.as_bytes()).map(|at| at + pattern.len());
        self.expect(end, Duration::from_secs(seconds))
    }

    /// `expect([pattern], limit)`: the pattern here is a function that says where it ends.
    pub(crate) fn expect(
        &mut self,
        end: impl Fn(&[u8]) -> Option<usize>,
        limit: Duration,
    ) -> Vec<u8> {
        let deadline = Instant::now() + limit * SLACK;
        while end(&self.cooked).is_none() && !self.ended && Instant::now() < deadline {
            self.fill(deadline);
        }
        let count = end(&self.cooked).unwrap_or(self.cooked.len());
        self.cooked.drain(..count).collect()
    }

    /// `write(bytes)`: IAC is doubled.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let doubled: Vec<u8> =
            bytes.iter().flat_map(|byte| vec![*byte; if *byte == 255 { 2 } else { 1 }]).collect();
        self.stream.write_all(&doubled).expect("send");
    }

    fn fill(&mut self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("timeout");
        let mut buffer = [0; 50];
        match uninterrupted(|| self.stream.read(&mut buffer)) {
            Ok(0) => self.ended = true,
            Ok(count) => buffer[..count].iter().for_each(|byte| self.cook(*byte)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("receive: {error}"),
        }
    }

    fn cook(&mut self, byte: u8) {
        match (self.command.as_slice(), byte) {
            // It throws away NUL and ^Q.
            ([], 0 | 0x11) => {}
            ([], 255) => self.command.push(byte),
            ([], _) => self.cooked.push(byte),
            ([_], 251..=254) => self.command.push(byte),
            ([_], 255) => {
                self.command.clear();
                self.cooked.push(byte);
            }
            ([_], _) => self.command.clear(),
            ([_, verb, ..], option) => {
                // It refuses all: DO and DONT with WONT, WILL and WONT with DONT.
                let answer = if *verb >= 253 { 252 } else { 254 };
                self.command.clear();
                let _ = self.stream.write_all(&[255, answer, option]);
            }
        }
    }
}

/// `re.search(rb'PREFIX(.*)MIDDLE', text)`: what `(.*)`, which is greedy and stays in its line,
/// stands for, and the text after the match.
pub(crate) fn search<'a>(text: &'a [u8], prefix: &str, middle: &str) -> Option<(&'a str, &'a str)> {
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .map(|line| std::str::from_utf8(line).expect("ASCII"))
        .find_map(|line| line.split_once(prefix).and_then(|(_, rest)| rest.rsplit_once(middle)))
}
