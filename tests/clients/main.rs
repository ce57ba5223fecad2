//! Programs that read the console by machine, played as they are: their time limits, the order in
//! which they look, their patterns. What one of them relies on may not change.
//!
//! A limit of a second or two is that client's own, and longer here: see `telnetlib`.

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attach;
mod iocmanager;
mod log_readers;
mod procmgr;
mod procserv_control;
mod site_scripts;
mod softioc;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
mod telnetlib;

fn main() -> std::process::ExitCode {
    support::main(|| {
        let clients = [
            procserv_control::cases(),
            iocmanager::cases(),
            procmgr::cases(),
            softioc::cases(),
            log_readers::cases(),
            attach::cases(),
            site_scripts::cases(),
            systemd::cases(),
        ];
        clients.into_iter().flatten().collect()
    })
}
