//! Going on after a server that died: what it had is in the service manager's store, which passes it
//! to the next one ([`fdstore`]).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use nix::sys::socket::{Shutdown, shutdown};

use crate::config::endpoint::Endpoint;
use crate::console::event::{ClientId, Role};
use crate::handover::state::{ChildState, State};
use crate::limits::KILL_WAIT;
use crate::server::os::child_socket::ChildSocket;
use crate::server::os::client_stream::ClientStream;
use crate::server::os::fdstore::{self, CLIENT, FdStore, LISTENER, STATE};
use crate::server::os::listening_socket::ListeningSocket;
use crate::server::os::pty_process::PtyProcess;
use crate::sys::file::FileId;
use crate::sys::pidfd;
use crate::systemd::listen_fds::ListenFds;
use crate::systemd::notify::Notifier;
use crate::systemd::notify_socket::NotifySocket;

/// What a server that died had. Before another one begins, what that did not take over has to be put
/// to rest, with [`fdstore`](Self::fdstore) or [`discard`](Self::discard): there are never two children.
/// A server that can't begin leaves it all to the next one.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    state: Option<State>,
    /// Until it is taken over.
    child: Option<ChildState>,
    /// One that was being replaced: nobody takes it over.
    old_child: Option<ChildState>,
    held: BTreeMap<String, OwnedFd>,
    /// All names in the store.
    names: Vec<String>,
    /// The endpoints' socket files.
    files: BTreeMap<String, FileId>,
}

impl Recovery {
    /// What was passed of ours.
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
        Recovery { state, child, old_child, held, names, files }
    }

    /// What that server wrote down, if it came to no orderly end.
    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// It can't be gone on from.
    pub(crate) fn discard_state(&mut self) {
        self.state = None;
    }

    /// The endpoint, if that server had it and it is none of the `others`, which are wanted too.
    pub(crate) fn listener(
        &mut self,
        endpoint: &Endpoint,
        role: Role,
        others: &[&Endpoint],
    ) -> Option<ListeningSocket> {
        let sockets: Vec<String> =
            self.held.keys().filter(|what| what.starts_with(LISTENER)).cloned().collect();
        for what in sockets {
            let file = self.files.get(&what).copied();
            let copy = self.held.get(&what).and_then(|fd| fd.try_clone().ok());
            let Some(mut bound) =
                copy.and_then(|fd| ListeningSocket::adopt(fd, role, endpoint.raw, file).ok())
            else {
                continue;
            };
            // Of any port another one may want just this.
            let anothers = others.iter().any(|&other| other != endpoint && bound.matches(other));
            if !bound.matches(endpoint) || (endpoint.is_any_port() && anothers) {
                bound.keep_file();
            } else if bound.reapply_permissions(endpoint) {
                self.held.remove(&what);
                return Some(bound);
            } else {
                // The manager has it too, and it must not be in the way of another one.
                let _ = shutdown(bound.as_fd().as_raw_fd(), Shutdown::Both);
                bound.keep_file();
            }
        }
        None
    }

    /// The socket for the child with this place and address on the command line, if that server had
    /// it.
    pub(crate) fn child_socket(&mut self, index: usize, uri: &[u8]) -> Option<ChildSocket> {
        let state = self.state.as_ref()?.child_sockets.get(index).filter(|it| it.uri.0 == uri)?;
        let copy = self.held.get(&fdstore::child_socket(index))?.try_clone().ok()?;
        let socket = ChildSocket::adopt(copy, state);
        // One whose file is gone can't be reached.
        if socket.is_lost() {
            return None;
        }
        self.held.remove(&fdstore::child_socket(index));
        Some(socket)
    }

    /// The child, if it is all there.
    pub(crate) fn child(&mut self) -> Option<PtyProcess> {
        let pid = self.state.as_ref()?.child?.pid;
        let (pty, child) = (fdstore::pty(pid), fdstore::child(pid));
        let whole = self.held.get(&pty).is_some_and(OwnedFd::is_terminal)
            && self.held.get(&child).is_some_and(pidfd::is_pidfd);
        if !whole {
            return None;
        }
        let (orphan, master) = (self.held.remove(&child), self.held.remove(&pty)?);
        let notify_socket = self.held.remove(&fdstore::notify_socket(pid)).map(NotifySocket::adopt);
        self.child = None;
        Some(PtyProcess { pid, master: File::from(master), notify_socket, pidfd: orphan })
    }

    /// The clients that are still there.
    pub(crate) fn connections(&mut self) -> Vec<(ClientId, ClientStream)> {
        let Some(state) = &self.state else {
            return Vec::new();
        };
        let held = &mut self.held;
        let adopted = state.connections.iter().filter_map(|connection| {
            let id = ClientId(connection.id);
            let stream = held.remove(&fdstore::client(id))?;
            Some((id, ClientStream::adopt(stream, connection.kind.clone()).ok()?))
        });
        adopted.collect()
    }

    /// The store itself, without what nobody took.
    pub(crate) fn fdstore(mut self, notifier: Rc<Notifier>) -> io::Result<FdStore<Notifier>> {
        let memory = self.held.remove(STATE).filter(|_| self.state.is_some());
        let mut fdstore = match memory {
            Some(memory) => FdStore::adopt(notifier, memory),
            // What can't be read may not even be memory.
            None => FdStore::replace(notifier)?,
        };
        self.held.keys().for_each(|what| fdstore.remove(what));
        self.close_unclaimed();
        Ok(fdstore)
    }

    /// Has the manager close everything, if it listens. What it has no room to hear it goes on keeping.
    pub(crate) fn discard(self, notifier: Option<Notifier>) {
        self.close_unclaimed();
        let Some(notifier) = notifier else {
            return;
        };
        for what in &self.names {
            let _ = notifier.send(&fdstore::removal(what), &[]);
        }
    }

    /// A child that nobody took over is killed, connections are ended, endpoints closed.
    fn close_unclaimed(&self) {
        for child in [self.child, self.old_child].into_iter().flatten() {
            if let ChildState { pid, start_ticks: Some(begun), .. } = child
                && let Some(process) = pidfd::find(pid, begun)
            {
                // The store may have had no room for it.
                pidfd::kill_group(process, pid, KILL_WAIT);
            }
        }
        for (what, fd) in &self.held {
            let copy = || fd.try_clone().ok();
            let file = self.files.get(what);
            // Its file goes with the socket.
            let _bound = file.and_then(|&file| {
                ListeningSocket::adopt(copy()?, Role::User, false, Some(file)).ok()
            });
            if let Some(pid) = fdstore::pid(what) {
                pidfd::kill_group(fd, pid, KILL_WAIT);
            } else if what.starts_with(CLIENT) || what.starts_with(LISTENER) {
                // The manager has it too. A terminal, which is no socket, stays as it is.
                let _ = shutdown(fd.as_raw_fd(), Shutdown::Both);
            }
        }
    }
}
