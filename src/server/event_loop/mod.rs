//! The loop: what happened is told to the console, and what the console decided is done.

pub(crate) mod admission;
pub(crate) mod child;
pub(crate) mod input;
pub(crate) mod listener;
pub(crate) mod output;
pub(crate) mod overlap;
pub(crate) mod peer;
pub(crate) mod poll_stream;
pub(crate) mod records;
pub(crate) mod upgrade;
