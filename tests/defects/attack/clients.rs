//! Clients with bad manners.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;

use crate::case;
use crate::common::started;
use crate::support::{Case, Client, Lab};

pub(super) fn cases() -> Vec<Case> {
    let deaf = "drops a client that can't be written to, and what it sent";
    vec![
        case!(paste_of_a_unix_client_that_is_gone_arrives).differs_on_oracle(deaf),
        case!(those_who_came_last_hear_that_nobody_else_can)
            .differs_on_oracle("dies when descriptors run out"),
    ]
}

/// A child that reads nothing at first.
const SLOW: [&str; 6] = ["raw", "say", "READY", "wait-for", "go", "cat"];

/// More than the child's terminal takes.
fn paste() -> String {
    (0..3000).map(|number| format!("line {number:<58}\n")).collect()
}

fn paste_of_a_unix_client_that_is_gone_arrives(lab: &Lab) {
    let (server, mut user) = started(lab.server().child(SLOW));
    user.until("READY\r\n");
    let mut client = UnixStream::connect(server.path("ctl")).unwrap();
    client.write_all(paste().as_bytes()).unwrap();
    drop(client);
    fs::write(server.path("go"), "").unwrap();
    let last = format!("line {:<58}\r\n", 2999);
    let arrived = String::from_utf8(user.until(last)).unwrap();
    assert_eq!(arrived.replace('\r', ""), paste());
}

fn those_who_came_last_hear_that_nobody_else_can(lab: &Lab) {
    let setup = lab.server().launched_by(["limit-files", "40", "40"]);
    let server = setup.start();
    let clients: Vec<Client> = (0..40).map(|_| server.connect()).collect();
    for mut client in clients.into_iter().take(3) {
        client
            .until("@@@ Endpoint unix:ctl: Too many open files, new connections have to wait\r\n");
    }
}
