//! The half of a turn that gives output: input to the child, the console stream to its readers,
//! news to the service manager, the state to the store.

use crate::console::Console;
use crate::console::changes::Change;
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, Event, Sink, Subsystem};
use crate::handover::state::State;
use crate::limits::WRITES_PER_TURN;
use crate::server::Server;
use crate::server::os::fdstore::{self, FdStore};
use crate::server::os::{Notify, System};
use crate::server::records::Records;
use crate::server::writers::sink::{SinkEvent, SinkWriter};
use crate::sys;

impl<S: System> Server<S> {
    pub(crate) fn write_child(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        for _ in 0..WRITES_PER_TURN {
            let input = self.console.child_input();
            if input.0.is_empty() || !child.is_writable() {
                return;
            }
            let mut live = self.store.as_mut().and_then(FdStore::live);
            if let Some(live) = &mut live {
                // What programs have sent is known from here on.
                let mut changes = self.console.changes(&mut live.recorded);
                changes.push(Change::Writing(input.0.len() + input.1.len()));
                live.journal.append(&changes);
            }
            let count = child.write(input);
            self.console.child_input_written(count);
            if let Some(live) = live {
                live.recorded = self.console.recorded_input(live.recorded);
                live.journal.append(&[Change::Consumed(count)]);
            }
        }
    }

    pub(crate) fn write_sinks(&mut self, now: Timestamps) {
        if let Some(stdout) = &mut self.stdout {
            // A failure of standard output is not reported.
            stdout.turn(&mut self.console, now.mono);
        }
        if let Some(syslog) = &mut self.syslog {
            let events = syslog.prepare(&mut self.console, now.mono);
            let place = syslog.has_moved().then(|| syslog.place(&self.console)).flatten();
            let place = place.map(|place| Change::Syslog(place.reader));
            note(&mut self.store, &mut self.console, place);
            syslog.hand_over_prepared();
            self.take_sink_events(Subsystem::Syslog, events, now);
        }
        // The log comes last, so that it gets what is said about syslog in the same turn, and what is
        // said about itself.
        while let Some(log) = &mut self.log {
            let events = log.prepare(&mut self.console, now.mono);
            let place = log.has_moved().then(|| log.place(&self.console)).flatten();
            // Before the thread can write it.
            note(&mut self.store, &mut self.console, place.map(Change::Log));
            log.hand_over_prepared();
            if events.is_empty() {
                return;
            }
            self.take_sink_events(Subsystem::Log, events, now);
        }
    }

    /// Tells the console what happened to the sink of `subsystem`.
    fn take_sink_events(&mut self, subsystem: Subsystem, events: Vec<SinkEvent>, now: Timestamps) {
        let mut reopen_failed = false;
        for event in events {
            match event {
                SinkEvent::Failed(reason) => self.report(subsystem, &Err(reason), now),
                SinkEvent::Recovered => self.report(subsystem, &Ok(()), now),
                SinkEvent::Unsynced(count) => self.console.log_unsynced(count, now),
                SinkEvent::State(subsystem, result) => self.report(subsystem, &result, now),
                SinkEvent::Opened => self.console.handle(Event::LogOpened, now),
                SinkEvent::ReopenFailed(reason) => {
                    // The next SIGHUP starts the thread anew.
                    self.log.take_if(|log| log.is_opening());
                    self.console.handle(Event::LogOpenFailed(&reason), now);
                    reopen_failed = true;
                }
            }
        }
        if reopen_failed {
            self.report_log_failure();
        }
    }

    /// Tells the console that a subsystem works, or why it does not.
    pub(crate) fn report(&mut self, duty: Subsystem, result: &Result<(), String>, now: Timestamps) {
        let event = match result {
            Ok(()) => Event::Recovered(duty),
            Err(reason) => Event::Failed(duty, reason),
        };
        self.console.handle(event, now);
    }

    pub(crate) fn write_clients(&mut self) {
        for (&id, peer) in &mut self.peers {
            if !peer.listens() {
                continue;
            }
            for _ in 0..WRITES_PER_TURN {
                if !peer.source.is_writable() {
                    break;
                }
                let is_noted = self.store.as_mut().and_then(FdStore::live).is_some();
                let cursor = if is_noted { self.console.cursor(id) } else { None };
                let slices = self.console.output(id);
                if slices.0.is_empty() {
                    break;
                }
                match peer.write(slices) {
                    Some(count) => {
                        self.console.written(id, count);
                        note_place(&mut self.store, &self.console, id);
                    }
                    None => {
                        // What was encoded is not kept in the stream.
                        if is_noted && self.console.cursor(id) != cursor {
                            note_place(&mut self.store, &self.console, id);
                        }
                        break;
                    }
                }
            }
        }
    }

    /// Under `--notify`, tells the service manager what it does not know yet.
    pub(crate) fn notify_service_manager(&mut self, now: Timestamps) {
        let Server { service: Some(reporter), notifier: Some(notifier), console, log, .. } = self
        else {
            return;
        };
        let reopens = log.as_ref().is_some_and(SinkWriter::is_reopening);
        let reloads = reopens || (console.reports_reload() && console.is_reloading());
        let (status, name) = (console.status(), console.child_name());
        let send = |message: &[u8]| notifier.send(message, &[]);
        let trouble = reporter.turn(status, name, reloads, now.mono, send);
        if let Some(reason) = trouble {
            self.debug_line(&format!("service manager not told: {reason}"));
        }
    }

    /// Closes the connections of clients that are leaving. While the loop runs, this is the only
    /// place where connections are closed. Returns true if there was one.
    pub(crate) fn drop_departed(&mut self, now: Timestamps) -> bool {
        let Server { peers, console, store, api, .. } = self;
        let before = peers.len();
        peers.retain(|&id, peer| {
            let Some(reason) = peer.leaving else {
                return true;
            };
            console.handle(Event::Left { id, reason }, now);
            if api.remove(&id).is_none()
                && let Some(store) = store
            {
                store.remove(&fdstore::client(id));
            }
            false
        });
        peers.len() < before
    }

    /// Under `--fdstore`, saves the state that a server would go on with after a crash.
    pub(crate) fn save(&mut self, now: Timestamps) {
        let records = self.records.as_ref().map_or(0, Records::revision);
        let revision = self.console.revision() + records;
        if !self.store.as_ref().is_some_and(|store| store.is_save_due(revision, now.mono)) {
            note(&mut self.store, &mut self.console, None);
            return;
        }
        let reads = self.store.as_ref().and_then(FdStore::reads);
        let place = |writer: &Option<SinkWriter<_>>| writer.as_ref()?.place(&self.console);
        let snapshot = match reads {
            Some(reads) => self.console.snapshot_for_changes(
                reads,
                place(&self.log),
                place(&self.syslog).map(|place| place.reader),
            ),
            None => self.console.crash_snapshot(),
        };
        let state = self.state(snapshot);
        // Programs connect again after a crash.
        let state = state.map(|state| State { api: Vec::new(), ..state });
        let Some(store) = &mut self.store else {
            return;
        };
        let recorded = self.console.recorded();
        let result = state.and_then(|state| store.save(&state, recorded));
        if store.saved(&result, revision, now.mono)
            && let Err(error) = result
        {
            let reason = sys::reason(&error);
            self.system.log_stderr(format!("a crash would not be survived: {reason}").as_bytes());
        }
    }
}

/// Under `--fdstore`, notes what has changed in the stream and the typed input, and another change.
fn note<N: Notify>(store: &mut Option<FdStore<N>>, console: &mut Console, change: Option<Change>) {
    if let Some(live) = store.as_mut().and_then(FdStore::live) {
        match &change {
            Some(Change::Log(place)) => console.keep_for(Sink::Log, place.reader.cursor()),
            Some(Change::Syslog(reader)) => console.keep_for(Sink::Syslog, reader.cursor()),
            _ => {}
        }
        let mut changes = console.changes(&mut live.recorded);
        changes.extend(change);
        live.journal.append(&changes);
    }
}

/// Under `--fdstore`, notes how far a client was sent the stream.
fn note_place<N: Notify>(store: &mut Option<FdStore<N>>, console: &Console, id: ClientId) {
    if let Some(live) = store.as_mut().and_then(FdStore::live) {
        live.journal.append(console.place(id).as_slice());
    }
}
