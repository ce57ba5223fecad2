//! The worker that handles the small files beside the log: it removes the PID file and the info file of
//! the server at its end, and removes and reads the PID file of the child.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::OFlag;

use super::Worker;
use super::thread::Replies;
use crate::limits::{FILE_LOCK_WAIT, PID_MAX};
use crate::sys::file::{self, FileId};

/// A file that names this server. When it is dropped, it is removed, unless nobody has looked at it yet,
/// it was replaced meanwhile, is no regular file, or holds something else by now.
#[derive(Debug)]
pub(crate) struct OwnedFile {
    path: PathBuf,
    content: Vec<u8>,
    /// `None` if nobody has looked at the file yet.
    id: Option<FileId>,
}

impl OwnedFile {
    /// Writes `content` to `path` in place: this process may not be allowed to make files in its
    /// directory. Of several servers that write or remove the file, one at a time does so, as long
    /// as the directory can be locked.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub(crate) fn write(path: &Path, content: Vec<u8>) -> io::Result<Option<OwnedFile>> {
        let mut options = File::options();
        // A FIFO that nobody reads must not block, and a terminal must not become the controlling
        // one.
        options.custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
        let _lock = file::lock_directory(path, FILE_LOCK_WAIT);
        let mut file = options.write(true).create(true).truncate(true).open(path)?;
        file.write_all(&content)?;
        Ok(OwnedFile::written(path, content).adopt())
    }

    /// A file with this content that another process has written.
    pub(crate) fn written(path: &Path, content: Vec<u8>) -> OwnedFile {
        OwnedFile { path: path.to_owned(), content, id: None }
    }

    /// Takes the file over, if there is one.
    pub(crate) fn adopt(mut self) -> Option<OwnedFile> {
        if self.id.is_none() {
            let metadata = fs::metadata(&self.path).ok().filter(fs::Metadata::is_file)?;
            self.id = Some(FileId::of(&metadata));
        }
        Some(self)
    }

    /// Returns the name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnedFile {
    fn drop(&mut self) {
        if self.id.is_none() {
            return;
        }
        let _lock = file::lock_directory(&self.path, FILE_LOCK_WAIT);
        let ours = fs::metadata(&self.path)
            .is_ok_and(|metadata| metadata.is_file() && Some(FileId::of(&metadata)) == self.id)
            && fs::read(&self.path).is_ok_and(|content| content == self.content);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A job for the worker. It replies to each.
#[derive(Debug)]
pub(crate) enum FileJob {
    /// Take these files over.
    Adopt(Vec<OwnedFile>),
    /// Remove the server's files.
    RemoveOwned,
    /// Remove the PID file of the last child, unless the flag says that it is too late for that.
    RemovePidFile(PathBuf, Arc<AtomicBool>),
    /// Read the PID file of the child.
    ReadPidFile(PathBuf),
}

/// What came of a job.
#[derive(Debug)]
pub(crate) enum FileReply {
    /// It is done.
    Done,
    /// The PID in the file, or what is wrong with the file.
    Pid(Result<i32, String>),
}

/// The worker.
#[derive(Debug, Default)]
pub(crate) struct FileKeeper {
    owned: Vec<OwnedFile>,
}

impl Worker for FileKeeper {
    type Job = FileJob;
    type Reply = FileReply;

    fn work(&mut self, job: FileJob, replies: &Replies<FileJob, FileReply>) {
        let reply = match job {
            FileJob::Adopt(files) => {
                self.owned.extend(files.into_iter().filter_map(OwnedFile::adopt));
                FileReply::Done
            }
            FileJob::RemoveOwned => {
                self.owned.clear();
                FileReply::Done
            }
            FileJob::RemovePidFile(path, late) => {
                if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file())
                    && !late.load(Ordering::Relaxed)
                {
                    // If the file cannot be removed, the process that it names is refused, as it is no
                    // descendant.
                    let _ = fs::remove_file(path);
                }
                FileReply::Done
            }
            FileJob::ReadPidFile(path) => FileReply::Pid(read_pid(&path)),
        };
        replies.send(reply, true);
    }
}

/// The PID in a file, or what is wrong with the file.
fn read_pid(path: &Path) -> Result<i32, String> {
    let mut options = File::options();
    // Opening a FIFO could block for ever.
    let file = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = file.map_err(|error| format!("can't be read: {}", crate::sys::reason(&error)))?;
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Err("is no file".to_owned());
    }
    let mut text = Vec::new();
    let read = file.take(PID_MAX).read_to_end(&mut text);
    read.map_err(|error| format!("can't be read: {}", crate::sys::reason(&error)))?;
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii();
    let digits = std::str::from_utf8(line).ok().filter(|_| line.iter().all(u8::is_ascii_digit));
    let pid = digits.and_then(|digits| digits.parse().ok()).filter(|&pid| pid > 1);
    pid.ok_or_else(|| "holds no PID".to_owned())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// The contents have different lengths, so that a mixture of both is seen.
    #[test]
    fn of_two_writers_one_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let contents = [b"1\n".to_vec(), b"1234567\n".repeat(1000)];
        for _ in 0..300 {
            let files = thread::scope(|scope| {
                let threads = contents.each_ref().map(|content| {
                    scope.spawn(|| OwnedFile::write(&path, content.clone()).unwrap().unwrap())
                });
                threads.map(|thread| thread.join().unwrap())
            });
            let found = fs::read(&path).unwrap();
            assert!(contents.contains(&found), "{} bytes", found.len());
            drop(files);
            assert!(!path.exists());
        }
    }

    #[test]
    fn file_of_a_server_that_starts_meanwhile_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        for _ in 0..300 {
            let old = OwnedFile::write(&path, b"1\n".to_vec()).unwrap().unwrap();
            let new = thread::scope(|scope| {
                scope.spawn(|| drop(old));
                OwnedFile::write(&path, b"2\n".to_vec()).unwrap().unwrap()
            });
            assert_eq!(fs::read(&path).unwrap(), b"2\n");
            drop(new);
        }
    }
}
