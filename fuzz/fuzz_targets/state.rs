//! Fuzzes [`checks::state`].
#![no_main]
#![allow(dead_code)]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::state(input));
