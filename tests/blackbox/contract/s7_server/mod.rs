//! Section 7 of the contract: the server.

mod files;
mod server;
mod terminal;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [server::cases(), files::cases(), terminal::cases()];
    all.into_iter().flatten().collect()
}
