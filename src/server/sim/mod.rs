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
mod happen;
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
