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
    let clock: libc::time_t = seconds as libc::time_t;
    // SAFETY: both pointers are valid; localtime_r fills `parts` or leaves it alone.
    unsafe { libc::localtime_r(&clock, &mut parts) };
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
