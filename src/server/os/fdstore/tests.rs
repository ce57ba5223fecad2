//! Tests of the store as a whole.

use super::slots::{HEAD, start};
use super::*;
use crate::handover::format;
use crate::handover::tests::sample::state as sample;
use nix::libc;
use std::cell::RefCell;
use std::os::unix::fs::FileExt;

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
    let memory = OwnedFd::from(fdstore.memory().try_clone().expect("a copy"));
    Some(saved_state(&memory)?.dir.0)
}

fn adopted(fdstore: &FdStore<Nobody>) -> FdStore<Nobody> {
    FdStore::adopt(Rc::new(Nobody), fdstore.memory().try_clone().expect("a copy").into())
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
        (0..after).for_each(|_| fdstore.save(&state("older"), Recorded::default()).expect("room"));
        fdstore.save(&state("old"), Recorded::default()).expect("room");
        let (at, size) =
            (start(fdstore.slots.sequence + 1), HEAD + format::encode(&state("new")).len());
        let mut before = vec![0; size];
        let _ = fdstore.memory().read_exact_at(&mut before, at);
        let mut next = adopted(&fdstore);
        next.save(&state("new"), Recorded::default()).expect("room");
        let mut whole = vec![0; size];
        fdstore.memory().read_exact_at(&mut whole, at).expect("a slot");
        for cut in 0..size {
            // The body comes before the head.
            let order = (HEAD..size).chain(0..HEAD);
            let mut torn = before.clone();
            order.take(cut).for_each(|at| torn[at] = whole[at]);
            fdstore.memory().write_all_at(&torn, at).expect("room");
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
            fdstore.slots.sequence = 0;
            fdstore.save(&state("one"), Recorded::default()).expect("room");
            fdstore.save(&state("two"), Recorded::default()).expect("room");
            let at = two + at as u64;
            let mut byte = [0];
            fdstore.memory().read_exact_at(&mut byte, at).expect("a byte");
            fdstore.memory().write_all_at(&[byte[0] ^ flip], at).expect("room");
            assert!(found(&fdstore).is_some(), "{at}");
            adopted(&fdstore).save(&state("three"), Recorded::default()).expect("room");
        }
    }
    for head in [[0xff; HEAD], [0; HEAD]] {
        fdstore.memory().write_all_at(&head, one).expect("room");
        fdstore.memory().write_all_at(&head, two).expect("room");
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
    fdstore.memory().write_all_at(&[head, bytes].concat(), start(u64::MAX)).expect("room");
    let mut next = adopted(&fdstore);
    next.save(&state("begin"), Recorded::default()).expect("room");
}
