//! How children and servers ended, and who had them end: from the status file (docs/status.md), and
//! from what [`past`](super::past) makes of events.

use std::time::{Duration, SystemTime};

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::users;
use crate::event_text::signal_name;
use crate::manage::limits::CRASH_LOOP_LIFE;
use crate::manage::output::age;

/// The end of a child or of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// In a few words: `exit 3`, `SIGSEGV`, `^X by oper`, `exit 98 (server)`.
    pub(crate) what: String,
    /// When it ended, if that is known.
    pub(crate) time: Option<SystemTime>,
    /// How long it had lived, in seconds.
    pub(crate) life: Option<u64>,
    /// True if somebody asked for this end.
    pub(crate) is_wanted: bool,
    /// True for the end of a server.
    pub(crate) is_server: bool,
    /// The PID of the child: of a server that was killed, that of its last child.
    pub(crate) pid: Option<i64>,
    /// The exit status, if there was one.
    pub(crate) code: Option<i64>,
    /// The number of the signal that was the end.
    pub(crate) signal: Option<i64>,
    /// Who or what caused this end, as in docs/status.md. Null if that is not known.
    pub(crate) cause: Value,
}

impl End {
    /// The end of a server of which nothing is known but that it came to no orderly end.
    pub(super) fn of_server() -> End {
        End {
            what: UNSEEN.to_owned(),
            time: None,
            life: None,
            is_wanted: false,
            is_server: true,
            pid: None,
            code: None,
            signal: None,
            cause: Value::Null,
        }
    }

    /// An end of which another program tells.
    pub(crate) fn told(what: String, time: Option<SystemTime>) -> End {
        End { what, time, is_server: false, ..End::of_server() }
    }

    /// The end and how long ago that was.
    pub(crate) fn text(&self, now: SystemTime) -> String {
        let ago = self.time.map(|time| now.duration_since(time).unwrap_or_default());
        let ago = ago.map(|ago| format!(" {} ago", age(ago.as_secs())));
        format!("{}{}", self.what, ago.unwrap_or_default())
    }

    /// How it ended, whoever caused it: `exit 3`, `SIGSEGV`.
    pub(crate) fn how(&self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("exit {code}"),
            (_, Some(signal)) => signal_name(signal),
            _ if self.is_server => "killed or crashed".to_owned(),
            _ => "unknown end".to_owned(),
        }
    }

    /// Returns true if two sources tell of the same end.
    fn is_same(&self, other: &End) -> bool {
        let (Some(time), Some(other_time)) = (self.time, other.time) else {
            // Only what systemd says has no time, and that is of the last server.
            return false;
        };
        // Events tell of the end of a server that was killed at the start of the next one.
        let late = if other.what == UNSEEN { RESTART_MAX } else { SAME_END };
        let is_near = time <= other_time + SAME_END && other_time <= time + late;
        self.is_server == other.is_server && is_near && (self.is_server || self.pid == other.pid)
    }
}

/// How far two sources may be apart in the time of one end.
const SAME_END: Duration = Duration::from_secs(2);

/// How long after the end of a server systemd may have started the next one, which takes two seconds and
/// what a busy machine needs.
const RESTART_MAX: Duration = Duration::from_secs(10);

/// Joins the ends that two sources tell of, newest first. Of one that both tell of, the first source
/// knows how it ended, and the second one may know more.
pub(crate) fn joined(mut first: Vec<End>, second: Vec<End>) -> Vec<End> {
    for end in second {
        match first.iter_mut().find(|known| known.is_same(&end)) {
            Some(known) => {
                known.pid = known.pid.or(end.pid);
                if known.cause.is_null() && !end.cause.is_null() {
                    known.what = end.what;
                    known.is_wanted = end.is_wanted;
                    known.cause = end.cause;
                }
            }
            None => first.push(end),
        }
    }
    // What has no time is the newest.
    first.sort_by_key(|end| (end.time.is_some(), std::cmp::Reverse(end.time)));
    first
}

/// The last ends that a status file tells of, newest first: those of children, and that of the server
/// before this one, if that came to no orderly end.
pub(crate) fn of(status: &Value) -> Vec<End> {
    let children = status.get("ends").and_then(Value::as_array);
    let mut ends: Vec<End> = children.into_iter().flatten().map(child).collect();
    if status.get("last_server").is_some_and(Value::is_object) {
        ends.push(killed_server(status.get("started"), None));
    }
    ends.sort_by_key(|end| std::cmp::Reverse(end.time));
    ends
}

/// How systemd saw a server end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerExit {
    /// The exit status, if there was one.
    pub(crate) code: Option<i64>,
    /// The number of the signal that was the end.
    pub(crate) signal: Option<i64>,
    pub(crate) time: SystemTime,
}

/// Says how the server before this one has ended, if systemd saw that. `exits` are newest first.
pub(crate) fn explain_server(ends: &mut [End], status: &Value, exits: &[ServerExit]) {
    let last_sign = status.get("last_server").and_then(|server| time(server, "last_change"));
    let Some(end) = ends.iter_mut().find(|end| end.what == UNSEEN) else { return };
    // The times of a status file have no fraction of the second.
    let start = end.time.and_then(|time| time.checked_add(Duration::from_secs(1)));
    let is_its = |exit: &&ServerExit| {
        Some(exit.time) < start && last_sign.is_none_or(|sign| exit.time >= sign)
    };
    if let Some(exit) = exits.iter().find(is_its) {
        (end.code, end.signal, end.time) = (exit.code, exit.signal, Some(exit.time));
        end.what = format!("{} (server)", end.how());
    }
}

/// The end of a server of which its successor knows no more.
const UNSEEN: &str = "killed or crashed (server)";

/// Returns true if the last three children have ended soon after their start, nobody asked for that,
/// and a child that runs is as young. `ends` are the last ends, `child_since` the start of that child.
pub(crate) fn are_loop(ends: &[End], child_since: Option<SystemTime>) -> bool {
    let is_short =
        |end: &&End| !end.is_wanted && end.life.is_some_and(|life| life < CRASH_LOOP_LIFE);
    let age = child_since.and_then(|since| since.elapsed().ok()).unwrap_or_default();
    ends.iter().filter(is_short).count() >= 3 && age.as_secs() < CRASH_LOOP_LIFE
}

/// The end of a server that came to no orderly end, before `time`. `pid` is that of its last child.
pub(super) fn killed_server(time: Option<&Value>, pid: Option<&Value>) -> End {
    let (time, pid) = (time.and_then(parsed), pid.and_then(Value::as_i64));
    End { time, pid, ..End::of_server() }
}

/// The orderly end of a server, with the fields `time`, `code` and `cause`.
pub(super) fn server(end: &Value) -> End {
    let end = child(end);
    End { what: format!("{} (server)", end.what), is_server: true, ..end }
}

/// The end of a child, with the fields of a status file.
pub(super) fn child(end: &Value) -> End {
    let cause = end.get("cause").unwrap_or(&Value::Null);
    let (time, started) = (time(end, "time"), time(end, "started"));
    let by = cause.get("by").and_then(Value::as_str).unwrap_or_default();
    let text = |key| cause.get(key).and_then(Value::as_str).unwrap_or_default();
    let life = time.zip(started).and_then(|(time, started)| time.duration_since(started).ok());
    let mut end = End {
        what: String::new(),
        time,
        life: life.map(|life| life.as_secs()),
        is_wanted: matches!(by, "client" | "signal"),
        is_server: false,
        pid: number(end, "pid"),
        code: number(end, "code"),
        signal: number(end, "signal"),
        cause: cause.clone(),
    };
    end.what = match by {
        "client" => {
            let command = if text("command") == "kill" { "^X" } else { text("command") };
            format!("{command} by {}", author(cause))
        }
        "signal" => format!("{} by {}", text("signal"), sender(cause)),
        "server" => format!("{}, its terminal closed", end.how()),
        _ => end.how(),
    };
    end
}

/// The person behind a client: the user of a Unix socket, or the address over TCP.
pub(crate) fn person(client: &Value) -> String {
    if let Some(uid) = number(client, "uid") {
        return user_name(uid);
    }
    let text = |key| client.get(key).and_then(Value::as_str);
    match (text("address"), text("endpoint")) {
        (Some(address), _) => address.to_owned(),
        (None, Some("stdin")) => "the server's terminal".to_owned(),
        _ => "somebody".to_owned(),
    }
}

/// The person behind a cause: the client, or the sender of the signal.
pub(crate) fn author(cause: &Value) -> String {
    match cause.get("client") {
        Some(client) => person(client),
        None => sender(cause),
    }
}

fn sender(cause: &Value) -> String {
    let sender = cause.get("sender").and_then(|sender| number(sender, "uid"));
    sender.map_or_else(|| "the kernel".to_owned(), user_name)
}

/// The name of a user, or the user's number.
fn user_name(uid: i64) -> String {
    let name = u32::try_from(uid).ok().and_then(users::name);
    name.unwrap_or_else(|| format!("uid {uid}"))
}

fn number(value: &Value, key: &str) -> Option<i64> {
    value.get(key)?.as_i64()
}

/// A time of the status file.
pub(crate) fn time(value: &Value, key: &str) -> Option<SystemTime> {
    value.get(key).and_then(parsed)
}

fn parsed(time: &Value) -> Option<SystemTime> {
    DateTime::parse_from_rfc3339(time.as_str()?).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ends_say_how_and_by_whom() {
        let end = |more: Value| {
            let mut end = json!({ "started": "2026-11-30T13:00:00+01:00", "time": "2026-11-30T13:02:00+01:00" });
            end.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            child(&end)
        };
        let root = json!({ "uid": 0, "endpoint": "unix:/x" });
        for (more, what, is_wanted) in [
            (json!({ "code": 3, "cause": { "by": "itself" } }), "exit 3", false),
            (json!({ "signal": 11 }), "SIGSEGV", false),
            (json!({ "signal": 400 }), "signal 400", false),
            (json!({ "status": "unknown" }), "unknown end", false),
            (
                json!({ "signal": 9, "cause": { "by": "client", "command": "kill", "client": root } }),
                "^X by root",
                true,
            ),
            (
                json!({ "signal": 9, "cause": { "by": "client", "command": "kill", "client": { "address": "[::1]:4" } } }),
                "^X by [::1]:4",
                true,
            ),
            (
                json!({ "signal": 9, "cause": { "by": "signal", "signal": "SIGTERM", "sender": { "pid": 1, "uid": 0 } } }),
                "SIGTERM by root",
                true,
            ),
            (
                json!({ "signal": 9, "cause": { "by": "server", "why": "terminal_closed" } }),
                "SIGKILL, its terminal closed",
                false,
            ),
        ] {
            let end = end(more);
            assert_eq!((end.what.as_str(), end.is_wanted, end.life), (what, is_wanted, Some(120)));
            assert_eq!(
                end.text(end.time.unwrap() + Duration::from_secs(130)),
                format!("{what} 2m ago")
            );
        }
    }

    #[test]
    fn systemd_has_seen_how_a_server_ended() {
        let status = json!({
            "started": "2026-11-30T13:05:02+01:00",
            "last_server": { "last_change": "2026-11-30T13:04:00+01:00" },
        });
        let exit = |signal, minute| ServerExit {
            code: None,
            signal: Some(signal),
            time: time(&json!({ "t": format!("2026-11-30T13:{minute}:00+01:00") }), "t").unwrap(),
        };
        let said = |exits: &[ServerExit]| {
            let mut ends = of(&status);
            explain_server(&mut ends, &status, exits);
            ends.remove(0).what
        };
        let all = [exit(6, "06"), exit(9, "05"), exit(1, "03")];
        assert_eq!(said(&all), "SIGKILL (server)");
        assert_eq!(said(&all[2..]), UNSEEN);
    }

    #[test]
    fn a_server_that_was_killed_is_among_them() {
        let status = json!({
            "started": "2026-11-30T13:05:00+01:00",
            "last_server": { "end": "crash", "pid": 7 },
            "ends": [{ "time": "2026-11-30T13:02:00+01:00", "code": 0 }],
        });
        let ends: Vec<String> = of(&status).into_iter().map(|end| end.what).collect();
        assert_eq!(ends, ["killed or crashed (server)", "exit 0"]);
        assert!(of(&json!({ "last_server": null, "ends": 3 })).is_empty());
    }

    /// A server was killed: the status file of the next one knows of it, and its events, and systemd.
    #[test]
    fn sources_are_joined() {
        let time = |second| json!(format!("2026-11-30T13:00:{second:02}+01:00"));
        let exit = |second, pid| child(&json!({ "time": time(second), "pid": pid, "code": 3 }));
        let quit = json!({ "by": "client", "command": "quit", "client": { "uid": 0 } });
        let status = vec![killed_server(Some(&time(30)), None), exit(20, 7), exit(20, 6)];
        let events = vec![
            killed_server(Some(&time(33)), Some(&json!(9))),
            exit(20, 7),
            exit(10, 7),
            server(&json!({ "time": time(5), "code": 0, "cause": quit })),
        ];
        let systemd = vec![End { code: Some(0), time: parsed(&time(6)), ..exit(6, 0) }];
        let systemd: Vec<End> =
            systemd.into_iter().map(|end| End { is_server: true, pid: None, ..end }).collect();
        let joined = joined(joined(systemd, status), events);
        let shown: Vec<_> = joined.iter().map(|end| (end.what.as_str(), end.pid)).collect();
        let expected = [
            ("killed or crashed (server)", Some(9)),
            ("exit 3", Some(7)),
            ("exit 3", Some(6)),
            ("exit 3", Some(7)),
            ("quit by root (server)", None),
        ];
        assert_eq!(shown, expected);
    }
}
