//! Work in a child process that can be left behind. A thread that waits for a disk that does not
//! answer can't be ended, and neither can its process: whoever waits for that process waits, too.
//! And what the thread has open stays open. So such work is done by a child, for which its parent
//! does not wait.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::daemonize::detach_stdio;
use crate::sys::fd::poll_within;

/// How long a child that has done its work may take to end. After that it is left to init.
const END_WAIT: Duration = Duration::from_millis(100);

/// What became of the work.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The child has done the work, and may be ending still.
    Done(Vec<u8>),
    /// The child has ended by this signal, or for another reason.
    Died(Option<Signal>),
    /// Time was up. The child has been killed, which a thread that waits for a disk does not notice.
    Late,
}

/// Does `work` in a child process, and waits for the result up to `limit`, if there is one. No
/// thread may have been started before. The child ends with its parent.
///
/// # Errors
/// Those of pipe(2), fork(2) and poll(2).
pub(crate) fn run(limit: Option<Duration>, work: impl FnOnce() -> Vec<u8>) -> io::Result<Outcome> {
    let (mut result, mut sender) = io::pipe()?;
    // SAFETY: no thread was started yet, so the child may go on as it likes.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop(result);
            #[cfg(target_os = "linux")]
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
            let bytes = work();
            let _ = io::stdout().flush();
            // The readers of these must not wait for the threads of this process.
            let _ = detach_stdio();
            let length = u32::try_from(bytes.len()).unwrap_or(0).to_ne_bytes();
            let _ = sender.write_all(&length).and_then(|()| sender.write_all(&bytes));
            std::process::exit(0);
        }
    };
    drop(sender);
    if let Some(limit) = limit
        && !is_readable(&result, limit)?
    {
        let _ = kill(child, Signal::SIGKILL);
        return Ok(Outcome::Late);
    }
    let mut length = [0; 4];
    let mut bytes = Vec::new();
    let read = result.read_exact(&mut length).and_then(|()| {
        bytes.resize(u32::from_ne_bytes(length) as usize, 0);
        result.read_exact(&mut bytes)
    });
    if read.is_ok() {
        // The pipe is closed when the last thread of the child ends.
        if is_readable(&result, END_WAIT)? {
            let _ = waitpid(child, None);
        }
        return Ok(Outcome::Done(bytes));
    }
    Ok(Outcome::Died(match waitpid(child, None) {
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(signal),
        _ => None,
    }))
}

/// Does `work` in a child process that goes on until its parent ends, or closes the stream between
/// them. Nobody waits for the child. It has nothing of the terminal, whose keys must not end it. No
/// thread may have been started before.
///
/// # Errors
/// Those of socketpair(2) and fork(2).
pub(crate) fn start(work: impl FnOnce(UnixStream)) -> io::Result<UnixStream> {
    let (stream, theirs) = UnixStream::pair()?;
    // SAFETY: no thread was started yet, so the child may go on as it likes.
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        return Ok(stream);
    }
    drop(stream);
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    for key in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP] {
        // SAFETY: no handler is installed.
        let _ = unsafe { signal(key, SigHandler::SigIgn) };
    }
    let _ = detach_stdio();
    work(theirs);
    std::process::exit(0);
}

/// Waits until there is something to read, or the other end is closed. Returns false if time is up.
fn is_readable(pipe: &PipeReader, limit: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    Ok(poll_within(&mut fds, limit)? > 0)
}
