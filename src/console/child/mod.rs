//! The child: when it is started, killed and replaced, and what is known of it.

pub(crate) mod daemon;
pub(crate) mod interleave;
pub(crate) mod lifecycle;
pub(crate) mod orphan_cleanup;
pub(crate) mod overlap;
pub(crate) mod readiness;
pub(crate) mod recent_restarts;
pub(crate) mod restart_delay;
pub(crate) mod shutdown;
pub(crate) mod status;
pub(crate) mod supervisor;
