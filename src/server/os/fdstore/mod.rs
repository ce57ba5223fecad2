//! What outlives a crash of the server: descriptors in the service manager's store, and among them
//! a memory file with the state of all that they belong to (`--fdstore`; FDSTORE=1 of sd_notify(3)).
//!
//! The file has two slots, written in turn: a server that is killed while it writes one leaves the
//! other. An orderly end empties the file, and the next start is a fresh one. Where the system has such
//! memory, the file also has the console stream and all places in it ([`memory`]).

mod names;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use self::names::PREFIX;
pub(crate) use self::names::{
    CLIENT, LISTENER, STATE, child, child_socket, client, listener, notify_socket, parse_name, pid,
    pty, removal,
};
use self::slots::Slots;
pub(crate) use self::slots::saved_state;
use super::{Notify, Process};
use crate::console::changes::Recorded;
use crate::console::clock::Monotonic;
use crate::handover::state::State;
use crate::limits::{FDSTORE_RETRY, LOG_RETRY};
use crate::server::memory::{self, Memory};
use crate::sys::{fd, socket};

/// The service manager's store as the server sees it.
#[derive(Debug)]
pub(crate) struct FdStore<N> {
    notifier: Rc<N>,
    slots: Slots,
    /// The stream and what changes with each read and write, from the first saved state on.
    live: Option<Memory>,
    /// True if the stream is in the memory file.
    has_stream: bool,
    /// What the service manager is still to be told, in this order: names, and what to keep under
    /// them; `None` removes.
    queue: VecDeque<(String, Option<StoredFd>)>,
    /// The service manager had no room: the queue is not sent before.
    flush_retry: Monotonic,
    /// The console's revision in the memory file.
    saved_revision: Option<u64>,
    /// The state could not be saved: it is not tried again before.
    save_retry: Option<Monotonic>,
}

/// A copy for the service manager to keep.
#[derive(Debug)]
struct StoredFd {
    fd: OwnedFd,
    /// True if the service manager is to close it when the other side is gone.
    watched: bool,
}

impl<N: Notify> FdStore<N> {
    /// An empty store, for a console with so many bytes of history.
    ///
    /// # Errors
    /// There is no descriptor or no memory left.
    pub(crate) fn new(notifier: Rc<N>, history: usize) -> io::Result<FdStore<N>> {
        // A state can be saved without memory for the stream.
        let memory = memory::create(history).or_else(|_| fd::in_memory(&[]))?;
        let copy = memory.try_clone()?;
        let mut store = FdStore::adopt(notifier, memory.into());
        store.store(STATE, &copy, false);
        Ok(store)
    }

    /// An empty store in place of one that no server can go on with.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn replace(notifier: Rc<N>, history: usize) -> io::Result<FdStore<N>> {
        let mut store = FdStore::new(notifier, history)?;
        store.queue.push_front((STATE.to_owned(), None));
        Ok(store)
    }

    /// The store of the server before this one, by its memory file.
    pub(crate) fn adopt(notifier: Rc<N>, memory: OwnedFd) -> FdStore<N> {
        FdStore {
            notifier,
            slots: Slots::new(memory.into()),
            live: None,
            has_stream: false,
            queue: VecDeque::new(),
            flush_retry: Monotonic(0),
            saved_revision: None,
            save_retry: None,
        }
    }

    /// The memory file.
    pub(crate) fn memory(&self) -> &File {
        &self.slots.file
    }

    /// Takes note that the console stream is in the memory file.
    pub(crate) fn hold_stream(&mut self) {
        self.has_stream = true;
    }

    /// Returns true if the console stream is in the memory file.
    pub(crate) fn has_stream(&self) -> bool {
        self.has_stream
    }

    /// What a state that is saved now has: how many reads; `None` if the stream is not in the memory
    /// file.
    pub(crate) fn reads(&self) -> Option<u64> {
        let live = self.live.as_ref().map(|live| live.landing.count());
        self.has_stream.then(|| live.unwrap_or_else(|| memory::reads(self.memory())))
    }

    /// Where changes of the console are written down.
    pub(crate) fn live(&mut self) -> Option<&mut Memory> {
        self.live.as_mut()
    }

    /// Returns true if the state at this revision of the console is still to be saved, and it may be
    /// tried now.
    pub(crate) fn is_save_due(&self, revision: u64, now: Monotonic) -> bool {
        let is_long = self.live.as_ref().is_some_and(|live| live.journal.is_long());
        let is_outdated = self.saved_revision != Some(revision) || is_long;
        is_outdated && self.save_retry.is_none_or(|at| now >= at)
    }

    /// Takes note of how it went to save the state at this revision. Returns true if it failed, and
    /// did not the last time.
    pub(crate) fn saved(&mut self, result: &io::Result<()>, revision: u64, now: Monotonic) -> bool {
        if result.is_ok() {
            (self.saved_revision, self.save_retry) = (Some(revision), None);
            return false;
        }
        self.save_retry.replace(now + LOG_RETRY).is_none()
    }

    /// Writes the state into the memory file. It has of the console what `recorded` says.
    ///
    /// # Errors
    /// The state is larger than a slot, or there is no memory left.
    pub(crate) fn save(&mut self, state: &State, recorded: Recorded) -> io::Result<()> {
        let (journal, len) = self.slots.write(state)?;
        if self.has_stream && self.live.is_none() {
            // Not before: what the server before this one read last is only now taken into account.
            self.live = Some(Memory::new(self.memory(), memory::reads(self.memory()))?);
        }
        if let Some(live) = &mut self.live {
            live.journal.begin(journal, len);
            live.recorded = recorded;
        }
        Ok(())
    }

    /// Has the service manager keep a copy of `fd`, and, if it is `watched`, close the copy when the
    /// other side is gone.
    pub(crate) fn store(&mut self, name: &str, fd: impl AsFd, watched: bool) {
        // Without a descriptor for a copy, it does not outlive a crash.
        if let Ok(copy) = fd.as_fd().try_clone_to_owned() {
            self.queue.push_back((name.to_owned(), Some(StoredFd { fd: copy, watched })));
        }
    }

    /// Has the service manager close what it keeps under this name.
    pub(crate) fn remove(&mut self, name: &str) {
        // What it was not told of is only taken out of the queue, which so has at most one entry for
        // each descriptor that there is.
        let unsent = self.queue.iter().rposition(|(it, stored)| it == name && stored.is_some());
        match unsent {
            Some(index) => drop(self.queue.remove(index)),
            None => self.queue.push_back((name.to_owned(), None)),
        }
    }

    /// Has the service manager keep all that belongs to a child.
    pub(crate) fn store_child(&mut self, child: &impl Process) {
        let pid = child.pid();
        self.store(&pty(pid), child, false);
        if let Some(socket) = child.notify_socket() {
            self.store(&notify_socket(pid), socket, false);
        }
        if let Ok(process) = child.open_pidfd() {
            self.store(&self::child(pid), &process, false);
        }
    }

    /// Has the service manager close all that belongs to a child.
    pub(crate) fn remove_child(&mut self, child: &impl Process) {
        let pid = child.pid();
        self.remove(&pty(pid));
        self.remove(&self::child(pid));
        if child.notify_socket().is_some() {
            self.remove(&notify_socket(pid));
        }
    }

    /// An orderly end: the next server finds no state.
    pub(crate) fn clear(&mut self) {
        self.live = None;
        self.slots.clear();
        self.remove(STATE);
    }

    /// Sends as much of the queue as the service manager has room for.
    pub(crate) fn flush(&mut self, now: Monotonic) {
        while let Some((name, stored)) = self.queue.front() {
            let message = match stored {
                Some(StoredFd { watched, .. }) => {
                    let poll = if *watched { "" } else { "\nFDPOLL=0" };
                    format!("FDSTORE=1\nFDNAME={PREFIX}{name}{poll}").into_bytes()
                }
                None => removal(name),
            };
            let fd = stored.as_ref().map(|stored| stored.fd.as_fd());
            match self.notifier.send(&message, fd.as_slice()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if socket::is_queue_full(&error) => {
                    self.flush_retry = now + FDSTORE_RETRY;
                    return;
                }
                // A service manager that does not listen any more keeps nothing.
                _ => drop(self.queue.pop_front()),
            }
        }
    }

    /// Returns true if the service manager was told everything.
    pub(crate) fn is_flushed(&self) -> bool {
        self.queue.is_empty()
    }

    /// The time at which the store has something to do though nothing has happened.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        let flush = (!self.is_flushed()).then_some(self.flush_retry);
        flush.into_iter().chain(self.save_retry).min()
    }
}
