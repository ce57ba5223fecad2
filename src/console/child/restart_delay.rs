//! The time from one start of a child to the next.
//!
//! It is at least the holdoff time. With `--holdoff-max` it doubles with each child that dies within
//! the holdoff time, from the second one in a row on, up to that limit. Up to a quarter of the time
//! beyond the holdoff time is left out, so that servers whose children died together do not start
//! them together.

use std::time::Duration;

/// The limits of the delay, from the settings.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RestartDelay {
    /// The holdoff time. A child that runs for as long ends the row of early deaths.
    pub least: Duration,
    /// The limit of doubling. Without doubling it is not more than `least`.
    pub most: Duration,
    /// Decides how much is left out. It is any number, and one server always has the same.
    pub seed: u64,
}

impl RestartDelay {
    /// The number of early deaths in a row, after `deaths` of them and a child that lived for `run`.
    pub fn next_streak(&self, deaths: u32, run: Duration) -> u32 {
        if run < self.least { deaths.saturating_add(1) } else { 0 }
    }

    /// The time from the last start to the next, after `deaths` early deaths in a row.
    pub fn delay(&self, deaths: u32) -> Duration {
        let doublings = deaths.saturating_sub(1).min(31);
        let beyond = self.least.saturating_mul(1 << doublings).min(self.most);
        let beyond = beyond.saturating_sub(self.least);
        self.least + beyond - beyond / 4 * self.jitter(deaths) / u32::from(u16::MAX)
    }

    /// A number up to `u16::MAX`, which differs from one death to the next.
    fn jitter(&self, deaths: u32) -> u32 {
        u32::from((mix(self.seed ^ mix(deaths.into())) >> 48) as u16)
    }
}

/// A seed made of these words, which have to be those of one server only.
pub fn seed<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let bytes = words.into_iter().flatten();
    bytes.fold(0, |seed, &byte| mix(seed ^ u64::from(byte)))
}

/// Spreads each bit over all (the finalizer of splitmix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn holdoff(seed: u64) -> RestartDelay {
        RestartDelay { least: seconds(1), most: seconds(60), seed }
    }

    #[test]
    fn waits_double_up_to_the_limit() {
        let whole = [1, 1, 2, 4, 8, 16, 32, 60, 60, 60].map(seconds);
        for server in 0..1000 {
            let holdoff = holdoff(server);
            for (deaths, whole) in (0..).zip(whole) {
                let wait = holdoff.delay(deaths);
                let least = whole - (whole - seconds(1)) / 4;
                assert!((least..=whole).contains(&wait), "{wait:?} after {deaths}, {server}");
            }
            assert!(holdoff.delay(u32::MAX) <= seconds(60));
        }
    }

    #[test]
    fn servers_spread_over_all_of_the_quarter() {
        let mut waits: Vec<Duration> = (0..1000).map(|server| holdoff(server).delay(7)).collect();
        waits.sort();
        let tenths = waits.chunks(100).map(|chunk| chunk[0]);
        for (tenth, wait) in (0..).zip(tenths) {
            let even = Duration::from_millis(45_250 + tenth * 1475);
            assert!(wait.abs_diff(even) < seconds(2), "{wait:?} for {even:?}");
        }
    }

    #[test]
    fn without_a_limit_nothing_doubles() {
        for least in [0, 15].map(seconds) {
            let holdoff = RestartDelay { least, most: least, seed: 7 };
            assert!((0..100).all(|deaths| holdoff.delay(deaths) == least));
        }
    }

    #[test]
    fn one_long_run_ends_a_row() {
        let holdoff = holdoff(1);
        assert_eq!(holdoff.next_streak(5, Duration::from_millis(999)), 6);
        assert_eq!(holdoff.next_streak(5, seconds(1)), 0);
    }

    #[test]
    fn seeds_differ() {
        let all = [["a", "1"], ["a", "2"], ["b", "1"], ["", ""]];
        let mut seeds = all.map(|words| seed(words.map(str::as_bytes))).to_vec();
        seeds.sort();
        seeds.dedup();
        assert_eq!(seeds.len(), all.len());
    }
}
