//! What runs: servers, their children, and what of them the kernel knows.

pub mod probe;
pub mod proc;
pub mod servers;
