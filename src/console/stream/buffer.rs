//! The console stream: the last bytes of all that the console ever said, addressed by absolute
//! offsets, with the times they arrived. It knows nothing of its readers but where the slowest is.

use std::collections::VecDeque;

use minicbor::{Decode, Encode};

use crate::console::clock::UnixTime;
use crate::console::snapshot::InvalidSnapshot;
use crate::limits::{PTY_BUDGET, STREAM_BUFFER_MAX, STREAM_BUFFER_MIN, TIMESTAMP_MIN_SPACING};

/// A ring of bytes at absolute offsets. It grows from a page to its capacity only while what it
/// would overwrite is to be replayed or needed by a reader, and shrinks again.
#[derive(Debug)]
pub struct StreamBuffer {
    /// Empty before the first byte.
    ring: Vec<u8>,
    /// How many of the last bytes are kept for readers to come.
    replay_len: usize,
    /// The offset after the last byte.
    head: u64,
    /// How many bytes before `head` are held.
    held: usize,
    /// No 0xFF stands from here on: telnet and plain readers see the same bytes.
    after_ff: u64,
    /// Arrival times: the second in which the bytes from each offset came. Empty unless wanted.
    timestamps: VecDeque<(u64, UnixTime)>,
    keep_times: bool,
}

/// The stream as plain data.
#[derive(Debug, Default, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StreamSnapshot {
    #[n(0)]
    head: u64,
    /// Those before `head`.
    #[cbor(n(1), default, with = "minicbor::bytes")]
    bytes: Vec<u8>,
    #[cbor(n(2), default)]
    timestamps: Vec<(u64, UnixTime)>,
}

/// More than any console says. The sums of smaller offsets do not overflow.
pub const OFFSET_MAX: u64 = 1 << 62;

impl StreamBuffer {
    /// All that is held: where a reader goes on that was passed depends on how much that is.
    pub fn snapshot(&self) -> StreamSnapshot {
        let (first, second) = self.slices(self.tail());
        StreamSnapshot {
            head: self.head,
            bytes: [first, second].concat(),
            timestamps: self.timestamps.iter().copied().collect(),
        }
    }

    /// Goes on from a record. Of more bytes than it may hold it keeps the newest, as another
    /// version may hold more.
    pub fn restore(
        record: StreamSnapshot,
        keep_times: bool,
        replayed: usize,
    ) -> Result<StreamBuffer, InvalidSnapshot> {
        let StreamSnapshot { head, bytes, timestamps: marks } = record;
        if head > OFFSET_MAX || head < bytes.len() as u64 {
            return Err(InvalidSnapshot("the stream cannot end there"));
        }
        if !marks.is_sorted_by(|a, b| a.0 < b.0) || marks.last().is_some_and(|last| last.0 > head) {
            return Err(InvalidSnapshot("the times of the stream are out of order"));
        }
        let mut history = StreamBuffer::new(keep_times, replayed);
        let from = bytes.len().saturating_sub(history.capacity());
        let bytes = bytes.get(from..).unwrap_or_default();
        history.head = head - bytes.len() as u64;
        if !bytes.is_empty() {
            history.set_size(history.size_for(bytes.len()));
            history.push(bytes);
        }
        if keep_times {
            history.timestamps = marks.into();
            history.forget_timestamps();
        }
        Ok(history)
    }

    /// An empty stream at offset 0, of which the last `replayed` bytes are kept for readers to
    /// come. Arrival times cost memory and are kept only if asked for.
    pub fn new(keep_times: bool, replay_len: usize) -> StreamBuffer {
        StreamBuffer {
            ring: Vec::new(),
            replay_len,
            head: 0,
            held: 0,
            after_ff: 0,
            timestamps: VecDeque::new(),
            keep_times,
        }
    }

    /// How much it holds at most: of what is replayed, too, no byte is overwritten before a reader
    /// has had the time for it that others have.
    pub fn capacity(&self) -> usize {
        STREAM_BUFFER_MAX + self.replay_len
    }

    /// Where a new reader starts: with the first line of what is replayed, or with its first byte
    /// if no line starts there.
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
        self.head - self.held as u64
    }

    /// Whether the last byte ended a line, or nothing was said yet.
    pub fn at_line_start(&self) -> bool {
        self.head == 0
            || self.slices(self.head.saturating_sub(1)).0.first().is_none_or(|&byte| byte == b'\n')
    }

    /// Whether a 0xFF may stand at or after `offset`.
    pub fn may_have_ff_from(&self, offset: u64) -> bool {
        offset < self.after_ff
    }

    /// Whether it holds as much as it ever will.
    pub fn is_full(&self) -> bool {
        self.held == self.capacity()
    }

    /// Whether a turn's output may come without passing a reader at `offset`.
    pub fn has_room_before(&self, offset: u64) -> bool {
        // The server's own messages come on top of what is read.
        self.head - offset <= (self.capacity() - 2 * PTY_BUDGET) as u64
    }

    /// Appends `bytes`, at most [`STREAM_BUFFER_MAX`] of them. `needed_from` tells the offset of the
    /// slowest reader; it is asked only when something would be overwritten.
    pub fn append(&mut self, bytes: &[u8], wall: UnixTime, needed_from: impl FnOnce() -> u64) {
        if bytes.is_empty() {
            return;
        }
        if self.held + bytes.len() > self.ring.len() {
            let needed = self.retained_len(needed_from());
            self.resize(needed + bytes.len());
        }
        if self.keep_times && self.timestamps.back().is_none_or(|mark| mark.1 != wall) {
            self.timestamps.push_back((self.head, wall));
        }
        self.push(bytes);
        self.forget_timestamps();
    }

    /// Times of what is not held are forgotten. Should there still be more of them than bytes to
    /// bear them, every other one of the older half goes, too.
    fn forget_timestamps(&mut self) {
        let tail = self.tail();
        while self.timestamps.get(1).is_some_and(|mark| mark.0 <= tail) {
            self.timestamps.pop_front();
        }
        if self.timestamps.len() > self.capacity() / TIMESTAMP_MIN_SPACING {
            let half = self.timestamps.len() / 2;
            let mut index = 0;
            self.timestamps.retain(|_| {
                index += 1;
                index > half || index % 2 == 1
            });
        }
    }

    /// Puts bytes at the end, over the oldest if need be.
    fn push(&mut self, bytes: &[u8]) {
        // `contains` is a fast search; the exact place hardly ever matters.
        if bytes.contains(&0xFF) {
            self.after_ff = self.head + bytes.len() as u64;
        }
        self.copy_in(bytes);
    }

    fn copy_in(&mut self, bytes: &[u8]) {
        let at = self.index(self.head);
        let (first, second) = bytes.split_at(bytes.len().min(self.ring.len() - at));
        for (from, part) in [(at, first), (0, second)] {
            if let Some(place) = self.ring.get_mut(from..from + part.len()) {
                place.copy_from_slice(part);
            }
        }
        self.head += bytes.len() as u64;
        self.held = (self.held + bytes.len()).min(self.ring.len());
    }

    /// Whether there is memory to give back.
    pub fn is_grown(&self) -> bool {
        self.ring.len() > STREAM_BUFFER_MIN
    }

    /// Gives memory back that no reader needs. Costs nothing when there is none.
    pub fn shrink(&mut self, needed_from: u64) {
        let needed = self.retained_len(needed_from);
        if self.is_grown() && needed <= self.ring.len() / 4 {
            // Not less than a page: the last byte tells whether a line is open.
            self.held = self.held.min(needed.max(STREAM_BUFFER_MIN));
            self.set_size(self.size_for(self.held));
        }
    }

    /// All bytes from `offset` (at least [`tail`](Self::tail)) on, as at most two slices.
    pub fn slices(&self, offset: u64) -> (&[u8], &[u8]) {
        let from = offset.max(self.tail());
        let len = usize::try_from(self.head.saturating_sub(from)).unwrap_or(0);
        let at = self.index(from);
        let end = (at + len).min(self.ring.len());
        let wrapped = at + len - end;
        (self.ring.get(at..end).unwrap_or_default(), self.ring.get(..wrapped).unwrap_or_default())
    }

    /// The second in which the byte at `offset` arrived, if times are kept.
    pub fn arrived(&self, offset: u64) -> Option<UnixTime> {
        let next = self.timestamps.partition_point(|mark| mark.0 <= offset);
        self.timestamps.get(next.checked_sub(1)?).map(|mark| mark.1)
    }

    /// Where a reader goes on that has lost its place: the first start of a line in the newer
    /// half of what is held, or the middle if no line starts there.
    pub fn resume_point(&self) -> u64 {
        let middle = self.head - (self.held / 2) as u64;
        self.line_from(middle).unwrap_or(middle)
    }

    /// The first start of a line at or after `offset`, if only of one that is still to come.
    fn line_from(&self, offset: u64) -> Option<u64> {
        // The byte before tells whether a line begins there.
        let from = offset.saturating_sub(1).max(self.tail());
        let (first, second) = self.slices(from);
        let newline = |part: &[u8]| part.iter().position(|&byte| byte == b'\n');
        let at = newline(first).or_else(|| Some(first.len() + newline(second)?))?;
        Some(from + at as u64 + 1)
    }

    /// The size of the ring.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.ring.len()
    }

    /// How many arrival times there are.
    #[cfg(test)]
    pub fn timestamps(&self) -> usize {
        self.timestamps.len()
    }

    /// How much of what is held is to be replayed, or is what a reader at `offset` still needs.
    fn retained_len(&self, offset: u64) -> usize {
        let behind = usize::try_from(self.head.saturating_sub(offset)).unwrap_or(usize::MAX);
        // The byte before what is replayed tells whether that begins with a line.
        let replayed = if self.replay_len > 0 { self.replay_len + 1 } else { 0 };
        behind.max(replayed).min(self.held)
    }

    /// Makes room for `wanted` bytes, as far as the capacity allows.
    fn resize(&mut self, wanted: usize) {
        if wanted > self.ring.len() && self.ring.len() < self.capacity() {
            self.set_size(self.size_for(wanted));
        }
    }

    /// The size of a ring that holds so much: few sizes, so that it is seldom moved.
    fn size_for(&self, wanted: usize) -> usize {
        wanted.next_power_of_two().clamp(STREAM_BUFFER_MIN, self.capacity())
    }

    /// Moves what is held into a ring of `size` bytes, which it fits in.
    fn set_size(&mut self, size: usize) {
        let ring = vec![0; size];
        let old = StreamBuffer {
            ring: std::mem::replace(&mut self.ring, ring),
            timestamps: VecDeque::new(),
            ..*self
        };
        self.head = old.tail();
        self.held = 0;
        let (first, second) = old.slices(old.tail());
        self.copy_in(first);
        self.copy_in(second);
    }

    /// The place of `offset` in the ring.
    fn index(&self, offset: u64) -> usize {
        usize::try_from(offset.checked_rem(self.ring.len() as u64).unwrap_or(0)).unwrap_or(0)
    }
}
