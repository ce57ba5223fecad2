//! The line of JSON for each thing that happens. What it has is told in docs/events.md.

use serde::Serialize;

use super::{ClientJson, VERSION};
use crate::console::audit::Command;
use crate::console::event::{DisconnectReason, ExitStatus, Subsystem};
use crate::sys::time;

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct SignalSender {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum EventBody<'a> {
    ServerStart {
        version: &'a str,
        pid: u32,
        name: &'a str,
        argv: &'a [String],
        endpoints: &'a [super::EndpointJson],
    },
    ServerRestart {
        version: &'a str,
        pid: u32,
        name: &'a str,
        argv: &'a [String],
        endpoints: &'a [super::EndpointJson],
    },
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
