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

use crate::console::event::ClientId;
use crate::handover::format;
use crate::handover::state::{Descriptor, State};
use crate::limits::FDSTORE_SLOT_SIZE;
use crate::sys::fd;
use crate::systemd::notify::Notifier;

/// What the names of all that is stored begin with.
const PREFIX: &str = "procserv.";
/// The memory file's.
pub(crate) const STATE: &str = "state";
/// What an endpoint's begins with.
pub(crate) const LISTENER: &str = "listener.";
/// What a client's begins with.
pub(crate) const CLIENT: &str = "client.";
/// A half begins with its number in the sequence and its length.
const HEAD: usize = 16;

/// The master of the PTY of the child with this PID.
pub(crate) fn pty(pid: i32) -> String {
    format!("pty.{pid}")
}

/// A child's process.
pub(crate) fn child(pid: i32) -> String {
    format!("child.{pid}")
}

/// Where a child tells that it is ready.
pub(crate) fn notify_socket(pid: i32) -> String {
    format!("notices.{pid}")
}

/// The child whose process has this name.
pub(crate) fn pid(what: &str) -> Option<i32> {
    what.strip_prefix("child.")?.parse().ok()
}

/// An endpoint's socket. Its place among the endpoints may change; what is stored keeps its name.
pub(crate) fn listener(socket: Descriptor) -> String {
    format!("{LISTENER}{}", socket.inode)
}

/// A client's connection.
pub(crate) fn client(id: ClientId) -> String {
    format!("{CLIENT}{}", id.0)
}

/// What a name in the store means, if it is one of ours.
pub(crate) fn parse_name(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name.strip_prefix(PREFIX.as_bytes())?).ok()
}

/// The message that has the manager close what it keeps under this name.
pub(crate) fn removal(what: &str) -> Vec<u8> {
    format!("FDSTOREREMOVE=1\nFDNAME={PREFIX}{what}").into_bytes()
}

/// The store as the server sees it.
#[derive(Debug)]
pub(crate) struct FdStore {
    memory: File,
    /// The number of the last half written.
    sequence: u64,
    /// What the manager is yet to be told, in this order: names, and what to keep under them.
    queue: VecDeque<(String, Option<StoredFd>)>,
}

/// A copy for the manager to keep.
#[derive(Debug)]
struct StoredFd {
    fd: OwnedFd,
    /// It is dropped when the other side is gone.
    watched: bool,
}

impl FdStore {
    /// An empty one.
    pub(crate) fn new() -> io::Result<FdStore> {
        let memory = fd::in_memory(&[])?;
        let mut fdstore = FdStore { memory, sequence: 0, queue: VecDeque::new() };
        let memory = fdstore.memory.try_clone()?;
        fdstore.store(STATE, &memory, false);
        Ok(fdstore)
    }

    /// An empty one in place of one that nobody can go on with.
    pub(crate) fn replace() -> io::Result<FdStore> {
        let mut fdstore = FdStore::new()?;
        fdstore.queue.push_front((STATE.to_owned(), None));
        Ok(fdstore)
    }

    /// One that a server before this one had.
    pub(crate) fn adopt(memory: OwnedFd) -> FdStore {
        let memory = File::from(memory);
        let sequence = last(&memory).map_or(0, |(sequence, _)| sequence);
        FdStore { memory, sequence, queue: VecDeque::new() }
    }

    /// What the last server wrote down, unless it came to an orderly end.
    pub(crate) fn state(memory: &OwnedFd) -> Option<State> {
        let memory = File::from(memory.try_clone().ok()?);
        format::decode(&last(&memory)?.1).ok()
    }

    /// The memory file.
    pub(crate) fn memory(&self) -> &File {
        &self.memory
    }

    /// Writes the state down.
    pub(crate) fn save(&mut self, state: &State) -> io::Result<()> {
        let bytes = format::encode(state);
        if bytes.len() + HEAD > FDSTORE_SLOT_SIZE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let sequence = self.sequence.wrapping_add(1);
        let head = [sequence.to_le_bytes(), (bytes.len() as u64).to_le_bytes()].concat();
        // The head last: half a body under the old one is none, a whole one an old one.
        self.memory.write_all_at(&bytes, start(sequence) + HEAD as u64)?;
        self.memory.write_all_at(&head, start(sequence))?;
        self.sequence = sequence;
        Ok(())
    }

    /// Has the manager keep a copy of `fd`. Watched, it is dropped when the other side is gone.
    pub(crate) fn store(&mut self, what: &str, fd: impl AsFd, watched: bool) {
        // Without a descriptor for a copy it does not outlive a crash.
        if let Ok(copy) = fd.as_fd().try_clone_to_owned() {
            self.queue.push_back((what.to_owned(), Some(StoredFd { fd: copy, watched })));
        }
    }

    /// Has the manager close what it keeps under this name.
    pub(crate) fn remove(&mut self, what: &str) {
        // Of what it was not told it need not know: the queue is no longer than what there is.
        let untold = self.queue.iter().rposition(|(name, kept)| name == what && kept.is_some());
        match untold {
            Some(index) => drop(self.queue.remove(index)),
            None => self.queue.push_back((what.to_owned(), None)),
        }
    }

    /// An orderly end: nothing is to be found any more.
    pub(crate) fn clear(&mut self) {
        let _ = self.memory.set_len(0);
        self.remove(STATE);
    }

    /// Tells the manager as much as it has room for. Whether that is all.
    pub(crate) fn flush(&mut self, notifier: &Notifier) -> bool {
        while let Some((what, kept)) = self.queue.front() {
            let message = match kept {
                Some(StoredFd { watched, .. }) => {
                    let poll = if *watched { "" } else { "\nFDPOLL=0" };
                    format!("FDSTORE=1\nFDNAME={PREFIX}{what}{poll}").into_bytes()
                }
                None => removal(what),
            };
            let fd = kept.as_ref().map(|kept| kept.fd.as_fd());
            match notifier.send(&message, fd.as_slice()) {
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
    (sequence & 1) * FDSTORE_SLOT_SIZE as u64
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
    if len > FDSTORE_SLOT_SIZE - HEAD {
        return None;
    }
    let mut bytes = vec![0; len];
    memory.read_exact_at(&mut bytes, start(half) + HEAD as u64).ok()?;
    Some((u64::from_le_bytes(*sequence), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::tests::sample::state as sample;

    fn state(dir: &str) -> State {
        State { dir: crate::handover::state::Text(dir.into()), ..sample() }
    }

    fn found(fdstore: &FdStore) -> Option<Vec<u8>> {
        let memory = OwnedFd::from(fdstore.memory.try_clone().expect("a copy"));
        Some(FdStore::state(&memory)?.dir.0)
    }

    fn adopted(fdstore: &FdStore) -> FdStore {
        FdStore::adopt(fdstore.memory.try_clone().expect("a copy").into())
    }

    #[test]
    fn last_state_is_found() {
        let mut fdstore = FdStore::new().expect("memory");
        assert_eq!(found(&fdstore), None);
        for number in 0..5 {
            fdstore.save(&state(&number.to_string())).expect("room");
            assert_eq!(found(&fdstore), Some(number.to_string().into()));
            // A shorter one leaves the end of the longer one behind it.
            fdstore.save(&state(&"x".repeat(100 - number))).expect("room");
            fdstore = adopted(&fdstore);
            assert_eq!(found(&fdstore), Some("x".repeat(100 - number).into()));
        }
    }

    #[test]
    fn torn_half_leaves_the_other() {
        for after in 0..4 {
            let mut fdstore = FdStore::new().expect("memory");
            (0..after).for_each(|_| fdstore.save(&state("older")).expect("room"));
            fdstore.save(&state("old")).expect("room");
            let (at, size) =
                (start(fdstore.sequence + 1), HEAD + format::encode(&state("new")).len());
            let mut before = vec![0; size];
            let _ = fdstore.memory.read_exact_at(&mut before, at);
            let mut next = adopted(&fdstore);
            next.save(&state("new")).expect("room");
            let mut whole = vec![0; size];
            fdstore.memory.read_exact_at(&mut whole, at).expect("a half");
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
                again.save(&state("newer")).expect("room");
                assert_eq!(found(&again), Some("newer".into()));
            }
        }
    }

    #[test]
    fn damage_is_no_state_and_no_panic() {
        let bytes = |text| format::encode(&state(text));
        let [one, two] = [1, 2].map(start);
        let mut fdstore = FdStore::new().expect("memory");
        for at in 0..HEAD + bytes("two").len() {
            for flip in [1, 0x80, 0xff] {
                fdstore.sequence = 0;
                fdstore.save(&state("one")).expect("room");
                fdstore.save(&state("two")).expect("room");
                let at = two + at as u64;
                let mut byte = [0];
                fdstore.memory.read_exact_at(&mut byte, at).expect("a byte");
                fdstore.memory.write_all_at(&[byte[0] ^ flip], at).expect("room");
                assert!(found(&fdstore).is_some(), "{at}");
                adopted(&fdstore).save(&state("three")).expect("room");
            }
        }
        for head in [[0xff; HEAD], [0; HEAD]] {
            fdstore.memory.write_all_at(&head, one).expect("room");
            fdstore.memory.write_all_at(&head, two).expect("room");
            assert_eq!(found(&fdstore), None);
        }
        fdstore.memory.set_len(7).expect("room");
        assert_eq!(found(&fdstore), None);
        let (pipe, _other) = std::io::pipe().expect("a pipe");
        assert!(FdStore::state(&pipe.into()).is_none());
    }

    #[test]
    fn last_number_is_followed_by_another() {
        let fdstore = FdStore::new().expect("memory");
        let bytes = format::encode(&state("end"));
        let head = [u64::MAX.to_le_bytes(), (bytes.len() as u64).to_le_bytes()].concat();
        fdstore.memory.write_all_at(&[head, bytes].concat(), start(u64::MAX)).expect("room");
        let mut next = adopted(&fdstore);
        next.save(&state("begin")).expect("room");
    }
}
