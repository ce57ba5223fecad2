//! One client that never reads, while the child writes 20 MB: what it costs the others.

use std::time::{Duration, Instant};

use super::payload::BLOCK;
use super::process;
use super::server::{Kind, Log, Plan, Server};
use super::table::{Goal, Row};
use super::throughput::Readers;
use super::{Bench, Result};

/// procServ stands for 10 s at a time.
const PATIENCE: Duration = Duration::from_secs(15);

const BYTES: usize = 20_000_000;

/// Seconds until everybody was done, and KiB that the server grew by.
struct Times {
    child: f64,
    log: f64,
    client: f64,
    grown: f64,
}

/// With the deaf client over without it.
struct Sample {
    child: f64,
    log: f64,
    client: f64,
    grown: f64,
}

pub fn rows(bench: &Bench) -> Vec<Row> {
    // The reference would wait for ever, and procServ does for 10 s.
    let peer_runs = usize::from(!bench.quick);
    let series =
        bench.interleave_some(&[Kind::Ours, Kind::Peer], [bench.runs, peer_runs], |kind| {
            let without = run(bench, kind, false)?;
            let with = run(bench, kind, true)?;
            Ok(Sample {
                child: with.child / without.child,
                log: with.log / without.log,
                client: with.client / without.client,
                grown: with.grown,
            })
        });
    let goal = Goal::AtMost(1.05);
    let name = |what: &str| format!("stuck-client {what}");
    vec![
        Row::new(name("child's time"), "with/without", &series, goal, |s| s.child),
        Row::new(name("log's time"), "with/without", &series, goal, |s| s.log),
        Row::new(name("other's time"), "with/without", &series, goal, |s| s.client),
        Row::new(name("memory growth"), "KiB", &series, Goal::AtMost(2048.0), |s| s.grown),
    ]
}

fn run(bench: &Bench, kind: Kind, deaf: bool) -> Result<Times> {
    let deadline = Instant::now() + PATIENCE;
    let blocks = BYTES / BLOCK;
    let plan = Plan { log: Log::Memory, clients: 2, ..Plan::new(["emit", &blocks.to_string()]) };
    let server = Server::start(bench, kind, &plan)?;
    let mut clients = server.clients(2, deadline)?;
    let before = process::anonymous(server.pid())?;
    // Without it, the second one is not there at all.
    let second = clients.pop().filter(|_| deaf);
    let mut readers = Readers::new(&server, clients, blocks)?;
    server.open_gate(deadline)?;
    let start = Instant::now();
    readers.run(deadline)?;
    let grown = process::anonymous(server.pid())? - before;
    drop(second);
    let seconds = |done: Option<Instant>| {
        done.map_or(f64::NAN, |done| done.saturating_duration_since(start).as_secs_f64())
    };
    Ok(Times {
        child: seconds(readers.child_done),
        log: seconds(readers.log_done),
        client: seconds(readers.clients_done),
        grown,
    })
}
