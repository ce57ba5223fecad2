//! The records that a server keeps for others: events, status file, rotated logs, syslog.

mod day;
mod events;
mod history;
mod hung;
mod input;
mod journal;
mod plain;
mod removed;
mod rotate;
mod shared;
mod status;
mod syslog;
mod trouble;

use crate::support::{Case, TestEnv, TestServer};
use serde_json::Value;

/// What is told of the events.
const EVENTS_MD: &str = include_str!("../../../docs/events.md");

pub(crate) fn cases() -> Vec<Case> {
    let all = [
        day::cases(),
        events::cases(),
        history::cases(),
        trouble::cases(),
        status::cases(),
        plain::cases(),
        removed::cases(),
        rotate::cases(),
        shared::cases(),
        syslog::cases(),
        hung::cases(),
        input::cases(),
        journal::cases(),
    ];
    all.into_iter().flatten().collect()
}

/// The events in this file, each of which must be an object with version, time and kind.
fn events_in(server: &TestServer, name: &str) -> Vec<Value> {
    let text = String::from_utf8(server.file(name)).expect("UTF-8");
    let events = text.lines().map(|line| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert_eq!(event["v"], 1, "{line}");
        let time = event["time"].as_str().expect("a time");
        let shape: String =
            time.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
        assert_eq!(shape.replace('-', "+"), "0000+00+00T00:00:00.000+00:00", "{line}");
        let kind = event["event"].as_str().expect("a kind");
        assert!(EVENTS_MD.contains(&format!("\n| `{kind}` | ")), "{kind} is not documented");
        event
    });
    events.collect()
}

/// Waits until `events` has so many events of this kind, and returns these.
pub(crate) fn wait_events(
    env: &TestEnv,
    server: &TestServer,
    kind: &str,
    count: usize,
) -> Vec<Value> {
    env.wait_for(&format!("{count} events {kind}"), || {
        // A line may be half there.
        let text = std::fs::read_to_string(server.path("events")).ok()?;
        let whole = text.rfind('\n')?;
        let lines = text[..whole].lines().map(|line| serde_json::from_str(line).expect(line));
        let found: Vec<Value> = lines.filter(|it: &Value| it["event"] == kind).collect();
        (found.len() >= count).then_some(found)
    })
}

/// The kinds of these events, with the names of commands and signals.
fn kinds(events: &[Value]) -> Vec<String> {
    let kinds = events.iter().map(|event| {
        let more = event.get("command").or(event.get("signal").filter(|name| name.is_string()));
        let kind = event["event"].as_str().unwrap();
        more.map_or(kind.to_owned(), |more| format!("{kind} {}", more.as_str().unwrap()))
    });
    kinds.collect()
}

/// This process, which connects.
fn own_pid() -> i64 {
    i64::from(std::process::id())
}
