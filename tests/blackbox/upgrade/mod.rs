//! The upgrade in place, on real processes: what lives on, how a server can have been started, when
//! an upgrade is refused, and many in a row under load. Of this package's program only.
//!
//! `UPGRADES=1000 cargo test --test blackbox under_load` makes that many of them, instead of 30.

mod ask;
mod children;
mod connections;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod every_call;
mod exchanged;
mod files;
mod leftovers;
mod limits;
mod load;
mod modes;
mod refusals;
mod shortages;
mod signals;
mod soak;
mod traffic;

pub(crate) use traffic::{FLOOD, flood};

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [
        connections::cases(),
        children::cases(),
        files::cases(),
        signals::cases(),
        modes::cases(),
        refusals::cases(),
        exchanged::cases(),
        shortages::cases(),
        every_call(),
        leftovers::cases(),
        limits::cases(),
        load::cases(),
        soak::cases(),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn every_call() -> Vec<Case> {
    every_call::cases()
}

/// The registers of other processors have other names.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn every_call() -> Vec<Case> {
    Vec::new()
}
