//! Files: which one has a name now, how one is appended to, how one takes the place of another.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minicbor::{Decode, Encode};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The identity of a file, whatever its name (stat(2)). A state that is handed over contains it, so
/// the numbers of its fields stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FileId {
    /// `st_dev`.
    #[n(0)]
    pub device: u64,
    /// `st_ino`.
    #[n(1)]
    pub inode: u64,
}

impl FileId {
    /// Returns the identity of the file that has this metadata.
    pub(crate) fn of(metadata: &Metadata) -> FileId {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Opens a file for appending, without waiting for anybody, and creates it with mode 0644 less
/// umask if there is none.
///
/// # Errors
///
/// Those of open(2), except that a FIFO without a reader (`ENXIO`) is opened for reading too: the
/// FIFO then keeps what fits into it until there is a reader.
pub(crate) fn open_append(path: &Path) -> io::Result<File> {
    let mut options = append_options(0o644);
    options.create(true);
    match options.open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => options.read(true).open(path),
        result => result,
    }
}

/// Returns the options of [`open_append`] for a file that is created, if at all, with `mode` less
/// umask.
pub(crate) fn append_options(mode: u32) -> OpenOptions {
    let mut options = File::options();
    // A FIFO must not make this process wait for a reader, nor a terminal become its own.
    options.append(true).mode(mode).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

/// What [`replace_atomically`] does about a file that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfExists {
    /// The new file takes its place.
    Replace,
    /// The call fails with [`io::ErrorKind::AlreadyExists`].
    Fail,
}

/// Writes a file of which a reader sees the old content or the new one, and never a part, even if
/// the machine crashes: the new content is written under a name that nobody reads, is synced to the
/// disk, and gets the name `path` in one step. The file has `mode` less umask.
///
/// The temporary name contains the PID of the writer, so that a later call can remove the file of a
/// writer that was killed (see [`remove_leftovers`]).
///
/// # Errors
///
/// Those of the file system; `InvalidInput` or `EISDIR` if `path` exists and is not a regular file;
/// `AlreadyExists` if `path` exists and `existing` is [`IfExists::Fail`]. The directory has to
/// exist. After an error `path` is unchanged, unless only the directory could not be synced.
pub(crate) fn replace_atomically(
    path: &Path,
    content: &[u8],
    mode: u32,
    existing: IfExists,
) -> io::Result<()> {
    // A regular file must not take the place of /dev/null.
    match path.metadata() {
        Ok(metadata) => require_regular(&metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let (directory, name) = split(path)?;
    remove_leftovers(path);
    let mut prefix = temporary_prefix(name);
    prefix.push(format!("{}.", std::process::id()));
    let mut file = tempfile::Builder::new()
        .prefix(&prefix)
        .suffix(TEMPORARY_SUFFIX)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    match existing {
        IfExists::Replace => file.persist(path)?,
        IfExists::Fail => file.persist_noclobber(path)?,
    };
    File::open(directory)?.sync_all()
}

/// Writes a file in the same way, with mode 0644 less umask, but without syncing it, for one that
/// is replaced several times a second and says nothing that is true after a crash of the machine.
/// The caller calls [`remove_leftovers`] once. Returns the identity of the new file.
///
/// # Errors
///
/// Those of the file system; an error without a number if `path` exists and is neither a regular
/// file nor a symbolic link. After an error `path` is unchanged.
pub(crate) fn replace_unsynced(path: &Path, content: &[u8]) -> io::Result<FileId> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file() && !found.is_symlink()) {
        return Err(io::Error::other("not a regular file"));
    }
    // The errors of tempfile contain the path, and users see these errors.
    let temporary = temporary_path(path)?;
    let mut file = File::options().write(true).create_new(true).mode(0o644).open(&temporary)?;
    let result = file
        .write_all(content)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| Ok(FileId::of(&file.metadata()?)));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Removes the file `path` if it is still the file `id`. A file that takes its place meanwhile stays.
pub(crate) fn remove_if_same(path: &Path, id: FileId) {
    let is_same =
        |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| FileId::of(&found) == id);
    let Ok(temporary) = temporary_path(path) else { return };
    if is_same(path) && fs::rename(path, &temporary).is_ok() {
        if !is_same(&temporary) {
            // Fails if there is an even newer file.
            let _ = fs::hard_link(&temporary, path);
        }
        let _ = fs::remove_file(&temporary);
    }
}

/// Locks the directory of `path` (flock(2)) until the result is dropped, so that one of several processes
/// at a time replaces what has the name `path`. Leaves no file behind, whatever ends the process.
///
/// Returns `None` if the directory cannot be locked: this process may not read it, its file system has no
/// locks, or somebody else has kept it locked for `limit`.
pub(crate) fn lock_directory(path: &Path, limit: Duration) -> Option<Flock<File>> {
    let (directory, _) = split(path).ok()?;
    let mut unlocked = File::open(directory).ok()?;
    let deadline = Instant::now() + limit;
    loop {
        match Flock::lock(unlocked, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((directory, Errno::EWOULDBLOCK)) if Instant::now() < deadline => {
                unlocked = directory;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(_) => return None,
        }
    }
}

/// Removes the temporary files of [`replace_atomically`] and [`replace_unsynced`] for `path` whose
/// writers no longer exist.
pub(crate) fn remove_leftovers(path: &Path) {
    let Ok((directory, name)) = split(path) else { return };
    let prefix = temporary_prefix(name);
    let writer = |file: &OsStr| -> Option<i32> {
        let middle = file.to_str()?.strip_prefix(prefix.to_str()?)?;
        let (pid, random) = middle.strip_suffix(TEMPORARY_SUFFIX)?.split_once('.')?;
        // With another dot the file belongs to another name.
        if random.contains('.') { None } else { pid.parse().ok() }
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if let Some(pid) = writer(&entry.file_name())
            && super::process::exists(pid).is_ok_and(|exists| !exists)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Fails unless the metadata is that of a regular file.
///
/// # Errors
///
/// `EISDIR` for a directory, `InvalidInput` for anything else.
pub(crate) fn require_regular(metadata: &Metadata) -> io::Result<()> {
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file")),
    }
}

const TEMPORARY_SUFFIX: &str = ".tmp";

/// The temporary name is this, the writer's PID, a dot, random letters or digits, and the suffix.
fn temporary_prefix(name: &OsStr) -> OsString {
    [OsStr::new("."), name, OsStr::new(".")].into_iter().collect()
}

/// A name beside `path` that no other process uses, not even one with this PID in another PID
/// namespace.
fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    let (directory, name) = split(path)?;
    let pid = std::process::id();
    let random = RandomState::new().hash_one(pid);
    let mut temporary = temporary_prefix(name);
    temporary.push(format!("{pid}.{random:x}{TEMPORARY_SUFFIX}"));
    Ok(directory.join(temporary))
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => Ok((Path::new("."), name)),
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        replace_atomically(&path, b"1", 0o600, IfExists::Fail).unwrap();
        let error = replace_atomically(&path, b"2", 0o644, IfExists::Fail).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let left = |name: String| {
            let path = scratch.path().join(name);
            fs::write(&path, "").unwrap();
            path
        };
        // No process has this number.
        let killed = left(".a.99999999.Ab12Cd.tmp".to_owned());
        let others = [
            left(".a.1.99999999.Ab12Cd.tmp".to_owned()),
            left(".a.conf.99999999.Ab12Cd.tmp".to_owned()),
            left(format!(".a.{}.Ab12Cd.tmp", std::process::id())),
        ];
        replace_atomically(&path, b"3", 0o644, IfExists::Replace).unwrap();
        assert!(!killed.exists());
        for other in others {
            fs::remove_file(other).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "3");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        let error = replace_atomically(scratch.path(), b"", 0o644, IfExists::Replace).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn writers_of_one_file_are_no_trouble_to_each_other() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        let contents = [b"1".to_vec(), b"2".repeat(10_000)];
        std::thread::scope(|scope| {
            for content in &contents {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        replace_unsynced(&path, content).unwrap();
                        assert!(contents.contains(&fs::read(&path).unwrap()));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn file_that_takes_the_place_of_another_is_not_removed_as_that() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        for _ in 0..1000 {
            let old = replace_unsynced(&path, b"1").unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| remove_if_same(&path, old));
                replace_unsynced(&path, b"2").unwrap();
            });
            assert_eq!(fs::read(&path).unwrap(), b"2");
        }
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
