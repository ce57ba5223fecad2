//! The command lines of both programs, without a process of them: GNU's habits, the words of every
//! error, what options mean, and what describes them (help, man pages, completions).

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A case that is in no list is never run.
#![deny(dead_code)]

mod cmdlines;
mod completions;
mod docs;
mod getopt;
mod harness;
mod ini;
mod meaning;
mod parse;
mod shlex;

fn main() -> std::process::ExitCode {
    let topics = [
        getopt::cases(),
        meaning::cases(),
        cmdlines::cases(),
        docs::cases(),
        completions::cases(),
        ini::cases(),
        shlex::cases(),
    ];
    harness::run(topics.into_iter().flatten())
}
