//! A file, standard output or syslog as a reader of the console stream: what the loop does about it.
//! A thread of its own writes; the loop hands it chunks of the stream and takes back what is done.
//!
//! After a failed write the chunks behind it come back unwritten: nothing is written after a gap
//! before the gap has been announced. Each failure begins a new epoch, and the thread bounces what
//! was handed to it in an older one.

use std::io;
use std::os::fd::OwnedFd;

use crate::console::clock::Monotonic;
use crate::console::event::Sink;
use crate::console::{Chunk, Console};
use crate::limits::{LOG_JOBS, LOG_LINGER, LOG_RETRY, LOG_STALL_TIMEOUT};
use crate::server::os::WorkerHandle;
use crate::server::records::{RecordsJob, RecordsReply};
use crate::sys;

/// What the thread is to do.
#[derive(Debug)]
pub(crate) enum LogJob {
    /// Append this, handed over in this epoch.
    Write(Chunk, u64),
    /// Append a line that is not part of the stream.
    Line(Vec<u8>),
    /// Close the file and go on with the one that has its name now.
    Reopen,
    /// Sync what was written and lend the file.
    Quiesce,
    /// Bring the records up to date.
    Record(RecordsJob),
}

/// What it has done.
#[derive(Debug)]
pub(crate) enum LogReply {
    /// A chunk is written.
    Written,
    /// Only that many bytes of it are, for this reason.
    Failed(Chunk, usize, io::Error),
    /// It was handed over before a failure was known, and came after it.
    Bounced(Chunk),
    /// Whether the file could be opened anew; if not, the old one goes on.
    Reopened(io::Result<()>),
    /// Whether the file could be moved out of the way; if not, it goes on.
    Rotated(io::Result<()>),
    /// Nothing is left to do, and this is the file; `None` if it can't be had.
    Quiesced(Option<OwnedFd>),
    /// Whether syslog takes lines again, or the reason why it does not.
    SyslogState(io::Result<()>),
    /// The records are written as far as they could be.
    Recorded(RecordsReply),
}

/// What became of the log since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SinkEvent {
    /// A write failed, for this reason.
    Failed(String),
    /// After a failure, a write succeeded.
    Recovered,
    /// SIGHUP: the file could not be opened anew, the old one goes on.
    ReopenFailed(String),
    /// Syslog takes lines again, or does not for this reason.
    SyslogState(Result<(), String>),
    /// It was due that another file is begun; the reason if that could not be.
    Rotated(Result<(), String>),
}

/// The reader of one sink.
pub(crate) struct SinkWriter<L> {
    sink: Sink,
    link: L,
    in_flight: usize,
    epoch: u64,
    /// After a failure: when to try again, and whether only new output makes that worth it.
    retry: Option<(Monotonic, bool)>,
    /// Times that the file is yet to be opened anew.
    reopening: usize,
    /// When a chunk was last finished, or handed over to an idle thread.
    progress: Monotonic,
    /// An upgrade is under way: nothing is handed over.
    pause: Option<Pause>,
    /// How often the thread was asked to rest and has not answered.
    asked: usize,
}

/// A pause, and once the thread rests, its file.
type Pause = Option<OwnedFd>;

impl<L: WorkerHandle> SinkWriter<L> {
    /// Has what `sink` reads written by the thread at the other end of `link`.
    pub(crate) fn new(sink: Sink, link: L) -> SinkWriter<L> {
        SinkWriter {
            sink,
            link,
            in_flight: 0,
            epoch: 0,
            retry: None,
            reopening: 0,
            progress: Monotonic(0),
            pause: None,
            asked: 0,
        }
    }

    /// Has the thread finish; nothing more is handed to it until [`resume`](Self::resume).
    pub(crate) fn pause(&mut self) {
        self.pause = Some(None);
        // Refused only by a thread that hangs.
        if self.link.send(LogJob::Quiesce).is_ok() {
            self.asked += 1;
        }
    }

    /// The file, once the thread has finished.
    pub(crate) fn quiesced_file(&self) -> Option<&OwnedFd> {
        self.pause.as_ref()?.as_ref()
    }

    /// Ends the pause.
    pub(crate) fn resume(&mut self) {
        self.pause = None;
    }

    /// When to try again after a failure, and whether only new output makes that worth it.
    pub(crate) fn retry(&self) -> Option<(Monotonic, bool)> {
        self.retry
    }

    /// Goes on after a failure that a server before this one had.
    pub(crate) fn with_retry(mut self, retry: Option<(Monotonic, bool)>) -> SinkWriter<L> {
        self.retry = retry;
        self
    }

    /// Writes a diagnostic line, unless the thread is behind.
    pub(crate) fn write_line(&mut self, line: &str) {
        self.send(LogJob::Line(format!("{line}\n").into_bytes()));
    }

    /// Closes the file and opens it anew by its name.
    pub(crate) fn reopen(&mut self) {
        // Refused only by a thread that has not done the last ones.
        if self.send(LogJob::Reopen) {
            self.reopening += 1;
        }
    }

    /// Whether there was room for it.
    fn send(&mut self, job: LogJob) -> bool {
        let sent = self.link.send(job).is_ok();
        if self.pause.is_some() {
            self.pause();
        }
        sent
    }

    /// Takes back what is done, hands over what is new.
    pub(crate) fn turn(&mut self, console: &mut Console, now: Monotonic) -> Vec<SinkEvent> {
        let mut news = Vec::new();
        self.link.want(false);
        loop {
            while let Some(done) = self.link.receive() {
                self.take_back(done, console, now, &mut news);
            }
            self.hand_over(console, now);
            if self.in_flight < LOG_JOBS && (self.retry.is_none() || self.in_flight == 0) {
                return news;
            }
            // The thread may have finished just before it was told that we wait for it.
            self.link.want(true);
            match self.link.receive() {
                Some(done) => self.take_back(done, console, now, &mut news),
                None => return news,
            }
        }
    }

    fn hand_over(&mut self, console: &mut Console, now: Monotonic) {
        if self.pause.is_some() {
            return;
        }
        if let Some((at, on_output)) = self.retry {
            if now < at || self.in_flight > 0 || (on_output && console.is_sink_drained(self.sink)) {
                return;
            }
            console.discard_pending(self.sink);
            self.retry = Some((now + LOG_RETRY, on_output));
        }
        while self.in_flight < LOG_JOBS
            && let Some(chunk) = console.take(self.sink)
        {
            if self.in_flight == 0 {
                self.progress = now;
            }
            // Room is kept for it, so only a thread that is gone refuses.
            if self.link.send(LogJob::Write(chunk, self.epoch)).is_err() {
                return;
            }
            self.in_flight += 1;
        }
    }

    /// When [`turn`](Self::turn) has something to do without being woken.
    pub(crate) fn deadline(&self, console: &Console) -> Option<Monotonic> {
        // What is in flight comes back by itself.
        let idle = self.in_flight == 0 && self.pause.is_none();
        let (at, on_output) = self.retry.filter(|_| idle)?;
        (!on_output || !console.is_sink_drained(self.sink)).then_some(at)
    }

    /// Whether the file is yet to be opened anew.
    pub(crate) fn is_reopening(&self) -> bool {
        self.reopening > 0
    }

    /// Whether it can't be written at the moment.
    pub(crate) fn has_failed(&self) -> bool {
        self.retry.is_some()
    }

    /// Until when a full log pauses the child: it has made no progress since.
    pub(crate) fn stall_deadline(&self) -> Monotonic {
        self.progress + LOG_STALL_TIMEOUT
    }

    /// At the end: hands over the rest and waits for it, though not for ever. `now` tells the time.
    pub(crate) fn finish(mut self, console: &mut Console, now: impl Fn() -> Monotonic) {
        let deadline = now() + LOG_LINGER;
        let left = || deadline.saturating_duration_since(now());
        // A log that has failed gets a last chance.
        if let Some((at, _)) = &mut self.retry {
            *at = now();
        }
        loop {
            self.turn(console, now());
            if self.in_flight == 0 {
                break;
            }
            match self.link.wait(left()) {
                Some(done) => self.take_back(done, console, now(), &mut Vec::new()),
                None => break,
            }
        }
        self.link.close(left());
    }

    fn take_back(
        &mut self,
        done: LogReply,
        console: &mut Console,
        now: Monotonic,
        news: &mut Vec<SinkEvent>,
    ) {
        match done {
            LogReply::Written => {
                self.in_flight -= 1;
                self.progress = now;
                if self.retry.take().is_some() {
                    news.push(SinkEvent::Recovered);
                }
            }
            LogReply::Failed(chunk, written, error) => {
                self.in_flight -= 1;
                self.epoch += 1;
                console.lost(self.sink, &chunk, written, true);
                // Nobody will ever read from a broken pipe again.
                let on_output = error.kind() == io::ErrorKind::BrokenPipe;
                self.retry = Some((now + LOG_RETRY, on_output));
                news.push(SinkEvent::Failed(sys::reason(&error)));
            }
            LogReply::Bounced(chunk) => {
                self.in_flight -= 1;
                console.lost(self.sink, &chunk, 0, false);
            }
            LogReply::Reopened(result) => {
                self.reopening = self.reopening.saturating_sub(1);
                if let Err(error) = result {
                    news.push(SinkEvent::ReopenFailed(sys::reason(&error)));
                } else if let Some((at, _)) = &mut self.retry {
                    *at = now;
                }
            }
            LogReply::Rotated(result) => {
                news.push(SinkEvent::Rotated(result.map_err(|error| sys::reason(&error))));
            }
            LogReply::SyslogState(result) => {
                news.push(SinkEvent::SyslogState(result.map_err(|error| sys::reason(&error))));
            }
            LogReply::Quiesced(file) => {
                self.asked -= 1;
                // An answer to an earlier question is none to this one.
                if let Some(pause) = &mut self.pause
                    && self.asked == 0
                {
                    *pause = file;
                }
            }
            // Another thread's.
            LogReply::Recorded(_) => {}
        }
    }
}
