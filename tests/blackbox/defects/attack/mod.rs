//! What an enemy would try: faults of the surroundings that must not lose the child, make the
//! server spin, or stop it.

mod child;
mod clients;
mod files;
mod log;
mod signals;
mod stdin;

use crate::support::Case;

pub(super) fn cases() -> Vec<Case> {
    [
        child::cases(),
        clients::cases(),
        files::cases(),
        log::cases(),
        signals::cases(),
        stdin::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
