//! What a server does after an upgrade when the kernel is short of something: there is no way back,
//! and the child, the clients and the terminal wait, so it tries again for as long as it takes.

use std::io::{self, Write};
use std::thread;

use nix::libc::{self, PIPE_BUF};

use crate::limits::SHORTAGE_RETRY;
use crate::sys::{self, fd};

/// Does `attempt` until the kernel has what it needs. The first refusal is reported on stderr.
///
/// # Errors
/// Those of `attempt` that are no shortage.
pub(crate) fn persist<T>(
    argv0: &[u8],
    what: &str,
    attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut reported = false;
    retry(attempt, |error| {
        if !std::mem::replace(&mut reported, true) {
            report_shortage(argv0, what, error);
        }
        thread::sleep(SHORTAGE_RETRY);
    })
}

/// Does `attempt` until the kernel has what it needs, and calls `pause` after each refusal.
///
/// # Errors
/// Those of `attempt` that are no shortage.
pub(crate) fn retry<T>(
    mut attempt: impl FnMut() -> io::Result<T>,
    mut pause: impl FnMut(&io::Error),
) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if is_shortage(&error) => pause(&error),
            result => return result,
        }
    }
}

/// Returns true if the call may succeed later: the kernel has no descriptor, memory, thread or room
/// for a watch now.
fn is_shortage(error: &io::Error) -> bool {
    if error.kind() == io::ErrorKind::OutOfMemory {
        return true;
    }
    let shortages =
        [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN, libc::ENOBUFS, libc::ENOSPC];
    error.raw_os_error().is_some_and(|errno| shortages.contains(&errno))
}

/// Says on stderr that the call will be tried again.
pub(crate) fn report_shortage(argv0: &[u8], what: &str, error: &io::Error) {
    let text = format!("cannot {what}: {}, trying again", sys::reason(error));
    log_stderr(argv0, text.as_bytes());
}

/// Writes `<argv0>: <text>` to stderr, unless that would have to be waited for.
pub(crate) fn log_stderr(argv0: &[u8], text: &[u8]) {
    let line = [argv0, b": ", text].concat();
    // A pipe that takes any byte takes PIPE_BUF of them.
    let line = line.get(..PIPE_BUF - 1).unwrap_or(&line);
    if fd::has_room(io::stderr()) {
        let _ = io::stderr().write_all(&[line, b"\n"].concat());
    }
}
