//! How long the stream stands still for a client while the server is upgraded in place.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::Client;
use super::server::{Kind, Log, Plan, Server};
use super::stats::percentile;
use super::table::{Goal, Row};
use super::{Bench, Result};

/// Upgrades in a row.
const UPGRADES: usize = 100;

/// From the signal on: within it the upgrade is over.
const WINDOW: Duration = Duration::from_millis(150);

/// Bytes read before the first one: what the server holds of the stream, and hands over, is full.
const FILLING: usize = 1_500_000;

/// The same with a history of 64 MiB.
const HISTORY: usize = 70_000_000;

/// What the log says of each.
const NOTICE: &str = "upgraded in place";

/// For anything else.
const PATIENCE: Duration = Duration::from_secs(10);

/// Milliseconds.
struct Pauses {
    p50: f64,
    p99: f64,
    max: f64,
    /// Without an upgrade: the child's own pace, and the machine's.
    usual: f64,
}

/// The longest time between two reads around each upgrade, with a child that writes 1 MB/s, some of
/// it each millisecond.
pub fn pause(bench: &Bench) -> Vec<Row> {
    let mut series =
        bench.interleave_some(&[Kind::Ours], [1, 0], |_| measure(bench, FILLING, false, &[]));
    series.peer.push(Err("none; SIGUSR1 ends procServ".to_owned()));
    let row = |what: &str, goal, pick: fn(&Pauses) -> f64| {
        Row::new(format!("upgrade-pause {what}"), "ms", &series, goal, pick)
    };
    vec![
        row("p50", Goal::None, |pauses| pauses.p50),
        row("p99", Goal::AtMost(20.0), |pauses| pauses.p99),
        row("max", Goal::None, |pauses| pauses.max),
        row("p99 without upgrade", Goal::None, |pauses| pauses.usual),
    ]
}

/// The same with a full history of 64 MiB, and without history in the column of the reference.
pub fn pause_with_history(bench: &Bench, name: &str, fdstore: bool) -> Vec<Row> {
    let kinds = [Kind::Ours, Kind::Reference];
    let series = bench.interleave_some(&kinds, [bench.few(2), 0], |kind| match kind {
        Kind::Ours => measure(bench, HISTORY, fdstore, &["--history", "64M"]),
        _ => measure(bench, FILLING, fdstore, &[]),
    });
    let row = |what: &str, goal, pick: fn(&Pauses) -> f64| {
        Row::new(format!("{name} with, without, {what}"), "ms", &series, goal, pick)
    };
    vec![
        row("p50", Goal::None, |pauses| pauses.p50),
        row("p99", Goal::ReferenceAtMost(1.5), |pauses| pauses.p99),
    ]
}

/// Measures upgrades after so many bytes of the stream.
fn measure(
    bench: &Bench,
    filling: usize,
    fdstore: bool,
    options: &'static [&'static str],
) -> Result<Pauses> {
    let child = ["chatter", "1000000", &filling.to_string()].map(str::to_owned).to_vec();
    let plan = Plan { log: Log::Memory, options, fdstore, child, ..Plan::new([]) };
    let server = Server::start(bench, Kind::Ours, &plan)?;
    let client = server.clients(1, Instant::now() + PATIENCE)?.remove(0);
    server.open_gate(Instant::now() + PATIENCE)?;
    let mut filled = 0;
    while filled < filling {
        filled += read(&client)?;
    }
    let count = bench.few(UPGRADES);
    let mut usual = Vec::new();
    let mut pauses = Vec::new();
    for _ in 0..count {
        usual.push(longest_pause(&client)?);
        kill(Pid::from_raw(server.pid().cast_signed()), Signal::SIGUSR1)?;
        pauses.push(longest_pause(&client)?);
    }
    // The last one may take longer than its window.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = server.log.as_ref().map(fs::read).transpose()?.unwrap_or_default();
        match String::from_utf8_lossy(&log).matches(NOTICE).count() {
            upgrades if upgrades == count => break,
            upgrades if Instant::now() > deadline => {
                return Err(format!("{upgrades} upgrades of {count}").into());
            }
            _ => drop(read(&client)?),
        }
    }
    let part = |times: &[f64], share| percentile(times, share).ok_or("no samples");
    Ok(Pauses {
        p50: part(&pauses, 0.5)?,
        p99: part(&pauses, 0.99)?,
        max: part(&pauses, 1.0)?,
        usual: part(&usual, 0.99)?,
    })
}

/// Of the stream, within a window that begins now.
fn longest_pause(client: &Client) -> Result<f64> {
    let begin = Instant::now();
    let mut last = begin;
    let mut longest = Duration::ZERO;
    while begin.elapsed() < WINDOW {
        read(client)?;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    Ok(longest.as_secs_f64() * 1e3)
}

fn read(client: &Client) -> Result<usize> {
    let mut buffer = [0; 65536];
    let count = client.read(&mut buffer, Instant::now() + PATIENCE)?;
    Ok(count.ok_or("hung; the stream stands still")?)
}
