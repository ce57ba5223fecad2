//! A megabyte pasted by one client.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use super::client::{Client, timeout};
use super::latency::KILL;
use super::payload;
use super::server::{Kind, Plan, Server};
use super::table::{Goal, Row};
use super::{Bench, Result};

const BYTES: usize = 1_000_000;

/// For the paste to be taken, as far as it is.
const TAKEN: Duration = Duration::from_secs(1);

/// For everything else.
const PATIENCE: Duration = Duration::from_secs(10);

/// The reference writes to its child and waits: it hangs as procServ does.
const KINDS: [Kind; 2] = [Kind::Ours, Kind::Peer];

/// Into a child that doesn't read: the kill key of another client still acts.
pub fn deaf(bench: &Bench) -> Vec<Row> {
    let series = bench.interleave_some(&KINDS, [bench.runs, 1], |kind| {
        let (server, paster, other) = start(bench, kind, "deaf")?;
        let (taken, _) = paste(&paster, Instant::now() + TAKEN, false)?;
        let start = Instant::now();
        other.send(KILL)?;
        server.child_ended(start + bench.patience(PATIENCE))?;
        Ok((taken as f64, start.elapsed().as_secs_f64() * 1e3))
    });
    let name = |what: &str| format!("paste-deaf 1 MB, {what}");
    vec![
        Row::new(name("taken"), "bytes", &series, Goal::None, |&(taken, _)| taken),
        Row::new(name("then ^X"), "ms", &series, Goal::AtMost(10.0), |&(_, time)| time),
    ]
}

/// Into a child that writes it all back: it comes back whole.
pub fn parrot(bench: &Bench) -> Vec<Row> {
    let series = bench.interleave_some(&KINDS, [bench.runs, 1], |kind| {
        let (_server, paster, _other) = start(bench, kind, "parrot")?;
        let start = Instant::now();
        let (_, back) = paste(&paster, start + bench.patience(PATIENCE), true)?;
        if back < BYTES {
            return Err(format!("hung; {back} bytes came back").into());
        }
        Ok(BYTES as f64 / 1e6 / start.elapsed().as_secs_f64())
    });
    let name = "paste-parrot 1 MB".to_owned();
    vec![Row::new(name, "MB/s", &series, Goal::Works, |&speed| speed)]
}

fn start(bench: &Bench, kind: Kind, child: &str) -> Result<(Server, Client, Client)> {
    let deadline = Instant::now() + PATIENCE;
    let server = Server::start(bench, kind, &Plan { clients: 2, ..Plan::new([child]) })?;
    let mut clients = server.clients(2, deadline)?;
    server.open_gate(deadline)?;
    let (other, paster) = (clients.pop().ok_or("no client")?, clients.pop().ok_or("no client")?);
    server.acknowledged(deadline)?;
    // The greeting and the news of the child's start.
    paster.discard(Duration::from_millis(50))?;
    paster.set_nonblocking()?;
    Ok((server, paster, other))
}

/// Sends it, and takes what comes back, until all of it was sent (and came back, if it is to) or
/// `deadline`; how much it was.
fn paste(client: &Client, deadline: Instant, comes_back: bool) -> Result<(usize, usize)> {
    let block = payload::block();
    let text: Vec<u8> = block.iter().cycle().take(BYTES).copied().collect();
    let (mut sent, mut back) = (0, 0);
    let mut buffer = vec![0; 64 << 10];
    while (sent < BYTES || (comes_back && back < BYTES)) && Instant::now() < deadline {
        let wanted = if sent < BYTES { PollFlags::POLLOUT } else { PollFlags::empty() };
        let mut fds = [PollFd::new(client.file.as_fd(), wanted | PollFlags::POLLIN)];
        poll(&mut fds, timeout(deadline.saturating_duration_since(Instant::now())))?;
        let ready = fds[0].revents().unwrap_or(PollFlags::empty());
        if ready.contains(PollFlags::POLLOUT) {
            // A full buffer is no error: poll tells when it has room.
            sent += (&client.file).write(&text[sent..]).unwrap_or(0);
        }
        if ready.contains(PollFlags::POLLIN) {
            let count = (&client.file).read(&mut buffer)?;
            if count == 0 {
                return Err("connection closed".into());
            }
            if comes_back && text.get(back..back + count) != Some(&buffer[..count]) {
                return Err(format!("WRONG; after byte {back}").into());
            }
            back += count;
        }
    }
    Ok((sent, back))
}
