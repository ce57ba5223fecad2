//! One reader's view of the stream, and the account of what a file did not take.

use super::{Seconds, text};
use crate::console::clock::UnixTime;
use crate::console::stream::buffer::StreamBuffer;
use crate::console::stream::reader::{Chunk, Encoding, StreamReader};
use crate::limits::{LOG_JOB_MAX, STAGE_MAX, STREAM_BUFFER_MAX};

const PLAIN: Encoding = Encoding { telnet: false, stamp: None };

fn telnet() -> Encoding {
    Encoding { telnet: true, stamp: None }
}

/// Each line begins with `@` and the second.
fn stamped() -> Encoding {
    Encoding { telnet: false, stamp: Some(b"@".to_vec()) }
}

/// A stream with one reader.
struct Pair {
    history: StreamBuffer,
    outbox: StreamReader,
}

impl Pair {
    fn new(encoding: Encoding) -> Pair {
        Pair { history: StreamBuffer::new(true, 0), outbox: StreamReader::new(0, encoding) }
    }

    fn say(&mut self, text: &[u8], second: i64) {
        let cursor = self.outbox.cursor();
        for part in text.chunks(65_536) {
            self.history.append(part, UnixTime(second), || cursor);
        }
    }

    fn pending(&mut self) -> Vec<u8> {
        let (first, second) = self.outbox.pending(&self.history, &Seconds);
        [first, second].concat()
    }

    /// The client takes at most `most` bytes.
    fn read(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = self.pending();
        bytes.truncate(most);
        self.outbox.advance(&self.history, bytes.len());
        bytes
    }

    /// The client takes everything, in such steps.
    fn read_all(&mut self, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.outbox.is_empty(&self.history) {
            let bytes = self.read(step);
            assert!(!bytes.is_empty());
            all.extend(bytes);
        }
        all
    }

    fn take(&mut self) -> Option<Chunk> {
        self.outbox.take(&self.history, &Seconds)
    }

    /// Takes a chunk, of which the first `written` bytes arrive.
    fn take_and_lose(&mut self, written: usize) -> String {
        let chunk = self.take().unwrap();
        self.outbox.lost(&chunk, written, true);
        text(&chunk.bytes)
    }
}

#[test]
fn a_plain_reader_gets_the_bytes_without_a_copy() {
    let mut pair = Pair::new(PLAIN);
    pair.say(b"one\xFF\ntwo", 0);
    assert_eq!(pair.pending(), b"one\xFF\ntwo");
    assert_eq!(pair.outbox.memory(), 0);
    assert_eq!(pair.read(4), b"one\xFF");
    assert_eq!(pair.read(100), b"\ntwo");
    assert!(pair.outbox.is_empty(&pair.history));
    assert_eq!(pair.pending(), b"");
}

#[test]
fn a_telnet_reader_gets_0xff_doubled_in_whatever_steps() {
    for step in 1..12 {
        let mut pair = Pair::new(telnet());
        pair.say(b"\xFFa\xFF\xFF", 0);
        assert_eq!(pair.read_all(step), b"\xFF\xFFa\xFF\xFF\xFF\xFF", "{step}");
        pair.say(b"more", 0);
        assert_eq!(pair.read_all(step), b"more");
        assert_eq!(pair.outbox.memory(), 0);
    }
}

#[test]
fn a_stamped_reader_gets_a_stamp_for_every_line() {
    for step in 1..40 {
        let mut pair = Pair::new(stamped());
        pair.say(b"one\n\ntw", 5);
        let mut all = if step % 2 == 0 { pair.read_all(step) } else { Vec::new() };
        pair.say(b"o\n", 6);
        pair.say(b"three", 7);
        all.extend(pair.read_all(step));
        assert_eq!(text(&all), "@5 one\n@5 \n@5 two\n@7 three", "{step}");
    }
}

#[test]
fn a_stamp_is_escaped_for_telnet() {
    let mut pair = Pair::new(Encoding { telnet: true, stamp: Some(b"\xFF".to_vec()) });
    pair.say(b"a\xFF", 5);
    assert_eq!(pair.read_all(100), b"\xFF\xFF5 a\xFF\xFF");
}

#[test]
fn a_reader_that_joins_in_a_line_gets_a_stamp_first() {
    let mut pair = Pair::new(stamped());
    pair.say(b"half ", 5);
    pair.outbox = StreamReader::new(pair.history.head(), stamped());
    assert!(pair.outbox.is_empty(&pair.history));
    pair.say(b"line\n", 6);
    assert_eq!(pair.read_all(100), b"@6 line\n");
}

#[test]
fn what_is_its_own_comes_between_two_bytes_of_the_stream() {
    let mut pair = Pair::new(telnet());
    pair.say(b"\xFFabc", 0);
    assert_eq!(pair.read(1), b"\xFF");
    pair.outbox.stage(b"ANSWER");
    assert_eq!(pair.outbox.staged(), 10);
    assert_eq!(pair.read_all(3), b"\xFFabcANSWER");
}

#[test]
fn the_staging_area_is_bounded() {
    for (encoding, bytes) in [(telnet(), &b"\xFF"[..]), (stamped(), b"\n")] {
        let mut pair = Pair::new(encoding);
        pair.say(&bytes.repeat(200_000), 7);
        while !pair.read(1000).is_empty() {
            assert!(pair.outbox.memory() <= 2 * STAGE_MAX + 100, "{}", pair.outbox.memory());
        }
        assert!(pair.outbox.is_empty(&pair.history));
    }
}

#[test]
fn a_reader_that_always_has_something_staged_needs_no_more_memory() {
    let mut pair = Pair::new(telnet());
    for _ in 0..100_000 {
        pair.outbox.stage(b"1234567890");
        pair.read(if pair.outbox.staged() > 1000 { 500 } else { 9 });
        assert!(pair.outbox.memory() <= 2 * STAGE_MAX, "{}", pair.outbox.memory());
    }
}

/// More than the history holds, its middle in the middle of a line that ends three bytes later.
fn too_much(pair: &mut Pair) {
    pair.say(&vec![b'x'; STREAM_BUFFER_MAX], 1);
    pair.say(&vec![b'y'; STREAM_BUFFER_MAX / 2 + 3], 2);
    pair.say(b"\nL", 3);
    pair.say(&vec![b'z'; STREAM_BUFFER_MAX / 2 - 5], 4);
}

#[test]
fn a_reader_that_lost_its_place_is_told_so() {
    let mut pair = Pair::new(PLAIN);
    pair.say(b"line\n", 0);
    pair.read(5);
    too_much(&mut pair);
    let skipped = STREAM_BUFFER_MAX + STREAM_BUFFER_MAX / 2 + 4;
    let line = format!("@@@ {skipped} bytes skipped: this connection reads too slowly\r\n");
    assert_eq!(text(&pair.read(1000)), line);
    assert_eq!(text(&pair.read(3)), "Lzz");
    assert_eq!(pair.read_all(usize::MAX).len(), STREAM_BUFFER_MAX / 2 - 7);
}

#[test]
fn the_line_about_the_gap_is_a_line_of_its_own() {
    for step in [1, 2, 3, 1000] {
        let mut pair = Pair::new(PLAIN);
        pair.say(b"lin", 0);
        pair.read(3);
        too_much(&mut pair);
        let mut all = Vec::new();
        while all.len() < 80 {
            all.extend(pair.read(step));
        }
        let skipped = STREAM_BUFFER_MAX + STREAM_BUFFER_MAX / 2 + 4;
        let line = format!("\r\n@@@ {skipped} bytes skipped: this connection reads too slowly\r\n");
        assert_eq!(text(&all[..line.len()]), line, "{step}");
    }
}

#[test]
fn what_was_staged_comes_before_the_gap() {
    let mut pair = Pair::new(stamped());
    pair.say(b"one\ntwo", 0);
    assert_eq!(pair.read(2), b"@0");
    too_much(&mut pair);
    assert_eq!(pair.read(100), b" one\n@0 two");
    let skipped = STREAM_BUFFER_MAX + STREAM_BUFFER_MAX / 2 + 4;
    let line = format!("\r\n@@@ {skipped} bytes skipped: this connection reads too slowly\r\n");
    assert_eq!(text(&pair.read(100)), line);
    assert_eq!(pair.read(5), b"@3 Lz", "the stamp of the line's first byte");
}

#[test]
fn a_reader_at_the_oldest_byte_has_not_lost_its_place() {
    let mut pair = Pair::new(PLAIN);
    pair.say(&vec![b'x'; STREAM_BUFFER_MAX], 0);
    assert_eq!(pair.pending().len(), STREAM_BUFFER_MAX);
    pair.say(b"y", 0);
    assert!(text(&pair.pending()).starts_with("@@@ 524289 bytes skipped"));
}

#[test]
fn a_file_takes_everything_in_pieces() {
    let mut pair = Pair::new(PLAIN);
    let stream: Vec<u8> = (0..150_000_u32).map(|n| (n / 11) as u8).collect();
    pair.say(&stream, 0);
    let mut file = Vec::new();
    while let Some(chunk) = pair.take() {
        assert!((1..=LOG_JOB_MAX).contains(&chunk.bytes.len()));
        file.extend(chunk.bytes);
    }
    assert!(file == stream);
    assert!(pair.outbox.is_empty(&pair.history));
}

#[test]
fn what_a_file_did_not_take_is_counted_and_said() {
    let mut pair = Pair::new(PLAIN);
    pair.say(b"0123456789", 0);
    assert_eq!(pair.take_and_lose(4), "0123456789");
    // In mid-line, so the announcement begins a new one.
    assert_eq!(text(&pair.take().unwrap().bytes), "\r\n@@@ 6 bytes are missing here\r\n");
    assert!(pair.take().is_none());
}

#[test]
fn an_announcement_follows_a_whole_line_directly() {
    let mut pair = Pair::new(PLAIN);
    pair.say(b"one\ntwo\n", 0);
    pair.take_and_lose(4);
    pair.say(b"three\n", 0);
    assert_eq!(text(&pair.take().unwrap().bytes), "@@@ 4 bytes are missing here\r\nthree\n");
}

#[test]
fn a_first_write_that_fails_leaves_no_open_line() {
    let mut pair = Pair::new(PLAIN);
    pair.say(b"abc", 0);
    pair.take_and_lose(0);
    assert_eq!(text(&pair.take().unwrap().bytes), "@@@ 3 bytes are missing here\r\n");
}

#[test]
fn a_write_that_fails_at_once_leaves_the_line_as_it_was() {
    let mut pair = Pair::new(PLAIN);
    pair.say(b"open", 0);
    pair.take();
    pair.say(b" line\n", 0);
    pair.take_and_lose(0);
    assert_eq!(text(&pair.take().unwrap().bytes), "\r\n@@@ 6 bytes are missing here\r\n");
}

#[test]
fn stamps_are_no_bytes_of_the_console() {
    // "@5 one\n@5 two\n@5 x": what is missing after each byte written.
    let missing = [9, 9, 9, 9, 8, 7, 6, 5, 5, 5, 5, 4, 3, 2, 1, 1, 1, 1];
    for (written, missing) in missing.into_iter().enumerate() {
        let mut pair = Pair::new(stamped());
        pair.say(b"one\ntwo\nx", 5);
        assert_eq!(pair.take_and_lose(written), "@5 one\n@5 two\n@5 x");
        let before = if [0, 7, 14].contains(&written) { "" } else { "\r\n" };
        let expected = format!("{before}@@@ {missing} bytes are missing here\r\n");
        assert_eq!(text(&pair.take().unwrap().bytes), expected, "{written}");
    }
}

/// A file that got 4 of 10 bytes, and of the next chunk, "abc" after an announcement of 32 bytes,
/// the first `written`.
fn announced_and_lost(written: usize) -> Pair {
    let mut pair = Pair::new(PLAIN);
    pair.say(b"0123456789", 0);
    pair.take_and_lose(4);
    pair.say(b"abc", 0);
    assert_eq!(pair.take_and_lose(written), "\r\n@@@ 6 bytes are missing here\r\nabc");
    pair
}

#[test]
fn an_announcement_that_was_not_begun_is_made_again() {
    let mut pair = announced_and_lost(0);
    assert_eq!(text(&pair.take().unwrap().bytes), "\r\n@@@ 9 bytes are missing here\r\n");
}

#[test]
fn an_announcement_that_was_begun_is_finished() {
    for written in 1..=32 {
        let rest = &"\r\n@@@ 6 bytes are missing here\r\n"[written..];
        let expected = format!("{rest}@@@ 3 bytes are missing here\r\n");
        let mut pair = announced_and_lost(written);
        assert_eq!(text(&pair.take().unwrap().bytes), expected);
        // Not even now.
        let mut pair = announced_and_lost(written);
        assert_eq!(pair.take_and_lose(0), expected);
        pair.say(b"d", 0);
        let again = format!("{rest}@@@ 3 bytes are missing here\r\nd");
        assert_eq!(text(&pair.take().unwrap().bytes), again);
        // Cut short in the second of the two.
        let mut pair = announced_and_lost(written);
        pair.take_and_lose(rest.len() + 5);
        pair.say(b"d", 0);
        assert_eq!(text(&pair.take().unwrap().bytes), " bytes are missing here\r\nd");
    }
}

#[test]
fn what_is_lost_after_an_announcement_is_counted_anew() {
    for (written, expected) in [(33, "\r\n@@@ 2"), (34, "\r\n@@@ 1")] {
        let mut pair = announced_and_lost(written);
        let bytes = pair.take().unwrap().bytes;
        assert_eq!(text(&bytes), format!("{expected} bytes are missing here\r\n"));
    }
}

#[test]
fn chunks_behind_a_failure_are_missing_too() {
    let mut pair = Pair::new(PLAIN);
    let chunks = ["one\n", "two\n", "three"].map(|line| {
        pair.say(line.as_bytes(), 0);
        pair.take().unwrap()
    });
    let [first, second, third] = &chunks;
    pair.outbox.lost(first, 3, true);
    pair.outbox.lost(second, 0, false);
    pair.outbox.lost(third, 0, false);
    assert_eq!(text(&pair.take().unwrap().bytes), "\r\n@@@ 10 bytes are missing here\r\n");
}

#[test]
fn what_is_given_up_is_missing() {
    let mut pair = Pair::new(PLAIN);
    pair.say(b"one\n", 0);
    pair.take_and_lose(1);
    pair.say(b"two\n", 0);
    pair.outbox.discard_pending(&pair.history);
    pair.outbox.discard_pending(&pair.history);
    pair.say(b"three\n", 0);
    let bytes = pair.take().unwrap().bytes;
    assert_eq!(text(&bytes), "\r\n@@@ 7 bytes are missing here\r\nthree\n");
}

#[test]
fn a_file_that_lost_its_place_is_told_what_is_missing() {
    let mut pair = Pair::new(PLAIN);
    pair.say(b"one\n", 0);
    pair.take_and_lose(0);
    too_much(&mut pair);
    let bytes = pair.take().unwrap().bytes;
    let missing = 4 + STREAM_BUFFER_MAX + STREAM_BUFFER_MAX / 2 + 4;
    assert!(text(&bytes).starts_with(&format!("@@@ {missing} bytes are missing here\r\nLzz")));
}
