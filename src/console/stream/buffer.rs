//! The last bytes of the console stream, at absolute offsets, with the times when they arrived. The
//! buffer knows nothing of its readers but the offset of the slowest, and nothing of the memory but what
//! [`Ring`] says. If there is no memory to grow, the ring stays as large as it is and holds less.

use std::collections::VecDeque;

use super::ring::{HeapRing, Ring};
use super::subslice;
use crate::console::clock::UnixTime;
use crate::limits::{
    PTY_BUDGET, STREAM_BUFFER_EXTENDED, STREAM_BUFFER_MAX, STREAM_BUFFER_MIN, STREAM_HEADROOM,
    TIMESTAMP_MIN_SPACING,
};

/// A ring of bytes at absolute offsets. The ring grows from a page to its capacity only while the
/// bytes that it would overwrite are to be replayed or needed by a reader, and shrinks again.
#[derive(Debug)]
pub struct StreamBuffer {
    /// The bytes that are held. It has no room before the first byte.
    pub(super) ring: Box<dyn Ring>,
    /// The offset from which on growing is tried again, after there was no memory for it.
    pub(super) retry_from: Option<u64>,
    /// How many of the last bytes are kept for new readers.
    pub(super) replay_len: usize,
    /// True while the ring may grow further, for a reader that lags and reads.
    pub(super) extended: bool,
    /// The offset after the last byte.
    pub(super) head: u64,
    /// There is no 0xFF at or after this offset: telnet and plain readers see the same bytes.
    pub(super) after_ff: u64,
    /// Arrival times: the second in which the bytes from each offset on came. Empty unless
    /// `keep_times` is true.
    pub(super) timestamps: VecDeque<(u64, UnixTime)>,
    pub(super) keep_times: bool,
}

impl StreamBuffer {
    /// Has the bytes in `ring`, which holds the last of them.
    pub fn use_ring(&mut self, ring: Box<dyn Ring>) {
        self.ring = ring;
        self.retry_from = None;
    }

    /// An empty stream at offset 0, of which the last `replay_len` bytes are kept for new readers.
    /// Arrival times cost memory and are kept only if asked for.
    pub fn new(keep_times: bool, replay_len: usize) -> StreamBuffer {
        StreamBuffer::in_ring(Box::new(HeapRing::new()), keep_times, replay_len)
    }

    /// The same, with the bytes in `ring`, which holds none.
    pub fn in_ring(ring: Box<dyn Ring>, keep_times: bool, replay_len: usize) -> StreamBuffer {
        StreamBuffer {
            ring,
            retry_from: None,
            replay_len,
            extended: false,
            head: 0,
            after_ff: 0,
            timestamps: VecDeque::new(),
            keep_times,
        }
    }

    /// How many bytes the ring holds at most. The replayed bytes come on top, so that a new reader has
    /// as much time for each of them as other readers have.
    pub fn capacity(&self) -> usize {
        if self.is_short_of_memory() { self.ring.size() } else { self.wanted_capacity() }
    }

    pub(super) fn wanted_capacity(&self) -> usize {
        let most = if self.extended { STREAM_BUFFER_EXTENDED } else { STREAM_BUFFER_MAX };
        most + self.replay_len
    }

    /// Returns how many bytes the ring holds at most unless it is extended.
    pub fn usual_capacity(&self) -> usize {
        self.capacity().min(STREAM_BUFFER_MAX + self.replay_len)
    }

    /// Returns true if the ring may grow further than usual.
    pub fn is_extended(&self) -> bool {
        self.extended
    }

    /// Lets the ring grow further than usual, or no longer. Then the oldest bytes are dropped that are
    /// too many.
    pub fn extend(&mut self, extended: bool) {
        self.extended = extended;
        let most = self.wanted_capacity();
        if self.ring.size() >= most {
            self.ring.shrink(most, most);
            self.forget_timestamps();
            self.retry_from = None;
        }
    }

    /// Returns true if there was no memory for more bytes than are held.
    pub fn is_short_of_memory(&self) -> bool {
        self.retry_from.is_some()
    }

    /// Where a new reader begins: with the first line of the replayed bytes, or with the first of
    /// these bytes if no line begins among them.
    pub fn replay_point(&self) -> u64 {
        let first = self.head.saturating_sub(self.replay_len as u64).max(self.tail());
        if first == 0 {
            return 0;
        }
        self.line_from(first).filter(|&start| start < self.head).unwrap_or(first)
    }

    /// The offset after the last byte.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The offset of the oldest byte held.
    pub fn tail(&self) -> u64 {
        self.head - self.ring.len() as u64
    }

    /// Returns true if the last byte ended a line, or there is none.
    pub fn at_line_start(&self) -> bool {
        self.head == 0
            || self.slices(self.head.saturating_sub(1)).0.first().is_none_or(|&byte| byte == b'\n')
    }

    /// Returns true if there may be a 0xFF at or after `offset`.
    pub fn may_have_ff_from(&self, offset: u64) -> bool {
        offset < self.after_ff
    }

    /// Returns true if the ring holds as many bytes as it usually does at most.
    pub fn is_full(&self) -> bool {
        self.ring.len() >= self.usual_capacity()
    }

    /// Returns true if a reader at `offset` cannot be passed by the output of one turn of the event
    /// loop, in a ring that holds at most `capacity` bytes.
    pub fn has_room_before(&self, offset: u64, capacity: usize) -> bool {
        // The server's own messages come on top of the child's output.
        self.head - offset <= capacity.saturating_sub(2 * PTY_BUDGET) as u64
    }

    /// Appends `bytes`, at most [`STREAM_BUFFER_MAX`] of them. `needed_from` returns the offset of the
    /// slowest reader; it is called only if bytes would be overwritten.
    pub fn append(&mut self, bytes: &[u8], wall: UnixTime, needed_from: impl FnOnce() -> u64) {
        if bytes.is_empty() {
            return;
        }
        if self.ring.len() + bytes.len() > self.ring.size() {
            let needed = self.retained_len(needed_from());
            self.resize(needed + bytes.len());
        }
        if self.keep_times && self.timestamps.back().is_none_or(|mark| mark.1 != wall) {
            self.timestamps.push_back((self.head, wall));
        }
        self.push(bytes);
        self.forget_timestamps();
    }

    /// Drops the arrival times of bytes that are not held. If there are still too many for the number
    /// of bytes, every other one of the older half is dropped, too.
    pub(super) fn forget_timestamps(&mut self) {
        let tail = self.tail();
        while self.timestamps.get(1).is_some_and(|mark| mark.0 <= tail) {
            self.timestamps.pop_front();
        }
        if self.timestamps.len() > self.wanted_capacity() / TIMESTAMP_MIN_SPACING {
            let half = self.timestamps.len() / 2;
            let mut index = 0;
            self.timestamps.retain(|_| {
                index += 1;
                index > half || index % 2 == 1
            });
        }
    }

    /// Puts bytes at the end, over the oldest if there is no room.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        // `contains` is a fast search; the exact place hardly ever matters.
        if bytes.contains(&0xFF) {
            self.after_ff = self.head + bytes.len() as u64;
        }
        self.ring.push(bytes);
        self.head += bytes.len() as u64;
    }

    /// Returns true if there is memory to give back.
    pub fn is_grown(&self) -> bool {
        self.ring.size() > STREAM_BUFFER_MIN
    }

    /// Gives back the memory that no reader needs.
    pub fn shrink(&mut self, needed_from: u64) {
        let needed = self.retained_len(needed_from);
        if self.is_grown() && needed <= self.ring.size() / 4 {
            // Not less than a page, because `at_line_start` needs the last byte.
            let kept = needed.max(STREAM_BUFFER_MIN);
            let size = self.size_for(kept.min(self.ring.len()));
            self.ring.shrink(kept, size);
            self.retry_from = None;
        }
    }

    /// All bytes from `offset` (at least [`tail`](Self::tail)) on, as at most two slices.
    pub fn slices(&self, offset: u64) -> (&[u8], &[u8]) {
        let from = offset.max(self.tail());
        debug_assert!(from <= self.head, "{from} is behind the end {}", self.head);
        let skipped = from.saturating_sub(self.tail()) as usize;
        let (first, second) = self.ring.slices();
        match skipped.checked_sub(first.len()) {
            None => (subslice(first, skipped..), second),
            Some(skipped) => (subslice(second, skipped..), &[]),
        }
    }

    /// The second in which the byte at `offset` arrived, if times are kept.
    pub fn arrived(&self, offset: u64) -> Option<UnixTime> {
        let next = self.timestamps.partition_point(|mark| mark.0 <= offset);
        self.timestamps.get(next.checked_sub(1)?).map(|mark| mark.1)
    }

    /// Where a reader goes on that the stream has passed: at the first start of a line in the newer
    /// half of the held bytes, or in their middle if no line starts there.
    pub fn resume_point(&self) -> u64 {
        let middle = self.head - (self.ring.len() / 2) as u64;
        self.line_from(middle).unwrap_or(middle)
    }

    /// The first start of a line at or after `offset`. The line may be one that has no byte yet.
    fn line_from(&self, offset: u64) -> Option<u64> {
        // A line begins at `offset` if the byte before ends one.
        let from = offset.saturating_sub(1).max(self.tail());
        let (first, second) = self.slices(from);
        let newline = |part: &[u8]| part.iter().position(|&byte| byte == b'\n');
        let at = newline(first).or_else(|| Some(first.len() + newline(second)?))?;
        Some(from + at as u64 + 1)
    }

    /// The size of the ring.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.ring.size()
    }

    /// Returns how many arrival times there are.
    #[cfg(test)]
    pub fn timestamps(&self) -> usize {
        self.timestamps.len()
    }

    /// Returns how many of the held bytes are to be replayed, or still needed by a reader at `offset`.
    fn retained_len(&self, offset: u64) -> usize {
        let behind = self.head.saturating_sub(offset).min(self.ring.len() as u64) as usize;
        // `replay_point` needs the byte before the replayed ones, which may end a line.
        let replayed = if self.replay_len > 0 { self.replay_len + 1 } else { 0 };
        behind.max(replayed.min(self.ring.len()))
    }

    /// Makes room for `wanted` bytes, as far as the capacity and the memory allow.
    pub(super) fn resize(&mut self, wanted: usize) {
        let is_early = self.retry_from.is_some_and(|from| self.head < from);
        if wanted <= self.ring.size() || self.ring.size() >= self.wanted_capacity() || is_early {
            return;
        }
        // Less is better than nothing.
        let mut size = self.size_for(wanted);
        let mut refused = false;
        while size > self.ring.size() {
            // What the allocator has left must do for everything else.
            let headroom = if size > STREAM_BUFFER_MAX { STREAM_HEADROOM } else { 0 };
            if self.ring.grow(size, headroom) {
                break;
            }
            refused = true;
            size /= 2;
        }
        self.retry_from =
            refused.then_some(self.head + self.ring.size().max(STREAM_BUFFER_MIN) as u64);
    }

    /// The size of a ring for `wanted` bytes. There are few sizes, so that the bytes are seldom moved.
    fn size_for(&self, wanted: usize) -> usize {
        wanted.next_power_of_two().clamp(STREAM_BUFFER_MIN, self.wanted_capacity())
    }
}
