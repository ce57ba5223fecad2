//! Reading files that other users may have put in place, and removing files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::manage::limits::FILE_MAX;
use crate::sys::file::{remove_leftovers, require_regular};

/// Reads a regular file that is smaller than [`FILE_MAX`], without blocking.
///
/// # Errors
/// Those of open(2) and read(2); `InvalidInput` or `EISDIR` for other kinds of files; `EFBIG`.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let content = read_head(path, FILE_MAX)?;
    match content.len() as u64 {
        FILE_MAX => Err(Errno::EFBIG.into()),
        _ => Ok(content),
    }
}

/// Reads the first `length` bytes of a regular file, without blocking.
///
/// # Errors
/// Those of open(2) and read(2); `InvalidInput` or `EISDIR` for other kinds of files.
pub(crate) fn read_head(path: &Path, length: u64) -> io::Result<Vec<u8>> {
    // Opening a device may have an effect.
    require_regular(&path.metadata()?)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    require_regular(&file.metadata()?)?;
    let mut content = Vec::new();
    file.take(length).read_to_end(&mut content)?;
    Ok(content)
}

/// Reads a text in the same way.
///
/// # Errors
/// Those of [`read`]; `InvalidData` if the file is not UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8"))
}

/// Removes a file, and what a killed writer has left beside it. Returns true if there was a file.
///
/// # Errors
/// Those of unlink(2), except `ENOENT`.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    remove_leftovers(path);
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
