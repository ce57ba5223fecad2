//! `list`, `doctor` and `upgrade` of many hosts as one answer.

use serde_json::Value;

use super::Request;
use super::answer::{self, Answer, Item, text};
use super::locate::{self, Located};
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::limits::{HOST_LOOK_TIMEOUT, HOST_REPORT_TIMEOUT};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::shlex;

/// `list`.
///
/// # Errors
/// A pattern that matches no instance.
pub(super) fn list(request: &Request) -> CommandResult {
    let patterns = Patterns::from_matches(request.matches)?;
    let arguments = request.arguments.another("list");
    let mut answers = answer::ask(&request.jobs(&arguments), Some(HOST_LOOK_TIMEOUT));
    locate::check_patterns(&answers, &patterns)?;
    for (items, _) in answers.iter_mut().filter_map(|answer| answer.result.as_mut().ok()) {
        items.retain(|item| patterns.selects(locate::name(item)));
    }
    let cells = |item: &Item| {
        let words = item.get("command").and_then(Value::as_array).into_iter().flatten();
        let words: Vec<&str> = words.filter_map(Value::as_str).collect();
        vec![
            text(item, "name").to_owned(),
            or_dash(text(item, "user")),
            or_dash(text(item, "port")),
            or_dash(text(item, "chdir")),
            shlex::join(&words),
        ]
    };
    let no_answer =
        |problem: &str| ["-", "-", "-", "-", problem].iter().map(ToString::to_string).collect();
    let header = ["HOST", "NAME", "USER", "PORT", "DIRECTORY", "COMMAND"];
    print(request, &answers, &header, cells, no_answer)?;
    Ok(answer::worst(&answers))
}

/// `upgrade`. On each host one server is upgraded after the other, on all hosts at the same time.
///
/// # Errors
/// A pattern that matches no instance.
pub(super) fn upgrade(request: &Request) -> CommandResult {
    let patterns = Patterns::from_matches(request.matches)?;
    let mut located = locate::locate(request, &patterns)?;
    located.found.iter_mut().for_each(|(_, names)| names.sort());
    let seconds = request.matches.get_one::<u32>("timeout").copied().unwrap_or(20);
    let most = located.found.iter().map(|(_, names)| names.len()).max().unwrap_or(0);
    let time = u32::try_from(most).unwrap_or(u32::MAX).saturating_mul(seconds.saturating_add(5));
    let time = HOST_REPORT_TIMEOUT + std::time::Duration::from_secs(time.into());
    let mut jobs = located.jobs(request);
    jobs.iter_mut().for_each(|job| job.arguments = job.arguments.clone().into_json());
    let mut answers = answer::ask(&jobs, Some(time));
    answers.extend(failures(located));
    let cells =
        |item: &Item| ["name", "result", "text"].map(|key| text(item, key).to_owned()).to_vec();
    let no_answer = |problem: &str| vec!["-".to_owned(), "failed".to_owned(), problem.to_owned()];
    print(request, &answers, &["HOST", "NAME", "RESULT", "TEXT"], cells, no_answer)?;
    Ok(answer::worst(&answers))
}

/// `doctor`.
///
/// # Errors
/// Those of standard output.
pub(super) fn doctor(request: &Request) -> CommandResult {
    let arguments = request.arguments.clone().into_json();
    let answers = answer::ask(&request.jobs(&arguments), Some(HOST_REPORT_TIMEOUT));
    let is_hint = |item: &Item| item.get("hint") == Some(&Value::Bool(true));
    let has_problems = answers.iter().flat_map(Answer::items).any(|item| !is_hint(item));
    let code = answer::worst(&answers).max(u8::from(has_problems));
    if request.json {
        answer::print_json(&answers)?;
        return Ok(code);
    }
    if code == 0 {
        let plural = if answers.len() == 1 { "" } else { "s" };
        output::print(&format!("no problems found ({} host{plural})\n", answers.len()))?;
    }
    let width = width(&answers);
    for Answer { host, result } in &answers {
        let print = |problem: &str, advice: &str| {
            let problem = output::line(&format!("{host:width$}  {problem}", host = host.as_str()));
            output::print(&format!("{problem}{:width$}      {}", "", output::line(advice)))
        };
        match result {
            Ok((items, _)) => {
                for item in items {
                    let hint = if is_hint(item) { "hint: " } else { "" };
                    let (subject, problem) = (text(item, "subject"), text(item, "problem"));
                    print(&format!("{hint}{subject}: {problem}"), text(item, "advice"))?;
                }
            }
            Err(problem) => print(problem, &format!("try ssh {host} manage-procs doctor"))?,
        }
    }
    Ok(code)
}

/// What became of hosts that could not be asked for their instances.
fn failures(located: Located) -> impl Iterator<Item = Answer> {
    located.failed.into_iter().map(|(host, problem)| Answer { host, result: Err(problem) })
}

/// The width of the column of hosts.
pub(super) fn width(answers: &[Answer]) -> usize {
    answers.iter().map(|answer| answer.host.as_str().len()).max().unwrap_or(0)
}

/// Prints the objects of all hosts, as a table or as JSON. `no_answer` makes the cells behind the host
/// of the reason why there is no answer.
fn print(
    request: &Request,
    answers: &[Answer],
    header: &[&str],
    cells: impl Fn(&Item) -> Vec<String>,
    no_answer: impl Fn(&str) -> Vec<String>,
) -> Result<(), CommandError> {
    if request.json {
        return answer::print_json(answers);
    }
    let mut rows = vec![header.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()];
    let mut add = |host: &str, cells: Vec<String>| {
        let cells = cells.iter().map(|cell| output::shortened(cell));
        rows.push(std::iter::once(host.to_owned()).chain(cells).collect());
    };
    for Answer { host, result } in answers {
        match result {
            Ok((items, _)) => items.iter().for_each(|item| add(host.as_str(), cells(item))),
            Err(problem) => add(host.as_str(), no_answer(problem)),
        }
    }
    output::print(&output::table(&rows))
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
