//! One reader's view of the stream, and the count of what was not written to a file.

use super::{Seconds, text};
use crate::console::clock::UnixTime;
use crate::console::stream::buffer::StreamBuffer;
use crate::console::stream::chunk::Chunk;
use crate::console::stream::encode::Encoding;
use crate::console::stream::reader::StreamReader;
use crate::limits::{LOG_JOB_MAX, STAGE_MAX, STREAM_BUFFER_MAX};

fn telnet() -> Encoding {
    Encoding { telnet: true, stamp: None, plain: false }
}

/// Each line begins with `@` and the second.
fn stamped() -> Encoding {
    Encoding { telnet: false, stamp: Some(b"@".to_vec()), plain: false }
}

/// A stream with one reader.
struct Fixture {
    buffer: StreamBuffer,
    reader: StreamReader,
}

impl Fixture {
    fn new(encoding: Encoding) -> Fixture {
        Fixture { buffer: StreamBuffer::new(true, 0), reader: StreamReader::new(0, encoding) }
    }

    fn say(&mut self, text: &[u8], second: i64) {
        let cursor = self.reader.cursor();
        for part in text.chunks(65_536) {
            self.buffer.append(part, UnixTime::from_secs(second), || cursor);
        }
    }

    fn pending(&mut self) -> Vec<u8> {
        let (first, second) = self.reader.pending(&self.buffer, &Seconds);
        [first, second].concat()
    }

    /// The client takes at most `most` bytes.
    fn read(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = self.pending();
        bytes.truncate(most);
        self.reader.advance(&self.buffer, bytes.len());
        bytes
    }

    /// The client takes everything, in such steps.
    fn read_all(&mut self, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.reader.is_empty(&self.buffer) {
            let bytes = self.read(step);
            assert!(!bytes.is_empty());
            all.extend(bytes);
        }
        all
    }

    fn take(&mut self) -> Option<Chunk> {
        self.reader.take(&self.buffer, &Seconds)
    }

    /// Takes a chunk, of which the first `written` bytes arrive.
    fn take_and_lose(&mut self, written: usize) -> String {
        let chunk = self.take().unwrap();
        self.reader.lost(&chunk, written, true);
        text(&chunk.bytes)
    }
}

#[test]
fn a_plain_reader_gets_the_bytes_without_a_copy() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    fixture.say(b"one\xFF\ntwo", 0);
    assert_eq!(fixture.pending(), b"one\xFF\ntwo");
    assert_eq!(fixture.reader.memory(), 0);
    assert_eq!(fixture.read(4), b"one\xFF");
    assert_eq!(fixture.read(100), b"\ntwo");
    assert!(fixture.reader.is_empty(&fixture.buffer));
    assert_eq!(fixture.pending(), b"");
}

#[test]
fn a_telnet_reader_gets_0xff_doubled_in_whatever_steps() {
    for step in 1..12 {
        let mut fixture = Fixture::new(telnet());
        fixture.say(b"\xFFa\xFF\xFF", 0);
        assert_eq!(fixture.read_all(step), b"\xFF\xFFa\xFF\xFF\xFF\xFF", "{step}");
        fixture.say(b"more", 0);
        assert_eq!(fixture.read_all(step), b"more");
        assert_eq!(fixture.reader.memory(), 0);
    }
}

#[test]
fn a_stamped_reader_gets_a_stamp_for_every_line() {
    for step in 1..40 {
        let mut fixture = Fixture::new(stamped());
        fixture.say(b"one\n\ntw", 5);
        let mut all = if step % 2 == 0 { fixture.read_all(step) } else { Vec::new() };
        fixture.say(b"o\n", 6);
        fixture.say(b"three", 7);
        all.extend(fixture.read_all(step));
        assert_eq!(text(&all), "@5 one\n@5 \n@5 two\n@7 three", "{step}");
    }
}

#[test]
fn a_stamp_is_escaped_for_telnet() {
    let mut fixture =
        Fixture::new(Encoding { telnet: true, stamp: Some(b"\xFF".to_vec()), plain: false });
    fixture.say(b"a\xFF", 5);
    assert_eq!(fixture.read_all(100), b"\xFF\xFF5 a\xFF\xFF");
}

#[test]
fn a_reader_that_joins_in_a_line_gets_a_stamp_first() {
    let mut fixture = Fixture::new(stamped());
    fixture.say(b"half ", 5);
    fixture.reader = StreamReader::new(fixture.buffer.head(), stamped());
    assert!(fixture.reader.is_empty(&fixture.buffer));
    fixture.say(b"line\n", 6);
    assert_eq!(fixture.read_all(100), b"@6 line\n");
}

#[test]
fn staged_bytes_come_between_two_bytes_of_the_stream() {
    let mut fixture = Fixture::new(telnet());
    fixture.say(b"\xFFabc", 0);
    assert_eq!(fixture.read(1), b"\xFF");
    fixture.reader.stage(b"ANSWER");
    assert_eq!(fixture.reader.staged(), 10);
    assert_eq!(fixture.read_all(3), b"\xFFabcANSWER");
}

#[test]
fn the_staging_area_is_bounded() {
    for (encoding, bytes) in [(telnet(), &b"\xFF"[..]), (stamped(), b"\n")] {
        let mut fixture = Fixture::new(encoding);
        fixture.say(&bytes.repeat(200_000), 7);
        while !fixture.read(1000).is_empty() {
            assert!(fixture.reader.memory() <= 2 * STAGE_MAX + 100, "{}", fixture.reader.memory());
        }
        assert!(fixture.reader.is_empty(&fixture.buffer));
    }
}

#[test]
fn a_reader_that_always_has_something_staged_needs_no_more_memory() {
    let mut fixture = Fixture::new(telnet());
    for _ in 0..100_000 {
        fixture.reader.stage(b"1234567890");
        fixture.read(if fixture.reader.staged() > 1000 { 500 } else { 9 });
        assert!(fixture.reader.memory() <= 2 * STAGE_MAX, "{}", fixture.reader.memory());
    }
}

/// More than the buffer holds, its middle in the middle of a line that ends three bytes later.
fn too_much(fixture: &mut Fixture) {
    fixture.say(&vec![b'x'; STREAM_BUFFER_MAX], 1);
    fixture.say(&vec![b'y'; STREAM_BUFFER_MAX / 2 + 3], 2);
    fixture.say(b"\nL", 3);
    fixture.say(&vec![b'z'; STREAM_BUFFER_MAX / 2 - 5], 4);
}

#[test]
fn a_client_that_the_stream_passed_is_told_so() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    fixture.say(b"line\n", 0);
    fixture.read(5);
    too_much(&mut fixture);
    let skipped = STREAM_BUFFER_MAX + STREAM_BUFFER_MAX / 2 + 4;
    let line = format!("@@@ {skipped} bytes skipped: this connection reads too slowly\r\n");
    assert_eq!(text(&fixture.read(1000)), line);
    assert_eq!(text(&fixture.read(3)), "Lzz");
    assert_eq!(fixture.read_all(usize::MAX).len(), STREAM_BUFFER_MAX / 2 - 7);
}

#[test]
fn the_line_about_the_gap_is_a_line_of_its_own() {
    for step in [1, 2, 3, 1000] {
        let mut fixture = Fixture::new(Encoding::UNCHANGED);
        fixture.say(b"lin", 0);
        fixture.read(3);
        too_much(&mut fixture);
        let mut all = Vec::new();
        while all.len() < 80 {
            all.extend(fixture.read(step));
        }
        let skipped = STREAM_BUFFER_MAX + STREAM_BUFFER_MAX / 2 + 4;
        let line = format!("\r\n@@@ {skipped} bytes skipped: this connection reads too slowly\r\n");
        assert_eq!(text(&all[..line.len()]), line, "{step}");
    }
}

#[test]
fn what_was_staged_comes_before_the_gap() {
    let mut fixture = Fixture::new(stamped());
    fixture.say(b"one\ntwo", 0);
    assert_eq!(fixture.read(2), b"@0");
    too_much(&mut fixture);
    assert_eq!(fixture.read(100), b" one\n@0 two");
    let skipped = STREAM_BUFFER_MAX + STREAM_BUFFER_MAX / 2 + 4;
    let line = format!("\r\n@@@ {skipped} bytes skipped: this connection reads too slowly\r\n");
    assert_eq!(text(&fixture.read(100)), line);
    assert_eq!(fixture.read(5), b"@3 Lz", "the stamp of the line's first byte");
}

#[test]
fn a_reader_at_the_oldest_byte_has_not_been_passed() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    fixture.say(&vec![b'x'; STREAM_BUFFER_MAX], 0);
    assert_eq!(fixture.pending().len(), STREAM_BUFFER_MAX);
    fixture.say(b"y", 0);
    assert!(text(&fixture.pending()).starts_with("@@@ 524289 bytes skipped"));
}

#[test]
fn a_file_takes_everything_in_pieces() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    let stream: Vec<u8> = (0..150_000_u32).map(|n| (n / 11) as u8).collect();
    fixture.say(&stream, 0);
    let mut file = Vec::new();
    while let Some(chunk) = fixture.take() {
        assert!((1..=LOG_JOB_MAX).contains(&chunk.bytes.len()));
        file.extend(chunk.bytes);
    }
    assert!(file == stream);
    assert!(fixture.reader.is_empty(&fixture.buffer));
}

#[test]
fn what_a_file_did_not_take_is_counted_and_said() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    fixture.say(b"0123456789", 0);
    assert_eq!(fixture.take_and_lose(4), "0123456789");
    // In mid-line, so the announcement begins a new one.
    assert_eq!(text(&fixture.take().unwrap().bytes), "\r\n@@@ 6 bytes are missing here\r\n");
    assert!(fixture.take().is_none());
}

#[test]
fn an_announcement_follows_a_whole_line_directly() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    fixture.say(b"one\ntwo\n", 0);
    fixture.take_and_lose(4);
    fixture.say(b"three\n", 0);
    assert_eq!(text(&fixture.take().unwrap().bytes), "@@@ 4 bytes are missing here\r\nthree\n");
}

#[test]
fn a_first_write_that_fails_leaves_no_open_line() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    fixture.say(b"abc", 0);
    fixture.take_and_lose(0);
    assert_eq!(text(&fixture.take().unwrap().bytes), "@@@ 3 bytes are missing here\r\n");
}

#[test]
fn a_write_that_fails_at_once_leaves_the_line_as_it_was() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    fixture.say(b"open", 0);
    fixture.take();
    fixture.say(b" line\n", 0);
    fixture.take_and_lose(0);
    assert_eq!(text(&fixture.take().unwrap().bytes), "\r\n@@@ 6 bytes are missing here\r\n");
}

#[test]
fn stamps_are_no_bytes_of_the_console() {
    // "@5 one\n@5 two\n@5 x": what is missing after each byte written.
    let missing = [9, 9, 9, 9, 8, 7, 6, 5, 5, 5, 5, 4, 3, 2, 1, 1, 1, 1];
    for (written, missing) in missing.into_iter().enumerate() {
        let mut fixture = Fixture::new(stamped());
        fixture.say(b"one\ntwo\nx", 5);
        assert_eq!(fixture.take_and_lose(written), "@5 one\n@5 two\n@5 x");
        let before = if [0, 7, 14].contains(&written) { "" } else { "\r\n" };
        let expected = format!("{before}@@@ {missing} bytes are missing here\r\n");
        assert_eq!(text(&fixture.take().unwrap().bytes), expected, "{written}");
    }
}

/// A file that got 4 of 10 bytes, and of the next chunk, "abc" after an announcement of 32 bytes,
/// the first `written`.
fn announced_and_lost(written: usize) -> Fixture {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    fixture.say(b"0123456789", 0);
    fixture.take_and_lose(4);
    fixture.say(b"abc", 0);
    assert_eq!(fixture.take_and_lose(written), "\r\n@@@ 6 bytes are missing here\r\nabc");
    fixture
}

#[test]
fn an_announcement_that_was_not_begun_is_made_again() {
    let mut fixture = announced_and_lost(0);
    assert_eq!(text(&fixture.take().unwrap().bytes), "\r\n@@@ 9 bytes are missing here\r\n");
}

#[test]
fn an_announcement_that_was_begun_is_finished() {
    for written in 1..=32 {
        let rest = &"\r\n@@@ 6 bytes are missing here\r\n"[written..];
        let expected = format!("{rest}@@@ 3 bytes are missing here\r\n");
        let mut fixture = announced_and_lost(written);
        assert_eq!(text(&fixture.take().unwrap().bytes), expected);
        // Not even now.
        let mut fixture = announced_and_lost(written);
        assert_eq!(fixture.take_and_lose(0), expected);
        fixture.say(b"d", 0);
        let again = format!("{rest}@@@ 3 bytes are missing here\r\nd");
        assert_eq!(text(&fixture.take().unwrap().bytes), again);
        // Cut short in the second of the two.
        let mut fixture = announced_and_lost(written);
        fixture.take_and_lose(rest.len() + 5);
        fixture.say(b"d", 0);
        assert_eq!(text(&fixture.take().unwrap().bytes), " bytes are missing here\r\nd");
    }
}

#[test]
fn what_is_lost_after_an_announcement_is_counted_anew() {
    for (written, expected) in [(33, "\r\n@@@ 2"), (34, "\r\n@@@ 1")] {
        let mut fixture = announced_and_lost(written);
        let bytes = fixture.take().unwrap().bytes;
        assert_eq!(text(&bytes), format!("{expected} bytes are missing here\r\n"));
    }
}

#[test]
fn chunks_behind_a_failure_are_missing_too() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    let chunks = ["one\n", "two\n", "three"].map(|line| {
        fixture.say(line.as_bytes(), 0);
        fixture.take().unwrap()
    });
    let [first, second, third] = &chunks;
    fixture.reader.lost(first, 3, true);
    fixture.reader.lost(second, 0, false);
    fixture.reader.lost(third, 0, false);
    assert_eq!(text(&fixture.take().unwrap().bytes), "\r\n@@@ 10 bytes are missing here\r\n");
}

#[test]
fn discarded_bytes_are_missing() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    fixture.say(b"one\n", 0);
    fixture.take_and_lose(1);
    fixture.say(b"two\n", 0);
    fixture.reader.discard_pending(&fixture.buffer);
    fixture.reader.discard_pending(&fixture.buffer);
    fixture.say(b"three\n", 0);
    let bytes = fixture.take().unwrap().bytes;
    assert_eq!(text(&bytes), "\r\n@@@ 7 bytes are missing here\r\nthree\n");
}

#[test]
fn a_file_that_the_stream_passed_is_told_what_is_missing() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    fixture.say(b"one\n", 0);
    fixture.take_and_lose(0);
    too_much(&mut fixture);
    let bytes = fixture.take().unwrap().bytes;
    let missing = 4 + STREAM_BUFFER_MAX + STREAM_BUFFER_MAX / 2 + 4;
    assert!(text(&bytes).starts_with(&format!("@@@ {missing} bytes are missing here\r\nLzz")));
}

#[test]
fn lines_for_the_file_alone_keep_their_order_when_they_are_lost() {
    let mut fixture = Fixture::new(Encoding::UNCHANGED);
    let private = |fixture: &mut Fixture, text: &str| {
        fixture.reader.append_private(text.as_bytes(), UnixTime::from_secs(0), &Seconds);
    };
    let chunks = ["1\r\n", "2\r\n", "3\r\n"].map(|line| {
        private(&mut fixture, line);
        fixture.take().unwrap()
    });
    private(&mut fixture, "4\r\n");
    for (chunk, first) in chunks.iter().zip([true, false, false]) {
        fixture.reader.lost(chunk, 0, first);
    }
    assert_eq!(text(&fixture.take().unwrap().bytes), "1\r\n2\r\n3\r\n4\r\n");
}
