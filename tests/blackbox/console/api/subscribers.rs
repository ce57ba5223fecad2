//! Subscribers: status, events, and those who do not read.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Program, with_api};
use crate::support::{TestEnv, cases};

cases![
    status_comes_at_once_and_at_each_change,
    events_come_from_now_on,
    events_need_no_file,
    slow_subscriber_is_told_what_it_missed,
    slow_subscriber_holds_up_nobody,
    subscription_outlives_an_upgrade,
    idle_subscriber_costs_nothing,
];

fn is_event(line: &Value, kind: &str) -> bool {
    line["event"] == kind
}

fn status_comes_at_once_and_at_each_change(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    let first = server.child_start(1);
    let mut program = Program::connect(env, &server);
    program.result("subscribe");
    let line = program.until("the status", |line| line["status"].is_object());
    assert_eq!(line["status"]["child"]["pid"], first);
    let mut user = server.connect();
    user.greeting();
    let users = |line: &Value| line["status"]["clients"].as_array().map_or(0, Vec::len);
    program.until("another client", |line| users(line) == 2);
    drop(user);
    program.until("its end", |line| users(line) == 1);
    program.result("kill");
    let second = server.child_start(2);
    program.until("another child", |line| line["status"]["child"]["pid"] == second);
}

fn events_come_from_now_on(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    server.child_start(1);
    let mut before = server.connect();
    before.greeting();
    let mut program = Program::connect(env, &server);
    program.result("subscribe");
    before.send("\x14");
    let first = program.until("an event", |line| !line["event"].is_null());
    assert_eq!((&first["event"], &first["command"]), (&json!("command"), &json!("toggle")));
    assert!(first["time"].is_string());
    server.signal(Signal::SIGHUP);
    program.until("the signal", |line| is_event(line, "signal"));
    drop(before);
    program.until("the end", |line| is_event(line, "disconnect"));
    // One's own commands are events, too.
    program.result("kill");
    program.until("the end of the child", |line| is_event(line, "child_exit"));
}

fn events_need_no_file(env: &TestEnv) {
    let server = env.server().opts(["--api", "unix:api"]).child(["cat"]).start();
    let mut program = Program::connect(env, &server);
    program.result("subscribe");
    server.connect().greeting();
    program.until("a client", |line| is_event(line, "connect"));
}

/// Clients that come and go: two events each.
fn make_events(server: &crate::support::TestServer, count: usize) {
    for _ in 0..count / 2 {
        server.connect().greeting();
    }
}

fn slow_subscriber_is_told_what_it_missed(env: &TestEnv) {
    let server = env.server().opts(["--api", "unix:api"]).child(["cat"]).start();
    server.child_start(1);
    let mut program = Program::connect(env, &server);
    program.result("subscribe");
    make_events(&server, 4000);
    let (mut told, mut missed) = (0, 0);
    // The events of the end come when there is room again.
    while told + missed < 4000 {
        let line = program.next().unwrap();
        told += u64::from(is_event(&line, "connect") || is_event(&line, "disconnect"));
        missed += line["skipped"].as_u64().unwrap_or(0);
    }
    assert!(missed > 0, "a socket that holds {told} events");
    let line = program.until("the status", |line| line["status"].is_object());
    assert_eq!(line["status"]["mode"], "ON");
}

fn slow_subscriber_holds_up_nobody(env: &TestEnv) {
    let server = env.server().opts(["--api", "unix:api"]).child(["cat"]).start();
    let mut slow = Program::connect(env, &server);
    slow.result("subscribe");
    make_events(&server, 4000);
    // Its requests are not read any more; those of others are.
    let mut other = Program::connect(env, &server);
    assert_eq!(other.result("status")["mode"], "ON");
    server.falls_asleep();
    assert!(server.terminate().success());
}

fn subscription_outlives_an_upgrade(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    server.child_start(1);
    let mut program = Program::connect(env, &server);
    program.result("subscribe");
    // Half a line is one line afterwards.
    program.send(r#"{"id":5,"requ"#);
    for upgrades in 1..4 {
        server.signal(Signal::SIGUSR1);
        program.until("the upgrade", |line| is_event(line, "server_upgrade"));
        program.until("the status", |line| line["status"]["upgrades"] == upgrades);
    }
    program.send("est\":\"kill\"}\n");
    let answer = program.until("the answer", |line| line["id"] == 5);
    assert_eq!(answer["result"], json!({ "pid": server.child_start(1) }));
    let line = program.until("the command", |line| is_event(line, "command"));
    assert_eq!(line["client"]["uid"], nix::unistd::getuid().as_raw());
    Program::connect(env, &server).result("status");
}

fn idle_subscriber_costs_nothing(env: &TestEnv) {
    let server = with_api(env).opts(["--status-file", "status"]).child(["cat"]).start();
    let mut program = Program::connect(env, &server);
    program.result("subscribe");
    let mut asks = Program::connect(env, &server);
    asks.result("status");
    server.falls_asleep();
}
