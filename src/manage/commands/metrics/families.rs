//! The families of samples, which docs/monitoring.md describes. What is not known has no sample.

use serde_json::Value;

use super::exposition::{Kind, Sample, push_family};
use crate::manage::inspect::overview::{Overview, State};
use crate::manage::inspect::{ends, proc};

/// A family: its name, what its value does, its help, and the samples of an instance.
type Family = (&'static str, Kind, &'static str, fn(&Overview) -> Vec<Labelled>);

/// A value, and the label that it has beside the name of its instance.
type Labelled<'o> = (Option<(&'static str, &'o str)>, u64);

const FAMILIES: [Family; 20] = [
    (
        "procserv_info",
        Kind::Gauge,
        "The version of the server, empty if it is not known; always 1.",
        |one| {
            let version = one.field("/version").and_then(Value::as_str).unwrap_or_default();
            vec![(Some(("version", version)), 1)]
        },
    ),
    (
        "procserv_state",
        Kind::Gauge,
        "The state of the instance as in manage-procs status: 1 for one state, 0 for the others.",
        |one| {
            let is = |state: State| u64::from(state.word() == one.state.word());
            State::ALL.map(|state| (Some(("state", state.word())), is(state))).to_vec()
        },
    ),
    ("procserv_up", Kind::Gauge, "1 if the child runs, 0 if not.", |one| {
        known(one, || one.server.as_ref().is_some_and(|live| live.child.is_some()))
    }),
    ("procserv_server_up", Kind::Gauge, "1 if the server runs, 0 if not.", |one| {
        known(one, || has_server(one))
    }),
    (
        "procserv_status_file_ok",
        Kind::Gauge,
        "1 if the status file of the server that runs can be read, 0 if not.",
        |one| match has_server(one) {
            true => vec![(None, u64::from(one.field("/v").is_some()))],
            false => Vec::new(),
        },
    ),
    (
        "procserv_mode",
        Kind::Gauge,
        "The mode of automatic restart: 1 for one of ON, OFF and ONESHOT, 0 for the others.",
        |one| {
            let modes = ["ON", "OFF", "ONESHOT"];
            let mode = one.mode().filter(|mode| modes.contains(mode));
            let is = |mode, name| (Some(("mode", name)), u64::from(mode == name));
            mode.map(|mode| modes.map(|name| is(mode, name)).to_vec()).unwrap_or_default()
        },
    ),
    (
        "procserv_server_start_time_seconds",
        Kind::Gauge,
        "When the server was started, in seconds since 1970.",
        |one| number(time(one, "", "started")),
    ),
    (
        "procserv_child_start_time_seconds",
        Kind::Gauge,
        "When the child that runs was started, in seconds since 1970.",
        |one| number(time(one, "/child", "started")),
    ),
    (
        "procserv_child_ready",
        Kind::Gauge,
        "1 if the child that runs has written the text of --ready, or there is no such option.",
        |one| number(one.field("/child/ready").and_then(Value::as_bool).map(u64::from)),
    ),
    (
        "procserv_child_restarts_total",
        Kind::Counter,
        "Children that this server has started after the first.",
        |one| count(one, "/restarts"),
    ),
    (
        "procserv_child_last_end_time_seconds",
        Kind::Gauge,
        "When a child ended last, in seconds since 1970.",
        |one| number(time(one, "/ends/0", "time")),
    ),
    (
        "procserv_child_last_exit_code",
        Kind::Gauge,
        "The exit status of the last child that ended, if no signal killed it.",
        |one| count(one, "/ends/0/code"),
    ),
    (
        "procserv_child_last_exit_signal",
        Kind::Gauge,
        "The signal that killed the last child that ended, 0 if it exited.",
        |one| match one.field("/ends/0/code") {
            Some(_) => vec![(None, 0)],
            None => count(one, "/ends/0/signal"),
        },
    ),
    ("procserv_clients", Kind::Gauge, "Connected clients.", |one| {
        let all = one.field("/clients").and_then(Value::as_array);
        let of = |role, all: &Vec<Value>| {
            let is = |client: &&Value| client.get("role").and_then(Value::as_str) == Some(role);
            (Some(("role", role)), all.iter().filter(is).count() as u64)
        };
        let roles = ["user", "viewer", "logger", "api"];
        all.map(|all| roles.map(|role| of(role, all)).to_vec()).unwrap_or_default()
    }),
    (
        "procserv_log_written_bytes_total",
        Kind::Counter,
        "Bytes of the console that the log was given.",
        |one| logs(one, "written"),
    ),
    (
        "procserv_log_lost_bytes_total",
        Kind::Counter,
        "Bytes of the console that the log lacks.",
        |one| logs(one, "lost"),
    ),
    (
        "procserv_client_skipped_bytes_total",
        Kind::Counter,
        "Bytes of the console that clients were not sent because they read too slowly.",
        |one| count(one, "/skipped"),
    ),
    (
        "procserv_trouble",
        Kind::Gauge,
        "1 for what fails at the moment, 0 for what does not.",
        troubles,
    ),
    (
        "procserv_upgrades_total",
        Kind::Counter,
        "Upgrades in place that this server has had.",
        |one| count(one, "/upgrades"),
    ),
    (
        "procserv_crashes_total",
        Kind::Counter,
        "Servers in a row before this one that came to no orderly end.",
        |one| count(one, "/crashes"),
    ),
];

/// What may fail: `what` of the status file. Of a later server there may be more.
const SUBSYSTEMS: [&str; 10] = [
    "log",
    "log_sync",
    "log_rotate",
    "syslog",
    "events",
    "events_rotate",
    "journal",
    "status_file",
    "history",
    "child_start",
];

/// All families with the samples of these instances.
pub(super) fn text(all: &[Overview]) -> String {
    let mut text = String::new();
    for (name, kind, help, samples) in FAMILIES {
        let samples = all.iter().flat_map(|one| samples(one).into_iter().map(|it| sample(one, it)));
        push_family(&mut text, (name, kind, help), samples);
    }
    text
}

fn sample<'o>(one: &'o Overview, (more, value): Labelled<'o>) -> Sample<'o> {
    let labels = std::iter::once(("name", one.name.as_str())).chain(more);
    Sample { labels: labels.collect(), value }
}

fn number<'o>(value: Option<u64>) -> Vec<Labelled<'o>> {
    value.map(|value| (None, value)).into_iter().collect()
}

/// A number of the status file.
fn count<'o>(one: &Overview, pointer: &str) -> Vec<Labelled<'o>> {
    number(one.field(pointer).and_then(Value::as_u64))
}

/// A time of the status file. One that `/proc` gives differs by a second from look to look.
fn time(one: &Overview, pointer: &str, key: &str) -> Option<u64> {
    one.field(pointer).and_then(|value| ends::time(value, key)).map(proc::seconds)
}

/// A truth about processes, which nobody knows of an instance that hides or does not answer.
fn known<'o>(one: &Overview, is_true: impl Fn() -> bool) -> Vec<Labelled<'o>> {
    match one.state {
        State::Hidden | State::NoAnswer => Vec::new(),
        _ => number(Some(u64::from(is_true()))),
    }
}

fn has_server(one: &Overview) -> bool {
    one.server.as_ref().is_some_and(|live| live.server.is_some())
}

fn logs<'o>(one: &Overview, key: &str) -> Vec<Labelled<'o>> {
    let of = |pointer, log| {
        let value = one.field(pointer)?.get(key)?.as_u64()?;
        Some((Some(("log", log)), value))
    };
    [of("/log", "file"), of("/syslog", "syslog")].into_iter().flatten().collect()
}

fn troubles(one: &Overview) -> Vec<Labelled<'_>> {
    let Some(all) = one.field("/trouble").and_then(Value::as_array) else { return Vec::new() };
    let what = |trouble: &Value| trouble.get("what").and_then(Value::as_str).map(str::to_owned);
    let failing: Vec<String> = all.iter().filter_map(what).collect();
    let is = |name: &'static str| failing.iter().any(|failing| failing == name);
    let other = failing.iter().any(|name| !SUBSYSTEMS.contains(&name.as_str()));
    let mut samples: Vec<Labelled> =
        SUBSYSTEMS.map(|name| (Some(("what", name)), u64::from(is(name)))).to_vec();
    samples.push((Some(("what", "other")), u64::from(other)));
    samples
}
