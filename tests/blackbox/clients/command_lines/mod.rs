//! Command lines of procServ from public units and start scripts, every one run for real: absolute
//! paths moved below a scratch directory, ports exchanged for free ones, users for known ones, and
//! a stand-in in the place of the command. What the line asks for is then looked for.

mod daemons;
mod greeting;
mod launchers;
mod site;
mod units;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [site::cases(), daemons::cases(), units::cases(), launchers::cases()];
    all.into_iter().flatten().collect()
}
