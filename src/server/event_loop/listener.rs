//! A listening endpoint as the server holds it. It never lets clients take the last descriptors.

use std::io;
use std::net::IpAddr;

use mio::Token;
use nix::errno::Errno;

use crate::config::endpoint::Endpoint;
use crate::console::clock::Monotonic;
use crate::console::event::Role;
use crate::limits::ACCEPT_PAUSE;
use crate::server::os::Socket;
use crate::sys;

/// A listening endpoint.
#[derive(Debug)]
pub(crate) struct Listener<S> {
    token: Token,
    socket: S,
    endpoint: Endpoint,
    /// What its clients may do.
    pub(crate) role: Role,
    /// True if connections may be waiting.
    ready: bool,
    /// After a failure: nothing is accepted before.
    paused_until: Option<Monotonic>,
    /// True if the failure was reported. It is reported anew after `accept` has returned
    /// EWOULDBLOCK.
    failure_reported: bool,
}

/// The result of accepting.
pub(crate) enum Accepted<C> {
    /// A connection, and the address of a TCP client.
    Connection(C, Option<IpAddr>),
    /// No connection waits, or none can be accepted now.
    Empty,
    /// The system refuses, for this reason. A failure that lasts is reported once.
    Failed(String),
}

impl<S: Socket> Listener<S> {
    /// A listener on `socket`, which is bound to `endpoint` and registered under `token`.
    pub(crate) fn new(token: Token, socket: S, endpoint: Endpoint, role: Role) -> Listener<S> {
        Listener {
            token,
            socket,
            endpoint,
            role,
            ready: false,
            paused_until: None,
            failure_reported: false,
        }
    }

    /// The token under which the socket is registered.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Takes note that connections may be waiting.
    pub(crate) fn set_ready(&mut self) {
        self.ready = true;
    }

    /// The listening socket.
    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// The endpoint that the socket is bound to.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns true if accepting may give a connection.
    pub(crate) fn has_work(&self, now: Monotonic) -> bool {
        self.ready && self.paused_until.is_none_or(|until| now >= until)
    }

    /// The time at which the listener goes on after a failure.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        if self.ready { self.paused_until } else { None }
    }

    /// Accepts one connection, unless few descriptors are left.
    pub(crate) fn accept(&mut self, now: Monotonic) -> Accepted<S::Connection> {
        self.paused_until = None;
        if self.socket.is_near_fd_limit() {
            return self.pause(now, sys::strerror(Errno::EMFILE as i32));
        }
        match self.socket.accept() {
            Ok((connection, from)) => Accepted::Connection(connection, from),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.ready = false;
                self.failure_reported = false;
                Accepted::Empty
            }
            // The connection was gone before it was accepted. More may wait.
            Err(error) if is_transient_accept_error(&error) => Accepted::Empty,
            // Descriptors or memory are short, or something is wrong that may last. Without a
            // pause, this process would do nothing but try again.
            Err(error) => self.pause(now, sys::reason(&error)),
        }
    }

    fn pause(&mut self, now: Monotonic, reason: String) -> Accepted<S::Connection> {
        self.paused_until = Some(now + ACCEPT_PAUSE);
        if std::mem::replace(&mut self.failure_reported, true) {
            Accepted::Empty
        } else {
            Accepted::Failed(reason)
        }
    }
}

fn is_transient_accept_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted};
    matches!(error.kind(), ConnectionAborted | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, BorrowedFd};

    use super::*;
    use crate::config::endpoint::Address;
    use crate::sys::file::FileId;

    /// A socket on which accept(2) always fails with this errno.
    struct Broken(Errno);

    impl AsFd for Broken {
        fn as_fd(&self) -> BorrowedFd<'_> {
            unreachable!("its descriptor is not asked for")
        }
    }

    impl Socket for Broken {
        type Connection = ();

        fn file(&self) -> Option<FileId> {
            None
        }

        fn is_near_fd_limit(&self) -> bool {
            false
        }

        fn accept(&self) -> io::Result<((), Option<IpAddr>)> {
            Err(self.0.into())
        }
    }

    #[test]
    fn lasting_failure_pauses_and_is_told_once() {
        for errno in [Errno::EMFILE, Errno::ENOMEM, Errno::EPERM, Errno::EINVAL] {
            let endpoint = Address::Abstract(b"x".to_vec()).into();
            let mut listener = Listener::new(Token(7), Broken(errno), endpoint, Role::User);
            listener.set_ready();
            let mut now = Monotonic(0);
            let mut told = 0;
            for _ in 0..3 {
                assert!(listener.has_work(now));
                told += usize::from(matches!(listener.accept(now), Accepted::Failed(_)));
                assert!(!listener.has_work(now), "{errno} would spin");
                now = listener.deadline().expect("a time to go on");
            }
            assert_eq!(told, 1);
        }
    }
}
