//! How children and servers ended, and who had them end: from the status file (docs/status.md).

use std::time::SystemTime;

use chrono::DateTime;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::users;
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
}

impl End {
    /// The end and how long ago that was.
    pub(crate) fn text(&self, now: SystemTime) -> String {
        let ago = self.time.map(|time| now.duration_since(time).unwrap_or_default());
        let ago = ago.map(|ago| format!(" {} ago", age(ago.as_secs())));
        format!("{}{}", self.what, ago.unwrap_or_default())
    }
}

/// The last ends that a status file tells of, newest first: those of children, and that of the server
/// before this one, if that came to no orderly end.
pub(crate) fn of(status: &Value) -> Vec<End> {
    let children = status.get("ends").and_then(Value::as_array);
    let mut ends: Vec<End> = children.into_iter().flatten().map(child).collect();
    if status.get("last_server").is_some_and(Value::is_object) {
        ends.push(End {
            what: "killed or crashed (server)".to_owned(),
            time: time(status, "started"),
            life: None,
            is_wanted: false,
        });
    }
    ends.sort_by_key(|end| std::cmp::Reverse(end.time));
    ends
}

fn child(end: &Value) -> End {
    let cause = end.get("cause").unwrap_or(&Value::Null);
    let (time, started) = (time(end, "time"), time(end, "started"));
    let how = match (number(end, "code"), number(end, "signal")) {
        (Some(code), _) => format!("exit {code}"),
        (_, Some(signal)) => signal_name(signal),
        _ => "unknown end".to_owned(),
    };
    let by = cause.get("by").and_then(Value::as_str).unwrap_or_default();
    let text = |key| cause.get(key).and_then(Value::as_str).unwrap_or_default();
    let what = match by {
        "client" => {
            let command = if text("command") == "kill" { "^X" } else { text("command") };
            format!("{command} by {}", person(cause.get("client").unwrap_or(&Value::Null)))
        }
        "signal" => format!("{} by {}", text("signal"), sender(cause)),
        "server" => format!("{how}, its terminal closed"),
        _ => how,
    };
    let life = time.zip(started).and_then(|(time, started)| time.duration_since(started).ok());
    let is_wanted = matches!(by, "client" | "signal");
    End { what, time, life: life.map(|life| life.as_secs()), is_wanted }
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

fn sender(cause: &Value) -> String {
    let sender = cause.get("sender").and_then(|sender| number(sender, "uid"));
    sender.map_or_else(|| "the kernel".to_owned(), user_name)
}

/// The name of a user, or the user's number.
fn user_name(uid: i64) -> String {
    let name = u32::try_from(uid).ok().and_then(users::name);
    name.unwrap_or_else(|| format!("uid {uid}"))
}

/// The name of a signal, such as `SIGSEGV`.
pub(crate) fn signal_name(number: i64) -> String {
    let signal = i32::try_from(number).ok().and_then(|number| Signal::try_from(number).ok());
    signal.map_or_else(|| format!("signal {number}"), |signal| signal.as_str().to_owned())
}

fn number(value: &Value, key: &str) -> Option<i64> {
    value.get(key)?.as_i64()
}

/// A time of the status file.
pub(crate) fn time(value: &Value, key: &str) -> Option<SystemTime> {
    DateTime::parse_from_rfc3339(value.get(key)?.as_str()?).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

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
}
