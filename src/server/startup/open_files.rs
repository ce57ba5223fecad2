//! The limit of open files, which has to have room for what the server opens itself.

use super::error::StartupError;
use crate::config::endpoint::Address;
use crate::config::listen::ListenTarget;
use crate::config::{Config, RunMode};
use crate::limits::{OWN_FDS, RESERVED_FDS_MIN};
use crate::sys::fd;

/// Checks that the server can open what it needs for itself and for one client, before it opens
/// anything: a later failure would look like that of an endpoint, a file or the child, and a daemon
/// has nobody to tell. Under `fdstore` there is a descriptor store.
///
/// # Errors
/// The limit of open files is too low.
pub(super) fn check(config: &Config, fdstore: bool) -> Result<(), StartupError> {
    // What was passed is open already.
    let endpoints = config.endpoints.controls.iter().chain(&config.endpoints.log);
    let endpoints = endpoints.filter(|it| !matches!(it.address, Address::Passed(_)));
    let targets = config.child.listen.iter().map(|uri| &uri.place);
    let child_sockets = targets.filter(|it| !matches!(it, ListenTarget::Descriptor(_)));
    // Events, syslog and status file are open in the threads that write them. The log is, too, but two
    // descriptors for it are open here (measured).
    let others = [
        config.is_foreground(),
        matches!(config.run_mode, RunMode::Debug | RunMode::DebugForeground),
        config.log.target.is_some(),
        config.log.target.is_some(),
        fdstore,
        config.files.events_journal,
    ];
    let others = others.into_iter().filter(|open| *open);
    let client = 1;
    let counted = (endpoints.count() + child_sockets.count() + others.count()) as u64;
    match fd::missing(OWN_FDS + RESERVED_FDS_MIN + client + counted) {
        Some((missing, limit)) => Err(StartupError::OpenFiles { missing, limit }),
        None => Ok(()),
    }
}
