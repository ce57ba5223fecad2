//! What a table shows of an instance: `status` prints the rows, and `top` goes on showing them.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::manage::inspect::ends::End;
use crate::manage::inspect::overview::{Overview, State};
use crate::manage::output::span;

/// The names of the columns.
pub(crate) const HEADER: [&str; 6] = ["NAME", "STATE", "UP", "24H/ALL", "USERS", "LAST"];

/// The row of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
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
