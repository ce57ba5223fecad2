//! What systemd passes to the server and is told by it, with the tests in systemd's place. A real one
//! is in `tests/real`.

mod activation;
mod fdstore;
mod manager;
mod notify;
mod overlap;
mod ready;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all =
        [notify::cases(), ready::cases(), activation::cases(), fdstore::cases(), overlap::cases()];
    all.into_iter().flatten().collect()
}
