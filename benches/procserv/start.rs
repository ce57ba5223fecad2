//! How soon a server answers and its child speaks: after the start, and after the kill key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::child::HELLO;
use super::latency::KILL;
use super::server::{Kind, Log, Plan, Server};
use super::table::{Goal, Row};
use super::{Bench, Result};

/// For one start.
const PATIENCE: Duration = Duration::from_secs(3);

/// After the first output: until that has arrived everywhere.
const QUIET: Duration = Duration::from_millis(50);

/// The best of so many counts: everything else is the machine's.
const TRIES: usize = 8;

/// The server's start to the child's first output in the log.
pub fn start(bench: &Bench) -> Vec<Row> {
    let series = bench.interleave_best(TRIES, |kind| {
        let plan = Plan { log: Log::Memory, clients: 0, direct: true, ..Plan::new(["hello"]) };
        let start = Instant::now();
        let server = Server::start(bench, kind, &plan)?;
        let path = server.log.as_ref().ok_or("no log")?;
        while start.elapsed() < PATIENCE {
            let log = std::fs::read(path).unwrap_or_default();
            if log.windows(HELLO.len()).any(|window| window == HELLO) {
                return Ok(start.elapsed().as_secs_f64() * 1e3);
            }
            thread::sleep(Duration::from_micros(50));
        }
        Err(too_long().into())
    });
    let name = "start to the child's output".to_owned();
    vec![Row::new(name, "ms", &series, Goal::AtMost(10.0), |&best| best)]
}

/// The server's start to the first greeting.
pub fn accept(bench: &Bench) -> Vec<Row> {
    let series = bench.interleave_best(TRIES, |kind| {
        let plan = Plan { direct: true, ..Plan::new(["idle"]) };
        let start = Instant::now();
        let server = Server::start(bench, kind, &plan)?;
        server.clients(1, start + PATIENCE)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    });
    let name = "start to the first greeting".to_owned();
    vec![Row::new(name, "ms", &series, Goal::None, |&best| best)]
}

/// The kill key to the next child's first output, holdoff 0.
pub fn restart(bench: &Bench) -> Vec<Row> {
    let series = bench.interleave_best(2, |kind| kill_often(bench, kind, false));
    let name = "restart to the child's output".to_owned();
    vec![Row::new(name, "ms", &series, Goal::AtMost(10.0), |&best| best)]
}

/// The same while another client types.
pub fn restart_typing(bench: &Bench) -> Vec<Row> {
    let series = bench.interleave_best(2, |kind| kill_often(bench, kind, true));
    let name = "restart-typing to the child's output".to_owned();
    vec![Row::new(name, "ms", &series, Goal::AtMost(10.0), |&best| best)]
}

/// The best of some kills.
fn kill_often(bench: &Bench, kind: Kind, typing: bool) -> Result<f64> {
    let plan = Plan { clients: 2, ..Plan::new(["hello"]) };
    let server = Server::start(bench, kind, &plan)?;
    let deadline = Instant::now() + PATIENCE;
    let mut clients = server.clients(2, deadline)?;
    let (typist, killer) = (clients.pop().ok_or("no client")?, clients.pop().ok_or("no client")?);
    server.acknowledged(deadline)?;
    killer.discard(QUIET)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        if typing {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) && typist.send(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let mut best = f64::INFINITY;
        let result = (0..TRIES / 2).try_for_each(|_| {
            let start = Instant::now();
            killer.send(KILL)?;
            killer.expect(HELLO, start + PATIENCE).map_err(|_| too_long())?;
            best = best.min(start.elapsed().as_secs_f64() * 1e3);
            Ok(())
        });
        done.store(true, Ordering::Relaxed);
        result.map(|()| best)
    })
}

fn too_long() -> String {
    format!("> {} s", PATIENCE.as_secs())
}
