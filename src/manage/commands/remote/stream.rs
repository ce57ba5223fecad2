//! `events` and `logs` of many hosts, merged by time. No more is kept in memory than a few pieces of
//! each host.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use chrono::DateTime;
use serde_json::Value;

use super::Request;
use super::answer::{self, Item, text};
use super::locate;
use crate::event_text::sentence;
use crate::manage::commands::{logs, pager};
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::hosts::Host;
use crate::manage::hosts::lines::{self, Line, Lines};
use crate::manage::hosts::run::{self, Allowance, Job, Report, Said};
use crate::manage::limits::{
    FOLLOW_INTERVAL, FOLLOW_LINES, HOST_EVENT_TIMEOUT, HOST_LOG_TIMEOUT, LOG_LINES,
};
use crate::manage::output::{self, escape_control};
use crate::manage::registry::pattern::Patterns;
use crate::manage::timestamp::Stamps;
use crate::sys::time;

/// `events` and `logs`.
///
/// # Errors
/// A pattern that matches no instance; hosts without instances.
pub(super) fn stream(name: &str, mut request: Request) -> CommandResult {
    let is_log = name == "logs";
    let follow = request.flag("follow");
    // The process that waits for the pager is this one: the interrupt key must not end it.
    let _pager = if follow { None } else { pager::start() };
    let located = locate::locate(&request, &Patterns::from_matches(request.matches)?)?;
    for (host, problem) in &located.failed {
        output::print_error(&format!("{host}: {problem}"));
    }
    if located.found.is_empty() && located.failed.is_empty() {
        return Err(CommandError::new("there are no instances"));
    }
    let last = if is_log { last_lines(&request) } else { None };
    request.arguments = request.arguments.into_json();
    if is_log {
        request.arguments.set("no-time", None);
        request.arguments.set("color", None);
        request.arguments.set("lines", last.map(|last| last.to_string()).as_deref());
    }
    let jobs = located.jobs(&request);
    let names = located.found.iter().flat_map(|(_, names)| names.iter().map(String::len));
    let has_times = !(is_log && request.flag("no-time"));
    let page = Page {
        is_log,
        json: request.json,
        host_width: jobs.iter().map(|job| job.host.as_str().len()).max().unwrap_or(0),
        name_width: names.max().unwrap_or(0),
        stamps: has_times.then(|| Stamps::new(time::wall_millis())),
    };
    let code = match follow {
        true => print_as_they_come(&page, &jobs)?,
        false => {
            let silence = if is_log { HOST_LOG_TIMEOUT } else { HOST_EVENT_TIMEOUT };
            // Of what has no end, the end would never come.
            let bytes = last.map(|_| answer::bytes_for_each(&jobs));
            let allowance = Allowance { time: None, silence: Some(silence), bytes };
            print_by_time(&page, &jobs, allowance, last)?
        }
    };
    Ok(code.max(u8::from(!located.failed.is_empty())))
}

/// How many lines of the end are to be shown. `None`: all of them.
fn last_lines(request: &Request) -> Option<usize> {
    let selects = ["since", "until", "grep"].iter().any(|option| request.value(option).is_some());
    match request.value("lines") {
        Some(lines) => lines.parse().ok(),
        None if selects => None,
        None if request.flag("follow") => Some(FOLLOW_LINES),
        None => Some(LOG_LINES),
    }
}

/// An event, or an entry of a log.
struct Entry {
    /// When, in microseconds since the epoch.
    micros: i64,
    item: Item,
}

/// What comes from a host, as entries.
struct Source<'j> {
    host: &'j Host,
    lines: Lines,
    entries: VecDeque<Entry>,
    /// The time of the last entry. One without a time belongs to that one.
    micros: i64,
    /// The last message of the host, which has been printed.
    said: String,
    /// The exit status, when all has come.
    code: Option<u8>,
}

impl<'j> Source<'j> {
    fn new(job: &'j Job) -> Source<'j> {
        Source {
            host: &job.host,
            lines: Lines::default(),
            entries: VecDeque::new(),
            micros: 0,
            said: String::new(),
            code: None,
        }
    }

    fn take(&mut self, page: &Page, said: Said) {
        match said {
            Said::Output(bytes) => {
                for line in self.lines.push(&bytes) {
                    self.read(page, line);
                }
            }
            Said::Complaint(text) => self.complain(text),
            Said::End(end) => {
                if let Some(line) = self.lines.rest() {
                    self.read(page, line);
                }
                self.code = Some(*end.as_ref().unwrap_or(&1));
                if let Err(problem) = end {
                    self.complain(problem);
                }
            }
        }
    }

    /// Prints a message, once.
    fn complain(&mut self, text: String) {
        if text != self.said {
            output::print_error(&format!("{}: {text}", self.host));
            self.said = text;
        }
    }

    fn read(&mut self, page: &Page, line: Line) {
        let entry = match line {
            Ok(line) => serde_json::from_slice::<Item>(&line)
                .map_err(|_| "a line that is not of manage-procs is left out".to_owned()),
            Err(_) => Err("a line that is too long is left out".to_owned()),
        };
        match entry.and_then(|item| answer::check_version(&item).map(|()| item)) {
            Ok(item) => {
                self.micros = page.time(&item).unwrap_or(self.micros);
                self.entries.push_back(Entry { micros: self.micros, item });
            }
            Err(problem) => self.complain(problem),
        }
    }

    /// Waits for the next entry. `None` if there is no more.
    fn next_time(&mut self, page: &Page, reports: &Receiver<Report>) -> Option<i64> {
        while self.entries.is_empty() && self.code.is_none() {
            match reports.recv() {
                Ok((_, said)) => self.take(page, said),
                Err(_) => self.code = Some(1),
            }
        }
        self.entries.front().map(|entry| entry.micros)
    }
}

/// Prints entries in the order of their times, only the `last` ones if there is such a number.
fn print_by_time(
    page: &Page,
    jobs: &[Job],
    allowance: Allowance,
    last: Option<usize>,
) -> CommandResult {
    let reports = run::start_apart(jobs, allowance);
    let mut sources: Vec<_> = jobs.iter().map(Source::new).zip(reports).collect();
    let mut kept = VecDeque::new();
    loop {
        let times = sources.iter_mut().map(|(source, reports)| source.next_time(page, reports));
        let next = times.enumerate().filter_map(|(place, time)| Some((time?, place))).min();
        let Some((source, _)) = next.and_then(|(_, place)| sources.get_mut(place)) else { break };
        let text = source.entries.pop_front().map(|entry| page.show(source.host, &entry));
        let Some(text) = text else { break };
        match last {
            None => output::print(&text)?,
            Some(last) => {
                kept.push_back(text);
                if kept.len() > last {
                    kept.pop_front();
                }
            }
        }
        if last.is_none() && !output::is_read() {
            break;
        }
    }
    kept.iter().try_for_each(|text| output::print(text))?;
    Ok(sources.iter().filter_map(|(source, _)| source.code).max().unwrap_or(0))
}

/// Prints entries as they come, until all hosts have ended or nobody reads them.
fn print_as_they_come(page: &Page, jobs: &[Job]) -> CommandResult {
    let mut sources: Vec<Source> = jobs.iter().map(Source::new).collect();
    let reports = run::start(jobs, Allowance::default());
    while output::is_read() {
        match reports.recv_timeout(FOLLOW_INTERVAL) {
            Ok((number, said)) => {
                let Some(source) = sources.get_mut(number) else { continue };
                source.take(page, said);
                for entry in std::mem::take(&mut source.entries) {
                    output::print(&page.show(source.host, &entry))?;
                }
                if source.code.is_some() {
                    source.complain("has ended, and is not followed any longer".to_owned());
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(sources.iter().filter_map(|source| source.code).max().unwrap_or(0))
}

/// How entries are shown.
struct Page {
    is_log: bool,
    json: bool,
    host_width: usize,
    name_width: usize,
    /// `None`: without times.
    stamps: Option<Stamps>,
}

impl Page {
    fn time(&self, item: &Item) -> Option<i64> {
        if self.is_log {
            return item.get("time_us")?.as_i64();
        }
        let time = DateTime::parse_from_rfc3339(item.get("time")?.as_str()?).ok()?;
        Some(time.timestamp_micros())
    }

    fn show(&self, host: &Host, entry: &Entry) -> String {
        let host = host.as_str();
        if self.json {
            return lines::json(&format!("{}\n", answer::with_host(&entry.item, host)));
        }
        let stamp =
            self.stamps.as_ref().map(|stamps| stamps.show(entry.micros.div_euclid(1000)) + " ");
        let stamp = stamp.unwrap_or_default();
        let name = text(&entry.item, if self.is_log { "name" } else { "instance" });
        let name = escape_control(&output::shortened(name));
        let (host_width, name_width) = (self.host_width, self.name_width);
        let label = format!("{stamp}{host:host_width$} {name:name_width$}");
        if !self.is_log {
            // The users of another host may have other names there.
            let what = sentence(&Value::Object(entry.item.clone()), &|uid| format!("uid {uid}"));
            return output::line(&format!("{label} {what}"));
        }
        let message = lines::plain(text(&entry.item, "message").as_bytes());
        let parts = message.split(logs::is_line_end);
        let mut parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            parts.push("");
        }
        parts.iter().map(|part| format!("{label} | {}\n", escape_control(part))).collect()
    }
}
