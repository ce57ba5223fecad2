//! The server and the child of an instance: from the server's info file, its status file, if it
//! writes one, and `/proc`. No connection is opened.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::unistd::{AccessFlags, access};
use serde_json::Value;

use super::proc::{self, Clock, Process};
use crate::manage::files;
use crate::manage::registry::{Instance, Registry};

/// A server that has written an info file, and may have ended since.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerStatus {
    /// The path of the info file.
    pub(crate) info: PathBuf,
    /// The PID in the info file.
    pub(crate) pid: i32,
    /// The endpoints in the info file, in procServ's notation and in reverse order: the control
    /// endpoints come first then, and the log endpoint last.
    pub(crate) endpoints: Vec<String>,
    /// The endpoints `raw` and `view` of the run directory, which every instance has.
    pub(crate) standard_endpoints: Vec<String>,
    /// The console without telnet, if the server has it.
    pub(crate) raw: Option<ConsoleSocket>,
    /// The console where one can only watch, if the server has it.
    pub(crate) view: Option<ConsoleSocket>,
    /// The process of the server, if it has not ended.
    pub(crate) server: Option<Process>,
    pub(crate) since: Option<SystemTime>,
    pub(crate) child: Option<Process>,
    pub(crate) child_since: Option<SystemTime>,
    /// The content of the status file.
    pub(crate) status: Option<Value>,
}

/// A console in the run directory.
#[derive(Debug, Clone)]
pub(crate) struct ConsoleSocket {
    pub(crate) path: PathBuf,
    /// True if the caller may connect.
    pub(crate) is_permitted: bool,
}

impl ConsoleSocket {
    fn of(path: PathBuf) -> ConsoleSocket {
        // connect(2) asks for no more than the right to write (unix(7)).
        let is_permitted = access(&path, AccessFlags::W_OK).is_ok();
        ConsoleSocket { path, is_permitted }
    }
}

impl ServerStatus {
    /// Returns true if the status file calls `endpoint` a log endpoint, which accepts no input.
    pub(crate) fn is_log(&self, endpoint: &str) -> bool {
        let all = self.status.as_ref().and_then(|status| status.get("endpoints")?.as_array());
        let text = |it: &Value, key| it.get(key).and_then(Value::as_str).map(str::to_owned);
        all.into_iter().flatten().any(|it| {
            text(it, "role").as_deref() == Some("logger")
                && text(it, "endpoint").as_deref() == Some(endpoint)
        })
    }

    /// The endpoints in the info file, those of the run directory that every instance has last.
    pub(crate) fn all_endpoints(&self) -> Vec<String> {
        [&self.endpoints[..], &self.standard_endpoints[..]].concat()
    }

    /// Returns true if there may be a server which the caller may not see.
    pub(crate) fn is_hidden(&self) -> bool {
        self.server.is_none() && proc::is_hidden(self.pid)
    }
}

/// The server of `instance`. `None` without an info file: the server was stopped in good order, or
/// never started.
pub(crate) fn probe(
    registry: &Registry,
    instance: &Instance,
    clock: Option<Clock>,
) -> Option<ServerStatus> {
    let (info, status) = file_names(registry, instance);
    let run = registry.run_directory(&instance.name);
    read(&run, &registry.in_root(&instance.chdir), &info, &status, clock)
}

/// The paths of the info file and of the status file of an instance.
pub(crate) fn files(registry: &Registry, instance: &Instance) -> (PathBuf, PathBuf) {
    let directory = registry.in_root(&instance.chdir);
    let (info, status) = file_names(registry, instance);
    (directory.join(info), directory.join(status))
}

/// The same as they are on the command line of the server.
fn file_names(registry: &Registry, instance: &Instance) -> (PathBuf, PathBuf) {
    let (mut info, mut status) = files_by_name(registry, &instance.name);
    if instance.options.iter().any(|word| may_move_files(word))
        && let Ok(config) = instance.server_config(registry)
    {
        info = config.files.info.unwrap_or(info);
        status = config.files.status.unwrap_or(status);
    }
    (info, status)
}

/// The info file and the status file in the run directory of `name`.
pub(crate) fn files_by_name(registry: &Registry, name: &str) -> (PathBuf, PathBuf) {
    let run = registry.run_directory(name);
    (run.join("info"), run.join("status"))
}

/// Reads the info file and the status file of a server. `run` is the run directory of the instance, and
/// `directory` the server's working directory.
fn read(
    run: &Path,
    directory: &Path,
    info: &Path,
    status: &Path,
    clock: Option<Clock>,
) -> Option<ServerStatus> {
    let mut live = read_info(directory, info)?;
    let [raw, view] = ["raw", "view"].map(|name| {
        let path = run.join(name);
        (format!("{name}:unix:{}", path.display()), path)
    });
    (live.standard_endpoints, live.endpoints) =
        live.endpoints.into_iter().partition(|endpoint| [&raw.0, &view.0].contains(&endpoint));
    live.standard_endpoints.sort();
    if live.server.is_some() || live.is_hidden() {
        let socket = |(endpoint, path)| {
            live.standard_endpoints.contains(&endpoint).then(|| ConsoleSocket::of(path))
        };
        (live.raw, live.view) = (socket(raw), socket(view));
    }
    if let Some(server) = &live.server {
        live.status = read_status(&directory.join(status), server.pid);
        live.child = child(server.pid, live.status.as_ref());
        live.since = clock.map(|clock| clock.start(server));
        live.child_since = live.child.as_ref().and_then(|child| Some(clock?.start(child)));
    }
    Some(live)
}

/// The server whose files are in the run directory of `name`, whatever the configuration says.
pub(crate) fn probe_by_name(
    registry: &Registry,
    name: &str,
    clock: Option<Clock>,
) -> Option<ServerStatus> {
    let (info, status) = files_by_name(registry, name);
    let run = registry.run_directory(name);
    read(&run, &run, &info, &status, clock)
}

/// Returns true if a word of a command line may be `--info-file`, `--status-file` or `-I`, all of
/// which may be abbreviated or joined. Parsing all options takes longer than the rest of a probe.
fn may_move_files(word: &str) -> bool {
    word.starts_with("--i")
        || word.starts_with("--s")
        || (word.starts_with('-') && !word.starts_with("--") && word.contains('I'))
}

/// Returns true if this user may not read the run directory of an instance.
pub(crate) fn is_hidden(registry: &Registry, name: &str) -> bool {
    let run = fs::read_dir(registry.run_directory(name));
    run.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// Reads an info file and looks for its server. `info` is the path on the command line of the
/// server, and `directory` the server's working directory.
fn read_info(directory: &Path, info: &Path) -> Option<ServerStatus> {
    let path = directory.join(info);
    let text = files::read(&path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let pid = text.lines().find_map(|line| line.strip_prefix("pid:"))?.trim().parse().ok()?;
    let server = proc::process(pid).filter(|process| owns_info_file(process, info));
    // A server that has ended in good order meanwhile has removed its file.
    if server.is_none() && !path.exists() {
        return None;
    }
    let endpoints =
        text.lines().rev().filter(|line| !line.starts_with("pid:") && line.contains(':'));
    let endpoints = endpoints.map(str::to_owned).collect();
    Some(ServerStatus { info: path, pid, endpoints, server, ..ServerStatus::default() })
}

/// Returns true if a process is a server whose command line has this info file. The file may be
/// that of a dead server, whose PID another process has by now, and the user of an instance may
/// write anything into the file.
fn owns_info_file(process: &Process, info: &Path) -> bool {
    let info = info.as_os_str().as_bytes();
    process.comm == "procServ"
        && proc::arguments(process.pid).iter().any(|word| word.as_bytes().ends_with(info))
}

/// The version of the status file that is understood here.
const STATUS_VERSION: u64 = 1;

/// Reads a status file, which has to be that of the server with this PID, and of a version whose
/// fields mean the same.
fn read_status(path: &Path, server: i32) -> Option<Value> {
    let status: Value = serde_json::from_slice(&files::read(path).ok()?).ok()?;
    let is_known = status.get("v")?.as_u64() == Some(STATUS_VERSION);
    (is_known && status.get("pid")?.as_i64() == Some(server.into())).then_some(status)
}

/// The child in the status file of a server, if that process belongs to the server. Without a
/// status file, the first child of the server.
fn child(server: i32, status: Option<&Value>) -> Option<Process> {
    let children = proc::children(server);
    let Some(status) = status else {
        return children.into_iter().find_map(proc::process);
    };
    let pid = status.pointer("/child/pid")?.as_i64()?;
    let pid = i32::try_from(pid).ok()?;
    // After a crash the next server takes over the child, whose parent is another process then.
    let belongs =
        children.contains(&pid) || proc::control_groups(pid)? == proc::control_groups(server)?;
    proc::process(pid).filter(|_| belongs)
}
