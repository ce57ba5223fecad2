//! `fd:NAME` and `fd:N`: sockets that are passed.

use crate::support::{ServerBuilder, TestEnv, TestServer, cases};
use std::io::ErrorKind;

cases![
    socket_is_found_by_its_name,
    socket_is_found_by_its_number,
    sockets_of_one_name_are_all_served,
    old_style_endpoint_may_be_passed,
    log_endpoint_may_be_passed,
    daemon_keeps_what_was_passed,
    child_gets_nothing_of_it,
    unused_socket_is_closed,
    unknown_name_is_an_error,
    name_can_be_used_once,
    sockets_of_another_process_are_none,
    socket_that_is_not_open_is_none,
    socket_of_another_kind_is_an_error,
];

/// A server that is passed these sockets, and has no endpoint so far.
fn passed(env: &TestEnv, sockets: &[(&str, &str)]) -> ServerBuilder {
    let pass = |(endpoint, name): &(&str, &str)| {
        ["pass".to_owned(), (*endpoint).to_owned(), (*name).to_owned()]
    };
    let steps: Vec<String> = sockets.iter().flat_map(pass).collect();
    env.server().bare().launched_by(steps)
}

/// In the foreground, with these options.
fn start(setup: ServerBuilder, options: &[&str]) -> TestServer {
    setup.opts(["-f", "-I", "info"]).opts(options).command(["./fake-ioc", "cat"]).start()
}

fn is_served(server: &TestServer, endpoint: &str) {
    let mut user = server.connect_to(endpoint);
    user.greeting();
    user.send(b"hello\n");
    user.until("hello\r\nhello\r\n");
}

fn info(server: &TestServer) -> String {
    let info = String::from_utf8(server.file_with("info", "\n")).unwrap();
    info.replace(&server.pid().to_string(), "<pid>")
}

fn socket_is_found_by_its_name(env: &TestEnv) {
    let setup = passed(env, &[("unix:other", "other"), ("unix:sock", "console")]);
    let server = start(setup, &["-P", "fd:console"]);
    is_served(&server, "unix:sock");
    assert_eq!(info(&server), "pid:<pid>\nunix:sock\n");
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!server.path("info").exists());
    assert!(server.path("sock").exists(), "not the server's to remove");
}

fn socket_is_found_by_its_number(env: &TestEnv) {
    let port = env.free_port();
    let endpoint = format!("tcp:127.0.0.1:{port}");
    let six = env.free_port();
    let endpoint6 = format!("tcp:[::1]:{six}");
    let setup = passed(env, &[("unix:other", "a"), (&endpoint, "a"), (&endpoint6, "a")]);
    let server = start(setup, &["-P", "fd:4", "-P", "fd:5"]);
    is_served(&server, &port.to_string());
    is_served(&server, &format!("[::1]:{six}"));
    assert_eq!(info(&server), format!("pid:<pid>\n{endpoint6}\n{endpoint}\n"));
}

fn sockets_of_one_name_are_all_served(env: &TestEnv) {
    let setup = passed(env, &[("unix:one", "x"), ("unix:two", "x")]);
    let server = start(setup, &["-P", "unix:own", "-P", "fd:x"]);
    for endpoint in ["unix:own", "unix:one", "unix:two"] {
        is_served(&server, endpoint);
    }
    assert_eq!(info(&server), "pid:<pid>\nunix:two\nunix:one\nunix:own\n");
    assert_eq!(server.terminate().code(), Some(0));
    assert!(server.path("one").exists() && !server.path("own").exists());
}

fn old_style_endpoint_may_be_passed(env: &TestEnv) {
    let server = start(passed(env, &[("unix:sock", "x")]), &["fd:3"]);
    is_served(&server, "unix:sock");
}

fn log_endpoint_may_be_passed(env: &TestEnv) {
    let setup = passed(env, &[("unix:sock", "log")]);
    let server = start(setup, &["-P", "unix:ctl", "-l", "fd:log"]);
    let mut logger = server.connect_to("unix:sock");
    logger.until("Child startup directory");
    let mut user = server.connect_to("unix:ctl");
    user.greeting();
    // What a logger sends reaches nobody.
    logger.send(b"\x18deaf\n");
    user.send(b"hello\n");
    user.until("hello\r\n");
    logger.until("hello\r\n");
    assert!(crate::support::find(user.received(), b"deaf").is_none());
}

fn daemon_keeps_what_was_passed(env: &TestEnv) {
    let setup = passed(env, &[("unix:sock", "x")]).daemon();
    let server = setup.opts(["-I", "info", "-P", "fd:x"]).command(["./fake-ioc", "cat"]).start();
    assert_eq!(info(&server), "pid:<pid>\nunix:sock\n");
    is_served(&server, "unix:sock");
    assert_eq!(server.terminate().code(), Some(0));
}

fn child_gets_nothing_of_it(env: &TestEnv) {
    let variables = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];
    let show = variables.iter().flat_map(|name| ["show-env", *name]);
    let steps = ["show-env", "PROCSERV_INFO", "show-fds"].into_iter().chain(show);
    let steps = steps.chain(["say", "SHOWN", "cat"]);
    let setup = passed(env, &[("unix:sock", "x"), ("unix:other", "y")]);
    let setup = setup.opts(["-f", "-L", "log", "-P", "fd:x"]).child(steps);
    let server = setup.start();
    let log = String::from_utf8(server.file_with("log", "SHOWN")).unwrap();
    assert!(log.contains("fds: 0 1 2\r\n"), "{log}");
    assert!(log.contains(&format!("PID={};CTL=unix:sock\r\n", server.pid())), "{log}");
    for name in variables {
        assert!(log.contains(&format!("{name} unset\r\n")), "{log}");
    }
}

fn unused_socket_is_closed(env: &TestEnv) {
    let setup = passed(env, &[("unix:sock", "x"), ("unix:other", "y")]);
    let server = start(setup, &["-d", "-P", "fd:x"]);
    is_served(&server, "unix:sock");
    assert_eq!(server.refused("unix:other"), ErrorKind::ConnectionRefused);
    server.file_with("stdout", "descriptor 4 was passed as y and is not used: closed\n");
}

/// Exits with these words about an endpoint, and has started nothing.
#[track_caller]
fn refuses(setup: ServerBuilder, options: &[&str], endpoint: &str, reason: &str) {
    let finished = setup.opts(["-f"]).opts(options).command(["./fake-ioc", "cat"]).run();
    let kind = if options.contains(&"-l") { "log" } else { "control" };
    let expected = format!(
        "Caught an exception creating the initial {kind} telnet port: {reason} ({endpoint})
procServ: Exiting with error code: 1
"
    );
    finished.assert(1, "", &expected);
    assert!(!finished.instance.path("starts").exists());
}

const NO_SUCH: &str = "the service manager has passed no such socket";

fn unknown_name_is_an_error(env: &TestEnv) {
    let setup = || passed(env, &[("unix:sock", "x")]);
    refuses(setup(), &["-P", "fd:y"], "fd:y", NO_SUCH);
    refuses(setup(), &["-P", "fd:4"], "fd:4", NO_SUCH);
    refuses(env.server().bare(), &["-P", "fd:3"], "fd:3", NO_SUCH);
}

fn name_can_be_used_once(env: &TestEnv) {
    let setup = passed(env, &[("unix:sock", "x")]);
    refuses(setup, &["-P", "fd:x", "-l", "fd:x"], "fd:x", NO_SUCH);
}

fn sockets_of_another_process_are_none(env: &TestEnv) {
    let setup = env.server().bare().launched_by(["open-fd"]);
    let setup = setup.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    refuses(setup, &["-P", "fd:3"], "fd:3", NO_SUCH);
}

fn socket_that_is_not_open_is_none(env: &TestEnv) {
    let setup = passed(env, &[("unix:sock", "x"), ("unix:gone", "y")]);
    let setup =
        setup.launched_by(["pass", "unix:sock", "x", "pass", "unix:gone", "y", "close", "4"]);
    refuses(setup, &["-P", "fd:y"], "fd:y", NO_SUCH);
}

fn socket_of_another_kind_is_an_error(env: &TestEnv) {
    let unfit = "the socket passed is no listening TCP or Unix stream socket";
    let setup = || passed(env, &[("dgram:sock", "x")]);
    refuses(setup(), &["-P", "fd:x"], "fd:x", unfit);
    refuses(setup(), &["-P", "unix:ctl", "-l", "fd:3"], "fd:3", unfit);
}
