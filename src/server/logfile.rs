//! A file, or standard output, as a reader of the console stream: a thread of its own writes and
//! syncs, so that a slow disk is never in the way of the console. The loop hands it chunks of the
//! stream over a bounded channel and never waits for it.
//!
//! After a failed write the chunks behind it come back unwritten: nothing is written after a gap
//! before the gap has been announced. Each failure begins a new epoch, and the thread bounces what
//! was handed to it in an older one.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Instant;

use mio::Waker;

use crate::core::clock::Moment;
use crate::core::event::Sink;
use crate::core::{Chunk, Console};
use crate::limits::{LOG_JOBS, LOG_PATIENCE, LOG_RETRY, SYNC_INTERVAL};
use crate::sys;

enum Job {
    Write(Chunk, u64),
    /// A line that is not part of the stream.
    Say(Vec<u8>),
    /// Close the file and go on with the one that has its name now.
    Reopen(PathBuf),
}

enum Done {
    Written,
    Failed(Chunk, usize, io::Error),
    Bounced(Chunk),
    Reopened(io::Result<()>),
}

/// What became of the log since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A write failed, for this reason.
    Failed(String),
    /// After a failure, a write succeeded.
    Works,
    /// SIGHUP: the file could not be opened anew, the old one goes on.
    NotReopened,
}

/// The loop's side.
pub(super) struct Writer {
    sink: Sink,
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    /// Whether the loop wants to be woken when a chunk is done.
    wanted: Arc<AtomicBool>,
    in_flight: usize,
    epoch: u64,
    /// After a failure: when to try again, and whether only new output makes that worth it.
    retry: Option<(Moment, bool)>,
    /// When a chunk was last finished, or handed over to an idle thread.
    progress: Moment,
}

/// Opens a log: appended to, created 0644 less umask.
pub(super) fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().append(true).create(true).mode(0o644).open(path)
}

impl Writer {
    /// Starts a thread that writes what `sink` reads to `file`.
    pub(super) fn start(sink: Sink, file: File, waker: Arc<Waker>) -> io::Result<Writer> {
        // Room for every chunk and some lines, so that sending never blocks.
        let (jobs, job_receiver) = sync_channel(LOG_JOBS + 16);
        let (done_sender, done) = channel();
        let wanted = Arc::new(AtomicBool::new(false));
        let thread = Thread {
            sync: file.metadata().is_ok_and(|metadata| metadata.is_file()),
            file,
            epoch: 0,
            done: done_sender,
            wanted: Arc::clone(&wanted),
            waker,
        };
        thread::Builder::new()
            .name("log".to_owned())
            .stack_size(64 << 10)
            .spawn(move || thread.run(&job_receiver))?;
        Ok(Writer {
            sink,
            jobs,
            done,
            wanted,
            in_flight: 0,
            epoch: 0,
            retry: None,
            progress: Moment(0),
        })
    }

    /// Writes a diagnostic line, unless the thread is behind.
    pub(super) fn say(&mut self, line: &str) {
        let _ = self.jobs.try_send(Job::Say(format!("{line}\n").into_bytes()));
    }

    /// Closes the file and opens `path` anew.
    pub(super) fn reopen(&mut self, path: &Path) {
        // Refused only by a thread that still has not done the last one.
        let _ = self.jobs.try_send(Job::Reopen(path.to_owned()));
    }

    /// Takes back what is done, hands over what is new.
    pub(super) fn turn(&mut self, console: &mut Console, now: Moment) -> Vec<News> {
        let mut news = Vec::new();
        self.wanted.store(false, Ordering::Release);
        loop {
            while let Ok(done) = self.done.try_recv() {
                self.take_back(done, console, now, &mut news);
            }
            self.hand_over(console, now);
            if self.in_flight < LOG_JOBS && (self.retry.is_none() || self.in_flight == 0) {
                return news;
            }
            // The thread may have finished just before it was told that we wait for it.
            self.wanted.store(true, Ordering::Release);
            match self.done.try_recv() {
                Ok(done) => self.take_back(done, console, now, &mut news),
                Err(_) => return news,
            }
        }
    }

    fn hand_over(&mut self, console: &mut Console, now: Moment) {
        if let Some((at, on_output)) = self.retry {
            if now < at || self.in_flight > 0 || (on_output && console.is_current(self.sink)) {
                return;
            }
            console.give_up(self.sink);
            self.retry = Some((now + LOG_RETRY, on_output));
        }
        while self.in_flight < LOG_JOBS
            && let Some(chunk) = console.take(self.sink)
        {
            if self.in_flight == 0 {
                self.progress = now;
            }
            // Room is kept for it, so only a thread that is gone refuses.
            if self.jobs.try_send(Job::Write(chunk, self.epoch)).is_err() {
                return;
            }
            self.in_flight += 1;
        }
    }

    /// When [`turn`](Self::turn) has something to do without being woken.
    pub(super) fn deadline(&self, console: &Console) -> Option<Moment> {
        match self.retry {
            Some((_, true)) if console.is_current(self.sink) => None,
            Some((at, _)) => Some(at),
            None => None,
        }
    }

    /// Whether it can't be written at the moment.
    pub(super) fn has_failed(&self) -> bool {
        self.retry.is_some()
    }

    /// Until when a full log pauses the child: it has made no progress since.
    pub(super) fn patience(&self) -> Moment {
        self.progress + LOG_PATIENCE
    }

    /// At the end: hands over the rest and waits for it, until `deadline`.
    pub(super) fn finish(mut self, console: &mut Console, deadline: Instant) {
        let now = Moment(sys::time::monotonic());
        loop {
            self.turn(console, now);
            if self.retry.is_some() || self.in_flight == 0 {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.done.recv_timeout(left) {
                Ok(done) => self.take_back(done, console, now, &mut Vec::new()),
                Err(_) => return,
            }
        }
        // The thread ends when its channel does; it closes its own side after the last sync.
        drop(self.jobs);
        let left = deadline.saturating_duration_since(Instant::now());
        while self.done.recv_timeout(left).is_ok() {}
    }

    fn take_back(&mut self, done: Done, console: &mut Console, now: Moment, news: &mut Vec<News>) {
        match done {
            Done::Written => {
                self.in_flight -= 1;
                self.progress = now;
                if self.retry.take().is_some() {
                    news.push(News::Works);
                }
            }
            Done::Failed(chunk, written, error) => {
                self.in_flight -= 1;
                self.epoch += 1;
                console.lost(self.sink, &chunk, written, true);
                // Nobody will ever read from a broken pipe again.
                let on_output = error.kind() == io::ErrorKind::BrokenPipe;
                self.retry = Some((now + LOG_RETRY, on_output));
                news.push(News::Failed(sys::reason(&error)));
            }
            Done::Bounced(chunk) => {
                self.in_flight -= 1;
                console.lost(self.sink, &chunk, 0, false);
            }
            Done::Reopened(Ok(())) => {
                if let Some((at, _)) = &mut self.retry {
                    *at = now;
                }
            }
            Done::Reopened(Err(_)) => news.push(News::NotReopened),
        }
    }
}

/// The thread's side.
struct Thread {
    file: File,
    /// Whether the file can be synced at all.
    sync: bool,
    epoch: u64,
    done: Sender<Done>,
    wanted: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Thread {
    fn run(mut self, jobs: &Receiver<Job>) {
        let mut sync_at: Option<Instant> = None;
        loop {
            let job = match sync_at {
                Some(at) => jobs.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(Job::Write(chunk, epoch)) => {
                    self.write(chunk, epoch);
                    if self.sync && sync_at.is_none() {
                        sync_at = Some(Instant::now() + SYNC_INTERVAL);
                    }
                }
                Ok(Job::Say(line)) => {
                    let _ = self.file.write_all(&line);
                }
                Ok(Job::Reopen(path)) => {
                    let result = self.reopen(&path);
                    self.tell(Done::Reopened(result), true);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if sync_at.is_some_and(|at| Instant::now() >= at) {
                let _ = self.file.sync_data();
                sync_at = None;
            }
        }
        if sync_at.is_some() {
            let _ = self.file.sync_data();
        }
    }

    fn reopen(&mut self, path: &Path) -> io::Result<()> {
        let file = open(path)?;
        if self.sync {
            let _ = self.file.sync_data();
        }
        self.file = file;
        self.sync = self.file.metadata().is_ok_and(|metadata| metadata.is_file());
        Ok(())
    }

    fn write(&mut self, chunk: Chunk, epoch: u64) {
        if epoch != self.epoch {
            return self.tell(Done::Bounced(chunk), false);
        }
        let mut written = 0;
        while let Some(rest) = chunk.bytes.get(written..)
            && !rest.is_empty()
        {
            match self.file.write(rest) {
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return self.fail(chunk, written, error);
                }
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else made our standard output non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sys::fd::wait_writable(&self.file);
                }
                Err(error) => return self.fail(chunk, written, error),
            }
        }
        self.tell(Done::Written, false);
    }

    fn fail(&mut self, chunk: Chunk, written: usize, error: io::Error) {
        self.epoch += 1;
        self.tell(Done::Failed(chunk, written, error), true);
    }

    fn tell(&self, done: Done, urgent: bool) {
        // A loop that is gone needs no answer.
        let _ = self.done.send(done);
        if urgent || self.wanted.load(Ordering::Acquire) {
            let _ = self.waker.wake();
        }
    }
}
