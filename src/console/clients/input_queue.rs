//! What clients typed and the child has not read yet: one bounded queue, with a share for each
//! client, so that a paste that the child does not take keeps nobody else from being heard.

use std::collections::{BTreeMap, VecDeque};

use minicbor::{Decode, Encode};

use crate::console::event::ClientId;
use crate::console::snapshot::InvalidSnapshot;
use crate::limits::{INPUT_MAX, INPUT_RESERVE};

/// The queue. Bytes keep the order in which they were read, across clients.
#[derive(Debug, Default)]
pub struct InputQueue {
    bytes: VecDeque<u8>,
    /// Whose bytes stand in the queue, in order.
    runs: VecDeque<(ClientId, usize)>,
    /// How many each client has in it.
    shares: BTreeMap<ClientId, usize>,
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

impl InputQueue {
    /// All of it.
    pub fn snapshot(&self) -> InputSnapshot {
        let (first, second) = self.slices();
        InputSnapshot { bytes: [first, second].concat(), runs: self.runs.iter().copied().collect() }
    }

    /// Goes on from a record.
    pub fn restore(record: InputSnapshot) -> Result<InputQueue, InvalidSnapshot> {
        let total = record.runs.iter().try_fold(0_usize, |sum, run| sum.checked_add(run.1));
        if total != Some(record.bytes.len()) || record.runs.iter().any(|run| run.1 == 0) {
            return Err(InvalidSnapshot("the input is not as long as its parts"));
        }
        let mut shares = BTreeMap::new();
        for &(id, len) in &record.runs {
            *shares.entry(id).or_default() += len;
        }
        Ok(InputQueue { bytes: record.bytes.into(), runs: record.runs.into(), shares })
    }

    /// Adds bytes of one client. The bound is kept by not reading a client that
    /// [`accepts`](Self::accepts) denies, never by dropping.
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

    /// Whether more may be read from this client.
    pub fn accepts(&self, id: ClientId) -> bool {
        self.bytes.len() < INPUT_MAX
            || self.shares.get(&id).is_none_or(|&share| share < INPUT_RESERVE)
    }

    /// The bytes to write to the child, as two slices.
    pub fn slices(&self) -> (&[u8], &[u8]) {
        self.bytes.as_slices()
    }

    /// The first `count` bytes have been written to the child.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.bytes.drain(..count);
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

    /// Drops everything, and the memory with it.
    pub fn clear(&mut self) {
        *self = InputQueue::default();
    }
}
