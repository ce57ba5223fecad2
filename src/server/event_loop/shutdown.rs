//! The end of the server: clients and writers get what is pending, and what is the server's goes.

use std::io;

use crate::console::clock::Timestamps;
use crate::console::event::{DisconnectReason, Event};
use crate::handover::state::Descriptor;
use crate::limits::{CLIENT_LINGER, FDSTORE_LINGER, FDSTORE_RETRY, IO_RETRY};
use crate::server::Server;
use crate::server::event_loop::child::Child;
use crate::server::os::System;
use crate::server::os::fdstore;
use crate::server::records::EventBody;

impl<S: System> Server<S> {
    /// Ends the server: nothing that it made is left, neither processes nor files.
    ///
    /// # Errors
    /// The poll fails.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let now = self.system.now();
        self.cancel_upgrade();
        self.empty_store(now);
        for child in [self.child.take(), self.old_child.take()] {
            self.reap_child(child);
        }
        self.drain_clients()?;
        self.listeners.clear();
        for line in self.system.remove_files() {
            self.system.log_stderr(line.as_bytes());
        }
        self.finish_writers();
        Ok(())
    }

    /// Has the service manager close all that it keeps for this server.
    fn empty_store(&mut self, now: Timestamps) {
        let Some(store) = &mut self.store else {
            return;
        };
        // The state goes first: without it, the next server only closes the rest.
        store.clear();
        let clients = self.peers.keys().filter(|id| !self.api.contains_key(id));
        clients.for_each(|&id| store.remove(&fdstore::client(id)));
        for listener in &self.listeners {
            if let Ok(socket) = Descriptor::of(listener.socket()) {
                store.remove(&fdstore::listener(socket));
            }
        }
        (0..self.child_sockets.len()).for_each(|index| store.remove(&fdstore::child_socket(index)));
        let children = [&self.child, &self.old_child].into_iter().flatten();
        children.map(Child::process).for_each(|child| store.remove_child(child));
        store.flush(now.mono);
    }

    /// Writes to the clients what they are still to get, for up to [`CLIENT_LINGER`], and closes
    /// their connections. Tells the service manager what it is still to close, for up to
    /// [`FDSTORE_LINGER`].
    fn drain_clients(&mut self) -> io::Result<()> {
        let now = self.system.now();
        let (deadline, store_deadline) = (now.mono + CLIENT_LINGER, now.mono + FDSTORE_LINGER);
        loop {
            self.write_clients();
            self.write_api(now);
            let Server { peers, console, api, .. } = self;
            peers.retain(|&id, peer| {
                let is_sent = match api.get(&id) {
                    Some(session) => session.output().is_empty(),
                    None => !peer.listens() || console.is_drained(id),
                };
                let stays = peer.leaving.is_none() && !is_sent;
                if !stays {
                    let reason = peer.leaving.unwrap_or(DisconnectReason::Exit);
                    console.handle(Event::Left { id, reason }, now);
                }
                stays
            });
            let mono = self.system.now().mono;
            if deadline <= mono {
                self.drop_clients(now);
            }
            let mut waits = None;
            if let Some(store) = &mut self.store {
                store.flush(mono);
                waits = (!store.is_flushed() && mono < store_deadline).then_some(FDSTORE_RETRY);
            }
            if self.peers.is_empty() && waits.is_none() {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(mono);
            let limit = if self.peers.is_empty() { FDSTORE_RETRY } else { left };
            let mut limit = waits.map_or(limit, |wait| limit.min(wait));
            if self.is_refused() {
                limit = limit.min(IO_RETRY);
            }
            self.wait(Some(limit))?;
            self.retry_refused();
        }
    }

    /// Closes the connections of the clients that have not got all.
    fn drop_clients(&mut self, now: Timestamps) {
        for id in std::mem::take(&mut self.peers).into_keys() {
            self.console.handle(Event::Left { id, reason: DisconnectReason::Exit }, now);
        }
    }

    /// Has the threads write what is left, the end of the server among it, and waits for them, but
    /// not longer than [`LOG_LINGER`] each.
    ///
    /// [`LOG_LINGER`]: crate::limits::LOG_LINGER
    fn finish_writers(&mut self) {
        self.record(&EventBody::ServerExit { status: self.exit.unwrap_or_default() });
        if let Some(records) = &mut self.records {
            records.hand_over_last();
        }
        let Server { system, console, log, stdout, syslog, records, .. } = self;
        let mut lines = Vec::new();
        for writer in [log.take(), syslog.take()].into_iter().flatten() {
            lines.extend(writer.finish(console, || system.now().mono));
        }
        if let Some(stdout) = stdout.take() {
            // Nobody is told that it fails.
            stdout.finish(console, || system.now().mono);
        }
        if let Some(records) = records.take() {
            lines.extend(records.finish(|| system.now().mono, || system.unix_millis()));
        }
        for line in lines {
            system.log_stderr(line.as_bytes());
        }
    }
}
