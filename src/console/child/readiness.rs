//! When the child counts as ready: as soon as it has been started, or, under `--ready`, when a line
//! of its output contains the text of that option.

use minicbor::{Decode, Encode};

use crate::console::error::InvalidSnapshot;
use crate::console::event::ChildSlot;

/// Looks for a text in a stream of bytes, however the stream is cut.
///
/// The text has no newline, so a match lies within one line.
#[derive(Debug)]
pub struct Matcher {
    text: Vec<u8>,
    /// The failure table of Knuth, Morris and Pratt: for each number of matched bytes, how many still
    /// match after a byte that does not.
    fallback: Vec<usize>,
}

impl Matcher {
    /// A matcher of `text`, which is not empty.
    pub fn new(text: Vec<u8>) -> Matcher {
        let mut fallback = vec![0];
        let mut length = 0;
        for &byte in text.get(1..).unwrap_or_default() {
            length = advance(&text, &fallback, length, byte);
            fallback.push(length);
        }
        Matcher { text, fallback }
    }

    /// Takes the next bytes of a stream of which the last `matched` bytes are the beginning of the
    /// text. Returns true if the text is complete.
    pub fn feed(&self, matched: &mut usize, bytes: &[u8]) -> bool {
        bytes.iter().any(|&byte| {
            *matched = advance(&self.text, &self.fallback, *matched, byte);
            *matched == self.text.len()
        })
    }
}

/// Returns how many bytes of `text` have matched after one more byte. Before it, not all of them had.
fn advance(text: &[u8], fallback: &[usize], mut matched: usize, byte: u8) -> usize {
    while text.get(matched) != Some(&byte) {
        let Some(&shorter) = matched.checked_sub(1).and_then(|last| fallback.get(last)) else {
            return 0;
        };
        matched = shorter;
    }
    matched + 1
}

/// How far one child is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Progress {
    /// True if the child has written the text, or there is none to wait for.
    #[cbor(n(0), default)]
    ready: bool,
    /// How many bytes of the text the child's output ends with.
    #[cbor(n(1), default)]
    matched: usize,
}

/// The readiness as plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReadinessSnapshot {
    /// True if a child was ready once.
    #[n(0)]
    reached: bool,
    #[cbor(n(1), default)]
    child: Progress,
    /// The old child, under `--overlap`.
    #[cbor(n(2), default)]
    old: Progress,
}

/// The readiness of the children, and of the server: the server is ready as soon as a child was ready
/// once, whatever becomes of that child.
#[derive(Debug)]
pub struct ReadinessTracker {
    now: ReadinessSnapshot,
    /// Finds the text of `--ready`.
    matcher: Option<Matcher>,
}

impl ReadinessTracker {
    /// The readiness before the first child is started. `text` is that of `--ready`, and `wait` is
    /// true if the first child waits for a user.
    pub fn new(text: Option<Vec<u8>>, wait: bool) -> ReadinessTracker {
        let (child, old) = (Progress::default(), Progress::default());
        let now = ReadinessSnapshot { reached: wait && text.is_none(), child, old };
        ReadinessTracker { now, matcher: text.map(Matcher::new) }
    }

    /// The readiness as plain data.
    pub fn snapshot(&self) -> ReadinessSnapshot {
        self.now
    }

    /// Returns true if output is looked through for the text.
    pub fn is_waiting(&self) -> bool {
        self.matcher.is_some()
    }

    /// A snapshot for a server that misses some of the children's output.
    pub fn crash_snapshot(&self) -> ReadinessSnapshot {
        let without = |progress| Progress { matched: 0, ..progress };
        let ReadinessSnapshot { reached, child, old } = self.now;
        ReadinessSnapshot { reached, child: without(child), old: without(old) }
    }

    /// Goes on from a snapshot that was made with the same text. Without a text, a child that `runs`
    /// is ready.
    ///
    /// # Errors
    ///
    /// If more bytes have matched than the text has.
    pub fn restore(
        &mut self,
        snapshot: ReadinessSnapshot,
        runs: bool,
    ) -> Result<(), InvalidSnapshot> {
        let most = self.matcher.as_ref().map_or(usize::MAX, |matcher| matcher.text.len());
        if [snapshot.child, snapshot.old].iter().any(|progress| progress.matched > most) {
            return Err(InvalidSnapshot("so much of the text that is waited for"));
        }
        let reached = self.now.reached || snapshot.reached || (self.matcher.is_none() && runs);
        self.now = ReadinessSnapshot { reached, ..snapshot };
        Ok(())
    }

    /// A child was started. A child that runs beside it is the old one.
    pub fn started(&mut self) {
        self.now.old = self.now.child;
        self.now.child = Progress { ready: self.matcher.is_none(), matched: 0 };
        self.now.reached |= self.now.child.ready;
    }

    /// The old child is the current one again.
    pub fn restore_old(&mut self) {
        self.now.child = self.now.old;
    }

    /// Takes the output of a child. Returns true if that makes the child ready.
    pub fn output(&mut self, slot: ChildSlot, bytes: &[u8]) -> bool {
        let progress = match slot {
            ChildSlot::Current => &mut self.now.child,
            ChildSlot::Old => &mut self.now.old,
        };
        if !progress.ready
            && let Some(matcher) = &self.matcher
        {
            progress.ready = matcher.feed(&mut progress.matched, bytes);
            self.now.reached |= progress.ready;
            return progress.ready;
        }
        false
    }

    /// Returns true if the current child, or the last one if none runs, is ready.
    pub fn is_child_ready(&self) -> bool {
        self.now.child.ready
    }

    /// Returns true if a child was ready once.
    pub fn is_reached(&self) -> bool {
        self.now.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(haystack: &[u8], needle: &[u8]) -> bool {
        haystack.windows(needle.len()).any(|window| window == needle)
    }

    /// All words of these letters, up to this length.
    fn words(letters: &[u8], length: usize) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        let mut last = 0..1;
        for _ in 0..length {
            for index in last.clone() {
                for &letter in letters {
                    let mut word: Vec<u8> = all[index].clone();
                    word.push(letter);
                    all.push(word);
                }
            }
            last = last.end..all.len();
        }
        all
    }

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        let streams = words(b"ab\n", 7);
        for text in words(b"ab", 4).into_iter().filter(|text| !text.is_empty()) {
            for stream in &streams {
                let found = Matcher::new(text.clone()).feed(&mut 0, stream);
                assert_eq!(found, contains(stream, &text), "{text:?} in {stream:?}");
            }
        }
    }

    #[test]
    fn any_chunking_is_the_same_stream() {
        let text = b"aba d";
        for stream in [b"abababa d!\r\n".as_slice(), b"aba\n daba  d", b"aba\raba d"] {
            for cuts in 0..1_u32 << (stream.len() - 1) {
                let (matcher, mut matched) = (Matcher::new(text.to_vec()), 0);
                let mut found = false;
                let mut chunk = Vec::new();
                for (index, &byte) in stream.iter().enumerate() {
                    chunk.push(byte);
                    if (cuts >> index) & 1 == 1 {
                        found |= matcher.feed(&mut matched, &chunk);
                        chunk.clear();
                    }
                }
                found |= matcher.feed(&mut matched, &chunk);
                assert_eq!(found, contains(stream, text), "{cuts:b}");
            }
        }
    }

    #[test]
    fn text_of_two_children_is_none() {
        let mut readiness = ReadinessTracker::new(Some(b"ready".to_vec()), true);
        readiness.started();
        readiness.output(ChildSlot::Current, b"rea");
        readiness.started();
        readiness.output(ChildSlot::Current, b"dy");
        assert!(!readiness.is_reached());
        readiness.output(ChildSlot::Current, b", is it? ready");
        assert!(readiness.is_reached());
        readiness.started();
        readiness.output(ChildSlot::Current, b"x");
        assert!(readiness.is_reached(), "once is for ever");
    }

    #[test]
    fn without_a_text_the_start_counts() {
        let mut readiness = ReadinessTracker::new(None, false);
        readiness.output(ChildSlot::Current, b"x");
        assert!(!readiness.is_reached());
        readiness.started();
        assert!(readiness.is_reached());
        assert!(ReadinessTracker::new(None, true).is_reached(), "nothing is to be started");
    }

    #[test]
    fn each_of_two_children_has_a_text_of_its_own() {
        let mut readiness = ReadinessTracker::new(Some(b"ready".to_vec()), false);
        readiness.started();
        readiness.output(ChildSlot::Current, b"rea");
        readiness.started();
        assert!(!readiness.output(ChildSlot::Current, b"dy, re"));
        assert!(readiness.output(ChildSlot::Old, b"dy"));
        assert!(readiness.is_reached() && !readiness.is_child_ready());
        readiness.restore_old();
        assert!(readiness.is_child_ready());
    }
}
