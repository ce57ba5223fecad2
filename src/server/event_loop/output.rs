//! The half of a turn that gives things away: input to the child, the console stream to whoever
//! takes it, and at the end everything to everybody.

use std::io;

use super::child::Child;
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, DisconnectReason, Event, Subsystem};
use crate::limits::{CLIENT_LINGER, LOG_RETRY, WRITES_PER_TURN};
use crate::server::Server;
use crate::server::os::{Inheritable, System};
use crate::server::records::EventBody;
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
            let count = child.write(input);
            self.console.child_input_written(count);
        }
    }

    pub(crate) fn write_sinks(&mut self, now: Timestamps) {
        if let Some(stdout) = &mut self.stdout {
            stdout.turn(&mut self.console, now.mono);
        }
        if let Some(syslog) = &mut self.syslog {
            for news in syslog.turn(&mut self.console, now.mono) {
                if let SinkEvent::SyslogState(result) = news {
                    self.report(Subsystem::Syslog, &result, now);
                }
            }
        }
        let Some(log) = &mut self.log else {
            return;
        };
        let mut told = false;
        for news in log.turn(&mut self.console, now.mono) {
            match news {
                SinkEvent::Failed(reason) => {
                    self.console.handle(Event::Failed(Subsystem::Log, &reason), now);
                }
                SinkEvent::Recovered => self.console.handle(Event::LogOpened, now),
                SinkEvent::Rotated(result) => self.report(Subsystem::Rotation, &result, now),
                // Another thread's.
                SinkEvent::SyslogState(_) => {}
                SinkEvent::ReopenFailed(reason) => {
                    self.console.handle(Event::LogOpenFailed(&reason), now);
                    told = true;
                }
            }
        }
        if told {
            self.system.log_open_failed();
        }
    }

    /// Whether a duty is done, and if not, why.
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
                let slices = self.console.output(id);
                if slices.0.is_empty() {
                    break;
                }
                match peer.write(slices) {
                    Some(count) => self.console.written(id, count),
                    None => break,
                }
            }
        }
    }

    /// Under `--notify`, what the service manager does not know yet.
    pub(crate) fn notify_service_manager(&mut self, now: Timestamps) {
        let Server { service: Some(manager), system, console, log, .. } = self else {
            return;
        };
        let reopens = log.as_ref().is_some_and(SinkWriter::is_reopening);
        let reloads = reopens || (console.reports_reload() && console.is_reloading());
        let (status, name) = (console.status(), console.child_name());
        let trouble =
            manager.turn(status, name, reloads, now.mono, |message| system.notify(message));
        if let Some(reason) = trouble {
            self.debug_line(&format!("service manager not told: {reason}"));
        }
    }

    /// Sources end here and nowhere else.
    pub(crate) fn drop_departed(&mut self, now: Timestamps) {
        let Server { peers, console, system, .. } = self;
        peers.retain(|&id, peer| {
            let Some(farewell) = peer.leaving else {
                return true;
            };
            console.handle(Event::Left { id, farewell }, now);
            system.forget(id);
            false
        });
    }

    /// Under `--fdstore`, writes down what a server would have to know that comes after a crash.
    pub(crate) fn save(&mut self, now: Timestamps) {
        let revision = Some(self.console.revision());
        let early = self.save_retry.is_some_and(|at| now.mono < at);
        if self.system.store().is_none() || self.saved_revision == revision || early {
            return;
        }
        let state = self.state(self.console.crash_snapshot());
        match state.and_then(|state| self.system.save(&state)) {
            Ok(()) => (self.saved_revision, self.save_retry) = (revision, None),
            Err(error) => {
                if self.save_retry.replace(now.mono + LOG_RETRY).is_none() {
                    let reason = sys::reason(&error);
                    self.system.log_stderr(&format!("a crash would not be survived: {reason}"));
                }
            }
        }
    }

    /// The end: everybody gets what is pending, then every descriptor and file that is ours goes,
    /// `files` among them, and last the log gets its time.
    pub(crate) fn finish<F>(&mut self, files: F) -> io::Result<()> {
        self.cancel_upgrade();
        let connections: Vec<ClientId> = self.peers.keys().copied().collect();
        let children = [&self.child, &self.old_child].into_iter().flatten().map(Child::pid);
        let children: Vec<i32> = children.collect();
        let listeners = self.listeners.iter();
        let listeners: Vec<_> =
            listeners.filter_map(|listener| listener.socket().descriptor().ok()).collect();
        self.system.empty_store(&connections, &listeners, &children);
        for child in [self.child.take(), self.old_child.take()] {
            self.reap_child(child);
        }
        let now = self.system.now();
        let deadline = now.mono + CLIENT_LINGER;
        loop {
            self.write_clients();
            let Server { peers, console, .. } = self;
            peers.retain(|&id, peer| {
                let stays = peer.leaving.is_none() && peer.listens() && !console.is_drained(id);
                if !stays {
                    let farewell = peer.leaving.unwrap_or(DisconnectReason::Exit);
                    console.handle(Event::Left { id, farewell }, now);
                }
                stays
            });
            let left = deadline.saturating_duration_since(self.system.now().mono);
            if self.peers.is_empty() || left.is_zero() {
                break;
            }
            self.wait(Some(left))?;
        }
        for id in std::mem::take(&mut self.peers).into_keys() {
            self.console.handle(Event::Left { id, farewell: DisconnectReason::Exit }, now);
        }
        self.listeners.clear();
        drop(files);
        self.record(&EventBody::ServerExit { status: self.exit.unwrap_or_default() });
        if let Some(records) = &mut self.records {
            records.hand_over_last();
        }
        let Server { system, console, log, stdout, syslog, records, .. } = self;
        for writer in [log.take(), stdout.take(), syslog.take()].into_iter().flatten() {
            writer.finish(console, || system.now().mono);
        }
        if let Some(records) = records.take() {
            records.finish(|| system.now().mono, || system.millis());
        }
        Ok(())
    }
}
