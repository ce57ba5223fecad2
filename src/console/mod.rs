//! The console: the state machine that decides everything and does nothing itself.
//!
//! The server hands in each event ([`Console::handle`]), then drains what is to be done
//! ([`Console::poll_effect`]), and comes back at [`Console::deadline`]. It pulls bytes:
//! [`Console::output`] lends the next bytes for a client, [`Console::take`] gives those for a sink,
//! and [`Console::child_input`] lends those for the child. There is no file descriptor, no clock and
//! no environment here, so the same code runs under the simulation.

pub(crate) mod audit;
pub(crate) mod changes;
pub(crate) mod child;
pub mod clients;
pub mod clock;
pub(crate) mod error;
pub mod event;
mod messages;
mod settings;
#[cfg(test)]
mod sim;
pub(crate) mod snapshot;
pub(crate) mod stream;
pub(crate) mod subsystem;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use nix::sys::signal::Signal;

use self::audit::AuditEvent;
use self::child::overlap::OverlapState;
use self::child::readiness::ReadinessTracker;
use self::child::recent_restarts::RecentRestarts;
use self::child::status::Status;
use self::child::supervisor::Supervisor;
use self::clients::client::Client;
use self::clients::command_rate::CommandRate;
use self::clients::input_queue::InputQueue;
use self::clients::window::ChildWindow;
use self::clock::{Monotonic, TimeFormatter, Timestamps, UnixTime};
use self::event::{ChildProcess, ChildSlot, ClientId, Effect, Event, Sink};
pub use self::settings::Settings;
use self::stream::buffer::StreamBuffer;
pub use self::stream::chunk::Chunk;
use self::stream::encode::Encoding;
use self::stream::reader::StreamReader;
use self::stream::ring::Ring;
use self::subsystem::Troubles;
use crate::config::RestartPolicy;

// Effects carry numbers, because a kill signal may be a real-time signal, which `Signal` has not.
const SIGKILL: i32 = Signal::SIGKILL as i32;
const SIGTERM: i32 = Signal::SIGTERM as i32;

/// The state machine.
pub struct Console {
    settings: Settings,
    formatter: Box<dyn TimeFormatter>,
    supervisor: Supervisor,
    readiness: ReadinessTracker,
    overlap: OverlapState,
    stream: StreamBuffer,
    clients: BTreeMap<ClientId, Client>,
    /// Of the clients that have given a command.
    command_rates: BTreeMap<ClientId, CommandRate>,
    /// The clients that were announced, as others know them.
    announced: BTreeMap<ClientId, String>,
    sinks: BTreeMap<Sink, StreamReader>,
    /// While the first log is being opened: the offset where it will begin.
    log_begin: Option<u64>,
    /// The offsets from which on sinks may need the stream once more, after a crash.
    kept_for: BTreeMap<Sink, u64>,
    input: InputQueue,
    window: ChildWindow,
    effects: VecDeque<Effect>,
    audit_events: VecDeque<AuditEvent>,
    /// The subsystems whose failure has been said and that have not recovered since.
    troubles: Troubles,
    recent_restarts: RecentRestarts,
    /// True once [`Effect::Exit`] has been queued.
    exiting: bool,
    /// Counts the changes that may have changed the crash snapshot.
    revision: u64,
    /// How many of these are of one client only: whoever writes changes down writes down that client.
    client_revision: u64,
    /// True if the terminal of the child that gets the input hides what is typed. The server tells it
    /// before each input under `--record-input`.
    hides_input: bool,
    /// Decoded input. It is kept between calls so as not to be allocated anew.
    scratch: Vec<u8>,
}

impl Console {
    /// A console without clients. The first [`handle_timeout`](Self::handle_timeout) starts the
    /// child, unless it is to wait for a user.
    pub fn new(settings: Settings, formatter: Box<dyn TimeFormatter>) -> Console {
        let RestartPolicy { mode, wait, ref ready, .. } = settings.restart;
        let sinks =
            [(Sink::Stdout, settings.to_stdout), (Sink::Syslog, settings.log.syslog.is_some())];
        let wanted = sinks.into_iter().filter_map(|(sink, wanted)| wanted.then_some(sink));
        Console {
            supervisor: Supervisor::new(mode, wait, settings.policy()),
            readiness: ReadinessTracker::new(ready.clone(), wait),
            overlap: OverlapState::default(),
            stream: StreamBuffer::new(settings.log.stamp.is_some(), settings.console.history),
            clients: BTreeMap::new(),
            command_rates: BTreeMap::new(),
            announced: BTreeMap::new(),
            sinks: wanted.map(|sink| (sink, StreamReader::new(0, Encoding::UNCHANGED))).collect(),
            log_begin: None,
            kept_for: BTreeMap::new(),
            input: InputQueue::default(),
            window: ChildWindow::default(),
            effects: VecDeque::new(),
            audit_events: VecDeque::new(),
            troubles: Troubles::new(),
            recent_restarts: RecentRestarts::default(),
            exiting: false,
            revision: 0,
            client_revision: 0,
            hides_input: false,
            scratch: Vec::new(),
            settings,
            formatter,
        }
    }

    /// Handles one event. After [`Effect::Exit`] has been queued, every event except
    /// [`Event::Left`] is ignored.
    pub fn handle(&mut self, event: Event<'_>, now: Timestamps) {
        if self.exiting && !matches!(event, Event::Left { .. }) {
            return;
        }
        let now = self.settings.as_shown(now);
        if !matches!(event, Event::Output(..) | Event::Input { .. } | Event::InputHidden(_)) {
            self.revision += 1;
        }
        if matches!(event, Event::Introduced { .. } | Event::Joined { .. } | Event::Left { .. }) {
            self.client_revision += 1;
        }
        match event {
            Event::Output(slot, bytes) => self.child_output(slot, bytes, now),
            Event::OutputClosed(slot) => self.child_output_closed(slot),
            Event::Exited(ChildSlot::Current, status) => self.child_ended(status, now),
            Event::Exited(ChildSlot::Old, status) => self.old_ended(status, now),
            Event::ChildReady => self.child_ready(now),
            Event::Reload => self.reload(now),
            Event::Spawned(pid) => self.child_started(pid, now),
            Event::SpawnFailed(reason) => self.spawn_failed(reason, now),
            Event::Daemonized(pid) => self.daemonized(pid, now),
            Event::DaemonNotFound(reason) => self.daemon_not_found(reason, now),
            Event::OrphansSignaled(count) => self.orphans_signaled(count, now),
            Event::Introduced { id, role, kind, who } => self.introduce(id, role, kind, who, now),
            Event::Joined { id, role, kind } => self.join(id, role, kind),
            Event::Input { id, bytes } => self.client_input(id, bytes, now),
            Event::Window { id, size } => self.window_told(id, size, now.mono),
            Event::InputHidden(hides) => self.set_input_hidden(hides),
            Event::Left { id, reason } => self.leave(id, reason, now),
            Event::Terminate => self.terminate(now),
            Event::ReopenLog => self.effects.push_back(Effect::ReopenLog),
            Event::LogOpened => self.log_opened(now),
            Event::LogOpenFailed(reason) => self.log_open_failed(reason, now),
            Event::Failed(subsystem, reason) => self.subsystem_failed(subsystem, reason, now),
            Event::Recovered(subsystem) => self.subsystem_recovered(subsystem),
            Event::AcceptFailed { endpoint, reason } => self.accept_failed(endpoint, reason, now),
            Event::Upgraded { version } => {
                self.audit_events.push_back(AuditEvent::Upgraded);
                self.say_to_log(&messages::upgraded(version), now);
            }
            Event::Restarted { complete } => {
                self.audit_events.push_back(AuditEvent::Restarted);
                let Console { clients, stream, .. } = &mut *self;
                clients.values_mut().for_each(|client| client.reader.begin_again(stream));
                self.say(&messages::restarted(complete), now);
            }
            Event::UpgradeFailed(reason) => {
                self.audit_events.push_back(AuditEvent::UpgradeFailed(reason.to_owned()));
                self.say_to_log(&messages::upgrade_failed(reason), now);
            }
        }
        self.report_memory(now);
    }

    /// Does what is due at the time `now`. Called too early or twice, it does nothing.
    pub fn handle_timeout(&mut self, now: Timestamps) {
        if self.exiting {
            return;
        }
        let now = self.settings.as_shown(now);
        if let Some(action) = self.supervisor.poll(now.mono) {
            self.revision += 1;
            self.act(action, now);
        }
        if !self.exiting {
            self.poll_overlap(now);
        }
        if !self.exiting {
            self.poll_held_commands(now);
        }
        self.poll_window(now.mono);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<Monotonic> {
        let deadlines = [
            self.supervisor.deadline(),
            self.overlap_deadline(),
            self.commands_deadline(),
            self.window_deadline(),
        ];
        if self.exiting { None } else { deadlines.into_iter().flatten().min() }
    }

    /// What the child does, for those who do not read the console.
    pub fn status(&self) -> Status {
        Status {
            ready: self.readiness.is_reached(),
            leaving: self.exiting || self.supervisor.is_leaving(),
            mode: self.supervisor.mode(),
            child: self.supervisor.phase(),
        }
    }

    /// The current child, while one runs.
    pub fn child(&self) -> Option<ChildProcess> {
        self.supervisor.running()
    }

    /// Returns true if the current child is ready: it runs, and has written the text of `--ready` if
    /// there is one.
    pub fn child_is_ready(&self) -> bool {
        self.supervisor.running().is_some() && self.readiness.is_child_ready()
    }

    /// Returns how many children were started after the first.
    pub fn restarts(&self) -> u64 {
        self.supervisor.restarts()
    }

    /// How many children were started after the first within a day, and when that number changes
    /// though no child is started.
    pub fn recent_restarts(&self, now: Monotonic) -> (u64, Option<Monotonic>) {
        self.recent_restarts.count(now)
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
            let kept = self.kept_for.values().copied();
            let slowest = slowest_reader(&self.clients, &self.sinks, kept.chain(self.log_begin));
            self.stream.shrink(slowest.unwrap_or(self.stream.head()));
        }
        self.scratch = Vec::new();
    }

    /// Has the bytes of the stream in this ring from now on, which holds the last of them, up to the
    /// end of the stream.
    pub fn use_ring(&mut self, ring: Box<dyn Ring>) {
        self.stream.use_ring(ring);
    }

    /// The bytes of the stream that are held, and the offset of the first.
    pub fn held(&self) -> (u64, Vec<u8>) {
        let (first, second) = self.stream.slices(self.stream.tail());
        (self.stream.tail(), [first, second].concat())
    }

    fn append(&mut self, bytes: &[u8], wall: UnixTime) {
        let Console { stream, clients, sinks, log_begin, kept_for, .. } = self;
        let head = stream.head();
        stream.append(bytes, wall, || {
            let kept = kept_for.values().copied().chain(*log_begin);
            slowest_reader(clients, sinks, kept).unwrap_or(head)
        });
    }

    /// Says a text to all readers, directly after the last byte of the stream.
    fn say(&mut self, text: &[u8], now: Timestamps) {
        if let Some(log) = self.sinks.get_mut(&Sink::Log) {
            log.begin_message(self.stream.head(), self.stream.tail());
        }
        self.append(text, now.wall);
    }

    /// Says a text to all readers, on a line of its own.
    fn say_line(&mut self, text: &[u8], now: Timestamps) {
        if !self.stream.at_line_start() {
            self.say(b"\r\n", now);
        }
        self.say(text, now);
    }

    fn time(&self, time: UnixTime) -> Vec<u8> {
        self.formatter.format(time, &self.settings.console.time_format)
    }
}

/// The offset of the first byte that some reader still needs, or one of `others`; `None` if there is
/// none.
fn slowest_reader(
    clients: &BTreeMap<ClientId, Client>,
    sinks: &BTreeMap<Sink, StreamReader>,
    others: impl Iterator<Item = u64>,
) -> Option<u64> {
    let clients = clients.values().filter(|client| client.kind.reads_stream());
    let readers = clients.map(|client| &client.reader).chain(sinks.values());
    readers.map(StreamReader::cursor).chain(others).min()
}
