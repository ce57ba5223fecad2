//! The child: when it is started, killed and replaced, and what is known of it.

pub(crate) mod daemon;
pub mod interleave;
pub(crate) mod orphan_cleanup;
pub(crate) mod overlap;
pub(crate) mod readiness;
pub(crate) mod restart_delay;
pub mod status;
pub(crate) mod supervisor;
