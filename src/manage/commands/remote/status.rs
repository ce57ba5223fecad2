//! `status` of many hosts as one table.

use std::cmp::Reverse;
use std::time::SystemTime;

use serde_json::Value;

use super::answer::{self, Answer, Item};
use super::{Request, locate};
use crate::manage::commands::status::Table;
use crate::manage::commands::status::row::Row;
use crate::manage::error::CommandResult;
use crate::manage::limits::HOST_LOOK_TIMEOUT;
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;

/// `status`. Patterns and what is wrong are looked at here, so that a host without such an instance
/// is no failure.
///
/// # Errors
/// A pattern that matches no instance.
pub(super) fn status(request: &Request) -> CommandResult {
    let patterns = Patterns::from_matches(request.matches)?;
    let mut arguments = request.arguments.clone().into_json();
    arguments.words.clear();
    for option in ["failed", "check", "wide", "sort", "all"] {
        arguments.set(option, None);
    }
    let mut answers = answer::ask(&request.jobs(&arguments), Some(HOST_LOOK_TIMEOUT));
    locate::check_patterns(&answers, &patterns)?;
    let is_wrong = |item: &Item| item.get("wrong") == Some(&Value::Bool(true));
    let mut any_wrong = false;
    for answer in &mut answers {
        match &mut answer.result {
            Ok((items, _)) => {
                items.retain(|item| patterns.selects(locate::name(item)));
                any_wrong |= items.iter().any(is_wrong);
                items.retain(|item| !request.flag("failed") || is_wrong(item));
            }
            Err(_) => any_wrong = true,
        }
    }
    if request.json {
        answer::print_json(&answers)?;
    } else {
        print(request, &answers)?;
    }
    let code = answer::worst(&answers);
    Ok(if request.flag("check") && any_wrong { 3 } else { code })
}

fn print(request: &Request, answers: &[Answer]) -> Result<(), crate::manage::error::CommandError> {
    let now = SystemTime::now();
    let mut rows: Vec<(Row, Vec<String>)> = answers.iter().flat_map(rows).collect();
    match request.value("sort").unwrap_or("name") {
        "state" => rows.sort_by_key(|(row, _)| row.state),
        "up" => rows.sort_by_key(|(row, _)| row.up(now).unwrap_or(u64::MAX)),
        "restarts" => rows.sort_by_key(|(row, _)| Reverse(row.restarts())),
        _ => {}
    }
    if rows.is_empty() {
        let is_all = !request.flag("failed");
        return output::print(if is_all { "no instances\n" } else { "nothing is wrong\n" });
    }
    let is_wide = request.flag("wide");
    Table { rows, has_hosts: true, is_wide }.print(now)
}

/// The rows of a host, each with the cells of `--wide`.
pub(super) fn rows(answer: &Answer) -> Vec<(Row, Vec<String>)> {
    match &answer.result {
        Ok((items, _)) => {
            let row = |item: &Item| (Row::of_json(answer.host.as_str(), item), wide_cells(item));
            items.iter().map(row).collect()
        }
        Err(problem) => {
            let dashes = ["-"; 5].map(str::to_owned).to_vec();
            vec![(Row::no_answer(answer.host.as_str(), problem), dashes)]
        }
    }
}

/// The cells of `--wide`. CPU time and memory are not in the answer.
fn wide_cells(item: &Item) -> Vec<String> {
    let dash = || "-".to_owned();
    let pid = |key| item.get(key).and_then(Value::as_u64).map_or_else(dash, |pid| pid.to_string());
    let endpoints = item.get("endpoints").and_then(Value::as_array);
    let endpoints = endpoints.into_iter().flatten().filter_map(Value::as_str);
    let endpoints: Vec<&str> = endpoints
        .filter(|endpoint| !endpoint.starts_with("raw:") && !endpoint.starts_with("view:"))
        .collect();
    let endpoints = if endpoints.is_empty() { dash() } else { endpoints.join(" ") };
    vec![pid("server_pid"), pid("child_pid"), dash(), dash(), output::shortened(&endpoints)]
}
