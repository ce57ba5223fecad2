//! What the console has to do, written down a second time from contract sections 5, 6 and 7, as
//! plainly as possible: the stream, the effects, the deadline and the child's input that follow from
//! each event. It has its own sub-modules, which share no code with those of the console.

use std::collections::{BTreeMap, VecDeque};

use super::child::cleanup::{Cleanup, DaemonSearch};
use super::child::interleave::Interleaver;
use super::child::overlap::OldChild;
use super::child::supervisor::{Leaving, LiveChild};
use super::clients::typed::Typed;
use super::clients::window::ExpectedWindow;
use super::messages::text;
use super::stream::buffer::ExpectedStream;
use crate::config::RestartMode;
use crate::console::Settings;
use crate::console::audit::AuditEvent;
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, ClientKind, Effect, Role, Subsystem};

#[derive(Debug)]
pub struct Oracle {
    pub settings: Settings,
    pub stream: ExpectedStream,
    /// In the order in which the console has to ask for them.
    pub effects: VecDeque<Effect>,
    /// In the order in which the console has to record them.
    pub audit_events: VecDeque<AuditEvent>,
    pub mode: RestartMode,
    /// True if a start was asked for and not answered.
    pub starting: bool,
    pub child: Option<LiveChild>,
    pub leaving: Option<Leaving>,
    /// In nanoseconds, as all times.
    pub last_start: Option<u64>,
    pub waits_for_user: bool,
    /// True if mode ONESHOT has one more start to make.
    pub oneshot_start_pending: bool,
    /// True if the last start failed.
    pub start_failed: bool,
    pub last_code: u8,
    /// True if the child has made itself a daemon.
    pub is_daemon: bool,
    pub daemon_search: Option<DaemonSearch>,
    pub cleanup: Option<Cleanup>,
    /// How many children in a row died within the holdoff time.
    pub early_deaths: u32,
    pub exiting: bool,
    /// Since when the log fails, and why.
    pub log_failing: Option<(i64, String)>,
    /// Since when no child can be started, and why.
    pub start_failing: Option<(i64, String)>,
    /// The input for the child.
    pub input: VecDeque<u8>,
    /// The clients that sent the input, with the number of bytes.
    pub input_owners: VecDeque<(ClientId, usize)>,
    /// The clients that the greeting counts.
    pub users: usize,
    /// The clients that were announced.
    announced: BTreeMap<ClientId, String>,
    pub loggers: usize,
    /// True if a child beside the running one was asked for and not answered.
    pub replacement_pending: bool,
    /// True if a reload was requested during the current one.
    pub reload_requested: bool,
    pub old: Option<OldChild>,
    pub interleaver: Interleaver,
    /// Of each client that gave commands: since when they are counted, those that were obeyed since
    /// then, and those that came too fast.
    pub typists: BTreeMap<ClientId, (u64, Vec<u8>, Vec<u8>)>,
    /// What each client has typed.
    pub typed: BTreeMap<ClientId, Typed>,
    /// True if the child's terminal hides what is typed.
    pub hides_input: bool,
    /// The client that left last.
    pub departed: Option<ClientId>,
    pub window: ExpectedWindow,
}

impl Oracle {
    pub fn new(settings: Settings) -> Oracle {
        Oracle {
            mode: settings.restart.mode,
            waits_for_user: settings.restart.wait,
            stream: ExpectedStream::new(settings.console.history),
            settings,
            effects: VecDeque::new(),
            audit_events: VecDeque::new(),
            starting: false,
            child: None,
            leaving: None,
            last_start: None,
            oneshot_start_pending: true,
            start_failed: false,
            last_code: 0,
            is_daemon: false,
            daemon_search: None,
            cleanup: None,
            early_deaths: 0,
            exiting: false,
            log_failing: None,
            start_failing: None,
            input: VecDeque::new(),
            input_owners: VecDeque::new(),
            users: 0,
            announced: BTreeMap::new(),
            loggers: 0,
            replacement_pending: false,
            reload_requested: false,
            old: None,
            interleaver: Interleaver::default(),
            typists: BTreeMap::new(),
            typed: BTreeMap::new(),
            hides_input: false,
            departed: None,
            window: ExpectedWindow::default(),
        }
    }

    pub fn reopen(&mut self) {
        if !self.exiting {
            self.effects.push_back(Effect::ReopenLog);
        }
    }

    pub fn accept_failed(&mut self, endpoint: &str, reason: &str, now: Timestamps) {
        if !self.exiting {
            let event = AuditEvent::AcceptFailed(endpoint.to_owned(), reason.to_owned());
            self.audit_events.push_back(event);
        }
        let line = format!("@@@ Endpoint {endpoint}: {reason}, new connections have to wait\r\n");
        self.say_line(&line, now);
    }

    pub fn introduced(
        &mut self,
        id: ClientId,
        role: Role,
        kind: ClientKind,
        who: &str,
        now: Timestamps,
    ) {
        let is_told = role == Role::User && kind.reads_stream();
        if self.settings.console.announce && is_told && !self.exiting {
            self.announced.insert(id, who.to_owned());
            self.say_line(&format!("@@@ {who} attached\r\n"), now);
        }
    }

    pub fn left(&mut self, id: ClientId, now: Timestamps) {
        if let Some(who) = self.announced.remove(&id) {
            self.say_line(&format!("@@@ {who} left\r\n"), now);
        }
    }

    pub fn log_failed(&mut self, reason: &str, now: Timestamps) {
        if self.exiting {
            return;
        }
        let is_new = self.log_failing.is_none();
        self.log_failing.get_or_insert((now.wall.seconds, String::new())).1 = reason.to_owned();
        if is_new {
            self.audit_events.push_back(AuditEvent::Failed(Subsystem::Log, reason.to_owned()));
            let file = text(self.settings.log_name().unwrap());
            self.say_line(
                &format!("@@@ Log file {file}: {reason}, output is not being logged\r\n"),
                now,
            );
        }
    }

    /// The log can be written. `first` is true if it could not be written before.
    pub fn log_opened(&mut self, first: bool) {
        if self.exiting {
            return;
        }
        let never = first && self.settings.log.target.is_some() && !self.settings.log_opened;
        if self.log_failing.take().is_some() || never {
            self.audit_events.push_back(AuditEvent::Recovered(Subsystem::Log, 0));
        }
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<u64> {
        let deadlines = [
            self.child_deadline(),
            self.overlap_deadline(),
            self.commands_deadline(),
            self.window_deadline(),
        ];
        deadlines.into_iter().flatten().min().filter(|_| !self.exiting)
    }

    pub fn time_passed(&mut self, now: Timestamps) {
        if self.child_deadline().is_some_and(|at| at <= now.mono.0) {
            self.child_time_passed(now);
        }
        self.overlap_time_passed(now);
        if !self.exiting {
            self.command_time_passed(now);
        }
        self.window_time_passed(now.mono.0);
    }

    pub fn forget_input(&mut self) {
        self.input.clear();
        self.input_owners.clear();
    }
}
