//! What the events file of an instance (docs/events.md) tells of the past: how children and servers
//! ended, who had them end, and who set the restart mode. A server that runs tells of its last children
//! in its status file, too, which is gone with the server.

use serde_json::{Value, json};

use super::ends::{self, End};
use super::{events, rotated};
use crate::manage::registry::{Instance, Registry};

/// The past of an instance.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// How children and servers ended, newest first.
    pub(crate) ends: Vec<End>,
    /// Who set the restart mode of the last server, if anybody did.
    pub(crate) mode_change: Option<ModeChange>,
}

/// A change of the restart mode.
#[derive(Debug, Clone)]
pub(crate) struct ModeChange {
    /// The event, see docs/events.md.
    pub(crate) event: Value,
}

impl ModeChange {
    /// The person, in a word or two.
    pub(crate) fn person(&self) -> String {
        ends::person(self.event.get("client").unwrap_or(&Value::Null))
    }
}

/// Reads about the last `max` bytes of an instance's events file and of those rotated before it. Nothing
/// is known of the past if there is none, or if it can't be read.
pub(crate) fn read(registry: &Registry, instance: &Instance, max: usize) -> Past {
    let Some(file) = events::file(registry, instance) else { return Past::default() };
    let tail = rotated::tail(&file, max, |_| false);
    let lines = tail.map(|tail| tail.bytes).unwrap_or_default();
    let lines = lines.split(|&byte| byte == b'\n');
    past(lines.filter_map(|line| serde_json::from_slice(line).ok()))
}

/// A child that has not ended.
struct Child {
    pid: Value,
    started: Value,
    cause: Option<Value>,
}

/// What is known after the events so far.
#[derive(Default)]
struct Course {
    past: Past,
    children: Vec<Child>,
    /// The last request to replace the child.
    reload: Option<Value>,
    /// The last request to end the server.
    server_cause: Option<Value>,
    /// True between the first event of a server and its last one.
    is_up: bool,
}

fn past(events: impl Iterator<Item = Value>) -> Past {
    let mut course = Course::default();
    for event in events {
        course.take(&event);
    }
    course.past.ends.reverse();
    course.past
}

impl Course {
    fn take(&mut self, event: &Value) {
        let field = |key: &str| event.get(key).cloned().unwrap_or_default();
        let name = event.get("event").and_then(Value::as_str).unwrap_or_default();
        match (name, event.get("command").and_then(Value::as_str).unwrap_or_default()) {
            ("server_start" | "server_restart", _) => self.begin(event, name == "server_restart"),
            ("server_exit", _) => {
                let cause = self.server_cause.take();
                let end = json!({ "time": field("time"), "code": field("status"), "cause": cause });
                self.past.ends.push(ends::server(&end));
                self.children.clear();
            }
            ("child_start", _) => {
                let (pid, started) = (field("pid"), field("time"));
                self.children.push(Child { pid, started, cause: None });
            }
            ("terminal_closed", _) => {
                let of_it = |child: &&mut Child| Some(&child.pid) == event.get("pid");
                if let Some(child) = self.children.iter_mut().find(of_it) {
                    let closed = || json!({ "by": "server", "why": "terminal_closed" });
                    child.cause.get_or_insert_with(closed);
                }
            }
            ("child_exit", _) => self.child_exit(event),
            ("command", command @ ("kill" | "quit" | "reload")) => {
                let cause = json!({ "by": "client", "command": command, "client": field("client"),
                    "time": field("time") });
                match command {
                    "reload" => self.reload = Some(cause),
                    "quit" => self.end_asked(cause),
                    _ => self.child_end_asked(&cause),
                }
            }
            ("command", "toggle" | "mode") => {
                self.past.mode_change = Some(ModeChange { event: event.clone() });
            }
            ("signal", _) if event.get("signal") == Some(&json!("SIGTERM")) => {
                let mut cause =
                    json!({ "by": "signal", "signal": "SIGTERM", "time": field("time") });
                if let (Some(cause), Some(sender)) = (cause.as_object_mut(), event.get("sender")) {
                    cause.insert("sender".to_owned(), sender.clone());
                }
                self.end_asked(cause);
            }
            _ => {}
        }
        self.is_up = name != "server_exit";
    }

    /// A server has started. One before it that has recorded no end was killed, or has crashed.
    fn begin(&mut self, event: &Value, keeps_children: bool) {
        if self.is_up {
            let pid = self.children.last().map(|child| child.pid.clone());
            let time = event.get("time");
            self.past.ends.push(ends::killed_server(time, pid.as_ref()));
        }
        if !keeps_children {
            self.children.clear();
            self.past.mode_change = None;
        }
        self.server_cause = None;
    }

    fn child_end_asked(&mut self, cause: &Value) {
        self.children.iter_mut().for_each(|child| child.cause = Some(cause.clone()));
    }

    fn end_asked(&mut self, cause: Value) {
        self.child_end_asked(&cause);
        self.server_cause = Some(cause);
    }

    fn child_exit(&mut self, event: &Value) {
        let at = self.children.iter().position(|child| Some(&child.pid) == event.get("pid"));
        // Of two, the older one was replaced.
        let is_old = at.is_some_and(|at| at + 1 < self.children.len());
        let child = at.map(|at| self.children.remove(at));
        let reload = if is_old { self.reload.take() } else { None };
        let mut end = event.clone();
        if let (Some(end), Some(Child { started, cause, .. })) = (end.as_object_mut(), child) {
            end.insert("started".to_owned(), started);
            let cause = cause.or(reload).unwrap_or_else(|| json!({ "by": "itself" }));
            end.insert("cause".to_owned(), cause);
        }
        self.past.ends.push(ends::child(&end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events, a second apart.
    fn told(events: &[Value]) -> Past {
        let stamped = events.iter().enumerate().map(|(second, event)| {
            let mut event = event.clone();
            let time = format!("2026-11-30T13:00:{second:02}.000+01:00");
            event.as_object_mut().unwrap().insert("time".to_owned(), json!(time));
            event
        });
        past(stamped)
    }

    fn shown(past: &Past) -> Vec<(&str, Option<i64>, Option<u64>)> {
        past.ends.iter().map(|end| (end.what.as_str(), end.pid, end.life)).collect()
    }

    #[test]
    fn ends_have_their_causes() {
        let client = json!({ "uid": 0, "endpoint": "unix:/c" });
        let command = |word| json!({ "event": "command", "command": word, "client": client });
        let start = |pid| json!({ "event": "child_start", "pid": pid });
        let past = told(&[
            json!({ "event": "server_start", "pid": 1 }),
            start(2),
            command("kill"),
            json!({ "event": "child_exit", "pid": 2, "signal": 9 }),
            start(3),
            json!({ "event": "child_exit", "pid": 3, "code": 3 }),
            start(4),
            // Killed here, with the child.
            json!({ "event": "server_start", "pid": 5 }),
            start(6),
            command("mode"),
            command("kill"),
            json!({ "event": "child_exit", "pid": 6, "signal": 9 }),
            command("quit"),
            json!({ "event": "server_exit", "status": 0 }),
        ]);
        let expected = [
            ("quit by root (server)", None, None),
            ("^X by root", Some(6), Some(3)),
            ("killed or crashed (server)", Some(4), None),
            ("exit 3", Some(3), Some(1)),
            ("^X by root", Some(2), Some(2)),
        ];
        assert_eq!(shown(&past), expected);
        assert_eq!(past.mode_change.map(|change| change.person()).as_deref(), Some("root"));
    }

    #[test]
    fn a_file_that_begins_anywhere() {
        let past = told(&[
            json!({ "event": "child_exit", "pid": 2, "code": 0 }),
            json!({ "event": "signal", "signal": "SIGTERM", "sender": { "pid": 1, "uid": 0 } }),
            json!({ "event": "server_exit", "status": 0 }),
            json!({ "event": "server_start" }),
            json!({ "event": 7 }),
            json!({ "event": "child_exit" }),
            json!({ "event": "server_restart" }),
        ]);
        let expected = [
            ("killed or crashed (server)", None, None),
            ("unknown end", None, None),
            ("SIGTERM by root (server)", None, None),
            ("exit 0", Some(2), None),
        ];
        assert_eq!(shown(&past), expected);
        assert!(past.mode_change.is_none());
    }

    #[test]
    fn with_overlap_the_older_one_was_replaced() {
        let past = told(&[
            json!({ "event": "child_start", "pid": 2 }),
            json!({ "event": "command", "command": "reload", "client": { "uid": 0 } }),
            json!({ "event": "child_start", "pid": 3 }),
            json!({ "event": "child_exit", "pid": 2, "signal": 15 }),
            json!({ "event": "child_exit", "pid": 3, "code": 1 }),
        ]);
        assert_eq!(
            shown(&past),
            [("exit 1", Some(3), Some(2)), ("reload by root", Some(2), Some(3))]
        );
    }
}
