//! What procServ does, observably: one case for each statement of the contract
//! (docs/procserv.md) that can be seen from outside, run against the program built here or the one
//! named by `PROCSERV_BIN`. `[+]` and sections in the reasons of marks are the contract's.

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod child;
mod cmdline;
mod commands;
mod common;
mod endpoints;
mod ends;
mod files;
mod greeting;
mod log;
mod options;
mod restarts;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod telnet;
mod terminal;
mod usage;

fn main() -> std::process::ExitCode {
    support::main(|| {
        let sections = [
            cmdline::cases(),
            options::cases(),
            usage::cases(),
            endpoints::cases(),
            greeting::cases(),
            telnet::cases(),
            commands::cases(),
            restarts::cases(),
            child::cases(),
            ends::cases(),
            server::cases(),
            files::cases(),
            terminal::cases(),
            log::cases(),
        ];
        sections.into_iter().flatten().collect()
    })
}
