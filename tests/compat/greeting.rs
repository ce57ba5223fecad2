//! Contract section 3: what a client sees on connecting.

use crate::case;
use crate::support::{Case, Lab, number_after};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(s3_control_greeting_child_running),
        case!(s3_log_client_greeting_has_no_welcome),
        case!(s3_control_greeting_child_not_started),
    ]
}

fn s3_control_greeting_child_running(lab: &Lab) {
    let server = lab.server().opts(["-n", "ioc"]).start();
    let child = server.child_start(1);
    let greeting = server.connect().greeting();
    let expected = "\
@@@ Welcome to procServ (<version>)
@@@ Use ^X to kill the child, auto restart mode is ON, use ^T to toggle auto restart
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child \"ioc\" PID: <pid>
@@@ procServ server started at: <time>
@@@ Child \"ioc\" started at: <time>
@@@ 0 user(s) and 0 logger(s) connected (plus you)
";
    server.assert_console(&greeting[..greeting.len() - 6], expected);
    assert_eq!(number_after(&greeting, "server PID: "), server.pid());
    assert_eq!(number_after(&greeting, "\"ioc\" PID: "), child);
}

fn s3_log_client_greeting_has_no_welcome(lab: &Lab) {
    let server = lab.server().opts(["-n", "ioc"]).log_endpoint().start();
    server.child_start(1);
    let greeting = server.connect_log().greeting();
    let expected = "\
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child \"ioc\" PID: <pid>
@@@ procServ server started at: <time>
@@@ Child \"ioc\" started at: <time>
";
    server.assert_console(&greeting[..greeting.len() - 6], expected);
}

fn s3_control_greeting_child_not_started(lab: &Lab) {
    let server = lab.server().opts(["-w", "-n", "ioc"]).start();
    let mut user = server.connect();
    user.expect(
        "\
@@@ Welcome to procServ (<version>)
@@@ Use ^X to kill the child, auto restart mode is ON, use ^T to toggle auto restart
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child \"ioc\" is SHUT DOWN
@@@ procServ server started at: <time>
@@@ 0 user(s) and 0 logger(s) connected (plus you)
@@@ ^R or ^X restarts the child, ^Q quits the server
",
    );
    assert_eq!(user.bytes(6), b"\xff\xfb\x01\xff\xfd\x22");
}
