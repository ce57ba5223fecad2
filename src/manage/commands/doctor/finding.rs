//! What `doctor` finds, and the looks that find it.

use serde_json::json;

use crate::manage::inspect::bounded;
use crate::manage::registry::Registry;

/// The version of the format of [`Finding::json`] (docs/json.md). It changes when the meaning of a field
/// does.
const VERSION: u32 = 1;

/// A problem and what to do about it.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The instance, server or file.
    pub(crate) subject: String,
    pub(crate) problem: String,
    pub(crate) advice: String,
    /// True if everything works, and something is only unusual.
    pub(crate) is_hint: bool,
}

impl Finding {
    pub(super) fn new(
        subject: impl ToString,
        problem: impl ToString,
        advice: impl ToString,
    ) -> Finding {
        Finding {
            subject: subject.to_string(),
            problem: problem.to_string(),
            advice: advice.to_string(),
            is_hint: false,
        }
    }

    pub(super) fn hint(
        subject: impl ToString,
        problem: impl ToString,
        advice: impl ToString,
    ) -> Finding {
        Finding { is_hint: true, ..Finding::new(subject, problem, advice) }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        json!({
            "v": VERSION,
            "subject": self.subject,
            "problem": self.problem,
            "advice": self.advice,
            "hint": self.is_hint,
        })
    }
}

/// A look at something that may not answer: a file, a process, a directory of users.
pub(crate) struct Look {
    subject: String,
    object: String,
    work: Box<dyn FnOnce() -> Vec<Finding> + Send>,
}

impl Look {
    /// `object` is what does not answer if `work` takes too long.
    pub(super) fn new(
        subject: impl ToString,
        object: impl ToString,
        work: impl FnOnce() -> Vec<Finding> + Send + 'static,
    ) -> Look {
        Look { subject: subject.to_string(), object: object.to_string(), work: Box::new(work) }
    }
}

/// Takes all looks at the same time. What does not answer in time is a finding.
pub(super) fn take(looks: Vec<Look>) -> Vec<Finding> {
    let names: Vec<_> =
        looks.iter().map(|look| (look.subject.clone(), look.object.clone())).collect();
    let found = bounded::each(looks, |look| (look.work)());
    let found = found.into_iter().zip(names).map(|(found, (subject, object))| {
        found.unwrap_or_else(|| vec![no_answer(&subject, &object)])
    });
    found.flatten().collect()
}

/// The finding for something that does not answer.
pub(super) fn no_answer(subject: &str, object: &str) -> Finding {
    Finding::new(
        subject,
        format!("{object} does not answer"),
        "its disk or its server hangs: see mount, dmesg, and processes in state D",
    )
}

/// The command to type, from any directory and as any user.
pub(crate) fn suggested_command(registry: &Registry, verb: &str, name: &str) -> String {
    let root = registry.root.as_ref().map(|root| format!(" --root {}", root.display()));
    format!("manage-procs {}{} {verb} {name}", registry.scope.option(), root.unwrap_or_default())
}
