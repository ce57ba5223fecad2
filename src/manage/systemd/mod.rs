//! What systemd is told: units, and how they start a server.

pub(crate) mod generator;
pub(crate) mod launcher;
pub(crate) mod systemctl;
pub(crate) mod unit;
