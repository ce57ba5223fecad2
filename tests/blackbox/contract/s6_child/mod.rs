//! Section 6 of the contract: the child.

mod end;
mod start;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [start::cases(), end::cases()];
    all.into_iter().flatten().collect()
}
