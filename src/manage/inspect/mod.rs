//! What runs: servers, their children, and what of them the kernel knows.

pub(crate) mod probe;
pub(crate) mod proc;
pub(crate) mod servers;
