//! Things that are standard input.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::case;
use crate::support::{Case, Lab};

pub(super) fn cases() -> Vec<Case> {
    vec![case!(stdin_may_be_a_socket).differs_on_oracle("takes no input from there")]
}

fn stdin_may_be_a_socket(lab: &Lab) {
    let (mut far, near) = UnixStream::pair().unwrap();
    let server = lab.server().stdin(OwnedFd::from(near)).child(["cat"]).start();
    let mut user = server.connect();
    user.greeting();
    far.write_all(b"hello\n").unwrap();
    user.until("hello\r\nhello\r\n");
    drop(far);
    server.falls_asleep();
    assert_eq!(server.terminate().code(), Some(0));
}
