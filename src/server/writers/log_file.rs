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
    /// The number of bytes that were written since the file was synced last.
    unsynced: u64,
    /// The number of bytes that no sync has covered, because one failed, and that nobody was told of.
    unsafe_bytes: u64,
    /// What was last reported: that the file can be synced, or not.
    syncs: Option<bool>,
    /// fdatasync(2), but in tests.
    sync_data: fn(&File) -> io::Result<()>,
    /// The number of writes that have failed. Chunks of an older epoch are not written.
    epoch: u64,
    rotator: Option<Rotator>,
}

impl LogWriter {
    /// A writer of `file`, which is opened anew as `path`.
    pub(crate) fn new(file: File, path: Option<PathBuf>, rotator: Option<Rotator>) -> LogWriter {
        LogWriter {
            sync: is_syncable(&file),
            file,
            path,
            sync_at: None,
            unsynced: 0,
            unsafe_bytes: 0,
            syncs: None,
            sync_data: File::sync_data,
            epoch: 0,
            rotator,
        }
    }

    /// Syncs what was written. After a failure the kernel may have dropped the bytes, and the next
    /// success says nothing of them: they are counted, and the number is reported when a sync succeeds.
    fn sync(&mut self, replies: &LogReplies) {
        self.sync_at = None;
        let bytes = std::mem::take(&mut self.unsynced);
        if !self.sync || bytes == 0 {
            return;
        }
        let result = (self.sync_data)(&self.file);
        // fdatasync(2): this file system cannot sync a file.
        if result.as_ref().is_err_and(|error| error.raw_os_error() == Some(nix::libc::EINVAL)) {
            self.sync = false;
            return;
        }
        match &result {
            Ok(()) => self.report_unsafe(replies),
            Err(_) => self.unsafe_bytes += bytes,
        }
        if self.syncs.replace(result.is_ok()) != Some(result.is_ok()) {
            replies.send(LogReply::State(Subsystem::Sync, result), true);
        }
    }

    fn report_unsafe(&mut self, replies: &LogReplies) {
        let bytes = std::mem::take(&mut self.unsafe_bytes);
        if bytes > 0 {
            replies.send(LogReply::Unsynced(bytes), true);
        }
    }

    fn reopen(&mut self, replies: &LogReplies) -> io::Result<()> {
        // Standard output has no name to open it by.
        let Some(path) = &self.path else {
            return Ok(());
        };
        let file = file::open_append(path)?;
        self.use_file(file, replies);
        Ok(())
    }

    fn use_file(&mut self, file: File, replies: &LogReplies) {
        self.sync(replies);
        self.file = file;
        self.sync = is_syncable(&self.file);
    }

    fn rotate(&mut self, replies: &LogReplies) {
        let (Some(rotator), Some(path)) = (&mut self.rotator, &self.path) else {
            return;
        };
        let result = rotator.rotate(path, &self.file).map(|file| self.use_file(file, replies));
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
            if replies.is_abandoned() {
                return self.fail(chunk, written, io::ErrorKind::TimedOut.into(), replies);
            }
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
                    self.unsynced += count as u64;
                    if last.is_some_and(|last| last.len() == count) {
                        self.rotate(replies);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file is a FIFO or a terminal, or standard output, which others may have made
                // non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let wait = || sys::fd::wait_writable(&self.file, None);
                    replies.while_lacking(chunk.lost(written), wait);
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
                let result = self.reopen(replies);
                replies.send(LogReply::Reopened(result), true);
            }
            LogJob::Quiesce => {
                self.sync(replies);
                // The next program does not know of them.
                self.report_unsafe(replies);
                let file = self.file.try_clone().map(OwnedFd::from).ok();
                replies.send(LogReply::Quiesced(file), true);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.sync_at
    }

    fn on_deadline(&mut self, replies: &LogReplies) {
        self.sync(replies);
    }

    fn finish(&mut self, replies: &LogReplies) {
        self.report_unsafe(replies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that writes a file and syncs it by hand.
    struct Fixture {
        worker: LogWriter,
        replies: LogReplies,
    }

    impl Fixture {
        fn new() -> Fixture {
            let file = tempfile::tempfile().unwrap();
            Fixture { worker: LogWriter::new(file, None, None), replies: LogReplies::detached() }
        }

        /// Writes this many bytes, and has the sync end so. Returns what was reported.
        fn write(&mut self, count: usize, sync_data: fn(&File) -> io::Result<()>) -> Vec<String> {
            self.worker.sync_data = sync_data;
            let mut chunk = Chunk::default();
            chunk.bytes = vec![b'x'; count];
            self.worker.work(LogJob::Write(chunk, 0), &self.replies);
            self.worker.on_deadline(&self.replies);
            self.reported()
        }

        fn reported(&self) -> Vec<String> {
            let replies = self.replies.sent().into_iter().filter_map(|reply| match reply {
                LogReply::State(Subsystem::Sync, Ok(())) => Some("ok".to_owned()),
                LogReply::State(Subsystem::Sync, Err(error)) => Some(error.kind().to_string()),
                LogReply::Unsynced(count) => Some(count.to_string()),
                _ => None,
            });
            replies.collect()
        }
    }

    fn fail(_: &File) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }

    #[test]
    fn failed_sync_is_reported_once_and_its_bytes_are_counted() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.write(1, |_| Ok(())), ["ok"]);
        assert_eq!(fixture.write(10, |_| Ok(())), [""; 0]);
        assert_eq!(fixture.write(100, fail), ["no storage space"]);
        assert_eq!(fixture.write(1000, fail), [""; 0]);
        assert_eq!(fixture.write(10_000, |_| Ok(())), ["1100", "ok"]);
        assert_eq!(fixture.write(1, |_| Ok(())), [""; 0]);
    }

    #[test]
    fn next_program_is_told_of_bytes_that_are_not_synced() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.write(5, fail), ["no storage space"]);
        fixture.worker.work(LogJob::Quiesce, &fixture.replies);
        assert_eq!(fixture.reported(), ["5"]);
    }

    #[test]
    fn file_system_without_sync_is_no_failure() {
        let mut fixture = Fixture::new();
        let unsupported = |_: &File| Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
        assert_eq!(fixture.write(5, unsupported), [""; 0]);
        assert!(!fixture.worker.sync);
    }
}
