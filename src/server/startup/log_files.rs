//! Opening the log at the start.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::report_write_error;
use crate::config::Config;
use crate::sys::{file, time};

/// Opens the log at `path`, after an old one was moved aside if that is wanted. A failure is reported
/// on stderr.
///
/// # Errors
/// The log cannot be opened.
pub(super) fn open_log(config: &Config, path: &Path) -> io::Result<File> {
    if config.log.save {
        save_log(config, path);
    }
    let log = file::open_append(path);
    if log.is_err() {
        report_write_error(config.argv0.as_bytes(), b"unable to open log file", path);
    }
    log
}

/// `--savelog`: renames an existing log so that its name has the time of its last change, and never
/// replaces another file.
fn save_log(config: &Config, path: &Path) {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    if !metadata.is_file() {
        return;
    }
    let stamp = time::format(metadata.mtime(), ".%Y%m%d-%H%M%S");
    let base = [path.as_os_str().as_bytes(), stamp.as_bytes()].concat();
    for number in 0..10_000 {
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let saved = PathBuf::from(OsString::from_vec([&*base, suffix.as_bytes()].concat()));
        // link(2) fails where rename(2) would replace a file.
        match fs::hard_link(path, &saved) {
            Ok(()) if fs::remove_file(path).is_ok() => return,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Some file systems have no links.
            Err(_) if !saved.exists() && fs::rename(path, &saved).is_ok() => return,
            _ => break,
        }
    }
    report_write_error(config.argv0.as_bytes(), b"unable to save log file", path);
}
