//! Which TCP clients are let in (`--allow-from`). Endpoints themselves are opened by other rules.

use std::net::IpAddr;

use crate::server::Server;
use crate::server::os::System;
use crate::server::records::What;

impl<S: System> Server<S> {
    /// Whether a TCP client from there is let in.
    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        self.allow_from.as_ref().is_none_or(|networks| networks.admit(peer))
    }

    /// A TCP client from elsewhere was closed.
    pub(crate) fn refused(&mut self, peer: IpAddr, endpoint: &str) {
        let reason = "not from an allowed network";
        self.diagnose(&format!("connection from {peer} refused: {reason}"));
        let peer = Some(peer.to_string());
        self.record(&What::Refuse { endpoint, peer, reason });
    }
}
