//! A console server: one child process on a PTY, its console shared with many clients.

pub mod caret;
pub mod cli;
pub mod config;
pub mod core;
pub mod endpoint;
pub mod error;
pub mod limits;
pub mod server;
mod strto;
pub mod sys;
pub mod telnet;

/// What `-V` prints and the greeting shows, without a line end (contract section 3).
pub const VERSION: &str =
    concat!("procServ Process Server 2.9.0 (procserv-rs ", env!("CARGO_PKG_VERSION"), ")");
