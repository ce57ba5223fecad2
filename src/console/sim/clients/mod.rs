//! Simulated clients, and the oracle's part about what they type.

pub mod client;
mod commands;
mod requests;
mod traffic;
pub mod typed;
pub mod window;
