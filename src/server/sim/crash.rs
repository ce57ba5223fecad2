//! Crashes of the server: at any time the service manager keeps what the server has, and another
//! server can go on with it.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use super::settings::{Seconds, settings_of};
use super::{Run, servers};
use crate::console::Console;
use crate::console::child::status::Status;
use crate::console::event::{ChildProcess, ClientId, Event};
use crate::handover::state::{ConnectionKind, Descriptor};
use crate::server::os::fdstore::{self, STATE};

impl Run {
    /// Checks that a server which crashed now would leave its present state, and with the service
    /// manager all descriptors that belong to it, unless that had no room for them.
    pub(super) fn check_store(&self) {
        let world = self.world.borrow();
        let store = self.server.store.as_ref().unwrap();
        let saved = world.saved_state();
        let reads = store.reads().expect("the stream is in the store");
        let log = self.server.log.as_ref().and_then(|log| log.place(&self.server.console));
        let snapshot = self.server.console.snapshot_for_changes(reads, log, None);
        let mut running = self.server.state(snapshot).unwrap();
        let recorded = std::mem::replace(&mut running.console, saved.console.clone());
        assert_eq!(saved.console.stream_end(), recorded.stream_end());
        assert_eq!(saved.console.outlines(), recorded.outlines());
        // Tokens that nobody has got yet may be given again, the log is opened anew, and the memory
        // file is another descriptor after an upgrade.
        (running.next_token, running.log, running.store) =
            (saved.next_token, saved.log, saved.store);
        // Programs connect again.
        running.api.clear();
        assert_eq!(saved, running, "the saved state is not that of the server");
        let settings = settings_of(self.seed);
        let restored = Console::restore(settings, Box::new(Seconds), saved.console.clone());
        assert_eq!(outline(&restored.unwrap()), outline(&self.server.console));
        if !store.is_flushed() {
            assert!(world.faults > 0, "the service manager has room");
            return;
        }
        let mut wanted = BTreeSet::from([STATE.to_owned()]);
        let mut is_kept = |name: String, descriptor: Descriptor| {
            let kept = world.kept.get(&name).unwrap_or_else(|| panic!("{name} is not kept"));
            let kept = Descriptor::of(kept.as_fd()).unwrap();
            assert_eq!((kept.device, kept.inode), (descriptor.device, descriptor.inode), "{name}");
            wanted.insert(name);
        };
        for listener in &saved.listeners {
            is_kept(fdstore::listener(listener.socket), listener.socket);
        }
        let kept = saved.connections.iter().filter(|it| it.kind != ConnectionKind::Api);
        for connection in kept {
            is_kept(fdstore::client(ClientId(connection.id)), connection.stream);
        }
        for child in [saved.child, saved.old_child].into_iter().flatten() {
            is_kept(fdstore::pty(child.pid), child.pty);
            is_kept(fdstore::child(child.pid), child.pty);
        }
        let kept: BTreeSet<String> = world.kept.keys().cloned().collect();
        assert_eq!(kept, wanted, "more is kept than there is");
    }

    /// The server crashes when it is idle. Another one has the same clients and the same child, and
    /// passes on what they send.
    pub(super) fn crash(&mut self) {
        let mut before = outline(&self.server.console);
        before.0.retain(|id| !self.server.api.contains_key(id));
        // The first write to a client that is gone tells that it is.
        let gone = |id: &ClientId| {
            let pipe = self.server.peers.get(id).map(|peer| peer.source.stream().id);
            pipe.is_some_and(|pipe| self.world.borrow_mut().pipe(pipe).broken)
        };
        before.0.retain(|id| !gone(id));
        let mut state = self.world.borrow().saved_state();
        state.connections.retain(|connection| connection.kind != ConnectionKind::Api);
        self.world.borrow_mut().replace_server("the server crashes");
        // Descriptors that the service manager keeps are not closed with the server.
        self.world.borrow_mut().executed = Some(Vec::new());
        self.server = servers::successor(&self.world, self.seed, state);
        self.world.borrow_mut().executed = None;
        self.server.resume(Event::Restarted { complete: true }, None);
        self.settle();
        assert_eq!(outline(&self.server.console), before);
        let Some(child) = &self.server.child else {
            return;
        };
        let pty = child.process().id;
        let reference = self.reference;
        {
            let mut world = self.world.borrow_mut();
            world.send(pty, b"the child lives on\r\n", false);
            world.send(reference, b"so does the client\r", false);
        }
        self.settle();
        let mut world = self.world.borrow_mut();
        for (id, text) in
            [(reference, b"the child lives on\r\n".as_slice()), (pty, b"so does the client\r")]
        {
            world.take(id, usize::MAX);
            assert!(world.pipe(id).received.ends_with(text), "{:?} is lost", text.escape_ascii());
        }
    }
}

/// What outlives a crash, as users see it.
fn outline(console: &Console) -> (Vec<ClientId>, Option<ChildProcess>, Status, u64) {
    (console.clients().collect(), console.child(), console.status(), console.restarts())
}
