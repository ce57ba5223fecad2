//! One API client: the lines that it sends and those that it is sent, both bounded. It is not read
//! while it does not take its answers, so that an answer always has room; a subscriber that does not
//! read misses events, and is told how many.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::VERSION;
use super::request::{self, BadLine, ParsedLine, RequestId};
use crate::console::clock::Monotonic;
use crate::handover::state::{ApiState, Text};
use crate::limits::{API_COMMANDS_PER_SECOND, API_LINE_MAX, API_OUTPUT_MAX};
use crate::server::records::with_line_end;

/// One API client.
#[derive(Debug, Default)]
pub struct ApiSession {
    /// Bytes that were read and not executed, at most [`API_LINE_MAX`] and one read.
    input: Vec<u8>,
    /// True while the rest of a line that is too long is thrown away.
    discarding: bool,
    /// True if the client has ended its side of the connection.
    input_ended: bool,
    /// Lines for the client, of which the first `sent` bytes are written.
    output: Vec<u8>,
    sent: usize,
    subscribed: bool,
    /// How many events the client missed and has not been told of.
    skipped: u64,
    /// True if the client is to be sent the status.
    needs_status: bool,
    /// When the present second of commands began, and how many there were in it.
    commands: (Monotonic, u32),
}

/// A line of the server's: an answer.
#[derive(Serialize)]
struct AnswerLine<'a> {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RequestId>,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// It was executed.
    Result {
        /// The fields of the result.
        result: Value,
    },
    /// It was not.
    Error {
        /// The name of the error in docs/api.md.
        error: &'static str,
        /// The same in words.
        message: String,
    },
}

#[derive(Serialize)]
struct SkippedLine {
    v: u32,
    skipped: u64,
}

#[derive(Serialize)]
struct StatusLine<'a> {
    v: u32,
    status: &'a Value,
}

impl ApiSession {
    /// Goes on with a client of another program in this process.
    pub fn restore(state: ApiState) -> ApiSession {
        ApiSession {
            input: state.input.0,
            discarding: state.discarding,
            input_ended: state.input_ended,
            output: state.output.0,
            subscribed: state.subscribed,
            skipped: state.skipped,
            needs_status: state.subscribed,
            ..ApiSession::default()
        }
    }

    /// The client as plain data.
    pub fn state(&self, id: u64) -> ApiState {
        ApiState {
            id,
            input: Text(self.input.clone()),
            discarding: self.discarding,
            input_ended: self.input_ended,
            output: Text(self.output().to_vec()),
            subscribed: self.subscribed,
            skipped: self.skipped,
        }
    }

    /// Adds bytes that the client sent.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The client has ended its side. What it sent before, a last line without an end too, is still
    /// executed and answered.
    pub fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// Returns true if the client may be read: it takes its answers, and all lines are executed.
    pub fn accepts_input(&self) -> bool {
        !self.input_ended && self.has_room() && !self.has_line()
    }

    /// Returns true if a line can be executed.
    pub fn has_work(&self) -> bool {
        self.has_room() && self.has_line()
    }

    /// Returns true if the client has ended its side and got its answers.
    pub fn is_finished(&self) -> bool {
        self.input_ended && !self.has_line() && self.output().is_empty()
    }

    fn has_room(&self) -> bool {
        self.output().len() < API_OUTPUT_MAX
    }

    fn has_line(&self) -> bool {
        self.input.len() > API_LINE_MAX
            || self.input.contains(&b'\n')
            || (self.input_ended && !self.input.is_empty())
    }

    /// Takes the next line that the client sent, as a request or as what is wrong with it. `None` if
    /// there is none, or no room for its answer. Empty lines are none.
    pub fn take_line(&mut self) -> Option<Result<ParsedLine, BadLine>> {
        while self.has_work() {
            let end = self.input.iter().position(|&byte| byte == b'\n');
            if end.is_none_or(|end| end > API_LINE_MAX) && self.input.len() > API_LINE_MAX {
                let was_discarding = std::mem::replace(&mut self.discarding, end.is_none());
                self.drop_input(end.map_or(self.input.len(), |end| end + 1));
                if !was_discarding {
                    return Some(Err(BadLine::too_long()));
                }
                continue;
            }
            let line = self.input.get(..end.unwrap_or(self.input.len())).unwrap_or_default();
            let parsed = match line.trim_ascii() {
                _ if self.discarding => None,
                [] => None,
                line => Some(request::parse(line)),
            };
            self.discarding &= end.is_none();
            self.drop_input(end.map_or(self.input.len(), |end| end + 1));
            if parsed.is_some() {
                return parsed;
            }
        }
        None
    }

    fn drop_input(&mut self, count: usize) {
        self.input.drain(..count);
        if self.input.is_empty() {
            self.input = Vec::new();
        }
    }

    /// Returns true if the client may give another command now: it may give so many in each second.
    pub fn may_command(&mut self, now: Monotonic) -> bool {
        let (began, count) = &mut self.commands;
        if *count == 0 || now >= *began + Duration::from_secs(1) {
            (*began, *count) = (now, 0);
        }
        *count += 1;
        *count <= API_COMMANDS_PER_SECOND
    }

    /// Answers a request.
    pub fn answer(&mut self, id: Option<&RequestId>, outcome: Outcome) {
        let line = AnswerLine { v: VERSION, id, outcome };
        self.output.extend(with_line_end(serde_json::to_vec(&line)));
    }

    /// Sends the client status and events from now on.
    pub fn subscribe(&mut self) {
        self.subscribed = true;
        self.needs_status = true;
    }

    /// Returns true if the client is sent status and events.
    pub fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// Sends events to a subscriber: whole lines. `missed` is the number of events before them that
    /// found no room.
    pub fn publish(&mut self, lines: &[u8], missed: u64) {
        if !self.subscribed {
            return;
        }
        self.skipped = self.skipped.saturating_add(missed);
        self.tell_skipped();
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            if self.skipped > 0 || self.output().len() + line.len() > API_OUTPUT_MAX {
                self.skipped = self.skipped.saturating_add(1);
            } else {
                self.output.extend_from_slice(line);
            }
        }
    }

    /// The status has changed.
    pub fn status_changed(&mut self) {
        self.needs_status |= self.subscribed;
    }

    /// Returns true if the client is to be sent the status, and has room for it.
    pub fn wants_status(&mut self) -> bool {
        self.tell_skipped();
        self.needs_status && self.skipped == 0 && self.has_room()
    }

    /// Sends the status to a subscriber.
    pub fn send_status(&mut self, status: &Value) {
        self.needs_status = false;
        let line = StatusLine { v: VERSION, status };
        self.output.extend(with_line_end(serde_json::to_vec(&line)));
    }

    /// Tells a subscriber that reads again how many events it missed. The status comes after that,
    /// as the events that it missed may have changed it.
    fn tell_skipped(&mut self) {
        if self.skipped > 0 && self.output().len() <= API_OUTPUT_MAX / 2 {
            let line = SkippedLine { v: VERSION, skipped: std::mem::take(&mut self.skipped) };
            self.output.extend(with_line_end(serde_json::to_vec(&line)));
            self.needs_status = true;
        }
    }

    /// The bytes to write next.
    pub fn output(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    /// Takes note that the first `count` bytes of [`output`](Self::output) have been written.
    pub fn written(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.output.len() {
            (self.output, self.sent) = (Vec::new(), 0);
        } else if self.sent > API_OUTPUT_MAX {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }
}
