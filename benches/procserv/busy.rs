//! A hundred clients that read as fast as they can on a machine that has other things to do.

use std::hint::black_box;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use super::client::{Client, timeout};
use super::payload::{BLOCK, Checker};
use super::server::{Kind, Log, Plan, Server, Transport};
use super::table::{Goal, Row};
use super::{Bench, Result};

/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

const CLIENTS: usize = 100;

/// Threads that read, each as many clients.
const READERS: usize = 2;

/// Threads that only compute.
const HOGS: usize = 3;

/// Megabytes (2^20) that the child writes.
const MEBIBYTES: usize = 24;

/// How many of the clients did not get the stream as the child wrote it.
pub fn rows(bench: &Bench, transport: Transport) -> Vec<Row> {
    let series = bench.interleave_some(&[Kind::Ours], [bench.runs, 0], |kind| {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..HOGS {
                scope.spawn(|| while !black_box(done.load(Ordering::Relaxed)) {});
            }
            let passed = run(bench, kind, transport);
            done.store(true, Ordering::Relaxed);
            passed
        })
    });
    let name = match transport {
        Transport::Unix => "busy-readers-unix",
        Transport::Tcp => "busy-readers-tcp",
    };
    vec![Row::new(name.to_owned(), "passed", &series, Goal::AtMost(0.0), |&passed| passed)]
}

fn run(bench: &Bench, kind: Kind, transport: Transport) -> Result<f64> {
    let blocks = (bench.few(MEBIBYTES) << 20) / BLOCK;
    let plan = Plan {
        transport,
        log: Log::None,
        clients: CLIENTS,
        ..Plan::new(["emit", &blocks.to_string()])
    };
    let deadline = Instant::now() + PATIENCE;
    let server = Server::start(bench, kind, &plan)?;
    let mut clients = server.clients(CLIENTS, deadline)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..READERS)
            .map(|_| {
                let share = clients.split_off(clients.len() - CLIENTS / READERS);
                scope
                    .spawn(move || read(share, blocks, deadline).map_err(|error| error.to_string()))
            })
            .collect();
        server.open_gate(deadline)?;
        let mut passed = 0;
        for thread in threads {
            passed += thread.join().map_err(|_| "a panic")??;
        }
        Ok(passed as f64)
    })
}

/// Reads everything. Returns how many of the clients did not get it as it was written.
fn read(clients: Vec<Client>, blocks: usize, deadline: Instant) -> Result<usize> {
    let mut passed = 0;
    let mut buffer = vec![0; 64 << 10];
    let mut waiting = Vec::new();
    for client in clients {
        client.set_nonblocking()?;
        waiting.push((client, Checker::new(blocks)));
    }
    while !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("{} clients wait", waiting.len()).into());
        }
        let fds =
            waiting.iter().map(|(client, _)| PollFd::new(client.file.as_fd(), PollFlags::POLLIN));
        let mut fds: Vec<PollFd<'_>> = fds.collect();
        poll(&mut fds, timeout(left))?;
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        for ((client, checker), ready) in waiting.iter_mut().zip(ready) {
            if ready {
                let count = (&client.file).read(&mut buffer)?;
                checker.feed(&buffer[..count]);
            }
        }
        waiting.retain(|(_, checker)| {
            passed += usize::from(checker.verdict().is_err());
            checker.verdict().is_ok() && !checker.is_complete()
        });
    }
    Ok(passed)
}
