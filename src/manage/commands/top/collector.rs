//! What the process that looks at instances answers to `top`.

use std::io;

use serde::{Deserialize, Serialize};

use crate::manage::commands::status::row::Row;
use crate::manage::inspect::collector::Collector;
use crate::manage::inspect::watch::Watch;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Found {
    /// The same as before.
    Same,
    /// All rows, by name.
    Rows(Vec<Row>),
    /// Why the instances can't be looked at, and with which status the command exits if that is so
    /// from the beginning.
    Failed(String, u8),
}

/// Starts the process. No thread may have been started before.
///
/// # Errors
/// Those of [`Collector::start`].
pub(super) fn start(mut watch: Watch) -> io::Result<Collector<Found>> {
    let mut last = Found::Same;
    Collector::start(move |_| {
        let found = match watch.refresh() {
            Ok(false) => Found::Same,
            Ok(true) => Found::Rows(watch.all().map(Row::of).collect()),
            Err(error) => Found::Failed(error.text, error.code),
        };
        if found == Found::Same || found == last {
            return Ok(Found::Same);
        }
        last = found.clone();
        Ok(found)
    })
}
