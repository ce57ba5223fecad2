//! Everything around the console: what happens, and the comparison with the oracle.

use super::super::Console;
use super::super::clock::{Moment, Now, UnixTime};
use super::super::event::{ClientId, Effect, Event, ExitStatus, Medium, Role, Sink};
use super::client::Client;
use super::disk::{Disk, News};
use super::oracle::Oracle;
use super::random::Random;
use super::settings;
use super::stream::{Clockwork, Follower, show};
use crate::config::CommandChars;
use crate::limits::{
    CLIENT_BUDGET, HISTORY_MAX, HISTORY_MIN, INPUT_MAX, INPUT_RESERVE, PTY_BUDGET, STAGE_MAX,
};
use crate::telnet;

const SECOND: u64 = 1_000_000_000;

/// The process, as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kid {
    None,
    Runs { terminal_closed: bool },
    Ended,
}

pub struct World {
    random: Random,
    told: bool,
    console: Console,
    oracle: Oracle,
    commands: CommandChars,
    stamp: Option<Vec<u8>>,
    pool: &'static [u8],
    /// Writes a lot at once.
    heavy: bool,
    /// Does not even end when killed.
    immortal: bool,
    mono: u64,
    wall_offset: i64,
    kid: Kid,
    next_pid: i32,
    clients: Vec<Client>,
    next_client: u64,
    log: Option<Disk>,
    stdout: Option<Disk>,
    left: bool,
}

impl World {
    pub fn new(seed: u64, told: bool) -> World {
        let mut random = Random::new(seed);
        let settings = settings::settings(&mut random);
        if told {
            eprintln!("seed {seed}: {settings:?}");
        }
        let stdout = settings.to_stdout.then(|| Disk::new(Sink::Stdout, 0, None));
        let logs = settings.log.as_ref().is_some_and(|log| log.1);
        let mut world = World {
            told,
            commands: settings.commands,
            stamp: settings.log_stamp.clone(),
            pool: settings::pool(&mut random),
            heavy: seed.is_multiple_of(16),
            immortal: random.one_in(6),
            mono: random.pick(&[0, 1, 77 * SECOND]),
            wall_offset: 1_000_000_000,
            kid: Kid::None,
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
            self.check();
            if self.left {
                break;
            }
        }
        self.settle();
    }

    /// Something happens.
    fn act(&mut self) {
        match self.random.below(64) {
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
            61 => self.console.rest(),
            62 => self.rare_event(),
            _ => {
                if self.random.one_in(8) {
                    self.settle();
                }
            }
        }
    }

    fn now(&self) -> Now {
        let wall = UnixTime(self.wall_offset + (self.mono / SECOND) as i64);
        Now { mono: Moment(self.mono), wall }
    }

    fn tell(&self, what: impl FnOnce(&World) -> String) {
        if self.told {
            eprintln!("{:.9}: {}", self.mono as f64 / SECOND as f64, what(self));
        }
    }

    fn handle(&mut self, event: Event<'_>) {
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
        if self.kid != (Kid::Runs { terminal_closed: false }) {
            return;
        }
        let most = if self.heavy && !self.random.one_in(3) { PTY_BUDGET } else { 2000 };
        let count = if self.heavy { self.random.below(most) } else { self.random.length(most) };
        let from = self.random.below(self.pool.len() - count);
        let bytes = &self.pool[from..from + count];
        self.tell(|world| format!("{count} bytes of output at {}", world.oracle.stream.head()));
        self.handle(Event::Output(bytes));
        self.oracle.output(bytes, self.now());
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
        let Kid::Runs { terminal_closed } = self.kid else {
            return;
        };
        if !terminal_closed && self.random.one_in(4) {
            self.tell(|_| "child closes its terminal".to_owned());
            self.kid = Kid::Runs { terminal_closed: true };
            self.handle(Event::OutputClosed);
            self.oracle.terminal_closed();
        } else {
            let code = ExitStatus::Code(self.random.pick(&[0, 1, 255]));
            let status = self.random.pick(&[code, ExitStatus::Signal(11)]);
            self.child_ends_with(status);
        }
    }

    fn child_ends_with(&mut self, status: ExitStatus) {
        self.tell(|_| format!("child ends: {status:?}"));
        self.kid = Kid::Ended;
        self.handle(Event::Exited(status));
        self.oracle.ended(status, self.now());
    }

    fn join(&mut self) {
        if self.clients.len() >= 6 {
            return;
        }
        let id = ClientId(self.next_client);
        self.next_client += 1;
        let (role, medium) = self.random.pick(&[
            (Role::User, Medium::Telnet),
            (Role::User, Medium::Telnet),
            (Role::User, Medium::Telnet),
            (Role::User, Medium::Terminal),
            (Role::User, Medium::Pipe),
            (Role::Logger, Medium::Telnet),
            (Role::Logger, Medium::Telnet),
        ]);
        self.tell(|_| format!("{id:?} joins: {role:?} {medium:?}"));
        self.handle(Event::Joined { id, role, medium });
        if self.oracle.exiting {
            return;
        }
        let mut greeting = match medium {
            Medium::Pipe => Vec::new(),
            Medium::Telnet | Medium::Terminal => self.oracle.greeting(role),
        };
        let telnet = medium == Medium::Telnet;
        if telnet {
            greeting.extend_from_slice(&telnet::OFFER);
        }
        let stamp = self.stamp.clone().filter(|_| role == Role::Logger);
        let follower = Follower::new(self.oracle.stream.head(), telnet, stamp);
        self.clients.push(Client::new(id, role, medium, greeting, follower));
        self.count_clients();
    }

    fn count_clients(&mut self) {
        let counted = self.clients.iter().filter(|client| client.medium != Medium::Pipe);
        let (users, loggers): (Vec<_>, _) = counted.partition(|client| client.role == Role::User);
        (self.oracle.users, self.oracle.loggers) = (users.len(), loggers.len());
    }

    fn client_sends(&mut self) {
        let Some(index) = self.any_client() else {
            return;
        };
        let client = &mut self.clients[index];
        let id = client.id;
        if client.unread() < 2 * CLIENT_BUDGET {
            let pastes = if self.heavy { self.random.below(4) } else { 1 };
            for _ in 0..pastes {
                client.type_something(&mut self.random, self.commands, self.pool);
            }
        }
        // The child does not keep up in a paste: read on as long as the console does.
        let reads = if self.heavy && self.random.one_in(4) { 80 } else { 1 };
        for _ in 0..reads {
            let client = &mut self.clients[index];
            if reads > 1 && client.unread() < CLIENT_BUDGET {
                client.type_something(&mut self.random, NO_COMMANDS, self.pool);
            }
            if client.leaving || !self.console.accepts_input(id) || client.unread() == 0 {
                continue;
            }
            let most = if reads > 1 { CLIENT_BUDGET } else { 1 + self.random.length(200) };
            let listens = client.role == Role::User && !self.oracle.exiting;
            let (sent, typed) = client.send(most, listens);
            let now = self.now();
            self.tell(|_| format!("{id:?} sends {}", show(&sent)));
            self.console.handle(Event::Input { id, bytes: &sent }, now);
            if listens {
                self.oracle.typed(id, &typed, now);
            }
        }
    }

    fn any_client(&mut self) -> Option<usize> {
        let count = self.clients.len();
        (count > 0).then(|| self.random.below(count))
    }

    fn client_reads(&mut self) {
        if let Some(index) = self.any_client()
            && !self.clients[index].stalled
        {
            let most = self.random.pick(&[1, 7, 100, 5000, usize::MAX]);
            self.reads(index, most);
        }
    }

    /// One write to a client takes at most so many bytes. Whether there was anything.
    fn reads(&mut self, index: usize, most: usize) -> bool {
        let client = &mut self.clients[index];
        if client.medium == Medium::Pipe {
            return false;
        }
        let stream = &self.oracle.stream;
        let served = self.console.is_served(client.id);
        let (first, second) = self.console.output(client.id);
        assert_eq!(first.is_empty(), served);
        assert!(!first.is_empty() || second.is_empty());
        client.offered(first, stream);
        let first = &first[..first.len().min(most)];
        client.get(first, stream);
        let second = &second[..second.len().min(most - first.len())];
        client.get(second, stream);
        let count = first.len() + second.len();
        self.console.written(client.id, count, Moment(self.mono));
        assert!(!served || client.is_complete(stream), "{client:?} is not served");
        if self.told && count > 0 {
            let id = self.clients[index].id;
            self.tell(|world| {
                format!("{id:?} reads {count} to {}", world.clients[index].follower.place)
            });
        }
        count > 0
    }

    fn client_changes(&mut self) {
        let Some(index) = self.any_client() else {
            return;
        };
        let client = &mut self.clients[index];
        if self.random.one_in(3) {
            client.leaving = true;
            self.drop_departed();
        } else {
            client.stalled = !client.stalled;
        }
    }

    fn drop_departed(&mut self) {
        for client in self.clients.extract_if(.., |client| client.leaving) {
            if self.told {
                eprintln!("{:?} is gone", client.id);
            }
            let now = Now { mono: Moment(self.mono), wall: UnixTime(0) };
            self.console.handle(Event::Left { id: client.id }, now);
        }
        self.count_clients();
    }

    fn log_opened(&mut self) {
        self.handle(Event::LogWorks);
        self.oracle.log_works();
        if !self.oracle.exiting && self.log.is_none() {
            self.log = Some(Disk::new(Sink::Log, self.oracle.stream.head(), self.stamp.clone()));
        }
    }

    fn disk_works(&mut self) {
        let is_log = self.random.one_in(2);
        for _ in 0..=self.random.below(3) {
            let give_up = self.random.one_in(2);
            self.disk_takes(is_log, give_up);
        }
        for _ in 0..self.random.below(4) {
            self.disk_steps(is_log, true);
        }
    }

    fn disk_takes(&mut self, is_log: bool, give_up: bool) -> bool {
        let disk = if is_log { &mut self.log } else { &mut self.stdout };
        disk.as_mut().is_some_and(|disk| disk.take(&mut self.console, &self.oracle.stream, give_up))
    }

    /// Whether the file has everything afterwards.
    fn disk_steps(&mut self, is_log: bool, may_fail: bool) -> bool {
        let disk = if is_log { &mut self.log } else { &mut self.stdout };
        let Some(disk) = disk else {
            return true;
        };
        let fails = may_fail && self.random.one_in(if disk.failing { 2 } else { 12 });
        let fails = fails.then_some(&mut self.random);
        let news = disk.step(&mut self.console, &self.oracle.stream, fails);
        let complete = disk.is_complete(&self.oracle.stream);
        self.tell(|_| format!("disk (log: {is_log}): {news:?}"));
        if is_log {
            self.news_of_log(&news);
        }
        complete && news == News::None
    }

    fn news_of_log(&mut self, news: &News) {
        match news {
            News::None => {}
            News::Failed if self.oracle.exiting => {}
            News::Failed => {
                self.handle(Event::LogFailed("No space left on device"));
                self.oracle.log_failed("No space left on device", self.now());
            }
            News::Works => self.log_opened(),
        }
    }

    fn rare_event(&mut self) {
        let now = self.now();
        match self.random.below(8) {
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
    fn drain(&mut self) {
        while let Some(effect) = self.console.poll_effect() {
            self.tell(|_| format!("effect {effect:?}"));
            assert_eq!(Some(effect), self.oracle.effects.pop_front());
            self.obey(effect);
        }
        assert_eq!(self.oracle.effects.pop_front(), None, "not done");
        self.drop_departed();
    }

    fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn => {
                assert_eq!(self.kid, Kid::None, "two children");
                let now = self.now();
                if self.random.one_in(6) {
                    self.console.handle(Event::SpawnFailed("No more processes"), now);
                    self.oracle.not_started("No more processes", now);
                } else {
                    let pid = self.next_pid;
                    self.next_pid += 1;
                    self.kid = Kid::Runs { terminal_closed: false };
                    self.console.handle(Event::Spawned(pid), now);
                    self.oracle.started(pid, now);
                }
            }
            Effect::SignalGroup(signal) => {
                let kills = signal == 9 && !self.immortal || self.random.one_in(3);
                if matches!(self.kid, Kid::Runs { .. }) && kills {
                    self.child_ends_with(ExitStatus::Signal(signal));
                }
            }
            Effect::Bury => {
                assert_eq!(self.kid, Kid::Ended);
                self.kid = Kid::None;
            }
            Effect::Disconnect(id) => {
                for client in self.clients.iter_mut().filter(|client| client.id == id) {
                    client.leaving = true;
                }
            }
            Effect::ReopenLog => {
                if self.console.settings.log.is_some() && !self.random.one_in(3) {
                    self.log_opened();
                }
            }
            Effect::Exit(_) => self.left = true,
        }
    }

    /// What has to hold at any time.
    fn check(&mut self) {
        let deadline = self.console.deadline().map(|moment| moment.0);
        assert_eq!(deadline, self.oracle.deadline(), "deadline");
        assert!(self.console.history.memory() <= HISTORY_MAX);
        let input = self.oracle.input.len();
        let (first, second) = self.console.child_input();
        assert_eq!(first.len() + second.len(), input, "input of the child");
        assert!(input <= INPUT_MAX + CLIENT_BUDGET + 16 * (INPUT_RESERVE + CLIENT_BUDGET));
        for client in &self.clients {
            if let Some(known) = self.console.clients.get(&client.id) {
                assert!(known.outbox.memory() <= 4 * STAGE_MAX, "{}", known.outbox.memory());
            }
            let room = input < INPUT_MAX || self.oracle.share(client.id) < INPUT_RESERVE;
            let accepts = self.console.accepts_input(client.id);
            assert!(room || !accepts, "a full queue");
            assert!(!room || accepts || !client.is_complete(&self.oracle.stream), "deaf");
        }
        if let Some(log) = &self.log {
            let behind = self.oracle.stream.head() - log.taken();
            assert_eq!(self.console.log_has_room(), behind <= HISTORY_MAX - 2 * PTY_BUDGET);
        }
    }

    /// Everybody takes everything; then nothing is left to do but what time brings.
    fn settle(&mut self) {
        self.tell(|_| "all is delivered".to_owned());
        self.drain();
        for is_log in [true, false] {
            while self.disk_takes(is_log, false) || !self.disk_steps(is_log, false) {}
        }
        assert!([Sink::Log, Sink::Stdout].iter().all(|&sink| self.console.is_current(sink)));
        for index in 0..self.clients.len() {
            while self.reads(index, usize::MAX) {}
        }
        self.console.rest();
        assert!(self.console.history.memory() <= HISTORY_MIN);
        for client in &self.clients {
            if let Some(known) = self.console.clients.get(&client.id)
                && client.medium != Medium::Pipe
            {
                assert_eq!(known.outbox.memory(), 0);
            }
        }
        self.check();
    }
}

const NO_COMMANDS: CommandChars = CommandChars { kill: None, toggle: None, logout: None };
