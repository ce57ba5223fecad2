//! The clients: who they are, what they type, and the commands among it.

pub(crate) mod client;
pub(crate) mod commands;
pub(crate) mod input_queue;
