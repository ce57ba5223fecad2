//! The stream: what is held, where, since when.

use std::cell::Cell;
use std::rc::Rc;

use proptest::prelude::*;

use crate::console::clock::UnixTime;
use crate::console::stream::buffer::StreamBuffer;
use crate::console::stream::ring::HeapRing;
use crate::limits::{STREAM_BUFFER_MAX, STREAM_BUFFER_MIN};

/// All that is held from `offset` on.
fn held(buffer: &StreamBuffer, offset: u64) -> Vec<u8> {
    let (first, second) = buffer.slices(offset);
    [first, second].concat()
}

/// A stream for which there is only so much memory, and how much that is.
fn limited(
    keep_times: bool,
    replay_len: usize,
    allocatable: usize,
) -> (StreamBuffer, Rc<Cell<usize>>) {
    let allocatable = Rc::new(Cell::new(allocatable));
    let ring = Box::new(HeapRing::limited(&allocatable));
    (StreamBuffer::in_ring(ring, keep_times, replay_len), allocatable)
}

/// Appends for a reader that needs everything.
fn append(buffer: &mut StreamBuffer, bytes: &[u8]) {
    buffer.append(bytes, UnixTime::from_secs(0), || 0);
}

/// Appends for readers that have everything.
fn append_read(buffer: &mut StreamBuffer, bytes: &[u8], second: i64) {
    let head = buffer.head();
    buffer.append(bytes, UnixTime::from_secs(second), || head);
}

#[test]
fn a_new_stream_is_empty() {
    let buffer = StreamBuffer::new(true, 0);
    assert_eq!((buffer.head(), buffer.tail(), buffer.memory()), (0, 0, 0));
    assert_eq!(held(&buffer, 0), b"");
    assert!(buffer.at_line_start());
    assert_eq!(buffer.arrived(0), None);
    assert_eq!(buffer.resume_point(), 0);
}

#[test]
fn nothing_appended_is_nothing() {
    let mut buffer = StreamBuffer::new(true, 0);
    append(&mut buffer, b"");
    assert_eq!((buffer.head(), buffer.memory()), (0, 0));
}

#[test]
fn a_line_is_open_until_its_end() {
    let mut buffer = StreamBuffer::new(false, 0);
    for (bytes, closed) in [(&b"a"[..], false), (b"b\n", true), (b"\r", false), (b"\n", true)] {
        append(&mut buffer, bytes);
        assert_eq!(buffer.at_line_start(), closed, "{bytes:?}");
    }
}

#[test]
fn wraps_around() {
    let mut buffer = StreamBuffer::new(false, 0);
    append_read(&mut buffer, &[b'a'; 4000], 0);
    append_read(&mut buffer, &[b'b'; 96], 0);
    // The ring is full to its last byte.
    assert_eq!(buffer.slices(4000), (&[b'b'; 96][..], &b""[..]));
    append_read(&mut buffer, b"c", 0);
    assert_eq!((buffer.head(), buffer.tail(), buffer.memory()), (4097, 1, STREAM_BUFFER_MIN));
    append_read(&mut buffer, &[b'd'; 10], 0);
    let (first, second) = buffer.slices(4090);
    assert_eq!((first, second), (&b"bbbbbb"[..], &b"cdddddddddd"[..]));
    assert_eq!(buffer.slices(4096), (&b"cdddddddddd"[..], &b""[..]));
    assert_eq!(buffer.slices(buffer.head()), (&b""[..], &b""[..]));
    // An offset that is held no more means the oldest byte.
    assert_eq!(held(&buffer, 0).len(), STREAM_BUFFER_MIN);
}

#[test]
fn an_append_may_end_at_the_end_of_the_ring() {
    let mut buffer = StreamBuffer::new(false, 0);
    append_read(&mut buffer, &[b'a'; STREAM_BUFFER_MIN], 0);
    append_read(&mut buffer, &[b'b'; STREAM_BUFFER_MIN], 0);
    assert_eq!(buffer.slices(4096), (&[b'b'; STREAM_BUFFER_MIN][..], &b""[..]));
    assert_eq!(buffer.memory(), STREAM_BUFFER_MIN);
}

#[test]
fn grows_for_a_reader_that_needs_it_only() {
    let mut buffer = StreamBuffer::new(false, 0);
    append(&mut buffer, &[b'a'; 4096]);
    assert_eq!(buffer.memory(), 4096);
    append(&mut buffer, b"b");
    assert_eq!((buffer.tail(), buffer.memory()), (0, 8192));
    assert_eq!(held(&buffer, 4095), b"ab");
    append_read(&mut buffer, &[b'c'; 5000], 0);
    assert_eq!((buffer.tail(), buffer.memory()), (905, 8192));
    // A turn's output is more than the ring, needed or not.
    append_read(&mut buffer, &[b'd'; 65_536], 0);
    assert_eq!((buffer.head() - buffer.tail(), buffer.memory()), (65_536, 65_536));
}

#[test]
fn grows_to_its_limit_and_no_further() {
    let mut buffer = StreamBuffer::new(false, 0);
    for _ in 0..40 {
        append(&mut buffer, &[b'x'; 65_536]);
        assert!(buffer.memory() <= STREAM_BUFFER_MAX);
    }
    assert_eq!((buffer.tail(), buffer.memory()), (24 * 65_536, STREAM_BUFFER_MAX));
}

#[test]
fn keeps_what_is_held_when_it_grows_in_the_middle_of_a_lap() {
    let mut buffer = StreamBuffer::new(false, 0);
    let bytes: Vec<u8> = (0..10_000_u32).map(|n| (n / 7) as u8).collect();
    append_read(&mut buffer, &bytes[..4096], 0);
    append_read(&mut buffer, &bytes[4096..6000], 0);
    let tail = buffer.tail();
    buffer.append(&bytes[6000..], UnixTime::from_secs(0), || tail);
    assert_eq!((buffer.tail(), buffer.memory()), (tail, 8192));
    assert_eq!(held(&buffer, tail), bytes[tail as usize..]);
}

#[test]
fn shrinks_to_what_is_needed() {
    let mut buffer = StreamBuffer::new(false, 0);
    for _ in 0..17 {
        append(&mut buffer, &[b'x'; 65_536]);
    }
    append(&mut buffer, b"end");
    let head = buffer.head();
    buffer.shrink(head - STREAM_BUFFER_MAX as u64 / 4 - 1);
    assert_eq!(buffer.memory(), STREAM_BUFFER_MAX, "more than a quarter is needed");
    buffer.shrink(head - STREAM_BUFFER_MAX as u64 / 4);
    assert_eq!((head - buffer.tail(), buffer.memory()), (1 << 18, 1 << 18));
    buffer.shrink(head - 5000);
    assert_eq!((head - buffer.tail(), buffer.memory()), (5000, 8192));
    assert_eq!(held(&buffer, head - 5), b"xxend");
}

#[test]
fn shrinks_to_a_page_when_nothing_is_needed() {
    let mut buffer = StreamBuffer::new(false, 0);
    append(&mut buffer, &[b'x'; 65_536]);
    buffer.shrink(buffer.head());
    assert_eq!(buffer.memory(), STREAM_BUFFER_MIN);
    assert!(!buffer.at_line_start(), "the line is open still");
    append(&mut buffer, b"\n");
    buffer.shrink(buffer.head());
    assert!(buffer.at_line_start());
    append_read(&mut buffer, b"abc", 0);
    assert_eq!(held(&buffer, 65_536), b"\nabc");
}

#[test]
fn without_memory_to_grow_the_newest_bytes_are_held() {
    let (mut buffer, allocatable) = limited(false, 100_000, 20_000);
    append(&mut buffer, &[b'x'; 10_000]);
    assert!(!buffer.is_short_of_memory());
    append(&mut buffer, &[b'y'; 10_000]);
    assert!(buffer.is_short_of_memory() && buffer.is_full());
    assert_eq!((buffer.capacity(), buffer.head() - buffer.tail()), (16_384, 16_384));
    assert_eq!(held(&buffer, 0), [&[b'x'; 6_384][..], &[b'y'; 10_000]].concat());
    // More than there is room for at all.
    append(&mut buffer, &[b'z'; 50_000]);
    assert_eq!((buffer.head(), held(&buffer, 0)), (70_000, vec![b'z'; 16_384]));
    assert!(!buffer.has_room_before(buffer.tail(), buffer.capacity()));
    // There is memory again. That is found out only some output later.
    allocatable.set(usize::MAX);
    append(&mut buffer, b"a");
    assert!(!buffer.is_short_of_memory());
    assert_eq!(buffer.memory(), 32_768);
    assert_eq!(held(&buffer, 0).len(), 16_385);
}

#[test]
fn without_any_memory_nothing_is_held() {
    let (mut buffer, _) = limited(true, 0, 0);
    append(&mut buffer, b"abc\n");
    assert_eq!((buffer.head(), buffer.tail(), buffer.memory()), (4, 4, 0));
    assert!(buffer.at_line_start() && buffer.is_short_of_memory());
    assert_eq!((buffer.resume_point(), held(&buffer, 4)), (4, vec![]));
}

#[test]
fn lines_have_the_second_in_which_they_came() {
    let mut buffer = StreamBuffer::new(true, 0);
    for (bytes, second) in [(&b"ab"[..], 10), (b"c", 10), (b"d", 11), (b"ef", 9)] {
        append_read(&mut buffer, bytes, second);
    }
    let seconds: Vec<i64> = (0..6).map(|at| buffer.arrived(at).unwrap().seconds).collect();
    assert_eq!(seconds, [10, 10, 10, 11, 9, 9]);
}

#[test]
fn times_of_bytes_that_are_gone_are_forgotten() {
    let mut buffer = StreamBuffer::new(true, 0);
    for second in 0..3 * STREAM_BUFFER_MIN as i64 {
        append_read(&mut buffer, b"x", second);
    }
    let tail = buffer.tail();
    assert_eq!(buffer.arrived(tail), Some(UnixTime::from_secs(tail as i64)));
    assert_eq!(
        buffer.arrived(buffer.head() - 1),
        Some(UnixTime::from_secs(3 * STREAM_BUFFER_MIN as i64 - 1))
    );
    assert_eq!(buffer.arrived(tail - 1), None);
}

#[test]
fn no_time_is_kept_unless_wanted() {
    let mut buffer = StreamBuffer::new(false, 0);
    append_read(&mut buffer, b"x", 7);
    assert_eq!(buffer.arrived(0), None);
}

#[test]
fn knows_from_where_on_there_is_no_0xff() {
    let mut buffer = StreamBuffer::new(false, 0);
    append_read(&mut buffer, b"abc", 0);
    assert!(!buffer.may_have_ff_from(0));
    append_read(&mut buffer, b"d\xFF", 0);
    append_read(&mut buffer, b"fgh", 0);
    assert!(buffer.may_have_ff_from(0));
    assert!(buffer.may_have_ff_from(4));
    assert!(!buffer.may_have_ff_from(5));
}

/// The ring after 2 MiB of which the last is `last`.
fn full(last: &[u8]) -> StreamBuffer {
    assert_eq!(last.len(), STREAM_BUFFER_MAX);
    let mut buffer = StreamBuffer::new(false, 0);
    for part in last.chunks(65_536).chain(last.chunks(65_536)) {
        append(&mut buffer, part);
    }
    assert_eq!(buffer.tail(), STREAM_BUFFER_MAX as u64);
    buffer
}

#[test]
fn resumes_at_the_first_line_of_the_newer_half() {
    let middle = STREAM_BUFFER_MAX / 2;
    for (newlines, expected) in [
        (&[][..], middle),
        (&[middle - 2], middle),
        (&[middle - 1], middle),
        (&[middle], middle + 1),
        (&[10, middle + 5, middle + 9], middle + 6),
        (&[STREAM_BUFFER_MAX - 1], STREAM_BUFFER_MAX),
    ] {
        let mut last = vec![b'x'; STREAM_BUFFER_MAX];
        for &at in newlines {
            last[at] = b'\n';
        }
        assert_eq!(
            full(&last).resume_point(),
            (STREAM_BUFFER_MAX + expected) as u64,
            "{newlines:?}"
        );
    }
}

proptest! {
    /// Whatever is appended, needed and given back: what is held is the end of the stream, and all
    /// of it that is needed or replayed, as far as the capacity allows.
    #[test]
    fn holds_the_end_of_the_stream(
        replayed in prop_oneof![Just(0_usize), 1_usize..300_000],
        steps in prop::collection::vec(
            (0_usize..70_000, 0_u64..200_000, any::<bool>(), any::<u8>()), 1..40,
        ),
        allocatable in prop_oneof![Just(usize::MAX), 0_usize..300_000],
    ) {
        let (mut buffer, _) = limited(true, replayed, allocatable);
        let mut stream = Vec::new();
        for (len, behind, shrink, byte) in steps {
            let bytes: Vec<u8> = (0..len).map(|n| (n as u8) ^ byte).collect();
            let needed = (stream.len() as u64).saturating_sub(behind).max(buffer.tail());
            buffer.append(&bytes, UnixTime::from_secs(byte.into()), || needed);
            stream.extend_from_slice(&bytes);
            if shrink {
                buffer.shrink(needed);
            }
            prop_assert_eq!(buffer.head(), stream.len() as u64);
            let kept = needed.min((stream.len() as u64).saturating_sub(replayed as u64));
            prop_assert!(buffer.tail() <= kept || buffer.memory() < stream.len() - kept as usize);
            prop_assert!(buffer.is_short_of_memory() || buffer.tail() <= kept);
            prop_assert!(buffer.memory() <= buffer.capacity().min(allocatable));
            prop_assert!(held(&buffer, 0) == stream[buffer.tail() as usize..]);
            prop_assert!(stream.is_empty() || buffer.arrived(buffer.tail()).is_some()
                || buffer.tail() == buffer.head());
        }
    }
}
