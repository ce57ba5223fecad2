//! The server on a simulated operating system that refuses, shortens and delays everything.
//!
//! A seed decides a storm of connects, input, output, stalls, deaths, signals and faults. Then the
//! weather clears, and everybody must have what they are owed: each client the stream from where it
//! joined to its end, less what it was told it missed; the log the whole stream, less what it says
//! is missing; the child its input. A server that has nothing to do must sleep.
//! Nobody is told of a child that was not written down for after a crash.
//!
//! `SIM_SEED=N` runs one seed, `SIM_SEEDS=N` so many. A seed that fails prints its trace.

mod check;
mod crash;
mod peer_end;
mod records_check;
mod servers;
mod settings;
mod threads;
mod trace;
mod upgrade;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use mio::Token;

use self::peer_end::PeerEnd;
use self::settings::{HOLDOFF, OTHER, Seconds, settings};
use self::world::{Child, Id, Shared, SimulatedSystem, World};
use super::Server;
use super::os::Clock;
use crate::console::Console;
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::{ChildSlot, ClientId, ClientKind, Event, Role};
use crate::limits::STAGE_MAX;
use crate::sys::process::ExitStatus;

const LISTENER: Token = Token(0);

/// A run of one seed.
struct Run {
    seed: u64,
    world: Shared,
    server: Server<SimulatedSystem>,
    /// The reader that never fails: what it has is the stream.
    reference: Id,
    /// The length of its greeting.
    greeting: usize,
    /// The others, with the length of the stream when they joined, at least and at most.
    clients: BTreeMap<Id, (usize, usize)>,
    /// All of them that there ever were, with the reference.
    everybody: BTreeSet<Id>,
    /// What each client typed, until its connection ended.
    typed: u64,
    /// How often the server became another program.
    upgrades: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        let world = World::new(seed);
        let mut server = servers::fresh(&world, seed);
        let now = server.system.now();
        server.console.handle(Event::LogOpened, now);
        let reference = world.borrow_mut().add(usize::MAX);
        let end = PeerEnd::new(&world, reference, ClientKind::Terminal, 0);
        server.join(end, Role::User, "stdin", now);
        let greeting = server.console.output(ClientId(1)).0.len();
        Run {
            seed,
            world,
            server,
            reference,
            greeting,
            clients: BTreeMap::new(),
            everybody: BTreeSet::from([reference]),
            typed: 0,
            upgrades: 0,
        }
    }

    /// How long the stream is so far.
    fn stream_len(&self) -> usize {
        let mut world = self.world.borrow_mut();
        world.take(self.reference, usize::MAX);
        world.pipe(self.reference).received.len().saturating_sub(self.greeting)
    }

    /// One turn of the server's loop, if it has one to make now. Whether it had.
    fn turn(&mut self) -> bool {
        let timeout = self.server.timeout();
        let awake = {
            let world = self.world.borrow();
            let due = !world.news.is_empty() || world.woken || timeout == Some(Duration::ZERO);
            due && self.server.exit.is_none()
        };
        if awake {
            // As `run` does before it sleeps: memory must be given back without losing a byte.
            if self.world.borrow_mut().once_in(4) {
                self.server.console.release_idle_memory();
            }
            self.server.wait(Some(Duration::ZERO)).unwrap();
            let before = self.stream_len();
            self.server.turn();
            self.become_successor();
            if self.server.exit.is_none() {
                self.check_store();
            }
            let after = self.stream_len();
            let world = self.world.borrow();
            for (id, joined) in &mut self.clients {
                if joined.1 == usize::MAX && world.pipes[id].token.is_some() {
                    *joined = (before, after);
                }
            }
        }
        awake
    }

    /// Turns until there is nothing to do now. A server that never rests spins.
    fn settle(&mut self) {
        for _ in 0..20_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("the server spins");
    }

    /// Time passes until the server's next deadline, at most so far.
    fn sleep(&mut self, most: Duration) {
        let nap = self.server.timeout().unwrap_or(most).min(most);
        self.world.borrow_mut().now += nap.as_nanos() as u64;
    }
}

impl Run {
    /// One thing happens outside the server.
    fn act(&mut self, step: u64) {
        let mut world = self.world.borrow_mut();
        let ids: Vec<Id> = self.clients.keys().copied().collect();
        let anybody = (!ids.is_empty()).then(|| ids[world.roll(ids.len() as u64) as usize]);
        let pty = world.children.last().map(|child| child.pipe);
        match (world.roll(21), anybody, pty) {
            (18, _, _) if world.once_in(2) => {
                world.signals.overlap = true;
                world.woken = true;
                world.note("SIGUSR2".to_owned());
            }
            (18, _, Some(pty)) => {
                let ready = world.once_in(2);
                world.pipe(pty).notices.push_back(ready);
                world.tell(pty, true, false);
                world.note(format!("the child tells something, ready {ready}"));
            }
            (19 | 20, _, _) if world.children.len() == 2 => old_child_acts(&mut world),
            (0 | 1, _, _) if ids.len() < 6 => {
                let room = 1 << (4 + world.roll(12));
                let id = world.add(room);
                world.waiting.push_back(id);
                world.news.push((LISTENER, super::os::Ready { readable: true, writable: false }));
                self.clients.insert(id, (0, usize::MAX));
                self.everybody.insert(id);
                world.note(format!("client {id} connects"));
            }
            (2 | 3, Some(id), _) => {
                let most = 1 << world.roll(17);
                world.take(id, most);
                world.note(format!("client {id} takes {most}"));
            }
            (4 | 5, Some(id), _) => {
                let text: &[u8] = match world.roll(9) {
                    0 => b"\x18",
                    1 => b"\x14",
                    2 => b"\xff\xfd\x03\xff\xfb\x22",
                    3 => b"\x12",
                    4 => &[OTHER],
                    _ => b"typed\r",
                };
                self.typed += 1;
                world.send(id, text, false);
                world.note(format!("client {id} sends {text:?}"));
            }
            (6, Some(id), _) if world.once_in(3) => {
                let reset = world.once_in(2);
                world.pipe(id).broken = reset;
                world.send(id, b"", true);
                self.clients.remove(&id);
                world.note(format!("client {id} goes, reset {reset}"));
            }
            (7..=9, _, Some(pty)) if !world.pipe(pty).ended => {
                let count = 1 << world.roll(18);
                let line = format!("{step} says the child \u{ff}\r\n").into_bytes();
                let output: Vec<u8> = line.iter().copied().cycle().take(count).collect();
                world.send(pty, &output, false);
                world.note(format!("the child writes {count}"));
            }
            (10, _, Some(pty)) => {
                let most = 1 << world.roll(12);
                world.take(pty, most);
                world.note(format!("the child reads {most}"));
            }
            (11, _, Some(pty)) if world.once_in(4) => {
                let closes = world.once_in(3);
                if let Some(child) = world.children.last_mut().filter(|child| child.end.is_none())
                    && !closes
                {
                    child.end = Some(ExitStatus::Code(3));
                    world.signals.child = true;
                    world.woken = true;
                }
                // Something that it left behind may hold the terminal.
                let held = !closes && world.once_in(3);
                world.send(pty, b"last words\r\n", !held);
                world.note(format!("the child ends, only its terminal {closes}, held {held}"));
            }
            (12 | 13, _, _) => {
                world.write_log();
                if world.once_in(2) {
                    world.write_records();
                }
                world.note("the disk writes".to_owned());
            }
            (14, _, _) if world.once_in(4) => {
                world.disk_full = !world.disk_full;
                let full = world.disk_full;
                world.note(format!("the disk is full: {full}"));
            }
            (16, _, _) => {
                if world.check_run.is_none() || world.once_in(4) {
                    world.signals.upgrade = true;
                    world.woken = true;
                    world.note("SIGUSR1".to_owned());
                }
            }
            (17, _, _) => {
                upgrade::continue_check(&mut world);
                if world.once_in(4) {
                    world.installed += 1;
                    world.note("another program is installed".to_owned());
                }
            }
            (15, _, _) if world.once_in(8) => {
                world.signals.reopen = true;
                world.woken = true;
                world.note("SIGHUP".to_owned());
            }
            _ => {
                drop(world);
                self.sleep(Duration::from_millis(700));
            }
        }
    }

    /// Everything works again and everybody takes everything, until the server sleeps.
    fn clear_up(&mut self) {
        {
            let mut world = self.world.borrow_mut();
            world.faults = 0;
            world.disk_full = false;
            world.note("the weather clears".to_owned());
        }
        for _ in 0..20_000 {
            let mut world = self.world.borrow_mut();
            for id in self.clients.keys() {
                world.pipe(*id).room = usize::MAX;
                world.take(*id, usize::MAX);
            }
            let ptys: Vec<Id> = world.children.iter().map(|child| child.pipe).collect();
            ptys.into_iter().for_each(|pty| world.take(pty, usize::MAX));
            let quiet = world.log_queue.jobs.is_empty() && world.records_queue.jobs.is_empty();
            world.write_log();
            world.write_records();
            drop(world);
            if self.server.exit.is_some() {
                self.server.finish(()).unwrap();
                let mut world = self.world.borrow_mut();
                self.clients.keys().for_each(|&id| world.take(id, usize::MAX));
                return;
            }
            if self.turn() {
                continue;
            }
            // Only a restart, or the log's next try, may still be due.
            match self.server.timeout() {
                Some(_) => self.sleep(HOLDOFF),
                None if quiet => return,
                None => {}
            }
        }
        panic!("the server finds no rest");
    }
}

/// The one that is being replaced writes, or ends.
fn old_child_acts(world: &mut World) {
    let Some(Child { pipe, end: None }) = world.children.first() else {
        return;
    };
    let (pipe, kind) = (*pipe, world.roll(6));
    if kind == 0 {
        world.note("the old child ends".to_owned());
        world.end(pipe, ExitStatus::Code(4));
    } else {
        let text: &[u8] = [b"the old one\r\n", &b"half a line"[..]][(kind % 2) as usize];
        let count = 1 << world.roll(18);
        let output: Vec<u8> = text.iter().copied().cycle().take(count).collect();
        world.note(format!("the old child writes {count}"));
        world.send(pipe, &output, false);
    }
}

/// How often the server became another program, and how often it had two children.
fn run(seed: u64) -> Result<[usize; 2], (String, Vec<String>)> {
    let mut run = Run::new(seed);
    let world = Rc::clone(&run.world);
    let result = catch_unwind(AssertUnwindSafe(|| {
        world.borrow_mut().faults = [0, 5, 20, 100][(seed % 4) as usize];
        for step in 0..120 {
            if run.server.exit.is_some() {
                break;
            }
            run.act(step);
            if run.world.borrow_mut().once_in(2) {
                run.turn();
            } else {
                run.settle();
            }
        }
        run.clear_up();
        run.check();
        if run.server.exit.is_none() {
            run.crash();
        }
    }));
    result.map(|()| [run.upgrades, world.borrow().pairs]).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        (text.unwrap_or_default(), std::mem::take(&mut world.borrow_mut().trace))
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_seed_gives_everybody_what_they_are_owed() {
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(2_000),
    };
    let ([mut upgrades, mut pairs], count) = ([0, 0], seeds.end - seeds.start);
    for seed in seeds {
        match run(seed) {
            Ok(done) => (upgrades, pairs) = (upgrades + done[0] as u64, pairs + done[1] as u64),
            Err((error, trace)) => panic!("SIM_SEED={seed}\n{}\n{error}", trace.join("\n")),
        }
    }
    assert!(upgrades >= count / 10, "hardly any upgrade: {upgrades}");
    assert!(pairs >= count / 4, "hardly ever two children: {pairs}");
}

/// Its output waits encoded, and must not be taken for answers that it does not take.
#[test]
fn client_that_does_not_read_bytes_ff_is_heard() {
    let mut console = Console::new(settings(), Box::new(Seconds));
    let now = Timestamps { mono: Monotonic(0), wall: UnixTime(0) };
    let id = ClientId(1);
    console.handle(Event::Joined { id, role: Role::User, kind: ClientKind::Telnet }, now);
    let greeting = console.output(id).0.len();
    console.written(id, greeting);
    console.handle(Event::Output(ChildSlot::Current, &[0xFF; 100_000]), now);
    assert!(!console.output(id).0.is_empty());
    assert!(console.accepts_input(id));
    // Of those there is a limit.
    for _ in 0..STAGE_MAX {
        console.handle(Event::Input { id, bytes: &[0xFF, 0xFD, 0x03] }, now);
    }
    assert!(!console.accepts_input(id));
}
