//! The event loop's side of the thread that handles the PID files and the info file. What it asks for
//! takes no longer than a limit: a file system that hangs is left to that thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::limits::{FILE_LINGER, FILE_WAIT};
use crate::server::writers::WorkerHandle;
use crate::server::writers::files::{FileJob, FileReply, OwnedFile};
use crate::server::writers::thread::WorkerThread;

/// The files, with the thread that handles them.
pub(crate) struct Files {
    thread: WorkerThread<FileJob, FileReply>,
    /// The number of jobs that the thread has not replied to.
    pending: usize,
    /// The names of the files that are removed at the end.
    owned: Vec<PathBuf>,
}

impl Files {
    /// Has `thread` handle the files, of which it takes over these.
    pub(crate) fn new(thread: WorkerThread<FileJob, FileReply>, owned: Vec<OwnedFile>) -> Files {
        let paths = owned.iter().map(|file| file.path().to_owned()).collect();
        let mut files = Files { thread, pending: 0, owned: paths };
        if !owned.is_empty() {
            files.send(FileJob::Adopt(owned));
        }
        files
    }

    /// Returns true if the thread has no job.
    pub(crate) fn rest(&mut self) -> bool {
        while self.thread.receive().is_some() {
            self.pending = self.pending.saturating_sub(1);
        }
        self.pending == 0
    }

    /// Removes the PID file of the last child, if that takes no longer than [`FILE_WAIT`].
    pub(crate) fn remove_pid_file(&mut self, path: PathBuf) {
        let late = Arc::new(AtomicBool::new(false));
        if self.ask(FileJob::RemovePidFile(path, Arc::clone(&late)), FILE_WAIT).is_none() {
            late.store(true, Ordering::Relaxed);
        }
    }

    /// Returns the PID in the PID file of the child, or what is wrong with the file.
    pub(crate) fn read_pid_file(&mut self, path: PathBuf) -> Result<i32, String> {
        match self.ask(FileJob::ReadPidFile(path), FILE_WAIT) {
            Some(FileReply::Pid(result)) => result,
            _ => Err("can't be read: its file system hangs".to_owned()),
        }
    }

    /// At the end: removes the files of the server, if that takes no longer than [`FILE_LINGER`].
    /// Returns what there is to say of files that may be left.
    pub(crate) fn remove_owned(&mut self) -> Vec<String> {
        let owned = std::mem::take(&mut self.owned);
        if owned.is_empty() {
            return Vec::new();
        }
        // The thread may be about to take them over.
        self.send(FileJob::RemoveOwned);
        self.thread.close(FILE_LINGER);
        if self.rest() {
            return Vec::new();
        }
        let left =
            |path: &PathBuf| format!("{} was not removed: its file system hangs", path.display());
        owned.iter().map(left).collect()
    }

    /// Has the thread do a job. Returns its reply unless that comes too late. A thread that still has
    /// another job is not waited for.
    fn ask(&mut self, job: FileJob, limit: Duration) -> Option<FileReply> {
        if !self.rest() {
            return None;
        }
        self.send(job);
        let reply = self.thread.wait(limit)?;
        self.pending = 0;
        Some(reply)
    }

    fn send(&mut self, job: FileJob) {
        self.pending += 1;
        self.thread.send(job);
    }
}

/// A server that ends in some other way leaves no files either.
impl Drop for Files {
    fn drop(&mut self) {
        self.remove_owned();
    }
}
