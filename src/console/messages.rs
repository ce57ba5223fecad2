//! Every text that the server says on the console, one function for each, with the section of the
//! contract (docs/procserv.md) that it comes from. The texts are whole lines, CR LF included. *Ours*
//! are those that procServ has not.

use super::Settings;
use super::event::{ChildProcess, ExitStatus, Subsystem};
use crate::config::control_char;
use crate::config::{MessageStyle, RestartMode};
use crate::limits::UNKNOWN_EXIT_CODE;

const RULE: &[u8] = b"@@@ @@@ @@@ @@@ @@@\r\n";

/// The clients that the greeting counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientCount {
    pub users: usize,
    pub loggers: usize,
}

/// Appends a line made of these pieces.
macro_rules! line {
    ($out:expr, $($piece:expr),+) => {{
        $($out.extend_from_slice($piece.as_ref());)+
        $out.extend_from_slice(b"\r\n");
    }};
}

/// Section 3: the greeting of a client. `times` are those of the server's and the child's start;
/// `troubles` are lines of [`trouble`].
pub fn greeting(
    settings: &Settings,
    mode: RestartMode,
    child: Option<ChildProcess>,
    times: (&[u8], &[u8]),
    clients: Option<ClientCount>,
    troubles: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    let commands = settings.console.commands;
    if clients.is_some() {
        line!(out, "@@@ Welcome to procServ (", settings.version, ")");
        let kill = match commands.kill {
            Some(kill) => [b"Use ", &*control_char::to_caret(kill), b" to kill the child"].concat(),
            None => b"Kill command disabled".to_vec(),
        };
        let toggle = match commands.toggle {
            Some(toggle) => {
                [b"use ", &*control_char::to_caret(toggle), b" to toggle auto restart"].concat()
            }
            None => b"auto restart toggle disabled".to_vec(),
        };
        let is = match settings.console.style {
            MessageStyle::Current => ", auto restart mode is ",
            MessageStyle::V2_7 => ", auto restart is ",
        };
        line!(out, "@@@ ", kill, is, mode_name(mode), ", ", toggle);
        if let Some(logout) = commands.logout {
            line!(
                out,
                "@@@ Use ",
                control_char::to_caret(logout),
                " to logout from procServ server"
            );
        }
    }
    line!(out, "@@@ procServ server PID: ", settings.server_pid.to_string());
    line!(out, "@@@ Server startup directory: ", settings.server_dir);
    line!(out, "@@@ Child startup directory: ", settings.child_dir());
    let child_name = [b"Child \"", settings.name(), b"\""].concat();
    if settings.name() == settings.command() {
        line!(out, "@@@ Child started as: ", settings.command());
    } else {
        line!(out, "@@@ ", child_name, " started as: ", settings.command());
    }
    if let Some(file) = settings.log_name()
        && settings.console.style == MessageStyle::Current
    {
        let trouble = if settings.log_opened { "" } else { "unable to open log file " };
        line!(out, "@@@ Child log file: ", trouble, file);
    }
    match child {
        Some(child) => line!(out, "@@@ ", child_name, " PID: ", child.pid.to_string()),
        None => line!(out, "@@@ ", child_name, " is SHUT DOWN"),
    }
    line!(out, "@@@ procServ server started at: ", times.0);
    if child.is_some() {
        line!(out, "@@@ ", child_name, " started at: ", times.1);
    }
    // Whoever parses a greeting may take the next line for its last one.
    out.extend_from_slice(troubles);
    if let Some(ClientCount { users, loggers }) = clients {
        let count = format!("@@@ {users} user(s) and {loggers} logger(s) connected (plus you)");
        line!(out, count);
    }
    if child.is_none() {
        out.extend_from_slice(&restart_help(settings));
    }
    out
}

/// Section 6: a child was started.
pub fn started(settings: &Settings, pid: i32) -> Vec<u8> {
    let mut out = Vec::new();
    line!(out, "@@@ Restarting child \"", settings.name(), "\"");
    if settings.name() != settings.executed() {
        line!(out, "@@@    (as ", settings.executed(), ")");
    }
    line!(out, "@@@ The PID of new child \"", settings.name(), "\" is: ", pid.to_string());
    out.extend_from_slice(RULE);
    out
}

/// A child could not be started. Ours.
pub fn start_failed(settings: &Settings, reason: &str) -> Vec<u8> {
    let mut out = Vec::new();
    line!(out, "@@@ Child \"", settings.name(), "\" could not be started: ", reason);
    out
}

/// The child has become another process, a daemon. Ours: procServ takes such a child for dead.
pub fn daemon_started(settings: &Settings, pid: i32) -> Vec<u8> {
    let mut out = Vec::new();
    line!(out, "@@@ The PID of new child \"", settings.name(), "\" is: ", pid.to_string());
    out
}

/// The child was to become a daemon, and none was found. Ours.
pub fn daemon_not_found(settings: &Settings, reason: &str) -> Vec<u8> {
    let mut out = Vec::new();
    line!(out, "@@@ Child \"", settings.name(), "\" left no daemon: ", reason);
    out
}

/// Section 6: the child ended.
pub fn ended(child: ChildProcess, status: ExitStatus) -> Vec<u8> {
    let mut out = b"\r\n".to_vec();
    out.extend_from_slice(RULE);
    out.extend_from_slice(&old_ended(child, status));
    out
}

/// One of two children ended, and the other goes on. Ours.
pub fn old_ended(child: ChildProcess, status: ExitStatus) -> Vec<u8> {
    let mut out = Vec::new();
    let how = match status {
        ExitStatus::Code(code) => format!("Normal exit status = {code}"),
        ExitStatus::Signal(signal) => format!("The process was killed by signal {signal}"),
        ExitStatus::Unknown => format!("Normal exit status = {UNKNOWN_EXIT_CODE}"),
    };
    let pid = child.pid.to_string();
    line!(out, "@@@ Received a sigChild for process ", pid, ". ", how);
    out
}

/// The child that was to replace the child `pid` ended, or was never started. Ours.
pub fn old_child_stays(settings: &Settings, pid: i32) -> Vec<u8> {
    let mut out = Vec::new();
    let pid = pid.to_string();
    line!(out, "@@@ Child \"", settings.name(), "\" is not replaced, process ", pid, " goes on");
    out
}

/// Sections 6 and 7: what comes next, after the child's end and at the server's.
pub fn shutting_down(settings: &Settings, mode: RestartMode, time: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    line!(out, "@@@ Current time: ", time);
    let next = match mode {
        RestartMode::On => "a new one will be restarted shortly",
        RestartMode::Off => "auto restart is disabled",
        RestartMode::Oneshot => "oneshot mode: server will exit",
    };
    line!(out, "@@@ Child process is shutting down, ", next);
    if mode != RestartMode::Oneshot {
        out.extend_from_slice(&restart_help(settings));
    }
    out
}

/// Section 5: the toggle character.
pub fn toggled(settings: &Settings, mode: RestartMode) -> Vec<u8> {
    let mut out = b"\r\n".to_vec();
    let to = match settings.console.style {
        MessageStyle::Current => "@@@ Toggled auto restart mode to ",
        MessageStyle::V2_7 => "@@@ Toggled auto restart to ",
    };
    line!(out, to, mode_name(mode));
    out
}

/// Section 5: the kill character; procServ 2.7 says nothing.
pub fn killed(settings: &Settings) -> Vec<u8> {
    match settings.console.style {
        MessageStyle::Current => b"\r\n@@@ Got a kill command\r\n".to_vec(),
        MessageStyle::V2_7 => Vec::new(),
    }
}

/// A client gave so many commands too fast; their effects are said next. Ours.
pub fn commands_held(count: u64) -> Vec<u8> {
    format!("@@@ {count} commands of one client came too fast and are obeyed together\r\n")
        .into_bytes()
}

/// A subsystem failed. Section 8 for the log; the others are ours.
pub fn subsystem_failed(settings: &Settings, subsystem: Subsystem, reason: &str) -> Vec<u8> {
    trouble(settings, subsystem, reason, b"")
}

/// The same in a greeting, with the time since when it fails. Ours.
pub fn trouble(settings: &Settings, subsystem: Subsystem, reason: &str, since: &[u8]) -> Vec<u8> {
    let consequence = match subsystem {
        Subsystem::Log => "output is not being logged",
        Subsystem::Sync => "output may not reach the disk",
        Subsystem::Rotation | Subsystem::EventsRotation => "it is not being rotated",
        Subsystem::Syslog => "output is not being sent there",
        Subsystem::Events => "events have to wait",
        Subsystem::Journal => "events are not being sent there",
        Subsystem::Status => "it is not being written",
        Subsystem::History => "less of the console is kept",
        Subsystem::Start => "it could not be started",
    };
    let since = if since.is_empty() { Vec::new() } else { [b" since ", since].concat() };
    let mut out = Vec::new();
    let subject = subject(settings, subsystem);
    line!(out, "@@@ ", subject, ": ", reason, ", ", consequence, since);
    out
}

/// On stderr: a subsystem works again and lacks so many bytes. Ours.
pub fn subsystem_recovered(settings: &Settings, subsystem: Subsystem, lost: u64) -> Vec<u8> {
    let lost = if lost > 0 { format!(", {lost} bytes are missing") } else { String::new() };
    [&subject(settings, subsystem), b": works again".as_slice(), lost.as_bytes()].concat()
}

/// A subsystem as messages call it.
fn subject(settings: &Settings, subsystem: Subsystem) -> Vec<u8> {
    match subsystem {
        Subsystem::Log | Subsystem::Sync | Subsystem::Rotation => {
            [b"Log file ", settings.log_name().unwrap_or_default()].concat()
        }
        Subsystem::Syslog => b"Syslog".to_vec(),
        Subsystem::Events | Subsystem::EventsRotation => b"Events file".to_vec(),
        Subsystem::Journal => b"Journal".to_vec(),
        Subsystem::Status => b"Status file".to_vec(),
        Subsystem::History => b"History".to_vec(),
        Subsystem::Start => [b"Child \"", settings.name(), b"\""].concat(),
    }
}

/// A client connects, under `--announce`. Ours.
pub fn attached(who: &str) -> Vec<u8> {
    format!("@@@ {who} attached\r\n").into_bytes()
}

/// A client is gone, under `--announce`. Ours.
pub fn left(who: &str) -> Vec<u8> {
    format!("@@@ {who} left\r\n").into_bytes()
}

/// An endpoint cannot accept connections. Ours: procServ exits.
pub fn accept_failed(endpoint: &str, reason: &str) -> Vec<u8> {
    format!("@@@ Endpoint {endpoint}: {reason}, new connections have to wait\r\n").into_bytes()
}

/// The server goes on after a crash of the one before. The last output is not known, so a line is
/// ended first. Ours.
pub fn restarted() -> Vec<u8> {
    b"\r\n@@@ procServ server restarted, output may be missing\r\n".to_vec()
}

/// In the log: the server was upgraded to another version. Ours.
pub fn upgraded(version: &str) -> Vec<u8> {
    format!("@@@ procServ server upgraded in place ({version})\r\n").into_bytes()
}

/// In the log: an upgrade failed. Ours.
pub fn upgrade_failed(reason: &str) -> Vec<u8> {
    format!("@@@ procServ server not upgraded: {reason}\r\n").into_bytes()
}

/// Section 8: in the log, where bytes are missing.
pub fn missing(count: u64) -> Vec<u8> {
    format!("@@@ {count} bytes are missing here\r\n").into_bytes()
}

/// In the log: this many of the bytes before could not be synced. Ours.
pub fn unsynced(count: u64) -> Vec<u8> {
    format!("@@@ {count} bytes above may not have reached the disk\r\n").into_bytes()
}

/// To a client that the stream has passed. Ours.
pub fn skipped(count: u64) -> Vec<u8> {
    format!("@@@ {count} bytes skipped: this connection reads too slowly\r\n").into_bytes()
}

/// Section 3: the commands that there are while no child runs.
fn restart_help(settings: &Settings) -> Vec<u8> {
    let mut out = Vec::new();
    let kill = match settings.console.commands.kill {
        Some(kill) => [b" or ", &*control_char::to_caret(kill), b" restarts"].concat(),
        None => b" restarts".to_vec(),
    };
    let logout = match settings.console.commands.logout {
        Some(logout) => {
            [b", ", &*control_char::to_caret(logout), b" closes this connection"].concat()
        }
        None => Vec::new(),
    };
    line!(out, "@@@ ^R", kill, " the child, ^Q quits the server", logout);
    out
}

fn mode_name(mode: RestartMode) -> &'static str {
    match mode {
        RestartMode::On => "ON",
        RestartMode::Off => "OFF",
        RestartMode::Oneshot => "ONESHOT",
    }
}
