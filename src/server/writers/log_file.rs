//! The worker that writes the log or standard output: it appends, syncs the file now and then, and
//! opens it anew or rotates it.
//!
//! The log is open in the worker's thread alone, or in no descriptor table at all: it comes through a
//! [`Passage`] from whoever had it before, and goes the same way to the next program.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Instant;

use super::rotate::Rotator;
use super::thread::LogReplies;
use super::{FileChange, LogJob, LogReply, Worker};
use crate::console::Chunk;
use crate::console::changes::FileEnd;
use crate::console::event::Subsystem;
use crate::limits::{LOG_RETRY, SYNC_INTERVAL};
use crate::sys::fd::DescriptorTable;
use crate::sys::passage::Passage;
use crate::sys::{self, file};

fn is_syncable(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// The end of a regular file.
pub(crate) fn file_end(file: &File) -> Option<FileEnd> {
    let metadata = file.metadata().ok().filter(|metadata| metadata.is_file())?;
    Some(FileEnd { device: metadata.dev(), inode: metadata.ino(), len: metadata.len() })
}

/// The writer of one file.
pub(crate) struct LogWriter {
    /// The open file. `None` before the first job, after the file was put into the passage, and while
    /// no file could be opened.
    file: Option<File>,
    source: Source,
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
    /// True if the end of the file is reported with each chunk.
    reports_ends: bool,
}

/// Where a worker's file comes from.
#[derive(Debug)]
enum Source {
    /// The process has it open, too.
    Process,
    /// The ends of its passage have these numbers in the table of the process.
    Numbers([RawFd; 2]),
    /// The passage, in the table of the worker's thread.
    Passage(Passage),
}

impl LogWriter {
    /// A writer of the file that is in `passage`, or is yet to be opened as `path`, its name.
    pub(crate) fn new(
        passage: &Passage,
        path: Option<PathBuf>,
        rotator: Option<Rotator>,
    ) -> LogWriter {
        LogWriter { path, rotator, ..LogWriter::of(None, Source::Numbers(passage.numbers())) }
    }

    /// A writer of standard output or a copy of it, which has no name.
    pub(crate) fn of_stdout(file: File) -> LogWriter {
        LogWriter { sync: is_syncable(&file), ..LogWriter::of(Some(file), Source::Process) }
    }

    fn of(file: Option<File>, source: Source) -> LogWriter {
        LogWriter {
            file,
            source,
            path: None,
            sync: false,
            sync_at: None,
            unsynced: 0,
            unsafe_bytes: 0,
            syncs: None,
            sync_data: File::sync_data,
            epoch: 0,
            rotator: None,
            reports_ends: false,
        }
    }

    /// Takes the file out of the passage, if this writer has none.
    fn fetch(&mut self) -> io::Result<()> {
        if self.file.is_none()
            && let Source::Passage(passage) = &self.source
        {
            // What could not be taken out before is followed by a later file.
            let mut file = passage.take();
            while let Ok(next) = passage.take() {
                file = Ok(next);
            }
            let file = match (file, &self.path) {
                // Lost on its way, as this table had no room.
                (Err(_), Some(path)) => file::open_append(path)?,
                (file, _) => file?,
            };
            self.sync = is_syncable(&file);
            self.file = Some(file);
        }
        Ok(())
    }

    /// Gives the file away: into the passage, after which it is in no table, or as a copy.
    fn hand_over(&mut self) -> io::Result<Option<OwnedFd>> {
        // Without a file there is either one in the passage or none.
        let Some(file) = &self.file else {
            return Ok(None);
        };
        match &self.source {
            Source::Passage(passage) => {
                // If nothing comes of the upgrade, this table needs room for the file again.
                drop(file.try_clone()?);
                passage.put(file)?;
                // On a file system that hangs this does not return, and no program is executed.
                self.file = None;
                Ok(None)
            }
            Source::Process | Source::Numbers(_) => Ok(Some(file.try_clone()?.into())),
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
        let Some(file) = &self.file else { return };
        let result = (self.sync_data)(file);
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
        // The old one must not stay in the passage. It was synced before it got there.
        if let Source::Passage(passage) = &self.source {
            while passage.take().is_ok() {}
        }
        self.use_file(file, replies);
        Ok(())
    }

    /// Does what may put another file in the place of this one. A server that finds this one killed has to
    /// know which file has what, so that is noted before and after it. Of the next chunk so many bytes are
    /// `written`.
    fn change_file<T>(
        &mut self,
        written: usize,
        replies: &LogReplies,
        change: impl FnOnce(&mut LogWriter) -> T,
    ) -> T {
        if !self.reports_ends {
            return change(self);
        }
        let wait = |end, is_to_come| {
            replies.send_and_wait(LogReply::Waits(FileChange { written, end, is_to_come }));
        };
        wait(None, true);
        let result = change(self);
        // A file in the passage that no other one took the place of.
        let _ = self.fetch();
        wait(self.file.as_ref().and_then(file_end), false);
        result
    }

    /// Opens the file anew by its name if it was removed: nobody else can read what is written to it. A
    /// file that was renamed has a name, and stays. If it cannot be opened, the old one goes on.
    fn replace_removed(&mut self, replies: &LogReplies) {
        let is_removed = |file: &File| {
            file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.nlink() == 0)
        };
        if self.file.as_ref().is_some_and(is_removed)
            && self.path.is_some()
            && self.change_file(0, replies, |this| this.reopen(replies)).is_err()
        {
            self.sync_at = Some(Instant::now() + LOG_RETRY);
        }
    }

    fn use_file(&mut self, file: File, replies: &LogReplies) {
        self.sync(replies);
        self.sync = is_syncable(&file);
        self.file = Some(file);
    }

    fn rotate(&mut self, written: usize, replies: &LogReplies) {
        let rotate = |this: &mut LogWriter| {
            let (rotator, path, file) = (this.rotator.as_mut()?, &this.path, &this.file);
            let file = rotator.rotate(path.as_ref()?, file.as_ref()?);
            Some(file.map(|file| this.use_file(file, replies)))
        };
        if let Some(result) = self.change_file(written, replies, rotate) {
            replies.send(LogReply::State(Subsystem::Rotation, result), true);
        }
    }

    fn write(&mut self, chunk: Chunk, epoch: u64, replies: &LogReplies) {
        if epoch != self.epoch {
            return replies.send(LogReply::Bounced(chunk), false);
        }
        if let Err(error) = self.fetch() {
            return self.fail(chunk, 0, error, replies);
        }
        let mut written = 0;
        while let Some(rest) = chunk.bytes.get(written..)
            && !rest.is_empty()
        {
            // What was begun to be said of missing bytes is said to its end.
            let owed = chunk.unfinished(written);
            let abandoned = replies.is_abandoned();
            let rest = if abandoned { owed } else { rest };
            if rest.is_empty() {
                return self.fail(chunk, written, io::ErrorKind::TimedOut.into(), replies);
            }
            let Some(mut file) = self.file.as_ref() else {
                return self.fail(chunk, written, io::ErrorKind::NotFound.into(), replies);
            };
            let last = self.rotator.as_ref().and_then(|rotator| rotator.cut(file, rest));
            if last.is_some_and(<[u8]>::is_empty) {
                self.rotate(written, replies);
                continue;
            }
            match file.write(last.unwrap_or(rest)) {
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return self.fail(chunk, written, error, replies);
                }
                Ok(count) => {
                    written += count;
                    self.unsynced += count as u64;
                    if last.is_some_and(|last| last.len() == count) {
                        self.rotate(written, replies);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file is a FIFO or a terminal, or standard output, which others may have made
                // non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let wait = || sys::fd::wait_writable(file, None);
                    replies.while_lacking(chunk.lost_for_good(written), wait);
                }
                Err(error) => return self.fail(chunk, written, error, replies),
            }
        }
        debug_assert!(written <= chunk.bytes.len(), "more was written than there is");
        let end = self.file.as_ref().filter(|_| self.reports_ends).and_then(file_end);
        replies.send(LogReply::Written(end), false);
    }

    fn fail(&mut self, chunk: Chunk, written: usize, error: io::Error, replies: &LogReplies) {
        self.epoch += 1;
        replies.send(LogReply::Failed(chunk, written, error), true);
    }
}

impl Worker for LogWriter {
    type Job = LogJob;
    type Reply = LogReply;

    fn descriptors(&self) -> Option<Vec<RawFd>> {
        match self.source {
            Source::Numbers(numbers) => Some(numbers.to_vec()),
            Source::Process | Source::Passage(_) => None,
        }
    }

    fn begin(&mut self, table: &DescriptorTable) -> io::Result<()> {
        if let Source::Numbers(numbers) = self.source {
            self.source = Source::Passage(Passage::in_table(table, numbers)?);
        }
        Ok(())
    }

    fn work(&mut self, job: LogJob, replies: &LogReplies) {
        match job {
            LogJob::Write(chunk, epoch) => {
                self.write(chunk, epoch, replies);
                if self.sync && self.sync_at.is_none() {
                    self.sync_at = Some(Instant::now() + SYNC_INTERVAL);
                }
            }
            LogJob::Line(line) => {
                if self.fetch().is_ok()
                    && let Some(file) = &mut self.file
                {
                    let _ = file.write_all(&line);
                }
            }
            LogJob::Reopen => {
                let result = self.change_file(0, replies, |this| this.reopen(replies));
                replies.send(LogReply::Reopened(result), true);
            }
            LogJob::Quiesce => {
                self.sync(replies);
                // The next program does not know of them.
                self.report_unsafe(replies);
                let result = self.hand_over();
                replies.send(LogReply::Quiesced(result), true);
            }
            LogJob::ReportEnds => self.reports_ends = true,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.sync_at
    }

    fn on_deadline(&mut self, replies: &LogReplies) {
        self.sync(replies);
        self.replace_removed(replies);
    }

    fn finish(&mut self, replies: &LogReplies) {
        self.report_unsafe(replies);
        // While somebody waits for it: the end of the process waits for as long as it takes.
        self.file = None;
    }
}

#[cfg(test)]
mod tests;
