//! Which client the child's output waits for.

use super::{at, console, settings};
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::console::event::{ChildSlot, ClientId, ClientKind, Event, Role};
use crate::limits::{
    CLIENT_READS, CLIENT_WAIT, NEW_CLIENT_WAIT, PTY_BUDGET, STREAM_BUFFER_EXTENDED,
    STREAM_BUFFER_MAX,
};

const A: ClientId = ClientId(1);

#[test]
fn a_client_that_may_never_read_is_waited_for_shortly_and_once() {
    let mut console = console(settings());
    console.handle(Event::Joined { id: A, role: Role::User, kind: ClientKind::Telnet }, at(0));
    let mut need = |millis: u64| {
        console.handle(Event::Output(ChildSlot::Current, &[b'x'; 1 << 20]), at(millis));
        console.update_backpressure(at(millis).mono, |_| 0);
        console.backpressure_deadline(at(millis).mono)
    };
    assert_eq!(need(1_000), Some(at(1_000).mono + NEW_CLIENT_WAIT));
    assert_eq!(need(1_004), None);
    assert_eq!(need(9_000), None);
}

#[test]
fn clients_that_lag_together_are_waited_for() {
    let mut console = console(settings());
    for id in [A, ClientId(2)] {
        console.handle(Event::Joined { id, role: Role::User, kind: ClientKind::Telnet }, at(0));
    }
    console.handle(Event::Output(ChildSlot::Current, &[b'x'; 1 << 20]), at(1_000));
    console.update_backpressure(at(1_000).mono, |_| 0);
    let until = Some(at(1_000).mono + CLIENT_WAIT);
    assert_eq!(console.backpressure_deadline(at(1_000).mono), until);
}

#[test]
fn stopped_terminal_and_pipe_do_not_lag_with_a_client() {
    let mut console = console(settings());
    for (id, kind) in [(1, ClientKind::Telnet), (2, ClientKind::Terminal), (3, ClientKind::Pipe)] {
        console.handle(Event::Joined { id: ClientId(id), role: Role::User, kind }, at(0));
    }
    console.handle(Event::Output(ChildSlot::Current, &[b'x'; 1 << 20]), at(1_000));
    console.update_backpressure(at(1_000).mono, |_| 0);
    let until = Some(at(1_000).mono + NEW_CLIENT_WAIT);
    assert_eq!(console.backpressure_deadline(at(1_000).mono), until);
}

/// A console with one client, and what that client's kernel holds.
struct Watched {
    console: Console,
    unread: usize,
}

impl Watched {
    fn new() -> Watched {
        let mut console = console(settings());
        console.handle(Event::Joined { id: A, role: Role::User, kind: ClientKind::Telnet }, at(0));
        Watched { console, unread: 0 }
    }

    /// The child writes as much as in one turn.
    fn outputs(&mut self, millis: u64) {
        self.console.handle(Event::Output(ChildSlot::Current, &[b'x'; PTY_BUDGET]), at(millis));
    }

    /// The kernel takes so many bytes for the client.
    fn takes(&mut self, most: usize) {
        let (first, second) = self.console.output(A);
        let count = most.min(first.len() + second.len());
        self.console.written(A, count);
        self.unread += count;
    }

    /// Until when the output waits.
    fn waits(&mut self, millis: u64) -> Option<Monotonic> {
        let unread = self.unread;
        self.console.update_backpressure(at(millis).mono, |_| unread);
        self.console.backpressure_deadline(at(millis).mono)
    }

    /// The client has read something, its kernel is full, and it lags as far as a ring of so many bytes
    /// lets it.
    fn lags(&mut self, millis: u64, capacity: usize) {
        self.takes(PTY_BUDGET);
        assert_eq!(self.waits(millis), None);
        while self.lag() <= (capacity - 2 * PTY_BUDGET) as u64 {
            assert_eq!(self.waits(millis), None, "at {}", self.lag());
            self.unread -= 1;
            self.outputs(millis);
        }
    }

    fn lag(&self) -> u64 {
        self.console.stream.head() - self.console.clients[&A].reader.cursor()
    }

    fn has_been_passed(&self) -> bool {
        self.console.clients[&A].reader.cursor() < self.console.stream.tail()
    }
}

#[test]
fn a_client_that_reads_is_waited_for_when_the_stream_is_as_large_as_it_may_be() {
    let mut watched = Watched::new();
    watched.lags(1_000, STREAM_BUFFER_EXTENDED);
    let until = |millis| Some(at(millis).mono + CLIENT_READS);
    assert_eq!(watched.waits(1_000), until(1_000));
    assert_eq!(watched.waits(1_200), until(1_000), "it reads nothing");
    watched.unread -= 1;
    assert_eq!(watched.waits(1_249), until(1_249), "it reads a byte");
    // It may read as slowly as it likes.
    for turn in 1..40 {
        watched.unread -= 1;
        assert_eq!(watched.waits(1_249 + 249 * turn), until(1_249 + 249 * turn));
    }
    watched.takes(PTY_BUDGET);
    assert_eq!(watched.waits(10_961), None, "there is room");
    assert!(!watched.has_been_passed());
}

#[test]
fn a_client_that_reads_no_more_is_told_what_it_misses() {
    let mut watched = Watched::new();
    watched.lags(1_000, STREAM_BUFFER_EXTENDED);
    assert_eq!(watched.waits(1_000), Some(at(1_000).mono + CLIENT_READS));
    assert!(watched.console.stream.is_extended());
    // It may be only out of its turn, but nobody knows.
    assert_eq!(watched.waits(1_250), Some(at(1_250).mono + CLIENT_WAIT));
    assert_eq!(watched.console.stream.memory(), STREAM_BUFFER_MAX);
    assert!(watched.has_been_passed());
    assert_eq!(watched.waits(1_270), None);
    watched.outputs(1_270);
    assert_eq!(watched.waits(1_270), None, "it is not waited for again");
    // Not before it reads.
    watched.takes(1);
    watched.unread -= 2;
    assert_eq!(watched.waits(1_300), None);
    while watched.lag() < STREAM_BUFFER_MAX as u64 {
        watched.outputs(1_300);
    }
    assert_eq!(watched.waits(1_300), None, "the stream grows for it");
    assert!(watched.console.stream.is_extended());
}

#[test]
fn the_stream_shrinks_when_no_reader_needs_it() {
    let mut watched = Watched::new();
    watched.lags(1_000, 3 * STREAM_BUFFER_MAX);
    assert_eq!(watched.waits(1_000), None);
    assert_eq!(watched.console.stream.memory(), 4 * STREAM_BUFFER_MAX);
    while watched.lag() > STREAM_BUFFER_MAX as u64 / 2 {
        assert!(watched.console.stream.is_extended());
        watched.takes(PTY_BUDGET);
        watched.waits(1_001);
    }
    assert!(!watched.console.stream.is_extended());
    assert_eq!(watched.console.stream.memory(), STREAM_BUFFER_MAX);
    assert!(!watched.has_been_passed());
}

/// The kernel of a TCP client takes bytes that nobody reads, and does so long afterwards.
#[test]
fn what_a_kernel_takes_does_not_count() {
    let mut watched = Watched::new();
    watched.outputs(1_000);
    watched.takes(PTY_BUDGET);
    let elsewhere = 2 * PTY_BUDGET;
    watched.unread += elsewhere;
    for millis in 1_000..1_010 {
        watched.unread -= 1000;
        watched.outputs(millis);
        watched.takes(10);
        assert_eq!(watched.waits(millis), None);
    }
    while watched.lag() < STREAM_BUFFER_MAX as u64 {
        watched.outputs(1_011);
    }
    assert_eq!(watched.waits(1_011), Some(at(1_011).mono + NEW_CLIENT_WAIT));
    assert!(!watched.console.stream.is_extended());
}
