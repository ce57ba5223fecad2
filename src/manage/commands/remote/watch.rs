//! `top` of many hosts: the rows of each, as they were when the host was asked last.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use super::Request;
use super::answer::{self, Answer};
use super::{locate, status};
use crate::manage::commands::status::row::Row;
use crate::manage::commands::top;
use crate::manage::error::CommandResult;
use crate::manage::hosts::run::Job;
use crate::manage::limits::{FIRST_LOOK_TIMEOUT, HOST_LOOK_INTERVAL, HOST_LOOK_TIMEOUT};
use crate::manage::registry::pattern::Patterns;

/// `top`.
///
/// # Errors
/// A text that is no pattern; no terminal.
pub(super) fn top(request: &Request) -> CommandResult {
    let patterns = Patterns::from_matches(request.matches)?;
    let jobs = request.jobs(&request.arguments.another("status"));
    let options = request.arguments.common.clone();
    top::top_of_hosts(options, request.json, HostWatch::new(jobs, patterns))
}

/// Asks hosts again and again, each by itself: one that does not answer keeps no other from being
/// asked.
pub(crate) struct HostWatch {
    hosts: Vec<WatchedHost>,
    patterns: Patterns,
    sender: Sender<(usize, Vec<Answer>)>,
    answers: Receiver<(usize, Vec<Answer>)>,
    /// True after the first look, which waits a moment for the answers.
    has_waited: bool,
}

struct WatchedHost {
    job: Job,
    /// When the host is asked next. `None`: an answer is due.
    next: Option<Instant>,
    /// The rows of the last answer.
    rows: Vec<Row>,
}

impl HostWatch {
    fn new(jobs: Vec<Job>, patterns: Patterns) -> HostWatch {
        let (sender, answers) = channel();
        let next = Some(Instant::now());
        let hosts = jobs.into_iter().map(|job| WatchedHost { job, next, rows: Vec::new() });
        HostWatch { hosts: hosts.collect(), patterns, sender, answers, has_waited: false }
    }

    /// Asks the hosts that are due, and takes the answers that have come. `None` if there is nothing
    /// new.
    pub(crate) fn refresh(&mut self) -> Option<Vec<Row>> {
        let now = Instant::now();
        for (number, host) in self.hosts.iter_mut().enumerate() {
            if host.next.is_some_and(|next| next <= now) {
                let (jobs, sender) = ([host.job.clone()], self.sender.clone());
                // Nobody listens any more when the command has ended.
                let ask =
                    move || sender.send((number, answer::ask(&jobs, Some(HOST_LOOK_TIMEOUT))));
                let is_asked = thread::Builder::new().spawn(ask).is_ok();
                host.next = if is_asked { None } else { Some(now + HOST_LOOK_INTERVAL) };
            }
        }
        let mut is_new = false;
        while let Some((number, answers)) = self.next_answer(now) {
            is_new = true;
            self.take(number, answers);
        }
        self.has_waited = true;
        is_new.then(|| self.hosts.iter().flat_map(|host| host.rows.clone()).collect())
    }

    /// What has come, or, the first time, what comes within a moment.
    fn next_answer(&self, begun: Instant) -> Option<(usize, Vec<Answer>)> {
        let is_due = self.hosts.iter().any(|host| host.next.is_none());
        if self.has_waited || !is_due {
            return self.answers.try_recv().ok();
        }
        // The screen is shown after that time, with what there is.
        let left = (begun + FIRST_LOOK_TIMEOUT / 2).saturating_duration_since(Instant::now());
        self.answers.recv_timeout(left).ok()
    }

    fn take(&mut self, number: usize, answers: Vec<Answer>) {
        let Some(host) = self.hosts.get_mut(number) else { return };
        host.rows.clear();
        for mut answer in answers {
            if let Ok((items, _)) = &mut answer.result {
                items.retain(|item| self.patterns.selects(locate::name(item)));
            }
            host.rows.extend(status::rows(&answer).into_iter().map(|(row, _)| row));
        }
        host.next = Some(Instant::now() + HOST_LOOK_INTERVAL);
    }
}
