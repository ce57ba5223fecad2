//! The programs of this package as users, clients and service managers see them: processes, sockets,
//! terminals and files. What is where, and how to run one case: `tests/README.md`.

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A case that is in no list is never run.
#![deny(dead_code)]

mod child;
mod clients;
mod console;
mod contract;
mod defects;
mod files;
mod manage;
mod support;
mod systemd;
mod upgrade;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == upgrade::FLOOD) {
        return upgrade::flood();
    }
    support::main(|| {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
        // For clients by the thousand.
        setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("setrlimit");
        let both = [contract::cases(), defects::cases(), clients::cases()];
        let own = [
            console::cases(),
            child::cases(),
            files::cases(),
            systemd::cases(),
            upgrade::cases(),
            manage::cases(),
        ];
        let is_ours = support::is_ours();
        let own = own.into_iter().flatten().map(|case| case.only_if(is_ours, "not procServ's"));
        both.into_iter().flatten().chain(own).collect()
    })
}
