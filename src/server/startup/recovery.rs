//! Going on after a server that crashed: what it had is in the service manager's store, which
//! passes it to the next server ([`fdstore`]).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use nix::sys::socket::{Shutdown, shutdown};

use crate::config::endpoint::Endpoint;
use crate::console::event::{ClientId, Role};
use crate::console::stream::ring::Ring;
use crate::handover::state::{ChildState, ConnectionKind, State};
use crate::limits::KILL_WAIT;
use crate::server::memory::{self, Source};
use crate::server::os::child_socket::ChildSocket;
use crate::server::os::client_stream::ClientStream;
use crate::server::os::fdstore::{self, CLIENT, FdStore, LISTENER, STATE};
use crate::server::os::listening_socket::ListeningSocket;
use crate::server::os::pty_process::PtyProcess;
use crate::sys::file::FileId;
use crate::sys::process::pidfd;
use crate::systemd::listen_fds::ListenFds;
use crate::systemd::notify::Notifier;
use crate::systemd::notify_socket::NotifySocket;

/// What a server that crashed had. Before the next server starts a child, the rest of it has to be
/// closed, with [`fdstore`](Self::fdstore) or [`discard`](Self::discard), so that there are never
/// two children. A server that cannot start leaves all of it to the next one.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    state: Option<State>,
    /// True if the stream could be found whole.
    has_stream: bool,
    /// The child, until it is taken over.
    child: Option<ChildState>,
    /// The child that was being replaced. It is never taken over.
    old_child: Option<ChildState>,
    held: BTreeMap<String, OwnedFd>,
    /// The names of all descriptors in the store.
    names: Vec<String>,
    /// The socket files of the endpoints.
    files: BTreeMap<String, FileId>,
}

/// The stream of a server that crashed.
pub(crate) struct Found {
    /// Its bytes.
    pub(crate) ring: Box<dyn Ring>,
    /// What the server read last, if it came no further.
    pub(crate) last_read: Option<(Source, Vec<u8>)>,
}

impl Recovery {
    /// Takes the descriptors of a server's store out of those that were passed.
    pub(crate) fn find(passed: &mut ListenFds) -> Recovery {
        let ours = passed.take_by_name(|name| fdstore::parse_name(name).is_some());
        let named = ours
            .into_iter()
            .filter_map(|(name, fd)| Some((fdstore::parse_name(&name)?.into(), fd)));
        let held: BTreeMap<String, OwnedFd> = named.collect();
        let state = held.get(STATE).and_then(fdstore::saved_state);
        let listeners = state.iter().flat_map(|state| &state.listeners);
        let files = listeners
            .filter_map(|listener| Some((fdstore::listener(listener.socket), listener.file?)))
            .collect();
        let names = held.keys().cloned().collect();
        let child = state.as_ref().and_then(|state| state.child);
        let old_child = state.as_ref().and_then(|state| state.old_child);
        Recovery { state, has_stream: false, child, old_child, held, names, files }
    }

    /// The state with the ring that has its stream, and what was read last and is in neither. If the
    /// stream cannot be found whole, the state is without it.
    pub(crate) fn console(&mut self) -> Option<(State, Option<Found>)> {
        let mut state = self.state.clone()?;
        let memory = self.held.get(STATE).and_then(|fd| fd.try_clone().ok()).map(File::from);
        let found = memory.zip(state.console.landed()).and_then(|(memory, landed)| {
            let ring = memory::ring(&memory, state.console.stream_end().0).ok()?;
            Some(Found { ring, last_read: memory::unaccounted(&memory, landed) })
        });
        self.has_stream = found.is_some();
        if found.is_none() {
            state.console.forget_stream();
        }
        Some((state, found))
    }

    /// The state that the server saved, unless it came to an orderly end.
    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Forgets the state, as no server can go on from it.
    pub(crate) fn discard_state(&mut self) {
        self.state = None;
    }

    /// The socket of this endpoint, if the server had one and it is not that of one of `others`,
    /// which are wanted too.
    pub(crate) fn listener(
        &mut self,
        endpoint: &Endpoint,
        role: Role,
        others: &[&Endpoint],
    ) -> Option<ListeningSocket> {
        let names: Vec<String> =
            self.held.keys().filter(|name| name.starts_with(LISTENER)).cloned().collect();
        for name in names {
            let file = self.files.get(&name).copied();
            let copy = self.held.get(&name).and_then(|fd| fd.try_clone().ok());
            let Some(mut socket) =
                copy.and_then(|fd| ListeningSocket::adopt(fd, role, endpoint.raw, file).ok())
            else {
                continue;
            };
            // A socket for any port may be just the one that another endpoint names.
            let is_wanted_elsewhere =
                others.iter().any(|&other| other != endpoint && socket.matches(other));
            if !socket.matches(endpoint) || (endpoint.is_any_port() && is_wanted_elsewhere) {
                socket.keep_file();
            } else if socket.reapply_permissions(endpoint) {
                self.held.remove(&name);
                return Some(socket);
            } else {
                // The service manager has a copy, which must not keep the address in use.
                let _ = shutdown(socket.as_fd().as_raw_fd(), Shutdown::Both);
                socket.keep_file();
            }
        }
        None
    }

    /// The socket for the child that has this place and address on the command line, if the server
    /// had one.
    pub(crate) fn child_socket(&mut self, index: usize, uri: &[u8]) -> Option<ChildSocket> {
        let state = self.state.as_ref()?.child_sockets.get(index).filter(|it| it.uri.0 == uri)?;
        let copy = self.held.get(&fdstore::child_socket(index))?.try_clone().ok()?;
        let socket = ChildSocket::adopt(copy, state);
        // A socket whose file is gone cannot be reached.
        if socket.is_lost() {
            return None;
        }
        self.held.remove(&fdstore::child_socket(index));
        Some(socket)
    }

    /// The child, if all descriptors that belong to it are there.
    pub(crate) fn child(&mut self) -> Option<PtyProcess> {
        let ChildState { pid, start_ticks, .. } = self.state.as_ref()?.child?;
        let (pty, child) = (fdstore::pty(pid), fdstore::child(pid));
        let is_complete = self.held.get(&pty).is_some_and(OwnedFd::is_terminal)
            && self.held.get(&child).is_some_and(pidfd::is_pidfd);
        if !is_complete {
            return None;
        }
        let (pidfd, master) = (self.held.remove(&child), self.held.remove(&pty)?);
        let notify_socket = self.held.remove(&fdstore::notify_socket(pid)).map(NotifySocket::adopt);
        self.child = None;
        let master = File::from(master);
        Some(PtyProcess { pid, start_ticks, master, notify_socket, pidfd })
    }

    /// The clients that are still connected.
    pub(crate) fn connections(&mut self) -> Vec<(ClientId, ClientStream)> {
        let Some(state) = &self.state else {
            return Vec::new();
        };
        let held = &mut self.held;
        // A program connects again: its lines may have been cut.
        let kept = state.connections.iter().filter(|it| it.kind != ConnectionKind::Api);
        let adopted = kept.filter_map(|connection| {
            let id = ClientId(connection.id);
            let stream = held.remove(&fdstore::client(id))?;
            Some((id, ClientStream::adopt(stream, connection.kind.clone()).ok()?))
        });
        adopted.collect()
    }

    /// The store, without what was not taken over, and true if it has the stream already.
    ///
    /// # Errors
    /// There is no descriptor or no memory left.
    pub(crate) fn fdstore(
        mut self,
        notifier: Rc<Notifier>,
        history: usize,
    ) -> io::Result<(FdStore<Notifier>, bool)> {
        let memory = self.held.remove(STATE).map(File::from).filter(|memory| {
            // A server of another version, or with another history, had another one.
            self.state.is_some() && self.has_stream && memory::is_for(memory, history)
        });
        let has_stream = memory.is_some();
        let mut fdstore = match memory {
            Some(memory) => FdStore::adopt(notifier, memory.into()),
            // What cannot be read may be no memory file at all.
            None => FdStore::replace(notifier, history)?,
        };
        self.held.keys().for_each(|name| fdstore.remove(name));
        self.close_unclaimed();
        Ok((fdstore, has_stream))
    }

    /// Has the service manager close everything, if it listens. What it has no room for it goes on
    /// keeping.
    pub(crate) fn discard(self, notifier: Option<Notifier>) {
        self.close_unclaimed();
        let Some(notifier) = notifier else {
            return;
        };
        for name in &self.names {
            let _ = notifier.send(&fdstore::removal(name), &[]);
        }
    }

    /// Kills a child that was not taken over, ends connections and closes endpoints.
    fn close_unclaimed(&self) {
        for child in [self.child, self.old_child].into_iter().flatten() {
            if let ChildState { pid, start_ticks: Some(start_ticks), .. } = child
                && let Some(process) = pidfd::find(pid, start_ticks)
            {
                // The store may have had no room for the child's descriptor.
                pidfd::kill_group(process, pid, KILL_WAIT);
            }
        }
        for (name, fd) in &self.held {
            let copy = || fd.try_clone().ok();
            let file = self.files.get(name);
            // The socket file goes with the socket.
            let _socket = file.and_then(|&file| {
                ListeningSocket::adopt(copy()?, Role::User, false, Some(file)).ok()
            });
            if let Some(pid) = fdstore::pid(name) {
                pidfd::kill_group(fd, pid, KILL_WAIT);
            } else if name.starts_with(CLIENT) || name.starts_with(LISTENER) {
                // The service manager has a copy. A terminal is no socket, and stays as it is.
                let _ = shutdown(fd.as_raw_fd(), Shutdown::Both);
            }
        }
    }
}
