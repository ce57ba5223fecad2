//! The server of the instance that `attach` is connected to: who else is there, and how it ended.

use std::thread;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::manage::inspect::probe::{self, ServerStatus};
use crate::manage::inspect::proc;
use crate::manage::inspect::units::{self, UnitStatus};
use crate::manage::inspect::users::clients;
use crate::manage::limits::{SERVER_END, SERVER_END_LOOK};
use crate::manage::registry::{Registry, unit_name};

/// The instance behind a console.
pub(super) struct AttachedInstance {
    pub(super) registry: Registry,
    pub(super) name: String,
    pub(super) server: ServerIdentity,
    /// The other people, in words.
    pub(super) clients: Vec<String>,
}

/// A process that has not been replaced by another one with its PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ServerIdentity {
    pid: i32,
    started: u64,
}

impl ServerIdentity {
    /// The server of an instance; a PID of 0 if it is not known.
    pub(super) fn of(live: &ServerStatus) -> ServerIdentity {
        let known = live.server.as_ref();
        known.map(|it| ServerIdentity { pid: it.pid, started: it.started }).unwrap_or_default()
    }

    fn runs(self) -> bool {
        proc::process(self.pid).is_some_and(|it| it.started == self.started)
    }
}

/// Why the server closed a console.
pub(super) enum ServerEnd {
    /// It did not end: the user logged out, or was disconnected.
    Runs,
    /// It ended, in words.
    Ended(String),
}

impl AttachedInstance {
    /// Looks for the server that runs now, after a connection was made again.
    pub(super) fn look_again(&mut self) {
        if let Some(live) = probe::probe_by_name(&self.registry, &self.name, None) {
            self.server = ServerIdentity::of(&live);
            self.clients = clients(live.status.as_ref());
        }
    }

    /// Tells what became of the server, which may be about to end.
    pub(super) fn end(&self) -> ServerEnd {
        let deadline = Instant::now() + SERVER_END;
        while self.server.runs() {
            if Instant::now() >= deadline {
                return ServerEnd::Runs;
            }
            thread::sleep(SERVER_END_LOOK);
        }
        let live = probe::probe_by_name(&self.registry, &self.name, None);
        if live.is_some_and(|live| live.server.is_some()) {
            return ServerEnd::Ended("its server was restarted".to_owned());
        }
        let unit = unit_name(&self.name);
        let state = units::show(&self.registry, std::slice::from_ref(&unit));
        let state = state.ok().and_then(|mut found| found.remove(&unit));
        ServerEnd::Ended(state.map_or_else(|| "its server has ended".to_owned(), |it| words(&it)))
    }
}

/// How the last server of a unit ended.
fn words(unit: &UnitStatus) -> String {
    match (unit.get("ActiveState"), unit.get("ExecMainStatus")) {
        _ if unit.restarts_itself() => {
            format!("its server has ended ({}), systemd starts it again", unit.failure())
        }
        ("failed", _) => format!("its server has ended ({})", unit.failure()),
        ("active" | "activating", _) => "its server is restarted".to_owned(),
        ("inactive" | "deactivating", status) if !status.is_empty() => {
            format!("its server exited {status}")
        }
        _ => "its server has ended".to_owned(),
    }
}
