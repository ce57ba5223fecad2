//! The console server. Everything is in the library; this file only starts it.
#![allow(non_snake_case)]

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use procserv_ng::sys::memory::PatientAllocator;
use procserv_ng::{cli, handover, limits, server};

#[global_allocator]
static ALLOCATOR: PatientAllocator = PatientAllocator {
    variable: handover::VARIABLE_C,
    most: limits::SHORTAGE_MEMORY,
    pause: limits::SHORTAGE_RETRY,
};

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    if let Some((answer, code)) = server::startup::check_requested(&argv) {
        return leave(&answer, &[], code);
    }
    if let Some(status_file) = cli::health_requested(&argv) {
        let (answer, code) = server::health::answer(&status_file);
        return leave(&answer, &[], code);
    }
    let config = match cli::parse(argv, &|name| std::env::var_os(name)) {
        Ok(config) => config,
        Err(exit) => return leave(&exit.stdout, &exit.stderr, exit.code),
    };
    match server::startup::run(&config) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let (stderr, code) = error.report(&config.argv0);
            leave(&[], &stderr, code)
        }
    }
}

fn leave(stdout: &[u8], stderr: &[u8], code: u8) -> ExitCode {
    // A closed stdout or stderr changes nothing about the exit status.
    let _ = std::io::stderr().write_all(stderr);
    let _ = std::io::stdout().write_all(stdout);
    ExitCode::from(code)
}
