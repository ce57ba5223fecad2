//! How many children were started within a day, counted in slots of ten minutes, so that a child
//! that ends at once for a day takes little memory.

use std::collections::VecDeque;
use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::console::clock::Monotonic;
use crate::limits::{RESTART_SLOT, RESTART_SLOTS};

/// The restarts of the last day. The type is also its own snapshot.
#[derive(Debug, Default, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct RecentRestarts {
    /// The slots with restarts, older ones first.
    #[cbor(n(0), default)]
    slots: VecDeque<Slot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Slot {
    /// The number of the slot since the time 0.
    #[n(0)]
    number: u64,
    #[n(1)]
    restarts: u64,
}

impl RecentRestarts {
    /// Counts a restart at the time `now`.
    pub(crate) fn add(&mut self, now: Monotonic) {
        let number = number_of(now);
        match self.slots.back_mut() {
            Some(last) if last.number >= number => last.restarts = last.restarts.saturating_add(1),
            _ => self.slots.push_back(Slot { number, restarts: 1 }),
        }
        while self.slots.len() > RESTART_SLOTS {
            self.slots.pop_front();
        }
    }

    /// Returns the number of restarts within a day, and the time when the oldest of them is no
    /// longer counted.
    pub(crate) fn count(&self, now: Monotonic) -> (u64, Option<Monotonic>) {
        let end_of = |slot: &Slot| slot.number.saturating_add(RESTART_SLOTS as u64);
        let now = number_of(now);
        let counted = || self.slots.iter().filter(|slot| end_of(slot) > now);
        let sum = counted().fold(0_u64, |sum, slot| sum.saturating_add(slot.restarts));
        let ends = counted().next().map(|slot| {
            let seconds = end_of(slot).saturating_mul(RESTART_SLOT.as_secs());
            Monotonic(0) + Duration::from_secs(seconds)
        });
        (sum, ends)
    }
}

fn number_of(time: Monotonic) -> u64 {
    time.saturating_duration_since(Monotonic(0)).as_secs() / RESTART_SLOT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(0) + Duration::from_secs(seconds)
    }

    #[test]
    fn restarts_are_counted_for_a_day() {
        const DAY: u64 = 24 * 3600;
        let mut restarts = RecentRestarts::default();
        assert_eq!(restarts.count(at(5)), (0, None));
        for second in [5, 10, 700] {
            restarts.add(at(second));
        }
        assert_eq!(restarts.count(at(700)), (3, Some(at(DAY))));
        assert_eq!(restarts.count(at(DAY - 1)).0, 3);
        assert_eq!(restarts.count(at(DAY)), (1, Some(at(DAY + 600))));
        assert_eq!(restarts.count(at(DAY + 600)), (0, None));
    }

    #[test]
    fn a_loop_of_a_week_takes_little_memory() {
        let mut restarts = RecentRestarts::default();
        for second in 0..7 * 24 * 3600 {
            restarts.add(at(second));
        }
        assert_eq!(restarts.slots.len(), RESTART_SLOTS);
        let now = at(7 * 24 * 3600 - 1);
        assert_eq!(restarts.count(now).0, 24 * 3600);
    }
}
