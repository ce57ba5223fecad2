//! Servers that have nothing to do, and many that have little.

use std::thread;
use std::time::{Duration, Instant};

use super::process;
use super::server::{Kind, Log, Plan, Server};
use super::table::{Goal, Row};
use super::{ALL, Bench, Result};

const FLEET: usize = 100;

/// For all of them to be up.
const START: Duration = Duration::from_secs(20);

/// Until the last sync after a start is over.
const SETTLE: Duration = Duration::from_millis(1500);

/// An idle instance.
struct Idle {
    wakeups: f64,
    private: f64,
    proportional: f64,
}

/// An instance with a log and a client, and nothing going on. Another one does the same beside it:
/// what the two have in common is not private.
pub fn idle(bench: &Bench) -> Vec<Row> {
    let time = Duration::from_secs(if bench.quick { 3 } else { 10 });
    let series = bench.interleave_some(&ALL, [1, 1], |kind| {
        let deadline = Instant::now() + START;
        let plan = Plan { log: Log::Disk, ..Plan::new(["idle"]) };
        let server = Server::start(bench, kind, &plan)?;
        let other = Server::start(bench, kind, &plan)?;
        let _clients = (server.clients(1, deadline)?, other.clients(1, deadline)?);
        server.open_gate(deadline)?;
        other.open_gate(deadline)?;
        thread::sleep(SETTLE);
        let before = process::switches(server.pid())?;
        thread::sleep(time);
        let wakeups = (process::switches(server.pid())? - before) / time.as_secs_f64();
        Ok(Idle {
            wakeups,
            private: process::private(server.pid())?,
            proportional: process::proportional(server.pid())?,
        })
    });
    let name = |what: &str| format!("idle {what}");
    vec![
        Row::new(name("wake-ups"), "1/s", &series, Goal::AtMost(0.0), |s| s.wakeups),
        Row::new(name("private memory"), "KiB", &series, Goal::AtMost(320.0), |s| s.private),
        Row::new(name("PSS"), "KiB", &series, Goal::None, |s| s.proportional),
    ]
}

/// A fleet of servers.
struct Fleet {
    private: f64,
    proportional: f64,
    /// Percent of one CPU, of all servers together.
    cpu: f64,
}

/// 100 instances, first idle, then each with 10 lines a second into its log.
pub fn fleet(bench: &Bench) -> Vec<Row> {
    let runs = if bench.quick { 1 } else { 2 };
    let series = bench.interleave_some(&ALL, [runs, runs], |kind| sail(bench, kind));
    let name = |what: &str| format!("{FLEET} instances, {what}");
    let share = Goal::PeerAtMost(1.5);
    vec![
        Row::new(name("PSS of each"), "KiB", &series, share, |s| s.proportional),
        Row::new(name("private memory of each"), "KiB", &series, Goal::None, |s| s.private),
        Row::new(name("10 lines/s, CPU"), "%", &series, Goal::PeerAtMost(0.75), |s| s.cpu),
    ]
}

fn sail(bench: &Bench, kind: Kind) -> Result<Fleet> {
    let time = Duration::from_secs(if bench.quick { 3 } else { 10 });
    let deadline = Instant::now() + START;
    let plan = Plan { log: Log::Disk, clients: 0, ..Plan::new(["lines", "10"]) };
    let start = |_| Server::start(bench, kind, &plan);
    let servers = (0..FLEET).map(start).collect::<Result<Vec<Server>>>()?;
    thread::sleep(SETTLE);
    let mean = |measure: fn(u32) -> Result<f64>| -> Result<f64> {
        let sum = servers.iter().map(|server| measure(server.pid())).sum::<Result<f64>>()?;
        Ok(sum / FLEET as f64)
    };
    let (private, proportional) = (mean(process::private)?, mean(process::proportional)?);
    for server in &servers {
        server.open_gate(deadline)?;
    }
    let cpu = || servers.iter().map(Server::cpu).sum::<Result<Duration>>();
    let before = cpu()?;
    let start = Instant::now();
    thread::sleep(time);
    let used = cpu()?.saturating_sub(before).as_secs_f64();
    Ok(Fleet { private, proportional, cpu: used / start.elapsed().as_secs_f64() * 100.0 })
}
