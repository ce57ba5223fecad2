//! The console: the state machine that decides everything, and does nothing.
//!
//! The server tells it what happened ([`Console::handle`]), drains what is to be done
//! ([`Console::poll_effect`]) after every call, and comes back at [`Console::deadline`]. Bytes are
//! pulled: [`Console::output`] lends what a reader is to be written next, [`Console::child_input`]
//! what the child is. No file descriptor, no clock, no environment here; the same code runs
//! under the simulation.

mod clearing;
pub mod clock;
mod daemon;
mod duty;
pub mod event;
mod flow;
mod history;
mod holdoff;
mod input;
pub mod journal;
mod notice;
mod outbox;
mod overlap;
mod ready;
pub mod record;
#[cfg(test)]
mod sim;
pub mod status;
mod supervisor;
#[cfg(test)]
mod tests;
mod typing;
pub mod weave;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use minicbor::{Decode, Encode};

use self::clock::{Calendar, Moment, Now, UnixTime};
use self::event::{ClientId, Duty, Effect, Event, ExitStatus, Farewell, Medium, Role, Running};
use self::history::History;
use self::holdoff::Holdoff;
use self::input::InputQueue;
use self::journal::Entry;
pub use self::outbox::Chunk;
use self::outbox::{Encoding, Outbox};
use self::overlap::Overlap;
use self::ready::Readiness;
use self::status::Status;
use self::supervisor::{Action, Policy, Supervisor};
use self::weave::Who;
use crate::config::{self, ByteSet, CommandChars, RestartMode, Wording};
use crate::limits::{CLIENT_PACE, CLIENT_PATIENCE, STRANGER_PATIENCE, SURELY_READ};
use crate::telnet;

const SIGKILL: i32 = 9;
/// How the stream looks on standard output, and to syslog.
const PLAIN: Encoding = Encoding { telnet: false, stamp: None };

/// What the console has to know, fixed at the start. Texts are bytes: paths need not be UTF-8.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What `-V` prints.
    pub version: Vec<u8>,
    /// The server's process.
    pub server_pid: u32,
    /// When it started.
    pub server_started: UnixTime,
    /// The directory it was started in.
    pub server_dir: Vec<u8>,
    /// The child's directory as given, or the server's.
    pub child_dir: Vec<u8>,
    /// The child's name in messages.
    pub name: Vec<u8>,
    /// `<command>` as given.
    pub command: Vec<u8>,
    /// What is executed and passed as argv\[0\].
    pub executed: Vec<u8>,
    /// The log file's name and whether it could be opened; `None` without `-L`.
    pub log: Option<(Vec<u8>, bool)>,
    /// `--logstamp`.
    pub log_stamp: Option<Vec<u8>>,
    /// Whether standard output is a reader (`-d`).
    pub to_stdout: bool,
    /// Whether syslog is one.
    pub to_syslog: bool,
    /// Command characters.
    pub commands: CommandChars,
    /// What never reaches the child, command characters included.
    pub ignore: ByteSet,
    /// Sent by the kill command and at the end; 0 sends nothing.
    pub kill_signal: i32,
    /// Least time between two starts.
    pub holdoff: Duration,
    /// The limit up to which that doubles while children die within it; not above it: it never does.
    pub holdoff_max: Duration,
    /// Whether the server exits with 128 and the number of the signal that killed the last child.
    pub signal_status: bool,
    /// What a child gets between the kill signal at SIGTERM and SIGKILL.
    pub grace: Duration,
    /// The mode to start in.
    pub restart: RestartMode,
    /// Whether the first start waits for a user.
    pub wait: bool,
    /// `--ready`: what the child writes when it is ready; else it is once it has been started.
    pub ready: Option<Vec<u8>>,
    /// `--overlap`.
    pub overlap: Option<config::Overlap>,
    /// `--kill-orphans`: what left the child's process group is killed after it.
    pub kill_orphans: bool,
    /// `--child-pidfile`: the child makes itself a daemon.
    pub daemonizes: bool,
    /// strftime format of times in messages.
    pub time_format: Vec<u8>,
    /// `--history`: how many of the last bytes a new client is given, at most
    /// [`REPLAY_MAX`](crate::limits::REPLAY_MAX).
    pub history: usize,
    /// Whose words messages are in.
    pub wording: Wording,
}

impl Settings {
    /// How the stream looks to a client.
    fn encoding(&self, role: Role, medium: Medium) -> Encoding {
        let stamp = match role {
            Role::Logger => self.log_stamp.clone(),
            Role::User => None,
        };
        Encoding { telnet: medium == Medium::Telnet, stamp }
    }

    /// What the supervisor has to know.
    fn policy(&self) -> Policy {
        let server = [self.server_pid.to_string(), self.server_started.0.to_string()];
        let words = server.iter().map(String::as_bytes).chain([&*self.name]);
        let (least, most) = (self.holdoff, self.holdoff_max);
        let holdoff = Holdoff { least, most, seed: holdoff::seed(words) };
        Policy { holdoff, signal_status: self.signal_status }
    }

    /// How it looks in the log.
    fn log_encoding(&self) -> Encoding {
        Encoding { telnet: false, stamp: self.log_stamp.clone() }
    }
}

/// How many are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    users: usize,
    loggers: usize,
}

#[derive(Debug)]
struct Client {
    role: Role,
    medium: Medium,
    outbox: Outbox,
    decoder: telnet::Decoder,
    /// How many bytes of answers to its telnet requests may still be staged.
    replies: usize,
    /// Bytes that it took since it came.
    taken: u64,
    pace: Pace,
}

impl Client {
    /// It is about to be passed, `alone` or with others: how long it is waited for.
    fn wait_from(&self, now: Moment, alone: bool) -> Pace {
        let stranger = alone && self.taken <= SURELY_READ;
        let patience = if stranger { STRANGER_PATIENCE } else { CLIENT_PATIENCE };
        Pace::Waited { until: now + patience, owed: CLIENT_PACE }
    }
}

/// Whether a client that is about to be passed is waited for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
enum Pace {
    /// It keeps up, or has not been looked at since it did.
    #[default]
    #[n(0)]
    Free,
    /// Until then, if by then it has taken so much more.
    #[n(1)]
    Waited {
        #[n(0)]
        until: Moment,
        #[n(1)]
        owed: usize,
    },
    /// It reads too slowly; not before it has caught up.
    #[n(2)]
    WrittenOff,
}

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
    /// Whether the log's trouble has been told, until it is over.
    log_trouble_told: bool,
    /// The other duties whose trouble has been told, until it is over: a bit each.
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
            log_trouble_told: false,
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
        if !matches!(event, Event::Output(_) | Event::OldOutput(_) | Event::Input { .. }) {
            self.revision += 1;
        }
        match event {
            Event::Output(bytes) => {
                if self.readiness.output(bytes)
                    && let Some(child) = self.supervisor.running()
                {
                    self.revision += 1;
                    self.journal.push_back(Entry::Ready(child.pid));
                }
                self.weave(Who::New, bytes, now);
            }
            Event::OldOutput(bytes) => self.weave(Who::Old, bytes, now),
            // A daemon closes its terminal.
            Event::OutputClosed if self.settings.daemonizes => {}
            Event::OutputClosed => {
                self.cancel_beside();
                self.effects.push_back(Effect::SignalGroup(SIGKILL));
            }
            Event::OldOutputClosed => self.signal_old(SIGKILL),
            Event::OldExited(status) => self.old_ended(status, now),
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
                self.say_line(&notice::start_failed(&self.settings, reason), now);
                if let Some(old) = old {
                    self.not_begun(old, now);
                }
            }
            Event::Exited(status) => self.child_ended(status, now),
            Event::Daemonized(pid) => self.daemonized(pid, now),
            Event::NoDaemon(reason) => self.not_daemonized(reason, now),
            Event::Swept(count) => self.swept(count, now),
            Event::Joined { id, role, medium } => self.join(id, role, medium),
            Event::Input { id, bytes } => self.receive(id, bytes, now),
            Event::Left { id, farewell } => self.leave(id, farewell),
            Event::Terminate => self.terminate(now),
            Event::ReopenLog => self.effects.push_back(Effect::ReopenLog),
            Event::LogFailed(reason) => self.log_failed(reason, now),
            Event::LogWorks => {
                let never_opened = matches!(self.settings.log, Some((_, false)));
                let told = std::mem::take(&mut self.log_trouble_told);
                if told || (never_opened && self.log.is_none()) {
                    self.journal.push_back(Entry::Works(Duty::Log));
                }
                let encoding = self.settings.log_encoding();
                let head = self.history.head();
                self.log.get_or_insert_with(|| Outbox::new(head, encoding));
            }
            Event::LogNotOpened(reason) => self.log_not_opened(reason),
            Event::Failed(duty, reason) => self.failed(duty, reason, now),
            Event::Works(duty) => self.works(duty),
            Event::AcceptFailed { endpoint, reason } => {
                let entry = Entry::NotAccepted(endpoint.to_owned(), reason.to_owned());
                self.journal.push_back(entry);
                self.say_line(&notice::accept_failed(endpoint, reason), now);
            }
            Event::Upgraded { version } => {
                self.journal.push_back(Entry::Upgraded);
                self.note(&notice::upgraded(version), now);
            }
            Event::Restarted => {
                self.journal.push_back(Entry::Restarted);
                self.say(&notice::restarted(), now);
            }
            Event::UpgradeFailed(reason) => {
                self.journal.push_back(Entry::NotUpgraded(reason.to_owned()));
                self.note(&notice::not_upgraded(reason), now);
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
            self.effects.push_back(Effect::Bury);
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
            self.say(&notice::ended(child, status), now);
        }
        self.say_shutting_down(now);
        self.input.clear();
        self.effects.push_back(Effect::Bury);
        self.leave_behind(leaving.then_some(0), now);
    }

    fn say_shutting_down(&mut self, now: Now) {
        let time = self.time(now.wall);
        self.say(&notice::shutting_down(&self.settings, self.supervisor.mode(), &time), now);
    }

    /// SIGTERM. A second one ends the grace period.
    fn terminate(&mut self, now: Now) {
        self.cancel_beside();
        if self.supervisor.is_forked() {
            self.supervisor.ended(ExitStatus::Code(0), now.mono);
            self.say_shutting_down(now);
            self.input.clear();
            self.effects.push_back(Effect::Bury);
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
            self.effects.push_back(Effect::SignalGroup(signal));
            self.signal_old(signal);
        }
    }

    fn join(&mut self, id: ClientId, role: Role, medium: Medium) {
        let encoding = self.settings.encoding(role, medium);
        // What only sends is given nothing.
        let from =
            if medium == Medium::Pipe { self.history.head() } else { self.history.replay_point() };
        let mut outbox = Outbox::new(from, encoding);
        if medium != Medium::Pipe {
            outbox.stage(&self.greeting(role));
        }
        if medium == Medium::Telnet {
            outbox.stage(&telnet::OFFER);
        }
        let decoder = telnet::Decoder::new();
        let client =
            Client { role, medium, outbox, decoder, replies: 0, taken: 0, pace: Pace::Free };
        self.clients.insert(id, client);
        self.journal.push_back(Entry::Joined(id));
    }

    fn leave(&mut self, id: ClientId, farewell: Farewell) {
        if self.clients.remove(&id).is_some() {
            self.journal.push_back(Entry::Left(id, farewell));
        }
    }

    fn greeting(&self, role: Role) -> Vec<u8> {
        let child = self.supervisor.running();
        let server_started = self.time(self.settings.server_started);
        let child_started = child.map(|child| self.time(child.started)).unwrap_or_default();
        let clients = match role {
            Role::User => Some(self.count()),
            Role::Logger => None,
        };
        let times = (&*server_started, &*child_started);
        notice::greeting(&self.settings, self.supervisor.mode(), child, times, clients)
    }

    fn count(&self) -> Count {
        let counted = self.clients.values().filter(|client| client.medium != Medium::Pipe);
        let loggers = counted.clone().filter(|client| client.role == Role::Logger).count();
        Count { users: counted.count() - loggers, loggers }
    }
}
