//! Units of systemd: how they are written, made known to systemd, and start a server.

pub(crate) mod generator;
pub(crate) mod launcher;
pub(crate) mod systemctl;
pub(crate) mod unit;
