//! The child's life beyond procServ: options about its start, its end and its descendants, sockets
//! that outlive it (`--listen`), and children beside each other (`--overlap`).
//!
//! Counts and times are small, unless `PROCSERV_LIFE_FULL` is set.

mod daemon;
mod daemon_bad;
mod holdoff;
mod listen;
mod listen_addresses;
mod load;
mod orphans;
mod overlap;
mod readiness;
mod signal_status;
mod stop_input;
mod terminal;
mod user;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [
        signal_status::cases(),
        holdoff::cases(),
        user::cases(),
        orphans::cases(),
        daemon::cases(),
        daemon_bad::cases(),
        listen::cases(),
        listen_addresses::cases(),
        overlap::cases(),
        stop_input::cases(),
        readiness::cases(),
        load::cases(),
        terminal::cases(),
    ];
    all.into_iter().flatten().collect()
}

/// One of two counts.
fn reduced<T>(few: T, all: T) -> T {
    if std::env::var_os("PROCSERV_LIFE_FULL").is_some() { all } else { few }
}
