//! Files that are there whole or not at all, whatever happens meanwhile.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;

use super::inspect::proc;
use crate::limits::FILE_MAX;

/// Whether a file may take the place of one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// It may.
    Replace,
    /// It is an error of kind `AlreadyExists`.
    Fail,
}

/// Writes a file with these permissions, less umask, under a name that nobody reads, brings it to
/// the disk, and gives it its name in one step. The directory must be there.
pub fn write(path: &Path, content: &str, mode: u32, existing: IfExists) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // Nobody wants a regular file in the place of /dev/null.
    match path.metadata() {
        Ok(metadata) => is_regular(&metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    sweep(directory, name);
    let hidden = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
    let hidden = directory.join(hidden);
    let result = fill(&hidden, content, mode).and_then(|()| match existing {
        IfExists::Replace => fs::rename(&hidden, path),
        // Unlike rename, this never replaces.
        IfExists::Fail => fs::hard_link(&hidden, path),
    });
    if result.is_err() || existing == IfExists::Fail {
        let _ = fs::remove_file(&hidden);
    }
    result?;
    File::open(directory)?.sync_all()
}

fn fill(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    // What a crash has left under this name is nobody's.
    let _ = fs::remove_file(path);
    let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

/// Reads a file that anybody may have put there: only a regular one, for which nobody waits, and not
/// more than anybody writes in good faith.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a device may do something to it.
    is_regular(&path.metadata()?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    is_regular(&file.metadata()?)?;
    let mut content = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut content)?;
    match content.len() as u64 {
        FILE_MAX => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        _ => Ok(content),
    }
}

/// The same, of a text.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8"))
}

fn is_regular(metadata: &Metadata) -> io::Result<()> {
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file")),
    }
}

/// Removes what those have left who were killed while they wrote this file.
fn sweep(directory: &Path, name: &OsStr) {
    let prefix = format!(".{}.", name.to_string_lossy());
    let pid = |file: &str| -> Option<i32> {
        file.strip_prefix(&prefix)?.strip_suffix(".tmp")?.parse().ok()
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(pid)
            && proc::process(pid).is_none()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes a file and says whether there was one.
pub fn remove(path: &Path) -> io::Result<bool> {
    if let (Some(directory), Some(name)) = (path.parent(), path.file_name()) {
        sweep(directory, name);
    }
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_at_all() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        write(&path, "1", 0o644, IfExists::Fail).unwrap();
        let error = write(&path, "2", 0o644, IfExists::Fail).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
        // Of one that was killed, as no process has this number; and of another file.
        let [left, other] = [".a.99999999.tmp", ".a.conf.99999999.tmp"].map(|name| {
            let path = scratch.path().join(name);
            fs::write(&path, "").unwrap();
            path
        });
        write(&path, "3", 0o644, IfExists::Replace).unwrap();
        assert!(!left.exists());
        fs::remove_file(other).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "3");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
    }
}
