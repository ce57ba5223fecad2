//! Clocks, and times as text: by chrono, except in the formats that a user gives.
//!
//! RFC 3339 has years of four digits only, so times outside of them are shown as the nearest day that
//! has such a year in every time zone.

use std::ffi::CString;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Local, SecondsFormat, TimeZone};

/// The second day of the year 0 and the end of the last day but one of the year 9999, in milliseconds
/// since the epoch.
const FOUR_DIGIT_YEARS: (i64, i64) = (-62_167_132_800_000, 253_402_214_399_999);

/// A time in the last year for which localtime(3) has a number, in seconds since the epoch; its
/// negative is one in the first.
const LAST_YEAR: i64 = 67_767_976_000_000_000;

/// Returns the time of CLOCK_MONOTONIC, in nanoseconds.
pub fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Returns the time of the wall clock: seconds since the epoch, rounded down, and nanoseconds since
/// that second began.
pub(crate) fn wall_nanos() -> (i64, u32) {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => (seconds(since), since.subsec_nanos()),
        Err(before) => match (seconds(before.duration()), before.duration().subsec_nanos()) {
            (seconds, 0) => (-seconds, 0),
            (seconds, nanos) => (-seconds - 1, 1_000_000_000 - nanos),
        },
    }
}

/// Returns the time of the wall clock, in milliseconds since the epoch.
pub(crate) fn wall_millis() -> i64 {
    // Not by chrono, which panics at times for which it has no year.
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// Returns `millis`, milliseconds since the epoch, in local time with its offset (RFC 3339).
pub(crate) fn rfc3339(millis: i64) -> String {
    local(millis).to_rfc3339_opts(SecondsFormat::Millis, false)
}

/// Returns `seconds` since the epoch in local time with its offset (RFC 3339), without a fraction.
pub(crate) fn rfc3339_seconds(seconds: i64) -> String {
    local(seconds.saturating_mul(1000)).to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// Returns `seconds` since the epoch in local time as `format` has it, which is one of this program:
/// chrono knows fewer conversions than [`strftime`], so it is not for formats of users.
///
/// # Panics
///
/// If chrono does not know a conversion of the format.
pub(crate) fn format(seconds: i64, format: &'static str) -> String {
    local(seconds.saturating_mul(1000)).format(format).to_string()
}

/// Returns a time in local time, or the nearest one whose year has four digits.
fn local(millis: i64) -> DateTime<Local> {
    let millis = millis.clamp(FOUR_DIGIT_YEARS.0, FOUR_DIGIT_YEARS.1);
    Local.timestamp_millis_opt(millis).single().unwrap_or_default()
}

/// Returns `seconds` since the epoch in local time as strftime(3) renders `format`, in the C
/// locale, of any length. A format with a NUL ends there, as in C.
///
/// This is for `--timefmt` and `--logstamp`, whose contract is strftime(3) (contract section 3).
/// chrono's formats are others: `%Z` is an offset there, `%E`, `%O`, flags and widths are unknown,
/// and a format has to be UTF-8.
pub(crate) fn strftime(seconds: i64, format: &[u8]) -> Vec<u8> {
    let end = format.iter().position(|&byte| byte == 0).unwrap_or(format.len());
    let format = format.get(..end).unwrap_or_default();
    // An empty result and one that does not fit both return 0: a sentinel tells them apart.
    let Ok(sentinel) = CString::new([format, b"x"].concat()) else {
        return Vec::new();
    };
    // SAFETY: tm is plain data, all zero is a valid value of it.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    for seconds in [seconds, seconds.clamp(-LAST_YEAR, LAST_YEAR), 0] {
        // SAFETY: both pointers are valid; localtime_r fills `parts`, or fails if there is no number
        // for the year.
        if !unsafe { libc::localtime_r(&(seconds as _), &mut parts) }.is_null() {
            break;
        }
    }
    let mut out = vec![0_u8; 64 + 2 * format.len()];
    while out.len() <= 1 << 20 {
        // SAFETY: writes at most `out.len()` bytes; the format is NUL-terminated.
        let len = unsafe {
            libc::strftime(out.as_mut_ptr().cast(), out.len(), sentinel.as_ptr(), &parts)
        };
        if len > 0 {
            out.truncate(len - 1);
            return out;
        }
        out.resize(out.len() * 4, 0);
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rules of POSIX, which need no files: none, two of the north and one of the south with summer
    /// time, and one with minutes.
    const ZONES: [&str; 5] = [
        "UTC0",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "NST3:30NDT,M3.2.0,M11.1.0",
        "AEST-10AEDT,M10.1.0,M4.1.0/3",
        "<+0545>-5:45",
    ];
    const VARIABLE: &str = "PROCSERV_TEST_ZONE";

    fn agree(seconds: i64) {
        const FORMAT: &str = "%F %T %z %b %e";
        let theirs = String::from_utf8(strftime(seconds, FORMAT.as_bytes())).unwrap();
        assert_eq!(format(seconds, FORMAT), theirs, "{seconds}");
    }

    #[test]
    fn chrono_and_strftime_agree() {
        if std::env::var_os(VARIABLE).is_some() {
            let range = 0..=i64::from(i32::MAX);
            proptest!(|(seconds in range)| agree(seconds));
            return;
        }
        // A time zone is the whole process's, so each gets a process of its own.
        for zone in ZONES {
            let mut test = std::process::Command::new(std::env::current_exe().unwrap());
            test.args(["--exact", "sys::time::tests::chrono_and_strftime_agree"]);
            let output = test.env("TZ", zone).env(VARIABLE, zone).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{zone}: {text}");
        }
    }

    #[test]
    fn years_beyond_9999_are_no_garbage() {
        for millis in [253_402_300_800_000, 253_402_214_400_000, i64::MAX] {
            let texts = [rfc3339(millis), rfc3339_seconds(millis), format(millis, "%Y-%m-%d")];
            assert!(texts.iter().all(|text| text.starts_with("9999-12-3")), "{texts:?}");
        }
        for millis in [-62_167_219_200_001, -62_167_132_800_001, i64::MIN] {
            let texts = [rfc3339(millis), rfc3339_seconds(millis), format(millis, "%Y-%m-%d")];
            assert!(texts.iter().all(|text| text.starts_with("0000-01-0")), "{texts:?}");
        }
        // A user's format shows the year as it is, as long as there is a number for it.
        assert_eq!(strftime(253_402_300_800 + 86_400, b"%Y"), b"10000");
        assert_eq!(strftime(i64::MAX, b"%Y"), b"2147483640");
        assert_eq!(strftime(i64::MIN, b"%Y"), b"-2147479701");
    }

    #[test]
    fn times_have_milliseconds_or_none() {
        let with = DateTime::parse_from_rfc3339(&rfc3339(1_700_000_000_007)).unwrap();
        assert_eq!(with.timestamp_millis(), 1_700_000_000_007);
        assert!(rfc3339(-1).contains(".999"));
        let text = rfc3339_seconds(1_700_000_000);
        assert_eq!(text.len(), "2023-11-14T22:13:20+00:00".len(), "{text}");
        assert_eq!(DateTime::parse_from_rfc3339(&text).unwrap().timestamp(), 1_700_000_000);
    }
}
