//! The upgrade in place, on real processes: what lives on, how a server can have been started, when
//! an upgrade is refused, and many in a row under load. Of this package's program only.
//!
//! `UPGRADES=1000 cargo test --test upgrade under_load` makes that many of them, instead of 30.

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ask;
mod children;
#[path = "../compat/common.rs"]
#[allow(dead_code)]
mod common;
mod connections;
mod files;
mod leftovers;
mod limits;
mod load;
mod modes;
mod refusals;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod traffic;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::Case;

fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == traffic::FLOOD) {
        return traffic::flood();
    }
    support::main(|| {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
        // For clients by the thousand.
        setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("setrlimit");
        let themes = [
            connections::cases(),
            children::cases(),
            files::cases(),
            signals::cases(),
            modes::cases(),
            refusals::cases(),
            leftovers::cases(),
            limits::cases(),
            load::cases(),
        ];
        let ours = support::is_ours();
        let only = |case: Case| case.only_if(ours, "procServ ends at SIGUSR1");
        themes.into_iter().flatten().map(only).collect()
    })
}
