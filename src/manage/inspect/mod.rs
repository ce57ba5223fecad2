//! Running servers and their children.

pub(crate) mod api;
pub(crate) mod bounded;
pub(crate) mod probe;
pub(crate) mod proc;
pub(crate) mod servers;
pub(crate) mod units;
