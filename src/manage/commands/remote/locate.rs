//! Which instances there are on which hosts.

use super::Request;
use super::answer::{self, Answer, Item};
use crate::manage::error::CommandError;
use crate::manage::hosts::Host;
use crate::manage::hosts::run::Job;
use crate::manage::limits::HOST_LOOK_TIMEOUT;
use crate::manage::registry::pattern::Patterns;

/// Where the instances are that a command is about.
pub(super) struct Located {
    /// Each host that has some, with their names.
    pub(super) found: Vec<(Host, Vec<String>)>,
    /// Each host that can't be asked, and why.
    pub(super) failed: Vec<(Host, String)>,
}

impl Located {
    /// The command for each host, with the names of that host.
    pub(super) fn jobs(&self, request: &Request) -> Vec<Job> {
        let job = |(host, names): &(Host, Vec<String>)| Job {
            host: host.clone(),
            arguments: request.arguments.with_words(names),
        };
        self.found.iter().map(job).collect()
    }
}

/// Asks all hosts for their instances.
///
/// # Errors
/// A pattern that matches none on any host that answers.
pub(super) fn locate(request: &Request, patterns: &Patterns) -> Result<Located, CommandError> {
    let list = request.arguments.another("list");
    let answers = answer::ask(&request.jobs(&list), Some(HOST_LOOK_TIMEOUT));
    check_patterns(&answers, patterns)?;
    let mut located = Located { found: Vec::new(), failed: Vec::new() };
    for Answer { host, result } in answers {
        match result {
            Ok((items, _)) => {
                let names = items.iter().map(name).filter(|name| patterns.selects(name));
                let names: Vec<String> = names.map(str::to_owned).collect();
                if !names.is_empty() {
                    located.found.push((host, names));
                }
            }
            Err(problem) => located.failed.push((host, problem)),
        }
    }
    Ok(located)
}

/// Checks that each pattern matches an instance of a host.
///
/// # Errors
/// A pattern that does not. Without an answer of any host, nothing is known.
pub(super) fn check_patterns(answers: &[Answer], patterns: &Patterns) -> Result<(), CommandError> {
    let names: Vec<&str> = answers.iter().flat_map(Answer::items).map(name).collect();
    let is_known = answers.iter().any(|answer| answer.result.is_ok());
    match patterns.unused(&names) {
        Some(pattern) if is_known => {
            let (count, all) =
                (answers.iter().filter(|it| it.result.is_ok()).count(), answers.len());
            let hosts = if count == all { String::new() } else { format!(" of {all}") };
            Err(CommandError::new(format!("no instance {pattern} on {count}{hosts} hosts")))
        }
        _ => Ok(()),
    }
}

pub(super) fn name(item: &Item) -> &str {
    answer::text(item, "name")
}
