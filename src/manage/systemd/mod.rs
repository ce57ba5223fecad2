//! What systemd is told: units, and how they start a server.

pub mod launcher;
pub mod unit;
