//! What outlives a crash of the server: descriptors in the service manager's store, and among them
//! a memory file with the state of all that they belong to (`--fdstore`; sd_notify(3), FDSTORE=1).
//!
//! The file has two halves, written in turn: a server that is killed while it writes one leaves the
//! other. An orderly end empties it, and the next start is a new one.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::core::event::ClientId;
use crate::handover::format;
use crate::handover::state::State;
use crate::limits::VAULT_HALF;
use crate::sys::fd;
use crate::systemd::notify::Notifier;

/// What the names of all that is stored begin with.
const PREFIX: &str = "procserv.";
/// The memory file's.
pub(super) const STATE: &str = "state";
/// A half begins with its number in the sequence and its length.
const HEAD: usize = 16;

/// The master of a child's PTY.
pub(super) fn pty(pid: i32) -> String {
    format!("pty.{pid}")
}

/// A child's process.
pub(super) fn child(pid: i32) -> String {
    format!("child.{pid}")
}

/// Where a child tells that it is ready.
pub(super) fn notices(pid: i32) -> String {
    format!("notices.{pid}")
}

/// The process that [`child`] has named so.
pub(super) fn pid(name: &str) -> Option<i32> {
    name.strip_prefix("child.")?.parse().ok()
}

/// A client's connection.
pub(super) fn client(id: ClientId) -> String {
    format!("client.{}", id.0)
}

/// What a name in the store means, if it is one of ours.
pub(super) fn what(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name.strip_prefix(PREFIX.as_bytes())?).ok()
}

/// The store as the server sees it.
#[derive(Debug)]
pub(super) struct Vault {
    memory: File,
    /// The number of the last half written.
    sequence: u64,
    /// What the manager is yet to be told, in this order.
    queue: VecDeque<(String, Option<OwnedFd>)>,
}

impl Vault {
    /// An empty one.
    pub(super) fn new() -> io::Result<Vault> {
        let memory = fd::in_memory(&[])?;
        let mut vault = Vault { memory, sequence: 0, queue: VecDeque::new() };
        let memory = vault.memory.try_clone()?;
        vault.keep(STATE, &memory, false);
        Ok(vault)
    }

    /// One that a server before this one had.
    pub(super) fn adopt(memory: OwnedFd) -> Vault {
        let memory = File::from(memory);
        let sequence = last(&memory).map_or(0, |(sequence, _)| sequence);
        Vault { memory, sequence, queue: VecDeque::new() }
    }

    /// What the last server wrote down, unless it came to an orderly end.
    pub(super) fn state(memory: &OwnedFd) -> Option<State> {
        let memory = File::from(memory.try_clone().ok()?);
        format::decode(&last(&memory)?.1).ok()
    }

    /// The memory file.
    pub(super) fn memory(&self) -> &File {
        &self.memory
    }

    /// Writes the state down.
    pub(super) fn save(&mut self, state: &State) -> io::Result<()> {
        let bytes = format::encode(state);
        if bytes.len() + HEAD > VAULT_HALF {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let sequence = self.sequence + 1;
        let head = [sequence.to_le_bytes(), (bytes.len() as u64).to_le_bytes()].concat();
        self.memory.write_all_at(&[&*head, &bytes].concat(), start(sequence))?;
        self.sequence = sequence;
        Ok(())
    }

    /// Has the manager keep a copy of `fd`. Watched, it is dropped when the other side is gone.
    pub(super) fn keep(&mut self, what: &str, fd: impl AsFd, watched: bool) {
        // Without a descriptor for a copy it does not outlive a crash.
        if let Ok(copy) = fd.as_fd().try_clone_to_owned() {
            let poll = if watched { "" } else { "\nFDPOLL=0" };
            let message = format!("FDSTORE=1\nFDNAME={PREFIX}{what}{poll}");
            self.queue.push_back((message, Some(copy)));
        }
    }

    /// Has the manager close what it keeps under this name.
    pub(super) fn forget(&mut self, what: &str) {
        self.queue.push_back((format!("FDSTOREREMOVE=1\nFDNAME={PREFIX}{what}"), None));
    }

    /// An orderly end: nothing is to be found any more.
    pub(super) fn clear(&mut self) {
        let _ = self.memory.set_len(0);
        self.queue.clear();
        self.forget(STATE);
    }

    /// Tells the manager as much as it has room for. Whether that is all.
    pub(super) fn flush(&mut self, notifier: &Notifier) -> bool {
        while let Some((message, fd)) = self.queue.front() {
            let fd = fd.as_ref().map(AsFd::as_fd);
            match notifier.send(message.as_bytes(), fd.as_slice()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // One that does not listen any more keeps nothing.
                _ => self.queue.pop_front(),
            };
        }
        true
    }
}

/// Where the half with this number begins.
fn start(sequence: u64) -> u64 {
    (sequence & 1) * VAULT_HALF as u64
}

/// The last half that was written whole.
fn last(memory: &File) -> Option<(u64, Vec<u8>)> {
    let halves = [0, 1].into_iter().filter_map(|half| read(memory, half));
    halves.filter(|(_, bytes)| format::decode(bytes).is_ok()).max_by_key(|(sequence, _)| *sequence)
}

fn read(memory: &File, half: u64) -> Option<(u64, Vec<u8>)> {
    let mut head = [0; HEAD];
    memory.read_exact_at(&mut head, start(half)).ok()?;
    let (sequence, len) = head.split_first_chunk()?;
    let len = usize::try_from(u64::from_le_bytes(*len.first_chunk()?)).ok()?;
    if len + HEAD > VAULT_HALF {
        return None;
    }
    let mut bytes = vec![0; len];
    memory.read_exact_at(&mut bytes, start(half) + HEAD as u64).ok()?;
    Some((u64::from_le_bytes(*sequence), bytes))
}
