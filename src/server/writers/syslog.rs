//! The worker that sends the console to syslog: a datagram per line, in the form that syslog(3) sends
//! to /dev/log, which is that of RFC 3164 without a host name. Lines that the syslog daemon does not
//! take are counted, and their number is sent when it takes a message again.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Instant;

use super::thread::LogReplies;
use super::{LogJob, LogReply, Worker};
use crate::console::event::Subsystem;
use crate::limits::{LOG_RETRY, SYSLOG_LINE_MAX, SYSLOG_RECOVERY, SYSLOG_SEND_TIMEOUT};
use crate::sys::{fd, time};

/// Facility `daemon` (3) times eight plus severity `info` (6): RFC 3164, 4.1.1, and RFC 5424, 6.2.1.
const PRIORITY: &str = "<30>";

/// The sender of one console.
pub(crate) struct Syslog {
    /// The name of the syslog daemon's socket.
    path: PathBuf,
    /// `TAG[PID]: ` (RFC 3164, 4.1.3 and 5.3).
    tag: Vec<u8>,
    socket: Option<UnixDatagram>,
    /// The beginning of a line whose end has not come, at most [`SYSLOG_LINE_MAX`] bytes.
    partial: Vec<u8>,
    /// The number of lines that were refused since the last report of such a number.
    lost: u64,
    /// After a refusal: nothing is sent before this time.
    not_before: Option<Instant>,
    /// The time of the last refusal, until the event loop is told that syslog works again.
    refused: Option<Instant>,
}

impl Syslog {
    /// A sender to the socket at `path`, under this tag and PID.
    pub(crate) fn new(path: PathBuf, tag: &[u8], pid: u32) -> Syslog {
        // These bytes would end the tag, or the message.
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

    /// Sends the lines of the next piece of the stream.
    fn take(&mut self, bytes: &[u8], replies: &LogReplies) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (mut text, ends) = match line.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (line, false),
            };
            // A longer line is sent in pieces.
            while let Some((now, later @ [_, ..])) =
                text.split_at_checked(SYSLOG_LINE_MAX - self.partial.len())
            {
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

    /// Sends the partial line as a whole one.
    fn send_partial(&mut self, replies: &LogReplies) {
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
                    replies.send(LogReply::State(Subsystem::Syslog, Ok(())), true);
                }
            }
            Err(error) => {
                self.lost += 1;
                let Some(error) = error else {
                    return;
                };
                self.not_before = Some(now + LOG_RETRY);
                if self.refused.replace(now).is_none() {
                    replies.send(LogReply::State(Subsystem::Syslog, Err(error)), true);
                }
            }
        }
    }

    /// Sends a line, after the number of those that were lost before it.
    ///
    /// # Errors
    ///
    /// If the line was refused; `None` if it was not sent, because another was refused just before.
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

    /// Sends a line, and connects to the daemon's socket if need be.
    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let time = time::format(time::wall_nanos().0, "%b %e %H:%M:%S ");
        let message = [PRIORITY.as_bytes(), time.as_bytes(), &self.tag, line].concat();
        // A daemon that was restarted has another socket of the same name.
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

    /// Sends a message on `socket`, and keeps the socket if it can be used again.
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
        // A socket that is full may have room again; after any other failure it is of no use.
        if result.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.socket = Some(socket);
        }
        result
    }

    /// Sends all that waits to be sent. This may be the last chance to report lost lines.
    fn flush(&mut self, replies: &LogReplies) {
        self.not_before = None;
        if self.partial.is_empty() {
            let _ = self.report_lost();
        } else {
            self.send_partial(replies);
        }
    }
}

impl Worker for Syslog {
    type Job = LogJob;
    type Reply = LogReply;

    fn work(&mut self, job: LogJob, replies: &LogReplies) {
        match job {
            LogJob::Write(chunk, _) if replies.is_abandoned() => {
                replies.send(LogReply::Bounced(chunk), false);
            }
            LogJob::Write(chunk, _) => {
                self.take(&chunk.bytes, replies);
                replies.send(LogReply::Written(None), false);
            }
            LogJob::Quiesce => {
                self.flush(replies);
                // The next program opens its own socket.
                replies.send(LogReply::Quiesced(Ok(None)), true);
            }
            LogJob::Line(line) => self.take(&line, replies),
            LogJob::Reopen => {
                // The next line connects to the socket that has the name then.
                self.socket = None;
                replies.send(LogReply::Reopened(Ok(())), true);
            }
            LogJob::ReportEnds => {}
        }
    }

    fn finish(&mut self, replies: &LogReplies) {
        self.flush(replies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Chunk;
    use std::path::Path;
    use tempfile::TempDir;

    /// A worker whose daemon's socket is in a directory of its own.
    struct Fixture {
        worker: Syslog,
        replies: LogReplies,
        dir: TempDir,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let worker = Syslog::new(dir.path().join("log"), b"IOC 1:[a]", 7);
        Fixture { worker, replies: LogReplies::detached(), dir }
    }

    impl Fixture {
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

        /// The states of syslog that the worker has reported.
        fn states(&self) -> Vec<Result<(), io::ErrorKind>> {
            let replies = self.replies.sent();
            let states = replies.into_iter().filter_map(|reply| match reply {
                LogReply::State(_, result) => Some(result.map_err(|error| error.kind())),
                _ => None,
            });
            states.collect()
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
        let mut fixture = fixture();
        let daemon = fixture.daemon();
        fixture.write(b"one\r\ntw");
        fixture.write(b"o\n\r\nepics> ");
        assert_eq!(received(&daemon), ["one", "two", ""]);
        fixture.worker.finish(&fixture.replies);
        assert_eq!(received(&daemon), ["epics> "]);
        assert_eq!(fixture.states(), []);
    }

    #[test]
    fn reopened_socket_is_the_one_that_has_the_name() {
        let mut fixture = fixture();
        let old = fixture.daemon();
        fixture.write(b"one\n");
        let new = fixture.daemon();
        fixture.worker.work(LogJob::Reopen, &fixture.replies);
        let replies = fixture.replies.sent();
        assert!(matches!(replies[..], [LogReply::Written(None), LogReply::Reopened(Ok(()))]));
        fixture.worker.work(LogJob::Line(b"two\n".to_vec()), &fixture.replies);
        assert_eq!(
            (received(&old), received(&new)),
            (vec!["one".to_owned()], vec!["two".to_owned()])
        );
    }

    #[test]
    fn long_lines_go_in_pieces() {
        let mut fixture = fixture();
        let daemon = fixture.daemon();
        let line = "x".repeat(2 * SYSLOG_LINE_MAX + 10);
        for part in [100, SYSLOG_LINE_MAX, 1, 7000] {
            let text = format!("{line}\n");
            text.as_bytes().chunks(part).for_each(|part| fixture.write(part));
            let got = received(&daemon);
            assert_eq!(got.concat(), line);
            assert_eq!(got.len(), 3);
        }
    }

    #[test]
    fn refused_lines_are_counted_and_the_refusal_is_reported_once() {
        let mut fixture = fixture();
        fixture.write(b"a\nb\nc\n");
        assert_eq!(fixture.states(), [Err(io::ErrorKind::NotFound)]);
        let daemon = fixture.daemon();
        // Nothing is sent for a while after a refusal.
        fixture.write(b"d\n");
        assert_eq!(received(&daemon), [""; 0]);
        fixture.worker.not_before = None;
        fixture.write(b"e\nf\n");
        assert_eq!(received(&daemon), ["@@@ 4 lines are missing here", "e", "f"]);
        drop(daemon);
        fixture.write(b"g\n");
        assert_eq!(fixture.states(), [], "reported again so soon");
        let daemon = fixture.daemon();
        fixture.worker.not_before = None;
        fixture.worker.refused = Instant::now().checked_sub(SYSLOG_RECOVERY);
        fixture.write(b"h\n");
        assert_eq!(received(&daemon), ["@@@ 1 lines are missing here", "h"]);
        assert_eq!(fixture.states(), [Ok(())]);
    }

    #[test]
    fn partial_line_and_lost_lines_are_sent_at_the_end() {
        for (end, expected) in [
            ("", &["@@@ 2 lines are missing here"][..]),
            ("> ", &["@@@ 2 lines are missing here", "> "]),
        ] {
            let mut fixture = fixture();
            fixture.write(b"a\nb\n");
            fixture.worker.work(LogJob::Quiesce, &fixture.replies);
            let daemon = fixture.daemon();
            fixture.write(end.as_bytes());
            fixture.worker.work(LogJob::Quiesce, &fixture.replies);
            assert_eq!(received(&daemon), expected);
            fixture.worker.finish(&fixture.replies);
            assert_eq!(received(&daemon), [""; 0]);
        }
    }

    #[test]
    fn restarted_daemon_misses_nothing() {
        let mut fixture = fixture();
        for line in ["a\n", "b\n", "c\n"] {
            let daemon = fixture.daemon();
            fixture.write(line.as_bytes());
            assert_eq!(received(&daemon), [line.trim_end()]);
        }
        assert_eq!(fixture.states(), []);
    }
}
