//! The worker that sends the console to syslog: a datagram a line, as syslog(3) makes them. What
//! /dev/log does not take is counted, and syslog is told the number when it takes something again.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Instant;

use super::sink::{LogJob, LogReply};
use super::thread::{Replies, Worker};
use crate::limits::{LOG_RETRY, SYSLOG_LINE_MAX, SYSLOG_RECOVERY, SYSLOG_SEND_TIMEOUT};
use crate::sys::{fd, time};

/// Facility daemon, severity info.
const PRIORITY: &str = "<30>";

/// What the thread has.
pub(crate) struct Syslog {
    path: PathBuf,
    /// `TAG[PID]: `.
    tag: Vec<u8>,
    socket: Option<UnixDatagram>,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Lines that were refused, and not told of.
    lost: u64,
    /// Nothing is sent before.
    not_before: Option<Instant>,
    /// The last refusal, until it is over.
    refused: Option<Instant>,
}

impl Syslog {
    /// Sends to the socket at `path`.
    pub(crate) fn new(path: PathBuf, tag: &[u8], pid: u32) -> Syslog {
        // What would end the tag, or the message.
        let unfit = |byte: u8| byte <= b' ' || byte == 0x7F || b"[]:".contains(&byte);
        let tag = tag.iter().map(|&byte| if unfit(byte) { b'_' } else { byte });
        Syslog {
            path,
            tag: tag.chain(format!("[{pid}]: ").into_bytes()).collect(),
            socket: None,
            partial: Vec::new(),
            lost: 0,
            not_before: None,
            refused: None,
        }
    }

    fn take(&mut self, bytes: &[u8], replies: &Replies) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (mut text, ends) = match line.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (line, false),
            };
            // Longer ones go in pieces.
            while self.partial.len() + text.len() > SYSLOG_LINE_MAX {
                let room = SYSLOG_LINE_MAX - self.partial.len();
                let (now, later) = text.split_at_checked(room).unwrap_or((text, b""));
                self.partial.extend_from_slice(now);
                text = later;
                self.send_partial(replies);
            }
            self.partial.extend_from_slice(text);
            if ends {
                self.send_partial(replies);
            }
        }
    }

    fn send_partial(&mut self, replies: &Replies) {
        let mut line = std::mem::take(&mut self.partial);
        while line.last() == Some(&b'\r') {
            line.pop();
        }
        let result = self.deliver(&line);
        line.clear();
        self.partial = line;
        let now = Instant::now();
        match result {
            Ok(()) => {
                if self.refused.is_some_and(|at| now >= at + SYSLOG_RECOVERY) {
                    self.refused = None;
                    replies.send(LogReply::SyslogState(Ok(())), true);
                }
            }
            Err(error) => {
                self.lost += 1;
                let Some(error) = error else {
                    return;
                };
                self.not_before = Some(now + LOG_RETRY);
                if self.refused.replace(now).is_none() {
                    replies.send(LogReply::SyslogState(Err(error)), true);
                }
            }
        }
    }

    /// An error that is `None`: it was not tried.
    fn deliver(&mut self, line: &[u8]) -> Result<(), Option<io::Error>> {
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return Err(None);
        }
        self.not_before = None;
        self.report_lost()?;
        Ok(self.send(line)?)
    }

    fn report_lost(&mut self) -> io::Result<()> {
        if self.lost > 0 {
            self.send(format!("@@@ {} lines are missing here", self.lost).as_bytes())?;
            self.lost = 0;
        }
        Ok(())
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let time = time::format(time::wall(), "%b %e %H:%M:%S ");
        let message = [PRIORITY.as_bytes(), time.as_bytes(), &self.tag, line].concat();
        // A daemon that was started anew has another socket.
        let result = match self.socket.take() {
            Some(socket) => self.send_on(socket, &message),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.connect(&self.path)?;
                self.send_on(socket, &message)
            }
            result => result,
        }
    }

    fn send_on(&mut self, socket: UnixDatagram, message: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + SYSLOG_SEND_TIMEOUT;
        let result = loop {
            match socket.send(message) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break Err(error);
                    }
                    fd::wait_writable(&socket, Some(left));
                }
                result => break result.map(|_| ()),
            }
        };
        // One that is full may have room again; any other failure is the socket's end.
        if result.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.socket = Some(socket);
        }
        result
    }

    /// Perhaps for good: nobody knows of what is lost after that.
    fn flush(&mut self, replies: &Replies) {
        self.not_before = None;
        if self.partial.is_empty() {
            let _ = self.report_lost();
        } else {
            self.send_partial(replies);
        }
    }
}

impl Worker for Syslog {
    fn work(&mut self, job: LogJob, replies: &Replies) {
        match job {
            LogJob::Write(chunk, _) => {
                self.take(&chunk.bytes, replies);
                replies.send(LogReply::Written, false);
            }
            LogJob::Quiesce => {
                self.flush(replies);
                // Any will do: the next program opens its own.
                replies.send(
                    LogReply::Quiesced(UnixDatagram::unbound().map(OwnedFd::from).ok()),
                    true,
                );
            }
            // Somebody else's.
            LogJob::Line(_) | LogJob::Reopen | LogJob::Record(_) => {}
        }
    }

    fn finish(&mut self, replies: &Replies) {
        self.flush(replies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Chunk;
    use std::path::Path;
    use tempfile::TempDir;

    struct Desk {
        worker: Syslog,
        replies: Replies,
        dir: TempDir,
    }

    fn desk() -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let worker = Syslog::new(dir.path().join("log"), b"IOC 1:[a]", 7);
        Desk { worker, replies: Replies::detached(), dir }
    }

    impl Desk {
        fn daemon(&self) -> UnixDatagram {
            let path = self.dir.path().join("log");
            let _ = std::fs::remove_file(&path);
            let daemon = UnixDatagram::bind(Path::new(&path)).unwrap();
            daemon.set_nonblocking(true).unwrap();
            daemon
        }

        fn write(&mut self, bytes: &[u8]) {
            let mut chunk = Chunk::default();
            chunk.bytes = bytes.to_vec();
            self.worker.work(LogJob::Write(chunk, 0), &self.replies);
        }

        /// What syslog was found to do, by the answers to writes.
        fn heard(&self) -> Vec<Result<(), io::ErrorKind>> {
            let told = self.replies.sent();
            let heard = told.into_iter().filter_map(|done| match done {
                LogReply::SyslogState(result) => Some(result.map_err(|error| error.kind())),
                _ => None,
            });
            heard.collect()
        }
    }

    /// The texts of the messages, each after a header as it has to be.
    fn received(daemon: &UnixDatagram) -> Vec<String> {
        let mut buffer = vec![0; 100_000];
        let messages = std::iter::from_fn(|| {
            let count = daemon.recv(&mut buffer).ok()?;
            // rsyslog's limit, where nobody has changed it.
            assert!(count <= 8096);
            let message = String::from_utf8(buffer[..count].to_vec()).unwrap();
            let (time, text) = message.split_once(" IOC_1__a_[7]: ").expect("a tag");
            let shape: String = time
                .chars()
                .map(|letter| match letter {
                    'a'..='z' | 'A'..='Z' => 'a',
                    '0'..='9' => '0',
                    other => other,
                })
                .collect();
            let day = if shape.contains("  ") { " 0" } else { "00" };
            assert_eq!(shape, format!("<00>aaa {day} 00:00:00"));
            assert!(time.starts_with("<30>"));
            Some(text.to_owned())
        });
        messages.collect()
    }

    #[test]
    fn each_line_is_a_message() {
        let mut desk = desk();
        let daemon = desk.daemon();
        desk.write(b"one\r\ntw");
        desk.write(b"o\n\r\nepics> ");
        assert_eq!(received(&daemon), ["one", "two", ""]);
        desk.worker.finish(&desk.replies);
        assert_eq!(received(&daemon), ["epics> "]);
        assert_eq!(desk.heard(), []);
    }

    #[test]
    fn long_lines_go_in_pieces() {
        let mut desk = desk();
        let daemon = desk.daemon();
        let line = "x".repeat(2 * SYSLOG_LINE_MAX + 10);
        for part in [100, SYSLOG_LINE_MAX, 1, 7000] {
            let text = format!("{line}\n");
            text.as_bytes().chunks(part).for_each(|part| desk.write(part));
            let got = received(&daemon);
            assert_eq!(got.concat(), line);
            assert_eq!(got.len(), 3);
        }
    }

    #[test]
    fn what_is_refused_is_counted_and_said_once() {
        let mut desk = desk();
        desk.write(b"a\nb\nc\n");
        assert_eq!(desk.heard(), [Err(io::ErrorKind::NotFound)]);
        let daemon = desk.daemon();
        // Not tried before its time.
        desk.write(b"d\n");
        assert_eq!(received(&daemon), [""; 0]);
        desk.worker.not_before = None;
        desk.write(b"e\nf\n");
        assert_eq!(received(&daemon), ["@@@ 4 lines are missing here", "e", "f"]);
        drop(daemon);
        desk.write(b"g\n");
        assert_eq!(desk.heard(), [], "said again so soon");
        let daemon = desk.daemon();
        desk.worker.not_before = None;
        desk.worker.refused = Instant::now().checked_sub(SYSLOG_RECOVERY);
        desk.write(b"h\n");
        assert_eq!(received(&daemon), ["@@@ 1 lines are missing here", "h"]);
        assert_eq!(desk.heard(), [Ok(())]);
    }

    #[test]
    fn end_leaves_nothing_untold() {
        for (end, expected) in [
            ("", &["@@@ 2 lines are missing here"][..]),
            ("> ", &["@@@ 2 lines are missing here", "> "]),
        ] {
            let mut desk = desk();
            desk.write(b"a\nb\n");
            desk.worker.work(LogJob::Quiesce, &desk.replies);
            let daemon = desk.daemon();
            desk.write(end.as_bytes());
            desk.worker.work(LogJob::Quiesce, &desk.replies);
            assert_eq!(received(&daemon), expected);
            desk.worker.finish(&desk.replies);
            assert_eq!(received(&daemon), [""; 0]);
        }
    }

    #[test]
    fn daemon_that_is_started_anew_misses_nothing() {
        let mut desk = desk();
        for line in ["a\n", "b\n", "c\n"] {
            let daemon = desk.daemon();
            desk.write(line.as_bytes());
            assert_eq!(received(&daemon), [line.trim_end()]);
        }
        assert_eq!(desk.heard(), []);
    }
}
