//! The two times that the console knows, both handed in by its caller, and how a time is shown.

use std::ops::Add;
use std::time::Duration;

use minicbor::data::Type;
use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

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

/// A time of the wall clock. In a snapshot it is the number of seconds alone if it has no fraction,
/// as it was before there were fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime {
    /// Seconds since the epoch, rounded down.
    pub seconds: i64,
    /// Nanoseconds since that second began.
    pub nanos: u32,
}

impl UnixTime {
    /// The beginning of a second.
    pub const fn from_secs(seconds: i64) -> UnixTime {
        UnixTime { seconds, nanos: 0 }
    }

    /// The beginning of the second that this time is in.
    pub const fn whole_second(self) -> UnixTime {
        UnixTime::from_secs(self.seconds)
    }
}

impl<C> Encode<C> for UnixTime {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self.nanos {
            0 => e.i64(self.seconds)?,
            nanos => e.array(2)?.i64(self.seconds)?.u32(nanos)?,
        };
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for UnixTime {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<UnixTime, decode::Error> {
        if d.datatype()? != Type::Array {
            return d.i64().map(UnixTime::from_secs);
        }
        let at = d.position();
        match (d.array()?, d.i64()?, d.u32()?) {
            (Some(2), seconds, nanos @ ..1_000_000_000) => Ok(UnixTime { seconds, nanos }),
            _ => Err(decode::Error::message("no time").at(at)),
        }
    }
}

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
