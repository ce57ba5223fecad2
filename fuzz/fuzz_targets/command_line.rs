//! The command line: never panics; what refuses to start says why, or was asked for its help or
//! version.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;
use procserv::cli;

fuzz_target!(|words: Vec<Vec<u8>>| {
    let argv = std::iter::once(b"procServ".to_vec()).chain(words).map(OsString::from_vec);
    match cli::parse(argv.collect(), &|_| None) {
        Ok(config) => {
            assert!(!config.controls.is_empty());
            assert!((0..=31).contains(&config.kill_signal));
        }
        Err(exit) => assert!(match exit.code {
            0 => !exit.stdout.is_empty(),
            _ => !exit.stderr.is_empty(),
        }),
    }
});
