//! A listening endpoint as the server holds it: never lets clients take the last descriptors.

use std::io;

use mio::Token;

use super::system::Socket;
use crate::core::clock::Moment;
use crate::core::event::Role;
use crate::endpoint::Endpoint;
use crate::limits::ACCEPT_PAUSE;
use crate::sys;

/// One endpoint.
#[derive(Debug)]
pub(super) struct Listener<S> {
    pub(super) token: Token,
    socket: S,
    endpoint: Endpoint,
    /// What its connections may do.
    pub(super) role: Role,
    /// Whether connections may be waiting.
    pub(super) ready: bool,
    /// After a failure: nothing is accepted before.
    paused_until: Option<Moment>,
    /// Whether the failure has been told, until nobody waits any more.
    told: bool,
}

/// What came of accepting.
pub(super) enum Accepted<C> {
    /// A connection.
    Connection(C),
    /// Nobody waits, or nobody can be let in now.
    Nobody,
    /// The system has no descriptor for it: the reason, the first time.
    Exhausted(String),
}

impl<S: Socket> Listener<S> {
    /// Accepts from `socket`, which is bound to `endpoint`.
    pub(super) fn new(token: Token, socket: S, endpoint: Endpoint, role: Role) -> Listener<S> {
        Listener { token, socket, endpoint, role, ready: false, paused_until: None, told: false }
    }

    /// What it is bound to.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether accepting may give something.
    pub(super) fn has_work(&self, now: Moment) -> bool {
        self.ready && self.paused_until.is_none_or(|until| now >= until)
    }

    /// When it goes on after a failure.
    pub(super) fn deadline(&self) -> Option<Moment> {
        if self.ready { self.paused_until } else { None }
    }

    /// Accepts one connection, unless few descriptors are left.
    pub(super) fn accept(&mut self, now: Moment) -> Accepted<S::Connection> {
        self.paused_until = None;
        if self.socket.is_scarce() {
            return self.pause(now, sys::strerror(nix::libc::EMFILE));
        }
        match self.socket.accept() {
            Ok(connection) => Accepted::Connection(connection),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.ready = false;
                self.told = false;
                Accepted::Nobody
            }
            Err(error) if is_exhaustion(&error) => self.pause(now, sys::reason(&error)),
            // Interrupted, or the connection was gone before it was accepted. More may wait.
            Err(_) => Accepted::Nobody,
        }
    }

    fn pause(&mut self, now: Moment, reason: String) -> Accepted<S::Connection> {
        self.paused_until = Some(now + ACCEPT_PAUSE);
        if std::mem::replace(&mut self.told, true) {
            Accepted::Nobody
        } else {
            Accepted::Exhausted(reason)
        }
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
}
