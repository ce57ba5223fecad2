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
    let mut series = bench.interleave_some(&[Kind::Ours], [1, 0], |kind| {
        let plan = Plan { log: Log::Memory, ..Plan::new(["chatter", "1000000"]) };
        let server = Server::start(bench, kind, &plan)?;
        let client = server.clients(1, Instant::now() + PATIENCE)?.remove(0);
        server.open_gate(Instant::now() + PATIENCE)?;
        let mut filled = 0;
        while filled < FILLING {
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
        let log = server.log.as_ref().map(fs::read).transpose()?.unwrap_or_default();
        let upgrades = String::from_utf8_lossy(&log).matches(NOTICE).count();
        if upgrades != count {
            return Err(format!("{upgrades} upgrades of {count}").into());
        }
        let part = |times: &[f64], share| percentile(times, share).ok_or("no samples");
        Ok(Pauses {
            p50: part(&pauses, 0.5)?,
            p99: part(&pauses, 0.99)?,
            max: part(&pauses, 1.0)?,
            usual: part(&usual, 0.99)?,
        })
    });
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
