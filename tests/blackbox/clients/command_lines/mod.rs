//! Command lines of procServ from public units and start scripts, every one run for real: absolute
//! paths moved below a scratch directory, ports exchanged for free ones, users for known ones, and
//! a stand-in in the place of the command. What the line asks for is then looked for.

mod daemons;
mod greeting;
mod launchers;
mod site;
mod units;

use crate::case;
use crate::support::{Case, Lab};

/// The files that run the lines.
const SOURCES: [&str; 3] =
    [include_str!("daemons.rs"), include_str!("launchers.rs"), include_str!("units.rs")];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![case!(every_line_is_run)];
    cases.extend(daemons::cases());
    cases.extend(units::cases());
    cases.extend(launchers::cases());
    cases
}

fn every_line_is_run(_lab: &Lab) {
    let missing = site::lines().filter(|line| !SOURCES.iter().any(|text| text.contains(line)));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}
