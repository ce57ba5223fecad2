//! The server on a simulated operating system that refuses, shortens and delays everything.
//!
//! A seed decides a sequence of connections, input, output, stalls, deaths, signals and faults.
//! Then the faults end, and everybody must have what they are owed: each client the stream from
//! where it joined to its end, less what it was told that it missed; the log the whole stream, less
//! what it says is missing; the child its input. A server that has nothing to do must sleep. After
//! each turn, the state that is saved for after a crash must be that of the server, and at the end
//! the server crashes, and another one goes on.
//!
//! `SIM_SEED=N` runs one seed and prints each step, `SIM_SEEDS=N` runs so many.

mod api_check;
mod check;
mod crash;
mod kill;
mod peer_end;
mod records_check;
mod servers;
mod settings;
mod system;
mod threads;
mod trace;
mod upgrade;
mod windows;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::Token;

use self::api_check::Program;
use self::peer_end::PeerEnd;
use self::settings::{HOLDOFF, OTHER, Seconds, settings};
use self::system::SimulatedSystem;
use self::windows::WINDOW;
use self::world::{Child, Id, Shared, World};
use super::Server;
use super::os::Clock;
use crate::console::Console;
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::{ChildSlot, ClientId, ClientKind, Event, Role};
use crate::limits::{RESTART_SLOT, STAGE_MAX};
use crate::sim_support;
use crate::sys::fd;
use crate::sys::process::ExitStatus;

/// The listeners. Other tokens are small numbers.
const LISTENERS: [(Token, Role); 3] = [
    (Token(0), Role::User),
    (Token(usize::MAX / 2), Role::Api),
    (Token(usize::MAX / 2 + 1), Role::Viewer),
];

/// The place of the listener of a role among all.
fn place_of(role: Role) -> usize {
    LISTENERS.iter().position(|(_, other)| *other == role).unwrap()
}

/// The run of one seed.
struct Run {
    seed: u64,
    world: Shared,
    server: Server<SimulatedSystem>,
    /// The client that takes everything at once: what it received is the stream.
    reference: Id,
    /// The length of the greeting of that client.
    greeting: usize,
    /// The other clients, with the length of the stream when they joined, at least and at most.
    clients: BTreeMap<Id, (usize, usize)>,
    /// Those of the clients that can only watch.
    viewers: BTreeSet<Id>,
    /// The clients of `--api`.
    programs: BTreeMap<Id, Program>,
    /// All clients that there ever were.
    everybody: BTreeSet<Id>,
    /// How many inputs the clients sent.
    typed: u64,
    /// How many clients ended their input and went on receiving.
    half_closed: usize,
    /// How many times the server became another program.
    upgrades: usize,
    /// How many times it was killed.
    kills: usize,
    /// True if no client negotiates, so that no answer comes between bytes that come twice.
    without_requests: bool,
}

impl Run {
    fn new(seed: u64, verbose: bool) -> Run {
        let world = World::new(seed, verbose);
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
            viewers: BTreeSet::new(),
            programs: BTreeMap::new(),
            everybody: BTreeSet::from([reference]),
            typed: 0,
            half_closed: 0,
            upgrades: 0,
            kills: 0,
            without_requests: false,
        }
    }

    /// The length of the stream so far.
    fn stream_len(&self) -> usize {
        let mut world = self.world.borrow_mut();
        world.take(self.reference, usize::MAX);
        world.pipe(self.reference).received.len().saturating_sub(self.greeting)
    }

    /// Makes one turn of the server's loop, if it has something to do now. Returns true if it had.
    fn turn(&mut self) -> bool {
        let timeout = self.server.timeout();
        let awake = {
            let world = self.world.borrow();
            let due =
                !world.ready_events.is_empty() || world.woken || timeout == Some(Duration::ZERO);
            due && self.server.exit.is_none()
        };
        if awake {
            // The loop does this before it sleeps. No byte may be lost by it.
            if self.world.borrow_mut().random.one_in(4) {
                self.server.console.release_idle_memory();
            }
            self.server.wait(Some(Duration::ZERO)).unwrap();
            let before = self.stream_len();
            self.server.turn();
            self.become_successor();
            let kills = self.kills;
            self.revive();
            if self.server.exit.is_none() {
                self.check_store();
            }
            let after = self.stream_len();
            let world = self.world.borrow();
            for (id, joined) in &mut self.clients {
                if joined.1 == usize::MAX && world.pipes[id].token.is_some() {
                    // What the reference reader is still to get is not counted.
                    *joined = (before, if self.kills > kills { usize::MAX - 1 } else { after });
                }
            }
        }
        awake
    }

    /// Makes turns until the server has nothing to do now. It must come to that.
    fn settle(&mut self) {
        for _ in 0..20_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("the server spins");
    }

    /// Lets time pass until the server's next deadline, but not longer than `most`.
    fn sleep(&mut self, most: Duration) {
        let nap = self.server.timeout().unwrap_or(most).min(most);
        self.world.borrow_mut().now += nap.as_nanos() as u64;
    }
}

impl Run {
    /// Lets one thing happen outside the server.
    fn act(&mut self, step: u64) {
        if self.world.borrow_mut().random.one_in(8) {
            return self.program_acts();
        }
        self.happen(step);
    }

    /// The same without programs.
    fn happen(&mut self, step: u64) {
        let mut world = self.world.borrow_mut();
        let ids: Vec<Id> = self.clients.keys().copied().collect();
        let anybody = (!ids.is_empty()).then(|| ids[world.random.below(ids.len())]);
        let pty = world.children.last().map(|child| child.pipe);
        match (world.random.below(21), anybody, pty) {
            (18, _, _) if world.random.one_in(2) => {
                world.signals.overlap = true;
                world.woken = true;
                world.print("SIGUSR2");
            }
            (18, _, Some(pty)) => {
                let ready = world.random.one_in(2);
                world.pipe(pty).messages.push_back(ready);
                world.push_ready(pty, true, false);
                world.print(&format!("the child tells something, ready {ready}"));
            }
            (19 | 20, _, _) if world.children.len() == 2 => old_child_acts(&mut world),
            (0 | 1, _, _) if ids.len() < 6 => {
                let room = 1 << (4 + world.random.below(12));
                let id = world.add(room);
                let role = if world.random.one_in(4) { Role::Viewer } else { Role::User };
                world.pipe(id).raw = world.random.one_in(3);
                world.pipe(id).half_closes = world.pipe(id).raw || role == Role::Viewer;
                world.connect(id, role);
                if role == Role::Viewer {
                    self.viewers.insert(id);
                }
                self.clients.insert(id, (0, usize::MAX));
                self.everybody.insert(id);
                world.print(&format!("client {id} connects, {role:?}"));
            }
            (2 | 3, Some(id), _) => {
                let most = 1 << world.random.below(17);
                world.take(id, most);
                world.print(&format!("client {id} takes {most}"));
            }
            (4 | 5, Some(id), _) if self.viewers.contains(&id) && !world.pipe(id).ended => {
                // Nothing of this may have an effect.
                let texts = [&b"watched\r\x18\x14\x12"[..], WINDOW];
                let text = texts[world.random.below(if self.without_requests { 1 } else { 2 })];
                world.send(id, text, false);
                world.print(&format!("viewer {id} sends {text:?}"));
            }
            (4 | 5, Some(id), _)
                if !self.without_requests
                    && world.random.one_in(4)
                    && !world.pipe(id).raw
                    && !world.pipe(id).ended =>
            {
                let window = windows::told(&mut world.random);
                world.send(id, &window, false);
                world.print(&format!("client {id} tells {window:?}"));
            }
            (4 | 5, Some(id), _) if !self.viewers.contains(&id) && !world.pipe(id).ended => {
                let flood = [&b"\x14"[..], b"\x18", b"\x18\x14"][world.random.below(3)];
                let flood = flood.repeat(1 + world.random.below(60));
                let typed = format!("typed {:06}\r", self.typed);
                let text: &[u8] = match world.random.below(10) {
                    9 => &flood,
                    0 => b"\x18",
                    1 => b"\x14",
                    2 if !self.without_requests => b"\xff\xfd\x03\xff\xfb\x22",
                    3 => b"\x12",
                    4 => &[OTHER],
                    _ => typed.as_bytes(),
                };
                self.typed += 1;
                world.send(id, text, false);
                world.print(&format!("client {id} sends {text:?}"));
            }
            (6, Some(id), _) if world.random.one_in(3) => {
                let (may_stay, half_closes) = (world.pipe(id).half_closes, world.random.one_in(2));
                if half_closes {
                    world.send(id, b"", true);
                    self.half_closed += usize::from(may_stay && !world.pipe(id).closed);
                    world.print(&format!("client {id} ends its input"));
                } else {
                    let reset = world.random.one_in(2);
                    // A TCP client that has half-closed before is found by the next write only.
                    let unseen = may_stay && reset && world.pipe(id).ended;
                    world.pipe(id).broken = reset;
                    world.pipe(id).hung_up = !unseen;
                    world.send(id, b"", !unseen);
                    world.print(&format!("client {id} goes, reset {reset}"));
                }
                if !(may_stay && half_closes) {
                    self.clients.remove(&id);
                }
            }
            (7..=9, _, Some(pty)) if !world.pipe(pty).ended => {
                let count = 1 << world.random.below(18);
                let line = format!("{step} says the child \u{ff}\r\n").into_bytes();
                let output: Vec<u8> = line.iter().copied().cycle().take(count).collect();
                world.send(pty, &output, false);
                world.print(&format!("the child writes {count}"));
            }
            (10, _, Some(pty)) => {
                let most = 1 << world.random.below(12);
                world.take(pty, most);
                world.print(&format!("the child reads {most}"));
            }
            (11, _, Some(pty)) if world.random.one_in(4) => {
                let closes = world.random.one_in(3);
                if let Some(child) = world.children.last_mut().filter(|child| child.end.is_none())
                    && !closes
                {
                    child.end = Some(ExitStatus::Code(3));
                    world.signals.child = true;
                    world.woken = true;
                }
                // A process that the child left behind may hold the terminal.
                let held = !closes && world.random.one_in(3);
                world.send(pty, b"last words\r\n", !held);
                world.print(&format!("the child ends, only its terminal {closes}, held {held}"));
            }
            (12 | 13, _, _) => {
                world.write_log();
                if world.random.one_in(2) {
                    world.write_records();
                }
                world.print("the disk writes");
            }
            (14, _, _) if world.random.one_in(4) => {
                world.disk_full = !world.disk_full;
                let full = world.disk_full;
                world.print(&format!("the disk is full: {full}"));
            }
            (16, _, _) => {
                if world.check_run.is_none() || world.random.one_in(4) {
                    world.signals.upgrade = true;
                    world.woken = true;
                    world.print("SIGUSR1");
                }
            }
            (17, _, _) => {
                upgrade::continue_check(&mut world);
                if world.random.one_in(4) {
                    world.installed += 1;
                    world.print("another program is installed");
                }
            }
            (15, _, _) if world.random.one_in(4) => {
                windows::resize_terminal(&mut world, self.reference);
            }
            (15, _, _) if world.random.one_in(8) => {
                world.signals.reopen = true;
                world.woken = true;
                world.print("SIGHUP");
            }
            _ => {
                drop(world);
                self.sleep(Duration::from_millis(700));
            }
        }
    }

    /// Ends all faults and takes everything from the server, until it sleeps.
    fn end_faults(&mut self) {
        {
            let mut world = self.world.borrow_mut();
            world.faults = 0;
            world.fd_limit = usize::MAX;
            world.disk_full = false;
            world.threads_start = 0;
            world.print("the faults end");
        }
        for _ in 0..20_000 {
            let mut world = self.world.borrow_mut();
            for id in self.clients.keys().chain(self.programs.keys()) {
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
                self.server.finish().unwrap();
                let mut world = self.world.borrow_mut();
                let programs = self.programs.keys();
                self.clients.keys().chain(programs).for_each(|&id| world.take(id, usize::MAX));
                return;
            }
            if self.turn() {
                continue;
            }
            // Only a restart or the log's next try may still be to come.
            match self.server.timeout() {
                // Restarts are forgotten after a day.
                Some(wait) if wait < RESTART_SLOT => self.sleep(HOLDOFF),
                _ if quiet => return,
                _ => {}
            }
        }
        panic!("the server finds no rest");
    }
}

/// Lets the old child write or end.
fn old_child_acts(world: &mut World) {
    let Some(Child { pipe, end: None }) = world.children.first() else {
        return;
    };
    let (pipe, kind) = (*pipe, world.random.below(6));
    if kind == 0 {
        world.print("the old child ends");
        world.end(pipe, ExitStatus::Code(4));
    } else {
        let text: &[u8] = [b"the old one\r\n", &b"half a line"[..]][kind % 2];
        let count = 1 << world.random.below(18);
        let output: Vec<u8> = text.iter().copied().cycle().take(count).collect();
        world.print(&format!("the old child writes {count}"));
        world.send(pipe, &output, false);
    }
}

/// How many times things happened in all seeds.
#[derive(Default)]
struct Totals {
    seeds: AtomicUsize,
    upgrades: AtomicUsize,
    /// Refusals that a new program met before its first turn.
    refused: AtomicUsize,
    /// Starts of a child beside another one.
    pairs: AtomicUsize,
    /// Clients that ended their input and went on receiving.
    half_closed: AtomicUsize,
    crashes: AtomicUsize,
}

fn simulate(seed: u64, verbose: bool, totals: &Totals) {
    let mut run = Run::new(seed, verbose);
    run.world.borrow_mut().faults = [0, 5, 20, 100][(seed % 4) as usize];
    if seed % 8 >= 6 {
        run.world.borrow_mut().fd_limit = 3;
    }
    for step in 0..120 {
        if run.server.exit.is_some() {
            break;
        }
        run.act(step);
        if run.world.borrow_mut().random.one_in(2) {
            run.turn();
        } else {
            run.settle();
        }
    }
    run.end_faults();
    run.check();
    run.check_windows();
    let crashes = run.server.exit.is_none();
    if crashes {
        run.crash();
    }
    let (pairs, refused) = (run.world.borrow().pairs, run.world.borrow().refused);
    totals.half_closed.fetch_add(run.half_closed, Ordering::Relaxed);
    totals.seeds.fetch_add(1, Ordering::Relaxed);
    totals.upgrades.fetch_add(run.upgrades, Ordering::Relaxed);
    totals.refused.fetch_add(refused, Ordering::Relaxed);
    totals.pairs.fetch_add(pairs, Ordering::Relaxed);
    totals.crashes.fetch_add(usize::from(crashes), Ordering::Relaxed);
}

#[test]
fn every_seed_gives_everybody_what_they_are_owed() {
    let totals = Totals::default();
    // Each seed has descriptors of its own, and the seeds run on all processors.
    fd::raise_limit();
    sim_support::run_seeds(2_000, |seed, verbose| simulate(seed, verbose, &totals));
    let Totals { seeds, upgrades, refused, pairs, half_closed, crashes } = totals;
    let seeds = seeds.into_inner();
    for (what, count, least) in [
        ("upgrades", upgrades, seeds / 10),
        ("refusals after an upgrade", refused, seeds / 10),
        ("two children", pairs, seeds / 4),
        ("half-closed clients", half_closed, seeds / 10),
        ("crashes", crashes, seeds / 4),
    ] {
        let count = count.into_inner();
        assert!(count >= least, "hardly any {what}: {count} in {seeds} seeds");
    }
}

/// Output that waits for a client in its encoding must not be counted as answers that wait for it.
#[test]
fn client_that_does_not_read_bytes_ff_is_heard() {
    let mut console = Console::new(settings(), Box::new(Seconds));
    let now = Timestamps { mono: Monotonic(0), wall: UnixTime::from_secs(0) };
    let id = ClientId(1);
    console.handle(Event::Joined { id, role: Role::User, kind: ClientKind::Telnet }, now);
    let greeting = console.output(id).0.len();
    console.written(id, greeting);
    console.handle(Event::Output(ChildSlot::Current, &[0xFF; 100_000]), now);
    assert!(!console.output(id).0.is_empty());
    assert!(console.accepts_input(id));
    // The number of answers that wait is limited.
    for _ in 0..STAGE_MAX {
        console.handle(Event::Input { id, bytes: &[0xFF, 0xFD, 0x05] }, now);
    }
    assert!(!console.accepts_input(id));
}
