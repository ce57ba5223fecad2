//! The threads of the simulation: one has a disk that fills up, one files that can't be written at
//! times. They work when the world lets them.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::libc;

use super::world::{Shared, World};
use crate::console::Chunk;
use crate::server::os::WorkerHandle;
use crate::server::records::{RecordsJob, RecordsReply};
use crate::server::writers::sink::{LogJob, LogReply};

/// The lanes.
pub(super) const LOG: usize = 0;
pub(super) const RECORDS: usize = 1;

/// The way to a thread and back.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) jobs: VecDeque<LogJob>,
    pub(super) done: VecDeque<LogReply>,
    wanted: bool,
}

/// The server's handle on one of them.
pub(super) struct LinkTo(pub(super) Shared, pub(super) usize);

impl World {
    /// The log's thread does one job.
    pub(super) fn write_log(&mut self) {
        let Some(job) = self.lanes[LOG].jobs.pop_front() else {
            return;
        };
        let mut urgent = true;
        let done = match job {
            LogJob::Write(chunk, epoch) if epoch != self.epoch => {
                urgent = false;
                LogReply::Bounced(chunk)
            }
            LogJob::Write(chunk, _) => match self.append(&chunk) {
                count if count == chunk.bytes.len() => {
                    urgent = false;
                    LogReply::Written
                }
                count => {
                    self.epoch += 1;
                    LogReply::Failed(chunk, count, io::Error::from_raw_os_error(libc::ENOSPC))
                }
            },
            LogJob::Line(_) => return,
            LogJob::Reopen => LogReply::Reopened(match self.refuses(libc::EACCES) {
                Some(error) => Err(error),
                None => Ok(()),
            }),
            LogJob::Quiesce => LogReply::Quiesced(File::open("/dev/null").ok().map(OwnedFd::from)),
            LogJob::Record(_) => unreachable!("not its job"),
        };
        self.lanes[LOG].done.push_back(done);
        self.woken |= urgent || self.lanes[LOG].wanted;
    }

    /// The records' thread does its job.
    pub(super) fn write_records(&mut self) {
        let Some(LogJob::Record(batch)) = self.lanes[RECORDS].jobs.pop_front() else {
            return;
        };
        let RecordsJob { mut events, status, remove, .. } = batch;
        let refused = |world: &mut World| world.refuses(libc::EROFS).map_or(Ok(()), Err);
        let mut outcome = RecordsReply { rest: Vec::new(), events: None, status: None };
        if !events.is_empty() {
            let result = refused(self);
            if result.is_err() {
                let ends = events.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                let ends: Vec<usize> = ends.map(|(at, _)| at + 1).chain([0]).collect();
                let end = ends[self.dice.roll(ends.len() as u64) as usize];
                outcome.rest = events.split_off(end);
            }
            self.events.extend(events);
            outcome.events = Some(result);
        }
        if let Some(content) = status {
            let result = refused(self);
            if result.is_ok() {
                self.status = Some(content);
            }
            outcome.status = Some(result);
        }
        if remove {
            self.status = None;
        }
        self.lanes[RECORDS].done.push_back(LogReply::Recorded(outcome));
        self.woken = true;
    }

    fn append(&mut self, chunk: &Chunk) -> usize {
        let len = chunk.bytes.len();
        let count = if self.disk_full { self.dice.roll(len as u64 + 1) as usize / 2 } else { len };
        self.disk.extend_from_slice(&chunk.bytes[..count]);
        count
    }
}

impl WorkerHandle for LinkTo {
    fn send(&mut self, job: LogJob) -> Result<(), LogJob> {
        let mut world = self.0.borrow_mut();
        assert!(self.1 == LOG || world.lanes[RECORDS].jobs.is_empty(), "two jobs at once");
        world.lanes[self.1].jobs.push_back(job);
        Ok(())
    }

    fn receive(&mut self) -> Option<LogReply> {
        self.0.borrow_mut().lanes[self.1].done.pop_front()
    }

    fn want(&mut self, wanted: bool) {
        self.0.borrow_mut().lanes[self.1].wanted = wanted;
    }

    fn wait(&mut self, _limit: Duration) -> Option<LogReply> {
        let mut world = self.0.borrow_mut();
        if self.1 == LOG {
            world.write_log();
        } else {
            world.write_records();
        }
        world.lanes[self.1].done.pop_front()
    }

    fn close(self, _limit: Duration) {}
}
