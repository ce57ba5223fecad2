//! The states of a child, and what leads from one to another.
//!
//! | state | call | next state |
//! |---|---|---|
//! | `NoChild` | `poll`, `start_by_hand` | `Starting` |
//! | `Starting` | `started` | `Running` |
//! | | `start_failed` | `NoChild` |
//! | `Running` | `ended` | `NoChild` or `CleaningUp` |
//! | | `begin_replacement` | `Replacing` |
//! | | `await_daemon` | `AwaitingDaemon` |
//! | | `begin_stop`, `begin_shutdown` | `Leaving` |
//! | `Replacing` | `started`, `cancel_replacement` | `Running` |
//! | `AwaitingDaemon` | `daemon_found` | `Running` |
//! | | `ended` | `CleaningUp` |
//! | `Leaving` | `ended` | `NoChild` or `CleaningUp`; the caller exits |
//! | | `poll`: the child survives SIGKILL | `Leaving` or `CleaningUp`; the caller exits |
//! | `CleaningUp` | `cleanup_scanned`: no orphan is left | `NoChild` or `Starting` |
//! | all but `Leaving` | `restore_old` | `Running` |
//!
//! `CleaningUp` comes only after a child that may have left processes behind that have to be killed
//! ([`OrphanCleanup`]). It delays a start and the exit.

use minicbor::{Decode, Encode};

use super::orphan_cleanup::{AfterCleanup, OrphanCleanup};
use crate::console::clock::Monotonic;
use crate::console::event::ChildProcess;

/// The last time that a child was started, or that its start was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Start {
    #[n(0)]
    pub(super) at: Monotonic,
    #[cbor(n(1), default)]
    pub(super) failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Child {
    #[n(0)]
    pub(super) process: ChildProcess,
    /// True if the child has made itself a daemon, and this is it.
    #[cbor(n(1), default)]
    pub(super) is_daemon: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) enum Lifecycle {
    #[n(0)]
    NoChild,
    /// A child was asked for, and the answer has not come.
    #[n(1)]
    Starting,
    #[n(2)]
    Running(#[n(0)] Child),
    /// SIGTERM came, and the server exits after the child.
    #[n(3)]
    Leaving {
        #[n(0)]
        child: Child,
        /// True if the child has been sent SIGKILL.
        #[n(1)]
        killed: bool,
        /// When the kill signal or SIGKILL is due, or, after SIGKILL, the exit without the child.
        #[n(2)]
        until: Monotonic,
        /// True if the child was typed the text of `--stop-input` and has not been sent the kill signal.
        #[cbor(n(3), default)]
        asked: bool,
    },
    /// The child's first process has ended as that of a daemon does, and the daemon is not known yet.
    #[n(4)]
    AwaitingDaemon {
        #[n(0)]
        first: Child,
        /// When the search is given up.
        #[n(1)]
        until: Monotonic,
        /// When to search next.
        #[n(2)]
        next_scan: Monotonic,
    },
    /// No child runs, and the processes that it left behind are being killed.
    #[n(5)]
    CleaningUp(#[n(0)] OrphanCleanup),
    /// The child runs, another one beside it was asked for, and the answer has not come.
    #[n(6)]
    Replacing(#[n(0)] Child),
}

impl Lifecycle {
    pub(super) fn running(process: ChildProcess) -> Lifecycle {
        Lifecycle::Running(Child { process, is_daemon: false })
    }

    /// The child, while one runs. A child that is to become a daemon counts as running until it is
    /// known whether it did.
    pub(super) fn child(&self) -> Option<Child> {
        match *self {
            Lifecycle::Running(child)
            | Lifecycle::Replacing(child)
            | Lifecycle::Leaving { child, .. }
            | Lifecycle::AwaitingDaemon { first: child, .. } => Some(child),
            Lifecycle::NoChild | Lifecycle::Starting | Lifecycle::CleaningUp(_) => None,
        }
    }

    /// Returns true if the server exits when the child, or its orphans, are gone.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(
            self,
            Lifecycle::Leaving { .. }
                | Lifecycle::CleaningUp(OrphanCleanup { then: AfterCleanup::Exit(_), .. })
        )
    }
}
