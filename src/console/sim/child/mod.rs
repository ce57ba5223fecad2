//! The oracle's part about the children.

pub mod cleanup;
pub mod interleave;
pub mod overlap;
pub mod supervisor;
