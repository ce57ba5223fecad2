//! The console stream: its bytes, the readers of it, and how fast it may grow.

pub(crate) mod buffer;
pub(crate) mod flow;
pub(crate) mod reader;
