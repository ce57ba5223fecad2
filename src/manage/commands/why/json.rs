//! The same for programs: docs/json.md describes the fields.

use std::time::SystemTime;

use chrono::{DateTime, Local, SecondsFormat};
use serde_json::{Value, json};

use super::{Log, Report, ReportedEnd, page};
use crate::manage::inspect::ends;
use crate::manage::inspect::proc::Process;
use crate::manage::registry::unit_name;

/// The version of the format. A field that is added makes no new version.
const VERSION: u32 = 1;

impl Report {
    pub(super) fn json(&self) -> Value {
        let one = &self.one;
        let live = one.server.as_ref();
        let process = |process: Option<&Process>, since: Option<SystemTime>| {
            process.map(|it| {
                json!({ "pid": it.pid, "since": since.map(rfc3339), "stopped": it.is_stopped })
            })
        };
        json!({
            "v": VERSION,
            "name": one.name,
            "state": one.state.word(),
            "since": self.since.map(rfc3339),
            "wrong": one.is_wrong() || !self.obstacles.is_empty(),
            "unit": one.unit.as_ref().map(|unit| json!({
                "name": unit_name(&one.name),
                "active_state": unit.get("ActiveState"),
                "sub_state": unit.get("SubState"),
                "result": unit.get("Result"),
                "exit_status": unit.get("ExecMainStatus").parse::<i64>().ok(),
                "restarts": unit.get("NRestarts").parse::<u64>().ok(),
            })),
            "server": live.and_then(|live| process(live.server.as_ref(), live.since)),
            "child": live.and_then(|live| process(live.child.as_ref(), live.child_since)),
            "restarts": one.field("/restarts"),
            "restarts_24h": one.field("/restarts_24h"),
            "mode": one.mode(),
            "mode_change": self.mode_change.as_ref().map(|change| json!({
                "by": change.person(),
                "client": change.event.get("client"),
                "time": change.event.get("time"),
            })),
            "ends": self.ends.iter().map(ReportedEnd::json).collect::<Vec<_>>(),
            "trouble": one.trouble,
            "problems": self.obstacles.iter().map(|found| json!({
                "problem": found.problem, "advice": found.advice,
            })).collect::<Vec<_>>(),
            "clients": clients(one.field("/clients")),
            "log": match &self.log {
                Log::File(path, size) => json!({ "path": path.to_string_lossy(), "size": size }),
                Log::Journal | Log::Unknown => Value::Null,
            },
            "console_problem": self.console_problem,
            "next": { "text": self.advice.text, "command": self.advice.command },
        })
    }
}

impl ReportedEnd {
    fn json(&self) -> Value {
        let end = &self.end;
        let by = end.cause.get("client").map(ends::person);
        let by = by.or_else(|| end.cause.get("sender").map(|_| ends::author(&end.cause)));
        json!({
            "of": if end.is_server { "server" } else { "child" },
            "time": end.time.map(rfc3339),
            "life": end.life,
            "pid": end.pid,
            "code": end.code,
            "signal": end.signal,
            "signal_name": end.signal.map(ends::signal_name),
            "cause": end.cause,
            "cause_text": page::cause(end),
            "by": by,
            "core": self.core.as_ref().map(|core| json!({ "pid": core.pid, "kept": core.is_kept })),
            "lines": self.lines,
        })
    }
}

/// The clients of the status file, each with the name of its user.
fn clients(clients: Option<&Value>) -> Vec<Value> {
    let clients = clients.and_then(Value::as_array);
    let named = |client: &Value| {
        let mut named = client.clone();
        if let Some(fields) = named.as_object_mut() {
            fields.insert("name".to_owned(), json!(ends::person(client)));
        }
        named
    };
    clients.into_iter().flatten().map(named).collect()
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Local>::from(time).to_rfc3339_opts(SecondsFormat::Millis, false)
}
