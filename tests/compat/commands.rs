//! Contract section 5: party line, commands, ignore list.

use crate::case;
use crate::support::{Case, Lab};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(s5_toggle_goes_round)
            .differs_on_oracle("2.7.0 toggles between ON and OFF only (section 10)"),
        case!(s5_toggle_from_on_to_off),
        case!(s5_input_reaches_child_and_echo_reaches_all),
    ]
}

fn s5_toggle_goes_round(lab: &Lab) {
    let server = lab.server().opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x14");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n");
    user.send(b"\x14");
    user.expect("\n@@@ Toggled auto restart mode to ONESHOT\n");
    user.send(b"\x14");
    user.expect("\n@@@ Toggled auto restart mode to ON\n");
}

fn s5_toggle_from_on_to_off(lab: &Lab) {
    let server = lab.server().opts(["-w"]).log_endpoint().start();
    let mut user = server.connect();
    user.greeting();
    let mut other = server.connect();
    other.greeting();
    let mut log = server.connect_log();
    log.greeting();
    user.send(b"\x14");
    for client in [&mut user, &mut other, &mut log] {
        client.expect("\n@@@ Toggled auto restart mode to OFF\n");
    }
}

fn s5_input_reaches_child_and_echo_reaches_all(lab: &Lab) {
    let server = lab.server().log_endpoint().start();
    server.child_start(1);
    let mut user = server.connect();
    user.greeting();
    let mut other = server.connect();
    other.greeting();
    let mut log = server.connect_log();
    log.greeting();
    user.send(b"hello\n");
    for client in [&mut user, &mut other, &mut log] {
        client.expect("hello\nhello\n");
    }
}
