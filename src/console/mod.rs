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

use std::collections::{BTreeMap, VecDeque};

use self::audit::AuditEvent;
use self::child::overlap::OverlapState;
use self::child::readiness::ReadinessTracker;
use self::child::status::Status;
use self::child::supervisor::{Action, Supervisor};
use self::clients::client::Client;
use self::clients::input_queue::InputQueue;
use self::clock::{Monotonic, TimeFormatter, Timestamps, UnixTime};
use self::event::{ChildProcess, ChildSlot, ClientId, Effect, Event, ExitStatus};
pub use self::settings::Settings;
use self::stream::buffer::StreamBuffer;
use self::stream::flow;
pub use self::stream::reader::Chunk;
use self::stream::reader::{Encoding, StreamReader};
use crate::config::RestartPolicy;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
/// How the stream looks on standard output, and to syslog.
const PLAIN: Encoding = Encoding { telnet: false, stamp: None };

/// The state machine.
pub struct Console {
    settings: Settings,
    formatter: Box<dyn TimeFormatter>,
    supervisor: Supervisor,
    readiness: ReadinessTracker,
    overlap: OverlapState,
    stream: StreamBuffer,
    clients: BTreeMap<ClientId, Client>,
    log: Option<StreamReader>,
    stdout: Option<StreamReader>,
    syslog: Option<StreamReader>,
    input: InputQueue,
    effects: VecDeque<Effect>,
    audit_events: VecDeque<AuditEvent>,
    /// The duties whose trouble has been told, until it is over: a bit each.
    failing: u8,
    exiting: bool,
    /// Counts what may have changed the outline.
    revision: u64,
    /// Decoded input, reused.
    scratch: Vec<u8>,
}

impl Console {
    /// A console without clients. The first [`handle_timeout`](Self::handle_timeout) starts the
    /// child, unless it is to wait.
    pub fn new(settings: Settings, formatter: Box<dyn TimeFormatter>) -> Console {
        let RestartPolicy { mode, wait, ref ready, .. } = settings.restart;
        Console {
            supervisor: Supervisor::new(mode, wait, settings.policy()),
            readiness: ReadinessTracker::new(ready.clone(), wait),
            overlap: OverlapState::default(),
            stream: StreamBuffer::new(settings.log.stamp.is_some(), settings.console.history),
            clients: BTreeMap::new(),
            log: None,
            stdout: settings.to_stdout.then(|| StreamReader::new(0, PLAIN)),
            syslog: settings.log.syslog.is_some().then(|| StreamReader::new(0, PLAIN)),
            input: InputQueue::default(),
            effects: VecDeque::new(),
            audit_events: VecDeque::new(),
            failing: 0,
            exiting: false,
            revision: 0,
            scratch: Vec::new(),
            settings,
            formatter,
        }
    }

    /// Something happened. Once it is decided to leave, nothing counts any more but that clients go.
    pub fn handle(&mut self, event: Event<'_>, now: Timestamps) {
        if self.exiting && !matches!(event, Event::Left { .. }) {
            return;
        }
        if !matches!(event, Event::Output(..) | Event::Input { .. }) {
            self.revision += 1;
        }
        match event {
            Event::Output(which, bytes) => {
                let child = match which {
                    ChildSlot::Current => self.supervisor.running(),
                    ChildSlot::Old => self.overlap.old(),
                };
                if self.readiness.output(which, bytes)
                    && let Some(child) = child
                {
                    self.revision += 1;
                    self.audit_events.push_back(AuditEvent::Ready(child.pid));
                }
                self.interleave(which, bytes, now);
            }
            // A daemon closes its terminal.
            Event::OutputClosed(ChildSlot::Current) if self.settings.daemonizes() => {}
            Event::OutputClosed(ChildSlot::Current) => {
                self.cancel_replacement();
                self.effects.push_back(Effect::Signal(ChildSlot::Current, SIGKILL));
            }
            Event::OutputClosed(ChildSlot::Old) => self.signal_old(SIGKILL),
            Event::Exited(ChildSlot::Current, status) => self.child_ended(status, now),
            Event::Exited(ChildSlot::Old, status) => self.old_ended(status, now),
            Event::ChildReady => self.child_ready(now),
            Event::Reload => self.reload(now),
            Event::Spawned(pid) => {
                let old = self.supervisor.started(pid, now);
                self.readiness.started();
                self.audit_events.push_back(AuditEvent::Started(pid));
                self.child_started(pid, old, now);
            }
            Event::SpawnFailed(reason) => {
                let old = self.supervisor.running();
                if !self.supervisor.cancel_replacement() {
                    self.supervisor.start_failed();
                }
                self.audit_events.push_back(AuditEvent::SpawnFailed(reason.to_owned()));
                self.say_line(&messages::start_failed(&self.settings, reason), now);
                if let Some(old) = old {
                    self.replacement_failed(old, now);
                }
            }
            Event::Daemonized(pid) => self.daemonized(pid, now),
            Event::DaemonNotFound(reason) => self.daemon_not_found(reason, now),
            Event::OrphansSignaled(count) => self.orphans_signaled(count, now),
            Event::Joined { id, role, medium } => self.join(id, role, medium),
            Event::Input { id, bytes } => self.client_input(id, bytes, now),
            Event::Left { id, farewell } => self.leave(id, farewell),
            Event::Terminate => self.terminate(now),
            Event::ReopenLog => self.effects.push_back(Effect::ReopenLog),
            Event::LogOpened => self.log_opened(),
            Event::LogOpenFailed(reason) => self.log_open_failed(reason),
            Event::Failed(duty, reason) => self.subsystem_failed(duty, reason, now),
            Event::Recovered(duty) => self.subsystem_recovered(duty),
            Event::AcceptFailed { endpoint, reason } => {
                let entry = AuditEvent::AcceptFailed(endpoint.to_owned(), reason.to_owned());
                self.audit_events.push_back(entry);
                self.say_line(&messages::accept_failed(endpoint, reason), now);
            }
            Event::Upgraded { version } => {
                self.audit_events.push_back(AuditEvent::Upgraded);
                self.note(&messages::upgraded(version), now);
            }
            Event::Restarted => {
                self.audit_events.push_back(AuditEvent::Restarted);
                self.say(&messages::restarted(), now);
            }
            Event::UpgradeFailed(reason) => {
                self.audit_events.push_back(AuditEvent::UpgradeFailed(reason.to_owned()));
                self.note(&messages::upgrade_failed(reason), now);
            }
        }
    }

    /// Time has passed. Called too early or twice it does nothing.
    pub fn handle_timeout(&mut self, now: Timestamps) {
        if self.exiting {
            return;
        }
        if let Some(action) = self.supervisor.poll(now.mono) {
            self.act(action, now);
        }
        if !self.exiting {
            self.poll_overlap(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<Monotonic> {
        let deadlines = [self.supervisor.deadline(), self.overlap_deadline()];
        if self.exiting { None } else { deadlines.into_iter().flatten().min() }
    }

    /// What the child does, for whoever doesn't read the console.
    pub fn status(&self) -> Status {
        Status {
            ready: self.readiness.is_reached(),
            leaving: self.exiting || self.supervisor.is_leaving(),
            mode: self.supervisor.mode(),
            child: self.supervisor.phase(),
        }
    }

    /// The child, while there is one.
    pub fn child(&self) -> Option<ChildProcess> {
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
        self.settings.name()
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next thing to record.
    pub fn poll_audit_event(&mut self) -> Option<AuditEvent> {
        self.audit_events.pop_front()
    }

    fn append(&mut self, bytes: &[u8], wall: UnixTime) {
        let Console { stream: history, clients, log, stdout, syslog, .. } = self;
        let head = history.head();
        history.append(bytes, wall, || flow::slowest(clients, [log, stdout, syslog], head));
    }

    /// To everybody, where the stream stands.
    fn say(&mut self, text: &[u8], now: Timestamps) {
        self.append(text, now.wall);
    }

    /// To everybody, on a line of its own.
    fn say_line(&mut self, text: &[u8], now: Timestamps) {
        if !self.stream.at_line_start() {
            self.say(b"\r\n", now);
        }
        self.say(text, now);
    }

    /// To the log alone, if there is one.
    fn note(&mut self, text: &[u8], now: Timestamps) {
        if let Some(log) = &mut self.log {
            log.append_private(text, now.wall, &*self.formatter);
        }
    }

    fn time(&self, time: UnixTime) -> Vec<u8> {
        self.formatter.format(time, &self.settings.console.time_format)
    }

    fn act(&mut self, action: Action, now: Timestamps) {
        match action {
            Action::Start => self.effects.push_back(Effect::Spawn),
            Action::Kill => self.signal(SIGKILL),
            Action::Exit(code) => {
                self.flush(now);
                self.exit(code);
            }
            Action::ExitWithoutChild => {
                self.flush(now);
                self.say_shutting_down(now);
                self.leave_behind(Some(0), now);
            }
            Action::FindDaemon => self.effects.push_back(Effect::FindDaemon),
            Action::SignalOrphans(signal) => self.effects.push_back(Effect::SignalOrphans(signal)),
        }
    }

    fn exit(&mut self, code: u8) {
        if !self.exiting && !self.supervisor.exit_when_clear(code) {
            self.exiting = true;
            self.effects.push_back(Effect::Exit(code));
        }
    }

    fn child_ended(&mut self, status: ExitStatus, now: Timestamps) {
        self.cancel_replacement();
        let Some(child) = self.supervisor.running() else {
            // It outlived the server's patience, and what it left behind is being killed.
            self.effects.push_back(Effect::Reap(ChildSlot::Current));
            return;
        };
        if self.becomes_daemon(status, now) {
            return;
        }
        self.audit_events.push_back(AuditEvent::Ended(child.pid, status));
        if self.fall_back_to_old(child, status, now) {
            return;
        }
        let leaving = self.supervisor.ended(status, now.mono);
        if !leaving {
            self.say(&messages::ended(child, status), now);
        }
        self.say_shutting_down(now);
        self.input.clear();
        self.effects.push_back(Effect::Reap(ChildSlot::Current));
        self.leave_behind(leaving.then_some(0), now);
    }

    fn say_shutting_down(&mut self, now: Timestamps) {
        let time = self.time(now.wall);
        self.say(&messages::shutting_down(&self.settings, self.supervisor.mode(), &time), now);
    }

    /// SIGTERM. A second one ends the grace period.
    fn terminate(&mut self, now: Timestamps) {
        self.cancel_replacement();
        if self.supervisor.awaits_daemon() {
            self.supervisor.ended(ExitStatus::Code(0), now.mono);
            self.say_shutting_down(now);
            self.input.clear();
            self.effects.push_back(Effect::Reap(ChildSlot::Current));
            self.leave_behind(Some(0), now);
        } else if self.supervisor.running().is_none()
            && !self.supervisor.is_leaving()
            && !self.old_is_last(now)
        {
            self.exit(0);
        } else if self.supervisor.in_grace() {
            self.supervisor.end_grace(now.mono);
        } else if !self.supervisor.is_leaving() {
            let RestartPolicy { kill_signal, grace, .. } = self.settings.restart;
            self.signal(kill_signal);
            let killed = kill_signal == SIGKILL || grace.is_zero();
            if killed && kill_signal != SIGKILL {
                self.signal(SIGKILL);
            }
            self.supervisor.begin_shutdown(killed, grace, now.mono);
        }
    }

    /// To the child, and the old one if there is one.
    fn signal(&mut self, signal: i32) {
        if signal != 0 {
            self.effects.push_back(Effect::Signal(ChildSlot::Current, signal));
            self.signal_old(signal);
        }
    }
}
