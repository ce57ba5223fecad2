//! The status file: its content, which docs/status.md describes, and when it is replaced.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use serde::Serialize;
use serde_json::Value;

use super::history::History;
use super::journal::JournalJson;
use super::json::{
    ClientInfo, ClientJson, EndpointJson, VERSION, client_json, mode_name, subsystem_name,
    with_line_end,
};
use super::{ServerInfo, works_again};
use crate::console::Console;
use crate::console::child::status::ChildPhase;
use crate::console::clock::Monotonic;
use crate::console::event::{ClientId, Sink};
use crate::console::subsystem::Trouble;
use crate::limits::{LOG_RETRY, STATUS_INTERVAL, STATUS_OUTPUT_INTERVAL};
use crate::sys::time;

/// The status file, as the event loop knows it.
#[derive(Debug, Default)]
pub(super) struct StatusFile {
    /// The console's revision that the file was last compared with.
    revision: Option<u64>,
    /// True if something may have changed since the file was last written, or if the file could not
    /// be written.
    outdated: bool,
    /// The file is not replaced before this time.
    not_before: Monotonic,
    /// The content changes at this time though nothing happens.
    expires: Option<Monotonic>,
    /// How many bytes log and syslog had been given when the content was made.
    written: u64,
    /// They have been given more since, and the file says so from this time on.
    output_due: Option<Monotonic>,
    /// The content that the writer was last given.
    content: Vec<u8>,
    /// What was last reported: that the file can be written, or not.
    works: Option<bool>,
}

impl StatusFile {
    /// Compares the file with this revision of the console, whose log and syslog have been given
    /// `written` bytes.
    pub(super) fn compare(&mut self, revision: u64, written: u64, now: Monotonic) {
        let has_expired = self.expires.take_if(|at| now >= *at).is_some();
        let is_output_due = self.output_due.take_if(|at| now >= *at).is_some();
        self.outdated |= has_expired || is_output_due;
        self.outdated |= self.revision.replace(revision) != Some(revision);
        if written != self.written && !self.outdated {
            self.output_due.get_or_insert(now + STATUS_OUTPUT_INTERVAL);
        }
    }

    /// When [`replace`](Self::replace) is to be called.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let is_due = self.outdated || self.revision.is_none();
        if is_due {
            return Some(self.not_before);
        }
        self.expires.into_iter().chain(self.output_due).min()
    }

    /// Returns `content` if the file has another content and is to be replaced. `written` is the number
    /// of bytes in there that log and syslog have been given. The content changes at the time `expires`
    /// though nothing happens.
    pub(super) fn replace(
        &mut self,
        content: Vec<u8>,
        written: u64,
        expires: Option<Monotonic>,
        now: Monotonic,
    ) -> Option<Vec<u8>> {
        self.outdated = false;
        self.expires = expires;
        (self.written, self.output_due) = (written, None);
        if content == self.content {
            return None;
        }
        self.not_before = now + STATUS_INTERVAL;
        self.content.clone_from(&content);
        Some(content)
    }

    /// Takes note of how it went to replace the file. Returns the result if it is news.
    pub(super) fn replaced(
        &mut self,
        result: io::Result<()>,
        now: Monotonic,
    ) -> Option<Result<(), String>> {
        if result.is_err() {
            self.outdated = true;
            self.content.clear();
            self.not_before = now + LOG_RETRY;
        }
        works_again(&mut self.works, result)
    }
}

#[derive(Serialize)]
struct Status<'a> {
    v: u32,
    version: &'a str,
    pid: u32,
    started: String,
    name: &'a str,
    argv: &'a [String],
    leaving: bool,
    mode: &'static str,
    restarts: u64,
    restarts_24h: u64,
    upgrades: u64,
    crashes: u64,
    last_server: Option<&'a Value>,
    child: Child,
    ends: &'a VecDeque<Value>,
    trouble: Vec<TroubleJson<'a>>,
    log: Option<LogJson>,
    syslog: Option<LogJson>,
    journal: Option<JournalJson>,
    skipped: u64,
    endpoints: &'a [EndpointJson],
    clients: Vec<ConnectedClient<'a>>,
}

#[derive(Serialize)]
struct TroubleJson<'a> {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
}

#[derive(Serialize)]
struct LogJson {
    written: u64,
    lost: u64,
}

#[derive(Serialize)]
struct Child {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
}

#[derive(Serialize)]
struct ConnectedClient<'a> {
    #[serde(flatten)]
    client: ClientJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

/// The content of the file, with a line end.
pub(super) fn text(
    console: &Console,
    server: &ServerInfo,
    clients: &BTreeMap<ClientId, ClientInfo>,
    history: &History,
    journal: Option<JournalJson>,
    now: Monotonic,
) -> Vec<u8> {
    with_line_end(serde_json::to_vec_pretty(&status(
        console, server, clients, history, journal, now,
    )))
}

/// The content of the file as a value, for programs.
pub(super) fn value(
    console: &Console,
    server: &ServerInfo,
    clients: &BTreeMap<ClientId, ClientInfo>,
    history: &History,
    journal: Option<JournalJson>,
    now: Monotonic,
) -> Value {
    serde_json::to_value(status(console, server, clients, history, journal, now))
        .unwrap_or_default()
}

/// Returns how many bytes log and syslog have been given.
pub(super) fn written(console: &Console) -> u64 {
    let written = |sink| console.sink_totals(sink).map_or(0, |(written, _)| written);
    written(Sink::Log).saturating_add(written(Sink::Syslog))
}

fn status<'a>(
    console: &'a Console,
    server: &'a ServerInfo,
    clients: &'a BTreeMap<ClientId, ClientInfo>,
    history: &'a History,
    journal: Option<JournalJson>,
    now: Monotonic,
) -> Status<'a> {
    let status = console.status();
    let running = console.child();
    let connected = console.clients().map(|id| ConnectedClient {
        client: client_json(clients, id),
        since: clients.get(&id).map(|client| time::rfc3339_seconds(client.since)),
    });
    let state = match status.child {
        ChildPhase::Running(_) => "running",
        ChildPhase::StartPending => "due",
        ChildPhase::Stopped => "by_hand",
        ChildPhase::ExitPending => "last",
    };
    let trouble = console.troubles().map(|(subsystem, trouble, lost)| {
        let Trouble { since, reason } = trouble;
        let since = (since.seconds != 0).then(|| time::rfc3339_seconds(since.seconds));
        TroubleJson { what: subsystem_name(subsystem), since, reason, lost }
    });
    let totals = |sink| console.sink_totals(sink).map(|(written, lost)| LogJson { written, lost });
    Status {
        v: VERSION,
        version: crate::VERSION,
        pid: server.pid,
        started: time::rfc3339_seconds(server.started),
        name: &server.name,
        argv: &server.argv,
        leaving: status.leaving,
        mode: mode_name(status.mode),
        restarts: console.restarts(),
        restarts_24h: console.recent_restarts(now).0,
        upgrades: history.upgrades(),
        crashes: history.crashes(),
        last_server: history.last_server(),
        child: Child {
            state,
            pid: running.map(|child| child.pid),
            started: running.map(|child| time::rfc3339_seconds(child.started.seconds)),
            ready: running.map(|_| console.child_is_ready()),
        },
        ends: history.ends(),
        trouble: trouble.collect(),
        log: totals(Sink::Log),
        syslog: totals(Sink::Syslog),
        journal,
        skipped: history.skipped(),
        endpoints: &server.endpoints,
        clients: connected.collect(),
    }
}
