//! The tests as a service manager.

use crate::support::{Client, ServerBuilder, TestEnv, TestServer, uninterrupted};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;

/// The service manager's end of NOTIFY_SOCKET.
pub(super) struct Manager(pub(super) UnixDatagram);

impl Manager {
    pub(super) fn new(env: &TestEnv, setup: &ServerBuilder) -> Manager {
        let socket = UnixDatagram::bind(setup.path("notify")).unwrap();
        socket.set_read_timeout(Some(env.timeout())).unwrap();
        Manager(socket)
    }

    pub(super) fn next(&self) -> String {
        let mut buffer = [0; 5000];
        let count = uninterrupted(|| self.0.recv(&mut buffer)).expect("a message in time");
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[track_caller]
    pub(super) fn expect<const N: usize>(&self, messages: [&str; N]) {
        for message in messages {
            assert_eq!(self.next(), message);
        }
    }

    /// All that has come and was not looked at.
    pub(super) fn rest(&self) -> Vec<String> {
        self.0.set_nonblocking(true).unwrap();
        let mut buffer = [0; 5000];
        let next = || match self.0.recv(&mut buffer) {
            Ok(count) => Some(String::from_utf8(buffer[..count].to_vec()).unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                None
            }
        };
        let rest = std::iter::from_fn(next).collect();
        self.0.set_nonblocking(false).unwrap();
        rest
    }
}

/// A server that is to tell a manager.
pub(super) fn told(env: &TestEnv) -> (ServerBuilder, Manager) {
    let setup = env.server().opts(["-n", "ioc"]);
    let manager = Manager::new(env, &setup);
    let path = setup.path("notify");
    (setup.env("NOTIFY_SOCKET", path), manager)
}

/// The same, with a child that runs; the manager knows it.
pub(super) fn ready(env: &TestEnv, options: &[&str]) -> (TestServer, Manager) {
    let (setup, manager) = told(env);
    let server = setup.opts(["--notify"]).opts(options).start();
    manager.expect([&*running(&server, 1), "READY=1"]);
    (server, manager)
}

pub(super) fn running(server: &TestServer, start: usize) -> String {
    format!("STATUS=Child ioc running, PID {}", server.child_start(start))
}

/// A client that has been heard.
pub(super) fn user(server: &TestServer) -> Client {
    let mut user = server.connect();
    user.greeting();
    user
}
