//! An event (docs/events.md) as a sentence for people.

use nix::sys::signal::Signal;
use serde_json::Value;

/// What happened. `user` describes the user with a number, as in `oper (uid 1001)`. An event that this
/// program does not know is shown as it is.
pub(crate) fn sentence(event: &Value, user: &dyn Fn(u32) -> String) -> String {
    let text = |key: &str| match event.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "?".to_owned(),
        Some(other) => other.to_string(),
    };
    let pid = || match event.get("pid") {
        Some(pid) => format!(" (PID {pid})"),
        None => String::new(),
    };
    let name = text("event");
    match name.as_str() {
        "server_start" => format!("server started{}", pid()),
        "server_restart" => format!("server started after a crash{}", pid()),
        "server_upgrade" => format!("server upgraded from {} to {}", text("from"), text("to")),
        "upgrade_failed" => format!("server not upgraded: {}", text("reason")),
        "server_exit" => format!("server exited with status {}", text("status")),
        "connect" => format!("{} attached{}", client(event, user), at(event)),
        "disconnect" => {
            let why = match text("reason").as_str() {
                "failed" => " (connection lost)",
                "server_exit" => " (the server exited)",
                _ => "",
            };
            format!("{} left{}{why}", client(event, user), at(event))
        }
        "refuse" => {
            let peer = event.get("peer").and_then(Value::as_str).unwrap_or("a client");
            format!("{peer} refused at {}: {}", text("endpoint"), text("reason"))
        }
        "command" => command(event, &text("command"), user),
        "signal" => {
            let by = event.get("sender").map(|sender| {
                let pid = sender.get("pid").map_or_else(String::new, |pid| format!(", PID {pid}"));
                format!(" from {}{pid}", describe(sender, user))
            });
            format!("server got {}{}", text("signal"), by.unwrap_or_default())
        }
        "child_start" => format!("child started{}", pid()),
        "child_start_failed" => format!("child not started: {}", text("reason")),
        "child_ready" => format!("child ready{}", pid()),
        "terminal_closed" => format!("child closed its terminal, and was killed for that{}", pid()),
        "child_exit" => format!("child {}{}", end(event), pid()),
        "input" => {
            let what = match event.get("hidden") {
                Some(count) => format!("({count} hidden)"),
                None => text("text"),
            };
            let unfinished = event.get("unfinished") == Some(&Value::Bool(true));
            let unfinished = if unfinished { ", no Enter" } else { "" };
            format!("input by {}{}{unfinished}: {what}", client(event, user), at(event))
        }
        "skipped" => format!("{} missed {} bytes", client(event, user), text("bytes")),
        "trouble" => format!("{} fails: {}", thing(&text("with")), text("reason")),
        "recovery" => format!("{} works again", thing(&text("with"))),
        "accept_failed" => {
            format!("{} accepts nobody: {}", text("endpoint"), text("reason"))
        }
        "events_lost" => format!("{} events were lost", text("count")),
        _ => {
            let mut fields = event.clone();
            if let Some(fields) = fields.as_object_mut() {
                fields.retain(|key, _| !["v", "time", "event"].contains(&key.as_str()));
            }
            format!("{name} {fields}")
        }
    }
}

fn command(event: &Value, command: &str, user: &dyn Fn(u32) -> String) -> String {
    let by = format!("by {}{}", client(event, user), at(event));
    let count = event.get("count").map_or_else(String::new, |count| format!(", {count} times"));
    match command {
        "kill" => format!("killed {by}{count}"),
        "toggle" => format!("auto-restart mode changed {by}{count}"),
        "mode" => {
            let mode = event.get("mode").and_then(Value::as_str).unwrap_or("?");
            format!("auto-restart mode set to {mode} {by}{count}")
        }
        "restart" => format!("started {by}{count}"),
        "reload" => format!("reloaded {by}{count}"),
        "quit" => format!("server told to quit {by}{count}"),
        "logout" => format!("logout {by}{count}"),
        other => format!("{other} {by}{count}"),
    }
}

/// Who a client is.
fn client(event: &Value, user: &dyn Fn(u32) -> String) -> String {
    let client = event.get("client").unwrap_or(&Value::Null);
    if client.get("uid").is_some() {
        return describe(client, user);
    }
    if client.get("endpoint").and_then(Value::as_str) == Some("stdin") {
        return "the server's terminal".to_owned();
    }
    match client.get("address").and_then(Value::as_str) {
        Some(address) => address.to_owned(),
        None => "somebody".to_owned(),
    }
}

/// The user of a client or of the sender of a signal.
fn describe(who: &Value, user: &dyn Fn(u32) -> String) -> String {
    let uid = who.get("uid").and_then(Value::as_u64).and_then(|uid| u32::try_from(uid).ok());
    let Some(uid) = uid else { return "somebody".to_owned() };
    user(uid)
}

/// The endpoint of a client.
fn at(event: &Value) -> String {
    match event.pointer("/client/endpoint").and_then(Value::as_str) {
        Some("stdin") | None => String::new(),
        Some(endpoint) => format!(" at {endpoint}"),
    }
}

/// How a child ended.
fn end(event: &Value) -> String {
    if let Some(code) = event.get("code") {
        return format!("exited with status {code}");
    }
    match event.get("signal").and_then(Value::as_i64) {
        Some(number) => format!("died of {}", signal_name(number)),
        None => "ended, its exit status is unknown".to_owned(),
    }
}

/// The name of a signal, such as `SIGSEGV`.
pub(crate) fn signal_name(number: i64) -> String {
    let signal = i32::try_from(number).ok().and_then(|number| Signal::try_from(number).ok());
    signal.map_or_else(|| format!("signal {number}"), |signal| signal.as_str().to_owned())
}

/// What trouble is with.
fn thing(with: &str) -> String {
    let name = match with {
        "log" => "log file",
        "log_sync" => "syncing the log file",
        "log_rotate" => "rotating the log file",
        "events" => "events file",
        "events_rotate" => "rotating the events file",
        "journal" => "sending events to the journal",
        "status_file" => "status file",
        "child_start" => "starting the child",
        other => other,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_in_words() {
        let user = |uid| if uid == 0 { "root (uid 0)".to_owned() } else { format!("uid {uid}") };
        for (event, expected) in [
            (
                r#"{"event":"command","command":"kill","client":{"id":3,"endpoint":"unix:/run/c","uid":0}}"#,
                "killed by root (uid 0) at unix:/run/c",
            ),
            (
                r#"{"event":"command","command":"toggle","count":30,"client":{"address":"10.0.0.7:4","endpoint":"tcp:1"}}"#,
                "auto-restart mode changed by 10.0.0.7:4 at tcp:1, 30 times",
            ),
            (
                r#"{"event":"command","command":"mode","mode":"OFF","client":{"uid":0,"endpoint":"unix:/a"}}"#,
                "auto-restart mode set to OFF by root (uid 0) at unix:/a",
            ),
            (
                r#"{"event":"signal","signal":"SIGTERM","sender":{"pid":5,"uid":4000000077}}"#,
                "server got SIGTERM from uid 4000000077, PID 5",
            ),
            (
                r#"{"event":"input","text":"dbl^[[A","client":{"uid":0,"endpoint":"unix:/a"}}"#,
                "input by root (uid 0) at unix:/a: dbl^[[A",
            ),
            (
                r#"{"event":"input","hidden":8,"unfinished":true,"client":{"address":"10.0.0.7:4"}}"#,
                "input by 10.0.0.7:4, no Enter: (8 hidden)",
            ),
            (r#"{"event":"signal","signal":"SIGHUP"}"#, "server got SIGHUP"),
            (r#"{"event":"child_exit","pid":9,"code":3}"#, "child exited with status 3 (PID 9)"),
            (r#"{"event":"child_exit","pid":9,"signal":11}"#, "child died of SIGSEGV (PID 9)"),
            (
                r#"{"event":"child_exit","status":"unknown"}"#,
                "child ended, its exit status is unknown",
            ),
            (
                r#"{"event":"trouble","with":"log","reason":"No space left on device"}"#,
                "log file fails: No space left on device",
            ),
            (
                r#"{"event":"connect","client":{"id":1,"endpoint":"stdin"}}"#,
                "the server's terminal attached",
            ),
            (
                r#"{"event":"refuse","endpoint":"tcp:1","reason":"r"}"#,
                "a client refused at tcp:1: r",
            ),
            (r#"{"v":1,"event":"new","x":{"y":1}}"#, r#"new {"x":{"y":1}}"#),
            (r#"{"event":"child_exit","signal":99999999999}"#, "child died of signal 99999999999"),
            (r#"{}"#, "? {}"),
        ] {
            assert_eq!(sentence(&serde_json::from_str(event).unwrap(), &user), expected);
        }
    }
}
