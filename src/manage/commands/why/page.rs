//! The page for people.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{Log, Report, ReportedEnd};
use crate::event_text::sentence;
use crate::manage::inspect::ends::{self, End};
use crate::manage::inspect::proc::Process;
use crate::manage::inspect::units::UnitStatus;
use crate::manage::inspect::users;
use crate::manage::output::{self, age, span};
use crate::manage::registry::unit_name;
use crate::manage::timestamp::Stamps;
use crate::sys::time;

impl Report {
    /// What happened, what is wrong, and as the last line what to try.
    pub(super) fn page(&self) -> String {
        let now = SystemTime::now();
        let stamps = Stamps::new(time::wall_millis());
        let shown = |time: SystemTime| stamps.show(millis(time));
        let ago =
            |time: SystemTime| format!("{} ({} ago)", shown(time), age(seconds_between(time, now)));
        let mut page = Page::default();
        let one = &self.one;
        let since = self.since.map(|since| format!(" since {}", ago(since)));
        page.head(&format!("{}: {}{}", one.name, one.state.text(), since.unwrap_or_default()));
        if let Some(unit) = &one.unit {
            page.field("unit", &unit_text(&one.name, unit));
        }
        let live = one.server.as_ref();
        let process = |process: Option<&Process>, since: Option<SystemTime>| {
            let since = since.map(|since| format!(", since {}", ago(since)));
            process.map(|it| {
                let stopped = if it.is_stopped { ", stopped" } else { "" };
                format!("PID {}{}{stopped}", it.pid, since.unwrap_or_default())
            })
        };
        let server = live.and_then(|live| process(live.server.as_ref(), live.since));
        let child = live.and_then(|live| process(live.child.as_ref(), live.child_since));
        let restarts = one.field("/restarts").and_then(Value::as_u64).map(|all| {
            let day = one.field("/restarts_24h").and_then(Value::as_u64).unwrap_or(all);
            format!("; restarts: {all}, within 24 hours {day}")
        });
        page.optional("server", server);
        page.optional("child", child.map(|it| format!("{it}{}", restarts.unwrap_or_default())));
        if let Some(mode) = one.mode().filter(|mode| *mode != "ON") {
            let by = self.mode_change.as_ref().map(|change| {
                let time = ends::time(&change.event, "time").map(&ago);
                format!(
                    ", {}, {}",
                    sentence(&change.event, &users::describe),
                    time.unwrap_or_default()
                )
            });
            page.field("mode", &format!("{mode}{}", by.unwrap_or_default()));
        }
        for (place, trouble) in one.trouble.iter().enumerate() {
            let since = one.field(&format!("/trouble/{place}"));
            let since = since.and_then(|it| ends::time(it, "since"));
            let since = since.map(|since| format!(", since {}", ago(since)));
            page.field("trouble", &format!("{trouble}{}", since.unwrap_or_default()));
        }
        for finding in &self.obstacles {
            if !one.trouble.contains(&finding.problem) {
                page.field("problem", &finding.problem);
            }
        }
        for client in users::clients(live.and_then(|live| live.status.as_ref())) {
            page.field("attached", &client);
        }
        match &self.log {
            Log::File(path, Some(size)) => {
                page.field("log", &format!("{}, {}", path.display(), output::size(*size)));
            }
            Log::File(path, None) => page.field("log", &format!("{}, not there", path.display())),
            Log::Journal => page.field("log", "the journal"),
            Log::Unknown => {}
        }
        page.optional("console", self.console_problem.clone());
        for ReportedEnd { end, core, lines } in &self.ends {
            let subject = if end.is_server { "server" } else { "child" };
            let pid = end.pid.filter(|_| !end.is_server).map(|pid| format!(" (PID {pid})"));
            let life = end.life.map(|life| format!(" after {}", span(life)));
            let core = core.as_ref().map(|core| {
                let gone = if core.is_kept { "" } else { ", whose file is gone" };
                format!("; core dump: coredumpctl info {}{gone}", core.pid)
            });
            let time = end.time.map(|time| format!("{}: ", ago(time)));
            page.field(
                "end",
                &format!(
                    "{}{subject}{}: {}{}; {}{}",
                    time.unwrap_or_default(),
                    pid.unwrap_or_default(),
                    end.how(),
                    life.unwrap_or_default(),
                    cause(end),
                    core.unwrap_or_default()
                ),
            );
            lines.iter().for_each(|line| page.quote(line));
        }
        page.field("next", &self.advice.text);
        page.text
    }
}

/// Text with a label before each line.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, text: &str) {
        self.text.push_str(&output::line(text));
    }

    fn field(&mut self, label: &str, text: &str) {
        self.text.push_str(&output::line(&format!("  {label:8} {text}")));
    }

    fn optional(&mut self, label: &str, text: Option<String>) {
        if let Some(text) = text {
            self.field(label, &text);
        }
    }

    /// A line of the console.
    fn quote(&mut self, text: &str) {
        self.text.push_str(&output::line(&format!("           | {text}")));
    }
}

/// Who or what caused an end.
pub(super) fn cause(end: &End) -> String {
    let cause = &end.cause;
    let field = |key: &str| cause.get(key).cloned().unwrap_or_default();
    match cause.get("by").and_then(Value::as_str) {
        Some("client") => sentence(
            &json!({ "event": "command", "command": field("command"), "client": field("client") }),
            &users::describe,
        ),
        Some("signal") => {
            let mut event = json!({ "event": "signal", "signal": field("signal") });
            if let (Some(event), Some(sender)) = (event.as_object_mut(), cause.get("sender")) {
                event.insert("sender".to_owned(), sender.clone());
            }
            sentence(&event, &users::describe)
        }
        Some("server") => "it had closed its terminal, and was killed for that".to_owned(),
        Some("itself") => "nobody asked the server for it".to_owned(),
        _ if !end.is_server => "its cause is not known".to_owned(),
        _ if end.code.is_some() => "nobody told it to".to_owned(),
        _ => "who killed it is not recorded".to_owned(),
    }
}

fn unit_text(name: &str, unit: &UnitStatus) -> String {
    let mut text =
        format!("{}: {} ({})", unit_name(name), unit.get("ActiveState"), unit.get("SubState"));
    if !matches!(unit.get("Result"), "" | "success") {
        text.push_str(&format!(", {}", unit.failure()));
    }
    if !matches!(unit.get("NRestarts"), "" | "0") {
        text.push_str(&format!(", restarts: {}", unit.get("NRestarts")));
    }
    text
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn seconds_between(from: SystemTime, to: SystemTime) -> u64 {
    to.duration_since(from).unwrap_or_default().as_secs()
}
