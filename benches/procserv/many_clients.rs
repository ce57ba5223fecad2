//! Thousands of clients: all at once, and one after the other.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::client::Client;
use super::drain::DrainingClients;
use super::process;
use super::server::{Kind, Plan, Server};
use super::table::{Goal, Row};
use super::{ALL, Bench, Result};

/// Clients at once.
pub const COUNT: usize = 5000;

/// For all of them to be served.
const PATIENCE: Duration = Duration::from_secs(12);

/// Until a server that has nothing to do has put its things away.
const SETTLE: Duration = Duration::from_millis(300);

/// Connections that come and go.
const VISITS: usize = 2000;

/// What so many found.
struct AtOnce {
    /// Were greeted.
    served: f64,
    /// Got the line.
    reached: f64,
    /// Milliseconds until the last one had it.
    line: f64,
    /// KiB of memory for each.
    memory: f64,
}

/// All at once, idle; then a line for everybody.
pub fn at_once(bench: &Bench) -> Vec<Row> {
    let count = raise_limit(1).min(COUNT);
    let series = bench.interleave_some(&ALL, [1, 1], |kind| connect_all(bench, kind, count));
    let name = |what: &str| format!("crowd of {count}, {what}");
    let all = Goal::AtLeast(count as f64);
    vec![
        Row::new(name("served"), "clients", &series, all, |s| s.served),
        Row::new(name("reached by a line"), "clients", &series, all, |s| s.reached),
        Row::new(name("a line to all"), "ms", &series, Goal::None, |s| s.line),
        Row::new(name("memory of each"), "KiB", &series, Goal::AtMost(2.0), |s| s.memory),
    ]
}

fn connect_all(bench: &Bench, kind: Kind, count: usize) -> Result<AtOnce> {
    let patience = bench.patience(PATIENCE);
    let deadline = Instant::now() + patience;
    let server = Server::start(bench, kind, &Plan { clients: count, ..Plan::new(["idle"]) })?;
    // The reference starts its child when all are there.
    if kind != Kind::Reference {
        server.open_gate(deadline)?;
        thread::sleep(SETTLE);
    }
    let before = process::anonymous(server.pid())?;
    let mut clients = Vec::new();
    while clients.len() < count
        && let Ok(client) = Client::connect(&server.endpoint, deadline)
    {
        clients.push(client);
    }
    let served = count_reached(&clients, b"\n", deadline);
    if kind == Kind::Reference {
        server.open_gate(deadline)?;
    }
    thread::sleep(SETTLE);
    // A server that is gone has no memory.
    let memory = process::anonymous(server.pid()).map_or(f64::NAN, |now| now - before);
    let start = Instant::now();
    let sent = clients.first().is_some_and(|client| client.send(b"~\r").is_ok());
    let reached = if sent { count_reached(&clients, b"~", start + patience / 3) } else { 0 };
    let line = start.elapsed().as_secs_f64() * 1e3;
    Ok(AtOnce {
        served: served as f64,
        reached: reached as f64,
        line: if reached == count { line } else { f64::NAN },
        memory: memory / served.max(1) as f64,
    })
}

/// How many of them get `wanted` before the deadline. The first one that does not tells that the
/// rest is waited for no longer.
pub fn count_reached(clients: &[Client], wanted: &[u8], deadline: Instant) -> usize {
    let mut until = deadline;
    let reached = clients.iter().filter(|client| {
        let reached = client.expect(wanted, until).is_ok();
        if !reached {
            until = Instant::now() + Duration::from_millis(1);
        }
        reached
    });
    reached.count()
}

/// Makes room for many descriptors; how many clients fit that take so many each.
pub fn raise_limit(each: usize) -> usize {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 500;
    };
    // Whoever may not has what it has.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    (usize::try_from(hard).unwrap_or(COUNT).saturating_sub(100) / each).min(COUNT)
}

/// What connecting and leaving left behind: descriptors, KiB.
pub fn one_after_the_other(bench: &Bench) -> Vec<Row> {
    let series = bench.interleave_some(&[Kind::Ours, Kind::Peer], [1, 1], |kind| {
        let deadline = Instant::now() + PATIENCE;
        let plan = Plan { clients: 2, ..Plan::new(["chatter", "1000000"]) };
        let server = Server::start(bench, kind, &plan)?;
        let _drained = DrainingClients::new(server.clients(1, deadline)?)?;
        server.open_gate(deadline)?;
        // What is allocated once is no leak.
        visit(&server, VISITS / 10, deadline)?;
        let before = measure(&server)?;
        visit(&server, VISITS, deadline)?;
        let after = measure(&server)?;
        Ok((after.0 - before.0, after.1 - before.1))
    });
    let name = |what: &str| format!("churn of {VISITS} connections, {what}");
    vec![
        Row::new(name("leaked"), "descriptors", &series, Goal::AtMost(0.0), |s| s.0),
        // A page here and there is the allocator's.
        Row::new(name("leaked"), "KiB", &series, Goal::AtMost(64.0), |s| s.1),
    ]
}

fn visit(server: &Server, count: usize, deadline: Instant) -> Result<()> {
    for number in 0..count {
        let client = Client::connect(&server.endpoint, deadline)?;
        // Every second one leaves without having read anything.
        if number % 2 == 0 {
            client.expect(b"\n", deadline)?;
        }
    }
    Ok(())
}

fn measure(server: &Server) -> Result<(f64, f64)> {
    thread::sleep(SETTLE);
    Ok((process::descriptors(server.pid())?, process::anonymous(server.pid())?))
}
