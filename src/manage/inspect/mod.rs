//! Running servers and their children.

pub(crate) mod bounded;
pub(crate) mod ends;
pub(crate) mod overview;
pub(crate) mod probe;
pub(crate) mod proc;
pub(crate) mod servers;
mod state;
pub(crate) mod units;
