//! Contract section 7: daemon, files, signals, the end of the server, the terminal of `-f`.

use crate::case;
use crate::support::{Case, Lab};
use std::fs;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(s7_daemon_parent_prints_pid_and_exits_0),
        case!(s7_sigterm_with_child_exits_0_and_says_so),
        case!(s7_info_file_lists_pid_and_endpoints_last_first),
    ]
}

fn s7_daemon_parent_prints_pid_and_exits_0(lab: &Lab) {
    let server = lab.server().daemon().start();
    server.assert_plain(
        server.stderr(),
        "\
procServ: spawning daemon process: <pid>
Warning: No log file and no port for log connections specified.
",
    );
    let mut user = server.connect();
    let greeting = user.greeting();
    assert_eq!(crate::support::number_after(&greeting, "server PID: "), server.pid());
    assert_eq!(server.terminate().code(), Some(0));
}

fn s7_sigterm_with_child_exits_0_and_says_so(lab: &Lab) {
    let server = lab.server().opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until("@@@ @@@ @@@ @@@ @@@\r\n");
    server.child_start(1);
    assert_eq!(server.terminate().code(), Some(0));
    server.assert_console(
        user.until_end(),
        "\
@@@ Current time: <time>
@@@ Child process is shutting down, a new one will be restarted shortly
@@@ ^R or ^X restarts the child, ^Q quits the server
",
    );
    assert!(!server.path("ctl").exists());
}

fn s7_info_file_lists_pid_and_endpoints_last_first(lab: &Lab) {
    let server = lab.server().opts(["-I", "info", "-P", "unix:second"]).log_endpoint().start();
    server.connect_to("unix:second").greeting();
    let expected = format!("pid:{}\nunix:log-ctl\nunix:second\nunix:ctl\n", server.pid());
    assert_eq!(fs::read_to_string(server.path("info")).unwrap(), expected);
    server.terminate();
    assert!(!server.path("info").exists());
}
