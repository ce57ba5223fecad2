//! The oracle's part about the greeting and other messages (contract sections 3 and 6).

use super::child::supervisor::LiveChild;
use super::oracle::Oracle;
use super::settings::SecondsFormatter;
use crate::config::MessageStyle;
use crate::config::RestartMode::{self, Off, On, Oneshot};
use crate::console::clock::{TimeFormatter, Timestamps, UnixTime};
use crate::console::event::{ExitStatus, Role};

pub const RULE: &str = "@@@ @@@ @@@ @@@ @@@\r\n";

impl Oracle {
    pub fn say_shutting_down(&mut self, now: Timestamps) {
        let what = match self.mode {
            On => "a new one will be restarted shortly",
            Off => "auto restart is disabled",
            Oneshot => "oneshot mode: server will exit",
        };
        let time = self.time(now.wall.seconds);
        let mut lines = format!("@@@ Current time: {time}\r\n");
        lines += &format!("@@@ Child process is shutting down, {what}\r\n");
        if self.mode != Oneshot {
            lines += &(self.help() + "\r\n");
        }
        self.say(&lines, now);
    }

    /// The commands that there are while no child runs.
    pub fn help(&self) -> String {
        let kill = self.settings.console.commands.kill.map(|byte| format!(" or {}", caret(byte)));
        let logout = self.settings.console.commands.logout;
        let end = logout.map(|byte| format!(", {} closes this connection", caret(byte)));
        let (kill, end) = (kill.unwrap_or_default(), end.unwrap_or_default());
        format!("@@@ ^R{kill} restarts the child, ^Q quits the server{end}")
    }

    pub fn time(&self, seconds: i64) -> String {
        text(
            &SecondsFormatter
                .format(UnixTime::from_secs(seconds), &self.settings.console.time_format),
        )
    }

    /// The end of a greeting's line about something that fails. An empty time is left out.
    fn since(&self, seconds: i64) -> String {
        match self.time(seconds) {
            time if time.is_empty() => time,
            time => format!(" since {time}"),
        }
    }

    pub fn say(&mut self, lines: &str, now: Timestamps) {
        self.stream.append(lines.as_bytes(), now.wall.seconds);
    }

    /// Says a line on a line of its own.
    pub fn say_line(&mut self, line: &str, now: Timestamps) {
        if self.exiting {
            return;
        }
        let open = self.stream.bytes.last().is_some_and(|&byte| byte != b'\n');
        self.say(&format!("{}{line}", if open { "\r\n" } else { "" }), now);
    }

    pub fn greeting(&self, role: Role) -> Vec<u8> {
        let s = &self.settings;
        let (name, command) = (text(s.name()), text(s.command()));
        let mut lines = Vec::new();
        if role != Role::Logger {
            lines.push(format!("@@@ Welcome to procServ ({})", text(&s.version)));
            let kill = match s.console.commands.kill {
                Some(byte) => format!("Use {} to kill the child", caret(byte)),
                None => "Kill command disabled".to_owned(),
            };
            let toggle = match s.console.commands.toggle {
                Some(byte) => format!("use {} to toggle auto restart", caret(byte)),
                None => "auto restart toggle disabled".to_owned(),
            };
            let mode = mode_name(self.mode);
            let word = if s.console.style == MessageStyle::V2_7 { "" } else { " mode" };
            lines.push(format!("@@@ {kill}, auto restart{word} is {mode}, {toggle}"));
            if let Some(byte) = s.console.commands.logout {
                lines.push(format!("@@@ Use {} to logout from procServ server", caret(byte)));
            }
        }
        lines.push(format!("@@@ procServ server PID: {}", s.server_pid));
        lines.push(format!("@@@ Server startup directory: {}", text(&s.server_dir)));
        lines.push(format!("@@@ Child startup directory: {}", text(s.child_dir())));
        let quoted = if name == command { String::new() } else { format!(" \"{name}\"") };
        lines.push(format!("@@@ Child{quoted} started as: {command}"));
        if let Some(file) = s.log_name().filter(|_| s.console.style == MessageStyle::Current) {
            let trouble = if s.log_opened { "" } else { "unable to open log file " };
            lines.push(format!("@@@ Child log file: {trouble}{}", text(file)));
        }
        lines.push(match self.child {
            Some(LiveChild { pid, .. }) => format!("@@@ Child \"{name}\" PID: {pid}"),
            None => format!("@@@ Child \"{name}\" is SHUT DOWN"),
        });
        let started = self.time(s.server_started.seconds);
        lines.push(format!("@@@ procServ server started at: {started}"));
        if let Some(LiveChild { since, .. }) = self.child {
            lines.push(format!("@@@ Child \"{name}\" started at: {}", self.time(since)));
        }
        if let Some((since, reason)) = self.log_failing.as_ref().filter(|_| s.log_opened) {
            let file = text(s.log_name().unwrap());
            let since = self.since(*since);
            let what = "output is not being logged";
            lines.push(format!("@@@ Log file {file}: {reason}, {what}{since}"));
        }
        if let Some((since, reason)) = &self.start_failing {
            let since = self.since(*since);
            let what = "it could not be started";
            lines.push(format!("@@@ Child \"{name}\": {reason}, {what}{since}"));
        }
        if role != Role::Logger {
            let (users, loggers) = (self.users, self.loggers);
            let both = format!("{users} user(s) and {loggers} logger(s)");
            lines.push(format!("@@@ {both} connected (plus you)"));
        }
        if self.child.is_none() {
            lines.push(self.help());
        }
        (lines.join("\r\n") + "\r\n").into_bytes()
    }
}

/// The line about the end of a child.
pub fn exit_line(pid: i32, status: ExitStatus) -> String {
    let how = match status {
        ExitStatus::Code(code) => format!("Normal exit status = {code}"),
        ExitStatus::Signal(signal) => format!("The process was killed by signal {signal}"),
        ExitStatus::Unknown => "Normal exit status = 255".to_owned(),
    };
    format!("@@@ Received a sigChild for process {pid}. {how}\r\n")
}

pub fn mode_name(mode: RestartMode) -> &'static str {
    match mode {
        On => "ON",
        Off => "OFF",
        Oneshot => "ONESHOT",
    }
}

/// A byte as users write control characters.
pub fn caret(byte: u8) -> String {
    match byte {
        0..32 => format!("^{}", char::from(b'@' + byte)),
        127 => "^?".to_owned(),
        _ => char::from(byte).to_string(),
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
