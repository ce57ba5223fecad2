//! The worker that writes the log, or standard output: appends, syncs now and then, opens it anew.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use super::rotate::Rotator;
use super::sink::{LogJob, LogReply};
use super::thread::{Replies, Worker};
use crate::console::Chunk;
use crate::limits::SYNC_INTERVAL;
use crate::sys::{self, file};

fn is_syncable(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// What the thread has.
pub(crate) struct LogWriter {
    file: File,
    path: Option<PathBuf>,
    /// Whether the file can be synced at all.
    sync: bool,
    /// When what was written is synced.
    sync_at: Option<Instant>,
    epoch: u64,
    rotator: Option<Rotator>,
}

impl LogWriter {
    /// Writes `file`, and opens it anew as `path`.
    pub(crate) fn new(file: File, path: Option<PathBuf>, rotator: Option<Rotator>) -> LogWriter {
        LogWriter { sync: is_syncable(&file), file, path, sync_at: None, epoch: 0, rotator }
    }

    fn reopen(&mut self) -> io::Result<()> {
        // Standard output stays what it is.
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

    fn rotate(&mut self, replies: &Replies) {
        let (Some(rotator), Some(path)) = (&mut self.rotator, &self.path) else {
            return;
        };
        let result = rotator.rotate(path, &self.file).map(|file| self.use_file(file));
        replies.send(LogReply::Rotated(result), true);
    }

    fn write(&mut self, chunk: Chunk, epoch: u64, replies: &Replies) {
        if epoch != self.epoch {
            return replies.send(LogReply::Bounced(chunk), false);
        }
        let mut written = 0;
        while let Some(rest) = chunk.bytes.get(written..)
            && !rest.is_empty()
        {
            let cut = self.rotator.as_ref().and_then(|rotator| rotator.cut(&self.file, rest));
            if cut == Some(0) {
                self.rotate(replies);
                continue;
            }
            let piece = rest.get(..cut.unwrap_or(rest.len())).unwrap_or(rest);
            match self.file.write(piece) {
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return self.fail(chunk, written, error, replies);
                }
                Ok(count) => {
                    written += count;
                    if cut == Some(count) {
                        self.rotate(replies);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A FIFO, a terminal, or a standard output that somebody made non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sys::fd::wait_writable(&self.file, None);
                }
                Err(error) => return self.fail(chunk, written, error, replies),
            }
        }
        replies.send(LogReply::Written, false);
    }

    fn fail(&mut self, chunk: Chunk, written: usize, error: io::Error, replies: &Replies) {
        self.epoch += 1;
        replies.send(LogReply::Failed(chunk, written, error), true);
    }
}

impl Worker for LogWriter {
    fn work(&mut self, job: LogJob, replies: &Replies) {
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
            // Somebody else's.
            LogJob::Record(_) => {}
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
