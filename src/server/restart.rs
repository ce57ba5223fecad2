//! Going on after a server that died: what it had is in the service manager's store, which passes it
//! to the next one ([`vault`]).

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use super::bind::Bound;
use super::child_sockets::{ChildSocket, vault_name};
use super::kernel::PtyProcess;
use super::stream::Terminus;
use super::vault::{self, STATE, Vault};
use crate::core::event::{ClientId, Role};
use crate::endpoint::Endpoint;
use crate::handover::state::{FileId, State};
use crate::sys::pidfd;
use crate::systemd::activation::Inherited;
use crate::systemd::child::Ear;

/// What a server that died had. Dropped, a child that nobody took over is killed, as is one
/// that was being replaced.
#[derive(Debug, Default)]
pub(super) struct Remains {
    state: Option<State>,
    held: BTreeMap<String, OwnedFd>,
}

impl Remains {
    /// What was passed of ours.
    pub(super) fn find(passed: &mut Inherited) -> Remains {
        let ours = passed.take_by_name(|name| vault::what(name).is_some());
        let named =
            ours.into_iter().filter_map(|(name, fd)| Some((vault::what(&name)?.into(), fd)));
        let held: BTreeMap<String, OwnedFd> = named.collect();
        let state = held.get(STATE).and_then(Vault::state);
        Remains { state, held }
    }

    /// What that server wrote down, if it came to no orderly end.
    pub(super) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The endpoint, if that server had it.
    pub(super) fn listener(&mut self, endpoint: &Endpoint, role: Role) -> Option<Bound> {
        let state = self.state.as_ref()?;
        for listener in &state.listeners {
            // A socket whose file is gone can't be reached.
            if listener.file.is_some_and(|file| !is_at(endpoint, file)) {
                continue;
            }
            let copy = self.held.get(&listener.name).and_then(|fd| fd.try_clone().ok());
            if let Some(bound) = copy.and_then(|fd| Bound::adopt(fd, role, listener.file).ok())
                && bound.is(endpoint)
            {
                self.held.remove(&listener.name);
                return Some(bound);
            }
        }
        None
    }

    /// The socket for the child with this place and address on the command line, if that server had
    /// it.
    pub(super) fn child_socket(&mut self, index: usize, uri: &[u8]) -> Option<ChildSocket> {
        let state = self.state.as_ref()?.child_sockets.get(index).filter(|it| it.uri.0 == uri)?;
        let copy = self.held.get(&vault_name(index))?.try_clone().ok()?;
        let socket = ChildSocket::adopt(copy, state);
        // One whose file is gone can't be reached.
        if socket.is_lost() {
            return None;
        }
        self.held.remove(&vault_name(index));
        Some(socket)
    }

    /// The child, if it is all there.
    pub(super) fn child(&mut self) -> Option<PtyProcess> {
        let pid = self.state.as_ref()?.child?.pid;
        let (child, pty) = (vault::child(pid), vault::pty(pid));
        if !self.held.contains_key(&pty) {
            return None;
        }
        let orphan = Some(self.held.remove(&child)?);
        let ear = self.held.remove(&vault::notices(pid)).map(Ear::adopt);
        Some(PtyProcess { pid, master: File::from(self.held.remove(&pty)?), ear, orphan })
    }

    /// The clients that are still there.
    pub(super) fn connections(&mut self) -> Vec<(ClientId, Terminus)> {
        let Some(state) = &self.state else {
            return Vec::new();
        };
        let held = &mut self.held;
        let adopted = state.connections.iter().filter_map(|connection| {
            let id = ClientId(connection.id);
            let stream = held.remove(&vault::client(id))?;
            Some((id, Terminus::adopt(stream, connection.kind.clone()).ok()?))
        });
        adopted.collect()
    }

    /// The vault itself, without what nobody took.
    pub(super) fn vault(mut self) -> std::io::Result<Vault> {
        let mut vault = match self.held.remove(STATE) {
            Some(memory) => Vault::adopt(memory),
            None => Vault::new()?,
        };
        self.held.keys().for_each(|what| vault.forget(what));
        Ok(vault)
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        for (what, process) in &self.held {
            if let Some(pid) = vault::pid(what) {
                pidfd::signal_group(process, pid, nix::libc::SIGKILL);
            }
        }
    }
}

/// Whether the socket file of `endpoint` is still this one.
fn is_at(endpoint: &Endpoint, file: FileId) -> bool {
    let Endpoint::Unix { path, .. } = endpoint else {
        return false;
    };
    let metadata = fs::symlink_metadata(path);
    metadata.is_ok_and(|found| (found.dev(), found.ino()) == (file.device, file.inode))
}
