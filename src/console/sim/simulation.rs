//! Everything around the console: what happens, and the comparison with the oracle.

use std::time::Duration;

use super::clients::client::Client;
use super::oracle::Oracle;
use super::reached;
use super::settings::{self, SecondsFormatter};
use super::stream::sink::SinkFile;
use super::upgrade::Upgrades;
use crate::config::{CommandChars, RestartMode};
use crate::console::Console;
use crate::console::audit::AuditEvent;
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::{ChildSlot, Event, ExitStatus, Sink};
use crate::limits::{
    CLIENT_BUDGET, CLIENT_READS, CLIENT_WAIT, INPUT_MAX, INPUT_RESERVE, PTY_BUDGET, STAGE_MAX,
    STREAM_BUFFER_MAX, STREAM_BUFFER_MIN,
};
use crate::sim_support::Random;

const SECOND: u64 = 1_000_000_000;

/// The child's process as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    None,
    Running {
        output_closed: bool,
    },
    /// This signal has killed the process, and the server does not know yet.
    Killed(i32),
    Ended,
}

/// What there is much of in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    Normal,
    /// The child writes more than clients and sinks take.
    OutputFlood,
    /// Clients send more than the child reads.
    InputFlood,
    /// Clients give more commands than are obeyed one by one.
    CommandFlood,
}

pub struct Simulation {
    pub random: Random,
    /// True if each step is printed.
    pub verbose: bool,
    pub console: Console,
    pub oracle: Oracle,
    pub commands: CommandChars,
    pub stamp: Option<Vec<u8>>,
    pub pool: &'static [u8],
    pub load: Load,
    /// True if the child waits when it is to.
    pub waits: bool,
    pub upgrades: Upgrades,
    /// True if the child survives SIGKILL.
    pub immortal: bool,
    /// In nanoseconds.
    pub mono: u64,
    /// In seconds.
    pub wall_offset: i64,
    pub process: Process,
    pub old_process: Process,
    /// How many processes the last child left behind.
    pub orphans: usize,
    pub next_pid: i32,
    pub clients: Vec<Client>,
    pub next_client: u64,
    pub log: Option<SinkFile>,
    pub stdout: Option<SinkFile>,
    /// True if the server has exited.
    pub exited: bool,
}

impl Simulation {
    pub fn new(seed: u64, verbose: bool) -> Simulation {
        let mut random = Random::new(seed);
        let load = match seed % 32 {
            0 => Load::OutputFlood,
            16 => Load::InputFlood,
            8 | 24 => Load::CommandFlood,
            _ => Load::Normal,
        };
        let mut settings = settings::settings(&mut random);
        if matches!(load, Load::OutputFlood | Load::InputFlood) {
            // The server must not exit early.
            settings.restart.mode = RestartMode::On;
            settings.restart.wait = false;
            settings.restart.holdoff = Duration::ZERO;
            settings.console.commands =
                CommandChars { kill: Some(b'k'), toggle: None, logout: None };
        }
        if verbose {
            eprintln!("seed {seed}: {settings:?}");
        }
        // Standard output and syslog differ in their names only, so one of them is enough.
        let to_syslog = settings.to_stdout && random.one_in(2);
        settings.log.syslog = to_syslog.then(Vec::new);
        let sink = if to_syslog { Sink::Syslog } else { Sink::Stdout };
        let wanted = settings.to_stdout;
        settings.to_stdout &= !to_syslog;
        let stdout = wanted.then(|| SinkFile::new(sink, 0, None));
        let logs = settings.log_opened;
        let mut simulation = Simulation {
            verbose,
            commands: settings.console.commands,
            stamp: settings.log.stamp.clone(),
            pool: settings::pool(&mut random),
            load,
            waits: seed % 64 == 32,
            upgrades: Upgrades::of(seed),
            immortal: random.one_in(6),
            mono: random.pick(&[0, 1, 77 * SECOND]),
            wall_offset: 1_000_000_000,
            process: Process::None,
            old_process: Process::None,
            orphans: 0,
            next_pid: 100,
            clients: Vec::new(),
            next_client: 1,
            log: None,
            stdout,
            exited: false,
            console: Console::new(settings.clone(), Box::new(SecondsFormatter)),
            oracle: Oracle::new(settings),
            random,
        };
        if logs {
            simulation.log_opened();
        }
        simulation
    }

    pub fn run(mut self) {
        for step in 0..150 + self.random.below(100) {
            self.trace(|_| format!("step {step}"));
            self.act();
            if !self.random.one_in(4) {
                self.drain();
            }
            self.upgrade();
            self.check();
            if self.exited {
                break;
            }
        }
        self.settle();
    }

    /// One event, chosen at random.
    fn act(&mut self) {
        match self.random.below(68) {
            0..8 => self.pass_time(),
            8..12 => self.timeout(),
            12..26 => self.child_writes(),
            26..30 => self.child_reads(),
            30 => self.child_ends(),
            31..33 => self.join(),
            33..40 => self.client_sends(),
            40..42 => self.client_requests(),
            42..52 => self.client_reads(),
            52 => self.client_changes(),
            53..61 => self.sink_works(),
            61 => self.console.release_idle_memory(),
            62 => self.rare_event(),
            64..67 => self.old_child_acts(),
            67 => self.requests_reload(),
            _ => {
                if self.random.one_in(8) {
                    self.settle();
                }
            }
        }
    }

    pub fn now(&self) -> Timestamps {
        let wall = UnixTime::from_secs(self.wall_offset + (self.mono / SECOND) as i64);
        Timestamps { mono: Monotonic(self.mono), wall }
    }

    pub fn trace(&self, what: impl FnOnce(&Simulation) -> String) {
        if self.verbose {
            eprintln!("{:.9}: {}", self.mono as f64 / SECOND as f64, what(self));
        }
    }

    pub fn handle(&mut self, event: Event<'_>) {
        self.console.handle(event, self.now());
    }

    fn pass_time(&mut self) {
        let deadline = self.oracle.deadline().unwrap_or(0).max(self.mono);
        self.mono = match self.random.below(6) {
            0 => self.mono + 1,
            1 => self.mono + self.random.below(2_000_000_000) as u64,
            2 => self.mono + self.random.below(20) as u64 * SECOND,
            3 => deadline.saturating_sub(1).max(self.mono),
            _ => deadline,
        };
        if self.random.one_in(10) {
            self.wall_offset += self.random.below(10_000) as i64 - 5_000;
        }
        self.trace(|simulation| format!("it is {:?}", simulation.now()));
        if self.random.one_in(2) {
            self.timeout();
        }
    }

    fn timeout(&mut self) {
        let now = self.now();
        self.trace(|_| "timeout".to_owned());
        self.console.handle_timeout(now);
        self.oracle.time_passed(now);
    }

    fn child_writes(&mut self) {
        if self.old_process != Process::None {
            self.drain();
        }
        if self.process != (Process::Running { output_closed: false }) {
            return;
        }
        if self.load == Load::OutputFlood && self.random.one_in(3) {
            let most = if self.waits { 80 } else { 32 };
            for _ in 0..self.random.below(most) {
                self.trickle();
                let count = PTY_BUDGET - self.random.length(5000);
                self.child_writes_bytes(count);
            }
        } else {
            let count = self.random.length(2000);
            self.child_writes_bytes(count);
        }
    }

    fn child_writes_bytes(&mut self, count: usize) {
        if self.waits {
            self.update_backpressure();
            let now = Monotonic(self.mono);
            if let Some(until) = self.console.backpressure_deadline(now) {
                if until > now + CLIENT_WAIT {
                    reached("the child was to wait for a client that reads");
                }
                return;
            }
        }
        if !self.console.has_room_for(ChildSlot::Current) {
            reached("a child had to wait for the other's line");
            return;
        }
        let from = self.random.below(self.pool.len() - count);
        let bytes = &self.pool[from..from + count];
        self.trace(|simulation| {
            format!("{count} bytes of output at {}", simulation.oracle.stream.head())
        });
        self.handle(Event::Output(ChildSlot::Current, bytes));
        self.oracle.child_output(false, bytes, self.now());
    }

    fn child_reads(&mut self) {
        if self.process == Process::None {
            return;
        }
        let (first, second) = self.console.child_input();
        let offered = [first, second].concat();
        let count = self.random.length(offered.len());
        let expected: Vec<u8> = self.oracle.input.iter().take(count).copied().collect();
        assert!(offered[..count] == expected, "input of the child");
        self.console.child_input_written(count);
        self.oracle.input_read(count);
        self.trace(|_| format!("child reads {count}"));
    }

    fn child_ends(&mut self) {
        if self.old_process != Process::None {
            self.drain();
        }
        let Process::Running { output_closed } = self.process else {
            return;
        };
        if !output_closed && self.random.one_in(4) {
            self.trace(|_| "child closes its terminal".to_owned());
            self.process = Process::Running { output_closed: true };
            self.handle(Event::OutputClosed(ChildSlot::Current));
            self.oracle.output_closed();
        } else {
            let code = ExitStatus::Code(self.random.pick(&[0, 1, 255]));
            let status = self.random.pick(&[code, ExitStatus::Signal(11), ExitStatus::Unknown]);
            self.child_ends_with(status);
        }
    }

    pub fn child_ends_with(&mut self, status: ExitStatus) {
        self.trace(|_| format!("child ends: {status:?}"));
        self.process = Process::Ended;
        self.handle(Event::Exited(ChildSlot::Current, status));
        self.oracle.ended(status, self.now());
    }

    fn rare_event(&mut self) {
        let now = self.now();
        match self.random.below(9) {
            8 => self.upgrade_failed(),
            0..2 => {
                self.trace(|_| "SIGTERM".to_owned());
                self.console.handle(Event::Terminate, now);
                self.oracle.terminate(now);
            }
            2..5 => {
                self.trace(|_| "SIGHUP".to_owned());
                self.console.handle(Event::ReopenLog, now);
                self.oracle.reopen();
            }
            _ => {
                self.trace(|_| "accept failed".to_owned());
                let (endpoint, reason) = ("tcp:0.0.0.0:1", "Too many open files");
                self.console.handle(Event::AcceptFailed { endpoint, reason }, now);
                self.oracle.accept_failed(endpoint, reason, now);
            }
        }
    }

    /// Carries out the console's effects, which have to be those of the oracle.
    pub fn drain(&mut self) {
        while let Some(effect) = self.console.poll_effect() {
            self.trace(|_| format!("effect {effect:?}"));
            assert_eq!(Some(effect), self.oracle.effects.pop_front());
            self.apply_effect(effect);
            self.upgrade();
        }
        assert_eq!(
            self.oracle.effects.pop_front(),
            None,
            "effects that the console did not ask for"
        );
        if self.report_killed() {
            self.drain();
        }
        self.drop_departed();
        self.check_audit_events();
    }

    /// Everything is recorded, and nothing else.
    pub fn check_audit_events(&mut self) {
        while let Some(event) = self.console.poll_audit_event() {
            self.trace(|_| format!("recorded {event:?}"));
            // The oracle does not know how many bytes a log lacks.
            let event = match event {
                AuditEvent::Recovered(subsystem, _) => AuditEvent::Recovered(subsystem, 0),
                event => event,
            };
            assert_eq!(Some(event), self.oracle.audit_events.pop_front());
        }
        assert_eq!(self.oracle.audit_events.pop_front(), None, "not recorded");
    }

    /// Checks what has to hold at any time.
    fn check(&mut self) {
        let deadline = self.console.deadline().map(|deadline| deadline.0);
        assert_eq!(deadline, self.oracle.deadline(), "deadline");
        assert!(self.console.stream.memory() <= self.oracle.stream.capacity());
        let input = self.oracle.input.len();
        let (first, second) = self.console.child_input();
        assert_eq!(first.len() + second.len(), input, "input of the child");
        assert!(input <= INPUT_MAX + CLIENT_BUDGET + 16 * (INPUT_RESERVE + CLIENT_BUDGET));
        for client in &self.clients {
            if let Some(known) = self.console.clients.get(&client.id) {
                assert!(known.reader.memory() <= 4 * STAGE_MAX, "{}", known.reader.memory());
            }
            let room = input < INPUT_MAX || self.oracle.share(client.id) < INPUT_RESERVE;
            let accepts = self.console.accepts_input(client.id);
            if !room {
                reached("the queue to the child was full");
            }
            if input >= INPUT_MAX && accepts {
                reached("a client was heard although the queue was full");
            }
            assert!(room || !accepts, "a full queue");
            let known = self.console.clients.get(&client.id);
            // Replies count until nothing is staged, because they cannot be told from other bytes.
            let read_replies = known.is_some_and(|known| known.reader.staged() == 0);
            assert!(!room || !read_replies || accepts, "a client is not read");
        }
        self.update_backpressure();
        let now = Monotonic(self.mono);
        if let Some(until) = self.console.backpressure_deadline(now) {
            reached("the child was to wait for a client");
            assert!(until > now && until <= now + CLIENT_READS);
            let offsets = self.clients.iter().map(|client| client.check.offset);
            let behind = self.oracle.stream.head() - offsets.min().unwrap();
            let usual = STREAM_BUFFER_MAX + self.oracle.settings.console.history;
            assert!(behind > usual - 2 * PTY_BUDGET);
        }
        if let Some(log) = &self.log {
            let behind = self.oracle.stream.head() - log.taken();
            assert_eq!(self.console.log_has_room(), behind <= STREAM_BUFFER_MAX - 2 * PTY_BUDGET);
        }
    }

    /// Every reader takes everything. After that, only time brings something to do.
    fn settle(&mut self) {
        self.trace(|_| "every reader takes everything".to_owned());
        self.drain();
        for is_log in [true, false] {
            while self.sink_takes(is_log, false) || !self.sink_writes(is_log, false) {}
        }
        assert!(
            [Sink::Log, Sink::Stdout, Sink::Syslog]
                .iter()
                .all(|&sink| self.console.is_sink_drained(sink))
        );
        for index in 0..self.clients.len() {
            self.clients[index].trickles = false;
            while self.reads(index, usize::MAX) {}
        }
        self.console.release_idle_memory();
        // The bytes for new clients fill a quarter of the memory or more.
        let kept = self.oracle.settings.console.history.min(self.oracle.stream.head()) + 1;
        assert!(self.console.stream.memory() <= STREAM_BUFFER_MIN.max(4 * kept));
        for client in &self.clients {
            if let Some(known) = self.console.clients.get(&client.id)
                && client.kind.reads_stream()
            {
                assert_eq!(known.reader.memory(), 0);
            }
        }
        self.check();
    }
}
