//! A thread that runs a worker, so that a slow disk never delays the console. The event loop hands it
//! jobs and never waits for it: a write may stall on any file system, if only while a snapshot is
//! taken.
//!
//! A close may stall, too. So the thread has a descriptor table of its own, and the files of its worker
//! are open in no other: no child inherits them and closes them between fork and exec, and neither the
//! event loop nor the program that takes its place ever closes them.
//!
//! What the two threads share is behind one lock, which neither holds during a system call. A thread
//! that has nothing to do parks, so that handing a line to an idle worker is one wake-up and nothing
//! else.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::{LogJob, LogReply, Worker, WorkerHandle};
use crate::limits::{LOG_JOBS, LOG_OTHERS, SHORTAGE_RETRY};
use crate::sys;
use crate::sys::fd::DescriptorTable;
use crate::sys::wake::Wake;

/// What the event loop and the thread share.
struct Shared<J, R> {
    /// Jobs that the thread has not begun yet.
    jobs: VecDeque<J>,
    /// Replies that the event loop has not taken yet.
    replies: VecDeque<R>,
    /// True if the event loop wants to be woken by every reply.
    wanted: bool,
    /// True if nothing more is to be written.
    abandoned: bool,
    /// True if the thread waits until the event loop has it go on.
    waits: bool,
    /// While the thread waits for somebody who reads: how many bytes of the stream its chunk lacks.
    lacking: Option<u64>,
    /// True if there will be no more jobs.
    closed: bool,
    /// True if the thread has done all its jobs and ends.
    ended: bool,
    /// The thread, once it could be started.
    thread: Option<thread::Thread>,
}

impl<J, R> Default for Shared<J, R> {
    fn default() -> Shared<J, R> {
        let (jobs, replies) = (VecDeque::new(), VecDeque::new());
        Shared {
            jobs,
            replies,
            wanted: false,
            abandoned: false,
            waits: false,
            lacking: None,
            closed: false,
            ended: false,
            thread: None,
        }
    }
}

fn lock<J, R>(shared: &Mutex<Shared<J, R>>) -> MutexGuard<'_, Shared<J, R>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The event loop's side.
pub(crate) struct WorkerThread<J, R> {
    shared: Arc<Mutex<Shared<J, R>>>,
    start: Starter,
}

/// Starts a thread, unless it was started already. The error is that there can be no more threads now.
pub(crate) type Starter = Rc<dyn Fn() -> io::Result<()>>;

/// The handle of a sink's writer.
pub(crate) type LogThread = WorkerThread<LogJob, LogReply>;

impl<J: Send + 'static, R: Send + 'static> WorkerThread<J, R> {
    /// Has `worker` work in a thread of this name, once [`starter`](Self::starter) has started it. The
    /// calling thread is the one that waits for it at the end.
    pub(crate) fn new<W: Worker<Job = J, Reply = R>>(
        name: &str,
        worker: W,
        wake: Arc<Wake>,
    ) -> WorkerThread<J, R> {
        let shared: Arc<Mutex<Shared<J, R>>> = Arc::default();
        let replies = Replies { shared: Arc::clone(&shared), owner: thread::current(), wake };
        let name = name.to_owned();
        // A thread that can't be started drops what it was given.
        let worker = Arc::new(Mutex::new(Some(worker)));
        let start = move || {
            if lock(&replies.shared).thread.is_some() {
                return Ok(());
            }
            let (worker, replies_copy) = (Arc::clone(&worker), replies.clone());
            let (begun, has_begun) = mpsc::channel();
            let work = move || {
                let mut slot = worker.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(mut worker) = slot.take() else { return };
                match begin(&mut worker, &replies_copy) {
                    Ok(()) => {
                        drop(slot);
                        let _ = begun.send(Ok(()));
                        run(worker, &replies_copy);
                    }
                    Err(error) => {
                        *slot = Some(worker);
                        let _ = begun.send(Err(error));
                    }
                }
            };
            // All signals are for the event loop's thread, which blocks them when it has to.
            let _blocked = sys::process::signal::SignalMaskGuard::all()?;
            let builder = thread::Builder::new().name(name.clone()).stack_size(64 << 10);
            let thread = builder.spawn(work)?.thread().clone();
            // From then on this thread may close what the other one had to inherit.
            has_begun.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
            lock(&replies.shared).thread = Some(thread);
            Ok(())
        };
        WorkerThread { shared, start: Rc::new(start) }
    }

    /// What starts the thread.
    pub(crate) fn starter(&self) -> Starter {
        Rc::clone(&self.start)
    }
}

impl<J, R> WorkerThread<J, R> {
    fn unpark(&self) {
        if let Some(thread) = &lock(&self.shared).thread {
            thread.unpark();
        }
    }

    /// Waits until `condition` gives something, but not longer than `deadline`.
    fn await_until<T>(
        &self,
        deadline: Instant,
        mut condition: impl FnMut(&mut Shared<J, R>) -> Option<T>,
    ) -> Option<T> {
        loop {
            if let Some(value) = condition(&mut lock(&self.shared)) {
                return Some(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let started = (self.start)().is_ok();
            thread::park_timeout(if started { left } else { left.min(SHORTAGE_RETRY) });
        }
    }
}

impl<J, R> WorkerHandle<J, R> for WorkerThread<J, R> {
    fn send(&mut self, job: J) {
        lock(&self.shared).jobs.push_back(job);
        self.unpark();
    }

    fn try_send(&mut self, job: J) -> bool {
        let has_room = lock(&self.shared).jobs.len() < LOG_JOBS + LOG_OTHERS;
        if has_room {
            self.send(job);
        }
        has_room
    }

    fn proceed(&mut self) {
        lock(&self.shared).waits = false;
        self.unpark();
    }

    fn receive(&mut self) -> Option<R> {
        lock(&self.shared).replies.pop_front()
    }

    fn want(&mut self, wanted: bool) {
        lock(&self.shared).wanted = wanted;
    }

    fn wait(&mut self, limit: Duration) -> Option<R> {
        self.await_until(Instant::now() + limit, |shared| shared.replies.pop_front())
    }

    fn abandon(&mut self) -> (VecDeque<R>, Option<u64>) {
        let mut shared = lock(&self.shared);
        (shared.abandoned, shared.waits) = (true, false);
        let result = (std::mem::take(&mut shared.replies), shared.lacking);
        drop(shared);
        self.unpark();
        result
    }

    fn close(&mut self, limit: Duration) {
        {
            let mut shared = lock(&self.shared);
            (shared.closed, shared.waits) = (true, false);
        }
        self.unpark();
        self.await_until(Instant::now() + limit, |shared| shared.ended.then_some(()));
    }
}

/// The thread's side: where a worker sends its replies.
pub(crate) struct Replies<J, R> {
    shared: Arc<Mutex<Shared<J, R>>>,
    /// The event loop's thread, which waits at the end.
    owner: thread::Thread,
    /// Wakes the event loop before the end.
    wake: Arc<Wake>,
}

/// The replies of a sink's writer.
pub(crate) type LogReplies = Replies<LogJob, LogReply>;

impl<J, R> Replies<J, R> {
    /// Returns true if nothing more is to be written.
    pub(crate) fn is_abandoned(&self) -> bool {
        lock(&self.shared).abandoned
    }

    /// Calls `wait`, which waits for somebody who reads the rest of a chunk: `lacking` bytes of the
    /// stream.
    pub(crate) fn while_lacking(&self, lacking: u64, wait: impl FnOnce()) {
        lock(&self.shared).lacking = Some(lacking);
        wait();
        lock(&self.shared).lacking = None;
    }

    /// Sends a reply, and waits until the event loop has the thread go on. At the end nothing is waited for.
    pub(crate) fn send_and_wait(&self, reply: R) {
        {
            let mut shared = lock(&self.shared);
            shared.waits = !shared.abandoned && !shared.closed;
        }
        self.send(reply, true);
        while lock(&self.shared).waits {
            thread::park();
        }
    }

    /// Sends a reply. The event loop is woken for it if it is `urgent`, or if the loop wants every
    /// reply.
    pub(crate) fn send(&self, reply: R, urgent: bool) {
        let mut shared = lock(&self.shared);
        shared.replies.push_back(reply);
        let wanted = shared.wanted;
        drop(shared);
        self.owner.unpark();
        if urgent || wanted {
            self.wake.wake();
        }
    }
}

impl<J, R> Clone for Replies<J, R> {
    fn clone(&self) -> Replies<J, R> {
        Replies {
            shared: Arc::clone(&self.shared),
            owner: self.owner.clone(),
            wake: Arc::clone(&self.wake),
        }
    }
}

#[cfg(test)]
impl<J, R> Replies<J, R> {
    /// Replies that no event loop takes.
    pub(crate) fn detached() -> Replies<J, R> {
        let poll = mio::Poll::new().unwrap();
        let wake = Arc::new(Wake::new(poll.registry(), mio::Token(0)).unwrap());
        Replies { shared: Arc::default(), owner: thread::current(), wake }
    }

    /// Takes the replies that were sent.
    pub(crate) fn sent(&self) -> Vec<R> {
        lock(&self.shared).replies.drain(..).collect()
    }
}

/// Gives the calling thread a descriptor table of its own, unless the worker's files are the process's.
fn begin<W: Worker>(worker: &mut W, replies: &Replies<W::Job, W::Reply>) -> io::Result<()> {
    let Some(numbers) = worker.descriptors() else {
        return Ok(());
    };
    let table = DescriptorTable::separate(&[numbers, replies.wake.descriptors()].concat())?;
    worker.begin(&table)
}

fn run<W: Worker>(mut worker: W, replies: &Replies<W::Job, W::Reply>) {
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
            Some(left) if left.is_zero() || (idle && closed) => worker.on_deadline(replies),
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
