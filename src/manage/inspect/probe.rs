//! What of an instance lives. Nobody is connected to and nobody is asked: the server's info file,
//! its status file if it writes one, and `/proc`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use super::proc::{self, Clock, Process};
use crate::manage::files;
use crate::manage::registry::{Instance, Registry};

/// A server that wrote an info file.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerStatus {
    /// The file.
    pub(crate) info: PathBuf,
    /// The PID in it.
    pub(crate) pid: i32,
    /// The endpoints in it, in procServ's notation, from its end: there the server has its control
    /// endpoints, and the log endpoint before all.
    pub(crate) endpoints: Vec<String>,
    /// The process, if it lives and is the server.
    pub(crate) server: Option<Process>,
    /// When the server was started.
    pub(crate) since: Option<SystemTime>,
    /// The server's child, if it has one.
    pub(crate) child: Option<Process>,
    /// When the child was started.
    pub(crate) child_since: Option<SystemTime>,
    /// What the server says in its status file.
    pub(crate) status: Option<Value>,
}

impl ServerStatus {
    /// Whether nobody can type there, as far as the server says it.
    pub(crate) fn is_log(&self, endpoint: &str) -> bool {
        let all = self.status.as_ref().and_then(|status| status.get("endpoints")?.as_array());
        let text = |it: &Value, key| it.get(key).and_then(Value::as_str).map(str::to_owned);
        all.into_iter().flatten().any(|it| {
            text(it, "role").as_deref() == Some("logger")
                && text(it, "endpoint").as_deref() == Some(endpoint)
        })
    }

    /// In one word.
    pub(crate) fn state(&self) -> &str {
        let said = self.status.as_ref().and_then(|status| status.pointer("/child/state"));
        match (&self.server, said.and_then(Value::as_str), &self.child) {
            (None, ..) if proc::is_hidden(self.pid) => "hidden",
            (None, ..) => "dead",
            (_, Some(said), _) => said,
            (_, None, Some(_)) => "running",
            (_, None, None) => "down",
        }
    }
}

/// What lives of `instance`. `None` without an info file: it was stopped in good order, or never
/// started.
pub(crate) fn probe(
    registry: &Registry,
    instance: &Instance,
    clock: Option<Clock>,
) -> Option<ServerStatus> {
    let run = registry.run_directory(&instance.name);
    let (mut info, mut status) = (run.join("info"), run.join("status"));
    if instance.options.iter().any(|word| may_move_files(word))
        && let Ok(config) = instance.server_config(registry)
    {
        info = config.files.info.unwrap_or(info);
        status = config.files.status.unwrap_or(status);
    }
    let mut live = read_info(&registry.server_directory(), &info)?;
    if let Some(server) = &live.server {
        live.status = read_status(&registry.server_directory().join(status), server.pid);
        live.child = child(server.pid, live.status.as_ref());
        live.since = clock.map(|clock| clock.start(server));
        live.child_since = live.child.as_ref().and_then(|child| Some(clock?.start(child)));
    }
    Some(live)
}

/// Whether a word of a command line may be `--info-file`, `--status-file` or `-I`, all of which may
/// be abbreviated or joined. Reading all options takes longer than all else of a probe.
fn may_move_files(word: &str) -> bool {
    word.starts_with("--i")
        || word.starts_with("--s")
        || (word.starts_with('-') && !word.starts_with("--") && word.contains('I'))
}

/// Whether this user may not see what there is of an instance.
pub(crate) fn is_hidden(registry: &Registry, instance: &Instance) -> bool {
    let run = fs::read_dir(registry.run_directory(&instance.name));
    run.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// What an info file says, and whether the server of it lives. `info` is what that was told, and
/// `directory` where it was started.
fn read_info(directory: &Path, info: &Path) -> Option<ServerStatus> {
    let path = directory.join(info);
    let text = files::read(&path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let pid = text.lines().find_map(|line| line.strip_prefix("pid:"))?.trim().parse().ok()?;
    let server = proc::process(pid).filter(|process| owns_info_file(process, info));
    // One that ended in good order meanwhile has removed its file before.
    if server.is_none() && !path.exists() {
        return None;
    }
    let endpoints =
        text.lines().rev().filter(|line| !line.starts_with("pid:") && line.contains(':'));
    let endpoints = endpoints.map(str::to_owned).collect();
    Some(ServerStatus { info: path, pid, endpoints, server, ..ServerStatus::default() })
}

/// Whether a process is a server, and the one that was told to keep this info file. The file may be
/// a dead server's, whose PID is another's by now, and an instance's user may write into it whatever
/// he likes.
fn owns_info_file(process: &Process, info: &Path) -> bool {
    let info = info.as_os_str().as_bytes();
    process.comm == "procServ"
        && proc::arguments(process.pid).iter().any(|word| word.as_bytes().ends_with(info))
}

/// What a server with this PID says in its status file.
fn read_status(path: &Path, server: i32) -> Option<Value> {
    let status: Value = serde_json::from_slice(&files::read(path).ok()?).ok()?;
    (status.get("pid")?.as_i64() == Some(server.into())).then_some(status)
}

/// The child that a server says it has, if it is one of its processes. If it says nothing, the one
/// that it started first.
fn child(server: i32, status: Option<&Value>) -> Option<Process> {
    let children = proc::children(server);
    let Some(status) = status else {
        return children.into_iter().find_map(proc::process);
    };
    let pid = status.pointer("/child/pid")?.as_i64()?;
    let pid = i32::try_from(pid).ok()?;
    // A server that was restarted goes on with the child of the one before.
    let is_its =
        children.contains(&pid) || proc::control_groups(pid)? == proc::control_groups(server)?;
    proc::process(pid).filter(|_| is_its)
}
