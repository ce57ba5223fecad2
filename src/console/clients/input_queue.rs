//! The input that clients typed and the child has not read: one bounded queue, with a share for each
//! client, so that a paste that the child does not read keeps no other client from being read.

use std::collections::{BTreeMap, VecDeque};

use minicbor::{Decode, Encode};

use crate::console::error::InvalidSnapshot;
use crate::console::event::ClientId;
use crate::limits::{INPUT_MAX, INPUT_RESERVE};

/// The queue. The bytes of all clients are in the order in which they were read.
#[derive(Debug, Default)]
pub struct InputQueue {
    bytes: VecDeque<u8>,
    /// The clients that sent the bytes, in the order of the queue, with the number of bytes.
    runs: VecDeque<(ClientId, usize)>,
    /// How many of the bytes each client has sent.
    shares: BTreeMap<ClientId, usize>,
    /// How many bytes there were before the first.
    begin: u64,
}

/// The queue as plain data.
#[derive(Debug, Default, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct InputSnapshot {
    #[cbor(n(0), default, with = "minicbor::bytes")]
    bytes: Vec<u8>,
    #[cbor(n(1), default)]
    runs: Vec<(ClientId, usize)>,
}

impl InputSnapshot {
    /// Adds bytes of one client.
    pub fn push(&mut self, id: ClientId, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.runs.push((id, bytes.len()));
    }

    /// Drops the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        let mut left = count.min(self.bytes.len());
        self.bytes.drain(..left);
        self.runs.retain_mut(|(_, len)| {
            let part = left.min(*len);
            (*len, left) = (*len - part, left - part);
            *len > 0
        });
    }
}

impl InputQueue {
    /// The queue as plain data.
    pub fn snapshot(&self) -> InputSnapshot {
        let (first, second) = self.slices();
        InputSnapshot { bytes: [first, second].concat(), runs: self.runs.iter().copied().collect() }
    }

    /// Goes on from a snapshot.
    ///
    /// # Errors
    ///
    /// If the bytes and the clients that sent them do not fit together.
    pub fn restore(snapshot: InputSnapshot) -> Result<InputQueue, InvalidSnapshot> {
        let total = snapshot.runs.iter().try_fold(0_usize, |sum, run| sum.checked_add(run.1));
        if total != Some(snapshot.bytes.len()) || snapshot.runs.iter().any(|run| run.1 == 0) {
            return Err(InvalidSnapshot("the input is not as long as its parts"));
        }
        let mut shares = BTreeMap::new();
        for &(id, len) in &snapshot.runs {
            *shares.entry(id).or_default() += len;
        }
        let (bytes, runs) = (snapshot.bytes.into(), snapshot.runs.into());
        Ok(InputQueue { bytes, runs, shares, begin: 0 })
    }

    /// Adds bytes of one client. No byte is ever dropped: the caller keeps the queue bounded by not
    /// reading a client that [`accepts`](Self::accepts) refuses.
    pub fn push(&mut self, id: ClientId, bytes: impl Iterator<Item = u8>) {
        let before = self.bytes.len();
        self.bytes.extend(bytes);
        let count = self.bytes.len() - before;
        if count == 0 {
            return;
        }
        *self.shares.entry(id).or_default() += count;
        match self.runs.back_mut() {
            Some((last, len)) if *last == id => *len += count,
            _ => self.runs.push_back((id, count)),
        }
    }

    /// Returns true if more may be read from this client.
    pub fn accepts(&self, id: ClientId) -> bool {
        self.bytes.len() < INPUT_MAX
            || self.shares.get(&id).is_none_or(|&share| share < INPUT_RESERVE)
    }

    /// The bytes to write to the child, as two slices.
    pub fn slices(&self) -> (&[u8], &[u8]) {
        self.bytes.as_slices()
    }

    /// Takes note that the first `count` bytes have been written to the child.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.bytes.drain(..count);
        self.begin += count as u64;
        let mut left = count;
        while left > 0
            && let Some((id, len)) = self.runs.front_mut()
        {
            let part = left.min(*len);
            *len -= part;
            left -= part;
            let (id, done) = (*id, *len == 0);
            if let Some(share) = self.shares.get_mut(&id) {
                *share -= part;
                if *share == 0 {
                    self.shares.remove(&id);
                }
            }
            if done {
                self.runs.pop_front();
            }
        }
        if self.bytes.is_empty() {
            self.clear();
        }
    }

    /// Drops all bytes and frees their memory.
    pub fn clear(&mut self) {
        let begin = self.extent().1;
        *self = InputQueue { begin, ..InputQueue::default() };
    }

    /// How many bytes there were before the first, and up to the last.
    pub fn extent(&self) -> (u64, u64) {
        (self.begin, self.begin + self.bytes.len() as u64)
    }

    /// The bytes from this one on, counted as in [`extent`](Self::extent), with the clients that sent
    /// them.
    pub fn since(&self, from: u64) -> Vec<(ClientId, Vec<u8>)> {
        let (mut at, mut parts) = (self.begin, Vec::new());
        for &(id, len) in &self.runs {
            let end = at + len as u64;
            if end > from {
                let skipped = (at.max(from) - self.begin) as usize;
                let bytes = self.bytes.range(skipped..(end - self.begin) as usize);
                parts.push((id, bytes.copied().collect()));
            }
            at = end;
        }
        parts
    }
}
