//! Everything around the console: what happens, and the comparison with the oracle.

use std::time::Duration;

use super::client::Client;
use super::disk::Disk;
use super::oracle::Oracle;
use super::random::Random;
use super::seen;
use super::settings;
use super::stream::Clockwork;
use super::upgrade::Upgrades;
use crate::config::{CommandChars, RestartMode};
use crate::console::Console;
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::{ChildSlot, ClientKind, Event, ExitStatus, Sink};
use crate::limits::{
    CLIENT_BUDGET, CLIENT_WAIT, INPUT_MAX, INPUT_RESERVE, PTY_BUDGET, STAGE_MAX, STREAM_BUFFER_MAX,
    STREAM_BUFFER_MIN,
};

const SECOND: u64 = 1_000_000_000;

/// The process, as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kid {
    None,
    Runs {
        terminal_closed: bool,
    },
    /// A signal has killed it, of which the server has not heard.
    Struck(i32),
    Ended,
}

/// What a world is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Common,
    /// The child writes more than anybody takes.
    Flood,
    /// Clients send more than the child takes.
    Paste,
}

pub struct World {
    pub random: Random,
    pub told: bool,
    pub console: Console,
    pub oracle: Oracle,
    pub commands: CommandChars,
    pub stamp: Option<Vec<u8>>,
    pub pool: &'static [u8],
    pub kind: Kind,
    pub upgrades: Upgrades,
    /// Does not even end when killed.
    pub immortal: bool,
    pub mono: u64,
    pub wall_offset: i64,
    pub kid: Kid,
    pub old_kid: Kid,
    /// What the last one left behind.
    pub orphans: usize,
    pub next_pid: i32,
    pub clients: Vec<Client>,
    pub next_client: u64,
    pub log: Option<Disk>,
    pub stdout: Option<Disk>,
    pub left: bool,
}

impl World {
    pub fn new(seed: u64, told: bool) -> World {
        let mut random = Random::new(seed);
        let kind = match seed % 32 {
            0 => Kind::Flood,
            16 => Kind::Paste,
            _ => Kind::Common,
        };
        let mut settings = settings::settings(&mut random);
        if kind != Kind::Common {
            // It has to last.
            settings.restart.mode = RestartMode::On;
            settings.restart.wait = false;
            settings.restart.holdoff = Duration::ZERO;
            settings.console.commands =
                CommandChars { kill: Some(b'k'), toggle: None, logout: None };
        }
        if told {
            eprintln!("seed {seed}: {settings:?}");
        }
        // One of the two that differ in nothing but their names.
        let to_syslog = settings.to_stdout && random.one_in(2);
        settings.log.syslog = to_syslog.then(Vec::new);
        let sink = if to_syslog { Sink::Syslog } else { Sink::Stdout };
        let wanted = settings.to_stdout;
        settings.to_stdout &= !to_syslog;
        let stdout = wanted.then(|| Disk::new(sink, 0, None));
        let logs = settings.log_opened;
        let mut world = World {
            told,
            commands: settings.console.commands,
            stamp: settings.log.stamp.clone(),
            pool: settings::pool(&mut random),
            kind,
            upgrades: Upgrades::of(seed),
            immortal: random.one_in(6),
            mono: random.pick(&[0, 1, 77 * SECOND]),
            wall_offset: 1_000_000_000,
            kid: Kid::None,
            old_kid: Kid::None,
            orphans: 0,
            next_pid: 100,
            clients: Vec::new(),
            next_client: 1,
            log: None,
            stdout,
            left: false,
            console: Console::new(settings.clone(), Box::new(Clockwork)),
            oracle: Oracle::new(settings),
            random,
        };
        if logs {
            world.log_opened();
        }
        world
    }

    pub fn run(mut self) {
        for step in 0..150 + self.random.below(100) {
            self.tell(|_| format!("step {step}"));
            self.act();
            if !self.random.one_in(4) {
                self.drain();
            }
            self.upgrade();
            self.check();
            if self.left {
                break;
            }
        }
        self.settle();
    }

    /// Something happens.
    fn act(&mut self) {
        match self.random.below(68) {
            0..8 => self.pass_time(),
            8..12 => self.time_out(),
            12..26 => self.child_writes(),
            26..30 => self.child_reads(),
            30 => self.child_ends(),
            31..33 => self.join(),
            33..42 => self.client_sends(),
            42..52 => self.client_reads(),
            52 => self.client_changes(),
            53..61 => self.disk_works(),
            61 => self.console.release_idle_memory(),
            62 => self.rare_event(),
            64..67 => self.old_child_acts(),
            67 => self.asks_for_another(),
            _ => {
                if self.random.one_in(8) {
                    self.settle();
                }
            }
        }
    }

    pub fn now(&self) -> Timestamps {
        let wall = UnixTime(self.wall_offset + (self.mono / SECOND) as i64);
        Timestamps { mono: Monotonic(self.mono), wall }
    }

    pub fn tell(&self, what: impl FnOnce(&World) -> String) {
        if self.told {
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
        self.tell(|world| format!("it is {:?}", world.now()));
        if self.random.one_in(2) {
            self.time_out();
        }
    }

    fn time_out(&mut self) {
        let now = self.now();
        self.tell(|_| "timeout".to_owned());
        self.console.handle_timeout(now);
        self.oracle.time_passed(now);
    }

    fn child_writes(&mut self) {
        if self.old_kid != Kid::None {
            self.drain();
        }
        if self.kid != (Kid::Runs { terminal_closed: false }) {
            return;
        }
        if self.kind == Kind::Flood && self.random.one_in(3) {
            for _ in 0..self.random.below(32) {
                let count = PTY_BUDGET - self.random.length(5000);
                self.child_writes_bytes(count);
            }
        } else {
            let count = self.random.length(2000);
            self.child_writes_bytes(count);
        }
    }

    fn child_writes_bytes(&mut self, count: usize) {
        if !self.console.has_room_for(ChildSlot::Current) {
            seen("a child had to wait for the other's line");
            return;
        }
        let from = self.random.below(self.pool.len() - count);
        let bytes = &self.pool[from..from + count];
        self.tell(|world| format!("{count} bytes of output at {}", world.oracle.stream.head()));
        self.handle(Event::Output(ChildSlot::Current, bytes));
        self.oracle.woven(false, bytes, self.now());
    }

    fn child_reads(&mut self) {
        if self.kid == Kid::None {
            return;
        }
        let (first, second) = self.console.child_input();
        let offered = [first, second].concat();
        let count = self.random.length(offered.len());
        let expected: Vec<u8> = self.oracle.input.iter().take(count).copied().collect();
        assert!(offered[..count] == expected, "input of the child");
        self.console.child_input_written(count);
        self.oracle.read_by_child(count);
        self.tell(|_| format!("child reads {count}"));
    }

    fn child_ends(&mut self) {
        if self.old_kid != Kid::None {
            self.drain();
        }
        let Kid::Runs { terminal_closed } = self.kid else {
            return;
        };
        if !terminal_closed && self.random.one_in(4) {
            self.tell(|_| "child closes its terminal".to_owned());
            self.kid = Kid::Runs { terminal_closed: true };
            self.handle(Event::OutputClosed(ChildSlot::Current));
            self.oracle.terminal_closed();
        } else {
            let code = ExitStatus::Code(self.random.pick(&[0, 1, 255]));
            let status = self.random.pick(&[code, ExitStatus::Signal(11), ExitStatus::Unknown]);
            self.child_ends_with(status);
        }
    }

    pub fn child_ends_with(&mut self, status: ExitStatus) {
        self.tell(|_| format!("child ends: {status:?}"));
        self.kid = Kid::Ended;
        self.handle(Event::Exited(ChildSlot::Current, status));
        self.oracle.ended(status, self.now());
    }

    fn rare_event(&mut self) {
        let now = self.now();
        match self.random.below(9) {
            8 => self.upgrade_failed(),
            0..2 => {
                self.tell(|_| "SIGTERM".to_owned());
                self.console.handle(Event::Terminate, now);
                self.oracle.terminate(now);
            }
            2..5 => {
                self.tell(|_| "SIGHUP".to_owned());
                self.console.handle(Event::ReopenLog, now);
                self.oracle.reopen();
            }
            _ => {
                self.tell(|_| "accept failed".to_owned());
                let (endpoint, reason) = ("tcp:0.0.0.0:1", "Too many open files");
                self.console.handle(Event::AcceptFailed { endpoint, reason }, now);
                self.oracle.accept_failed(endpoint, reason, now);
            }
        }
    }

    /// Does what the console decided; it must be what the oracle decided.
    pub fn drain(&mut self) {
        while let Some(effect) = self.console.poll_effect() {
            self.tell(|_| format!("effect {effect:?}"));
            assert_eq!(Some(effect), self.oracle.effects.pop_front());
            self.obey(effect);
            self.upgrade();
        }
        assert_eq!(self.oracle.effects.pop_front(), None, "not done");
        if self.struck_end() {
            self.drain();
        }
        self.drop_departed();
        self.check_entries();
    }

    /// What is recorded accounts for everything.
    pub fn check_entries(&mut self) {
        while let Some(entry) = self.console.poll_audit_event() {
            self.tell(|_| format!("entry {entry:?}"));
            assert_eq!(Some(entry), self.oracle.entries.pop_front());
        }
        assert_eq!(self.oracle.entries.pop_front(), None, "not recorded");
    }

    /// What has to hold at any time.
    fn check(&mut self) {
        let deadline = self.console.deadline().map(|moment| moment.0);
        assert_eq!(deadline, self.oracle.deadline(), "deadline");
        assert!(self.console.stream.memory() <= self.oracle.stream.held());
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
                seen("the queue to the child was full");
            }
            if input >= INPUT_MAX && accepts {
                seen("a client was heard although the queue was full");
            }
            assert!(room || !accepts, "a full queue");
            let known = self.console.clients.get(&client.id);
            // Answers count until all that is staged is gone, as nobody can tell them apart.
            let answers = known.is_some_and(|known| known.reader.staged() == 0);
            assert!(!room || !answers || accepts, "deaf");
        }
        let now = Monotonic(self.mono);
        self.console.update_backpressure(now);
        if let Some(until) = self.console.backpressure_deadline(now) {
            seen("the child was to wait for a client");
            assert!(until > now && until <= now + CLIENT_WAIT);
            let places = self.clients.iter().map(|client| client.follower.place);
            let behind = self.oracle.stream.head() - places.min().unwrap();
            assert!(behind > self.oracle.stream.held() - 2 * PTY_BUDGET);
        }
        if let Some(log) = &self.log {
            let behind = self.oracle.stream.head() - log.taken();
            assert_eq!(self.console.log_has_room(), behind <= STREAM_BUFFER_MAX - 2 * PTY_BUDGET);
        }
    }

    /// Everybody takes everything; then nothing is left to do but what time brings.
    fn settle(&mut self) {
        self.tell(|_| "all is delivered".to_owned());
        self.drain();
        for is_log in [true, false] {
            while self.disk_takes(is_log, false) || !self.disk_steps(is_log, false) {}
        }
        assert!(
            [Sink::Log, Sink::Stdout, Sink::Syslog]
                .iter()
                .all(|&sink| self.console.is_sink_drained(sink))
        );
        for index in 0..self.clients.len() {
            while self.reads(index, usize::MAX) {}
        }
        self.console.release_idle_memory();
        // What is kept for clients to come fills a quarter of the memory or more.
        let kept = self.oracle.settings.console.history.min(self.oracle.stream.head()) + 1;
        assert!(self.console.stream.memory() <= STREAM_BUFFER_MIN.max(4 * kept));
        for client in &self.clients {
            if let Some(known) = self.console.clients.get(&client.id)
                && client.medium != ClientKind::Pipe
            {
                assert_eq!(known.reader.memory(), 0);
            }
        }
        self.check();
    }
}
