//! The pid file and the info file: written in place, removed if they are still this server's.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{report_write_error, stderr};
use crate::config::Config;
use crate::console::event::Role;
use crate::server::os::listening_socket::ListeningSocket;
use crate::server::writers::files::OwnedFile;
use crate::sys::process;

/// The paths of both files and what they are to hold.
fn file_contents<'a>(
    config: &'a Config,
    pid: i32,
    listeners: &[ListeningSocket],
) -> [(Option<&'a PathBuf>, Vec<u8>); 2] {
    let mut info = format!("pid:{pid}\n").into_bytes();
    // The file is procServ's, which has no endpoints for programs.
    for listener in listeners.iter().filter(|listener| listener.role != Role::Api) {
        info.extend_from_slice(&listener.endpoint.to_bytes());
        info.push(b'\n');
    }
    [
        (config.files.pid.as_ref(), format!("{pid}\n").into_bytes()),
        (config.files.info.as_ref(), info),
    ]
}

/// Writes the pid file and the info file.
pub(crate) fn write_files(
    config: &Config,
    pid: i32,
    listeners: &[ListeningSocket],
) -> Vec<OwnedFile> {
    let argv0 = config.argv0.as_bytes();
    let [(pid_file, pid_text), (info_file, info_text)] = file_contents(config, pid, listeners);
    let mut files = Vec::new();
    if let Some(path) = pid_file {
        if !config.quiet
            && let Some(other) = running_server(path, pid)
        {
            let line = format!(" names process {other}, another server that is running\n");
            stderr(&[argv0, b": PID file ", path.as_os_str().as_bytes(), line.as_bytes()].concat());
        }
        match OwnedFile::write(path, pid_text) {
            Ok(file) => files.extend(file),
            Err(_) => report_write_error(argv0, b"unable to open PID file", path),
        }
    }
    if let Some(path) = info_file {
        // procServ does not report this either.
        files.extend(OwnedFile::write(path, info_text).ok().flatten());
    }
    files
}

/// The files that the daemon's parent, or the program before this one, has written. Nobody has looked at
/// them yet.
pub(crate) fn written_files(
    config: &Config,
    pid: i32,
    listeners: &[ListeningSocket],
) -> Vec<OwnedFile> {
    let contents = file_contents(config, pid, listeners);
    let written =
        contents.into_iter().filter_map(|(path, content)| Some(OwnedFile::written(path?, content)));
    written.collect()
}

/// The PID that a pid file names, if that is a running server like this one.
fn running_server(path: &Path, own: i32) -> Option<i32> {
    // Reading another kind of file, /dev/stdout perhaps, could block for ever.
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let pid: i32 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let comm = |pid: i32| fs::read(format!("/proc/{pid}/comm")).ok();
    let same = pid != own && process::exists(pid).is_ok_and(|exists| exists);
    (same && comm(pid)? == comm(i32::try_from(std::process::id()).ok()?)?).then_some(pid)
}
