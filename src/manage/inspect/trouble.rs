//! What fails at the moment, according to a status file (docs/status.md).

use std::fmt;

use serde_json::Value;

use crate::manage::output::grouped;

/// Something that a server can't do at the moment, and tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What can't be done, in the word of the status file.
    pub(crate) what: String,
    pub(crate) reason: String,
    /// How many bytes of the console are missing.
    lost: Option<u64>,
}

impl Trouble {
    /// Returns true if a disk or a quota is full.
    pub(crate) fn is_full_disk(&self) -> bool {
        self.reason.contains("No space left") || self.reason.contains("quota")
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what.replace('_', " "), self.reason)?;
        match self.lost {
            Some(lost) => write!(f, ", {} bytes lost", grouped(lost)),
            None => Ok(()),
        }
    }
}

/// All of them.
pub(crate) fn of(status: &Value) -> Vec<Trouble> {
    let all = status.get("trouble").and_then(Value::as_array);
    let one = |trouble: &Value| {
        let text = |key| trouble.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let lost = trouble.get("lost").and_then(Value::as_u64).filter(|lost| *lost > 0);
        Trouble { what: text("what"), reason: text("reason"), lost }
    };
    all.into_iter().flatten().map(one).collect()
}
