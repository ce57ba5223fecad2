//! The threads that write: the log, standard output, syslog, the records and the files beside them.
//!
//! A writer is a [`Worker`] in a thread of its own, and the event loop has a [`WorkerHandle`] of it.
//! The two exchange jobs and replies; of which type these are is the writer's business.

pub(crate) mod files;
pub(crate) mod log_file;
pub(crate) mod rotate;
pub(crate) mod sink;
pub(crate) mod syslog;
pub(crate) mod thread;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::time::{Duration, Instant};

use self::thread::Replies;
use crate::console::Chunk;
use crate::console::changes::FileEnd;
use crate::console::event::Subsystem;
use crate::sys::fd::DescriptorTable;

/// What a thread does with its jobs.
pub(crate) trait Worker: Send + 'static {
    /// What the event loop asks for.
    type Job: Send + 'static;
    /// What the event loop is answered.
    type Reply: Send + 'static;

    /// The numbers of the descriptors that the worker needs in the table of its thread; `None` if its
    /// files are open in the process anyway, so that a table of its own is of no use.
    fn descriptors(&self) -> Option<Vec<RawFd>> {
        Some(Vec::new())
    }
    /// Called in the worker's thread, before the first job, with the table of the thread.
    ///
    /// # Errors
    /// The table has no room.
    fn begin(&mut self, _table: &DescriptorTable) -> io::Result<()> {
        Ok(())
    }
    /// Does a job, and replies.
    fn work(&mut self, job: Self::Job, replies: &Replies<Self::Job, Self::Reply>);
    /// The time at which [`on_deadline`](Self::on_deadline) is to be called, if any.
    fn deadline(&self) -> Option<Instant> {
        None
    }
    /// Does what can wait until the deadline, but not longer.
    fn on_deadline(&mut self, _replies: &Replies<Self::Job, Self::Reply>) {}
    /// Called after the last job.
    fn finish(&mut self, _replies: &Replies<Self::Job, Self::Reply>) {}
}

/// The event loop's side of what it shares with a worker's thread.
pub(crate) trait WorkerHandle<Job, Reply> {
    /// Hands a job over. The caller limits how many of them wait.
    fn send(&mut self, job: Job);
    /// Hands a job over unless too many wait already, as they do if the thread hangs. Returns true
    /// if the job was accepted.
    fn try_send(&mut self, job: Job) -> bool;
    /// Has the thread go on after a reply that it [waits](LogReply::Waits) after.
    fn proceed(&mut self);
    /// The next reply, in the order in which the jobs were done.
    fn receive(&mut self) -> Option<Reply>;
    /// Sets whether the event loop is to be woken by every reply.
    fn want(&mut self, wanted: bool);
    /// At the end: waits for a reply, but not longer than `limit`.
    fn wait(&mut self, limit: Duration) -> Option<Reply>;
    /// At the end: has the thread give up what it writes, and reply how far it got. Returns the replies
    /// so far. A thread that waits for somebody who reads does not reply: also returns how many bytes of
    /// the stream its chunk then lacks.
    fn abandon(&mut self) -> (VecDeque<Reply>, Option<u64>);
    /// At the end: waits until every job is done and what it wrote is synced, but not longer than
    /// `limit`. There may be replies then.
    fn close(&mut self, limit: Duration);
}

/// A job of the thread that writes a sink of the console stream.
#[derive(Debug)]
pub(crate) enum LogJob {
    /// Append this chunk, which was handed over in this epoch (see [`sink`]).
    Write(Chunk, u64),
    /// Append a line that is not part of the stream.
    Line(Vec<u8>),
    /// Close the file or socket, and go on with the one that has its name now.
    Reopen,
    /// Sync what was written, and make the file ready for another program: close it, after it was put
    /// into the passage if there is one, or lend it.
    Quiesce,
    /// From now on, report with each chunk where the file ends, and wait before and after each change of
    /// the file until that is noted.
    ReportEnds,
}

/// A change of the file that the thread of a sink writes.
#[derive(Debug)]
pub(crate) struct FileChange {
    /// How many bytes of the next chunk, as it was handed over, are written before the change.
    pub(crate) written: usize,
    /// After the change: the end of the file, if it is a regular one.
    pub(crate) end: Option<FileEnd>,
    /// True if the change is still to come.
    pub(crate) is_to_come: bool,
}

/// What the thread that writes a sink has done.
#[derive(Debug)]
pub(crate) enum LogReply {
    /// A chunk is written, and the file ends there, if it is a regular one and its end is wanted.
    Written(Option<FileEnd>),
    /// Only this many bytes of the chunk are written, because of this error.
    Failed(Chunk, usize, io::Error),
    /// The chunk is not written: a write before it failed after it was handed over.
    Bounced(Chunk),
    /// The thread changes its file, or has done so, and waits for [`proceed`](WorkerHandle::proceed).
    Waits(FileChange),
    /// The file was opened anew, or could not be: then the old one goes on.
    Reopened(io::Result<()>),
    /// No job is left to do, and the file is ready for another program: lent, or `None` if it is in its
    /// passage or there is none.
    Quiesced(io::Result<Option<OwnedFd>>),
    /// This number of bytes is written, but could not be synced: a crash of the machine may cost them.
    Unsynced(u64),
    /// Something beside the chunks works, or does not because of this error: the sync or the rotation
    /// of the log, or the delivery to syslog, which answers [`Written`](Self::Written) all the same.
    State(Subsystem, io::Result<()>),
}
