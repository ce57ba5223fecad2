//! All files of a log that is rotated: `LOG`, `LOG.1`, `LOG-20261130` and what is compressed of them, as
//! `--log-rotate` and logrotate(8) name them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::manage::files;
use crate::sys::file::FileId;

/// A file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) path: PathBuf,
    pub(crate) id: FileId,
    /// When the file was last written to, in microseconds since the epoch.
    pub(crate) modified: i64,
    /// The program that decompresses the file.
    decompressor: Option<&'static str>,
    has_date: bool,
}

/// The files of a log, the oldest first and the one that is written to last.
///
/// # Errors
/// Those of stat(2) for the log itself, and of reading its directory.
pub(crate) fn pieces(log: &Path) -> io::Result<Vec<Piece>> {
    // The older files lie beside the file that a symbolic link points to.
    let log = fs::canonicalize(log)?;
    let live = piece(&log, None, false)?;
    let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let directory = log.parent().unwrap_or(Path::new("/"));
    let mut older = Vec::new();
    for entry in fs::read_dir(directory)?.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some((age, decompressor)) = file.strip_prefix(&name).and_then(rotated) else {
            continue;
        };
        // A file that is gone has been rotated meanwhile.
        if let Ok(piece) = piece(&entry.path(), decompressor, matches!(age, Age::Date(_))) {
            older.push((age, piece));
        }
    }
    older.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut all: Vec<Piece> = Vec::new();
    for piece in older.into_iter().map(|(_, piece)| piece).chain([live]) {
        // A file that is renamed while the directory is read has two names.
        all.retain(|other| other.id != piece.id);
        all.push(piece);
    }
    Ok(all)
}

/// The age of a rotated file; an older one is less. Dates are older than numbers: a log has one kind
/// of names, and may have the other from an earlier configuration.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Date(String),
    Number(std::cmp::Reverse<u32>),
}

/// What the name of a rotated file has behind that of the log.
fn rotated(suffix: &str) -> Option<(Age, Option<&'static str>)> {
    let compressed = DECOMPRESSORS
        .iter()
        .find_map(|(extension, program)| Some((suffix.strip_suffix(extension)?, *program)));
    let (suffix, decompressor) = match compressed {
        Some((suffix, program)) => (suffix, Some(program)),
        None => (suffix, None),
    };
    let age = if let Some(number) = suffix.strip_prefix('.') {
        Age::Number(std::cmp::Reverse(number.parse().ok()?))
    } else {
        let date = suffix.strip_prefix('-')?;
        let is_date = date.len() >= 8
            && date.chars().all(|letter| letter.is_ascii_digit() || "-_.:T".contains(letter));
        Age::Date(is_date.then(|| date.to_owned())?)
    };
    Some((age, decompressor))
}

/// Programs that write a decompressed file to standard output, by the ends of names.
const DECOMPRESSORS: [(&str, &str); 4] =
    [(".gz", "gzip"), (".xz", "xz"), (".zst", "zstd"), (".bz2", "bzip2")];

fn piece(path: &Path, decompressor: Option<&'static str>, has_date: bool) -> io::Result<Piece> {
    let metadata = fs::metadata(path)?;
    let modified = metadata.mtime().saturating_mul(1_000_000) + metadata.mtime_nsec() / 1000;
    Ok(Piece { path: path.to_owned(), id: FileId::of(&metadata), modified, decompressor, has_date })
}

impl Piece {
    /// Opens the file, which may have another name by now.
    ///
    /// # Errors
    /// Those of open(2); a program for decompression that is not there.
    pub(crate) fn open(&self) -> io::Result<Content> {
        let file = files::open(&self.path)?;
        let Some(program) = self.decompressor else {
            let length = file.metadata()?.len();
            return Ok(Content::Plain(file.take(length)));
        };
        let mut command = Command::new(program);
        command.args(["--decompress", "--stdout"]).stdin(file);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Ok(Content::Compressed(child.map_err(|error| {
            io::Error::new(error.kind(), format!("{program} is needed to read it"))
        })?))
    }

    /// Returns true if the file can't be read from its end.
    pub(crate) fn is_compressed(&self) -> bool {
        self.decompressor.is_some()
    }

    /// Returns true if the file has a date in its name, and not a number.
    pub(crate) fn has_date(&self) -> bool {
        self.has_date
    }
}

/// What a file of a log has at the moment when it is opened.
#[derive(Debug)]
pub(crate) enum Content {
    Plain(io::Take<File>),
    Compressed(Child),
}

impl Content {
    /// Ends the reading of a file that has been read to its end.
    ///
    /// # Errors
    /// A compressed file that is damaged.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if let Content::Compressed(child) = &mut self
            && !child.wait()?.success()
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "can't be decompressed"));
        }
        Ok(())
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Plain(file) => file.read(buffer),
            Content::Compressed(child) => match &mut child.stdout {
                Some(output) => output.read(buffer),
                None => Ok(0),
            },
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if let Content::Compressed(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_file_is_first() {
        let directory = tempfile::tempdir().unwrap();
        let names = ["log-20260101.gz", "log-20261130", "log.10.gz", "log.2", "log.1", "log"];
        for name in names.iter().chain(&["log.gz", "log.old", "log-x", "log2", "log-1.txt"]) {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let found = pieces(&directory.path().join("log")).unwrap();
        let found: Vec<_> =
            found.iter().map(|piece| piece.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(found, names);
        assert!(pieces(&directory.path().join("none")).is_err());
    }
}
