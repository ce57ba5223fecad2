//! Which TCP clients are let in (`--allow-from`). Endpoints themselves are opened by other rules.

use std::net::IpAddr;

use super::Server;
use super::records::What;
use super::system::System;

impl<S: System> Server<S> {
    /// Whether a TCP client from there is let in.
    pub(super) fn admits(&self, peer: IpAddr) -> bool {
        self.allow_from.as_ref().is_none_or(|networks| networks.admit(peer))
    }

    /// A TCP client from elsewhere was closed.
    pub(super) fn refused(&mut self, peer: IpAddr, endpoint: &str) {
        let reason = "not from an allowed network";
        self.diagnose(&format!("connection from {peer} refused: {reason}"));
        let peer = Some(peer.to_string());
        self.record(&What::Refuse { endpoint, peer, reason });
    }
}
