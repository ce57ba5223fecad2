//! The endpoint parser: never panics, and what it prints of an endpoint is that endpoint.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use procserv::endpoint::{Access, Endpoint};

fuzz_target!(|input: (&[u8], bool, bool)| {
    let (bytes, log, open) = input;
    // The user database is no part of this.
    if bytes.starts_with(b"unix:") && bytes.iter().filter(|&&byte| byte == b':').count() >= 4 {
        return;
    }
    let access =
        if log { Access::Log { restrict: !open } } else { Access::Control { allow: open } };
    match Endpoint::parse(OsStr::from_bytes(bytes), access) {
        Ok(endpoint) => {
            let printed = endpoint.to_bytes();
            let spec = printed.strip_prefix(b"tcp:").unwrap_or(&printed);
            assert_eq!(Endpoint::parse(OsStr::from_bytes(spec), access), Ok(endpoint));
        }
        Err(error) => assert!(!error.message(OsStr::new("procServ")).is_empty()),
    }
});
