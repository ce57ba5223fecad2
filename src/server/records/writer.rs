//! The worker that writes the records: it appends to the events file and replaces the status file. It
//! opens the files itself, so that a file system that hangs delays nothing else.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::config::Rotation;
use crate::server::writers::Worker;
use crate::server::writers::rotate::Rotator;
use crate::server::writers::thread::Replies;
use crate::sys::file::{self, FileId};

/// A job for the writer of the records.
#[derive(Debug, Default)]
pub(crate) struct RecordsJob {
    /// True if the events file is to be opened anew.
    pub(crate) reopen: bool,
    /// Lines to append to the events file.
    pub(crate) events: Vec<u8>,
    /// The new content of the status file.
    pub(crate) status: Option<Vec<u8>>,
    /// True if the status file is to be removed.
    pub(crate) remove: bool,
}

/// What came of a job. The result for a file is `None` if the job had nothing for this file.
#[derive(Debug, Default)]
pub(crate) struct RecordsReply {
    /// The rest of the lines, which could not be appended because of the error.
    pub(crate) events: Option<(Vec<u8>, io::Result<()>)>,
    pub(crate) status: Option<io::Result<()>>,
    /// The result of the last rotation of the events file, if there was any.
    pub(crate) rotation: Option<io::Result<()>>,
}

/// The writer of both files.
pub(crate) struct RecordWriter {
    events_path: Option<PathBuf>,
    status_path: Option<PathBuf>,
    events_file: Option<File>,
    events_rotator: Option<Rotator>,
    /// The result of the last rotation, which is yet to be reported.
    rotation: Option<io::Result<()>>,
    /// The identity of the status file that was written last.
    status_file: Option<FileId>,
}

impl RecordWriter {
    /// A writer of the files with these names. The events file is rotated as `rotation` says.
    pub(crate) fn new(
        events: Option<PathBuf>,
        rotation: Option<Rotation>,
        status: Option<PathBuf>,
    ) -> RecordWriter {
        RecordWriter {
            events_path: events,
            status_path: status,
            events_file: None,
            events_rotator: rotation.map(Rotator::of_whole_lines),
            rotation: None,
            status_file: None,
        }
    }

    /// Appends whole lines to the events file. Returns the rest of them after a failure.
    fn append(&mut self, mut lines: Vec<u8>) -> (Vec<u8>, io::Result<()>) {
        let Some(path) = &self.events_path else {
            return (Vec::new(), Ok(()));
        };
        let file = match self.events_file.take().map_or_else(|| file::open_append(path), Ok) {
            Ok(file) => self.events_file.insert(file),
            Err(error) => return (lines, Err(error)),
        };
        let mut written = 0;
        let result = loop {
            let Some(rest @ [_, ..]) = lines.get(written..) else {
                debug_assert!(written == lines.len(), "more was written than there is");
                return (Vec::new(), Ok(()));
            };
            let last = self.events_rotator.as_ref().and_then(|rotator| rotator.cut(file, rest));
            match file.write(last.unwrap_or(rest)) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    if last.is_some_and(|last| last.len() == count)
                        && let Some(rotator) = &mut self.events_rotator
                    {
                        let result = rotator.rotate(path, file).map(|next| *file = next);
                        self.rotation = Some(result);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        // A line that is half written is cut off the file. Where that is not possible, the other half
        // of the line is the beginning of the rest.
        let whole = lines.iter().take(written).rposition(|&byte| byte == b'\n');
        let whole = whole.map_or(0, |at| at + 1);
        let half = (written - whole) as u64;
        if half > 0
            && let Ok(metadata) = file.metadata()
            && metadata.is_file()
            && metadata.len() >= half
            && file.set_len(metadata.len() - half).is_ok()
        {
            written = whole;
        }
        // The next try opens the file by its name, which another file may have by then.
        if written == whole {
            self.events_file = None;
        }
        (lines.split_off(written), result)
    }

    /// Replaces the status file by one with this content.
    fn replace(&mut self, content: &[u8]) -> io::Result<()> {
        let Some(path) = &self.status_path else {
            return Ok(());
        };
        if self.status_file.is_none() {
            file::remove_leftovers(path);
        }
        self.status_file = Some(file::replace_unsynced(path, content)?);
        Ok(())
    }

    /// Removes the status file, unless its name belongs to another file by now.
    fn remove(&self) {
        if let (Some(path), Some(id)) = (&self.status_path, self.status_file) {
            file::remove_if_same(path, id);
        }
    }
}

impl Worker for RecordWriter {
    type Job = RecordsJob;
    type Reply = RecordsReply;

    fn work(&mut self, job: RecordsJob, replies: &Replies<RecordsJob, RecordsReply>) {
        let RecordsJob { reopen, events, status, remove } = job;
        if reopen {
            self.events_file = None;
        }
        let events = (!events.is_empty()).then(|| self.append(events));
        let status = status.map(|content| self.replace(&content));
        if remove {
            self.remove();
        }
        let rotation = self.rotation.take();
        replies.send(RecordsReply { events, status, rotation }, true);
    }

    fn finish(&mut self, _replies: &Replies<RecordsJob, RecordsReply>) {
        // While somebody waits for it: the end of the process waits for as long as it takes.
        self.events_file = None;
    }
}
