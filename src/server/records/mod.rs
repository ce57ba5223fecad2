//! The records of `--events` and `--status-file`: what the event loop does about them. A thread of
//! their own writes them, one job at a time; what happens meanwhile waits here.

mod audit;
mod events;
mod feed;
pub(super) mod history;
mod journal;
mod json;
mod status;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::io;

use serde_json::Value;

use self::events::EventsFile;
use self::feed::Feed;
pub(super) use self::feed::Published;
use self::history::History;
pub(super) use self::history::LeftStatus;
use self::journal::Journal;
use self::json::ServerJson;
pub(super) use self::json::VERSION as FORMAT_VERSION;
pub(super) use self::json::{ClientInfo, EndpointJson, EventBody, mode_name, with_line_end};
use self::status::StatusFile;
pub(super) use self::writer::{RecordWriter, RecordsJob, RecordsReply};
use super::os::PeerIdentity;
use super::os::journal::SendEntry;
use super::writers::WorkerHandle;
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::console::event::{ClientId, Subsystem};
use crate::handover::state::{ClientState, RecordsState, Text};
use crate::limits::LOG_LINGER;
use crate::sys;

/// What the records say of the server, and what does not change while it runs.
#[derive(Debug, Default)]
pub(super) struct ServerInfo {
    pub(super) pid: u32,
    /// When the first program in this process was started, in seconds since the epoch.
    pub(super) started: i64,
    pub(super) name: String,
    pub(super) argv: Vec<String>,
    pub(super) endpoints: Vec<EndpointJson>,
    /// After an upgrade: the version of the program that was in this process before.
    pub(super) predecessor: String,
}

/// The event loop's side of the records.
pub(super) struct Records<H> {
    handle: H,
    server: ServerInfo,
    clients: BTreeMap<ClientId, ClientInfo>,
    history: History,
    /// The child that has closed its terminal and is being killed for that, or is ending anyway.
    closed_terminal: Option<i32>,
    /// With `--events` and a file.
    events: Option<EventsFile>,
    /// With `--events journal`.
    journal: Option<Journal>,
    /// With `--status-file`.
    status: Option<StatusFile>,
    /// With subscribers of `--api`.
    feed: Option<Feed>,
    writer: WriterState,
    /// How many bytes of events the writer's job has.
    in_flight: usize,
    /// During an upgrade, in which nothing is handed over.
    pause: Option<Pause>,
}

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// The writer may have the events file open.
    Begun,
    /// The writer was told to close its file: whatever closes it later would wait for a file system that
    /// hangs by then.
    Closing,
}

/// What the writer's thread does, as far as the event loop knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterState {
    /// It has no job.
    Idle,
    /// It has a job.
    Busy,
    /// It has the last job.
    Finishing,
    /// It has done the last job.
    Finished,
}

impl<H: WorkerHandle<RecordsJob, RecordsReply>> Records<H> {
    /// Has the thread at the other end of `handle` keep the events, the status file or both.
    pub(super) fn new(handle: H, server: ServerInfo, events: bool, status: bool) -> Records<H> {
        Records {
            handle,
            server,
            clients: BTreeMap::new(),
            history: History::default(),
            closed_terminal: None,
            events: events.then(EventsFile::default),
            journal: None,
            status: status.then(StatusFile::default),
            feed: None,
            writer: WriterState::Idle,
            in_flight: 0,
            pause: None,
        }
    }

    /// Has the journal get the events, too.
    pub(super) fn with_journal(mut self, sender: Box<dyn SendEntry>) -> Records<H> {
        self.journal = Some(Journal::new(sender, self.server.name.clone()));
        self
    }

    /// Goes on where another program stopped.
    pub(super) fn with_state(mut self, state: RecordsState) -> Records<H> {
        if let Some(events) = &mut self.events {
            (events.pending, events.lost) = (state.pending.0, state.lost);
        }
        if let Some(journal) = &mut self.journal {
            journal.restore(state.journal);
        }
        let known = state.clients.into_iter().map(|client| {
            let ClientState { id, role, endpoint, since } = client;
            (ClientId(id), ClientInfo { role, endpoint, peer: PeerIdentity::Unknown, since })
        });
        self.clients = known.collect();
        self.history = History::restore(state.history);
        self
    }

    /// Goes on after a server that came to no orderly end and left this status file.
    pub(super) fn succeed(&mut self, status_file: LeftStatus) {
        self.history.succeed(status_file);
    }

    /// What another program needs to go on. The events that nobody has written yet are part of it
    /// only if the other program is sure to write them: `is_final`.
    pub(super) fn state(&self, is_final: bool) -> RecordsState {
        let clients = self.clients.iter().map(|(&id, client)| client_state(id, client));
        let events = self.events.as_ref().filter(|_| is_final);
        RecordsState {
            pending: Text(events.map(|events| events.pending.clone()).unwrap_or_default()),
            lost: events.map_or(0, |events| events.lost),
            clients: clients.collect(),
            history: self.history.snapshot(),
            journal: self.journal.as_ref().map(Journal::state).unwrap_or_default(),
        }
    }

    /// What another program needs to know of this client.
    pub(super) fn client_state(&self, id: ClientId) -> Option<ClientState> {
        Some(client_state(id, self.clients.get(&id)?))
    }

    /// A number that changes whenever the past of children and servers, or the journal, may have changed.
    pub(super) fn revision(&self) -> u64 {
        self.history.revision() + self.journal_revision()
    }

    fn journal_revision(&self) -> u64 {
        self.journal.as_ref().map_or(0, Journal::revision)
    }

    /// How much was written that the status file tells of, but not at once.
    fn written(&self, console: &Console) -> u64 {
        status::written(console).saturating_add(self.journal_revision())
    }

    /// A client comes.
    pub(super) fn add_client(&mut self, id: ClientId, client: ClientInfo) {
        self.clients.insert(id, client);
    }

    /// Sets who is at the other end of a connection that another program accepted.
    pub(super) fn set_peer(&mut self, id: ClientId, peer: PeerIdentity) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.peer = peer;
        }
    }

    /// SIGHUP: the events file may have been renamed.
    pub(super) fn reopen(&mut self) {
        if let Some(events) = &mut self.events {
            events.reopen = true;
        }
    }

    /// Hands nothing over until [`resume`](Self::resume).
    pub(super) fn pause(&mut self) {
        self.pause = Some(Pause::Begun);
        self.close_file();
    }

    /// During a pause: has the writer close its file, once it has no job.
    fn close_file(&mut self) {
        if self.pause == Some(Pause::Begun) && self.writer == WriterState::Idle {
            self.pause = Some(Pause::Closing);
            self.writer = WriterState::Busy;
            self.handle.send(RecordsJob { reopen: true, ..RecordsJob::default() });
        }
    }

    /// Returns true during a pause if the writer has no job and no file open.
    pub(super) fn is_quiesced(&self) -> bool {
        self.pause == Some(Pause::Closing) && self.writer == WriterState::Idle
    }

    /// Ends the pause.
    pub(super) fn resume(&mut self) {
        self.pause = None;
    }

    /// Records that the server starts.
    pub(super) fn begin(&mut self, millis: i64) {
        if self.is_heard() {
            let line = json::line(&EventBody::ServerStart(ServerJson::new(&self.server)), millis);
            self.emit_line(line, millis);
        }
    }

    /// Records what the server did, or what was done to it.
    pub(super) fn record(&mut self, event: &EventBody, millis: i64) {
        if let EventBody::Signal { signal, sender } = event {
            self.history.record_signal(signal, *sender, millis);
        }
        self.emit(event, millis);
    }

    /// Returns true if somebody is to be told of events.
    fn is_heard(&self) -> bool {
        self.events.is_some() || self.journal.is_some() || self.feed.is_some()
    }

    /// Adds an event to the events file, to the journal and to what subscribers are told.
    fn emit(&mut self, event: &EventBody, millis: i64) {
        if self.is_heard() {
            self.emit_line(json::line(event, millis), millis);
        }
    }

    /// Does the same with an event as a line.
    fn emit_line(&mut self, line: Vec<u8>, millis: i64) {
        if let Some(feed) = &mut self.feed {
            feed.push(&line);
        }
        if let Some(journal) = &mut self.journal {
            journal.push(&line, millis);
        }
        if let Some(events) = &mut self.events {
            events.push(line);
        }
    }

    /// Sets whether somebody is to be told of status and events.
    pub(super) fn set_subscribed(&mut self, subscribed: bool) {
        if subscribed != self.feed.is_some() {
            self.feed = subscribed.then(Feed::default);
        }
    }

    /// What subscribers are to be told.
    pub(super) fn take_published(&mut self, console: &Console, now: Monotonic) -> Published {
        self.feed.as_mut().map(|feed| feed.take(console.revision(), now)).unwrap_or_default()
    }

    /// Returns true if subscribers may have to be told of something at this revision of the console.
    pub(super) fn has_published(&self, revision: u64) -> bool {
        self.feed.as_ref().is_some_and(|feed| feed.has_news(revision))
    }

    /// The status as a value.
    pub(super) fn status(&mut self, console: &Console, now: Monotonic) -> Value {
        let Records { server, clients, history, journal, .. } = self;
        let journal = journal.as_ref().map(Journal::totals);
        let status = status::value(console, server, clients, history, journal, now);
        if let Some(feed) = &mut self.feed {
            feed.status_taken(console.recent_restarts(now).1);
        }
        status
    }

    /// Takes the writer's reply, and hands over what is new. Returns which subsystem works again, or
    /// fails and why.
    pub(super) fn turn(
        &mut self,
        console: &Console,
        now: Monotonic,
        millis: i64,
    ) -> Vec<(Subsystem, Result<(), String>)> {
        let mut changes = Vec::new();
        while let Some(reply) = self.handle.receive() {
            changes.extend(self.take_back(reply, now, millis));
        }
        if let Some(change) = self.journal.as_mut().and_then(|journal| journal.turn(now, millis)) {
            changes.push((Subsystem::Journal, change));
        }
        let written = self.written(console);
        if let Some(status) = &mut self.status {
            status.compare(console.revision(), written, now);
        }
        self.close_file();
        if self.writer != WriterState::Idle || self.pause.is_some() {
            return changes;
        }
        let mut job = RecordsJob::default();
        let is_due = |deadline: Option<Monotonic>| deadline.is_some_and(|at| now >= at);
        if let Some(events) = &mut self.events
            && is_due(events.deadline())
        {
            (job.events, job.reopen) = events.take();
        }
        if is_due(self.status.as_ref().and_then(StatusFile::deadline)) {
            let Records { server, clients, history, journal, .. } = self;
            let journal = journal.as_ref().map(Journal::totals);
            let text = status::text(console, server, clients, history, journal, now);
            let (_, expires) = console.recent_restarts(now);
            job.status =
                self.status.as_mut().and_then(|file| file.replace(text, written, expires, now));
        }
        if !job.events.is_empty() || job.status.is_some() {
            self.writer = WriterState::Busy;
            self.in_flight = job.events.len();
            self.handle.send(job);
        }
        changes
    }

    /// When [`turn`](Self::turn) has something to do though nothing has happened.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let feed = self.feed.as_ref().and_then(Feed::deadline);
        let journal = self.journal.as_ref().and_then(Journal::deadline);
        let told = feed.into_iter().chain(journal);
        // The writer's reply wakes the event loop by itself.
        if self.writer != WriterState::Idle || self.pause.is_some() {
            return told.min();
        }
        let events = self.events.as_ref().and_then(EventsFile::deadline);
        let status = self.status.as_ref().and_then(StatusFile::deadline);
        told.chain(events).chain(status).min()
    }

    /// At the end: hands the last job over, if the writer has no other now. What fails is not tried
    /// again.
    pub(super) fn hand_over_last(&mut self) {
        if self.writer == WriterState::Idle {
            self.writer = WriterState::Finishing;
            let (events, reopen) = self.events.as_mut().map(EventsFile::take).unwrap_or_default();
            let remove = self.status.is_some();
            self.in_flight = events.len();
            self.handle.send(RecordsJob { reopen, events, status: None, remove });
        }
    }

    /// Waits until the last job is done, though not for ever. `now` and `millis` tell the time. Returns
    /// what there is to say of events that are not in the file or not in the journal.
    pub(super) fn finish(
        mut self,
        now: impl Fn() -> Monotonic,
        millis: impl Fn() -> i64,
    ) -> Vec<String> {
        let deadline = now() + LOG_LINGER;
        let left = || deadline.saturating_duration_since(now());
        while self.writer != WriterState::Finished {
            self.hand_over_last();
            let Some(reply) = self.handle.wait(left()) else {
                break;
            };
            self.take_back(reply, now(), millis());
        }
        self.handle.close(left());
        let pending = self.events.map_or(0, |events| events.pending.len());
        let unwritten = pending + self.in_flight;
        let file = (unwritten > 0)
            .then(|| format!("{unwritten} bytes were not written to the events file"));
        let journal = self.journal.and_then(|mut journal| journal.finish(millis()));
        file.into_iter().chain(journal).collect()
    }

    /// Takes a reply. Returns which subsystem works again, or fails and why.
    fn take_back(
        &mut self,
        reply: RecordsReply,
        now: Monotonic,
        millis: i64,
    ) -> Vec<(Subsystem, Result<(), String>)> {
        self.writer = match self.writer {
            WriterState::Finishing => WriterState::Finished,
            _ => WriterState::Idle,
        };
        self.in_flight = 0;
        let mut changes = Vec::new();
        if let (Some(file), Some((rest, result))) = (&mut self.events, reply.events) {
            let change = file.appended(rest, result, now, millis);
            changes.extend(change.map(|change| (Subsystem::Events, change)));
        }
        if let Some(result) = reply.rotation {
            let result = result.map_err(|error| sys::reason(&error));
            changes.push((Subsystem::EventsRotation, result));
        }
        if let (Some(file), Some(result)) = (&mut self.status, reply.status) {
            let change = file.replaced(result, now);
            changes.extend(change.map(|change| (Subsystem::Status, change)));
        }
        changes
    }
}

fn client_state(id: ClientId, client: &ClientInfo) -> ClientState {
    let ClientInfo { role, ref endpoint, since, .. } = *client;
    ClientState { id: id.0, role, endpoint: endpoint.clone(), since }
}

/// Takes note of whether a file can be written. Returns the result if that has changed.
fn works_again(works: &mut Option<bool>, result: io::Result<()>) -> Option<Result<(), String>> {
    let has_changed = works.replace(result.is_ok()) != Some(result.is_ok());
    has_changed.then(|| result.map_err(|error| sys::reason(&error)))
}
