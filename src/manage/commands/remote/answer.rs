//! The answers of hosts as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::manage::error::CommandError;
use crate::manage::hosts::Host;
use crate::manage::hosts::lines;
use crate::manage::hosts::run::{self, Allowance, Job, Said};
use crate::manage::limits::{HOST_ANSWER_MIN, HOST_ANSWERS_MAX};
use crate::manage::output;

/// The version of the answers that this program understands.
const VERSION: u64 = 1;

/// A JSON object.
pub(super) type Item = Map<String, Value>;

/// Objects and an exit status, or why there are none.
pub(super) type Answered = Result<(Vec<Item>, u8), String>;

/// What a host has answered.
pub(super) struct Answer {
    pub(super) host: Host,
    pub(super) result: Answered,
}

impl Answer {
    /// The objects, none if there is no answer.
    pub(super) fn items(&self) -> &[Item] {
        self.result.as_ref().map_or(&[], |(items, _)| items)
    }
}

/// Runs the jobs, and returns the answers in the order of the hosts. What hosts write to standard error
/// is printed, unless it is the reason why there is no answer.
pub(super) fn ask(jobs: &[Job], time: Option<Duration>) -> Vec<Answer> {
    let bytes = Some(bytes_for_each(jobs));
    let reports = run::start(jobs, Allowance { time, silence: None, bytes });
    let mut parts: Vec<Part> = jobs.iter().map(|_| Part::default()).collect();
    for (number, said) in reports {
        let Some(part) = parts.get_mut(number) else { continue };
        match said {
            Said::Output(bytes) => part.text.extend_from_slice(&bytes),
            Said::Complaint(text) => part.complaints.push(text),
            Said::End(end) => part.end = Some(end),
        }
    }
    let mut complaints = BTreeMap::new();
    let answers = jobs.iter().zip(parts).map(|(job, part)| {
        let host = job.host.clone();
        let (result, said) = part.read();
        for text in said {
            complaints.entry(text).or_insert_with(Vec::new).push(host.to_string());
        }
        Answer { host, result }
    });
    let answers = answers.collect();
    for (text, hosts) in complaints {
        output::print_error(&format!("{}: {text}", hosts.join(", ")));
    }
    answers
}

/// How many bytes the answer of a host may have.
pub(super) fn bytes_for_each(jobs: &[Job]) -> usize {
    (HOST_ANSWERS_MAX / jobs.len().max(1)).max(HOST_ANSWER_MIN)
}

#[derive(Default)]
struct Part {
    text: Vec<u8>,
    complaints: Vec<String>,
    end: Option<Result<u8, String>>,
}

impl Part {
    /// The objects of the answer, and what is left to say about it.
    fn read(mut self) -> (Answered, Vec<String>) {
        let code = match self.end.unwrap_or_else(|| Err("no answer".to_owned())) {
            Ok(code) => code,
            Err(problem) => return (Err(problem), Vec::new()),
        };
        let is_empty = self.text.iter().all(u8::is_ascii_whitespace);
        let items = match is_empty {
            true if code == 0 => Ok(Vec::new()),
            true => Err("no answer".to_owned()),
            false => items(&self.text),
        };
        match items {
            Ok(items) => (Ok((items, code)), self.complaints),
            // The last line of a program that fails is the reason.
            Err(problem) => match self.complaints.pop() {
                Some(last) if code != 0 => (Err(last), self.complaints),
                last => {
                    self.complaints.extend(last);
                    (Err(problem), self.complaints)
                }
            },
        }
    }
}

/// The objects of an answer, which is a list of them, or a single one.
fn items(text: &[u8]) -> Result<Vec<Item>, String> {
    let wrong = || "its answer is none of manage-procs".to_owned();
    let values = match serde_json::from_slice(text).map_err(|_| wrong())? {
        Value::Array(values) => values,
        value => vec![value],
    };
    let item = |value| match value {
        Value::Object(item) => check_version(&item).map(|()| item),
        _ => Err(wrong()),
    };
    values.into_iter().map(item).collect()
}

/// Checks that this program knows what the fields of an object mean. The first programs have written no
/// version.
///
/// # Errors
/// Another version.
pub(super) fn check_version(item: &Item) -> Result<(), String> {
    match item.get("v") {
        None => Ok(()),
        Some(version) if version.as_u64() == Some(VERSION) => Ok(()),
        Some(version) => {
            let version: String = version.to_string().chars().take(20).collect();
            Err(format!("its answer has version {version}, and this manage-procs knows {VERSION}"))
        }
    }
}

/// A text of an object. Empty if there is none.
pub(super) fn text<'i>(item: &'i Item, key: &str) -> &'i str {
    item.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The largest exit status. A host without an answer counts as 1.
pub(super) fn worst(answers: &[Answer]) -> u8 {
    let code = |answer: &Answer| answer.result.as_ref().map_or(1, |(_, code)| *code);
    answers.iter().map(code).max().unwrap_or(0)
}

/// Prints all objects as one list, each with its host. A host without an answer has an object with
/// `error`.
///
/// # Errors
/// Those of standard output.
pub(super) fn print_json(answers: &[Answer]) -> Result<(), CommandError> {
    let mut list = Vec::new();
    for answer in answers {
        let host = answer.host.as_str();
        match &answer.result {
            Ok((items, _)) => list.extend(items.iter().map(|item| with_host(item, host))),
            Err(error) => list.push(json!({ "v": VERSION, "host": host, "error": error })),
        }
    }
    output::print(&lines::json(&format!("{:#}\n", Value::Array(list))))
}

/// Prints the only object of an answer, with its host.
///
/// # Errors
/// Those of standard output.
pub(super) fn print_object(answer: &Answer) -> Result<(), CommandError> {
    let host = answer.host.as_str();
    answer
        .items()
        .iter()
        .try_for_each(|item| output::print(&lines::json(&format!("{:#}\n", with_host(item, host)))))
}

/// An object with its host.
pub(super) fn with_host(item: &Item, host: &str) -> Value {
    let mut item = item.clone();
    item.insert("host".to_owned(), json!(host));
    Value::Object(item)
}
