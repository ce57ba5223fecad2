//! A console server: one child process on a PTY, its console shared with many clients.

pub mod cli;
pub mod config;
pub mod endpoint;
pub mod telnet;
