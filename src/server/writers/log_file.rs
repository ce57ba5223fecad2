//! The worker that writes the log or standard output: it appends, syncs the file now and then, and
//! opens it anew or rotates it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use super::rotate::Rotator;
use super::thread::LogReplies;
use super::{LogJob, LogReply, Worker};
use crate::console::Chunk;
use crate::console::event::Subsystem;
use crate::limits::SYNC_INTERVAL;
use crate::sys::{self, file};

fn is_syncable(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// The writer of one file.
pub(crate) struct LogWriter {
    file: File,
    /// The name by which the file is opened anew; `None` for standard output.
    path: Option<PathBuf>,
    /// True if the file is a regular one, which fdatasync(2) can sync.
    sync: bool,
    /// When the file is to be synced, if something was written since it was synced last.
    sync_at: Option<Instant>,
    /// The number of writes that have failed. Chunks of an older epoch are not written.
    epoch: u64,
    rotator: Option<Rotator>,
}

impl LogWriter {
    /// A writer of `file`, which is opened anew as `path`.
    pub(crate) fn new(file: File, path: Option<PathBuf>, rotator: Option<Rotator>) -> LogWriter {
        LogWriter { sync: is_syncable(&file), file, path, sync_at: None, epoch: 0, rotator }
    }

    fn reopen(&mut self) -> io::Result<()> {
        // Standard output has no name to open it by.
        let Some(path) = &self.path else {
            return Ok(());
        };
        let file = file::open_append(path)?;
        self.use_file(file);
        Ok(())
    }

    fn use_file(&mut self, file: File) {
        if self.sync {
            let _ = self.file.sync_data();
        }
        self.file = file;
        self.sync = is_syncable(&self.file);
    }

    fn rotate(&mut self, replies: &LogReplies) {
        let (Some(rotator), Some(path)) = (&mut self.rotator, &self.path) else {
            return;
        };
        let result = rotator.rotate(path, &self.file).map(|file| self.use_file(file));
        replies.send(LogReply::State(Subsystem::Rotation, result), true);
    }

    fn write(&mut self, chunk: Chunk, epoch: u64, replies: &LogReplies) {
        if epoch != self.epoch {
            return replies.send(LogReply::Bounced(chunk), false);
        }
        let mut written = 0;
        while let Some(rest) = chunk.bytes.get(written..)
            && !rest.is_empty()
        {
            let last = self.rotator.as_ref().and_then(|rotator| rotator.cut(&self.file, rest));
            if last.is_some_and(<[u8]>::is_empty) {
                self.rotate(replies);
                continue;
            }
            match self.file.write(last.unwrap_or(rest)) {
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return self.fail(chunk, written, error, replies);
                }
                Ok(count) => {
                    written += count;
                    if last.is_some_and(|last| last.len() == count) {
                        self.rotate(replies);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file is a FIFO or a terminal, or standard output, which others may have made
                // non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sys::fd::wait_writable(&self.file, None);
                }
                Err(error) => return self.fail(chunk, written, error, replies),
            }
        }
        debug_assert!(written <= chunk.bytes.len(), "more was written than there is");
        replies.send(LogReply::Written, false);
    }

    fn fail(&mut self, chunk: Chunk, written: usize, error: io::Error, replies: &LogReplies) {
        self.epoch += 1;
        replies.send(LogReply::Failed(chunk, written, error), true);
    }
}

impl Worker for LogWriter {
    type Job = LogJob;
    type Reply = LogReply;

    fn work(&mut self, job: LogJob, replies: &LogReplies) {
        match job {
            LogJob::Write(chunk, epoch) => {
                self.write(chunk, epoch, replies);
                if self.sync && self.sync_at.is_none() {
                    self.sync_at = Some(Instant::now() + SYNC_INTERVAL);
                }
            }
            LogJob::Line(line) => {
                let _ = self.file.write_all(&line);
            }
            LogJob::Reopen => {
                let result = self.reopen();
                replies.send(LogReply::Reopened(result), true);
            }
            LogJob::Quiesce => {
                if self.sync_at.is_some() {
                    self.on_deadline();
                }
                let file = self.file.try_clone().map(OwnedFd::from).ok();
                replies.send(LogReply::Quiesced(file), true);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.sync_at
    }

    fn on_deadline(&mut self) {
        let _ = self.file.sync_data();
        self.sync_at = None;
    }
}
