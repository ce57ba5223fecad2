//! When the child counts as ready: as soon as it has been started, or, with a text to wait for, when
//! a line of its output contains that.

use minicbor::{Decode, Encode};

use crate::console::event::ChildSlot;
use crate::console::snapshot::InvalidSnapshot;

/// Looks for a text in a stream of bytes, however it is cut.
///
/// The text has no newline, so what is found lies within one line.
#[derive(Debug)]
pub struct Matcher {
    text: Vec<u8>,
    /// For each length of what has matched: how long a beginning of the text what comes before the
    /// last byte still is, if the next byte is another one (Knuth, Morris and Pratt).
    fallback: Vec<usize>,
}

impl Matcher {
    /// Looks for `text`, which is not empty.
    pub fn new(text: Vec<u8>) -> Matcher {
        let mut fallback = vec![0];
        let mut length = 0;
        for &byte in text.get(1..).unwrap_or_default() {
            length = advance(&text, &fallback, length, byte);
            fallback.push(length);
        }
        Matcher { text, fallback }
    }

    /// Takes what comes next in a stream that ends with `matched` bytes of the text: all there is to
    /// know of it. Whether the text is now complete.
    pub fn feed(&self, matched: &mut usize, bytes: &[u8]) -> bool {
        bytes.iter().any(|&byte| {
            *matched = advance(&self.text, &self.fallback, *matched, byte);
            *matched == self.text.len()
        })
    }
}

/// How much of `text` has matched after one more byte. Less than all of it had before.
fn advance(text: &[u8], fallback: &[usize], mut matched: usize, byte: u8) -> usize {
    while text.get(matched) != Some(&byte) {
        let Some(&shorter) = matched.checked_sub(1).and_then(|last| fallback.get(last)) else {
            return 0;
        };
        matched = shorter;
    }
    matched + 1
}

/// One child on its way to be ready.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Progress {
    /// It has written the text, or there is none to wait for.
    #[cbor(n(0), default)]
    ready: bool,
    /// How much of the text its output ends with.
    #[cbor(n(1), default)]
    matched: usize,
}

/// Whether the child was ready once, and how far those are that there are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReadinessSnapshot {
    #[n(0)]
    reached: bool,
    #[cbor(n(1), default)]
    child: Progress,
    /// The one before it, under `--overlap`.
    #[cbor(n(2), default)]
    old: Progress,
}

/// Whether the child was ready once; it stays so, whatever becomes of it.
#[derive(Debug)]
pub struct ReadinessTracker {
    now: ReadinessSnapshot,
    /// What is waited for beyond the child's start.
    matcher: Option<Matcher>,
}

impl ReadinessTracker {
    /// Without a child so far; whether the first one waits for a user to start it. The text to wait
    /// for, if any.
    pub fn new(text: Option<Vec<u8>>, wait: bool) -> ReadinessTracker {
        let (child, old) = (Progress::default(), Progress::default());
        let now = ReadinessSnapshot { reached: wait && text.is_none(), child, old };
        ReadinessTracker { now, matcher: text.map(Matcher::new) }
    }

    /// How it stands.
    pub fn snapshot(&self) -> ReadinessSnapshot {
        self.now
    }

    /// The same for somebody who does not see what comes next.
    pub fn crash_snapshot(&self) -> ReadinessSnapshot {
        let without = |progress| Progress { matched: 0, ..progress };
        let ReadinessSnapshot { reached, child, old } = self.now;
        ReadinessSnapshot { reached, child: without(child), old: without(old) }
    }

    /// Goes on from a record of one with the same text. Where none is waited for any more, a child
    /// that `runs` is enough.
    pub fn restore(
        &mut self,
        record: ReadinessSnapshot,
        runs: bool,
    ) -> Result<(), InvalidSnapshot> {
        let most = self.matcher.as_ref().map_or(usize::MAX, |matcher| matcher.text.len());
        if [record.child, record.old].iter().any(|progress| progress.matched > most) {
            return Err(InvalidSnapshot("so much of the text that is waited for"));
        }
        let reached = self.now.reached || record.reached || (self.matcher.is_none() && runs);
        self.now = ReadinessSnapshot { reached, ..record };
        Ok(())
    }

    /// A child was started. One that runs beside it is the old one.
    pub fn started(&mut self) {
        self.now.old = self.now.child;
        self.now.child = Progress { ready: self.matcher.is_none(), matched: 0 };
        self.now.reached |= self.now.child.ready;
    }

    /// The old one is the child again.
    pub fn restored_old(&mut self) {
        self.now.child = self.now.old;
    }

    /// A child wrote this. Whether that made it ready.
    pub fn output(&mut self, which: ChildSlot, bytes: &[u8]) -> bool {
        let progress = match which {
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

    /// Whether the child that there is, or was last, is.
    pub fn is_child_ready(&self) -> bool {
        self.now.child.ready
    }

    /// Whether one was ready once.
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
        readiness.restored_old();
        assert!(readiness.is_child_ready());
    }
}
