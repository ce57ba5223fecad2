//! Sockets that outlive the child (`--listen`), and children beside each other (`--overlap`).

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod addresses;
mod listen;
mod load;
mod overlap;
mod ready;
#[path = "../support/mod.rs"]
mod support;

fn main() -> std::process::ExitCode {
    support::main(|| {
        let all =
            [listen::cases(), addresses::cases(), overlap::cases(), ready::cases(), load::cases()];
        all.into_iter().flatten().collect()
    })
}
