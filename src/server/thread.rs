//! A thread that writes and syncs a file, so that a slow disk is never in the way of the console.
//! The loop hands it jobs over a bounded channel and never waits for it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::time::{Duration, Instant};

use mio::Waker;

use super::logfile::{Done, Job};
use super::system::Link;
use crate::core::Chunk;
use crate::limits::{LOG_JOBS, LOG_OTHERS, SYNC_INTERVAL};
use crate::sys;

/// Opens a log: appended to, created 0644 less umask.
pub(super) fn open(path: &Path) -> io::Result<File> {
    use nix::libc::{ENXIO, O_NOCTTY, O_NONBLOCK};
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    // A FIFO must not make us wait for its reader, a terminal not become ours.
    options.append(true).create(true).mode(0o644).custom_flags(O_NONBLOCK | O_NOCTTY);
    match options.open(path) {
        // A FIFO without a reader. Opened so, it keeps what fits in until there is one.
        Err(error) if error.raw_os_error() == Some(ENXIO) => options.read(true).open(path),
        result => result,
    }
}

/// The loop's end of the channel.
pub(super) struct Thread {
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    /// Whether the loop wants to be woken when a job is done.
    wanted: Arc<AtomicBool>,
    /// Jobs other than chunks that have not been begun.
    others: Arc<AtomicUsize>,
}

/// Starts a thread that writes `file`, and opens it anew as `path`.
pub(super) fn start(file: File, path: Option<PathBuf>, waker: Arc<Waker>) -> io::Result<Thread> {
    let (jobs, job_receiver) = sync_channel(LOG_JOBS + LOG_OTHERS);
    let (done_sender, done) = channel();
    let wanted = Arc::new(AtomicBool::new(false));
    let others = Arc::new(AtomicUsize::new(0));
    let hand = Hand {
        sync: is_syncable(&file),
        file,
        path,
        epoch: 0,
        done: done_sender,
        wanted: Arc::clone(&wanted),
        others: Arc::clone(&others),
        waker,
    };
    // All signals are for the loop's thread, which holds them back when it has to.
    let _blocked = sys::signal::Blocked::all()?;
    std::thread::Builder::new()
        .name("log".to_owned())
        .stack_size(64 << 10)
        .spawn(move || hand.run(&job_receiver))?;
    Ok(Thread { jobs, done, wanted, others })
}

impl Link for Thread {
    fn send(&mut self, job: Job) -> Result<(), Job> {
        if !matches!(job, Job::Write(..)) {
            // They never take the room of a chunk, which would be lost.
            if self.others.load(Ordering::Acquire) >= LOG_OTHERS {
                return Err(job);
            }
            self.others.fetch_add(1, Ordering::AcqRel);
        }
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }

    fn receive(&mut self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    fn want(&mut self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
        // Here and in the thread: of the wish and what is done, one side sees the other's.
        fence(Ordering::SeqCst);
    }

    fn wait(&mut self, limit: Duration) -> Option<Done> {
        self.done.recv_timeout(limit).ok()
    }

    fn close(self, limit: Duration) {
        // The thread ends when its channel does, and closes its own side after the last sync.
        drop(self.jobs);
        let deadline = Instant::now() + limit;
        while self.done.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
    }
}

fn is_syncable(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// The thread's side.
struct Hand {
    file: File,
    path: Option<PathBuf>,
    /// Whether the file can be synced at all.
    sync: bool,
    epoch: u64,
    done: Sender<Done>,
    wanted: Arc<AtomicBool>,
    others: Arc<AtomicUsize>,
    waker: Arc<Waker>,
}

impl Hand {
    fn run(mut self, jobs: &Receiver<Job>) {
        let mut sync_at: Option<Instant> = None;
        loop {
            let job = match sync_at {
                Some(at) => jobs.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if matches!(job, Ok(Job::Say(_) | Job::Reopen | Job::Rest)) {
                self.others.fetch_sub(1, Ordering::AcqRel);
            }
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
                Ok(Job::Reopen) => {
                    let result = self.reopen();
                    self.tell(Done::Reopened(result), true);
                }
                Ok(Job::Rest) => {
                    if sync_at.take().is_some() {
                        let _ = self.file.sync_data();
                    }
                    let file = self.file.try_clone().map(OwnedFd::from).ok();
                    self.tell(Done::AtRest(file), true);
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

    fn reopen(&mut self) -> io::Result<()> {
        // Standard output stays what it is.
        let Some(path) = &self.path else {
            return Ok(());
        };
        let file = open(path)?;
        if self.sync {
            let _ = self.file.sync_data();
        }
        self.file = file;
        self.sync = is_syncable(&self.file);
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
                // A FIFO, a terminal, or a standard output that somebody made non-blocking.
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
        fence(Ordering::SeqCst);
        if urgent || self.wanted.load(Ordering::Relaxed) {
            let _ = self.waker.wake();
        }
    }
}
