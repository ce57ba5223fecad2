//! When the child counts as ready: as soon as it has been started, or, with a text to wait for, when
//! a line of its output contains that.

use minicbor::{Decode, Encode};

use super::record::Invalid;

/// Looks for a text in a stream of bytes, however it is cut.
///
/// The text has no newline, so what is found lies within one line.
#[derive(Debug)]
pub struct Matcher {
    text: Vec<u8>,
    /// For each length of what has matched: how long a beginning of the text what comes before the
    /// last byte still is, if the next byte is another one (Knuth, Morris and Pratt).
    fallback: Vec<usize>,
    /// How many bytes of the text the stream ends with: all there is to know of it.
    matched: usize,
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
        Matcher { text, fallback, matched: 0 }
    }

    /// Takes what comes next in the stream. Whether the text is now complete.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            self.matched = advance(&self.text, &self.fallback, self.matched, byte);
            if self.matched == self.text.len() {
                return true;
            }
        }
        false
    }

    /// Begins a new stream.
    pub fn reset(&mut self) {
        self.matched = 0;
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

/// Whether the child was ready once, and how much of the text has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReadinessRecord {
    #[n(0)]
    reached: bool,
    #[cbor(n(1), default)]
    matched: usize,
    /// Whether this child was.
    #[cbor(n(2), default)]
    child: bool,
}

/// Whether the child was ready once; it stays so, whatever becomes of it.
#[derive(Debug)]
pub struct Readiness {
    reached: bool,
    /// Whether the child that runs has written the text, or there is none to wait for.
    child: bool,
    /// What is waited for beyond the child's start.
    matcher: Option<Matcher>,
}

impl Readiness {
    /// Without a child so far; whether the first one waits for a user to start it. The text to wait
    /// for, if any.
    pub fn new(text: Option<Vec<u8>>, wait: bool) -> Readiness {
        Readiness { reached: wait && text.is_none(), child: false, matcher: text.map(Matcher::new) }
    }

    /// How it stands.
    pub fn record(&self) -> ReadinessRecord {
        let matched = self.matcher.as_ref().map_or(0, |matcher| matcher.matched);
        ReadinessRecord { reached: self.reached, matched, child: self.child }
    }

    /// The same for somebody who does not see what comes next.
    pub fn outline(&self) -> ReadinessRecord {
        ReadinessRecord { matched: 0, ..self.record() }
    }

    /// Goes on from a record of one with the same text. Where none is waited for any more, a child
    /// that `runs` is enough.
    pub fn restore(&mut self, record: ReadinessRecord, runs: bool) -> Result<(), Invalid> {
        self.reached |= record.reached;
        self.child = record.child;
        match &mut self.matcher {
            Some(matcher) if record.matched > matcher.text.len() => {
                return Err(Invalid("so much of the text that is waited for"));
            }
            Some(matcher) => matcher.matched = record.matched,
            None => self.reached |= runs,
        }
        Ok(())
    }

    /// A child was started.
    pub fn started(&mut self) {
        self.child = self.matcher.is_none();
        match &mut self.matcher {
            Some(matcher) => matcher.reset(),
            None => self.reached = true,
        }
    }

    /// The child wrote this. Whether that made it ready.
    pub fn output(&mut self, bytes: &[u8]) -> bool {
        if !self.child
            && let Some(matcher) = &mut self.matcher
        {
            self.child = matcher.feed(bytes);
            self.reached |= self.child;
            return self.child;
        }
        false
    }

    /// Whether the last child that was started is.
    pub fn is_child_ready(&self) -> bool {
        self.child
    }

    /// Whether it was ready once.
    pub fn is_reached(&self) -> bool {
        self.reached
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
                let found = Matcher::new(text.clone()).feed(stream);
                assert_eq!(found, contains(stream, &text), "{text:?} in {stream:?}");
            }
        }
    }

    #[test]
    fn any_chunking_is_the_same_stream() {
        let text = b"aba d";
        for stream in [b"abababa d!\r\n".as_slice(), b"aba\n daba  d", b"aba\raba d"] {
            for cuts in 0..1_u32 << (stream.len() - 1) {
                let mut matcher = Matcher::new(text.to_vec());
                let mut found = false;
                let mut chunk = Vec::new();
                for (index, &byte) in stream.iter().enumerate() {
                    chunk.push(byte);
                    if (cuts >> index) & 1 == 1 {
                        found |= matcher.feed(&chunk);
                        chunk.clear();
                    }
                }
                found |= matcher.feed(&chunk);
                assert_eq!(found, contains(stream, text), "{cuts:b}");
            }
        }
    }

    #[test]
    fn text_of_two_children_is_none() {
        let mut readiness = Readiness::new(Some(b"ready".to_vec()), true);
        readiness.started();
        readiness.output(b"rea");
        readiness.started();
        readiness.output(b"dy");
        assert!(!readiness.is_reached());
        readiness.output(b", is it? ready");
        assert!(readiness.is_reached());
        readiness.started();
        readiness.output(b"x");
        assert!(readiness.is_reached(), "once is for ever");
    }

    #[test]
    fn without_a_text_the_start_counts() {
        let mut readiness = Readiness::new(None, false);
        readiness.output(b"x");
        assert!(!readiness.is_reached());
        readiness.started();
        assert!(readiness.is_reached());
        assert!(Readiness::new(None, true).is_reached(), "nothing is to be started");
    }
}
