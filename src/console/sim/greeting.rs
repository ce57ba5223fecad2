//! What a client has to be told first (contract section 3).

use super::oracle::{Alive, Oracle, caret, mode_name, text};
use crate::config::MessageStyle;
use crate::console::event::Role;

impl Oracle {
    pub fn greeting(&self, role: Role) -> Vec<u8> {
        let s = &self.settings;
        let (name, command) = (text(s.name()), text(s.command()));
        let mut lines = Vec::new();
        if role == Role::User {
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
        lines.push(match self.alive {
            Some(Alive { pid, .. }) => format!("@@@ Child \"{name}\" PID: {pid}"),
            None => format!("@@@ Child \"{name}\" is SHUT DOWN"),
        });
        let started = self.time(s.server_started.0);
        lines.push(format!("@@@ procServ server started at: {started}"));
        if let Some(Alive { since, .. }) = self.alive {
            lines.push(format!("@@@ Child \"{name}\" started at: {}", self.time(since)));
        }
        if role == Role::User {
            let (users, loggers) = (self.users, self.loggers);
            let both = format!("{users} user(s) and {loggers} logger(s)");
            lines.push(format!("@@@ {both} connected (plus you)"));
        }
        if self.alive.is_none() {
            lines.push(self.help());
        }
        (lines.join("\r\n") + "\r\n").into_bytes()
    }
}
