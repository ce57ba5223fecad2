//! The half of a turn that takes input: signals, the children's output, what clients typed, new
//! connections. Each has a budget.

use std::net::IpAddr;

use nix::sys::signal::Signal;

use super::child::ReadResult;
use super::client_id;
use super::listener::Accepted;
use super::peer::Peer;
use super::poll_stream::{PollStream, filled};
use crate::console::clock::{Monotonic, Timestamps};
use crate::console::event::{ChildSlot, Event, Role};
use crate::limits::{ACCEPT_BUDGET, CLIENT_BUDGET, PTY_BUDGET};
use crate::server::Server;
use crate::server::api::ApiSession;
use crate::server::memory::Source;
use crate::server::os::fdstore::{self, FdStore};
use crate::server::os::{Connection, Process, System};
use crate::server::records::{ClientInfo, EventBody};
use crate::server::writers::sink::SinkWriter;
use crate::sys;

impl<S: System> Server<S> {
    pub(crate) fn take_signals(&mut self, now: Timestamps) {
        let pending = self.system.signals();
        if pending.child {
            let children = [self.child.as_mut(), self.old_child.as_mut(), self.handover.program()];
            for child in children.into_iter().flatten() {
                child.poll_exit();
            }
            self.reap_orphans();
        }
        if pending.upgrade {
            self.record_signal(Signal::SIGUSR1);
            self.debug_line("SIGUSR1: upgrade");
            self.upgrade(now);
        }
        if pending.overlap {
            self.record_signal(Signal::SIGUSR2);
            self.restart(now);
        }
        if pending.window {
            self.look_at_windows(now);
        }
        if pending.reopen {
            if let Some(records) = &mut self.records {
                records.reopen();
            }
            self.record_signal(Signal::SIGHUP);
            self.debug_line("SIGHUP: log file to be opened anew");
            if let Some(manager) = &mut self.service {
                // The signal may have come after the time of this turn was read, and the service
                // manager compares the two.
                manager.reload(self.system.now().mono);
            }
            self.console.handle(Event::ReopenLog, now);
        }
        if pending.terminate {
            self.record_signal(Signal::SIGTERM);
            self.debug_line("SIGTERM: shutting down");
            self.console.handle(Event::Terminate, now);
        }
    }

    /// Tells the console the size of each client's window that is a terminal of this machine.
    pub(crate) fn look_at_windows(&mut self, now: Timestamps) {
        for (&id, peer) in &self.peers {
            if let Some(size) = peer.source.stream().window() {
                self.console.handle(Event::Window { id, size }, now);
            }
        }
    }

    fn record_signal(&mut self, signal: Signal) {
        let sender = self.system.signal_sender(signal as i32);
        self.record(&EventBody::Signal { signal: signal.as_str(), sender });
    }

    /// The time until which the children's output has to wait, unless its readers take some of it
    /// before: for a log that cannot keep up but makes progress, and for clients that are almost
    /// overrun.
    pub(crate) fn child_waits_until(&self, now: Monotonic) -> Option<Monotonic> {
        let log = self.log.as_ref().filter(|log| !self.console.log_has_room() && !log.has_failed());
        let log = log.map(SinkWriter::stall_deadline).filter(|&until| now < until);
        log.max(self.console.backpressure_deadline(now))
    }

    /// Returns true if the output of a child may be read now.
    pub(crate) fn may_read(&self, which: ChildSlot, now: Monotonic) -> bool {
        self.child_waits_until(now).is_none() && self.console.has_room_for(which)
    }

    /// Reads the output of a child and what it sent to its NOTIFY_SOCKET.
    pub(crate) fn read_child(&mut self, which: ChildSlot, now: Timestamps) {
        let allowed = self.child_waits_until(now.mono).is_none();
        let (child, source) = match which {
            ChildSlot::Current => (&mut self.child, Source::Child),
            ChildSlot::Old => (&mut self.old_child, Source::OldChild),
        };
        let Some(child) = child else {
            return;
        };
        // Readiness of the old child is of no use any more, but its messages must not fill the
        // queue.
        if child.read_notification() && which == ChildSlot::Current {
            self.console.handle(Event::ChildReady, now);
        }
        let mut read = 0;
        while allowed
            && read < PTY_BUDGET
            && child.is_readable()
            && self.console.has_room_for(which)
        {
            let mut live = self.store.as_mut().and_then(FdStore::live);
            let space = match &mut live {
                Some(live) => live.open_landing(source),
                None => &mut self.buffer,
            };
            match child.read(space) {
                ReadResult::Bytes(count) => {
                    let bytes = filled(space, count);
                    self.console.handle(Event::Output(which, bytes), now);
                    if let Some(live) = live {
                        let changes = self.console.changes(&mut live.recorded);
                        live.landed(count, changes);
                    }
                    read += count;
                }
                ReadResult::Nothing => break,
                ReadResult::Closed => {
                    child.poll_exit();
                    if child.ended().is_none() {
                        self.console.handle(Event::OutputClosed(which), now);
                    }
                }
            }
        }
        if let Some(status) = child.ended() {
            self.console.handle(Event::Exited(which, status), now);
        }
    }

    /// Under `--record-input`, tells the console whether the child's terminal hides what is typed now.
    pub(crate) fn look_at_terminal(&mut self, now: Timestamps) {
        if self.console.records_input() {
            let hides = self.child.as_ref().is_some_and(|child| child.process().hides_input());
            self.console.handle(Event::InputHidden(hides), now);
        }
    }

    pub(crate) fn read_clients(&mut self, now: Timestamps) {
        self.look_at_terminal(now);
        for (&id, peer) in &mut self.peers {
            let mut session = self.api.get_mut(&id);
            let mut read = 0;
            while read < CLIENT_BUDGET
                && peer.source.is_readable()
                && peer.leaving.is_none()
                && self.console.accepts_input(id)
                && session.as_ref().is_none_or(|session| session.accepts_input())
            {
                // A program connects again, and sends its request again.
                let store = self.store.as_mut().filter(|_| session.is_none());
                let mut live = store.and_then(FdStore::live);
                let noted = live.as_ref().and_then(|_| self.console.decoder(id));
                let decoder = noted.cloned();
                let space = match &mut live {
                    Some(live) => live.open_landing(Source::Client(id.0)),
                    None => &mut self.buffer,
                };
                match (peer.read(space), &mut session) {
                    (Some(0), Some(session)) if peer.leaving.is_none() => session.end_input(),
                    (Some(count), Some(session)) => session.push(filled(space, count)),
                    (Some(0), None) => peer.input_ended(self.console.outlives_its_input(id)),
                    (Some(count), None) => {
                        let bytes = filled(space, count);
                        let revision = self.console.client_revision();
                        self.console.handle(Event::Input { id, bytes }, now);
                        if let Some(live) = live {
                            let has_changed = self.console.client_revision() != revision;
                            let mut changes = self.console.changes(&mut live.recorded);
                            if has_changed {
                                changes.extend(self.console.client(id));
                            } else {
                                changes.extend(self.console.place(id));
                                changes.extend(self.console.telnet(id, decoder.as_ref()));
                            }
                            live.landed(count, changes);
                        }
                        read += count;
                    }
                    (None, _) => {}
                }
            }
        }
    }

    pub(crate) fn accept(&mut self, now: Timestamps) {
        let (mut accepted, mut failed) = (Vec::new(), Vec::new());
        for listener in &mut self.listeners {
            for _ in 0..ACCEPT_BUDGET {
                if !listener.has_work(now.mono) {
                    break;
                }
                match listener.accept(now.mono) {
                    Accepted::Connection(connection, from) => {
                        let endpoint = listener.endpoint().to_string();
                        accepted.push((connection, from, listener.role, endpoint));
                    }
                    Accepted::Empty => {}
                    Accepted::Failed(reason) => {
                        failed.push((listener.endpoint().to_string(), reason));
                    }
                }
            }
        }
        for (connection, from, role, endpoint) in accepted {
            match from {
                Some(peer) if !self.allows(peer, role) => self.refused(peer, &endpoint),
                _ => self.join(connection, role, &endpoint, now),
            }
        }
        // Announced last, so that the clients that came just before get it too.
        for (endpoint, reason) in &failed {
            self.console.handle(Event::AcceptFailed { endpoint, reason }, now);
        }
    }

    /// Returns true if TCP clients with this address and role are let in.
    fn allows(&self, peer: IpAddr, role: Role) -> bool {
        self.allowed_networks.as_ref().is_none_or(|networks| networks.allows(peer, role.name()))
    }

    /// Reports that a TCP client was not let in.
    fn refused(&mut self, peer: IpAddr, endpoint: &str) {
        let reason = "not from an allowed network";
        self.debug_line(&format!("connection from {peer} refused: {reason}"));
        let peer = Some(peer.to_string());
        self.record(&EventBody::Refuse { endpoint, peer, reason });
    }

    /// Makes a client of a connection.
    pub(crate) fn join(
        &mut self,
        connection: S::Connection,
        role: Role,
        endpoint: &str,
        now: Timestamps,
    ) {
        let token = self.tokens.take();
        let kind = connection.kind().client_kind();
        match self.system.watch(&connection, token) {
            Ok(always) => {
                let id = client_id(token);
                if role == Role::Api {
                    self.api.insert(id, ApiSession::default());
                } else if let Some(store) = &mut self.store {
                    store.store(&fdstore::client(id), &connection, true);
                }
                if let Some(records) = &mut self.records {
                    let (endpoint, peer) = (endpoint.to_owned(), connection.peer_identity());
                    records.add_client(
                        id,
                        ClientInfo { role, endpoint, peer, since: now.wall.seconds },
                    );
                }
                if self.announces {
                    let who = connection.peer_identity().describe(endpoint);
                    self.console.handle(Event::Introduced { id, role, kind, who: &who }, now);
                }
                let window = connection.window();
                let source = PollStream::new(connection, always);
                self.peers.insert(id, Peer::new(source));
                self.console.handle(Event::Joined { id, role, kind }, now);
                self.note_joined(id);
                if let Some(size) = window {
                    self.console.handle(Event::Window { id, size }, now);
                }
                self.debug_line(&format!("client {} connected", token.0));
            }
            Err(error) => {
                let reason = sys::reason(&error);
                let peer = None;
                self.record(&EventBody::Refuse { endpoint, peer, reason: &reason });
                self.debug_line(&format!("connection refused: {error}"));
            }
        }
    }
}
