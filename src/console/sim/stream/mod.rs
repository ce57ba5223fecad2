//! The stream as it should be, and the check of each reader against it.

pub mod buffer;
pub mod reader;
pub mod sink;
