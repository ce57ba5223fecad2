//! How the files are opened that the server appends to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// Opens a file to append to it, and creates it with mode 0644 less umask if there is none.
///
/// # Errors
///
/// If the file can't be opened or created.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = options(0o644);
    options.create(true);
    match options.open(path) {
        // A FIFO without a reader (open(2)). Opened for reading, too, it keeps what fits in until
        // there is one.
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ENXIO as i32) => {
            options.read(true).open(path)
        }
        result => result,
    }
}

/// The options to open a file with for appending. If the caller has it created, it gets `mode` less
/// umask.
pub(crate) fn options(mode: u32) -> OpenOptions {
    let mut options = File::options();
    // A FIFO must not make us wait for its reader, a terminal not become ours.
    options.append(true).mode(mode).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    options
}
