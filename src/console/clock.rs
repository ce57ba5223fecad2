//! The two times that the console knows, both handed in by its caller, and how a time is shown.

use std::ops::Add;
use std::time::Duration;

use minicbor::{Decode, Encode};

/// Nanoseconds of CLOCK_MONOTONIC. Unlike `std::time::Instant` this is a plain number: tests make
/// one up, and it keeps its meaning across an exec.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Monotonic(#[n(0)] pub u64);

impl Monotonic {
    /// The time from `earlier` to `self`; zero if `self` is before `earlier`.
    pub fn saturating_duration_since(self, earlier: Monotonic) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Monotonic;

    fn add(self, duration: Duration) -> Monotonic {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Monotonic(self.0.saturating_add(nanos))
    }
}

/// Seconds since the epoch: the resolution of every time that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct UnixTime(#[n(0)] pub i64);

/// The time of one turn of the event loop, read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamps {
    /// The time that deadlines are compared with.
    pub mono: Monotonic,
    /// The time that is shown.
    pub wall: UnixTime,
}

/// Renders times in the formats that users chose.
pub trait TimeFormatter {
    /// `time` in local time as strftime(3) renders `format`, of any length.
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8>;
}
