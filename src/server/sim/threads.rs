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
use crate::server::writers::{LogJob, LogReply, WorkerHandle};

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

impl World {
    /// The log's thread does one job.
    pub(super) fn write_log(&mut self) {
        if self.now < self.threads_start {
            return;
        }
        let Some(job) = self.log_queue.jobs.pop_front() else {
            return;
        };
        let mut urgent = true;
        let reply = match job {
            LogJob::Write(chunk, epoch) if epoch != self.epoch => {
                urgent = false;
                LogReply::Bounced(chunk)
            }
            LogJob::Write(chunk, _) if self.abandoned => {
                self.epoch += 1;
                let owed = chunk.unfinished(0);
                self.disk.extend_from_slice(owed);
                let written = owed.len();
                LogReply::Failed(chunk, written, io::ErrorKind::TimedOut.into())
            }
            LogJob::Write(chunk, _) => match self.append(&chunk) {
                count if count == chunk.bytes.len() => {
                    urgent = self.sync(count as u64);
                    LogReply::Written(Some(self.log_end()))
                }
                count => {
                    self.epoch += 1;
                    LogReply::Failed(
                        chunk,
                        count,
                        io::Error::from_raw_os_error(Errno::ENOSPC as i32),
                    )
                }
            },
            LogJob::Line(_) | LogJob::ReportEnds => return,
            LogJob::Reopen => LogReply::Reopened(match self.refuses(Errno::EACCES) {
                Some(error) => Err(error),
                None => Ok(()),
            }),
            LogJob::Quiesce if self.fails() => {
                // The close hangs.
                self.log_queue.jobs.push_front(LogJob::Quiesce);
                return;
            }
            LogJob::Quiesce => {
                LogReply::Quiesced(File::open("/dev/null").map(OwnedFd::from).map(Some))
            }
        };
        self.log_queue.replies.push_back(reply);
        self.woken |= urgent || self.log_queue.wanted;
    }

    /// The end of the log.
    pub(super) fn log_end(&self) -> FileEnd {
        FileEnd { device: 1, inode: 1, len: self.disk.len() as u64 }
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

    /// Appends a chunk to the log. Returns how many bytes found room.
    fn append(&mut self, chunk: &Chunk) -> usize {
        let len = chunk.bytes.len();
        let count = if self.disk_full { self.random.below(len + 1) / 2 } else { len };
        self.disk.extend_from_slice(&chunk.bytes[..count]);
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
        (std::mem::take(&mut (self.queue)(&mut world).replies), None)
    }

    fn close(&mut self, _limit: Duration) {}
}
