//! What a server leaves to the next one, after an upgrade or a crash, and how that one goes on.

use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::Signal;

use super::child::Child;
use super::peer::Peer;
use super::poll_stream::PollStream;
use crate::console::event::{ChildSlot, ClientId, DisconnectReason, Event, ExitStatus};
use crate::console::snapshot::Snapshot;
use crate::handover::state::{
    ConnectionState, Descriptor, ListenerState, PassedSinkState, Retry, SinkState, State, Text,
};
use crate::server::Server;
use crate::server::api::ApiSession;
use crate::server::memory::Source;
use crate::server::os::child_socket::ChildSocket;
use crate::server::os::fdstore::FdStore;
use crate::server::os::{Connection, Socket, System};
use crate::server::writers::sink::SinkWriter;
use crate::server::writers::{LogJob, LogReply, WorkerHandle};
use crate::sys::passage::Passage;

impl<S: System> Server<S> {
    /// The console for the next program. A stream that is in memory which that program gets is not
    /// copied.
    pub(super) fn handed_over(&self) -> Snapshot {
        let snapshot = match self.store.as_ref().is_some_and(FdStore::has_stream) {
            true => self.console.snapshot_beside_ring(),
            false => self.console.snapshot(),
        };
        snapshot.with_log_end(self.log.as_ref().and_then(SinkWriter::end))
    }

    /// Everything that the server's successor needs.
    ///
    /// # Errors
    /// fstat(2) of a descriptor fails.
    pub(crate) fn state(&self, console: Snapshot) -> io::Result<State> {
        let child = self.child.as_ref().map(Child::state).transpose()?;
        let old_child = self.old_child.as_ref().map(Child::state).transpose()?;
        let listeners = self.listeners.iter().map(|listener| {
            Ok(ListenerState {
                role: listener.role,
                socket: Descriptor::of(listener.socket())?,
                file: listener.socket().file(),
                raw: listener.endpoint().raw,
            })
        });
        let connections = self.peers.iter().map(|(id, peer)| {
            let stream = peer.source.stream();
            Ok(ConnectionState { id: id.0, stream: Descriptor::of(stream)?, kind: stream.kind() })
        });
        let child_sockets = self.child_sockets.iter().map(ChildSocket::state);
        let program = self.identity.program.as_ref();
        Ok(State {
            version: crate::VERSION.to_owned(),
            argv: self.identity.argv.clone(),
            started: self.identity.started,
            started_nanos: self.identity.started_nanos,
            dir: self.identity.dir.clone(),
            open_files: self.identity.open_files,
            next_token: self.tokens.next as u64,
            console,
            child,
            listeners: listeners.collect::<io::Result<_>>()?,
            connections: connections.collect::<io::Result<_>>()?,
            log: self.log.as_ref().map(sink).transpose()?.flatten(),
            passed_log: self.log.as_ref().map(passed).transpose()?.flatten(),
            stdout: self.stdout.as_ref().map(sink).transpose()?.flatten(),
            account: self.identity.account.clone(),
            descendants_since: self.system.descendants_since(),
            store: self.store.as_ref().map(|store| Descriptor::of(store.memory())).transpose()?,
            records: self.records.as_ref().map(|it| it.state(false)).unwrap_or_default(),
            child_sockets: child_sockets.collect::<io::Result<_>>()?,
            old_child,
            api: self.api.iter().map(|(id, session)| session.state(id.0)).collect(),
            program: program.map(|path| Text(path.as_os_str().as_bytes().to_vec())),
        })
    }

    /// Goes on with a client of the program before this one.
    pub(crate) fn resume_client(&mut self, id: ClientId, connection: S::Connection) {
        match self.system.watch(&connection, mio::Token(id.0 as usize)) {
            Ok(always) => {
                if let Some(records) = &mut self.records {
                    records.set_peer(id, connection.peer_identity());
                }
                let source = PollStream::new(connection, always);
                self.peers.insert(id, Peer::new(source));
            }
            Err(_) => {
                let left = Event::Left { id, reason: DisconnectReason::Failed };
                self.console.handle(left, self.system.now());
            }
        }
    }

    /// Goes on where another server stopped, which ended as `event` says, and had made of `last_read`
    /// nothing yet. Clients and children that are gone since then are reported to the console.
    pub(crate) fn resume(&mut self, event: Event<'_>, last_read: Option<(Source, Vec<u8>)>) {
        let now = self.system.now();
        let typed = match &last_read {
            Some((Source::Child, bytes)) => {
                self.console.handle(Event::Output(ChildSlot::Current, bytes), now);
                None
            }
            Some((Source::OldChild, bytes)) => {
                self.console.handle(Event::Output(ChildSlot::Old, bytes), now);
                None
            }
            Some((Source::Client(id), bytes)) => Some(Event::Input { id: ClientId(*id), bytes }),
            None => None,
        };
        let gone = self.console.clients().filter(|id| !self.peers.contains_key(id));
        for id in gone.collect::<Vec<_>>() {
            self.console.handle(Event::Left { id, reason: DisconnectReason::Closed }, now);
        }
        let Server { api, peers, .. } = self;
        api.retain(|id, _| peers.contains_key(id));
        if let Some(records) = &mut self.records {
            records.set_subscribed(self.api.values().any(ApiSession::is_subscribed));
        }
        self.console.handle(event, now);
        // SIGWINCH may have come when nobody handled it.
        self.look_at_windows(now);
        match &mut self.old_child {
            Some(child) => child.poll_exit(),
            // After a crash, the old child was killed.
            None => {
                let killed = ExitStatus::Signal(Signal::SIGKILL as i32);
                self.console.handle(Event::Exited(ChildSlot::Old, killed), now);
            }
        }
        match &mut self.child {
            Some(child) => child.poll_exit(),
            None if self.console.child().is_some() => {
                self.console.handle(Event::Exited(ChildSlot::Current, ExitStatus::Unknown), now)
            }
            // The end of the old child may have had the console ask for another one, which has not ended.
            None => {}
        }
        self.reap_orphans();
        if self.store.is_some() {
            // Before anything is read. A child that is being started has no state.
            self.apply_effects(now);
            if let Some(typed) = typed {
                self.console.handle(typed, now);
                self.apply_effects(now);
            }
            self.save(now);
        }
        // The next event may be long in coming.
        self.write_sinks(now);
    }
}

/// The state of a sink whose thread has lent its file. One that still writes has none: that is so only
/// in a check run.
fn sink<H: WorkerHandle<LogJob, LogReply>>(
    writer: &SinkWriter<H>,
) -> io::Result<Option<SinkState>> {
    let state = |file| Ok(SinkState { file: Descriptor::of(file)?, retry: retry(writer) });
    writer.lent_file().map(state).transpose()
}

/// The state of a sink whose file is in its passage.
fn passed<H: WorkerHandle<LogJob, LogReply>>(
    writer: &SinkWriter<H>,
) -> io::Result<Option<PassedSinkState>> {
    let state = |passage: &Passage| {
        let [entry, exit] = passage.ends().map(Descriptor::of);
        Ok(PassedSinkState { entry: entry?, exit: exit?, retry: retry(writer) })
    };
    writer.passage().map(state).transpose()
}

fn retry<H: WorkerHandle<LogJob, LogReply>>(writer: &SinkWriter<H>) -> Option<Retry> {
    writer.retry().map(|(at, on_output)| Retry { at: at.0, on_output })
}
