//! Reading files that anybody may have written, and removing files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;

use crate::manage::limits::FILE_MAX;
use crate::sys::file::{remove_leftovers, require_regular};

/// Reads a file that anybody may have put there: only a regular one, for which nobody waits, and not
/// more than anybody writes in good faith.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a device may do something to it.
    require_regular(&path.metadata()?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    require_regular(&file.metadata()?)?;
    let mut content = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut content)?;
    match content.len() as u64 {
        FILE_MAX => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        _ => Ok(content),
    }
}

/// The same, of a text.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8"))
}

/// Removes a file and says whether there was one.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    remove_leftovers(path);
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
