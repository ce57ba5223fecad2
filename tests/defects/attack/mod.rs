//! What an enemy would try: faults of the surroundings that must not lose the child, make the
//! server spin, or stop it.

mod child;
mod files;
mod log;
mod signals;

use crate::support::Case;

pub(super) fn cases() -> Vec<Case> {
    [child::cases(), files::cases(), log::cases(), signals::cases()].into_iter().flatten().collect()
}
