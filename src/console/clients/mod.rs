//! The clients: how each is served, and what it may type.

pub(crate) mod backpressure;
pub(crate) mod client;
pub(crate) mod command_rate;
pub(crate) mod commands;
pub(crate) mod input_queue;
pub mod requests;
pub(crate) mod snapshot;
pub(crate) mod typed;
pub(crate) mod window;
