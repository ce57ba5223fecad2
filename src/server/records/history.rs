//! What the status file says of the past: how the last children ended and who or what caused it, how
//! the last server ended, and how many upgrades and crashes there were.
//!
//! Causes come from the same entries as the events. A command or signal counts as the cause of the
//! next end of a child that ran at that time; a request to replace the child as that of the old
//! one's.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::json::{ClientInfo, ExitJson, client_json, command_name};
use crate::console::audit::{AuditEvent, Command};
use crate::console::event::{ClientId, ExitStatus};
use crate::handover::state::{HistoryState, RecordedChild};
use crate::limits::{ENDS_KEPT, STATUS_FILE_MAX};
use crate::server::os::SignalSender;
use crate::sys::{process, time};

/// The past of children and servers.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The last ends of children, newest first.
    ends: VecDeque<Value>,
    /// The children that run, the newest one last.
    children: Vec<Running>,
    /// The last request to replace the child, as a cause.
    reload: Option<Value>,
    upgrades: u64,
    crashes: u64,
    last_server: Option<Value>,
    /// Bytes of output that clients were not sent, as they read too slowly.
    skipped: u64,
    /// Counts the changes.
    revision: u64,
}

#[derive(Debug)]
struct Running {
    pid: i32,
    /// When it was started, in milliseconds since the epoch.
    started: i64,
    /// What was done last that may end it.
    cause: Option<Value>,
}

/// The status file that a server left behind, as no server does that comes to an orderly end.
#[derive(Debug)]
pub(crate) struct LeftStatus {
    content: Value,
    /// When it was written, in seconds since the epoch.
    written: i64,
}

impl LeftStatus {
    /// Reads the status file at `path`, if there is one of a server that does not run any more. To
    /// be called before this server writes the file.
    pub(crate) fn read(path: &Path) -> Option<LeftStatus> {
        // A FIFO or device is not even opened.
        let metadata = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
        let mut text = Vec::new();
        File::open(path).ok()?.take(STATUS_FILE_MAX).read_to_end(&mut text).ok()?;
        let content: Value = serde_json::from_slice(&text).ok()?;
        let pid = i32::try_from(content.get("pid")?.as_i64()?).ok().filter(|&pid| pid > 0)?;
        // In a container, the server before this one may have had the same PID.
        let is_gone =
            pid == process::own_pid() || kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH);
        let written = std::os::unix::fs::MetadataExt::mtime(&metadata);
        is_gone.then_some(LeftStatus { content, written })
    }
}

impl History {
    /// The past as plain data.
    pub(super) fn snapshot(&self) -> HistoryState {
        let children = self.children.iter().map(|child| RecordedChild {
            pid: child.pid,
            started: child.started,
            cause: child.cause.as_ref().map(Value::to_string),
        });
        HistoryState {
            ends: self.ends.iter().map(Value::to_string).collect(),
            children: children.collect(),
            reload: self.reload.as_ref().map(Value::to_string),
            upgrades: self.upgrades,
            crashes: self.crashes,
            last_server: self.last_server.as_ref().map(Value::to_string),
            skipped: self.skipped,
        }
    }

    /// Goes on from a snapshot.
    pub(super) fn restore(state: HistoryState) -> History {
        let value = |text: String| serde_json::from_str(&text).ok();
        let children = state.children.into_iter().map(|child| Running {
            pid: child.pid,
            started: child.started,
            cause: child.cause.and_then(value),
        });
        History {
            ends: state.ends.into_iter().filter_map(value).take(ENDS_KEPT).collect(),
            children: children.collect(),
            reload: state.reload.and_then(value),
            upgrades: state.upgrades,
            crashes: state.crashes,
            last_server: state.last_server.and_then(value),
            skipped: state.skipped,
            revision: 0,
        }
    }

    /// Goes on after a server that left its status file.
    pub(super) fn succeed(&mut self, left: LeftStatus) {
        let LeftStatus { content, written } = left;
        let field = |name| content.get(name).cloned().unwrap_or_default();
        self.last_server = Some(json!({
            "end": "crash",
            "pid": field("pid"),
            "version": field("version"),
            "started": field("started"),
            "last_change": time::rfc3339_seconds(written),
        }));
        if self.crashes == 0 && self.ends.is_empty() {
            self.crashes = field("crashes").as_u64().unwrap_or_default().saturating_add(1);
            if let Value::Array(ends) = field("ends") {
                self.ends = ends.into_iter().take(ENDS_KEPT).collect();
            }
        }
    }

    /// A number that changes whenever the past may have changed.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// The last ends of children, newest first.
    pub(super) fn ends(&self) -> &VecDeque<Value> {
        &self.ends
    }

    /// Returns how many upgrades in place there were.
    pub(super) fn upgrades(&self) -> u64 {
        self.upgrades
    }

    /// Returns how many servers in a row before this one came to no orderly end.
    pub(super) fn crashes(&self) -> u64 {
        self.crashes
    }

    /// Returns how many bytes of output clients were not sent, as they read too slowly.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The last server that came to no orderly end.
    pub(super) fn last_server(&self) -> Option<&Value> {
        self.last_server.as_ref()
    }

    /// Takes note of what the console did.
    pub(super) fn record_audit_event(
        &mut self,
        entry: &AuditEvent,
        clients: &BTreeMap<ClientId, ClientInfo>,
        millis: i64,
    ) {
        match *entry {
            AuditEvent::Command(
                id,
                command @ (Command::Kill | Command::Reload | Command::Quit),
                _,
            ) => {
                let cause = json!({
                    "by": "client",
                    "command": command_name(command),
                    "client": client_json(clients, id),
                    "time": time::rfc3339(millis),
                });
                self.set_cause(cause, command == Command::Reload);
            }
            AuditEvent::Started(pid) => {
                self.children.push(Running { pid, started: millis, cause: None });
            }
            AuditEvent::TerminalClosed(pid) => {
                let found = self.children.iter_mut().find(|child| child.pid == pid);
                if let Some(child) = found.filter(|child| child.cause.is_none()) {
                    let time = time::rfc3339(millis);
                    child.cause =
                        Some(json!({ "by": "server", "why": "terminal_closed", "time": time }));
                }
            }
            AuditEvent::Ended(pid, status) => {
                let at = self.children.iter().position(|child| child.pid == pid);
                // The older one of two was replaced.
                let is_old = at.is_some_and(|at| at + 1 < self.children.len());
                let child = at.map(|at| self.children.remove(at));
                let started = child.as_ref().map(|child| time::rfc3339(child.started));
                let reload = if is_old { self.reload.take() } else { None };
                // A child that ends closes its terminal first. The server then sends SIGKILL.
                let cause = child.and_then(|child| child.cause).filter(|cause| {
                    status == ExitStatus::Signal(libc::SIGKILL)
                        || cause.get("why") != Some(&json!("terminal_closed"))
                });
                let cause = cause.or(reload);
                let mut end = json!({
                    "pid": pid,
                    "started": started,
                    "time": time::rfc3339(millis),
                    "cause": cause.unwrap_or_else(|| json!({ "by": "itself" })),
                });
                if let (Some(end), Ok(Value::Object(how))) =
                    (end.as_object_mut(), serde_json::to_value(ExitJson::from(status)))
                {
                    end.extend(how);
                }
                self.ends.push_front(end);
                self.ends.truncate(ENDS_KEPT);
            }
            AuditEvent::Skipped(_, bytes) => self.skipped = self.skipped.saturating_add(bytes),
            AuditEvent::Upgraded => self.upgrades = self.upgrades.saturating_add(1),
            AuditEvent::Restarted => self.crashes = self.crashes.saturating_add(1),
            _ => return,
        }
        self.revision += 1;
    }

    /// Takes note of a signal to the server.
    pub(super) fn record_signal(
        &mut self,
        signal: &str,
        sender: Option<SignalSender>,
        millis: i64,
    ) {
        let is_reload = signal == "SIGUSR2";
        if is_reload || signal == "SIGTERM" {
            let mut cause =
                json!({ "by": "signal", "signal": signal, "time": time::rfc3339(millis) });
            if let (Some(sender), Some(cause)) = (sender, cause.as_object_mut()) {
                cause.insert("sender".to_owned(), json!(sender));
            }
            self.set_cause(cause, is_reload);
        }
    }

    fn set_cause(&mut self, cause: Value, is_reload: bool) {
        self.revision += 1;
        if is_reload {
            self.reload = Some(cause);
        } else {
            self.children.iter_mut().for_each(|child| child.cause = Some(cause.clone()));
        }
    }
}
