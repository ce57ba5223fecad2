//! `doctor`: problems of the instances and of the servers that run, and what to do about each.

mod conflicts;
mod instance;
mod leftovers;

use std::collections::BTreeMap;

use serde_json::json;

use crate::manage::error::CommandResult;
use crate::manage::inspect::proc::Clock;
use crate::manage::inspect::servers::{self, RunningServer};
use crate::manage::output;
use crate::manage::registry::{Instance, Problem, Registry};

/// `doctor`. The exit status is 1 if there is a problem.
///
/// # Errors
/// Standard output can't be written.
pub(crate) fn doctor(registry: &Registry, json: bool) -> CommandResult {
    let servers = if registry.root.is_none() { servers::running().0 } else { Vec::new() };
    let mut report =
        Report { registry, servers: &servers, clock: Clock::read(), findings: Vec::new() };
    let instances = report.configured();
    for instance in instances.values() {
        report.configuration(instance);
        report.runtime(instance);
    }
    report.sockets(&instances);
    report.leftovers(&instances);
    report.ports(&instances);
    report.shared_files();
    report.pid_files();
    let findings = &report.findings;
    if json {
        let findings: Vec<_> = findings.iter().map(Finding::json).collect();
        output::print_json(&findings.into())?;
    } else if findings.is_empty() {
        output::print(&format!(
            "no problems found ({} instances, {} servers running)\n",
            instances.len(),
            servers.len()
        ))?;
    } else {
        for Finding { subject, problem, advice } in findings {
            let problem = output::line(&format!("{subject}: {problem}"));
            output::print(&format!("{problem}    {}", output::line(advice)))?;
        }
    }
    Ok(u8::from(!findings.is_empty()))
}

/// A problem and what to do about it.
struct Finding {
    subject: String,
    problem: String,
    advice: String,
}

impl Finding {
    fn json(&self) -> serde_json::Value {
        json!({ "subject": self.subject, "problem": self.problem, "advice": self.advice })
    }
}

/// What is looked at, and the findings so far.
struct Report<'a> {
    registry: &'a Registry,
    servers: &'a [RunningServer],
    clock: Option<Clock>,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, subject: impl ToString, problem: impl ToString, advice: impl ToString) {
        self.findings.push(Finding {
            subject: subject.to_string(),
            problem: problem.to_string(),
            advice: advice.to_string(),
        });
    }

    /// Reads the configuration files.
    fn configured(&mut self) -> BTreeMap<String, Instance> {
        const SUBJECT: &str = "configuration";
        match self.registry.configured() {
            Ok(configured) => {
                for Problem { text, is_denied } in configured.problems {
                    let advice = if is_denied {
                        "ask as a user who may read it"
                    } else {
                        "correct the file"
                    };
                    self.add(SUBJECT, text, advice);
                }
                configured.instances
            }
            Err(error) => {
                self.add(SUBJECT, error.text, "make it a directory that you may read");
                BTreeMap::new()
            }
        }
    }
}

/// The command to type, from any directory and as any user.
fn suggested_command(registry: &Registry, verb: &str, name: &str) -> String {
    let root = registry.root.as_ref().map(|root| format!(" --root {}", root.display()));
    format!("manage-procs {}{} {verb} {name}", registry.scope.option(), root.unwrap_or_default())
}
