//! The records of `--events` and `--status-file`: what the loop does about them. A thread of their
//! own writes, one job at a time; what comes meanwhile waits here.

mod json;
mod status;
#[cfg(test)]
mod tests;
mod who;
mod writer;

use std::collections::BTreeMap;
use std::io;

pub(super) use self::json::{EventBody, SignalSender};
use self::json::{command_name, disconnect_reason_name, line, subsystem_name};
use self::status::ConnectedClient;
pub(super) use self::who::{ClientInfo, EndpointJson, PeerIdentity};
use self::who::{ClientJson, client_line};
pub(super) use self::writer::RecordWriter;
use super::os::WorkerHandle;
use super::writers::sink::{LogJob, LogReply};
use crate::console::Console;
use crate::console::audit::AuditEvent;
use crate::console::clock::Monotonic;
use crate::console::event::{ClientId, Subsystem};
use crate::handover::state::{ClientState, RecordsState, Text};
use crate::limits::{EVENTS_MAX, LOG_LINGER, LOG_RETRY, STATUS_INTERVAL};
use crate::sys::{self, time};

/// Of both formats. A field that is added is no new version.
const VERSION: u32 = 1;

/// A job for the thread.
#[derive(Debug, Default)]
pub(super) struct RecordsJob {
    /// Whether the events file is to be opened anew.
    pub(super) reopen: bool,
    /// Lines to append.
    pub(super) events: Vec<u8>,
    /// What the status file is to hold.
    pub(super) status: Option<Vec<u8>>,
    /// Whether the status file is to be removed.
    pub(super) remove: bool,
}

/// What came of it; `None`: there was nothing to do.
#[derive(Debug)]
pub(super) struct RecordsReply {
    /// The lines that are still to be appended.
    pub(super) rest: Vec<u8>,
    pub(super) events: Option<io::Result<()>>,
    pub(super) status: Option<io::Result<()>>,
}

/// What does not change while the server runs.
#[derive(Debug, Default)]
pub(super) struct ServerInfo {
    pub(super) pid: u32,
    /// Seconds since the epoch.
    pub(super) started: i64,
    pub(super) name: String,
    pub(super) argv: Vec<String>,
    pub(super) endpoints: Vec<EndpointJson>,
    /// The version of the program that was this process before.
    pub(super) predecessor: String,
}

/// The loop's side.
pub(super) struct Records<L> {
    link: L,
    fixed: ServerInfo,
    /// Which of the two are kept.
    events: bool,
    status: bool,
    clients: BTreeMap<ClientId, ClientInfo>,
    /// Lines that the thread has not got yet, and how many found no room behind them.
    pending: Vec<u8>,
    lost: u64,
    /// Lines are not tried again before.
    events_at: Monotonic,
    /// The events file is to be opened anew.
    reopen: bool,
    /// The console's revision that the status file was last compared with.
    revision: Option<u64>,
    /// It may have changed since it was last written, or could not be.
    outdated: bool,
    /// It is not written before.
    status_at: Monotonic,
    /// What it was last given.
    shown: Vec<u8>,
    /// What was last heard of each: that it works, or not.
    events_work: Option<bool>,
    status_works: Option<bool>,
    /// The thread has a job.
    busy: bool,
    /// An upgrade is under way: nothing is handed over.
    paused: bool,
    /// The thread has the last job.
    ended: bool,
}

impl<L: WorkerHandle> Records<L> {
    /// Has the thread at the other end of `link` keep the events, the status file or both.
    pub(super) fn new(link: L, fixed: ServerInfo, events: bool, status: bool) -> Records<L> {
        Records {
            link,
            fixed,
            events,
            status,
            clients: BTreeMap::new(),
            pending: Vec::new(),
            lost: 0,
            events_at: Monotonic(0),
            reopen: false,
            revision: None,
            outdated: false,
            status_at: Monotonic(0),
            shown: Vec::new(),
            events_work: None,
            status_works: None,
            busy: false,
            paused: false,
            ended: false,
        }
    }

    /// Goes on where another program stopped.
    pub(super) fn with_state(mut self, state: RecordsState) -> Records<L> {
        self.pending = state.pending.0;
        self.lost = state.lost;
        let known = state.clients.into_iter().map(|client| {
            let ClientState { id, role, endpoint, since } = client;
            (ClientId(id), ClientInfo { role, endpoint, caller: PeerIdentity::Unknown, since })
        });
        self.clients = known.collect();
        self
    }

    /// What another program needs to go on. With what nobody has written yet, if that one is sure
    /// to write it.
    pub(super) fn state(&self, for_good: bool) -> RecordsState {
        let clients = self.clients.iter().map(|(id, who)| ClientState {
            id: id.0,
            role: who.role,
            endpoint: who.endpoint.clone(),
            since: who.since,
        });
        RecordsState {
            pending: Text(if for_good { self.pending.clone() } else { Vec::new() }),
            lost: if for_good { self.lost } else { 0 },
            clients: clients.collect(),
        }
    }

    /// A client comes.
    pub(super) fn add_client(&mut self, id: ClientId, who: ClientInfo) {
        self.clients.insert(id, who);
    }

    /// Who is at the other end of a client's connection that another program accepted.
    pub(super) fn set_peer(&mut self, id: ClientId, caller: PeerIdentity) {
        if let Some(who) = self.clients.get_mut(&id) {
            who.caller = caller;
        }
    }

    /// SIGHUP: the events file may have been renamed.
    pub(super) fn reopen(&mut self) {
        self.reopen = true;
    }

    /// Nothing more is handed over until [`go_on`](Self::go_on).
    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    /// Whether the thread has nothing to do.
    pub(super) fn is_at_rest(&self) -> bool {
        self.paused && !self.busy
    }

    /// Ends the pause.
    pub(super) fn go_on(&mut self) {
        self.paused = false;
    }

    /// Notes what the console did.
    pub(super) fn record_audit_event(&mut self, entry: AuditEvent, millis: i64) {
        let client = |id: ClientId| client_line(&self.clients, id);
        let what = match &entry {
            &AuditEvent::Joined(id) => EventBody::Connect { client: client(id) },
            &AuditEvent::Left(id, farewell) => EventBody::Disconnect {
                client: client(id),
                reason: disconnect_reason_name(farewell),
            },
            &AuditEvent::Command(id, command) => {
                EventBody::Command { command: command_name(command), client: client(id) }
            }
            &AuditEvent::Skipped(id, bytes) => EventBody::Skipped { client: client(id), bytes },
            &AuditEvent::Started(pid) => EventBody::ChildStart { pid },
            AuditEvent::SpawnFailed(reason) => EventBody::ChildStartFailed { reason },
            &AuditEvent::Ready(pid) => EventBody::ChildReady { pid },
            &AuditEvent::Ended(pid, status) => EventBody::ChildExit { pid, end: status.into() },
            AuditEvent::Failed(duty, reason) => {
                EventBody::Trouble { with: subsystem_name(*duty), reason }
            }
            AuditEvent::Recovered(duty) => EventBody::Recovery { with: subsystem_name(*duty) },
            AuditEvent::AcceptFailed(endpoint, reason) => {
                EventBody::AcceptFailed { endpoint, reason }
            }
            AuditEvent::Restarted => {
                let ServerInfo { pid, name, argv, endpoints, .. } = &self.fixed;
                EventBody::ServerRestart {
                    version: crate::VERSION,
                    pid: *pid,
                    name,
                    argv,
                    endpoints,
                }
            }
            AuditEvent::Upgraded => {
                EventBody::ServerUpgrade { from: &self.fixed.predecessor, to: crate::VERSION }
            }
            AuditEvent::UpgradeFailed(reason) => EventBody::UpgradeFailed { reason },
        };
        let line = line(&what, millis);
        self.push(&line);
        if let AuditEvent::Left(id, _) = entry {
            self.clients.remove(&id);
        }
    }

    /// Notes that the server starts.
    pub(super) fn begin(&mut self, millis: i64) {
        let ServerInfo { pid, name, argv, endpoints, .. } = &self.fixed;
        let what =
            EventBody::ServerStart { version: crate::VERSION, pid: *pid, name, argv, endpoints };
        let line = line(&what, millis);
        self.push(&line);
    }

    /// Notes something else.
    pub(super) fn record(&mut self, what: &EventBody, millis: i64) {
        let line = line(what, millis);
        self.push(&line);
    }

    fn push(&mut self, line: &[u8]) {
        if !self.events {
        } else if self.lost > 0
            // A single one has room whatever its length, or it would never be told of.
            || (!self.pending.is_empty() && self.pending.len() + line.len() > EVENTS_MAX)
        {
            self.lost += 1;
        } else {
            self.pending.extend_from_slice(line);
        }
    }

    /// Takes back what is done, hands over what is new. What works or doesn't, and why.
    pub(super) fn turn(
        &mut self,
        console: &Console,
        now: Monotonic,
        millis: i64,
    ) -> Vec<(Subsystem, Result<(), String>)> {
        let mut news = Vec::new();
        while let Some(done) = self.link.receive() {
            self.take_back(done, now, millis, &mut news);
        }
        if self.status && self.revision != Some(console.revision()) {
            self.revision = Some(console.revision());
            self.outdated = true;
        }
        if self.busy || self.paused {
            return news;
        }
        let mut batch = RecordsJob::default();
        if !self.pending.is_empty() && now >= self.events_at {
            batch.events = std::mem::take(&mut self.pending);
            batch.reopen = std::mem::take(&mut self.reopen);
        }
        if self.outdated && now >= self.status_at {
            self.outdated = false;
            let status = self.status_text(console);
            if status != self.shown {
                self.status_at = now + STATUS_INTERVAL;
                self.shown.clone_from(&status);
                batch.status = Some(status);
            }
        }
        if !batch.events.is_empty() || batch.status.is_some() {
            self.hand_over(batch);
        }
        news
    }

    /// When [`turn`](Self::turn) has something to do though nothing has happened.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        // What it does comes back by itself.
        if self.busy || self.paused {
            return None;
        }
        let events = (!self.pending.is_empty()).then_some(self.events_at);
        let outdated = self.status && (self.outdated || self.revision.is_none());
        events.into_iter().chain(outdated.then_some(self.status_at)).min()
    }

    /// At the end: hands over what is left, if that is possible now. It is not tried again.
    pub(super) fn hand_over_last(&mut self) {
        if !self.busy && !self.ended {
            self.ended = true;
            let events = std::mem::take(&mut self.pending);
            let (reopen, remove) = (self.reopen, self.status);
            self.hand_over(RecordsJob { reopen, events, status: None, remove });
        }
    }

    /// Waits until it is written, though not for ever. `now` and `millis` tell the time.
    pub(super) fn finish(mut self, now: impl Fn() -> Monotonic, millis: impl Fn() -> i64) {
        let deadline = now() + LOG_LINGER;
        loop {
            self.hand_over_last();
            if !self.busy {
                break;
            }
            match self.link.wait(deadline.saturating_duration_since(now())) {
                Some(done) => self.take_back(done, now(), millis(), &mut Vec::new()),
                None => break,
            }
        }
        self.link.close(deadline.saturating_duration_since(now()));
    }

    fn hand_over(&mut self, batch: RecordsJob) {
        // There is always room for it, so only a thread that is gone refuses.
        self.busy = self.link.send(LogJob::Record(batch)).is_ok();
    }

    fn take_back(
        &mut self,
        done: LogReply,
        now: Monotonic,
        millis: i64,
        news: &mut Vec<(Subsystem, Result<(), String>)>,
    ) {
        let LogReply::Recorded(RecordsReply { mut rest, events, status }) = done else {
            return;
        };
        self.busy = false;
        rest.append(&mut self.pending);
        self.pending = rest;
        match events {
            Some(Ok(())) => {
                if let count @ 1.. = std::mem::take(&mut self.lost) {
                    // Behind what waits, which may be as much as can.
                    self.pending.extend(line(&EventBody::EventsLost { count }, millis));
                }
            }
            Some(Err(_)) => self.events_at = now + LOG_RETRY,
            None => {}
        }
        if let Some(Err(_)) = status {
            self.outdated = true;
            self.shown.clear();
            self.status_at = now + LOG_RETRY;
        }
        let both = [
            (Subsystem::Events, events, &mut self.events_work),
            (Subsystem::Status, status, &mut self.status_works),
        ];
        for (duty, result, works) in both {
            let Some(result) = result else {
                continue;
            };
            if works.replace(result.is_ok()) != Some(result.is_ok()) {
                news.push((duty, result.map_err(|error| sys::reason(&error))));
            }
        }
    }

    fn status_text(&self, console: &Console) -> Vec<u8> {
        let clients = console.clients().map(|id| ConnectedClient {
            client: client_line(&self.clients, id),
            since: self.clients.get(&id).map(|who| time::rfc3339_seconds(who.since)),
        });
        status::text(console, &self.fixed, clients.collect())
    }
}
