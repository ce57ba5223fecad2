//! What several sections do in the same way.

use crate::support::{Client, ServerBuilder, TestEnv, TestServer, alive, show};

/// The line that ends the announcement of a start.
pub(crate) const RULE: &str = "@@@ @@@ @@@ @@@ @@@\r\n";

/// The last line of the news about an end, unless in mode ONESHOT.
const CHOICES: &str = "@@@ ^R or ^X restarts the child, ^Q quits the server\r\n";

/// The steps of a child that shows in hex what reaches it, each line of input as one of output.
pub(crate) const HEX: [&str; 4] = ["raw", "say", "READY", "hex"];

/// Starts the server under `--wait` and the child by a client, who has then seen everything up to
/// the first byte of the child's own output.
pub(crate) fn started(setup: ServerBuilder) -> (TestServer, Client) {
    let server = setup.opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until(RULE);
    (server, user)
}

/// The same with a child that shows in hex what reaches it, and is ready to.
pub(crate) fn started_hex(setup: ServerBuilder) -> (TestServer, Client) {
    let (server, mut user) = started(setup.child(HEX));
    user.expect("READY\n");
    (server, user)
}

/// A daemon whose child runs.
pub(crate) fn daemon(setup: ServerBuilder) -> TestServer {
    let server = setup.daemon().start();
    server.child_start(1);
    server
}

/// Takes the news of the end of a child: `how` it was, and that it can be started again.
///
/// In either order: 2.7.0 and 2.8.0 swap the two halves now and then.
pub(crate) fn ended(user: &mut Client, how: &str) {
    user.until_all([&format!("{how}\r\n"), CHOICES]);
}

/// The greeting of a server under `--wait`.
pub(crate) fn waiting_greeting(setup: ServerBuilder) -> (TestServer, Vec<u8>) {
    let server = setup.opts(["-w"]).start();
    let greeting = server.connect().greeting();
    (server, greeting)
}

/// Waits until this process has ended.
pub(crate) fn gone(env: &TestEnv, pid: i32) {
    env.wait_for(&format!("the end of process {pid}"), || (!alive(pid)).then_some(()));
}

/// The one line of `text` that begins so, without its end.
pub(crate) fn line(text: &[u8], start: &str) -> String {
    let mut lines = text
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.starts_with(start.as_bytes()));
    let found = lines.next().unwrap_or_else(|| panic!("no line {start:?} in:\n{}", show(text)));
    assert!(lines.next().is_none(), "more than one line {start:?} in:\n{}", show(text));
    let line = found.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("no CR LF: {}", show(found)));
    String::from_utf8_lossy(line).into_owned()
}
