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
pub(crate) mod error;
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
use self::event::{ChildProcess, ChildSlot, ClientId, ClientKind, Effect, Event, ExitStatus, Sink};
pub use self::settings::Settings;
use self::stream::buffer::StreamBuffer;
pub use self::stream::reader::Chunk;
use self::stream::reader::{Encoding, StreamReader};
use self::subsystem::SubsystemSet;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// The state machine.
pub struct Console {
    settings: Settings,
    formatter: Box<dyn TimeFormatter>,
    supervisor: Supervisor,
    readiness: ReadinessTracker,
    overlap: OverlapState,
    stream: StreamBuffer,
    clients: BTreeMap<ClientId, Client>,
    sinks: BTreeMap<Sink, StreamReader>,
    input: InputQueue,
    effects: VecDeque<Effect>,
    audit_events: VecDeque<AuditEvent>,
    /// The subsystems whose failure has been said and that have not recovered since.
    failing: SubsystemSet,
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
        let sinks = [(Sink::Stdout, settings.to_stdout), (Sink::Syslog, settings.to_syslog)];
        let wanted = sinks.into_iter().filter_map(|(sink, wanted)| wanted.then_some(sink));
        Console {
            supervisor: Supervisor::new(settings.restart, settings.wait, settings.policy()),
            readiness: ReadinessTracker::new(settings.ready.clone(), settings.wait),
            overlap: OverlapState::default(),
            stream: StreamBuffer::new(settings.log_stamp.is_some(), settings.history),
            clients: BTreeMap::new(),
            sinks: wanted.map(|sink| (sink, StreamReader::new(0, Encoding::PLAIN))).collect(),
            input: InputQueue::default(),
            effects: VecDeque::new(),
            audit_events: VecDeque::new(),
            failing: SubsystemSet::default(),
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
            Event::OutputClosed(ChildSlot::Current) if self.settings.daemonizes => {}
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
            Event::Joined { id, role, kind } => self.join(id, role, kind),
            Event::Input { id, bytes } => self.client_input(id, bytes, now),
            Event::Left { id, reason } => self.leave(id, reason),
            Event::Terminate => self.terminate(now),
            Event::ReopenLog => self.effects.push_back(Effect::ReopenLog),
            Event::LogOpened => self.log_opened(),
            Event::LogOpenFailed(reason) => self.log_open_failed(reason),
            Event::Failed(subsystem, reason) => self.subsystem_failed(subsystem, reason, now),
            Event::Recovered(subsystem) => self.subsystem_recovered(subsystem),
            Event::AcceptFailed { endpoint, reason } => self.accept_failed(endpoint, reason, now),
            Event::Upgraded { version } => {
                self.audit_events.push_back(AuditEvent::Upgraded);
                self.say_to_log(&messages::upgraded(version), now);
            }
            Event::Restarted => {
                self.audit_events.push_back(AuditEvent::Restarted);
                self.say(&messages::restarted(), now);
            }
            Event::UpgradeFailed(reason) => {
                self.audit_events.push_back(AuditEvent::UpgradeFailed(reason.to_owned()));
                self.say_to_log(&messages::upgrade_failed(reason), now);
            }
        }
    }

    /// Time has passed. Called too early or twice it does nothing.
    pub fn handle_timeout(&mut self, now: Timestamps) {
        if self.exiting {
            return;
        }
        if let Some(action) = self.supervisor.poll(now.mono) {
            self.revision += 1;
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
        &self.settings.name
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next thing to record.
    pub fn poll_audit_event(&mut self) -> Option<AuditEvent> {
        self.audit_events.pop_front()
    }

    /// The bytes to write to the child next.
    pub fn child_input(&self) -> (&[u8], &[u8]) {
        self.input.slices()
    }

    /// Takes note that the first `count` bytes of [`child_input`](Self::child_input) have been
    /// written.
    pub fn child_input_written(&mut self, count: usize) {
        self.input.consume(count);
    }

    /// Frees memory that is needed only while something happens.
    pub fn release_idle_memory(&mut self) {
        if self.stream.is_grown() {
            let slowest = slowest_reader(&self.clients, &self.sinks);
            self.stream.shrink(slowest.unwrap_or(self.stream.head()));
        }
        self.scratch = Vec::new();
    }

    fn append(&mut self, bytes: &[u8], wall: UnixTime) {
        let Console { stream, clients, sinks, .. } = self;
        let head = stream.head();
        stream.append(bytes, wall, || slowest_reader(clients, sinks).unwrap_or(head));
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

    fn time(&self, time: UnixTime) -> Vec<u8> {
        self.formatter.format(time, &self.settings.time_format)
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
            let Settings { kill_signal, grace, .. } = self.settings;
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

/// The offset of the first byte that some reader still needs; `None` if there is no reader.
fn slowest_reader(
    clients: &BTreeMap<ClientId, Client>,
    sinks: &BTreeMap<Sink, StreamReader>,
) -> Option<u64> {
    // A pipe reads nothing.
    let clients = clients.values().filter(|client| client.kind != ClientKind::Pipe);
    let readers = clients.map(|client| &client.reader).chain(sinks.values());
    readers.map(StreamReader::cursor).min()
}
