//! Which TCP clients are let in (`--allow-from`). Endpoints themselves are opened by other rules.

use std::net::IpAddr;

use crate::server::Server;
use crate::server::os::System;
use crate::server::records::EventBody;

impl<S: System> Server<S> {
    /// Whether a TCP client from there is let in.
    pub(crate) fn allows(&self, peer: IpAddr) -> bool {
        self.allowed_networks.as_ref().is_none_or(|networks| networks.allows(peer))
    }

    /// A TCP client from elsewhere was closed.
    pub(crate) fn refused(&mut self, peer: IpAddr, endpoint: &str) {
        let reason = "not from an allowed network";
        self.debug_line(&format!("connection from {peer} refused: {reason}"));
        let peer = Some(peer.to_string());
        self.record(&EventBody::Refuse { endpoint, peer, reason });
    }
}
