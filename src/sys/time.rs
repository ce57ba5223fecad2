//! Clocks, and strftime(3): user formats must come out as C renders them.

use std::ffi::CString;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Seconds since the epoch.
pub fn wall() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(elapsed) => i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

/// Milliseconds since the epoch.
pub fn wall_millis() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(elapsed) => i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

/// Milliseconds since the epoch as RFC 3339 has it, in local time with its offset.
pub fn rfc3339(millis: i64) -> String {
    let local = strftime(millis.div_euclid(1000), b"%Y-%m-%dT%H:%M:%S%z");
    let text = String::from_utf8_lossy(&local);
    let (time, offset) = text.split_at_checked(19).unwrap_or((&text, "+0000"));
    let (hours, minutes) = offset.split_at_checked(3).unwrap_or(("+00", "00"));
    format!("{time}.{:03}{hours}:{minutes}", millis.rem_euclid(1000))
}

/// The same without a fraction.
pub fn rfc3339_seconds(seconds: i64) -> String {
    let mut text = rfc3339(seconds.saturating_mul(1000));
    text.replace_range(19.min(text.len())..23.min(text.len()), "");
    text
}

/// `seconds` since the epoch in local time as strftime(3) renders `format`, in the C locale, of
/// any length. A format with a NUL ends there, as in C.
pub fn strftime(seconds: i64, format: &[u8]) -> Vec<u8> {
    let end = format.iter().position(|&byte| byte == 0).unwrap_or(format.len());
    let format = format.get(..end).unwrap_or_default();
    // An empty result and one that does not fit both return 0: a sentinel tells them apart.
    let Ok(sentinel) = CString::new([format, b"x"].concat()) else {
        return Vec::new();
    };
    // SAFETY: tm is plain data, all zero is a valid value of it.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid; localtime_r fills `parts` or leaves it alone.
    unsafe { libc::localtime_r(&(seconds as _), &mut parts) };
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
