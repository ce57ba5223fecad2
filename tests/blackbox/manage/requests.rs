//! `mode`, `kill` and `send`: what scripts do to a server without a terminal.

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, TestServer, cases};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

cases![
    a_mode_is_set_whatever_it_was,
    a_child_is_killed,
    a_line_is_typed_and_answered,
    a_text_that_does_not_come_fails,
    send_only_types,
    control_characters_are_no_commands,
    send_uses_the_console_of_an_older_server,
    a_path_that_is_too_long_is_no_socket,
    nobody_to_ask,
    a_server_that_does_not_answer,
    a_link_to_another_server_is_not_followed,
];

fn started(env: &TestEnv, more: &str) -> (Fleet, TestServer) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "ioc1", "cat", more);
    let server = fleet.launch(env, setup, "ioc1");
    server.child_start(1);
    (fleet, server)
}

fn a_mode_is_set_whatever_it_was(env: &TestEnv) {
    let (fleet, server) = started(env, "");
    let socket = fs::metadata(fleet.path("run/procserv-ioc1/api")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    for (mode, says) in [("oneshot", "ONESHOT"), ("off", "OFF"), ("off", "OFF"), ("on", "ON")] {
        let said = fleet.must(&["mode", "ioc1", mode]);
        assert_eq!(said, format!("ioc1: auto restart mode is {says}\n"));
    }
    let json = fleet.must(&["--json", "mode", "ioc1", "off"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, serde_json::json!({"name": "ioc1", "result": {"mode": "OFF"}}));
    assert_eq!(fleet.run(&["mode", "ioc1", "of"]).code, 2);
    drop(server);
}

fn a_child_is_killed(env: &TestEnv) {
    let (fleet, server) = started(env, "options = --holdoff 0");
    let said = fleet.must(&["kill", "ioc1"]);
    assert!(said.starts_with("ioc1: sent the kill signal to PID "), "{said}");
    server.child_start(2);
    fleet.must(&["mode", "ioc1", "off"]);
    fleet.must(&["kill", "ioc1"]);
    let done = env.wait_for("no child", || {
        let done = fleet.run(&["kill", "ioc1"]);
        (done.code == 1).then_some(done)
    });
    assert_eq!(done.stderr, "manage-procs: ioc1: no child runs\n");
}

fn a_line_is_typed_and_answered(env: &TestEnv) {
    let (fleet, server) = started(env, "options = --history 64k");
    assert_eq!(fleet.must(&["send", "ioc1", "hello", "you", "--until", "you"]), "hello you\n");
    // What is replayed is no answer.
    assert_eq!(fleet.must(&["send", "ioc1", "bye", "-u", "bye"]), "bye\n");
    assert_eq!(fleet.must(&["send", "ioc1", "--wait", "2", "--", "-x"]), "-x\n");
    drop(server);
}

fn a_text_that_does_not_come_fails(env: &TestEnv) {
    let (fleet, server) = started(env, "");
    let done = fleet.run(&["send", "ioc1", "dbl", "--until", "other", "--wait", "1"]);
    assert_eq!((done.code, done.stdout.as_str()), (1, "dbl\n"));
    let says = "manage-procs: ioc1: \"other\" has not come: the time is over\n";
    assert_eq!(done.stderr, says);
    server.terminate();
    server.wait_exit();
    let done = fleet.run(&["send", "ioc1", "dbl"]);
    assert!(done.code == 1 && done.stderr.contains("ioc1: does not run"), "{done:?}");
}

/// The child gets the line although the command has ended before it answers.
fn send_only_types(env: &TestEnv) {
    let (fleet, server) = started(env, "");
    let control = format!("unix:{}", fleet.path("run/procserv-ioc1/control").display());
    let mut user = server.connect_to(&control);
    user.greeting();
    assert_eq!(fleet.must(&["send", "ioc1", "quietly", "--wait", "0"]), "");
    user.until("quietly\r\nquietly\r\n");
}

fn control_characters_are_no_commands(env: &TestEnv) {
    let (fleet, server) = started(env, "");
    let control = format!("unix:{}", fleet.path("run/procserv-ioc1/control").display());
    let mut user = server.connect_to(&control);
    user.greeting();
    let done = fleet.run(&["send", "ioc1", "a\x18b", "--wait", "0"]);
    assert!(done.code == 1 && done.stderr.contains("only 3 of 4 bytes were typed"), "{done:?}");
    let before = user.until("ab\r\nab\r\n");
    assert!(!String::from_utf8_lossy(&before).contains("kill"));
}

/// It was started by an older launcher.
fn send_uses_the_console_of_an_older_server(env: &TestEnv) {
    let (fleet, server) = started(env, "");
    fs::remove_file(fleet.path("run/procserv-ioc1/api")).unwrap();
    assert_eq!(fleet.must(&["send", "ioc1", "dbl", "--until", "dbl"]), "dbl\n");
    let done = fleet.run(&["send", "ioc1", "\x18", "--until", "x"]);
    assert!(done.code == 1 && done.stderr.contains("has no socket for programs"), "{done:?}");
    let done = fleet.run(&["kill", "ioc1"]);
    assert!(done.code == 1 && done.stderr.contains("manage-procs attach ioc1"), "{done:?}");
    drop(server);
}

/// The server would not start with such a path (unix(7)).
fn a_path_that_is_too_long_is_no_socket(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    let name = "x".repeat(85);
    let control = fleet.path("control").display().to_string();
    fleet.instance(&setup, &name, "cat", &format!("port = unix:{control}"));
    let api = fleet.path(&format!("run/procserv-{name}/api"));
    assert!(api.as_os_str().len() > 107);
    let server = fleet.launch(env, setup, &name);
    server.child_start(1);
    let said = fleet.run(&["doctor"]).stdout;
    assert!(said.contains(&format!("hint: {name}: no sockets api, raw, view in ")), "{said}");
    let done = fleet.run(&["mode", &name, "off"]);
    assert!(done.code == 1 && done.stderr.contains("a console has the same commands"), "{done:?}");
    let done = fleet.run(&["send", &name, "hello", "--until", "hello"]);
    assert_eq!(done.code, 0, "{done:?}");
}

fn nobody_to_ask(_: &TestEnv) {
    let fleet = Fleet::new();
    for words in [&["kill", "ioc1"][..], &["mode", "ioc1", "on"], &["send", "ioc1", "x"]] {
        let done = fleet.run(words);
        assert!(done.code == 1 && done.stderr.contains("ioc1"), "{done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
    }
    let done = fleet.run(&["kill", "../x"]);
    assert!(done.code == 1 && done.stderr.contains("is not a name"), "{done:?}");
}

fn a_server_that_does_not_answer(_: &TestEnv) {
    let fleet = Fleet::new();
    fs::create_dir(fleet.path("run/procserv-ioc1")).unwrap();
    let _listener = UnixListener::bind(fleet.path("run/procserv-ioc1/api")).unwrap();
    let done = fleet.run(&["kill", "ioc1"]);
    assert!(done.code == 1 && done.stderr.contains("the server does not answer"), "{done:?}");
}

fn a_link_to_another_server_is_not_followed(env: &TestEnv) {
    let (fleet, server) = started(env, "");
    fs::create_dir(fleet.path("run/procserv-other")).unwrap();
    let api = fleet.path("run/procserv-other/api");
    symlink(fleet.path("run/procserv-ioc1/api"), api).unwrap();
    let done = fleet.run(&["kill", "other"]);
    assert!(done.code == 1 && done.stderr.contains("is a symbolic link"), "{done:?}");
    drop(server);
}
