//! The console stream: the last bytes of all that the console ever said, addressed by absolute
//! offsets, with the times they arrived. It knows nothing of its readers but where the slowest is.

use std::collections::VecDeque;

use minicbor::{Decode, Encode};

use super::clock::UnixTime;
use super::record::Invalid;
use crate::limits::{HISTORY_MAX, HISTORY_MIN, PTY_BUDGET};

/// A ring of bytes at absolute offsets. It grows from a page to [`HISTORY_MAX`] only while a
/// reader needs what it would overwrite, and shrinks again.
#[derive(Debug)]
pub struct History {
    /// Its length is a power of two, or zero before the first byte.
    ring: Vec<u8>,
    /// The offset after the last byte.
    head: u64,
    /// How many bytes before `head` are held.
    held: usize,
    /// No 0xFF stands from here on: telnet and plain readers see the same bytes.
    after_ff: u64,
    /// Arrival times: the second in which the bytes from each offset came. Empty unless wanted.
    marks: VecDeque<(u64, UnixTime)>,
    keep_times: bool,
}

/// The stream as plain data.
#[derive(Debug, Default, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HistoryRecord {
    #[n(0)]
    head: u64,
    /// Those before `head`.
    #[cbor(n(1), default, with = "minicbor::bytes")]
    bytes: Vec<u8>,
    #[cbor(n(2), default)]
    marks: Vec<(u64, UnixTime)>,
}

/// More than any console says. The sums of smaller offsets do not overflow.
pub const OFFSET_MAX: u64 = 1 << 62;

impl History {
    /// All that is held: where a reader goes on that was passed depends on how much that is.
    pub fn record(&self) -> HistoryRecord {
        let (first, second) = self.slices(self.tail());
        HistoryRecord {
            head: self.head,
            bytes: [first, second].concat(),
            marks: self.marks.iter().copied().collect(),
        }
    }

    /// Goes on from a record. Of more bytes than it may hold it keeps the newest, as another
    /// version may hold more.
    pub fn restore(record: HistoryRecord, keep_times: bool) -> Result<History, Invalid> {
        let HistoryRecord { head, bytes, marks } = record;
        if head > OFFSET_MAX || head < bytes.len() as u64 {
            return Err(Invalid("the stream cannot end there"));
        }
        if !marks.is_sorted_by(|a, b| a.0 < b.0) || marks.last().is_some_and(|last| last.0 > head) {
            return Err(Invalid("the times of the stream are out of order"));
        }
        let from = bytes.len().saturating_sub(HISTORY_MAX);
        let bytes = bytes.get(from..).unwrap_or_default();
        let mut history = History::new(keep_times);
        history.head = head - bytes.len() as u64;
        if !bytes.is_empty() {
            history.ring = vec![0; bytes.len().next_power_of_two().max(HISTORY_MIN)];
            history.put(bytes);
        }
        if keep_times {
            history.marks = marks.into();
        }
        Ok(history)
    }

    /// An empty stream at offset 0. Arrival times cost memory and are kept only if asked for.
    pub fn new(keep_times: bool) -> History {
        History {
            ring: Vec::new(),
            head: 0,
            held: 0,
            after_ff: 0,
            marks: VecDeque::new(),
            keep_times,
        }
    }

    /// The offset after the last byte: where a new reader starts.
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
        self.held == HISTORY_MAX
    }

    /// Whether a turn's output may come without passing a reader at `offset`.
    pub fn has_room_before(&self, offset: u64) -> bool {
        // The server's own messages come on top of what is read.
        self.head - offset <= (HISTORY_MAX - 2 * PTY_BUDGET) as u64
    }

    /// Appends `bytes`, at most [`HISTORY_MAX`] of them. `needed_from` tells the offset of the
    /// slowest reader; it is asked only when something would be overwritten.
    pub fn append(&mut self, bytes: &[u8], wall: UnixTime, needed_from: impl FnOnce() -> u64) {
        if bytes.is_empty() {
            return;
        }
        if self.held + bytes.len() > self.ring.len() {
            let needed = self.needed(needed_from());
            self.resize(needed + bytes.len());
        }
        if self.keep_times && self.marks.back().is_none_or(|mark| mark.1 != wall) {
            self.marks.push_back((self.head, wall));
        }
        self.put(bytes);
        let tail = self.tail();
        while self.marks.get(1).is_some_and(|mark| mark.0 <= tail) {
            self.marks.pop_front();
        }
    }

    /// Puts bytes at the end, over the oldest if need be.
    fn put(&mut self, bytes: &[u8]) {
        // `contains` is a fast search; the exact place hardly ever matters.
        if bytes.contains(&0xFF) {
            self.after_ff = self.head + bytes.len() as u64;
        }
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
        self.ring.len() > HISTORY_MIN
    }

    /// Gives memory back that no reader needs. Costs nothing when there is none.
    pub fn shrink(&mut self, needed_from: u64) {
        let needed = self.needed(needed_from);
        if self.is_grown() && needed <= self.ring.len() / 4 {
            // Not less than a page: the last byte tells whether a line is open.
            self.held = self.held.min(needed.max(HISTORY_MIN));
            self.set_size(self.held.next_power_of_two());
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
        let next = self.marks.partition_point(|mark| mark.0 <= offset);
        self.marks.get(next.checked_sub(1)?).map(|mark| mark.1)
    }

    /// Where a reader goes on that has lost its place: the first start of a line in the newer
    /// half of what is held, or the middle if no line starts there.
    pub fn resume_point(&self) -> u64 {
        let middle = self.head - (self.held / 2) as u64;
        // The byte before tells whether the middle itself begins a line.
        let from = middle.saturating_sub(1).max(self.tail());
        let (first, second) = self.slices(from);
        let mut bytes = first.iter().chain(second);
        match bytes.position(|&byte| byte == b'\n') {
            Some(newline) => from + newline as u64 + 1,
            None => middle,
        }
    }

    /// The size of the ring.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.ring.len()
    }

    /// How much of what is held a reader at `offset` still needs.
    fn needed(&self, offset: u64) -> usize {
        usize::try_from(self.head.saturating_sub(offset)).map_or(self.held, |n| n.min(self.held))
    }

    /// Makes room for `wanted` bytes, as far as the limit allows.
    fn resize(&mut self, wanted: usize) {
        if wanted > self.ring.len() && self.ring.len() < HISTORY_MAX {
            self.set_size(wanted.next_power_of_two().clamp(HISTORY_MIN, HISTORY_MAX));
        }
    }

    /// Moves what is held into a ring of `size` bytes, a power of two that it fits in.
    fn set_size(&mut self, size: usize) {
        let mut ring = vec![0; size];
        let (first, second) = self.slices(self.tail());
        for (index, &byte) in (self.tail()..).zip(first.iter().chain(second)) {
            if let Some(place) = ring.get_mut(index as usize & (size - 1)) {
                *place = byte;
            }
        }
        self.ring = ring;
    }

    fn index(&self, offset: u64) -> usize {
        offset as usize & self.ring.len().wrapping_sub(1)
    }
}
