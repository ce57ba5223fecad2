//! A process that looks at instances for a live view. Disks that do not answer hold neither the view nor
//! the end of the command.

use std::io::{self, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::process::left_behind;

/// The connection to the process, whose answers are of type `A`.
#[derive(Debug)]
pub(crate) struct Collector<A> {
    stream: UnixStream,
    received: Vec<u8>,
    /// True while an answer is due.
    is_asked: bool,
    answers: PhantomData<A>,
}

impl<A: Serialize + DeserializeOwned> Collector<A> {
    /// Starts the process, which calls `answer` for each request. `answer` may wait, and then has to
    /// fail when its stream is closed. No thread may have been started before.
    ///
    /// # Errors
    /// Those of [`left_behind::start`].
    pub(crate) fn start(
        mut answer: impl FnMut(&UnixStream) -> io::Result<A>,
    ) -> io::Result<Collector<A>> {
        let stream = left_behind::start(|stream| {
            // An error is the end of the other process.
            let _ = serve(stream, &mut answer);
        })?;
        stream.set_nonblocking(true)?;
        Ok(Collector { stream, received: Vec::new(), is_asked: false, answers: PhantomData })
    }

    /// Asks for what there is now, unless an answer is due. Returns false then.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn ask(&mut self) -> io::Result<bool> {
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
    pub(crate) fn take(&mut self) -> io::Result<Option<A>> {
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
        let answer = serde_json::from_slice(&self.received);
        self.received.clear();
        Ok(Some(answer?))
    }
}

/// Readable when there is an answer.
impl<A> AsFd for Collector<A> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Answers until the other process has ended. An answer is a line of JSON.
fn serve<A: Serialize>(
    mut stream: UnixStream,
    mut answer: impl FnMut(&UnixStream) -> io::Result<A>,
) -> io::Result<()> {
    let mut request = [0];
    loop {
        stream.read_exact(&mut request)?;
        let mut line = serde_json::to_vec(&answer(&stream)?)?;
        line.push(b'\n');
        stream.write_all(&line)?;
    }
}
