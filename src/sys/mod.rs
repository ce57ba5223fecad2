//! The operating system, where the safe wrappers of others end. The only module that says
//! `unsafe`; it knows nothing of consoles.
//!
//! The rule of fork: a child runs async-signal-safe calls on data made before the fork, and
//! nothing else, until it execs or exits. `daemon` is the exception: it forks before any thread
//! exists.

#![allow(unsafe_code)]

pub mod daemonize;
pub mod exec;
pub mod exit_status;
pub mod fd;
pub mod file;
pub mod passed_fds;
pub mod pidfd;
pub mod process;
pub mod procfs;
pub mod program_file;
pub mod pty;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod terminal;
pub mod time;
pub mod user;

use std::ffi::{CStr, CString};
use std::io;

/// The `-1` of a C call as an error.
fn cerr(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The list that execve(2) takes.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    let null = std::iter::once(std::ptr::null());
    strings.iter().map(CString::as_c_str).map(CStr::as_ptr).chain(null).collect()
}

/// What strerror(3) says of an error number, without the number that Rust adds.
pub fn strerror(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.rfind(" (os error") {
        Some(end) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

/// The reason of an error in strerror's words where it has a number.
pub fn reason(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), strerror)
}
