//! The options of the child's life that procServ doesn't have, on real processes.
//!
//! Counts and times are small, unless `PROCSERV_LIFE_FULL` is set.

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../compat/common.rs"]
#[allow(dead_code)]
mod common;
mod daemon;
mod daemon_bad;
mod holdoff;
mod orphans;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod user;

fn main() -> std::process::ExitCode {
    support::main(|| {
        let themes = [
            status::cases(),
            holdoff::cases(),
            user::cases(),
            orphans::cases(),
            daemon::cases(),
            daemon_bad::cases(),
        ];
        themes.into_iter().flatten().collect()
    })
}

/// One of two counts.
fn reduced<T>(few: T, all: T) -> T {
    if std::env::var_os("PROCSERV_LIFE_FULL").is_some() { all } else { few }
}
