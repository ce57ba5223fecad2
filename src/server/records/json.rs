//! The line of JSON for each thing that happens. What it has is told in docs/events.md.

use serde::Serialize;

use super::{ClientLine, VERSION};
use crate::console::audit::Command;
use crate::console::event::{DisconnectReason, ExitStatus, Subsystem};
use crate::sys::time;

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Sender {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum What<'a> {
    ServerStart {
        version: &'a str,
        pid: u32,
        name: &'a str,
        argv: &'a [String],
        endpoints: &'a [super::EndpointLine],
    },
    ServerRestart {
        version: &'a str,
        pid: u32,
        name: &'a str,
        argv: &'a [String],
        endpoints: &'a [super::EndpointLine],
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
        client: ClientLine<'a>,
    },
    Disconnect {
        client: ClientLine<'a>,
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
        client: ClientLine<'a>,
    },
    Signal {
        signal: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        sender: Option<Sender>,
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
        end: End,
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
        client: ClientLine<'a>,
        bytes: u64,
    },
    EventsLost {
        count: u64,
    },
}

/// How a child ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Code(u8),
    Signal(i32),
    Status(&'static str),
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> End {
        match status {
            ExitStatus::Code(code) => End::Code(code),
            ExitStatus::Signal(signal) => End::Signal(signal),
            ExitStatus::Unknown => End::Status("unknown"),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    time: String,
    #[serde(flatten)]
    what: &'a What<'a>,
}

/// The line, with its end, about what happened at that many milliseconds since the epoch.
pub(crate) fn line(what: &What, millis: i64) -> Vec<u8> {
    let line = Line { v: VERSION, time: time::rfc3339(millis), what };
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

pub(crate) fn farewell_name(farewell: DisconnectReason) -> &'static str {
    match farewell {
        DisconnectReason::Closed => "closed",
        DisconnectReason::Failed => "failed",
        DisconnectReason::Logout => "logout",
        DisconnectReason::Exit => "server_exit",
    }
}

pub(crate) fn duty_name(duty: Subsystem) -> &'static str {
    match duty {
        Subsystem::Log => "log",
        Subsystem::Rotation => "log_rotate",
        Subsystem::Syslog => "syslog",
        Subsystem::Events => "events",
        Subsystem::Status => "status_file",
    }
}
