//! How long a key takes: to its echo, to the child, and the kill key to the child's death.

use std::thread;
use std::time::{Duration, Instant};

use super::child::nanos;
use super::client::Client;
use super::drain::DrainingClients;
use super::server::{Kind, Log, Plan, Server, Transport};
use super::stats::percentile;
use super::table::{Goal, Row};
use super::{Bench, Result};

/// A key that the children never write, and a line end, so that the terminal's line never fills.
const KEY: &[u8] = b"~";
const KEY_AND_RETURN: &[u8] = b"~\r";

/// The kill command.
pub const KILL: &[u8] = b"\x18";

/// Clients while the child is busy.
const AUDIENCE: usize = 20;

/// For one key.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a server to be up.
const START: Duration = Duration::from_secs(10);

/// Milliseconds, of one run.
struct Sample {
    p50: f64,
    p99: f64,
}

impl Sample {
    fn new(times: &[f64]) -> Result<Sample> {
        let part = |share| percentile(times, share).ok_or("no samples");
        Ok(Sample { p50: part(0.5)?, p99: part(0.99)? })
    }
}

/// Key to echo, nobody else there.
pub fn idle(bench: &Bench, transport: Transport) -> Vec<Row> {
    let series = bench.interleave(|kind| {
        let plan = Plan { transport, log: Log::Memory, ..Plan::new(["idle"]) };
        echo(bench, kind, &plan, 300)
    });
    let name = format!("echo-idle-{}", transport.name());
    // Noise is what two runs of the same program differ by.
    vec![
        Row::new(format!("{name} p50"), "ms", &series, Goal::PeerAtMost(1.2), |s| s.p50),
        Row::new(format!("{name} p99"), "ms", &series, Goal::PeerAtMost(1.5), |s| s.p99),
    ]
}

/// Key to echo, beside a child that writes 1 MB/s to 20 clients.
pub fn chatter(bench: &Bench, transport: Transport) -> Vec<Row> {
    let series = bench.interleave(|kind| {
        let plan = Plan {
            transport,
            log: Log::Memory,
            clients: AUDIENCE,
            ..Plan::new(["chatter", "1000000"])
        };
        echo(bench, kind, &plan, 200)
    });
    let name = format!("echo-1MB/s-{}", transport.name());
    let goal = Goal::ReferenceAtMost(1.5);
    vec![
        Row::new(format!("{name} p50"), "ms", &series, goal, |s| s.p50),
        Row::new(format!("{name} p99"), "ms", &series, goal, |s| s.p99),
    ]
}

fn echo(bench: &Bench, kind: Kind, plan: &Plan, count: usize) -> Result<Sample> {
    let deadline = Instant::now() + START;
    let server = Server::start(bench, kind, plan)?;
    let mut clients = server.clients(plan.clients, deadline)?;
    let typist = clients.pop().ok_or("no client")?;
    let _drained = DrainingClients::new(clients)?;
    server.open_gate(deadline)?;
    let mut times = Vec::new();
    for number in 0..bench.few(count) {
        let start = Instant::now();
        typist.send(KEY_AND_RETURN)?;
        typist.expect(KEY, start + PATIENCE)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        pause(number);
    }
    Sample::new(&times)
}

/// Between keys: not in step with anything else.
fn pause(number: usize) {
    thread::sleep(Duration::from_micros(1000 + number as u64 * 617 % 2000));
}

/// Key to the child that writes as fast as it can to 20 clients.
pub fn key_at_full_speed(bench: &Bench) -> Vec<Row> {
    let series = bench.interleave(|kind| {
        let (server, typist, _drained) = flooded(bench, kind)?;
        let mut times = Vec::new();
        for number in 0..bench.few(100) {
            let start = nanos();
            typist.send(KEY)?;
            let read = server.acknowledged(Instant::now() + PATIENCE)?;
            times.push(read.saturating_sub(start) as f64 / 1e6);
            pause(number);
        }
        Sample::new(&times)
    });
    let goal = Goal::AtMostOr(10.0, 2.0);
    vec![
        Row::new("key-full-speed p50".to_owned(), "ms", &series, Goal::None, |s| s.p50),
        Row::new("key-full-speed p99".to_owned(), "ms", &series, goal, |s| s.p99),
    ]
}

/// The kill key to the death of such a child.
pub fn kill_at_full_speed(bench: &Bench) -> Vec<Row> {
    let series = bench.interleave(|kind| {
        let (server, typist, _drained) = flooded(bench, kind)?;
        let mut times = Vec::new();
        for number in 0..bench.few(12) {
            if number > 0 {
                server.open_gate(Instant::now() + PATIENCE)?;
                server.acknowledged(Instant::now() + PATIENCE)?;
            }
            // Until every buffer on the way is full.
            thread::sleep(Duration::from_millis(30));
            let start = Instant::now();
            typist.send(KILL)?;
            server.child_ended(start + PATIENCE)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Sample::new(&times)
    });
    let goal = Goal::AtMostOr(10.0, 2.0);
    vec![
        Row::new("kill-full-speed p50".to_owned(), "ms", &series, Goal::None, |s| s.p50),
        Row::new("kill-full-speed p99".to_owned(), "ms", &series, goal, |s| s.p99),
    ]
}

/// A server with a child at full speed and 20 clients, and the one of them that types.
fn flooded(bench: &Bench, kind: Kind) -> Result<(Server, Client, DrainingClients)> {
    let deadline = Instant::now() + START;
    let plan = Plan { log: Log::Memory, clients: AUDIENCE, ..Plan::new(["flood"]) };
    let server = Server::start(bench, kind, &plan)?;
    let clients = server.clients(plan.clients, deadline)?;
    let typist = Client { file: clients[0].file.try_clone()? };
    let drained = DrainingClients::new(clients)?;
    server.open_gate(deadline)?;
    server.acknowledged(deadline)?;
    Ok((server, typist, drained))
}
