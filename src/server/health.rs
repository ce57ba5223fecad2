//! `--health`: how a server is, for the probes of containers. It is in this program, as an image of a
//! container has no other.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;

use super::records::FORMAT_VERSION;
use crate::limits::STATUS_FILE_MAX;
use crate::sys;

/// A line for standard output, and the exit status: 0 if the server of this status file runs and
/// its child is ready, else 1. Docker's `HEALTHCHECK` knows no other statuses.
pub fn answer(status_file: &Path) -> (Vec<u8>, u8) {
    let (line, code) = match check(status_file) {
        Ok(()) => ("the child runs and is ready".to_owned(), 0),
        Err(reason) => (reason, 1),
    };
    (format!("{line}\n").into_bytes(), code)
}

/// # Errors
/// Why the child is not ready, or is not known to be.
fn check(path: &Path) -> Result<(), String> {
    let text =
        read(path).map_err(|error| format!("{}: {}", path.display(), sys::reason(&error)))?;
    let status: Value = serde_json::from_slice(&text)
        .map_err(|_| format!("{}: is not a status file", path.display()))?;
    let version = status.get("v").and_then(Value::as_u64);
    if version != Some(FORMAT_VERSION.into()) {
        return Err(format!("{}: is not of version {FORMAT_VERSION}", path.display()));
    }
    let pid = status.get("pid").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
    let runs = |pid: &i32| *pid > 0 && kill(Pid::from_raw(*pid), None) != Err(Errno::ESRCH);
    if !pid.as_ref().is_some_and(runs) {
        return Err("the server does not run".to_owned());
    }
    if status.get("leaving") != Some(&Value::Bool(false)) {
        return Err("the server is about to exit".to_owned());
    }
    match status.pointer("/child/state").and_then(Value::as_str) {
        Some("running") => {}
        Some("by_hand") => return Err("there is no child until a user starts one".to_owned()),
        _ => return Err("there is no child at the moment".to_owned()),
    }
    match status.pointer("/child/ready") {
        Some(Value::Bool(true)) => Ok(()),
        _ => Err("the child runs and is not ready".to_owned()),
    }
}

/// Reads a regular file, without waiting for the writer of a FIFO.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    sys::file::require_regular(&file.metadata()?)?;
    let mut text = Vec::new();
    file.take(STATUS_FILE_MAX).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_child_that_is_ready_is_healthy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status");
        let good = json!({
            "v": 1, "pid": std::process::id(), "leaving": false,
            "child": { "state": "running", "pid": 7, "ready": true },
        });
        let said = |change: fn(&mut Value)| {
            let mut status = good.clone();
            change(&mut status);
            std::fs::write(&path, status.to_string()).unwrap();
            check(&path).map_err(|reason| reason.replace(path.to_str().unwrap(), "PATH"))
        };
        assert_eq!(said(|_| {}), Ok(()));
        assert_eq!(said(|status| status["more"] = json!("of a later version")), Ok(()));
        type Case = (fn(&mut Value), &'static str);
        let cases: [Case; 11] = [
            (|status| status["v"] = json!(2), "PATH: is not of version 1"),
            (|status| status["v"] = json!("1"), "PATH: is not of version 1"),
            (|status| *status = json!([1]), "PATH: is not of version 1"),
            (|status| status["pid"] = json!(-1), "the server does not run"),
            (|status| status["pid"] = json!(1_u64 << 40), "the server does not run"),
            (|status| status["leaving"] = json!(true), "the server is about to exit"),
            (|status| status["child"]["state"] = json!("due"), "there is no child at the moment"),
            (
                |status| status["child"]["state"] = json!("by_hand"),
                "there is no child until a user starts one",
            ),
            (|status| status["child"] = json!(null), "there is no child at the moment"),
            (|status| status["child"]["ready"] = json!(false), "the child runs and is not ready"),
            (|status| status["child"]["ready"] = json!("yes"), "the child runs and is not ready"),
        ];
        for (change, reason) in cases {
            assert_eq!(said(change), Err(reason.to_owned()));
        }
    }

    #[test]
    fn what_is_no_status_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status");
        let answer = |path: &Path| {
            let (line, code) = answer(path);
            (String::from_utf8(line).unwrap().replace(path.to_str().unwrap(), "PATH"), code)
        };
        assert_eq!(answer(&path), ("PATH: No such file or directory\n".to_owned(), 1));
        std::fs::write(&path, "{\"v\":1,\"pid\":1,").unwrap();
        assert_eq!(answer(&path), ("PATH: is not a status file\n".to_owned(), 1));
        assert_eq!(answer(directory.path()), ("PATH: Is a directory\n".to_owned(), 1));
        nix::unistd::mkfifo(&directory.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let fifo = directory.path().join("fifo");
        assert_eq!(answer(&fifo), ("PATH: is not a regular file\n".to_owned(), 1));
    }
}
