//! Command lines of procServ from public units and start scripts, every one run for real: absolute
//! paths moved below a scratch directory, ports exchanged for free ones, users for known ones, and
//! a stand-in in the place of the command. What the line asks for is then looked for.

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod daemons;
mod greeting;
mod launchers;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod units;

use support::Lab;

/// The files that run the lines.
const SOURCES: [&str; 3] =
    [include_str!("daemons.rs"), include_str!("launchers.rs"), include_str!("units.rs")];

fn main() -> std::process::ExitCode {
    support::main(|| {
        let mut cases = vec![case!(every_line_is_run)];
        cases.extend(daemons::cases());
        cases.extend(units::cases());
        cases.extend(launchers::cases());
        cases
    })
}

fn every_line_is_run(_lab: &Lab) {
    let missing = site::lines().filter(|line| !SOURCES.iter().any(|text| text.contains(line)));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}
