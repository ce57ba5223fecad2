//! The stream as plain data: with its bytes, or beside a ring that has them.

use minicbor::{Decode, Encode};

use super::buffer::StreamBuffer;
use super::ring::{LAYOUT, Ring};
use super::subslice;
use crate::console::clock::UnixTime;
use crate::console::error::InvalidSnapshot;

/// The buffer as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StreamSnapshot {
    /// The offset after the last byte. If the bytes are elsewhere it may be [`ELSEWHERE`].
    #[n(0)]
    head: u64,
    /// The bytes before `head`.
    #[cbor(n(1), default, with = "minicbor::bytes")]
    bytes: Vec<u8>,
    #[cbor(n(2), default)]
    timestamps: Vec<(u64, UnixTime)>,
    #[cbor(n(3), default)]
    extended: bool,
    /// The offset after the last byte, if the bytes are in a ring beside the snapshot.
    #[n(4)]
    ring_head: Option<u64>,
    /// The offset after the last 0xFF there.
    #[cbor(n(5), default)]
    after_ff: u64,
    /// The layout of the ring.
    #[n(6)]
    ring_layout: Option<u64>,
}

/// An offset that no stream has: a program that knows nothing of the ring must not go on without the
/// bytes.
const ELSEWHERE: u64 = u64::MAX;

/// What an append changes but the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StreamEnd {
    #[n(0)]
    head: u64,
    #[cbor(n(1), default)]
    after_ff: u64,
    /// The times of the bytes since the last of these.
    #[cbor(n(2), default)]
    timestamps: Vec<(u64, UnixTime)>,
}

impl Default for StreamSnapshot {
    /// A stream without a byte.
    fn default() -> StreamSnapshot {
        StreamSnapshot {
            head: 0,
            bytes: Vec::new(),
            timestamps: Vec::new(),
            extended: false,
            ring_head: None,
            after_ff: 0,
            ring_layout: None,
        }
    }
}

impl StreamSnapshot {
    /// The same for a program that may know nothing of the ring, and may go on without the bytes.
    pub fn or_without_bytes(self) -> StreamSnapshot {
        StreamSnapshot { head: self.head(), ..self }
    }

    /// The offset after the last byte.
    pub fn head(&self) -> u64 {
        self.ring_head.unwrap_or(self.head)
    }

    /// Returns true if the bytes are in a ring beside the snapshot.
    pub fn is_in_ring(&self) -> bool {
        self.ring_head.is_some()
    }

    /// Goes on to a new end, with the bytes in a ring.
    pub fn go_on(&mut self, end: StreamEnd) {
        self.ring_head = Some(end.head);
        self.after_ff = end.after_ff;
        self.timestamps.extend(end.timestamps);
    }
}

/// More bytes than any console says. The sum of two such offsets does not overflow.
pub const OFFSET_MAX: u64 = 1 << 62;

impl StreamBuffer {
    /// All bytes that are held. They all count, because the place where a reader goes on after it was
    /// passed depends on their number.
    pub fn snapshot(&self) -> StreamSnapshot {
        let (first, second) = self.slices(self.tail());
        StreamSnapshot {
            head: self.head,
            bytes: [first, second].concat(),
            timestamps: self.timestamps.iter().copied().collect(),
            extended: self.extended,
            ..StreamSnapshot::default()
        }
    }

    /// All but the bytes, which are in a ring that goes beside the snapshot.
    pub fn snapshot_beside_ring(&self) -> StreamSnapshot {
        StreamSnapshot {
            head: ELSEWHERE,
            bytes: Vec::new(),
            timestamps: self.timestamps.iter().copied().collect(),
            extended: self.extended,
            ring_head: Some(self.head),
            after_ff: self.after_ff,
            ring_layout: Some(LAYOUT),
        }
    }

    /// What has changed since the end was at `offset`.
    pub fn end(&self, offset: u64) -> StreamEnd {
        let first = self.timestamps.partition_point(|mark| mark.0 < offset);
        let timestamps = self.timestamps.range(first..).copied().collect();
        StreamEnd { head: self.head, after_ff: self.after_ff, timestamps }
    }

    /// Goes on from a snapshot, and with the ring that has its bytes if they are not in it. Another
    /// version of the program may have held more bytes than fit; of these the newest are kept.
    ///
    /// # Errors
    ///
    /// If the offsets are ones that no stream can have had.
    pub fn restore(
        snapshot: StreamSnapshot,
        ring: Option<Box<dyn Ring>>,
        keep_times: bool,
        replay_len: usize,
    ) -> Result<StreamBuffer, InvalidSnapshot> {
        let StreamSnapshot { head, bytes, timestamps, extended, ring_head, after_ff, ring_layout } =
            snapshot;
        if ring_layout.is_some_and(|layout| layout != LAYOUT) {
            return Err(InvalidSnapshot("the stream is in memory of another version"));
        }
        let head = ring_head.unwrap_or(head);
        if head > OFFSET_MAX || head < bytes.len() as u64 {
            return Err(InvalidSnapshot("the stream cannot end there"));
        }
        let is_sorted = timestamps.is_sorted_by(|a, b| a.0 < b.0);
        if !is_sorted || timestamps.last().is_some_and(|last| last.0 > head) {
            return Err(InvalidSnapshot("the times of the stream are out of order"));
        }
        let mut buffer = StreamBuffer::new(keep_times, replay_len);
        buffer.extended = extended;
        let from = bytes.len().saturating_sub(buffer.capacity());
        let bytes = subslice(&bytes, from..);
        buffer.head = head - bytes.len() as u64;
        if !bytes.is_empty() {
            buffer.resize(bytes.len());
            buffer.push(bytes);
        }
        if let Some(ring) = ring {
            buffer.use_ring(ring);
            buffer.after_ff = after_ff;
        }
        if keep_times {
            buffer.timestamps = timestamps.into();
            buffer.forget_timestamps();
        }
        Ok(buffer)
    }
}
