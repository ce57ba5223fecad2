//! The console: the state machine that decides everything, and does nothing.
//!
//! The server tells it what happened ([`Console::handle`]), drains what is to be done
//! ([`Console::poll_effect`]) after every call, and comes back at [`Console::deadline`]. Bytes are
//! pulled: [`Console::output`] lends what a reader is to be written next, [`Console::child_input`]
//! what the child is. No file descriptor, no clock, no environment here; the same code runs
//! under the simulation.

pub mod audit;
pub mod child;
mod clients;
pub mod clock;
pub mod event;
mod messages;
mod settings;
#[cfg(test)]
mod sim;
pub mod snapshot;
mod stream;
mod subsystem;
#[cfg(test)]
mod tests;

use crate::console::stream::flow;
use std::collections::{BTreeMap, VecDeque};

use self::audit::Entry;
use self::child::overlap::Overlap;
use self::child::readiness::Readiness;
use self::child::status::Status;
use self::child::supervisor::{Action, Supervisor};
use self::clients::client::Client;
use self::clients::input_queue::InputQueue;
use self::clock::{Calendar, Moment, Now, UnixTime};
use self::event::{ClientId, Effect, Event, ExitStatus, Running, Which};
pub use self::settings::Settings;
use self::stream::buffer::History;
pub use self::stream::reader::Chunk;
use self::stream::reader::{Encoding, Outbox};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
/// How the stream looks on standard output, and to syslog.
const PLAIN: Encoding = Encoding { telnet: false, stamp: None };

/// The state machine.
pub struct Console {
    settings: Settings,
    calendar: Box<dyn Calendar>,
    supervisor: Supervisor,
    readiness: Readiness,
    overlap: Overlap,
    history: History,
    clients: BTreeMap<ClientId, Client>,
    log: Option<Outbox>,
    stdout: Option<Outbox>,
    syslog: Option<Outbox>,
    input: InputQueue,
    effects: VecDeque<Effect>,
    journal: VecDeque<Entry>,
    /// The duties whose trouble has been told, until it is over: a bit each.
    troubles: u8,
    exiting: bool,
    /// Counts what may have changed the outline.
    revision: u64,
    /// Decoded input, reused.
    scratch: Vec<u8>,
}

impl Console {
    /// A console without clients. The first [`handle_timeout`](Self::handle_timeout) starts the
    /// child, unless it is to wait.
    pub fn new(settings: Settings, calendar: Box<dyn Calendar>) -> Console {
        Console {
            supervisor: Supervisor::new(settings.restart, settings.wait, settings.policy()),
            readiness: Readiness::new(settings.ready.clone(), settings.wait),
            overlap: Overlap::default(),
            history: History::new(settings.log_stamp.is_some(), settings.history),
            clients: BTreeMap::new(),
            log: None,
            stdout: settings.to_stdout.then(|| Outbox::new(0, PLAIN)),
            syslog: settings.to_syslog.then(|| Outbox::new(0, PLAIN)),
            input: InputQueue::default(),
            effects: VecDeque::new(),
            journal: VecDeque::new(),
            troubles: 0,
            exiting: false,
            revision: 0,
            scratch: Vec::new(),
            settings,
            calendar,
        }
    }

    /// Something happened. Once it is decided to leave, nothing counts any more but that clients go.
    pub fn handle(&mut self, event: Event<'_>, now: Now) {
        if self.exiting && !matches!(event, Event::Left { .. }) {
            return;
        }
        if !matches!(event, Event::Output(..) | Event::Input { .. }) {
            self.revision += 1;
        }
        match event {
            Event::Output(which, bytes) => {
                let child = match which {
                    Which::New => self.supervisor.running(),
                    Which::Old => self.overlap.old(),
                };
                if self.readiness.output(which, bytes)
                    && let Some(child) = child
                {
                    self.revision += 1;
                    self.journal.push_back(Entry::Ready(child.pid));
                }
                self.weave(which, bytes, now);
            }
            // A daemon closes its terminal.
            Event::OutputClosed(Which::New) if self.settings.daemonizes => {}
            Event::OutputClosed(Which::New) => {
                self.cancel_beside();
                self.effects.push_back(Effect::Signal(Which::New, SIGKILL));
            }
            Event::OutputClosed(Which::Old) => self.signal_old(SIGKILL),
            Event::Exited(Which::New, status) => self.child_ended(status, now),
            Event::Exited(Which::Old, status) => self.old_ended(status, now),
            Event::ChildReady => self.child_says_ready(now),
            Event::Reload => self.reload(now),
            Event::Spawned(pid) => {
                let old = self.supervisor.started(pid, now);
                self.readiness.started();
                self.journal.push_back(Entry::Started(pid));
                self.begun(pid, old, now);
            }
            Event::SpawnFailed(reason) => {
                let old = self.supervisor.running();
                if !self.supervisor.cancel_beside() {
                    self.supervisor.start_failed();
                }
                self.journal.push_back(Entry::NotStarted(reason.to_owned()));
                self.say_line(&messages::start_failed(&self.settings, reason), now);
                if let Some(old) = old {
                    self.not_begun(old, now);
                }
            }
            Event::Daemonized(pid) => self.daemonized(pid, now),
            Event::NoDaemon(reason) => self.not_daemonized(reason, now),
            Event::Swept(count) => self.swept(count, now),
            Event::Joined { id, role, medium } => self.join(id, role, medium),
            Event::Input { id, bytes } => self.receive(id, bytes, now),
            Event::Left { id, farewell } => self.leave(id, farewell),
            Event::Terminate => self.terminate(now),
            Event::ReopenLog => self.effects.push_back(Effect::ReopenLog),
            Event::LogWorks => self.log_works(),
            Event::LogNotOpened(reason) => self.log_not_opened(reason),
            Event::Failed(duty, reason) => self.failed(duty, reason, now),
            Event::Works(duty) => self.works(duty),
            Event::AcceptFailed { endpoint, reason } => {
                let entry = Entry::NotAccepted(endpoint.to_owned(), reason.to_owned());
                self.journal.push_back(entry);
                self.say_line(&messages::accept_failed(endpoint, reason), now);
            }
            Event::Upgraded { version } => {
                self.journal.push_back(Entry::Upgraded);
                self.note(&messages::upgraded(version), now);
            }
            Event::Restarted => {
                self.journal.push_back(Entry::Restarted);
                self.say(&messages::restarted(), now);
            }
            Event::UpgradeFailed(reason) => {
                self.journal.push_back(Entry::NotUpgraded(reason.to_owned()));
                self.note(&messages::not_upgraded(reason), now);
            }
        }
    }

    /// Time has passed. Called too early or twice it does nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.exiting {
            return;
        }
        if let Some(action) = self.supervisor.due(now.mono) {
            self.act(action, now);
        }
        if !self.exiting {
            self.overlap_due(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<Moment> {
        let deadlines = [self.supervisor.deadline(), self.overlap_deadline()];
        if self.exiting { None } else { deadlines.into_iter().flatten().min() }
    }

    /// What the child does, for whoever doesn't read the console.
    pub fn status(&self) -> Status {
        Status {
            ready: self.readiness.is_reached(),
            leaving: self.exiting || self.supervisor.is_leaving(),
            mode: self.supervisor.mode(),
            child: self.supervisor.stage(),
        }
    }

    /// The child, while there is one.
    pub fn child(&self) -> Option<Running> {
        self.supervisor.running()
    }

    /// Whether the child is ready: it runs, or has written what is waited for.
    pub fn child_is_ready(&self) -> bool {
        self.supervisor.running().is_some() && self.readiness.is_child_ready()
    }

    /// How many children were started after the first.
    pub fn restarts(&self) -> u64 {
        self.supervisor.restarts()
    }

    /// The child's name in messages.
    pub fn child_name(&self) -> &[u8] {
        &self.settings.name
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next thing to record.
    pub fn poll_entry(&mut self) -> Option<Entry> {
        self.journal.pop_front()
    }

    fn append(&mut self, bytes: &[u8], wall: UnixTime) {
        let Console { history, clients, log, stdout, syslog, .. } = self;
        let head = history.head();
        history.append(bytes, wall, || flow::slowest(clients, [log, stdout, syslog], head));
    }

    /// To everybody, where the stream stands.
    fn say(&mut self, text: &[u8], now: Now) {
        self.append(text, now.wall);
    }

    /// To everybody, on a line of its own.
    fn say_line(&mut self, text: &[u8], now: Now) {
        if !self.history.at_line_start() {
            self.say(b"\r\n", now);
        }
        self.say(text, now);
    }

    /// To the log alone, if there is one.
    fn note(&mut self, text: &[u8], now: Now) {
        if let Some(log) = &mut self.log {
            log.note(text, now.wall, &*self.calendar);
        }
    }

    fn time(&self, time: UnixTime) -> Vec<u8> {
        self.calendar.format(time, &self.settings.time_format)
    }

    fn act(&mut self, action: Action, now: Now) {
        match action {
            Action::Start => self.effects.push_back(Effect::Spawn),
            Action::Kill => self.signal(SIGKILL),
            Action::Exit(code) => {
                self.flush(now);
                self.exit(code);
            }
            Action::Abandon => {
                self.flush(now);
                self.say_shutting_down(now);
                self.leave_behind(Some(0), now);
            }
            Action::Look => self.effects.push_back(Effect::Look),
            Action::Sweep(signal) => self.effects.push_back(Effect::Sweep(signal)),
        }
    }

    fn exit(&mut self, code: u8) {
        if !self.exiting && !self.supervisor.exit_when_clear(code) {
            self.exiting = true;
            self.effects.push_back(Effect::Exit(code));
        }
    }

    fn child_ended(&mut self, status: ExitStatus, now: Now) {
        self.cancel_beside();
        let Some(child) = self.supervisor.running() else {
            // It outlived the server's patience, and what it left behind is being killed.
            self.effects.push_back(Effect::Bury(Which::New));
            return;
        };
        if self.becomes_daemon(status, now) {
            return;
        }
        self.journal.push_back(Entry::Ended(child.pid, status));
        if self.old_stands_in(child, status, now) {
            return;
        }
        let leaving = self.supervisor.ended(status, now.mono);
        if !leaving {
            self.say(&messages::ended(child, status), now);
        }
        self.say_shutting_down(now);
        self.input.clear();
        self.effects.push_back(Effect::Bury(Which::New));
        self.leave_behind(leaving.then_some(0), now);
    }

    fn say_shutting_down(&mut self, now: Now) {
        let time = self.time(now.wall);
        self.say(&messages::shutting_down(&self.settings, self.supervisor.mode(), &time), now);
    }

    /// SIGTERM. A second one ends the grace period.
    fn terminate(&mut self, now: Now) {
        self.cancel_beside();
        if self.supervisor.is_forked() {
            self.supervisor.ended(ExitStatus::Code(0), now.mono);
            self.say_shutting_down(now);
            self.input.clear();
            self.effects.push_back(Effect::Bury(Which::New));
            self.leave_behind(Some(0), now);
        } else if self.supervisor.running().is_none()
            && !self.supervisor.is_leaving()
            && !self.old_is_last(now)
        {
            self.exit(0);
        } else if self.supervisor.in_grace() {
            self.supervisor.end_grace(now.mono);
        } else if !self.supervisor.is_leaving() {
            let Settings { kill_signal, grace, .. } = self.settings;
            self.signal(kill_signal);
            let killed = kill_signal == SIGKILL || grace.is_zero();
            if killed && kill_signal != SIGKILL {
                self.signal(SIGKILL);
            }
            self.supervisor.leave(killed, grace, now.mono);
        }
    }

    /// To the child, and the old one if there is one.
    fn signal(&mut self, signal: i32) {
        if signal != 0 {
            self.effects.push_back(Effect::Signal(Which::New, signal));
            self.signal_old(signal);
        }
    }
}
