//! The worker that writes the records: appends to the events file, replaces the status file. What it
//! needs it opens itself, so that nothing that hangs is in anybody's way.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use super::{RecordsJob, RecordsReply};
use crate::server::writers::sink::{LogJob, LogReply};
use crate::server::writers::thread::{Replies, Worker};
use crate::sys::file::{self, FileId};

/// What the thread has.
pub(crate) struct RecordWriter {
    events: Option<PathBuf>,
    status: Option<PathBuf>,
    file: Option<File>,
    /// The status file that was written last.
    written: Option<FileId>,
}

impl RecordWriter {
    /// Writes the files with these names.
    pub(crate) fn new(events: Option<PathBuf>, status: Option<PathBuf>) -> RecordWriter {
        RecordWriter { events, status, file: None, written: None }
    }

    /// Appends whole lines. What is left of them after a failure.
    fn append(&mut self, mut lines: Vec<u8>) -> (Vec<u8>, io::Result<()>) {
        let Some(path) = &self.events else {
            return (Vec::new(), Ok(()));
        };
        let file = match self.file.take().map_or_else(|| file::open_append(path), Ok) {
            Ok(file) => self.file.insert(file),
            Err(error) => return (lines, Err(error)),
        };
        let mut written = 0;
        let result = loop {
            let Some(rest @ [_, ..]) = lines.get(written..) else {
                return (Vec::new(), Ok(()));
            };
            match file.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        // Half a line is taken back; where that is not possible, the other half follows.
        let done = lines.get(..written).unwrap_or_default();
        let whole = done.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let half = (written - whole) as u64;
        if half > 0
            && let Ok(metadata) = file.metadata()
            && metadata.is_file()
            && metadata.len() >= half
            && file.set_len(metadata.len() - half).is_ok()
        {
            written = whole;
        }
        // Perhaps another file has its name by then.
        if written == whole {
            self.file = None;
        }
        (lines.split_off(written), result)
    }

    /// Puts a file with this content in the place of the old one.
    fn replace(&mut self, content: &[u8]) -> io::Result<()> {
        let Some(path) = &self.status else {
            return Ok(());
        };
        self.written = Some(file::replace_unsynced(path, content)?);
        Ok(())
    }

    /// Removes the status file, unless it is somebody else's by now.
    fn remove(&self) {
        if let (Some(path), Some(id)) = (&self.status, self.written)
            && fs::symlink_metadata(path).is_ok_and(|it| FileId::of(&it) == id)
        {
            let _ = fs::remove_file(path);
        }
    }
}

impl Worker for RecordWriter {
    fn work(&mut self, job: LogJob, replies: &Replies) {
        let LogJob::Record(RecordsJob { reopen, events, status, remove }) = job else {
            return;
        };
        if reopen {
            self.file = None;
        }
        let (rest, events) = if events.is_empty() {
            (Vec::new(), None)
        } else {
            let (rest, result) = self.append(events);
            (rest, Some(result))
        };
        let status = status.map(|content| self.replace(&content));
        if remove {
            self.remove();
        }
        replies.send(LogReply::Recorded(RecordsReply { rest, events, status }), true);
    }
}
