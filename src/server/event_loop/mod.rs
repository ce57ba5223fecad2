//! The loop: the console is told what happened, and what it decides is done.

pub(crate) mod api;
pub(crate) mod child;
pub(crate) mod effects;
pub(crate) mod input;
pub(crate) mod listener;
pub(crate) mod output;
pub(crate) mod peer;
pub(crate) mod poll_stream;
pub(crate) mod records;
pub(crate) mod shutdown;
pub(crate) mod takeover;
pub(crate) mod upgrade;

use std::io;
use std::time::Duration;

use mio::Token;

use self::child::Child;
use self::listener::Listener;
use self::peer::Peer;
use super::Server;
use super::api::ApiSession;
use super::os::fdstore::FdStore;
use super::os::{Connection, System};
use super::records::Records;
use super::service_manager::ServiceReporter;
use crate::console::clock::Monotonic;
use crate::console::event::{ChildSlot, ClientId};
use crate::limits::IO_RETRY;

impl<S: System> Server<S> {
    /// Runs the server until the console decides to exit. Returns the exit status.
    ///
    /// # Errors
    /// The poll fails.
    pub(crate) fn run(&mut self) -> io::Result<u8> {
        loop {
            let timeout = self.timeout();
            if timeout != Some(Duration::ZERO) {
                self.console.release_idle_memory();
            }
            self.wait(timeout)?;
            self.turn();
            if let Some(code) = self.exit {
                return Ok(code);
            }
        }
    }

    /// Waits until something is ready, but not longer than `timeout`, and takes note of it.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Server { system, peers, child, old_child, listeners, handover, .. } = self;
        system.wait(timeout, &mut |token, ready| {
            let mut processes =
                [child.as_mut(), old_child.as_mut(), handover.program()].into_iter().flatten();
            // An event may come for a token whose owner is gone.
            if let Some(peer) = peers.get_mut(&client_id(token)) {
                peer.source.set_ready(ready);
            } else if let Some(process) = processes.find(|process| process.token() == token) {
                process.set_ready(ready);
            } else if let Some(listener) = listeners.iter_mut().find(|it| it.token() == token) {
                listener.set_ready();
            }
        })
    }

    pub(crate) fn turn(&mut self) {
        let now = self.system.now();
        if self.io_retry.take_if(|at| now.mono >= *at).is_some() {
            self.retry_refused();
        }
        self.take_signals(now);
        self.console.handle_timeout(now);
        // A child that is to be started now is there before clients are read: what waits in a pipe
        // is for it.
        self.apply_effects(now);
        let peers = &self.peers;
        let unread = |id| peers.get(&id).map_or(0, |peer: &Peer<_>| peer.source.stream().unread());
        self.console.update_backpressure(now.mono, unread);
        // What is read is noted as the output of the children that are saved.
        self.save(now);
        self.read_child(ChildSlot::Current, now);
        // The console may have put the old child back in its place.
        self.apply_effects(now);
        self.save(now);
        self.read_child(ChildSlot::Old, now);
        self.read_clients(now);
        self.serve_api(now);
        self.accept(now);
        self.apply_effects(now);
        // Who caused what is a part of what outlives a crash.
        self.record_audit_events();
        // What a client is told must not be undone by a crash.
        self.save(now);
        self.write_child();
        // A client sees its echo before the thread that writes the log is woken for it.
        self.write_clients();
        self.write_api(now);
        self.write_sinks(now);
        let departed = self.drop_departed(now);
        if departed {
            // Commands of a client that were held are obeyed when the client leaves.
            self.apply_effects(now);
        }
        self.notify_service_manager(now);
        self.write_records(now);
        self.save(now);
        if departed {
            self.write_sinks(now);
        }
        if let Some(store) = &mut self.store {
            store.flush(now.mono);
        }
        // A server that is leaving has no successor: that it leaves is no part of the state.
        if self.exit.is_none() {
            self.continue_upgrade(now);
        }
        if self.io_retry.is_none() && self.is_refused() {
            self.io_retry = Some(now.mono + IO_RETRY);
        }
    }

    /// Returns true if the system had no memory for a read or a write.
    pub(crate) fn is_refused(&mut self) -> bool {
        let Server { child, old_child, handover, peers, .. } = self;
        let processes = [child.as_ref(), old_child.as_ref(), handover.program().map(|it| &*it)];
        processes.into_iter().flatten().any(Child::is_refused)
            || peers.values().any(|peer| peer.source.is_refused())
    }

    /// Has the reads and writes made again for which the system had no memory.
    pub(crate) fn retry_refused(&mut self) {
        let Server { child, old_child, handover, peers, .. } = self;
        let processes = [child.as_mut(), old_child.as_mut(), handover.program()];
        processes.into_iter().flatten().for_each(Child::retry_refused);
        peers.values_mut().for_each(|peer| peer.source.retry_refused());
    }

    /// The time until the loop has something to do: zero if something is left to do now, `None` if
    /// only an event can change that.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let now = self.system.now().mono;
        if self.has_work(now) {
            return Some(Duration::ZERO);
        }
        let pauses = self.listeners.iter().filter_map(Listener::deadline);
        let sinks = [&self.log, &self.stdout, &self.syslog].into_iter().flatten();
        let retries = sinks.filter_map(|writer| writer.deadline(&self.console));
        let next = pauses
            .chain(retries)
            .chain(self.console.deadline())
            .chain(self.service.as_ref().and_then(ServiceReporter::deadline))
            .chain(self.records.as_ref().and_then(Records::deadline))
            .chain(self.child_waits_until(now))
            .chain(self.handover.deadline())
            .chain(self.store.as_ref().and_then(FdStore::deadline))
            .chain(self.io_retry)
            .min()?;
        Some(next.saturating_duration_since(now))
    }

    fn has_work(&self, now: Monotonic) -> bool {
        let input_waits = !self.console.child_input().0.is_empty();
        let reading = |child: &Option<Child<_>>, which| {
            child.as_ref().is_some_and(|child| {
                (child.is_readable() && self.may_read(which, now))
                    || child.has_notifications()
                    || child.ended().is_some()
            })
        };
        let children = || {
            reading(&self.child, ChildSlot::Current)
                || reading(&self.old_child, ChildSlot::Old)
                || (input_waits && self.child.as_ref().is_some_and(Child::is_writable))
        };
        let listeners = || self.listeners.iter().any(|listener| listener.has_work(now));
        let peers = || {
            self.peers.iter().any(|(&id, peer)| {
                (peer.source.is_readable() && self.accepts_input(id))
                    || (peer.source.is_writable() && peer.listens() && !self.console.is_drained(id))
            })
        };
        children() || listeners() || peers() || self.has_api_work()
    }

    /// Returns true if a client may be read.
    fn accepts_input(&self, id: ClientId) -> bool {
        self.api.get(&id).is_none_or(ApiSession::accepts_input) && self.console.accepts_input(id)
    }

    pub(crate) fn debug_line(&mut self, line: &str) {
        if let Some(stdout) = &mut self.stdout {
            stdout.write_line(line);
        }
    }
}

/// The tokens that descriptors are registered under, of which none is used twice.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The number of the next one.
    pub(crate) next: usize,
}

impl Tokens {
    /// A token that was not used before.
    pub(crate) fn take(&mut self) -> Token {
        let token = Token(self.next);
        self.next += 1;
        token
    }
}

/// The client whose connection is registered under `token`.
pub(crate) fn client_id(token: Token) -> ClientId {
    ClientId(token.0 as u64)
}
