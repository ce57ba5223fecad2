//! The output of two children on one console, line by line.
//!
//! One child has the turn, and its output goes straight to the stream. The output of the other is
//! held until the line under way has ended; then it goes out as far as it has whole lines. A line
//! that does not end, such as a prompt or a progress bar, is waited for at most [`LINE_TIMEOUT`]:
//! then it is ended, and the other child has the turn, with half a line if it has no more. So no
//! output is held for longer than that, and none is lost.

use minicbor::{Decode, Encode};

use crate::console::Console;
use crate::console::audit::AuditEvent;
use crate::console::clock::{Monotonic, Timestamps};
use crate::console::event::ChildSlot;
use crate::limits::{LINE_TIMEOUT, LINES_HELD_MAX};

/// Which child has the turn, and the output of the other that is held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LineInterleaver {
    #[cbor(n(0), default)]
    old_has_turn: bool,
    #[cbor(n(1), default, with = "minicbor::bytes")]
    held: Vec<u8>,
    /// When the child whose output is held gets the turn at the latest.
    #[n(2)]
    until: Option<Monotonic>,
}

impl LineInterleaver {
    /// The old child, which was alone so far, has the turn.
    pub fn new() -> LineInterleaver {
        LineInterleaver { old_has_turn: true, ..LineInterleaver::default() }
    }

    fn has_turn(&self, slot: ChildSlot) -> bool {
        (slot == ChildSlot::Old) == self.old_has_turn
    }

    /// Takes the output of a child, while the stream is at the start of a line or not. Returns the
    /// bytes that go to the stream.
    pub fn push(
        &mut self,
        slot: ChildSlot,
        bytes: &[u8],
        at_line_start: bool,
        now: Monotonic,
    ) -> Vec<u8> {
        if self.has_turn(slot) {
            let (lines, rest) = bytes.split_at(lines_len(bytes));
            let held_lines = lines_len(&self.held);
            if lines.is_empty() || held_lines == 0 {
                return bytes.to_vec();
            }
            let others: Vec<u8> = self.held.drain(..held_lines).collect();
            self.until = (!self.held.is_empty()).then(|| now + LINE_TIMEOUT);
            return [lines, &others, rest].concat();
        }
        self.held.extend_from_slice(bytes);
        if at_line_start {
            return self.switch();
        }
        if !self.held.is_empty() {
            self.until.get_or_insert(now + LINE_TIMEOUT);
        }
        Vec::new()
    }

    /// The number of bytes of this child that are held.
    pub fn held_bytes(&self, slot: ChildSlot) -> usize {
        if self.has_turn(slot) { 0 } else { self.held.len() }
    }

    /// When [`poll`](Self::poll) has something to do.
    pub fn deadline(&self) -> Option<Monotonic> {
        self.until
    }

    /// The bytes that go to the stream at the time `now`. Called too early, it returns nothing.
    pub fn poll(&mut self, at_line_start: bool, now: Monotonic) -> Vec<u8> {
        if self.until.is_some_and(|until| now >= until) {
            self.flush(at_line_start)
        } else {
            Vec::new()
        }
    }

    /// Everything that is held, on lines of its own.
    pub fn flush(&mut self, at_line_start: bool) -> Vec<u8> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let line_end: &[u8] = if at_line_start { b"" } else { b"\r\n" };
        [line_end, &self.switch()].concat()
    }

    /// Gives the turn to the other child, whose output is no longer held.
    fn switch(&mut self) -> Vec<u8> {
        self.old_has_turn = !self.old_has_turn;
        self.until = None;
        std::mem::take(&mut self.held)
    }
}

/// The length of the whole lines that the bytes begin with.
fn lines_len(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}

impl Console {
    /// A child wrote bytes.
    pub(crate) fn child_output(&mut self, slot: ChildSlot, bytes: &[u8], now: Timestamps) {
        let old = self.overlap.old();
        let child = if slot == ChildSlot::Current { self.supervisor.running() } else { old };
        if self.readiness.output(slot, bytes)
            && let Some(child) = child
        {
            self.revision += 1;
            self.audit_events.push_back(AuditEvent::Ready(child.pid));
        }
        if old.is_none() {
            return self.append(bytes, now.wall);
        }
        let at_line_start = self.stream.at_line_start();
        let out = self.overlap.interleaver.push(slot, bytes, at_line_start, now.mono);
        self.append(&out, now.wall);
    }

    /// Returns true if this child's output may be read: only so much of it is held while the other
    /// child has the turn.
    pub fn has_room_for(&self, slot: ChildSlot) -> bool {
        self.overlap.interleaver.held_bytes(slot) < LINES_HELD_MAX
    }

    pub(crate) fn poll_interleaver(&mut self, now: Timestamps) {
        let out = self.overlap.interleaver.poll(self.stream.at_line_start(), now.mono);
        self.append(&out, now.wall);
    }

    /// Appends everything that is held, because what follows is not output of either child.
    pub(crate) fn flush(&mut self, now: Timestamps) {
        let out = self.overlap.interleaver.flush(self.stream.at_line_start());
        self.append(&out, now.wall);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChildSlot::{Current, Old};

    /// A stream of two children.
    struct Stream(LineInterleaver, Vec<u8>, Monotonic);

    impl Stream {
        fn new() -> Stream {
            Stream(LineInterleaver::new(), Vec::new(), Monotonic(0))
        }

        fn at_line_start(&self) -> bool {
            self.1.last().is_none_or(|&byte| byte == b'\n')
        }

        fn write(&mut self, which: ChildSlot, text: &str) {
            let start = self.at_line_start();
            let out = self.0.push(which, text.as_bytes(), start, self.2);
            self.1.extend(out);
        }

        fn wait(&mut self) {
            if let Some(until) = self.0.deadline() {
                self.2 = until;
            }
            let start = self.at_line_start();
            let out = self.0.poll(start, self.2);
            self.1.extend(out);
        }

        #[track_caller]
        fn is(&self, text: &str) {
            assert_eq!(String::from_utf8_lossy(&self.1), text);
        }
    }

    #[test]
    fn whole_lines_pass_as_they_come() {
        let mut stream = Stream::new();
        stream.write(Old, "a\n");
        stream.write(Current, "1\n2\n");
        stream.write(Old, "b\n");
        stream.is("a\n1\n2\nb\n");
        assert_eq!(stream.0.deadline(), None);
    }

    #[test]
    fn a_line_is_not_interrupted() {
        let mut stream = Stream::new();
        stream.write(Old, "a");
        stream.write(Current, "1\n2\n3");
        stream.write(Old, "b");
        stream.is("ab");
        stream.write(Old, "c\nd");
        stream.is("abc\n1\n2\nd");
        stream.write(Current, "4\n");
        stream.write(Old, "\n");
        stream.is("abc\n1\n2\nd\n34\n");
    }

    #[test]
    fn a_line_is_waited_for_only_so_long() {
        let mut stream = Stream::new();
        stream.write(Old, "prompt> ");
        stream.write(Current, "1\n2");
        assert_eq!(stream.0.deadline(), Some(Monotonic(0) + LINE_TIMEOUT));
        assert!(stream.0.poll(false, Monotonic(0)).is_empty());
        stream.wait();
        stream.is("prompt> \r\n1\n2");
        stream.write(Current, "3");
        stream.is("prompt> \r\n1\n23");
        stream.write(Old, "x\n");
        assert_eq!(stream.0.held_bytes(Old), 2);
        assert_eq!(stream.0.held_bytes(Current), 0);
        stream.wait();
        stream.is("prompt> \r\n1\n23\r\nx\n");
    }

    #[test]
    fn a_line_in_bytes_is_waited_for_only_so_long() {
        let mut stream = Stream::new();
        stream.write(Old, ".");
        stream.write(Current, "1\n");
        let until = stream.0.deadline();
        for _ in 0..10 {
            stream.write(Old, ".");
            stream.write(Current, "2\n");
        }
        assert_eq!(stream.0.deadline(), until, "from the first that waits");
    }

    /// Each child's bytes come in their order, all of them, and lines are whole but for those that
    /// were waited for in vain.
    #[test]
    fn nothing_is_lost_or_mixed() {
        for choices in 0..1_u32 << 14 {
            let mut stream = Stream::new();
            let mut written = [String::new(), String::new()];
            for step in 0..7 {
                let (which, kind) = ((choices >> (2 * step)) & 1, (choices >> (2 * step + 1)) & 1);
                let letters = if which == 0 { "ab" } else { "12" };
                let text = if kind == 0 { letters.to_owned() } else { format!("{letters}\n") };
                written[which as usize] += &text;
                stream.write(if which == 0 { Old } else { Current }, &text);
            }
            let start = stream.at_line_start();
            let rest = stream.0.flush(start);
            stream.1.extend(rest);
            let text = String::from_utf8(stream.1).unwrap();
            for line in text.split_terminator('\n') {
                let line = line.trim_end_matches('\r');
                let old = line.bytes().filter(u8::is_ascii_lowercase).count();
                assert!(old == 0 || old == line.len(), "{choices:b}: {text:?}");
            }
            for (which, letters) in [(0, "ab"), (1, "12")] {
                let of =
                    |text: &str| text.chars().filter(|c| letters.contains(*c)).collect::<String>();
                assert_eq!(of(&text), of(&written[which]), "{choices:b}: {text:?}");
            }
        }
    }
}
