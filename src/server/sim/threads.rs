//! The worker threads of the simulation: one writes the log to a disk that fills up, the other one
//! writes the records to files that can't be written at times. They work when the world lets them.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;

use super::world::{Shared, World};
use crate::console::Chunk;
use crate::console::changes::FileEnd;
use crate::console::event::Subsystem;
use crate::server::records::{RecordsJob, RecordsReply};
use crate::server::writers::{FileChange, LogJob, LogReply, WorkerHandle};

/// What the server and one of the threads share.
#[derive(Debug)]
pub(super) struct WorkerQueue<J, R> {
    pub(super) jobs: VecDeque<J>,
    pub(super) replies: VecDeque<R>,
    /// True if the server wants to be woken by every reply.
    wanted: bool,
}

impl<J, R> Default for WorkerQueue<J, R> {
    fn default() -> WorkerQueue<J, R> {
        WorkerQueue { jobs: VecDeque::new(), replies: VecDeque::new(), wanted: false }
    }
}

impl<J, R> WorkerQueue<J, R> {
    /// The server becomes another program, which ends the thread.
    pub(super) fn end(&mut self) {
        assert!(self.jobs.is_empty(), "a thread was not at rest");
        self.replies.clear();
    }
}

/// The server's handle of one of the threads.
pub(super) struct QueueHandle<J, R> {
    world: Shared,
    queue: fn(&mut World) -> &mut WorkerQueue<J, R>,
    /// Has the thread do one job.
    work: fn(&mut World),
    /// True if it is the log's thread.
    is_log: bool,
}

/// The handle of the thread that writes the log.
pub(super) fn log_handle(world: &Shared) -> QueueHandle<LogJob, LogReply> {
    QueueHandle {
        world: Rc::clone(world),
        queue: |world| &mut world.log_queue,
        work: World::write_log,
        is_log: true,
    }
}

/// The handle of the thread that writes the records.
pub(super) fn records_handle(world: &Shared) -> QueueHandle<RecordsJob, RecordsReply> {
    QueueHandle {
        world: Rc::clone(world),
        queue: |world| &mut world.records_queue,
        work: World::write_records,
        is_log: false,
    }
}

/// What the log's thread does between the two times at which it waits because its file changes.
#[derive(Debug)]
pub(super) struct LogChange {
    /// The chunk that is being written, and how much of it is; without one the file is opened anew.
    chunk: Option<(Chunk, usize)>,
    /// How the change went, once it was made.
    result: Option<io::Result<()>>,
    /// True if the event loop has the thread go on.
    proceeds: bool,
}

impl World {
    /// The log's thread does one job, or a part of one.
    pub(super) fn write_log(&mut self) {
        if self.now < self.threads_start {
            return;
        }
        let before = self.log_queue.replies.len();
        let urgent = match self.file_change.take() {
            Some(change) if !change.proceeds => {
                self.file_change = Some(change);
                return;
            }
            Some(change) => {
                self.change_log_file(change);
                true
            }
            None => self.begin_log_job(),
        };
        let replied = self.log_queue.replies.len() > before;
        self.woken |= replied && (urgent || self.log_queue.wanted);
    }

    /// The log's thread takes a job. Returns true if the reply is urgent.
    fn begin_log_job(&mut self) -> bool {
        let Some(job) = self.log_queue.jobs.pop_front() else {
            return false;
        };
        let reply = match job {
            LogJob::Write(chunk, epoch) if epoch != self.epoch => LogReply::Bounced(chunk),
            LogJob::Write(chunk, _) => return self.write_chunk(chunk, 0),
            LogJob::Line(_) | LogJob::ReportEnds => return false,
            LogJob::Reopen => {
                self.begin_change(None);
                return true;
            }
            LogJob::Quiesce if self.fails() => {
                // The close hangs.
                self.log_queue.jobs.push_front(LogJob::Quiesce);
                return false;
            }
            LogJob::Quiesce => {
                LogReply::Quiesced(File::open("/dev/null").map(OwnedFd::from).map(Some))
            }
        };
        let urgent = !matches!(reply, LogReply::Bounced(_));
        self.log_queue.replies.push_back(reply);
        urgent
    }

    /// The log's thread writes a chunk behind its first `written` bytes. Returns true if the reply is urgent.
    fn write_chunk(&mut self, chunk: Chunk, mut written: usize) -> bool {
        let mut urgent = true;
        let reply = if self.abandoned {
            self.epoch += 1;
            let owed = chunk.unfinished(written);
            self.disk.extend_from_slice(owed);
            written += owed.len();
            LogReply::Failed(chunk, written, io::ErrorKind::TimedOut.into())
        } else if self.rotates && !self.disk_full && self.random.one_in(3) {
            let end = written + self.random.below(chunk.bytes.len() - written + 1);
            self.disk.extend_from_slice(&chunk.bytes[written..end]);
            self.begin_change(Some((chunk, end)));
            return true;
        } else {
            written += self.append(&chunk.bytes[written..]);
            if written == chunk.bytes.len() {
                urgent = self.sync(written as u64);
                LogReply::Written(Some(self.log_end()))
            } else {
                self.epoch += 1;
                let error = io::Error::from_raw_os_error(Errno::ENOSPC as i32);
                LogReply::Failed(chunk, written, error)
            }
        };
        self.log_queue.replies.push_back(reply);
        urgent
    }

    /// The log's thread waits before it changes its file.
    fn begin_change(&mut self, chunk: Option<(Chunk, usize)>) {
        let change = LogChange { chunk, result: None, proceeds: false };
        self.wait_for_note(change, None);
    }

    /// The log's thread makes the change, or goes on after it.
    fn change_log_file(&mut self, mut change: LogChange) {
        match (change.result.take(), change.chunk) {
            (None, chunk) => {
                let refused = self.refuses(Errno::EACCES);
                // If nobody has renamed it, the file that has the name is the same.
                if refused.is_none() && (chunk.is_some() || self.random.one_in(2)) {
                    self.log_begins.push(self.disk.len());
                }
                let result = Some(refused.map_or(Ok(()), Err));
                self.wait_for_note(LogChange { chunk, result, ..change }, Some(self.log_end()));
            }
            (Some(result), None) => self.log_queue.replies.push_back(LogReply::Reopened(result)),
            (Some(result), Some((chunk, written))) => {
                let state = LogReply::State(Subsystem::Rotation, result);
                self.log_queue.replies.push_back(state);
                self.write_chunk(chunk, written);
            }
        }
    }

    fn wait_for_note(&mut self, mut change: LogChange, end: Option<FileEnd>) {
        let written = change.chunk.as_ref().map_or(0, |(_, written)| *written);
        // At the end nothing is noted any more.
        change.proceeds = self.abandoned;
        if !self.abandoned {
            let is_to_come = change.result.is_none();
            let reply = LogReply::Waits(FileChange { written, end, is_to_come });
            self.log_queue.replies.push_back(reply);
        }
        self.file_change = Some(change);
    }

    /// The server dies, and with it the log's thread, which may be in a write.
    pub(super) fn kill_log_thread(&mut self) {
        let change = self.file_change.take();
        let job = self.log_queue.jobs.front();
        let (bytes, epoch) = match (&change, job) {
            (
                Some(LogChange { chunk: Some((chunk, written)), result: Some(_), proceeds: true }),
                _,
            ) => (&chunk.bytes[*written..], self.epoch),
            (None, Some(LogJob::Write(chunk, epoch))) => (&chunk.bytes[..], *epoch),
            _ => return,
        };
        if epoch == self.epoch && !self.disk_full {
            let count = self.random.below(bytes.len() + 1);
            self.disk.extend_from_slice(&bytes[..count]);
        }
    }

    /// The end of the log.
    pub(super) fn log_end(&self) -> FileEnd {
        let len = (self.disk.len() - self.log_begins.last().unwrap()) as u64;
        FileEnd { device: 1, inode: self.log_begins.len() as u64, len }
    }

    /// What the file that had this end has behind it.
    pub(super) fn log_behind(&self, end: FileEnd) -> Vec<u8> {
        let file = end.inode as usize - 1;
        let until = self.log_begins.get(file + 1).copied().unwrap_or(self.disk.len());
        self.disk[self.log_begins[file] + end.len as usize..until].to_vec()
    }

    /// The log's thread syncs the bytes that it has just written. Returns true if it reports anything.
    fn sync(&mut self, count: u64) -> bool {
        let before = self.log_queue.replies.len();
        if let Some(error) = self.refuses(Errno::EIO) {
            self.unsynced += count;
            self.log_queue.replies.push_back(LogReply::State(Subsystem::Sync, Err(error)));
        } else if self.unsynced > 0 {
            self.notes.push(self.unsynced);
            let count = std::mem::take(&mut self.unsynced);
            self.log_queue.replies.push_back(LogReply::Unsynced(count));
            self.log_queue.replies.push_back(LogReply::State(Subsystem::Sync, Ok(())));
        }
        self.log_queue.replies.len() > before
    }

    /// The records' thread does its job. After a failure it has appended some whole lines.
    pub(super) fn write_records(&mut self) {
        if self.now < self.threads_start {
            return;
        }
        let Some(job) = self.records_queue.jobs.pop_front() else {
            return;
        };
        assert!(self.records_queue.jobs.is_empty(), "two jobs at once");
        if job.reopen && self.events_open && self.fails() {
            // The close hangs.
            self.records_queue.jobs.push_front(job);
            return;
        }
        let RecordsJob { mut events, status, remove, reopen } = job;
        self.events_open &= !reopen;
        let refused = |world: &mut World| world.refuses(Errno::EROFS).map_or(Ok(()), Err);
        let mut reply = RecordsReply::default();
        if !events.is_empty() {
            let (mut rest, result) = (Vec::new(), refused(self));
            if result.is_err() {
                let ends = events.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                let ends: Vec<usize> = ends.map(|(at, _)| at + 1).chain([0]).collect();
                let end = ends[self.random.below(ends.len())];
                rest = events.split_off(end);
            }
            self.events.extend(events);
            self.events_open = true;
            reply.events = Some((rest, result));
            reply.rotation = Some(refused(self));
        }
        if let Some(content) = status {
            let result = refused(self);
            if result.is_ok() {
                self.status = Some(content);
            }
            reply.status = Some(result);
        }
        if remove {
            self.status = None;
        }
        self.records_queue.replies.push_back(reply);
        self.woken = true;
    }

    /// Appends bytes to the log. Returns how many found room.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len();
        let count = if self.disk_full { self.random.below(len + 1) / 2 } else { len };
        self.disk.extend_from_slice(&bytes[..count]);
        count
    }
}

impl<J, R> WorkerHandle<J, R> for QueueHandle<J, R> {
    fn send(&mut self, job: J) {
        if self.world.borrow().killed.is_some() {
            return;
        }
        (self.queue)(&mut self.world.borrow_mut()).jobs.push_back(job);
    }

    fn try_send(&mut self, job: J) -> bool {
        self.send(job);
        true
    }

    fn proceed(&mut self) {
        let mut world = self.world.borrow_mut();
        if let Some(change) = world.file_change.as_mut().filter(|_| self.is_log) {
            change.proceeds = true;
        }
    }

    fn receive(&mut self) -> Option<R> {
        if self.world.borrow().killed.is_some() {
            return None;
        }
        (self.queue)(&mut self.world.borrow_mut()).replies.pop_front()
    }

    fn want(&mut self, wanted: bool) {
        (self.queue)(&mut self.world.borrow_mut()).wanted = wanted;
    }

    fn wait(&mut self, limit: Duration) -> Option<R> {
        let mut world = self.world.borrow_mut();
        if world.now < world.threads_start {
            world.now += limit.as_nanos() as u64;
        }
        // At the end: the thread is out of time.
        if self.is_log && world.late_at_end && !world.abandoned && world.random.one_in(2) {
            return None;
        }
        (self.work)(&mut world);
        drop(world);
        self.receive()
    }

    fn abandon(&mut self) -> (VecDeque<R>, Option<u64>) {
        let mut world = self.world.borrow_mut();
        world.abandoned = true;
        world.file_change.iter_mut().for_each(|change| change.proceeds = true);
        (std::mem::take(&mut (self.queue)(&mut world).replies), None)
    }

    fn close(&mut self, _limit: Duration) {}
}
