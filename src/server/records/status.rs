//! The content of the status file. What it has is told in docs/status.md.

use serde::Serialize;

use super::{ClientJson, EndpointJson, VERSION};
use crate::config::RestartMode;
use crate::console::Console;
use crate::console::child::status::ChildPhase;
use crate::sys::time;

#[derive(Serialize)]
struct Status<'a> {
    v: u32,
    version: &'a str,
    pid: u32,
    started: String,
    name: &'a str,
    argv: &'a [String],
    leaving: bool,
    mode: &'static str,
    restarts: u64,
    child: Child,
    endpoints: &'a [EndpointJson],
    clients: Vec<ConnectedClient<'a>>,
}

#[derive(Serialize)]
struct Child {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
}

/// A client that is connected.
#[derive(Serialize)]
pub(crate) struct ConnectedClient<'a> {
    #[serde(flatten)]
    pub(crate) client: ClientJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
}

/// All of it, with a line end.
pub(crate) fn text(
    console: &Console,
    fixed: &super::ServerInfo,
    clients: Vec<ConnectedClient<'_>>,
) -> Vec<u8> {
    let status = console.status();
    let running = console.child();
    let state = match status.child {
        ChildPhase::Running(_) => "running",
        ChildPhase::StartPending => "due",
        ChildPhase::Stopped => "by_hand",
        ChildPhase::ExitPending => "last",
    };
    let status = Status {
        v: VERSION,
        version: crate::VERSION,
        pid: fixed.pid,
        started: time::rfc3339_seconds(fixed.started),
        name: &fixed.name,
        argv: &fixed.argv,
        leaving: status.leaving,
        mode: match status.mode {
            RestartMode::On => "ON",
            RestartMode::Off => "OFF",
            RestartMode::Oneshot => "ONESHOT",
        },
        restarts: console.restarts(),
        child: Child {
            state,
            pid: running.map(|child| child.pid),
            started: running.map(|child| time::rfc3339_seconds(child.started.0)),
            ready: running.map(|_| console.child_is_ready()),
        },
        endpoints: &fixed.endpoints,
        clients,
    };
    // Nothing in it can fail: all keys are texts.
    let mut text = serde_json::to_vec_pretty(&status).unwrap_or_default();
    text.push(b'\n');
    text
}
