//! Section 1 of the contract: the command line.

mod getopt;
mod options;
mod usage;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [getopt::cases(), options::cases(), usage::cases()];
    all.into_iter().flatten().collect()
}
