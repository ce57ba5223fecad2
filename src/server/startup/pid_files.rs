//! The pid file and the info file: written in place, removed if they are still this server's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::sys::file::FileId;

/// A file that names this server. Dropped, it is removed, unless it was replaced meanwhile, is no
/// regular file, or holds something else by now.
#[derive(Debug)]
pub(crate) struct OwnedFile {
    path: PathBuf,
    content: Vec<u8>,
    id: FileId,
}

impl OwnedFile {
    /// Writes `content` to `path` in place: its directory may be one that we can't write to.
    pub(crate) fn write(path: &Path, content: Vec<u8>) -> io::Result<Option<OwnedFile>> {
        let mut options = File::options();
        // A FIFO that nobody reads must not stop us, a terminal not become ours.
        options.custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY);
        let mut file = options.write(true).create(true).truncate(true).open(path)?;
        file.write_all(&content)?;
        OwnedFile::adopt(path, content)
    }

    /// Takes responsibility for a file with this content that another process wrote.
    pub(crate) fn adopt(path: &Path, content: Vec<u8>) -> io::Result<Option<OwnedFile>> {
        let metadata = fs::metadata(path)?;
        let id = FileId::of(&metadata);
        Ok(metadata.is_file().then(|| OwnedFile { path: path.to_owned(), content, id }))
    }
}

impl Drop for OwnedFile {
    fn drop(&mut self) {
        let ours = fs::metadata(&self.path)
            .is_ok_and(|metadata| metadata.is_file() && FileId::of(&metadata) == self.id)
            && fs::read(&self.path).is_ok_and(|content| content == self.content);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
