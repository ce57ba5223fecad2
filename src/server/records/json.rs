//! Events, clients and endpoints as JSON. docs/events.md describes the fields.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::ServerInfo;
use crate::config::RestartMode;
use crate::console::audit::{Command, TypedContent, TypedText};
use crate::console::event::{ClientId, DisconnectReason, ExitStatus, Role, Subsystem};
use crate::server::os::{PeerIdentity, SignalSender};
use crate::sys::time;

/// The version of the events' format and of the status file's. A field that is added makes no new
/// version.
pub(crate) const VERSION: u32 = 1;

/// An event, without its time.
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
        #[serde(skip_serializing_if = "Option::is_none")]
        mode: Option<&'a str>,
        client: ClientJson<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
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
    TerminalClosed {
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
    Input {
        client: ClientJson<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hidden: Option<u64>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        unfinished: bool,
    },
    Skipped {
        client: ClientJson<'a>,
        bytes: u64,
    },
    EventsLost {
        count: u64,
    },
}

impl<'a> EventBody<'a> {
    /// A client typed something.
    pub(super) fn input(client: ClientJson<'a>, typed: &TypedText) -> EventBody<'a> {
        let (text, hidden) = match &typed.content {
            TypedContent::Shown(bytes) => (Some(typed_text(bytes)), None),
            TypedContent::Hidden(count) => (None, Some(*count)),
        };
        EventBody::Input { client, text, hidden, unfinished: typed.unfinished }
    }
}

/// The server, in the events of its start.
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

/// How a child ended, in the event of its end.
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
    event: &'a EventBody<'a>,
}

/// The line, with its end, for an event at this time in milliseconds since the epoch.
pub(crate) fn line(event: &EventBody, millis: i64) -> Vec<u8> {
    let line = EventLine { v: VERSION, time: time::rfc3339(millis), event };
    with_line_end(serde_json::to_vec(&line))
}

/// Adds a line end to serialized JSON.
pub(crate) fn with_line_end(json: serde_json::Result<Vec<u8>>) -> Vec<u8> {
    // Serializing to memory fails only for a map whose keys are no texts.
    debug_assert!(json.is_ok(), "no JSON: {json:?}");
    let mut text = json.unwrap_or_default();
    text.push(b'\n');
    text
}

pub(crate) fn command_name(command: Command) -> &'static str {
    match command {
        Command::Kill => "kill",
        Command::Toggle => "toggle",
        Command::Restart => "restart",
        Command::Reload => "reload",
        Command::SetMode(_) => "mode",
        Command::Quit => "quit",
        Command::Logout => "logout",
    }
}

/// Returns what a client typed in caret notation, as `--stop-input` takes it. Bytes that are not UTF-8,
/// and control characters that are not ASCII, are U+FFFD.
fn typed_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for letter in String::from_utf8_lossy(bytes).chars() {
        match letter {
            '\\' | '^' => text.extend(['\\', letter]),
            letter if letter.is_ascii_control() => {
                text.extend(['^', char::from(letter as u8 ^ 0x40)]);
            }
            letter if letter.is_control() => text.push(char::REPLACEMENT_CHARACTER),
            letter => text.push(letter),
        }
    }
    text
}

pub(crate) fn mode_name(mode: RestartMode) -> &'static str {
    match mode {
        RestartMode::On => "ON",
        RestartMode::Off => "OFF",
        RestartMode::Oneshot => "ONESHOT",
    }
}

pub(crate) fn disconnect_reason_name(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::Closed => "closed",
        DisconnectReason::Failed => "failed",
        DisconnectReason::Logout => "logout",
        DisconnectReason::Exit => "server_exit",
    }
}

pub(crate) fn subsystem_name(subsystem: Subsystem) -> &'static str {
    match subsystem {
        Subsystem::Log => "log",
        Subsystem::Sync => "log_sync",
        Subsystem::Rotation => "log_rotate",
        Subsystem::Syslog => "syslog",
        Subsystem::Events => "events",
        Subsystem::EventsRotation => "events_rotate",
        Subsystem::Journal => "journal",
        Subsystem::Status => "status_file",
        Subsystem::History => "history",
        Subsystem::Start => "child_start",
    }
}

/// What the records know of a client.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClientInfo {
    #[serde(serialize_with = "serialize_role")]
    pub(crate) role: Role,
    pub(crate) endpoint: String,
    #[serde(flatten)]
    pub(crate) peer: PeerIdentity,
    /// When the client connected, in seconds since the epoch.
    #[serde(skip)]
    pub(crate) since: i64,
}

/// A client in an event or in the status file.
#[derive(Debug, Serialize)]
pub(crate) struct ClientJson<'a> {
    id: u64,
    /// `None` for a client of which a server before this one handed nothing over.
    #[serde(flatten)]
    info: Option<&'a ClientInfo>,
}

/// An endpoint in an event or in the status file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EndpointJson {
    #[serde(serialize_with = "serialize_role")]
    pub(crate) role: Role,
    pub(crate) endpoint: String,
}

/// The client with this number, as far as it is known.
pub(crate) fn client_json(
    clients: &BTreeMap<ClientId, ClientInfo>,
    id: ClientId,
) -> ClientJson<'_> {
    ClientJson { id: id.0, info: clients.get(&id) }
}

fn serialize_role<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(role.name())
}
