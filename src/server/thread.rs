//! A thread that writes and syncs a file, so that a slow disk is never in the way of the console.
//! The loop hands it jobs and never waits for it: a write may stall on any file system, be it only
//! for the time of a snapshot.
//!
//! What the two share is behind one lock, which nobody holds during a system call. Who has nothing
//! to do parks, so that handing a line to a thread that rests is one wake-up and nothing else.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mio::Waker;

use super::logfile::{Done, Job};
use super::system::Link;
use crate::core::Chunk;
use crate::limits::{LOG_OTHERS, SYNC_INTERVAL};
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

/// What loop and thread share.
#[derive(Default)]
struct Desk {
    /// Not begun yet.
    jobs: VecDeque<Job>,
    /// Not yet taken back by the loop.
    done: VecDeque<Done>,
    /// Whether the loop wants to be woken when a job is done.
    wanted: bool,
    /// The loop has nothing more to hand over.
    closed: bool,
    /// Everything is written and synced, and the thread gone.
    ended: bool,
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The loop's side.
pub(super) struct Thread {
    desk: Arc<Mutex<Desk>>,
    thread: thread::Thread,
}

/// Starts a thread that writes `file`, and opens it anew as `path`. The one that calls this is the
/// one that waits at the end.
pub(super) fn start(file: File, path: Option<PathBuf>, waker: Arc<Waker>) -> io::Result<Thread> {
    let desk = Arc::default();
    let hand = Hand {
        sync: is_syncable(&file),
        file,
        path,
        epoch: 0,
        desk: Arc::clone(&desk),
        owner: thread::current(),
        waker,
    };
    // All signals are for the loop's thread, which holds them back when it has to.
    let _blocked = sys::signal::Blocked::all()?;
    let builder = thread::Builder::new().name("log".to_owned()).stack_size(64 << 10);
    let thread = builder.spawn(move || hand.run())?.thread().clone();
    Ok(Thread { desk, thread })
}

impl Thread {
    /// Waits at most until `deadline` for `news` of the thread.
    fn await_until<T>(
        &self,
        deadline: Instant,
        mut news: impl FnMut(&mut Desk) -> Option<T>,
    ) -> Option<T> {
        loop {
            if let Some(news) = news(&mut lock(&self.desk)) {
                return Some(news);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            thread::park_timeout(left);
        }
    }
}

impl Link for Thread {
    fn send(&mut self, job: Job) -> Result<(), Job> {
        let mut desk = lock(&self.desk);
        if !matches!(job, Job::Write(..)) {
            let others = desk.jobs.iter().filter(|job| !matches!(job, Job::Write(..)));
            if others.count() >= LOG_OTHERS {
                return Err(job);
            }
        }
        desk.jobs.push_back(job);
        drop(desk);
        self.thread.unpark();
        Ok(())
    }

    fn receive(&mut self) -> Option<Done> {
        lock(&self.desk).done.pop_front()
    }

    fn want(&mut self, wanted: bool) {
        lock(&self.desk).wanted = wanted;
    }

    fn wait(&mut self, limit: Duration) -> Option<Done> {
        self.await_until(Instant::now() + limit, |desk| desk.done.pop_front())
    }

    fn close(self, limit: Duration) {
        lock(&self.desk).closed = true;
        self.thread.unpark();
        self.await_until(Instant::now() + limit, |desk| desk.ended.then_some(()));
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
    desk: Arc<Mutex<Desk>>,
    /// The loop's thread, which waits at the end.
    owner: thread::Thread,
    /// Wakes the loop before the end.
    waker: Arc<Waker>,
}

impl Hand {
    fn run(mut self) {
        let mut sync_at: Option<Instant> = None;
        loop {
            let (job, closed) = {
                let mut desk = lock(&self.desk);
                (desk.jobs.pop_front(), desk.closed)
            };
            let idle = job.is_none();
            match job {
                Some(Job::Write(chunk, epoch)) => {
                    self.write(chunk, epoch);
                    if self.sync && sync_at.is_none() {
                        sync_at = Some(Instant::now() + SYNC_INTERVAL);
                    }
                }
                Some(Job::Say(line)) => {
                    let _ = self.file.write_all(&line);
                }
                Some(Job::Reopen) => {
                    let result = self.reopen();
                    self.tell(Done::Reopened(result), true);
                }
                Some(Job::Rest) => {
                    if sync_at.take().is_some() {
                        let _ = self.file.sync_data();
                    }
                    let file = self.file.try_clone().map(OwnedFd::from).ok();
                    self.tell(Done::AtRest(file), true);
                }
                None => {}
            }
            let left = sync_at.map(|at| at.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if left.is_zero() || (idle && closed) => {
                    let _ = self.file.sync_data();
                    sync_at = None;
                }
                None if idle && closed => break,
                Some(left) if idle => thread::park_timeout(left),
                None if idle => thread::park(),
                _ => {}
            }
        }
        lock(&self.desk).ended = true;
        self.owner.unpark();
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
        let mut desk = lock(&self.desk);
        desk.done.push_back(done);
        let wanted = desk.wanted;
        drop(desk);
        self.owner.unpark();
        if urgent || wanted {
            let _ = self.waker.wake();
        }
    }
}
