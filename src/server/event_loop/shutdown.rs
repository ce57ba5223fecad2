//! The end of the server: clients and writers get what is pending, and what is the server's goes.

use std::io;

use super::child::Child;
use crate::console::event::{ClientId, DisconnectReason, Event};
use crate::limits::CLIENT_LINGER;
use crate::server::Server;
use crate::server::os::{Inheritable, System};
use crate::server::records::EventBody;

impl<S: System> Server<S> {
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
                    let reason = peer.leaving.unwrap_or(DisconnectReason::Exit);
                    console.handle(Event::Left { id, reason }, now);
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
            self.console.handle(Event::Left { id, reason: DisconnectReason::Exit }, now);
        }
        self.listeners.clear();
        drop(files);
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
            lines.extend(records.finish(|| system.now().mono, || system.millis()));
        }
        for line in lines {
            system.log_stderr(&line);
        }
        Ok(())
    }
}
