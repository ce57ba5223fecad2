//! Reading files that other users may have put in place, writing files, and removing files.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::manage::error::CommandError;
use crate::manage::limits::FILE_MAX;
use crate::sys::file::{IfExists, remove_leftovers, replace_atomically, require_regular};

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
    let file = open(path)?;
    let mut content = Vec::new();
    file.take(length).read_to_end(&mut content)?;
    Ok(content)
}

/// Opens a regular file for reading, without blocking.
///
/// # Errors
/// Those of open(2); `InvalidInput` or `EISDIR` for other kinds of files.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Opening a device may have an effect.
    require_regular(&path.metadata()?)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    require_regular(&file.metadata()?)?;
    Ok(file)
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

/// Makes a directory that all may read, and those above it.
///
/// # Errors
/// Those of mkdir(2).
pub(crate) fn make_directory(path: &Path) -> Result<(), CommandError> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| CommandError::file(path, &error))
}

/// Writes files with mode 0644 less umask. Each is there whole or not at all, even if the machine
/// crashes. Of many files no name is given before all are on the disk.
///
/// # Errors
/// The first file that can't be written, or that exists if `existing` is [`IfExists::Fail`]. Then
/// others may have been written.
pub(crate) fn write_all(
    files: &[(PathBuf, String)],
    existing: IfExists,
) -> Result<(), CommandError> {
    if let [(path, content)] = files {
        return replace_atomically(path, content.as_bytes(), 0o644, existing)
            .map_err(|error| CommandError::file(path, &error));
    }
    let mut written = Vec::new();
    for (path, content) in files {
        let place = temporary(path, 0o644).and_then(|mut file| {
            file.write_all(content.as_bytes())?;
            Ok(file.into_temp_path())
        });
        written.push(place.map_err(|error| CommandError::file(path, &error))?);
    }
    let mut directories: Vec<&Path> = files.iter().filter_map(|(path, _)| path.parent()).collect();
    directories.dedup();
    let sync = |how: fn(&File) -> io::Result<()>| {
        directories.iter().try_for_each(|path| {
            let done = File::open(path).and_then(|directory| how(&directory));
            done.map_err(|error| CommandError::file(path, &error))
        })
    };
    sync(sync_file_system)?;
    for ((path, _), place) in files.iter().zip(written) {
        let named = match existing {
            IfExists::Replace => place.persist(path),
            IfExists::Fail => place.persist_noclobber(path),
        };
        named.map_err(|failure| CommandError::file(path, &failure.error))?;
    }
    sync(File::sync_all)
}

/// Has all of a file system on the disk: once for a thousand files.
fn sync_file_system(directory: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::unistd::syncfs(directory)?;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        nix::unistd::sync();
    }
    Ok(())
}

/// Replaces the content of a file. Its owner and its permissions stay, and a symbolic link stays one.
/// With `backup` the old file is kept beside it, with `.bak` behind its name.
///
/// # Errors
/// Those of the file system. After an error the file is unchanged.
pub(crate) fn rewrite(path: &Path, content: &str, backup: bool) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let old = path.metadata()?;
    require_regular(&old)?;
    let keep_owner = |file: &File| {
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
    };
    let mut old_name = path.clone().into_os_string();
    old_name.push(".bak");
    let old_content = (PathBuf::from(old_name), read(&path)?);
    let new_content = (path.clone(), content.as_bytes().to_vec());
    let files = [backup.then_some(old_content), Some(new_content)];
    for (place, bytes) in files.into_iter().flatten() {
        remove_leftovers(&place);
        let mut file = temporary(&place, 0o600)?;
        file.write_all(&bytes)?;
        keep_owner(file.as_file())?;
        file.as_file().sync_all()?;
        file.persist(place)?;
    }
    Ok(())
}

/// Makes a file beside `path`, which is or becomes a regular file, under a name that nobody reads. It
/// is removed when the result is dropped, or by [`remove_leftovers`].
fn temporary(path: &Path, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    match path.metadata() {
        Ok(metadata) => require_regular(&metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new()
        .prefix(&format!(".{name}.{}.", std::process::id()))
        .suffix(".tmp")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(path.parent().unwrap_or(Path::new("/")))
}
