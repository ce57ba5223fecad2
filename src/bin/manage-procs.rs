//! The fleet manager. Everything is in the library; this file only starts it.
#![allow(non_snake_case)]

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(procserv_ng::manage::main(argv))
}
