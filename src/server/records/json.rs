//! The line of JSON for each thing that happens. What it has is told in docs/events.md.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ServerInfo;
use crate::console::audit::Command;
use crate::console::event::{ClientId, DisconnectReason, ExitStatus, Role, Subsystem};
use crate::server::os::{PeerIdentity, SignalSender};
use crate::sys::time;

/// The version of both formats. A field that is added is no new version.
pub(super) const VERSION: u32 = 1;

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum EventBody<'a> {
    ServerStart(ServerJson<'a>),
    ServerRestart(ServerJson<'a>),
    ServerUpgrade {
        from: &'a str,
        to: &'a str,
    },
    UpgradeFailed {
        reason: &'a str,
    },
    ServerExit {
        status: u8,
    },
    Connect {
        client: ClientJson<'a>,
    },
    Disconnect {
        client: ClientJson<'a>,
        reason: &'a str,
    },
    Refuse {
        endpoint: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<String>,
        reason: &'a str,
    },
    Command {
        command: &'a str,
        client: ClientJson<'a>,
    },
    Signal {
        signal: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        sender: Option<SignalSender>,
    },
    ChildStart {
        pid: i32,
    },
    ChildStartFailed {
        reason: &'a str,
    },
    ChildReady {
        pid: i32,
    },
    ChildExit {
        pid: i32,
        #[serde(flatten)]
        end: ExitJson,
    },
    Trouble {
        with: &'a str,
        reason: &'a str,
    },
    Recovery {
        with: &'a str,
    },
    AcceptFailed {
        endpoint: &'a str,
        reason: &'a str,
    },
    Skipped {
        client: ClientJson<'a>,
        bytes: u64,
    },
    EventsLost {
        count: u64,
    },
}

/// A server that starts.
#[derive(Debug, Serialize)]
pub(crate) struct ServerJson<'a> {
    version: &'a str,
    pid: u32,
    name: &'a str,
    argv: &'a [String],
    endpoints: &'a [EndpointJson],
}

impl<'a> ServerJson<'a> {
    pub(super) fn new(server: &'a ServerInfo) -> ServerJson<'a> {
        let ServerInfo { pid, name, argv, endpoints, .. } = server;
        ServerJson { version: crate::VERSION, pid: *pid, name, argv, endpoints }
    }
}

/// How a child ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExitJson {
    Code(u8),
    Signal(i32),
    Status(&'static str),
}

impl From<ExitStatus> for ExitJson {
    fn from(status: ExitStatus) -> ExitJson {
        match status {
            ExitStatus::Code(code) => ExitJson::Code(code),
            ExitStatus::Signal(signal) => ExitJson::Signal(signal),
            ExitStatus::Unknown => ExitJson::Status("unknown"),
        }
    }
}

#[derive(Serialize)]
struct EventLine<'a> {
    v: u32,
    time: String,
    #[serde(flatten)]
    what: &'a EventBody<'a>,
}

/// The line, with its end, about what happened at that many milliseconds since the epoch.
pub(crate) fn line(what: &EventBody, millis: i64) -> Vec<u8> {
    let line = EventLine { v: VERSION, time: time::rfc3339(millis), what };
    // Nothing in it can fail: all keys are texts.
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text
}

pub(crate) fn command_name(command: Command) -> &'static str {
    match command {
        Command::Kill => "kill",
        Command::Toggle => "toggle",
        Command::Restart => "restart",
        Command::Reload => "reload",
        Command::Quit => "quit",
        Command::Logout => "logout",
    }
}

pub(crate) fn disconnect_reason_name(farewell: DisconnectReason) -> &'static str {
    match farewell {
        DisconnectReason::Closed => "closed",
        DisconnectReason::Failed => "failed",
        DisconnectReason::Logout => "logout",
        DisconnectReason::Exit => "server_exit",
    }
}

pub(crate) fn subsystem_name(duty: Subsystem) -> &'static str {
    match duty {
        Subsystem::Log => "log",
        Subsystem::Rotation => "log_rotate",
        Subsystem::Syslog => "syslog",
        Subsystem::Events => "events",
        Subsystem::Status => "status_file",
    }
}

/// A client, as records know it.
#[derive(Debug, Clone)]
pub(crate) struct ClientInfo {
    pub(crate) role: Role,
    pub(crate) endpoint: String,
    pub(crate) peer: PeerIdentity,
    /// When it came, in seconds since the epoch.
    pub(crate) since: i64,
}

/// A client in a record.
#[derive(Debug, Serialize)]
pub(crate) struct ClientJson<'a> {
    id: u64,
    #[serde(flatten)]
    info: Option<ClientInfoJson<'a>>,
}

#[derive(Debug, Serialize)]
struct ClientInfoJson<'a> {
    role: &'static str,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
}

/// An endpoint in a record.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EndpointJson {
    role: &'static str,
    endpoint: String,
}

impl EndpointJson {
    pub(crate) fn new(role: Role, endpoint: String) -> EndpointJson {
        EndpointJson { role: role_name(role), endpoint }
    }
}

/// The client with this number.
pub(crate) fn client_json(
    clients: &BTreeMap<ClientId, ClientInfo>,
    id: ClientId,
) -> ClientJson<'_> {
    let info = clients.get(&id).map(|client| {
        let (address, process) = match &client.peer {
            PeerIdentity::Address(address) => (Some(address.to_string()), None),
            &PeerIdentity::Process { uid, gid, pid } => (None, Some((uid, gid, pid))),
            PeerIdentity::Unknown => (None, None),
        };
        ClientInfoJson {
            role: role_name(client.role),
            endpoint: &client.endpoint,
            address,
            uid: process.map(|(uid, _, _)| uid),
            gid: process.map(|(_, gid, _)| gid),
            pid: process.map(|(_, _, pid)| pid),
        }
    });
    ClientJson { id: id.0, info }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Logger => "logger",
    }
}
