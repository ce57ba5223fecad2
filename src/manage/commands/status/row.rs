//! What a table shows of an instance: `status` prints the rows, and `top` goes on showing them.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::manage::inspect::ends::End;
use crate::manage::inspect::overview::{Overview, State};
use crate::manage::output::{shortened, span};

/// The names of the columns.
pub(crate) const HEADER: [&str; 6] = ["NAME", "STATE", "UP", "24H/ALL", "USERS", "LAST"];

/// How many notes of an instance on another host are shown: more than can be wrong at once.
const NOTES_MAX: usize = 20;

/// The row of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The host of the instance. Empty for this machine.
    #[serde(default)]
    pub(crate) host: String,
    pub(crate) name: String,
    pub(crate) state: State,
    /// True if somebody should look at the instance.
    pub(crate) is_wrong: bool,
    /// When the child was started.
    child_since: Option<SystemTime>,
    /// How many times a child was started again, in the last 24 hours and since the server's start.
    restarts: Option<(u64, u64)>,
    /// How many users are attached.
    users: Option<usize>,
    /// What is unusual, each in a few words.
    notes: Vec<String>,
    /// How the last child or server ended, and when.
    end: Option<End>,
}

impl Row {
    pub(crate) fn of(one: &Overview) -> Row {
        let restarts = |pointer| one.field(pointer)?.as_u64();
        let trouble = one.trouble.iter().map(|trouble| format!("! {trouble}"));
        let by = one.mode_change.as_ref().map(|change| format!(" by {}", change.person()));
        let mode = one.mode().filter(|mode| *mode != "ON");
        let mode = mode.map(|mode| format!("{mode}{}", by.unwrap_or_default()));
        Row {
            host: String::new(),
            name: one.name.clone(),
            state: one.state,
            is_wrong: one.is_wrong(),
            child_since: one.server.as_ref().and_then(|server| server.child_since),
            restarts: restarts("/restarts")
                .map(|all| (restarts("/restarts_24h").unwrap_or(all), all)),
            users: one.users(),
            notes: trouble.chain(mode).collect(),
            end: one.ends.first().cloned(),
        }
    }

    /// The row of an instance on another host, of which `status --json` says this. What is not as
    /// expected is left out.
    pub(crate) fn of_json(host: &str, one: &Map<String, Value>) -> Row {
        let text = |key| one.get(key).and_then(Value::as_str);
        let time = |key| {
            let seconds = one.get(key).and_then(Value::as_u64)?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        };
        let field = |key| one.get("status").and_then(|status| status.get(key));
        let restarts = |key| field(key).and_then(Value::as_u64);
        let word = text("state").unwrap_or("?");
        let state = State::ALL.into_iter().find(|state| state.word() == word);
        let unknown = state.is_none().then(|| format!("state {}", shortened(word)));
        let trouble = one.get("trouble").and_then(Value::as_array).into_iter().flatten();
        let trouble = trouble.filter_map(Value::as_str).map(|it| format!("! {}", shortened(it)));
        let mode = field("mode").and_then(Value::as_str).filter(|mode| *mode != "ON");
        let mode = mode.map(|mode| match text("mode_by") {
            Some(person) => shortened(&format!("{mode} by {person}")),
            None => shortened(mode),
        });
        let clients = field("clients").and_then(Value::as_array);
        let is_user = |client: &&Value| client.get("role").and_then(Value::as_str) == Some("user");
        Row {
            host: host.to_owned(),
            name: shortened(text("name").unwrap_or("?")),
            // A later version may know more states.
            state: state.unwrap_or(State::Hidden),
            is_wrong: one.get("wrong") == Some(&Value::Bool(true)),
            child_since: time("child_since"),
            restarts: restarts("restarts")
                .map(|all| (restarts("restarts_24h").unwrap_or(all), all)),
            users: clients.map(|clients| clients.iter().filter(is_user).count()),
            notes: unknown.into_iter().chain(trouble.take(NOTES_MAX)).chain(mode).collect(),
            end: text("last").map(|what| End::told(shortened(what), time("last_time"))),
        }
    }

    /// The row of a host that does not answer.
    pub(crate) fn no_answer(host: &str, problem: &str) -> Row {
        Row {
            host: host.to_owned(),
            name: "-".to_owned(),
            state: State::NoAnswer,
            is_wrong: true,
            child_since: None,
            restarts: None,
            users: None,
            notes: vec![problem.to_owned()],
            end: None,
        }
    }

    /// How long the child has been running, in seconds.
    pub(crate) fn up(&self, now: SystemTime) -> Option<u64> {
        now.duration_since(self.child_since?).ok().map(|up| up.as_secs())
    }

    /// The restarts of the last 24 hours.
    pub(crate) fn restarts(&self) -> Option<u64> {
        self.restarts.map(|(day, _)| day)
    }

    /// The cells of the row, in the order of [`HEADER`].
    pub(crate) fn cells(&self, now: SystemTime) -> [String; 6] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            self.name.clone(),
            self.state.text(),
            or_dash(self.up(now).map(span)),
            or_dash(self.restarts.map(|(day, all)| format!("{day}/{all}"))),
            or_dash(self.users.map(|users| users.to_string())),
            self.last(now),
        ]
    }

    /// What is unusual, and the last end.
    fn last(&self, now: SystemTime) -> String {
        let end = self.end.as_ref().map(|end| end.text(now));
        let parts: Vec<&str> = self.notes.iter().chain(&end).map(String::as_str).collect();
        if parts.is_empty() { "-".to_owned() } else { parts.join("; ") }
    }

    /// The number of a colour (ECMA-48, SGR) for what is not as it should be.
    pub(crate) fn colour(&self) -> Option<u8> {
        match self.state {
            _ if self.is_wrong => Some(31),
            State::Running | State::Stopped | State::Hidden => None,
            _ => Some(33),
        }
    }
}

/// Returns true if the user has not asked for output without colours (no-color.org).
pub(crate) fn may_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
