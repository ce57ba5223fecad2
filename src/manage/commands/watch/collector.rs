//! What the process that looks at instances answers to `watch`: only what differs from its last answer.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::manage::commands::status::json;
use crate::manage::inspect::collector::Collector;
use crate::manage::inspect::file_events::{Change, FileEvents};
use crate::manage::inspect::watch::Watch;
use crate::manage::limits::{CHANGE_PAUSE, WATCH_INTERVAL};
use crate::manage::registry::Registry;
use crate::manage::registry::pattern::Patterns;

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Found {
    /// The same as before.
    Same,
    /// Everything was looked at: what differs now.
    Changes {
        /// The objects of instances that have changed or are new, by name.
        changed: BTreeMap<String, Value>,
        /// The names of instances that are gone.
        removed: Vec<String>,
    },
    /// Why the instances can't be looked at, and with which status the command exits if that is so
    /// from the beginning.
    Failed(String, u8),
}

/// Starts the process. No thread may have been started before.
///
/// # Errors
/// Those of [`Collector::start`].
pub(super) fn start(registry: Registry, patterns: Patterns) -> io::Result<Collector<Found>> {
    let mut looker = Looker {
        watch: Watch::new(registry.clone(), patterns),
        events: FileEvents::new(registry.clone()),
        registry,
        told: BTreeMap::new(),
        looked: None,
    };
    Collector::start(move |stream| looker.answer(stream))
}

struct Looker {
    registry: Registry,
    watch: Watch,
    events: FileEvents,
    /// What was answered of each instance.
    told: BTreeMap<String, Value>,
    /// When the instances were looked at last.
    looked: Option<Instant>,
}

impl Looker {
    /// Looks as soon as there may be something new, and once a [`WATCH_INTERVAL`] in any case.
    fn answer(&mut self, stream: &UnixStream) -> io::Result<Found> {
        if let Some(looked) = self.looked {
            let mut change = self.events.wait(stream, WATCH_INTERVAL)?;
            // What is written in quick succession is looked at once.
            while let Some(left) = CHANGE_PAUSE.checked_sub(looked.elapsed()) {
                change = change.max(self.events.wait(stream, left)?);
            }
            if change == Change::Configuration {
                self.watch.expire();
            }
        }
        let refreshed = self.watch.refresh();
        self.looked = Some(Instant::now());
        match refreshed {
            Ok(false) => Ok(Found::Same),
            Ok(true) => {
                self.events.watch(self.watch.all().map(|one| one.name.clone()));
                Ok(self.changes())
            }
            Err(error) => Ok(Found::Failed(error.text, error.code)),
        }
    }

    /// What differs from what was answered before.
    fn changes(&mut self) -> Found {
        let now: BTreeMap<String, Value> = self
            .watch
            .all()
            .map(|one| (one.name.clone(), json::object(&self.registry, one)))
            .collect();
        let removed = self.told.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
        let is_new = |(name, value): &(&String, &Value)| self.told.get(*name) != Some(value);
        let changed = now.iter().filter(is_new).map(|(name, value)| (name.clone(), value.clone()));
        let changed = changed.collect();
        self.told = now;
        Found::Changes { changed, removed }
    }
}
