//! What an enemy would try: faults of the surroundings that must not lose the child, make the
//! server spin, or stop it.

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod child;
mod log;
#[path = "../support/mod.rs"]
mod support;

fn main() -> std::process::ExitCode {
    support::main(|| [child::cases(), log::cases()].into_iter().flatten().collect())
}
