//! `doctor`: problems of the instances and of the servers that run, and what to do about each.

mod conflicts;
mod fdstore;
pub(crate) mod finding;
pub(crate) mod instance;
mod leftovers;
mod running;
mod unit;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use self::finding::Finding;
use self::finding::no_answer;
use crate::manage::error::CommandResult;
use crate::manage::inspect::proc::Clock;
use crate::manage::inspect::servers;
use crate::manage::output;
use crate::manage::registry::{Instance, Problem, Registry};

/// `doctor`. The exit status is 1 if there is a problem.
///
/// # Errors
/// Standard output can't be written.
pub(crate) fn doctor(registry: &Registry, json: bool) -> CommandResult {
    let registry = Arc::new(registry.clone());
    let is_live = registry.root.is_none();
    let (servers, unanswered) = if is_live { servers::running() } else { Default::default() };
    let clock = Clock::read();
    let (instances, mut findings) = configured(&registry);
    let mut looks = Vec::new();
    for instance in instances.values() {
        looks.extend(instance::looks(&registry, instance));
        looks.push(unit::look(&registry, instance));
        looks.extend(running::looks(&registry, instance, clock));
    }
    looks.push(unit::links(&registry));
    looks.push(leftovers::generators(&registry));
    findings.extend(finding::take(looks));
    findings.extend(unit::states(&registry, &instances.keys().collect::<Vec<_>>()));
    findings.extend(unit::dropped(&registry, &instances));
    findings.extend(fdstore::units(&registry, &instances));
    findings.extend(leftovers::sockets(&registry, &instances));
    findings.extend(leftovers::units(&registry, &servers, &instances));
    findings.extend(conflicts::endpoints(&registry, &servers, &instances, clock));
    findings.extend(conflicts::files_of(&servers));
    findings.extend(unanswered.iter().map(|pid| no_answer("a server", &format!("PID {pid}"))));
    // Problems come first.
    findings.sort_by_key(|finding| finding.is_hint);
    let has_problems = findings.iter().any(|finding| !finding.is_hint);
    if json {
        output::print_json(&findings.iter().map(Finding::json).collect())?;
    } else {
        if !has_problems {
            output::print(&format!(
                "no problems found ({} instances, {} servers running)\n",
                instances.len(),
                servers.len()
            ))?;
        }
        for Finding { subject, problem, advice, is_hint } in &findings {
            let hint = if *is_hint { "hint: " } else { "" };
            let problem = output::line(&format!("{hint}{subject}: {problem}"));
            output::print(&format!("{problem}    {}", output::line(advice)))?;
        }
    }
    Ok(u8::from(has_problems))
}

/// What keeps the server of an instance, or its child, from starting: in its configuration, in its unit
/// and, if `is_down`, what others have that it needs.
pub(crate) fn obstacles(
    registry: &Registry,
    instance: &Arc<Instance>,
    is_down: bool,
) -> Vec<Finding> {
    let registry = Arc::new(registry.clone());
    let mut findings = finding::take(instance::looks(&registry, instance));
    if is_down && registry.root.is_none() {
        let instances = configured(&registry).0;
        let (servers, _) = servers::running();
        let found = conflicts::endpoints(&registry, &servers, &instances, Clock::read());
        let is_of_it =
            |finding: &Finding| finding.subject.split(", ").any(|it| it == instance.name);
        findings.extend(found.into_iter().filter(is_of_it));
    }
    findings.extend(finding::take(vec![unit::look(&registry, instance)]));
    findings.retain(|finding| !finding.is_hint);
    findings
}

/// Reads the configuration files.
fn configured(registry: &Registry) -> (BTreeMap<String, Arc<Instance>>, Vec<Finding>) {
    const SUBJECT: &str = "configuration";
    match registry.configured() {
        Ok(configured) => {
            let find = |Problem { text, is_denied }| {
                let advice =
                    if is_denied { "ask as a user who may read it" } else { "correct the file" };
                Finding::new(SUBJECT, text, advice)
            };
            let instances = configured.instances.into_iter();
            (
                instances.map(|(name, instance)| (name, Arc::new(instance))).collect(),
                configured.problems.into_iter().map(find).collect(),
            )
        }
        Err(error) => {
            let advice = "make it a directory that you may read";
            (BTreeMap::new(), vec![Finding::new(SUBJECT, error.text, advice)])
        }
    }
}
