//! What `--fdstore` costs: our server with it, in the first column, beside our server without it, in the
//! column of the reference.

use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::many_clients::{COUNT, count_reached, raise_limit};
use super::process;
use super::server::{Kind, Log, Plan, Server};
use super::table::{Goal, Row, Series};
use super::throughput::{self, Work};
use super::{Bench, Result};

/// Two of the same program.
const KINDS: [Kind; 2] = [Kind::Ours, Kind::Reference];

/// For anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Until the last sync after a start is over.
const SETTLE: Duration = Duration::from_millis(1500);

fn interleave<T>(bench: &Bench, runs: usize, run: impl Fn(bool) -> Result<T>) -> Series<T> {
    bench.interleave_some(&KINDS, [runs, 0], |kind| run(kind == Kind::Ours))
}

/// A child that writes as fast as it can.
pub fn throughput(bench: &Bench, work: Work) -> Vec<Row> {
    let series = interleave(bench, bench.runs, |fdstore| {
        throughput::run(bench, Kind::Ours, Plan { fdstore, ..work.plan() }, work)
    });
    let name = format!("fdstore-{} with, without", work.name);
    vec![
        Row::new(name.clone(), "MB/s", &series, Goal::ReferenceAtLeast(0.95), |s| s.speed),
        Row::new(name, "CPU ms/MB", &series, Goal::None, |s| s.cpu),
    ]
}

/// An idle instance.
struct Idle {
    wakeups: f64,
    private: f64,
    anonymous: f64,
}

/// An instance with a log and a client, and nothing going on, beside another one.
pub fn idle(bench: &Bench) -> Vec<Row> {
    let time = Duration::from_secs(if bench.quick { 3 } else { 10 });
    let series = interleave(bench, 1, |fdstore| {
        let deadline = Instant::now() + PATIENCE;
        let plan = Plan { log: Log::Disk, fdstore, ..Plan::new(["idle"]) };
        let server = Server::start(bench, Kind::Ours, &plan)?;
        let other = Server::start(bench, Kind::Ours, &plan)?;
        let _clients = (server.clients(1, deadline)?, other.clients(1, deadline)?);
        server.open_gate(deadline)?;
        other.open_gate(deadline)?;
        thread::sleep(SETTLE);
        let before = process::switches(server.pid())?;
        thread::sleep(time);
        let wakeups = (process::switches(server.pid())? - before) / time.as_secs_f64();
        let private = process::private(server.pid())?;
        Ok(Idle { wakeups, private, anonymous: process::anonymous(server.pid())? })
    });
    let name = |what: &str| format!("fdstore-idle {what}");
    // The memory file is no anonymous memory.
    let same = Goal::ReferenceAtMost(1.05);
    vec![
        Row::new(name("wake-ups"), "1/s", &series, Goal::AtMost(0.0), |s| s.wakeups),
        Row::new(name("private memory"), "KiB", &series, Goal::None, |s| s.private),
        Row::new(name("anonymous memory"), "KiB", &series, same, |s| s.anonymous),
    ]
}

/// Milliseconds.
struct Joins {
    greeted: f64,
    /// Until the service manager had all connections.
    stored: f64,
}

/// Clients that connect all at once, and stay.
pub fn joins(bench: &Bench) -> Vec<Row> {
    let count = bench.few(raise_limit(2).min(COUNT));
    let series = interleave(bench, bench.few(3), |fdstore| {
        let plan = Plan { clients: count, fdstore, ..Plan::new(["idle"]) };
        let deadline = Instant::now() + PATIENCE;
        let server = Server::start(bench, Kind::Ours, &plan)?;
        server.open_gate(deadline)?;
        thread::sleep(SETTLE);
        let stored = server.stored();
        let start = Instant::now();
        let connect = |_| Client::connect(&server.endpoint, deadline);
        let clients = (0..count).map(connect).collect::<Result<Vec<Client>>>()?;
        let reached = count_reached(&clients, b"(plus you)\r\n", deadline);
        let greeted = start.elapsed().as_secs_f64() * 1e3;
        if reached < count {
            return Err(format!("{reached} clients were greeted").into());
        }
        while fdstore && server.stored() < stored + count {
            if Instant::now() > deadline {
                return Err(format!("hung; {} are stored", server.stored()).into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        let stored = if fdstore { start.elapsed().as_secs_f64() * 1e3 } else { f64::NAN };
        Ok(Joins { greeted, stored })
    });
    let name = |what: &str| format!("fdstore-joins of {count} clients, {what}");
    vec![
        Row::new(name("greeted"), "ms", &series, Goal::ReferenceAtMost(1.3), |s| s.greeted),
        Row::new(name("stored"), "ms", &series, Goal::None, |s| s.stored),
    ]
}
