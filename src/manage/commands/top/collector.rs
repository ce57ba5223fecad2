//! The process that looks at instances. Disks that do not answer hold neither the screen nor the end of
//! the command.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::manage::commands::status::row::Row;
use crate::manage::inspect::watch::Watch;
use crate::sys::process::left_behind;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Found {
    /// The same as before.
    Same,
    /// All rows, by name.
    Rows(Vec<Row>),
    /// Why the instances can't be looked at, and with which status the command exits if that is so
    /// from the beginning.
    Failed(String, u8),
}

/// The connection to the process.
#[derive(Debug)]
pub(super) struct Collector {
    stream: UnixStream,
    received: Vec<u8>,
    /// True while an answer is due.
    is_asked: bool,
}

impl Collector {
    /// Starts the process. No thread may have been started before.
    ///
    /// # Errors
    /// Those of [`left_behind::start`].
    pub(super) fn start(watch: Watch) -> io::Result<Collector> {
        let stream = left_behind::start(|stream| {
            // An error is the end of the other process.
            let _ = answer(stream, watch);
        })?;
        stream.set_nonblocking(true)?;
        Ok(Collector { stream, received: Vec::new(), is_asked: false })
    }

    /// Asks for what there is now, unless an answer is due. Returns false then.
    ///
    /// # Errors
    /// The process has ended.
    pub(super) fn ask(&mut self) -> io::Result<bool> {
        if self.is_asked {
            return Ok(false);
        }
        self.stream.write_all(b"?")?;
        self.is_asked = true;
        Ok(true)
    }

    /// Takes the answer, if it has come.
    ///
    /// # Errors
    /// The process has ended.
    pub(super) fn take(&mut self) -> io::Result<Option<Found>> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.received.extend(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.received.last() != Some(&b'\n') {
            return Ok(None);
        }
        self.is_asked = false;
        let found = serde_json::from_slice(&self.received);
        self.received.clear();
        Ok(Some(found?))
    }
}

/// Readable when there is an answer.
impl AsFd for Collector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Answers until the other process has ended. An answer is a line of JSON.
fn answer(mut stream: UnixStream, mut watch: Watch) -> io::Result<()> {
    let mut last = Found::Same;
    let mut request = [0];
    loop {
        stream.read_exact(&mut request)?;
        let found = match watch.refresh() {
            Ok(false) => Found::Same,
            Ok(true) => Found::Rows(watch.all().map(Row::of).collect()),
            Err(error) => Found::Failed(error.text, error.code),
        };
        let is_new = found != Found::Same && found != last;
        let mut line = serde_json::to_vec(if is_new { &found } else { &Found::Same })?;
        line.push(b'\n');
        stream.write_all(&line)?;
        if is_new {
            last = found;
        }
    }
}
