//! The operating system, where nix and the standard library have no safe wrapper or not the right
//! one. This is the only folder with `unsafe`, and it knows nothing of consoles.
//!
//! The rule of fork(2): until it execs or exits, a child makes async-signal-safe calls
//! (signal-safety(7)) on data that was made before the fork, and does nothing else.
//! [`process::daemonize`] is the exception: it forks before any thread exists.

#![allow(unsafe_code)]

pub mod fd;
pub(crate) mod file;
pub mod memory;
pub(crate) mod passage;
pub(crate) mod process;
pub(crate) mod pty;
pub(crate) mod shared_memory;
pub(crate) mod socket;
pub(crate) mod terminal;
pub mod time;
pub(crate) mod wake;

use std::ffi::{CStr, CString};
use std::io;

/// Returns the error of a C call that returned -1.
fn cerr(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Returns the null-terminated list that execve(2) takes.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    let null = std::iter::once(std::ptr::null());
    strings.iter().map(CString::as_c_str).map(CStr::as_ptr).chain(null).collect()
}

/// Returns the text of strerror(3) for an error number, without the number that Rust adds.
pub(crate) fn strerror(errno: i32) -> String {
    without_number(&io::Error::from_raw_os_error(errno))
}

/// Returns the text of an error up to the number that Rust adds. The errors of tempfile have the name
/// of the temporary file behind that number.
fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error ").unwrap_or(text.len());
    text.get(..end).unwrap_or_default().to_owned()
}

/// Returns the reason of an error, in the words of strerror(3) if the error has a number.
pub(crate) fn reason(error: &io::Error) -> String {
    without_number(error)
}
