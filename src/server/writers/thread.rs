//! A thread that does what may take its time, so that a slow disk is never in the way of the
//! console. The loop hands it jobs and never waits for it: a write may stall on any file system, be
//! it only for the time of a snapshot.
//!
//! What the two share is behind one lock, which nobody holds during a system call. Who has nothing
//! to do parks, so that handing a line to a thread that rests is one wake-up and nothing else.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mio::Waker;

use super::sink::{LogJob, LogReply};
use crate::limits::LOG_OTHERS;
use crate::server::os::WorkerHandle;
use crate::sys;

/// What a thread does with its jobs.
pub(crate) trait Worker: Send + 'static {
    /// Does a job, and tells what came of it.
    fn work(&mut self, job: LogJob, replies: &Replies);
    /// When something is left to do that can wait until then, but not longer.
    fn deadline(&self) -> Option<Instant> {
        None
    }
    /// Does that.
    fn on_deadline(&mut self) {}
    /// There will be no more jobs.
    fn finish(&mut self, _replies: &Replies) {}
}

/// What loop and thread share.
#[derive(Default)]
struct Shared {
    /// Not begun yet.
    jobs: VecDeque<LogJob>,
    /// Not yet taken back by the loop.
    done: VecDeque<LogReply>,
    /// Whether the loop wants to be woken when a job is done.
    wanted: bool,
    /// The loop has nothing more to hand over.
    closed: bool,
    /// Everything is written and synced, and the thread gone.
    ended: bool,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The loop's side.
pub(crate) struct WorkerThread {
    shared: Arc<Mutex<Shared>>,
    thread: thread::Thread,
}

/// Starts a thread for `worker`. The one that calls this is the one that waits at the end.
pub(crate) fn start(
    name: &str,
    worker: impl Worker,
    waker: Arc<Waker>,
) -> io::Result<WorkerThread> {
    let shared = Arc::default();
    let replies = Replies { shared: Arc::clone(&shared), owner: thread::current(), waker };
    // All signals are for the loop's thread, which holds them back when it has to.
    let _blocked = sys::signal::SignalMaskGuard::all()?;
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(64 << 10);
    let thread = builder.spawn(move || run(worker, &replies))?.thread().clone();
    Ok(WorkerThread { shared, thread })
}

impl WorkerThread {
    /// Waits at most until `deadline` for `news` of the thread.
    fn await_until<T>(
        &self,
        deadline: Instant,
        mut news: impl FnMut(&mut Shared) -> Option<T>,
    ) -> Option<T> {
        loop {
            if let Some(news) = news(&mut lock(&self.shared)) {
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

impl WorkerHandle for WorkerThread {
    fn send(&mut self, job: LogJob) -> Result<(), LogJob> {
        let mut shared = lock(&self.shared);
        if !matches!(job, LogJob::Write(..)) {
            let others = shared.jobs.iter().filter(|job| !matches!(job, LogJob::Write(..)));
            if others.count() >= LOG_OTHERS {
                return Err(job);
            }
        }
        shared.jobs.push_back(job);
        drop(shared);
        self.thread.unpark();
        Ok(())
    }

    fn receive(&mut self) -> Option<LogReply> {
        lock(&self.shared).done.pop_front()
    }

    fn want(&mut self, wanted: bool) {
        lock(&self.shared).wanted = wanted;
    }

    fn wait(&mut self, limit: Duration) -> Option<LogReply> {
        self.await_until(Instant::now() + limit, |shared| shared.done.pop_front())
    }

    fn close(self, limit: Duration) {
        lock(&self.shared).closed = true;
        self.thread.unpark();
        self.await_until(Instant::now() + limit, |shared| shared.ended.then_some(()));
    }
}

/// The thread's side: where it tells what it has done.
pub(crate) struct Replies {
    shared: Arc<Mutex<Shared>>,
    /// The loop's thread, which waits at the end.
    owner: thread::Thread,
    /// Wakes the loop before the end.
    waker: Arc<Waker>,
}

impl Replies {
    /// Tells the loop, which is woken for it if that is `urgent` or it asked to be.
    pub(crate) fn send(&self, done: LogReply, urgent: bool) {
        let mut shared = lock(&self.shared);
        shared.done.push_back(done);
        let wanted = shared.wanted;
        drop(shared);
        self.owner.unpark();
        if urgent || wanted {
            let _ = self.waker.wake();
        }
    }
}

#[cfg(test)]
impl Replies {
    /// One that leads to nobody.
    pub(crate) fn detached() -> Replies {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
        Replies { shared: Arc::default(), owner: thread::current(), waker }
    }

    /// What it was told.
    pub(crate) fn sent(&self) -> Vec<LogReply> {
        lock(&self.shared).done.drain(..).collect()
    }
}

fn run(mut worker: impl Worker, replies: &Replies) {
    loop {
        let (job, closed) = {
            let mut shared = lock(&replies.shared);
            (shared.jobs.pop_front(), shared.closed)
        };
        let idle = job.is_none();
        if let Some(job) = job {
            worker.work(job, replies);
        }
        let left = worker.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        match left {
            Some(left) if left.is_zero() || (idle && closed) => worker.on_deadline(),
            None if idle && closed => break,
            Some(left) if idle => thread::park_timeout(left),
            None if idle => thread::park(),
            _ => {}
        }
    }
    worker.finish(replies);
    lock(&replies.shared).ended = true;
    replies.owner.unpark();
}
