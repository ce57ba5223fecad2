//! Files that grow, and that are rotated: `FILE.1` is older than `FILE`, and `FILE.2` older than
//! `FILE.1`. They are read from the end, as what is asked for is most often the newest.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::manage::files;
use crate::manage::limits::TAIL_CHUNK;
use crate::sys::file::FileId;

/// The end of a file and of those that were rotated before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Whole lines, the oldest first.
    pub(crate) bytes: Vec<u8>,
    /// True if older lines were wanted, but did not fit.
    pub(crate) is_cut: bool,
    /// Where the file ended.
    pub(crate) position: Option<Position>,
}

/// How far a file has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    file: FileId,
    offset: u64,
}

/// Reads up to about `max` bytes from the end of `path` and of the files rotated before it, whole
/// lines only. It stops at the first piece of which `is_enough` returns true; `is_enough` gets all
/// bytes that were read so far. What the file has behind its last line end is not there yet.
///
/// # Errors
/// Those of open(2) and read(2) for the file itself. Older files that can't be read are left out.
pub(crate) fn tail(path: &Path, max: usize, is_enough: impl Fn(&[u8]) -> bool) -> io::Result<Tail> {
    // The older files lie beside the file that a symbolic link points to.
    let path = fs::canonicalize(path)?;
    let mut tail = Tail::default();
    let mut seen = Vec::new();
    for number in 0.. {
        let opened = match number {
            0 => files::open(&path)?,
            _ => match files::open(&older(&path, number)) {
                Ok(file) => file,
                Err(_) => break,
            },
        };
        let id = FileId::of(&opened.metadata()?);
        // The file may be rotated while it is read.
        if seen.contains(&id) {
            continue;
        }
        seen.push(id);
        let end = last_line_end(&opened, max)?;
        if number == 0 {
            tail.position = Some(Position { file: id, offset: end });
        }
        let room = max.saturating_sub(tail.bytes.len());
        let (mut bytes, is_done, start) = read_back(&opened, end, room, &is_enough)?;
        bytes.append(&mut tail.bytes);
        tail.bytes = bytes;
        if is_done || is_enough(&tail.bytes) {
            break;
        }
        if start > 0 {
            tail.is_cut = true;
            break;
        }
    }
    Ok(tail)
}

/// The lines that a file has got since `position`, up to about `max` bytes, also after a rotation.
/// `None`: nothing of it has been read.
///
/// # Errors
/// Those of open(2) and read(2).
pub(crate) fn more(
    path: &Path,
    position: Option<Position>,
    max: usize,
) -> io::Result<(Vec<u8>, Position)> {
    let path = fs::canonicalize(path)?;
    let opened = files::open(&path)?;
    let metadata = opened.metadata()?;
    let file = FileId::of(&metadata);
    let mut bytes = Vec::new();
    let start = match position {
        Some(position) if position.file == file && position.offset <= metadata.len() => {
            position.offset
        }
        Some(position) if position.file != file => {
            if let Ok(last) = files::open(&older(&path, 1))
                && FileId::of(&last.metadata()?) == position.file
            {
                bytes = lines_from(&last, position.offset, max)?;
                // The rest of that file first.
                if bytes.len() >= max {
                    let offset = position.offset + bytes.len() as u64;
                    return Ok((bytes, Position { file: position.file, offset }));
                }
            }
            0
        }
        _ => 0,
    };
    let next = lines_from(&opened, start, max)?;
    let offset = start + next.len() as u64;
    bytes.extend(next);
    Ok((bytes, Position { file, offset }))
}

impl Position {
    /// `offset` is behind a line end of the file.
    pub(crate) fn new(file: FileId, offset: u64) -> Position {
        Position { file, offset }
    }
}

fn older(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The whole lines from `start` on, of at least `max` bytes if there are so many. A line that is
/// longer than that is cut, as there may be no end to it.
fn lines_from(file: &File, start: u64, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; TAIL_CHUNK];
    let mut lines = 0;
    while lines < max {
        let count = file.read_at(&mut chunk, start + bytes.len() as u64)?;
        if count == 0 {
            break;
        }
        bytes.extend(chunk.get(..count).unwrap_or_default());
        lines = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        if lines == 0 && bytes.len() >= max {
            lines = bytes.len();
        }
    }
    bytes.truncate(lines);
    Ok(bytes)
}

/// The offset behind the last line end of a file, or its length if the last line is longer than
/// `max` bytes.
fn last_line_end(file: &File, max: usize) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    while end > 0 {
        if length - end > max as u64 {
            return Ok(length);
        }
        let chunk = read_before(file, end)?;
        let start = end - chunk.len() as u64;
        if let Some(place) = chunk.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = if chunk.is_empty() { 0 } else { start };
    }
    Ok(0)
}

/// The lines before `end`, up to about `max` bytes. Also returns true if they are enough, and the
/// offset up to which the file has been read.
fn read_back(
    file: &File,
    end: u64,
    max: usize,
    is_enough: &impl Fn(&[u8]) -> bool,
) -> io::Result<(Vec<u8>, bool, u64)> {
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    let (mut start, mut length) = (end, 0);
    let mut is_done = false;
    while start > 0 && length < max && !is_done {
        let chunk = read_before(file, start)?;
        if chunk.is_empty() {
            break;
        }
        start -= chunk.len() as u64;
        length += chunk.len();
        let first = chunk.iter().position(|&byte| byte == b'\n').map_or(chunk.len(), |it| it + 1);
        is_done = is_enough(chunk.get(first..).unwrap_or_default());
        chunks.push(chunk);
    }
    chunks.reverse();
    let mut bytes = chunks.concat();
    if start > 0 {
        let first = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |it| it + 1);
        bytes.drain(..first);
    }
    Ok((bytes, is_done, start))
}

/// The last bytes before `end`, up to [`TAIL_CHUNK`]. Fewer if the file has become shorter.
fn read_before(file: &File, end: u64) -> io::Result<Vec<u8>> {
    let start = end.saturating_sub(TAIL_CHUNK as u64);
    let mut chunk = vec![0; usize::try_from(end - start).unwrap_or(TAIL_CHUNK)];
    match file.read_exact_at(&mut chunk, start) {
        Ok(()) => Ok(chunk),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::io::Write as _;

    fn lines(range: std::ops::Range<u32>) -> String {
        range.fold(String::new(), |mut text, number| {
            writeln!(text, "line {number}").unwrap();
            text
        })
    }

    /// Files `log.1` and `log`, of which a line is not yet whole.
    fn rotated(directory: &Path) -> PathBuf {
        let path = directory.join("log");
        fs::write(older(&path, 1), lines(0..20_000)).unwrap();
        fs::write(&path, format!("{}half", lines(20_000..40_000))).unwrap();
        path
    }

    #[test]
    fn all_of_them_or_only_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = rotated(directory.path());
        let all = tail(&path, usize::MAX, |_| false).unwrap();
        assert!(all.bytes == lines(0..40_000).into_bytes() && !all.is_cut);
        let some = tail(&path, 100_000, |_| false).unwrap();
        assert!(some.is_cut && all.bytes.ends_with(&some.bytes) && some.bytes.len() >= 90_000);
        let first = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().next().map(str::to_owned);
        let enough = tail(&path, usize::MAX, |bytes| first(bytes) < Some("line 35000".to_owned()));
        let enough = enough.unwrap();
        assert!(!enough.is_cut && all.bytes.ends_with(&enough.bytes));
        assert!(enough.bytes.len() < 200_000 && first(&enough.bytes) < Some("line 35000".into()));
        assert!(tail(&directory.path().join("none"), 1, |_| true).is_err());
        assert!(tail(directory.path(), 1, |_| true).is_err());
    }

    #[test]
    fn what_comes_is_read_once_also_over_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = rotated(directory.path());
        let at = tail(&path, 1, |_| true).unwrap().position;
        let append = |text: &str| {
            File::options().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        };
        let (none, at) = more(&path, at, 100).unwrap();
        assert_eq!(none, b"");
        append(" whole\nlast");
        let (bytes, at) = more(&path, Some(at), 100).unwrap();
        assert_eq!(bytes, b"half whole\n");
        append(" one\n");
        fs::rename(&path, older(&path, 1)).unwrap();
        fs::write(&path, "new\n").unwrap();
        let (bytes, at) = more(&path, Some(at), 100).unwrap();
        assert_eq!(bytes, b"last one\nnew\n");
        // Truncated in place.
        fs::write(&path, "n\n").unwrap();
        let (bytes, at) = more(&path, Some(at), 100).unwrap();
        assert_eq!(bytes, b"n\n");
        append(&lines(0..40_000));
        let (mut bytes, mut at) = (Vec::new(), at);
        while bytes.len() < lines(0..40_000).len() {
            let (piece, next) = more(&path, Some(at), 1000).unwrap();
            assert!(piece.len() < 100_000 && !piece.is_empty());
            bytes.extend(piece);
            at = next;
        }
        assert!(bytes == lines(0..40_000).into_bytes());
    }

    /// Such a file may be larger than memory, and have no line end at all.
    #[test]
    fn a_line_without_end_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let tail = tail(&path, 100_000, |_| false).unwrap();
        assert!(tail.is_cut && tail.bytes.len() < 200_000);
        let (bytes, at) = more(&path, None, 100_000).unwrap();
        assert!(bytes.len() < 200_000 && at.offset == bytes.len() as u64);
    }
}
