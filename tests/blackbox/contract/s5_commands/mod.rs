//! Section 5 of the contract: the party line and its commands.

mod commands;
mod restarts;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [commands::cases(), restarts::cases()];
    all.into_iter().flatten().collect()
}
