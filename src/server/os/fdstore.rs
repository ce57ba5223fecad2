//! What outlives a crash of the server: descriptors in the service manager's store, and among them
//! a memory file with the state of all that they belong to (`--fdstore`; FDSTORE=1 of sd_notify(3)).
//!
//! The file has two slots, written in turn: a server that is killed while it writes one leaves the
//! other. An orderly end empties the file, and the next start is a fresh one. Where the system has such
//! memory, the file also has the console stream and all places in it ([`memory`]).

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use super::{Notify, Process};
use crate::console::changes::Recorded;
use crate::console::clock::Monotonic;
use crate::console::event::ClientId;
use crate::handover::format;
use crate::handover::state::{Descriptor, State};
use crate::limits::{FDSTORE_RETRY, FDSTORE_SLOT_SIZE, LOG_RETRY};
use crate::server::memory::{self, Memory, journal};
use crate::sys::{fd, socket};

/// The prefix of the names of all descriptors in the store.
const PREFIX: &str = "procserv.";
/// The name of the memory file.
pub(crate) const STATE: &str = "state";
/// The prefix of the name of an endpoint.
pub(crate) const LISTENER: &str = "listener.";
/// The prefix of the name of a client's connection.
pub(crate) const CLIENT: &str = "client.";
/// The length of the head of a slot: its sequence number and the length of its body, both as 64-bit
/// little-endian numbers.
const HEAD: usize = 16;

/// The name of the PTY master of the child with this PID.
pub(crate) fn pty(pid: i32) -> String {
    format!("pty.{pid}")
}

/// The name of the pidfd of the child with this PID.
pub(crate) fn child(pid: i32) -> String {
    format!("child.{pid}")
}

/// The name of the socket that the child with this PID reports its readiness to.
pub(crate) fn notify_socket(pid: i32) -> String {
    format!("notices.{pid}")
}

/// The PID of the child whose pidfd has this name.
pub(crate) fn pid(name: &str) -> Option<i32> {
    name.strip_prefix("child.")?.parse().ok()
}

/// The name of an endpoint's socket. Its place among the endpoints may change; its inode does not.
pub(crate) fn listener(socket: Descriptor) -> String {
    format!("{LISTENER}{}", socket.inode)
}

/// The name of a client's connection.
pub(crate) fn client(id: ClientId) -> String {
    format!("{CLIENT}{}", id.0)
}

/// The name of the socket for the child at this place on the command line. It is the socket's name in
/// LISTEN_FDNAMES, too, unless a service manager has given it one.
pub(crate) fn child_socket(index: usize) -> String {
    format!("listen.{index}")
}

/// The name without the prefix, if the descriptor is one of a server's.
pub(crate) fn parse_name(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name.strip_prefix(PREFIX.as_bytes())?).ok()
}

/// The message that has the service manager close what it keeps under this name.
pub(crate) fn removal(name: &str) -> Vec<u8> {
    format!("FDSTOREREMOVE=1\nFDNAME={PREFIX}{name}").into_bytes()
}

/// The service manager's store as the server sees it.
#[derive(Debug)]
pub(crate) struct FdStore<N> {
    notifier: Rc<N>,
    memory: File,
    /// The stream and what changes with each read and write, from the first saved state on.
    live: Option<Memory>,
    /// True if the stream is in the memory file.
    has_stream: bool,
    /// The sequence number of the slot that was written last.
    sequence: u64,
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
        let memory = File::from(memory);
        let sequence = last(&memory).map_or(0, |(sequence, _)| sequence);
        FdStore {
            notifier,
            memory,
            live: None,
            has_stream: false,
            sequence,
            queue: VecDeque::new(),
            flush_retry: Monotonic(0),
            saved_revision: None,
            save_retry: None,
        }
    }

    /// The memory file.
    pub(crate) fn memory(&self) -> &File {
        &self.memory
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
        self.has_stream.then(|| live.unwrap_or_else(|| memory::reads(&self.memory)))
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
        let mut bytes = format::encode(state);
        let len = bytes.len();
        if len + 2 * HEAD > FDSTORE_SLOT_SIZE / 2 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let sequence = self.sequence.wrapping_add(1);
        let head = [sequence.to_le_bytes(), (len as u64).to_le_bytes()].concat();
        let begin = start(sequence);
        // Behind the body an empty journal begins.
        let end = journal::first(HEAD + len);
        bytes.resize(end + 8 - HEAD, 0);
        // The head comes last: under the old one, half a body is no state, and a whole one is none.
        memory::step();
        self.memory.write_all_at(&bytes, begin + HEAD as u64)?;
        memory::step();
        self.memory.write_all_at(&head, begin)?;
        self.sequence = sequence;
        if self.has_stream && self.live.is_none() {
            // Not before: what the server before this one read last is only now taken into account.
            self.live = Some(Memory::new(&self.memory, memory::reads(&self.memory))?);
        }
        if let Some(live) = &mut self.live {
            live.journal.begin(begin as usize + end, len);
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
        if self.memory.set_len(0).is_err() {
            // The last state goes last.
            for sequence in [self.sequence.wrapping_add(1), self.sequence] {
                let _ = self.memory.write_all_at(&[0; HEAD], start(sequence));
            }
        }
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

/// The state that the last server saved in its memory file, unless it came to an orderly end, with the
/// changes since. If they, or the bytes of the stream, are not known, the stream is left out.
pub(crate) fn saved_state(memory: &OwnedFd) -> Option<State> {
    let memory = File::from(memory.try_clone().ok()?);
    let (sequence, bytes) = last(&memory)?;
    let mut state = format::decode(&bytes).ok()?;
    if [0, 1].into_iter().any(|slot| head(&memory, slot).is_some_and(|(newer, _)| newer > sequence))
    {
        // A later one is damaged.
        state.console.forget_stream();
    } else if state.console.landed().is_some() {
        let at = start(sequence) as usize + journal::first(HEAD + bytes.len());
        match journal::read(&memory, at as u64) {
            Some(changes) => state.console.apply(changes),
            None => state.console.forget_stream(),
        }
    }
    Some(state)
}

/// The offset of the slot for this sequence number.
fn start(sequence: u64) -> u64 {
    (sequence & 1) * FDSTORE_SLOT_SIZE as u64
}

/// The sequence number and the body of the last slot that was written whole.
fn last(memory: &File) -> Option<(u64, Vec<u8>)> {
    let slots = [0, 1].into_iter().filter_map(|slot| read(memory, slot));
    slots.filter(|(_, bytes)| format::decode(bytes).is_ok()).max_by_key(|(sequence, _)| *sequence)
}

/// The sequence number of a slot, and the length of its body.
fn head(memory: &File, slot: u64) -> Option<(u64, u64)> {
    let mut head = [0; HEAD];
    memory.read_exact_at(&mut head, start(slot)).ok()?;
    let (sequence, len) = head.split_first_chunk()?;
    Some((u64::from_le_bytes(*sequence), u64::from_le_bytes(*len.first_chunk()?)))
}

fn read(memory: &File, slot: u64) -> Option<(u64, Vec<u8>)> {
    let (sequence, len) = head(memory, slot)?;
    let len = usize::try_from(len).ok()?;
    if len > FDSTORE_SLOT_SIZE - HEAD {
        return None;
    }
    let mut bytes = vec![0; len];
    memory.read_exact_at(&mut bytes, start(slot) + HEAD as u64).ok()?;
    Some((sequence, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::tests::sample::state as sample;
    use nix::libc;
    use std::cell::RefCell;

    /// A service manager that does not listen.
    #[derive(Debug)]
    struct Nobody;

    impl Notify for Nobody {
        fn send(&self, _message: &[u8], _fds: &[std::os::fd::BorrowedFd<'_>]) -> io::Result<()> {
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }

    fn state(dir: &str) -> State {
        State { dir: crate::handover::state::Text(dir.into()), ..sample() }
    }

    /// A service manager that has these errors for messages, the last one first, and then takes them.
    #[derive(Debug)]
    struct Busy {
        errors: RefCell<Vec<i32>>,
        taken: RefCell<Vec<String>>,
    }

    impl Notify for Busy {
        fn send(&self, message: &[u8], _fds: &[std::os::fd::BorrowedFd<'_>]) -> io::Result<()> {
            if let Some(errno) = self.errors.borrow_mut().pop() {
                return Err(io::Error::from_raw_os_error(errno));
            }
            self.taken.borrow_mut().push(String::from_utf8_lossy(message).into_owned());
            Ok(())
        }
    }

    #[test]
    fn error_that_passes_loses_no_message() {
        for errno in [libc::EINTR, libc::EAGAIN, libc::ENOBUFS, libc::ENOMEM, libc::ETOOMANYREFS] {
            let busy = Busy { errors: RefCell::new(vec![errno; 2]), taken: RefCell::default() };
            let manager = Rc::new(busy);
            let mut fdstore = FdStore::new(Rc::clone(&manager), 0).expect("memory");
            fdstore.remove("listener.1");
            let mut now = Monotonic(0);
            while !fdstore.is_flushed() {
                assert_eq!(manager.taken.borrow().len(), 0, "{errno}");
                fdstore.flush(now);
                now = now + FDSTORE_RETRY;
            }
            let expected = [
                "FDSTORE=1\nFDNAME=procserv.state\nFDPOLL=0",
                "FDSTOREREMOVE=1\nFDNAME=procserv.listener.1",
            ];
            assert_eq!(*manager.taken.borrow(), expected, "{errno}");
        }
    }

    fn found(fdstore: &FdStore<Nobody>) -> Option<Vec<u8>> {
        let memory = OwnedFd::from(fdstore.memory.try_clone().expect("a copy"));
        Some(saved_state(&memory)?.dir.0)
    }

    fn adopted(fdstore: &FdStore<Nobody>) -> FdStore<Nobody> {
        FdStore::adopt(Rc::new(Nobody), fdstore.memory.try_clone().expect("a copy").into())
    }

    #[test]
    fn last_state_is_found() {
        let mut fdstore = FdStore::new(Rc::new(Nobody), 0).expect("memory");
        assert_eq!(found(&fdstore), None);
        for number in 0..5 {
            fdstore.save(&state(&number.to_string()), Recorded::default()).expect("room");
            assert_eq!(found(&fdstore), Some(number.to_string().into()));
            // A shorter one leaves the end of the longer one behind it.
            fdstore.save(&state(&"x".repeat(100 - number)), Recorded::default()).expect("room");
            fdstore = adopted(&fdstore);
            assert_eq!(found(&fdstore), Some("x".repeat(100 - number).into()));
        }
    }

    #[test]
    fn torn_slot_leaves_the_other() {
        for after in 0..4 {
            let mut fdstore = FdStore::new(Rc::new(Nobody), 0).expect("memory");
            (0..after)
                .for_each(|_| fdstore.save(&state("older"), Recorded::default()).expect("room"));
            fdstore.save(&state("old"), Recorded::default()).expect("room");
            let (at, size) =
                (start(fdstore.sequence + 1), HEAD + format::encode(&state("new")).len());
            let mut before = vec![0; size];
            let _ = fdstore.memory.read_exact_at(&mut before, at);
            let mut next = adopted(&fdstore);
            next.save(&state("new"), Recorded::default()).expect("room");
            let mut whole = vec![0; size];
            fdstore.memory.read_exact_at(&mut whole, at).expect("a slot");
            for cut in 0..size {
                // The body comes before the head.
                let order = (HEAD..size).chain(0..HEAD);
                let mut torn = before.clone();
                order.take(cut).for_each(|at| torn[at] = whole[at]);
                fdstore.memory.write_all_at(&torn, at).expect("room");
                let expected = if torn == whole { "new" } else { "old" };
                assert_eq!(found(&fdstore), Some(expected.into()), "{cut} of {size}");
                if torn == whole {
                    break;
                }
                // And the next one goes where the torn one is.
                let mut again = adopted(&fdstore);
                again.save(&state("newer"), Recorded::default()).expect("room");
                assert_eq!(found(&again), Some("newer".into()));
            }
        }
    }

    #[test]
    fn damage_is_no_state_and_no_panic() {
        let bytes = |text| format::encode(&state(text));
        let [one, two] = [1, 2].map(start);
        let mut fdstore = FdStore::new(Rc::new(Nobody), 0).expect("memory");
        for at in 0..HEAD + bytes("two").len() {
            for flip in [1, 0x80, 0xff] {
                fdstore.sequence = 0;
                fdstore.save(&state("one"), Recorded::default()).expect("room");
                fdstore.save(&state("two"), Recorded::default()).expect("room");
                let at = two + at as u64;
                let mut byte = [0];
                fdstore.memory.read_exact_at(&mut byte, at).expect("a byte");
                fdstore.memory.write_all_at(&[byte[0] ^ flip], at).expect("room");
                assert!(found(&fdstore).is_some(), "{at}");
                adopted(&fdstore).save(&state("three"), Recorded::default()).expect("room");
            }
        }
        for head in [[0xff; HEAD], [0; HEAD]] {
            fdstore.memory.write_all_at(&head, one).expect("room");
            fdstore.memory.write_all_at(&head, two).expect("room");
            assert_eq!(found(&fdstore), None);
        }
        let memory = fd::in_memory(&[0; 7]).expect("memory");
        let fdstore = FdStore::adopt(Rc::new(Nobody), memory.into());
        assert_eq!(found(&fdstore), None);
        let (pipe, _other) = std::io::pipe().expect("a pipe");
        assert!(saved_state(&pipe.into()).is_none());
    }

    #[test]
    fn last_number_is_followed_by_another() {
        let fdstore = FdStore::new(Rc::new(Nobody), 0).expect("memory");
        let bytes = format::encode(&state("end"));
        let head = [u64::MAX.to_le_bytes(), (bytes.len() as u64).to_le_bytes()].concat();
        fdstore.memory.write_all_at(&[head, bytes].concat(), start(u64::MAX)).expect("room");
        let mut next = adopted(&fdstore);
        next.save(&state("begin"), Recorded::default()).expect("room");
    }
}
