//! The console stream: its bytes and the readers of it.

pub(crate) mod buffer;
pub(crate) mod reader;
pub(crate) mod sinks;
