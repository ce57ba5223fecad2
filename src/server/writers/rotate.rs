//! `--log-rotate` and `--events-rotate`: where the file is cut, and how older ones make way. What is said
//! of the log here holds for the events file, too.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::config::Rotation;
use crate::limits::LOG_RETRY;
use crate::sys::file::{self, FileId};

/// Rotates the log.
#[derive(Debug)]
pub(crate) struct Rotator {
    rule: Rotation,
    /// True if a line is not cut, however long it is.
    whole_lines: bool,
    /// After a failure: the log is not rotated before this time.
    not_before: Option<Instant>,
}

impl Rotator {
    /// A rotator that follows this rule.
    pub(crate) fn new(rule: Rotation) -> Rotator {
        Rotator { rule, whole_lines: false, not_before: None }
    }

    /// A rotator that follows this rule and never cuts a line.
    pub(crate) fn of_whole_lines(rule: Rotation) -> Rotator {
        Rotator { whole_lines: true, ..Rotator::new(rule) }
    }

    /// Returns the part of `next` that is the last one for `file`, if the log is to be rotated after
    /// it.
    pub(crate) fn cut<'a>(&self, file: &File, next: &'a [u8]) -> Option<&'a [u8]> {
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        let last = if self.whole_lines { u64::MAX } else { self.rule.size.saturating_mul(2) };
        next.get(..cut(self.rule.size, last, metadata.len(), next)?)
    }

    /// Renames `file`, which has the name `path`, and opens another one of this name. A file that
    /// somebody else has renamed already is left alone.
    ///
    /// # Errors
    ///
    /// If a file can't be renamed or opened. The log then has its old name, unless only that could
    /// not be given back.
    pub(crate) fn rotate(&mut self, path: &Path, file: &File) -> io::Result<File> {
        let result = rotate(path, file, self.rule.keep);
        self.not_before = result.is_err().then(|| Instant::now() + LOG_RETRY);
        result
    }
}

/// Returns how many bytes of `next` are still for a file of `len` bytes, if `next` reaches the end of
/// the file. The end is the first line end at or past `size`, or `last` if there is none so far.
fn cut(size: u64, last: u64, len: u64, next: &[u8]) -> Option<usize> {
    let index = |limit: u64| usize::try_from(limit.saturating_sub(len)).unwrap_or(usize::MAX);
    let from = index(size).saturating_sub(1);
    let end = next.get(from..).and_then(|rest| rest.iter().position(|&byte| byte == b'\n'));
    let cut = end.map_or(usize::MAX, |end| from + end + 1).min(index(last));
    (cut <= next.len()).then_some(cut)
}

fn rotate(path: &Path, file: &File, keep: u32) -> io::Result<File> {
    let old = file.metadata()?;
    if !fs::metadata(path).is_ok_and(|found| FileId::of(&found) == FileId::of(&old)) {
        return file::open_append(path);
    }
    // A symbolic link stays, and the older logs lie beside the file that it points to, where the
    // room for them is.
    let path = &fs::canonicalize(path)?;
    // Only the logs up to the first gap are renamed: a gap that an earlier failure left must not cost
    // the oldest log.
    let gap = (1..keep).find(|&number| !exists(&numbered(path, number))).unwrap_or(keep);
    for number in (1..gap).rev() {
        fs::rename(numbered(path, number), numbered(path, number + 1))?;
    }
    let first = numbered(path, 1);
    fs::rename(path, &first)?;
    match open_next(path, &old) {
        Err(error) => {
            fs::rename(&first, path)?;
            Err(error)
        }
        new => new,
    }
}

/// Opens the log that follows the one with the metadata `old`.
fn open_next(path: &Path, old: &fs::Metadata) -> io::Result<File> {
    match file::append_options(old.mode() & 0o644).create_new(true).open(path) {
        Ok(new) => {
            // As far as this process may: whoever could read the log still can, and nobody else can
            // at any moment.
            let _ = fchown(&new, Some(old.uid()), Some(old.gid()));
            let _ = new.set_permissions(old.permissions());
            Ok(new)
        }
        // Somebody has put a file there. It keeps its rights, as it may be a link to any file.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => file::open_append(path),
        error => error,
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn cut_is_at_a_line_end_past_the_size() {
        for (len, next, expected) in [
            (0, &b"123\n567\n"[..], None),
            (0, b"123\n567\n9\n", Some(10)),
            (0, b"123\n567\n9ab\ndef", Some(12)),
            (9, b"\n", Some(1)),
            (10, b"a\nb\n", Some(2)),
            (0, b"123456789a", None),
            (0, b"123456789\n", Some(10)),
            (8, b"12345678901", None),
            (8, b"123456789012", Some(12)),
            (8, b"123456789012345\n", Some(12)),
            (20, b"123\n", Some(0)),
            (500, b"1", Some(0)),
        ] {
            assert_eq!(cut(10, 20, len, next), expected, "{len} {}", next.escape_ascii());
        }
    }

    #[test]
    fn whole_lines_are_never_cut() {
        for (len, next, expected) in [
            (0, &b"12345678901234567890123\n5\n"[..], Some(24)),
            (9, b"12345678901234567890123", None),
            (500, b"12345\n7\n", Some(6)),
        ] {
            let cut = cut(10, u64::MAX, len, next);
            assert_eq!(cut, expected, "{len} {}", next.escape_ascii());
        }
    }

    /// However the bytes are split into chunks: no file but the last is small, none is too large,
    /// none ends within a line that had room, and together the files have every byte.
    #[test]
    fn no_byte_is_lost_whatever_the_chunks() {
        let text: Vec<u8> = (0..400_u32)
            .flat_map(|number| {
                let line = "x".repeat((number as usize * 7919) % 45);
                format!("{number} {line}\n").into_bytes()
            })
            .collect();
        for piece in 1..60 {
            let mut files = vec![Vec::new()];
            for mut rest in text.chunks(piece) {
                while !rest.is_empty() {
                    let file: &mut Vec<u8> = files.last_mut().unwrap();
                    let end = cut(20, 40, file.len() as u64, rest);
                    let (now, later) = rest.split_at(end.unwrap_or(rest.len()));
                    file.extend_from_slice(now);
                    rest = later;
                    if end.is_some() {
                        files.push(Vec::new());
                    }
                }
            }
            assert_eq!(files.concat(), text);
            files.pop();
            for file in files {
                assert!((20..=40).contains(&file.len()));
                assert!(file.ends_with(b"\n") || file.len() == 40);
                assert!(!file[19..file.len() - 1].contains(&b'\n'));
            }
        }
    }

    fn names(dir: &Path) -> Vec<(String, String)> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn older_logs_are_renamed_up_to_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = file::open_append(&path).unwrap();
        let mut rotator = Rotator::new(Rotation { size: 1, keep: 3 });
        let pair = |name: &str, content: &str| (name.to_owned(), content.to_owned());
        for number in 1..=5 {
            fs::write(&path, format!("{number}")).unwrap();
            file = rotator.rotate(&path, &file).unwrap();
        }
        let all = [pair("log", ""), pair("log.1", "5"), pair("log.2", "4"), pair("log.3", "3")];
        assert_eq!(names(dir.path()), all);
        fs::remove_file(dir.path().join("log.2")).unwrap();
        fs::write(&path, "6").unwrap();
        file = rotator.rotate(&path, &file).unwrap();
        let all = [pair("log", ""), pair("log.1", "6"), pair("log.2", "5"), pair("log.3", "3")];
        assert_eq!(names(dir.path()), all);
        // Somebody else has renamed the log.
        fs::rename(&path, dir.path().join("moved")).unwrap();
        rotator.rotate(&path, &file).unwrap();
        assert_eq!(names(dir.path()), [&all[..], &[pair("moved", "")]].concat());
    }

    #[test]
    fn symbolic_link_stays() {
        let dir = tempfile::tempdir().unwrap();
        let large = tempfile::tempdir().unwrap();
        let link = dir.path().join("log");
        std::os::unix::fs::symlink(large.path().join("ioc.log"), &link).unwrap();
        let mut file = file::open_append(&link).unwrap();
        let mut rotator = Rotator::new(Rotation { size: 1, keep: 2 });
        for number in 1..=3 {
            fs::write(&link, format!("{number}")).unwrap();
            file = rotator.rotate(&link, &file).unwrap();
        }
        let names = names(large.path());
        let names: Vec<_> =
            names.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(names, [("ioc.log", ""), ("ioc.log.1", "3"), ("ioc.log.2", "2")]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn planted_link_changes_nobodys_rights() {
        let dir = tempfile::tempdir().unwrap();
        let [old, other, link] = ["old", "other", "log"].map(|name| dir.path().join(name));
        for (path, mode) in [(&old, 0o666), (&other, 0o600)] {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink(&other, &link).unwrap();
        open_next(&link, &fs::metadata(&old).unwrap()).unwrap();
        assert_eq!(fs::metadata(&other).unwrap().mode() & 0o777, 0o600);
        fs::remove_file(&link).unwrap();
        open_next(&link, &fs::metadata(&old).unwrap()).unwrap();
        assert_eq!(fs::metadata(&link).unwrap().mode() & 0o777, 0o666);
    }

    #[test]
    fn failed_rotation_is_not_tried_again_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gone").join("log");
        let file = tempfile::tempfile().unwrap();
        let mut rotator = Rotator::new(Rotation { size: 1, keep: 3 });
        assert_eq!(rotator.cut(&file, b"a\n"), Some(&b"a\n"[..]));
        assert!(rotator.rotate(&path, &file).is_err());
        assert_eq!(rotator.cut(&file, b"a\n"), None);
    }
}
