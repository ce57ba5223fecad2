//! What a client gets beyond procServ: the history, endpoints with IPv6 or without telnet, networks
//! that are let in, the words of 2.7.

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod history;
mod ipv6;
mod networks;
mod raw;
#[path = "../support/mod.rs"]
mod support;
mod wording;

fn main() -> std::process::ExitCode {
    support::main(|| {
        [history::cases(), ipv6::cases(), networks::cases(), raw::cases(), wording::cases()]
            .into_iter()
            .flatten()
            .collect()
    })
}
