//! Errors of the child's terminal.

use crate::support::preload::{NO_CC, is_available, preloaded};
use crate::support::{Client, TestEnv, TestServer, alive, cases};
use nix::errno::Errno;
use std::fs;

cases![
    transient_read_error_is_no_end.only_if(is_available(), NO_CC),
    transient_read_error_loses_no_last_output.only_if(is_available(), NO_CC),
];

fn transient_read_error_is_no_end(env: &TestEnv) {
    let server = preloaded(env).child(["wait-for", "seen", "raw", "say", "READY", "cat"]).start();
    let mut user = connect(&server);
    user.until("READY");
    user.until("\n");
    for error in [Errno::ENOMEM, Errno::EAGAIN, Errno::EINTR] {
        set_read_error(&server, error);
        user.send(b"one ");
        failed(env, &server);
        fs::remove_file(server.path("read-error")).unwrap();
        user.send(b"two ");
        user.expect("one two ");
    }
    assert!(alive(server.child_start(1)));
}

fn transient_read_error_loses_no_last_output(env: &TestEnv) {
    let child =
        ["wait-for", "seen", "say", "READY", "wait-for", "go", "say", "last words", "exit", "3"];
    let server = preloaded(env).child(child).start();
    let mut user = connect(&server);
    user.until("READY\r\n");
    set_read_error(&server, Errno::ENOMEM);
    fs::write(server.path("go"), "").unwrap();
    failed(env, &server);
    let child = server.child_start(1);
    env.wait_for("the end of the child", || (!alive(child)).then_some(()));
    fs::remove_file(server.path("read-error")).unwrap();
    user.expect("last words\n\n@@@ @@@ @@@ @@@ @@@\n");
    user.until("Normal exit status = 3\r\n");
}

/// A client that sees all that the child writes: the child waits for it.
fn connect(server: &TestServer) -> Client {
    let mut user = server.connect();
    user.greeting();
    fs::write(server.path("seen"), "").unwrap();
    user
}

/// From now on each read from the child's terminal fails.
fn set_read_error(server: &TestServer, error: Errno) {
    fs::write(server.path("failed-reads"), "").unwrap();
    // Renamed into place, because the server may look at any time.
    fs::write(server.path("new-error"), (error as i32).to_string()).unwrap();
    fs::rename(server.path("new-error"), server.path("read-error")).unwrap();
}

fn failed(env: &TestEnv, server: &TestServer) {
    env.wait_for("a read that fails", || (!server.file("failed-reads").is_empty()).then_some(()));
}
