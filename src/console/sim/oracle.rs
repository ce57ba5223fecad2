//! What the console has to do, written down a second time from contract sections 5, 6 and 7,
//! as plainly as possible: the stream, the effects, the deadline and the child's input that follow
//! from each event.

use std::collections::VecDeque;
use std::time::Duration;

use super::kin::{After, Hunt, Wait};
use super::pair::{Lines, OldChild};
use super::seen;
use super::stream::{Clockwork, Stream};
use crate::config::RestartMode::{self, Off, On, Oneshot};
use crate::config::{MessageStyle, RestartPolicy};
use crate::console::Settings;
use crate::console::audit::AuditEvent;
use crate::console::clock::{TimeFormatter, Timestamps, UnixTime};
use crate::console::event::{ChildSlot, ClientId, Effect, ExitStatus, Subsystem};

const SIGKILL: i32 = 9;
const SECOND: u64 = 1_000_000_000;
const RULE: &str = "@@@ @@@ @@@ @@@ @@@\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alive {
    pub pid: i32,
    pub since: i64,
}

/// SIGTERM came.
#[derive(Debug, Clone, Copy)]
pub struct Leaving {
    killed: bool,
    until: u64,
}

#[derive(Debug)]
pub struct Oracle {
    pub settings: Settings,
    pub stream: Stream,
    /// In the order in which they have to come.
    pub effects: VecDeque<Effect>,
    /// What is to be recorded, in order.
    pub entries: VecDeque<AuditEvent>,
    pub mode: RestartMode,
    /// A start was asked for and not answered.
    pub starting: bool,
    pub alive: Option<Alive>,
    pub leaving: Option<Leaving>,
    pub last_start: Option<u64>,
    pub told_to_wait: bool,
    /// Starts that mode ONESHOT has still to make.
    pub one_more: bool,
    /// The last start failed.
    start_failed: bool,
    pub code: u8,
    /// The child is a daemon that it made itself.
    pub is_daemon: bool,
    pub wait: Option<Wait>,
    pub hunt: Option<Hunt>,
    /// Children that died within the holdoff time, one after the other.
    pub died_early: u32,
    pub exiting: bool,
    log_trouble: bool,
    /// What clients typed for the child.
    pub input: VecDeque<u8>,
    /// Whose it is.
    pub owners: VecDeque<(ClientId, usize)>,
    /// For the greeting.
    pub users: usize,
    pub loggers: usize,
    /// Another child was asked for beside the one there is, and once more.
    pub beside: bool,
    pub again: bool,
    pub old: Option<OldChild>,
    pub lines: Lines,
}

impl Oracle {
    pub fn new(settings: Settings) -> Oracle {
        Oracle {
            mode: settings.restart.mode,
            told_to_wait: settings.restart.wait,
            stream: Stream::new(settings.console.history),
            settings,
            effects: VecDeque::new(),
            entries: VecDeque::new(),
            starting: false,
            alive: None,
            leaving: None,
            last_start: None,
            one_more: true,
            start_failed: false,
            code: 0,
            is_daemon: false,
            wait: None,
            hunt: None,
            died_early: 0,
            exiting: false,
            log_trouble: false,
            input: VecDeque::new(),
            owners: VecDeque::new(),
            users: 0,
            loggers: 0,
            beside: false,
            again: false,
            old: None,
            lines: Lines::default(),
        }
    }

    pub fn terminal_closed(&mut self) {
        if !self.exiting && !self.settings.daemonizes() {
            self.cancel();
            self.effects.push_back(Effect::Signal(ChildSlot::Current, SIGKILL));
        }
    }

    pub fn started(&mut self, pid: i32, now: Timestamps) {
        let beside = self.alive.filter(|_| self.beside);
        assert!(beside.is_some() || self.starting && self.alive.is_none(), "a second child");
        self.starting = false;
        self.beside = false;
        if self.exiting {
            return;
        }
        self.start_failed = false;
        if let Some(old) = beside {
            self.last_start = Some(now.mono.0);
            self.one_more = false;
            self.replace(old, now);
        } else {
            self.again = false;
        }
        self.alive = Some(Alive { pid, since: now.wall.0 });
        self.entries.push_back(AuditEvent::Started(pid));
        let name = text(self.settings.name());
        let mut lines = format!("@@@ Restarting child \"{name}\"\r\n");
        if self.settings.name() != self.settings.executed() {
            lines += &format!("@@@    (as {})\r\n", text(self.settings.executed()));
        }
        lines += &format!("@@@ The PID of new child \"{name}\" is: {pid}\r\n{RULE}");
        if beside.is_some() {
            self.say_line("", now);
        }
        self.say(&lines, now);
    }

    pub fn not_started(&mut self, reason: &str, now: Timestamps) {
        self.starting = false;
        let beside = std::mem::take(&mut self.beside);
        if self.exiting {
            return;
        }
        if !beside {
            self.one_more = true;
            self.start_failed = true;
        }
        self.entries.push_back(AuditEvent::SpawnFailed(reason.to_owned()));
        let name = text(self.settings.name());
        self.say_line(&format!("@@@ Child \"{name}\" could not be started: {reason}\r\n"), now);
        if beside {
            self.goes_on(self.alive.unwrap().pid, now);
        }
    }

    pub fn ended(&mut self, status: ExitStatus, now: Timestamps) {
        if self.exiting {
            return;
        }
        self.cancel();
        if self.alive.is_none() {
            seen("a child ended that had been given up");
            self.effects.push_back(Effect::Reap(ChildSlot::Current));
        } else if !self.forks(status, now) {
            self.gone(status, now);
        }
    }

    /// The child is no more.
    pub fn gone(&mut self, status: ExitStatus, now: Timestamps) {
        let alive = self.alive.take().unwrap();
        let pid = alive.pid;
        self.entries.push_back(AuditEvent::Ended(pid, status));
        self.wait = None;
        if self.old_stands_in(alive, status, now) {
            return;
        }
        let how = match status {
            ExitStatus::Code(code) => format!("Normal exit status = {code}"),
            ExitStatus::Signal(signal) => format!("The process was killed by signal {signal}"),
            ExitStatus::Unknown => "Normal exit status = 255".to_owned(),
        };
        self.count_end(status, now);
        if self.leaving.is_none() {
            let news = format!("@@@ Received a sigChild for process {pid}. {how}\r\n");
            self.say(&format!("\r\n{RULE}{news}"), now);
        }
        self.say_shutting_down(now);
        self.forget_input();
        self.effects.push_back(Effect::Reap(ChildSlot::Current));
        let exit = self.leaving.take().map(|_| 0);
        self.leave_behind(exit, now);
    }

    pub fn is_leaving(&self) -> bool {
        let hunts = self.hunt.is_some_and(|hunt| matches!(hunt.then, After::Exit(_)));
        hunts || self.leaving.is_some()
    }

    pub fn terminate(&mut self, now: Timestamps) {
        if self.exiting {
            return;
        }
        self.cancel();
        if !self.is_leaving() {
            self.old_is_last(now);
        }
        if self.terminate_kin(now) {
            return;
        }
        let RestartPolicy { kill_signal, grace, .. } = self.settings.restart;
        match &mut self.leaving {
            _ if self.alive.is_none() => self.exit(0),
            None => {
                self.signal(kill_signal);
                let killed = kill_signal == SIGKILL || grace == Duration::ZERO;
                if killed && kill_signal != SIGKILL {
                    self.signal(SIGKILL);
                }
                let wait = if killed { SECOND } else { grace.as_nanos() as u64 };
                self.leaving = Some(Leaving { killed, until: now.mono.0 + wait });
            }
            Some(leaving) if !leaving.killed => {
                seen("a second SIGTERM");
                leaving.until = now.mono.0;
            }
            Some(_) => {}
        }
    }

    pub fn reopen(&mut self) {
        if !self.exiting {
            self.effects.push_back(Effect::ReopenLog);
        }
    }

    pub fn accept_failed(&mut self, endpoint: &str, reason: &str, now: Timestamps) {
        if !self.exiting {
            let entry = AuditEvent::AcceptFailed(endpoint.to_owned(), reason.to_owned());
            self.entries.push_back(entry);
        }
        let line = format!("@@@ Endpoint {endpoint}: {reason}, new connections have to wait\r\n");
        self.say_line(&line, now);
    }

    pub fn log_failed(&mut self, reason: &str, now: Timestamps) {
        if !self.exiting && !std::mem::replace(&mut self.log_trouble, true) {
            self.entries.push_back(AuditEvent::Failed(Subsystem::Log, reason.to_owned()));
            let file = text(self.settings.log_name().unwrap());
            self.say_line(
                &format!("@@@ Log file {file}: {reason}, output is not being logged\r\n"),
                now,
            );
        }
    }

    /// The log can be written; whether it could not be opened before.
    pub fn log_works(&mut self, first: bool) {
        if self.exiting {
            return;
        }
        let never = first && self.settings.log.target.is_some() && !self.settings.log_opened;
        if std::mem::take(&mut self.log_trouble) || never {
            self.entries.push_back(AuditEvent::Recovered(Subsystem::Log));
        }
    }

    /// The next thing that only time brings.
    pub fn deadline(&self) -> Option<u64> {
        let both = [self.child_deadline(), self.pair_deadline()];
        both.into_iter().flatten().min().filter(|_| !self.exiting)
    }

    fn child_deadline(&self) -> Option<u64> {
        match (self.alive, self.leaving) {
            _ if self.exiting || self.starting => None,
            _ if self.wait.is_some() => self.wait.map(|wait| wait.look),
            _ if self.hunt.is_some() => self.hunt.map(|hunt| hunt.look),
            (Some(_), None) => None,
            (Some(_), Some(leaving)) => Some(leaving.until),
            (None, _) => match (self.last_start, self.mode) {
                (None, _) if self.told_to_wait => None,
                (None, _) => Some(0),
                (Some(_), Off) => None,
                (Some(last), On | Oneshot) => Some(last + self.wait()),
            },
        }
    }

    pub fn time_passed(&mut self, now: Timestamps) {
        if self.child_deadline().is_some_and(|at| at <= now.mono.0) {
            self.time_passed_for_child(now);
        }
        self.time_passed_for_pair(now);
    }

    fn time_passed_for_child(&mut self, now: Timestamps) {
        if self.kin_time_passed(now.mono.0) {
            return;
        }
        match &mut self.leaving {
            Some(leaving) if leaving.killed => {
                seen("the server left without its child");
                self.flush(now);
                self.say_shutting_down(now);
                self.alive = None;
                self.leaving = None;
                self.leave_behind(Some(0), now);
            }
            Some(leaving) => {
                seen("the grace period was over");
                *leaving = Leaving { killed: true, until: now.mono.0 + SECOND };
                self.signal(SIGKILL);
            }
            None if self.mode == Oneshot && !self.one_more => {
                seen("ONESHOT ended the server");
                self.flush(now);
                self.exit(self.code);
            }
            None => self.start(now.mono.0),
        }
    }

    pub fn toggle(&mut self, now: Timestamps) {
        let old = self.settings.console.style == MessageStyle::V2_7;
        self.mode = match self.mode {
            On => Off,
            Off if !old => Oneshot,
            Off | Oneshot => On,
        };
        self.one_more |= self.mode == Oneshot;
        let mode = mode_name(self.mode);
        let word = if old { "" } else { " mode" };
        self.say(&format!("\r\n@@@ Toggled auto restart{word} to {mode}\r\n"), now);
    }

    pub fn start(&mut self, now: u64) {
        assert!(!self.starting && self.alive.is_none());
        self.starting = true;
        self.last_start = Some(now);
        self.is_daemon = false;
        self.one_more = false;
        self.effects.push_back(Effect::Spawn);
    }

    pub fn say_shutting_down(&mut self, now: Timestamps) {
        let what = match self.mode {
            On => "a new one will be restarted shortly",
            Off => "auto restart is disabled",
            Oneshot => "oneshot mode: server will exit",
        };
        let time = self.time(now.wall.0);
        let mut lines = format!("@@@ Current time: {time}\r\n");
        lines += &format!("@@@ Child process is shutting down, {what}\r\n");
        if self.mode != Oneshot {
            lines += &(self.help() + "\r\n");
        }
        self.say(&lines, now);
    }

    pub fn help(&self) -> String {
        let kill = self.settings.console.commands.kill.map(|byte| format!(" or {}", caret(byte)));
        let logout = self.settings.console.commands.logout;
        let end = logout.map(|byte| format!(", {} closes this connection", caret(byte)));
        let (kill, end) = (kill.unwrap_or_default(), end.unwrap_or_default());
        format!("@@@ ^R{kill} restarts the child, ^Q quits the server{end}")
    }

    pub fn time(&self, seconds: i64) -> String {
        text(&Clockwork.format(UnixTime(seconds), &self.settings.console.time_format))
    }

    pub fn say(&mut self, lines: &str, now: Timestamps) {
        self.stream.append(lines.as_bytes(), now.wall.0);
    }

    /// On a line of its own.
    pub fn say_line(&mut self, line: &str, now: Timestamps) {
        if self.exiting {
            return;
        }
        let open = self.stream.bytes.last().is_some_and(|&byte| byte != b'\n');
        self.say(&format!("{}{line}", if open { "\r\n" } else { "" }), now);
    }

    pub fn signal(&mut self, signal: i32) {
        if signal != 0 {
            self.effects.push_back(Effect::Signal(ChildSlot::Current, signal));
            if self.old.is_some() {
                self.effects.push_back(Effect::Signal(ChildSlot::Old, signal));
            }
        }
    }

    pub fn forget_input(&mut self) {
        self.input.clear();
        self.owners.clear();
    }

    pub fn too_early(&self, last_start: u64, now: Timestamps) -> bool {
        now.mono.0 < last_start + self.wait()
    }

    /// From one start to the next, in nanoseconds; after a start that failed at least a second.
    fn wait(&self) -> u64 {
        let holdoff = self.doubled().as_nanos() as u64;
        if self.start_failed { holdoff.max(SECOND) } else { holdoff }
    }

    pub fn exit(&mut self, code: u8) {
        if let Some(hunt) = &mut self.hunt {
            hunt.then = After::Exit(code);
        } else if !std::mem::replace(&mut self.exiting, true) {
            self.effects.push_back(Effect::Exit(code));
        }
    }
}

pub fn mode_name(mode: RestartMode) -> &'static str {
    match mode {
        On => "ON",
        Off => "OFF",
        Oneshot => "ONESHOT",
    }
}

/// As users write control characters.
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
