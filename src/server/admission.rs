//! Which TCP clients are let in (`--allow-from`). Endpoints themselves are opened by other rules.

use std::net::IpAddr;

use super::Server;
use super::system::System;

impl<S: System> Server<S> {
    /// Whether a TCP client from there is let in.
    pub(super) fn admits(&self, peer: IpAddr) -> bool {
        self.allow_from.as_ref().is_none_or(|networks| networks.admit(peer))
    }

    /// A TCP client from elsewhere was closed.
    pub(super) fn refused(&mut self, peer: IpAddr) {
        self.diagnose(&format!("connection from {peer} refused: not from an allowed network"));
    }
}
