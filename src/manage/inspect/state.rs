//! The state of an instance, in one word.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ends::{self, End};
use super::probe::ServerStatus;
use super::units::UnitStatus;
use crate::manage::limits::STATUS_FILE_LATE;
use crate::manage::output::span;
use crate::manage::registry::{Instance, Registry};

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum State {
    /// The section of the instance can't be used.
    Broken,
    /// The unit has failed, or waits for its next start after a failure.
    Failed,
    /// The server was killed, and systemd does not tell more.
    Dead,
    /// The files of the server are on a disk that does not answer.
    NoAnswer,
    /// The last children have ended soon after their start.
    Looping,
    /// A signal or a debugger has stopped the server or its child.
    Hung,
    /// A server without configuration.
    Orphan,
    /// There is no child until a user starts one.
    Down,
    /// The next child starts after the holdoff time: in so many seconds, if that is known.
    HeldOff(Option<u64>),
    /// The child, or the server, is about to be there.
    Starting,
    /// The server is about to exit.
    Exiting,
    /// The caller may not see it.
    Hidden,
    /// There is no server, and nothing is wrong with that.
    Stopped,
    Running,
}

impl State {
    /// All states. One that has a time is there without it.
    pub(crate) const ALL: [State; 14] = [
        State::Broken,
        State::Failed,
        State::Dead,
        State::NoAnswer,
        State::Looping,
        State::Hung,
        State::Orphan,
        State::Down,
        State::HeldOff(None),
        State::Starting,
        State::Exiting,
        State::Hidden,
        State::Stopped,
        State::Running,
    ];

    /// The word that programs get.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Broken => "broken",
            State::Failed => "failed",
            State::Dead => "dead",
            State::NoAnswer => "no_answer",
            State::Looping => "looping",
            State::Hung => "hung",
            State::Orphan => "orphan",
            State::Down => "down",
            State::HeldOff(_) => "held_off",
            State::Starting => "starting",
            State::Exiting => "exiting",
            State::Hidden => "hidden",
            State::Stopped => "stopped",
            State::Running => "running",
        }
    }

    /// The words that people get.
    pub(crate) fn text(self) -> String {
        match self {
            State::HeldOff(Some(seconds)) => format!("held off {}", span(seconds)),
            State::HeldOff(None) => "held off".to_owned(),
            State::Hung => "hung?".to_owned(),
            other => other.word().to_owned(),
        }
    }

    /// Returns true if somebody should look at the instance.
    pub(crate) fn is_wrong(self) -> bool {
        self <= State::Down
    }
}

/// What the state follows from.
pub(super) struct Known<'k> {
    pub(super) server: Option<&'k ServerStatus>,
    pub(super) unit: Option<&'k UnitStatus>,
    pub(super) ends: &'k [End],
}

impl Known<'_> {
    /// `is_hidden`: the caller may not read the run directory.
    pub(super) fn state(&self, registry: &Registry, instance: &Instance, is_hidden: bool) -> State {
        let active = self.unit.map_or("", |unit| unit.get("ActiveState"));
        match self.server {
            Some(live) if live.server.is_some() => self.child_state(registry, instance, live),
            Some(live) if live.is_hidden() => State::Hidden,
            _ if is_hidden => State::Hidden,
            _ if self.unit.is_some_and(UnitStatus::has_failed) => State::Failed,
            Some(_) => State::Dead,
            None => match active {
                "active" | "activating" | "reloading" => State::Starting,
                "deactivating" => State::Exiting,
                _ => State::Stopped,
            },
        }
    }

    /// The state of an instance whose server runs.
    fn child_state(&self, registry: &Registry, instance: &Instance, live: &ServerStatus) -> State {
        let is_stopped = |process: &Option<_>| {
            process.as_ref().is_some_and(|process: &super::proc::Process| process.is_stopped)
        };
        if is_stopped(&live.server) || is_stopped(&live.child) {
            return State::Hung;
        }
        let field = |pointer| live.status.as_ref().and_then(|status| status.pointer(pointer));
        if field("/leaving") == Some(&Value::Bool(true)) {
            return State::Exiting;
        }
        match (field("/child/state").and_then(Value::as_str), &live.child) {
            (Some("by_hand"), _) => State::Down,
            (Some("last"), _) => State::Exiting,
            (Some(_), _) if ends::are_loop(self.ends, live.child_since) => State::Looping,
            (Some("due"), _) => State::HeldOff(self.holdoff_left(registry, instance)),
            // The status file is behind the child, which has just ended.
            (Some(_), None) => State::Starting,
            (Some(_), Some(_)) if field("/child/ready") == Some(&Value::Bool(false)) => {
                State::Starting
            }
            (_, Some(_)) => State::Running,
            // The status file is not written yet.
            (None, None) if age(live.since).is_some_and(|age| age < STATUS_FILE_LATE) => {
                State::Starting
            }
            (None, None) => State::Down,
        }
    }

    /// The seconds until the next start. A holdoff time that grows is not known.
    fn holdoff_left(&self, registry: &Registry, instance: &Instance) -> Option<u64> {
        let restart = instance.server_config(registry).ok()?.restart;
        let end = self.ends.iter().find(|end| end.life.is_some())?;
        let start = end.time?.checked_sub(Duration::from_secs(end.life?))?;
        let due = start.checked_add(restart.holdoff)?;
        let left = due.duration_since(SystemTime::now()).ok()?.as_secs();
        (restart.holdoff_max <= restart.holdoff).then_some(left)
    }
}

fn age(since: Option<SystemTime>) -> Option<Duration> {
    since?.elapsed().ok()
}
