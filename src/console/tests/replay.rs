//! The part of the stream that is kept for new readers.

use super::{Seconds, at, console, settings};
use crate::console::Console;
use crate::console::clock::UnixTime;
use crate::console::event::{ChildSlot, ClientId, ClientKind, Event, Role};
use crate::console::stream::buffer::StreamBuffer;
use crate::limits::{
    HISTORY_OPTION_MAX, STREAM_BUFFER_MAX, STREAM_BUFFER_MIN, TIMESTAMP_MIN_SPACING,
};

/// Appends for readers that have everything.
fn append(buffer: &mut StreamBuffer, bytes: &[u8], second: i64) {
    let head = buffer.head();
    for part in bytes.chunks(65_536) {
        buffer.append(part, UnixTime::from_secs(second), || head);
    }
}

fn replay(buffer: &StreamBuffer) -> Vec<u8> {
    let (first, second) = buffer.slices(buffer.replay_point());
    [first, second].concat()
}

#[track_caller]
fn check(replayed: usize, said: &[u8], expected: &[u8]) {
    let mut buffer = StreamBuffer::new(false, replayed);
    append(&mut buffer, said, 0);
    assert_eq!(replay(&buffer).escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn begins_with_a_line() {
    check(0, b"one\ntwo\n", b"");
    check(8, b"", b"");
    check(9, b"one\ntwo\n", b"one\ntwo\n");
    check(8, b"one\ntwo\n", b"one\ntwo\n");
    check(7, b"one\ntwo\n", b"two\n");
    check(4, b"one\ntwo\n", b"two\n");
    check(4, b"one\ntwo", b"two");
}

#[test]
fn begins_with_any_byte_if_no_line_begins() {
    check(3, b"one\ntwo", b"two");
    check(2, b"one\ntwo", b"wo");
    check(3, b"one\ntwo\n", b"wo\n");
    check(5, b"0123456789", b"56789");
}

/// What another program handed over may be less than what this one would have kept.
#[test]
fn begins_with_the_first_byte_there_is() {
    let mut old = StreamBuffer::new(false, 0);
    append(&mut old, &vec![b'x'; 3 * STREAM_BUFFER_MIN], 0);
    append(&mut old, b"end", 0);
    let new = StreamBuffer::restore(old.snapshot(), None, false, HISTORY_OPTION_MAX).unwrap();
    assert_eq!(replay(&new).len() as u64, old.head() - old.tail());
}

#[test]
fn an_older_program_cuts_it_to_what_it_can_hold() {
    let mut old = StreamBuffer::new(true, STREAM_BUFFER_MAX);
    append(&mut old, &vec![b'x'; 3 * STREAM_BUFFER_MAX], 7);
    append(&mut old, b"end", 8);
    assert_eq!(old.memory(), 2 * STREAM_BUFFER_MAX);
    for (replayed, kept) in
        [(0, 1), (STREAM_BUFFER_MAX / 2, 1), (STREAM_BUFFER_MAX, 2), (HISTORY_OPTION_MAX, 2)]
    {
        let new = StreamBuffer::restore(old.snapshot(), None, true, replayed).unwrap();
        let kept = (kept * STREAM_BUFFER_MAX + replayed % STREAM_BUFFER_MAX) as u64;
        assert_eq!((new.head(), new.head() - new.tail()), (old.head(), kept));
        assert!(new.slices(new.tail()).0.starts_with(b"xxx"));
        assert_eq!(new.arrived(new.tail()), Some(UnixTime::from_secs(7)));
        assert_eq!(new.arrived(new.head() - 1), Some(UnixTime::from_secs(8)));
    }
}

#[test]
fn memory_comes_with_the_bytes() {
    let mut buffer = StreamBuffer::new(true, HISTORY_OPTION_MAX);
    assert_eq!(buffer.memory(), 0);
    append(&mut buffer, b"first\n", 0);
    assert_eq!(buffer.memory(), STREAM_BUFFER_MIN);
    append(&mut buffer, &vec![b'x'; 100_000], 0);
    buffer.shrink(buffer.head());
    assert_eq!((buffer.tail(), buffer.memory()), (0, 131_072));
    // Not a power of two any more.
    append(&mut buffer, &vec![b'x'; HISTORY_OPTION_MAX + STREAM_BUFFER_MAX], 0);
    assert_eq!(buffer.memory(), HISTORY_OPTION_MAX + STREAM_BUFFER_MAX);
    assert!(buffer.is_full());
    append(&mut buffer, b"\nlast\n", 0);
    assert_eq!(replay(&buffer), b"last\n");
}

#[test]
fn memory_for_readers_that_lag_is_given_back() {
    let mut buffer = StreamBuffer::new(false, 10_000);
    for _ in 0..20 {
        buffer.append(&[b'x'; 65_536], UnixTime::from_secs(0), || 0);
    }
    assert_eq!(buffer.memory(), STREAM_BUFFER_MAX + 10_000);
    buffer.shrink(buffer.head());
    assert_eq!((buffer.head() - buffer.tail(), buffer.memory()), (10_001, 16_384));
    assert_eq!(replay(&buffer).len(), 10_000);
}

#[test]
fn room_for_readers_comes_on_top() {
    let mut buffer = StreamBuffer::new(false, 100_000);
    append(&mut buffer, &vec![b'x'; 2 * STREAM_BUFFER_MAX], 0);
    let oldest = buffer.replay_point();
    assert!(buffer.has_room_before(oldest, buffer.capacity()));
    // So much more may come before it is passed.
    buffer.append(&vec![b'y'; STREAM_BUFFER_MAX], UnixTime::from_secs(0), || oldest);
    assert!(!buffer.has_room_before(oldest, buffer.capacity()));
    assert!(buffer.tail() <= oldest);
    buffer.append(b"z", UnixTime::from_secs(0), || oldest);
    assert!(buffer.tail() > oldest);
}

/// A console that says an empty line a second, for weeks.
#[test]
fn times_take_no_more_memory_than_bytes() {
    let mut buffer = StreamBuffer::new(true, 2 * STREAM_BUFFER_MAX);
    let count = buffer.capacity() as i64 + 5;
    for second in 0..count {
        append(&mut buffer, b"\n", second);
    }
    assert!(
        buffer.timestamps() <= buffer.capacity() / TIMESTAMP_MIN_SPACING,
        "{}",
        buffer.timestamps()
    );
    // The newest are exact; the others are those of a line before.
    let exact = (buffer.capacity() / TIMESTAMP_MIN_SPACING / 4) as i64;
    for second in count - exact..count {
        assert_eq!(buffer.arrived(second as u64), Some(UnixTime::from_secs(second)));
    }
    let mut last = 0;
    for at in buffer.tail()..buffer.head() {
        let told = buffer.arrived(at).unwrap().seconds;
        assert!(told <= at as i64 && told >= last, "{told} at {at}");
        last = told;
    }
}

/// The bytes that a new client gets after its greeting, without telnet's offer.
fn replayed(console: &mut Console, id: u64, role: Role) -> String {
    let id = ClientId(id);
    console.handle(Event::Joined { id, role, kind: ClientKind::Raw }, at(9000));
    let greeting = console.output(id).0.len();
    console.written(id, greeting);
    let (first, second) = console.output(id);
    String::from_utf8([first, second].concat()).unwrap()
}

#[test]
fn every_new_client_gets_the_history() {
    let stamped = settings().with(|s| {
        s.console.history = 9;
        s.log.stamp = Some(b"@".to_vec());
    });
    let mut console = console(stamped);
    for (line, second) in [("one\n", 1), ("two\n", 2), ("three", 3)] {
        console.handle(Event::Output(ChildSlot::Current, line.as_bytes()), at(1000 * second));
    }
    assert_eq!(replayed(&mut console, 1, Role::User), "two\nthree");
    assert_eq!(replayed(&mut console, 2, Role::Logger), "@2 two\n@3 three");
    // What comes next comes once.
    console.handle(Event::Output(ChildSlot::Current, b"!\n"), at(4000));
    console.written(ClientId(1), 9);
    assert_eq!(console.output(ClientId(1)).0, b"!\n");
}

#[test]
fn a_pipe_is_given_nothing() {
    let mut console = console(settings().with(|s| s.console.history = 9));
    console.handle(Event::Output(ChildSlot::Current, b"one\n"), at(0));
    let (id, role, kind) = (ClientId(1), Role::User, ClientKind::Pipe);
    console.handle(Event::Joined { id, role, kind }, at(0));
    assert_eq!(console.output(id).0, b"");
}

#[test]
fn no_history_outlives_a_crash() {
    let settings = settings().with(|s| s.console.history = 100);
    let mut console = console(settings.clone());
    console.handle(Event::Output(ChildSlot::Current, b"one\n"), at(0));
    let snapshot = console.crash_snapshot();
    let mut next = Console::restore(settings, Box::new(Seconds), snapshot).unwrap();
    assert_eq!(replayed(&mut next, 1, Role::User), "");
}
