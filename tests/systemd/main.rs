//! What systemd passes to the server and is told by it, with the tests in systemd's place. A real one
//! is in `tests/real`.

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod activation;
mod fdstore;
mod manager;
mod notify;
mod overlap;
mod ready;
#[path = "../support/mod.rs"]
mod support;

fn main() -> std::process::ExitCode {
    support::main(|| {
        let all = [
            notify::cases(),
            ready::cases(),
            activation::cases(),
            fdstore::cases(),
            overlap::cases(),
        ];
        all.into_iter().flatten().collect()
    })
}
