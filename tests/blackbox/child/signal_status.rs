//! `--signal-status`: the server's exit status when a signal killed the last child.

use crate::support::{TestEnv, cases};

const SIGNALLED: &str = "--signal-status";

cases![
    status_of_oneshot_is_the_signal,
    status_of_quit_is_that_of_the_last_child,
    status_without_the_option_is_as_ever,
    status_after_sigterm_is_0,
];

fn status_of_oneshot_is_the_signal(env: &TestEnv) {
    for (signal, status) in [("SIGABRT", 134), ("SIGKILL", 137), ("SIGTERM", 143)] {
        let options = ["-o", "--holdoff", "0", SIGNALLED];
        let server = env.server().opts(options).child(["kill-self", signal]).start();
        assert_eq!(server.wait_exit().code(), Some(status), "{signal}");
    }
}

fn status_of_quit_is_that_of_the_last_child(env: &TestEnv) {
    for (last, status) in [(["exit", "3"], 3), (["kill-self", "SIGINT"], 130)] {
        let options = ["--noautorestart", "-w", SIGNALLED];
        let child = [&["on-start", "1", "kill-self", "SIGQUIT", "on-start", "2"][..], &last];
        let server = env.server().opts(options).child(child.concat()).start();
        let mut user = server.connect();
        user.greeting();
        for _ in 0..2 {
            user.send(b"\x12");
            user.until("quits the server\r\n");
        }
        user.send(b"\x11");
        assert_eq!(server.wait_exit().code(), Some(status));
    }
}

fn status_without_the_option_is_as_ever(env: &TestEnv) {
    let options = ["-o", "--holdoff", "0"];
    let server = env.server().opts(options).child(["kill-self", "SIGABRT"]).start();
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn status_after_sigterm_is_0(env: &TestEnv) {
    let server = env.server().opts([SIGNALLED]).start();
    server.child_start(1);
    assert_eq!(server.terminate().code(), Some(0));
}
