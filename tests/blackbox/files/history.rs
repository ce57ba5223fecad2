//! What `--status-file` says of the past, and what stderr says of trouble.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::own_pid;
use crate::support::{ServerBuilder, TestEnv, TestServer, cases};

cases![
    ends_have_their_causes,
    old_one_of_two_ended_for_a_reload,
    child_without_a_terminal_was_ended_by_the_server,
    ends_and_trouble_outlive_an_upgrade,
    killed_server_is_known_to_the_next,
    trouble_is_in_the_file_the_greeting_and_on_stderr,
    log_that_cannot_be_opened_is_a_trouble,
    skipped_bytes_are_counted_over_an_upgrade,
    program_that_cannot_be_executed_is_told_on_stderr,
    directory_that_is_missing_is_told_on_stderr,
];

fn with_status(env: &TestEnv) -> ServerBuilder {
    env.server().opts(["-n", "ioc", "--holdoff", "0", "--status-file", "status"])
}

fn wait_status(
    env: &TestEnv,
    server: &TestServer,
    what: &str,
    is: impl Fn(&Value) -> bool,
) -> Value {
    env.wait_for(what, || {
        let status = serde_json::from_slice(&fs::read(server.path("status")).ok()?).unwrap();
        Some(status).filter(|status| is(status))
    })
}

fn wait_ends(env: &TestEnv, server: &TestServer, restarts: u64) -> Value {
    let is = |status: &Value| status["restarts"] == restarts && status["child"]["pid"].is_number();
    let mut status = wait_status(env, server, "the next child", is);
    assert_eq!(status["restarts_24h"], restarts);
    status["ends"].take()
}

fn ends_have_their_causes(env: &TestEnv) {
    let server = with_status(env).child(["cat"]).start();
    let mut user = server.connect();
    user.greeting();
    let first = server.child_start(1);
    user.send("\x18");
    let second = server.child_start(2);
    let ends = wait_ends(env, &server, 1);
    assert_eq!((&ends[0]["pid"], &ends[0]["signal"]), (&json!(first), &json!(9)));
    let cause = &ends[0]["cause"];
    assert_eq!((&cause["by"], &cause["command"]), (&json!("client"), &json!("kill")));
    let client = &cause["client"];
    assert_eq!(client["uid"], nix::unistd::getuid().as_raw());
    assert_eq!((&client["pid"], &client["role"]), (&json!(own_pid()), &json!("user")));
    // The client may be gone by the time that somebody asks.
    drop(user);
    kill(Pid::from_raw(second), Signal::SIGABRT).unwrap();
    server.child_start(3);
    let ends = wait_ends(env, &server, 2);
    assert_eq!((&ends[0]["pid"], &ends[0]["signal"]), (&json!(second), &json!(6)));
    assert_eq!(ends[0]["cause"], json!({ "by": "itself" }));
    assert_eq!(ends[1]["cause"]["by"], "client");
    for number in 4..7 {
        let last = server.child_start(number - 1);
        kill(Pid::from_raw(last), Signal::SIGKILL).unwrap();
        server.child_start(number);
    }
    assert_eq!(wait_ends(env, &server, 5).as_array().unwrap().len(), 3);
}

fn old_one_of_two_ended_for_a_reload(env: &TestEnv) {
    let server = with_status(env).opts(["--overlap", "0"]).child(["cat"]).start();
    let first = server.child_start(1);
    server.signal(Signal::SIGUSR2);
    server.child_start(2);
    let is = |status: &Value| !status["ends"][0].is_null();
    let status = wait_status(env, &server, "an end", is);
    let end = &status["ends"][0];
    assert_eq!(end["pid"], first);
    let cause = &end["cause"];
    assert_eq!((&cause["by"], &cause["signal"]), (&json!("signal"), &json!("SIGUSR2")));
    assert_eq!(cause["sender"]["pid"], own_pid());
    // The new one was not asked to end. SIGKILL would look like the server's own.
    kill(Pid::from_raw(server.child_start(2)), Signal::SIGTERM).unwrap();
    let is = |status: &Value| !status["ends"][1].is_null();
    let status = wait_status(env, &server, "another end", is);
    assert_eq!(status["ends"][0]["cause"], json!({ "by": "itself" }));
}

fn child_without_a_terminal_was_ended_by_the_server(env: &TestEnv) {
    let script = "trap '' HUP; exec sleep 1000 <&- >&- 2>&-";
    let server = with_status(env).command(["/bin/sh", "-c", script]).start();
    let is = |status: &Value| !status["ends"][0].is_null();
    let status = wait_status(env, &server, "an end", is);
    let cause = &status["ends"][0]["cause"];
    assert_eq!((&cause["by"], &cause["why"]), (&json!("server"), &json!("terminal_closed")));
}

fn ends_and_trouble_outlive_an_upgrade(env: &TestEnv) {
    let server = with_status(env).opts(["-L", "/dev/full"]).child(["cat"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send("\x18");
    wait_ends(env, &server, 1);
    user.send("out\r");
    let is = |status: &Value| status["trouble"][0]["what"] == "log" && !status["ends"][0].is_null();
    let before = wait_status(env, &server, "trouble", is);
    server.signal(Signal::SIGUSR1);
    let is = |status: &Value| status["upgrades"] == 1;
    let after = wait_status(env, &server, "the upgrade", is);
    for field in ["ends", "restarts", "restarts_24h"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    for field in ["what", "since", "reason"] {
        assert_eq!(after["trouble"][0][field], before["trouble"][0][field], "{field}");
    }
    let lost = |status: &Value| status["trouble"][0]["lost"].as_u64().unwrap();
    assert!(lost(&after) >= lost(&before));
    // The cause of an end is known though the request was made before the upgrade.
    server.signal(Signal::SIGUSR1);
    let is = |status: &Value| status["upgrades"] == 2;
    wait_status(env, &server, "another upgrade", is);
}

fn killed_server_is_known_to_the_next(env: &TestEnv) {
    let first = with_status(env).child(["cat"]).start();
    let mut user = first.connect();
    user.greeting();
    user.send("\x18");
    let ends = wait_ends(env, &first, 1);
    first.signal(Signal::SIGKILL);
    first.wait_exit();
    let again = ["-n", "ioc", "--holdoff", "0", "--status-file", "status"];
    let next = ServerBuilder::after(&first).opts(again).child(["cat"]).start();
    let pid = next.pid();
    let status = wait_status(env, &next, "the file", |status| status["pid"] == pid);
    assert_eq!(status["crashes"], 1);
    let last = &status["last_server"];
    assert_eq!((&last["end"], &last["pid"]), (&json!("crash"), &json!(first.pid())));
    assert_eq!(status["ends"], ends);
    assert!(next.terminate().success());
    let third = ServerBuilder::after(&next).opts(again).child(["cat"]).start();
    let pid = third.pid();
    let status = wait_status(env, &third, "the file", |status| status["pid"] == pid);
    assert_eq!((&status["crashes"], &status["last_server"]), (&json!(0), &Value::Null));
}

/// The limit of a file's size stands for a full disk.
fn trouble_is_in_the_file_the_greeting_and_on_stderr(env: &TestEnv) {
    let limit = ["limit-file-size", "3000", "3000"];
    let server = with_status(env).launched_by(limit).logged().child(["cat"]).start();
    let mut user = server.connect();
    user.greeting();
    let status = wait_status(env, &server, "the file", |_| true);
    assert_eq!(status["trouble"], json!([]));
    for _ in 0..40 {
        user.send([&[b'x'; 99][..], b"\r"].concat());
    }
    user.until("@@@ Log file log: File too large, output is not being logged\r\n");
    let greeting = server.connect().greeting();
    let greeting = String::from_utf8_lossy(&greeting);
    let line = "@@@ Log file log: File too large, output is not being logged since ";
    assert_eq!(greeting.matches(line).count(), 1, "{greeting}");
    let is = |status: &Value| status["trouble"][0]["lost"].as_u64().is_some_and(|lost| lost > 0);
    let status = wait_status(env, &server, "trouble", is);
    let trouble = &status["trouble"][0];
    assert_eq!((&trouble["what"], &trouble["reason"]), (&json!("log"), &json!("File too large")));
    assert!(trouble["since"].is_string());
    let begin = "procServ: Log file log: File too large, output is not being logged\n";
    assert_eq!(server.stderr(), begin);
    fs::rename(server.path("log"), server.path("old")).unwrap();
    server.signal(Signal::SIGHUP);
    let is = |status: &Value| status["trouble"] == json!([]);
    let status = wait_status(env, &server, "the recovery", is);
    let lost = status["log"]["lost"].as_u64().unwrap();
    assert!(lost > 0 && status["log"]["written"].as_u64().unwrap() > 0);
    let end = format!("procServ: Log file log: works again, {lost} bytes are missing\n");
    assert_eq!(server.stderr(), begin.to_owned() + &end);
    let greeting = server.connect().greeting();
    assert!(!String::from_utf8_lossy(&greeting).contains("not being logged"));
}

fn skipped_bytes_are_counted_over_an_upgrade(env: &TestEnv) {
    let child = ["wait-for", "go", "emit", "12000000", "say", "that is all", "cat"];
    let server = with_status(env).logged().child(child).start();
    let mut user = server.connect();
    user.greeting();
    let status = wait_status(env, &server, "the file", |_| true);
    assert_eq!((&status["skipped"], &status["syslog"]), (&json!(0), &Value::Null));
    fs::write(server.path("go"), "").unwrap();
    server.file_with("log", "that is all");
    user.until("that is all");
    let seen = String::from_utf8_lossy(user.received()).into_owned();
    let line = |line: &str| {
        let (count, _) = line.strip_prefix("@@@ ")?.split_once(" bytes skipped: ")?;
        count.parse::<u64>().ok()
    };
    let skipped: u64 = seen.lines().filter_map(line).sum();
    assert!(skipped > 0, "it was not skipped");
    let is = |status: &Value| status["skipped"] == skipped;
    wait_status(env, &server, "the sum of what was skipped", is);
    server.signal(Signal::SIGUSR1);
    let is = |status: &Value| status["upgrades"] == 1;
    let status = wait_status(env, &server, "the upgrade", is);
    assert_eq!(status["skipped"], skipped);
}

fn log_that_cannot_be_opened_is_a_trouble(env: &TestEnv) {
    let server = with_status(env).opts(["-L", "gone/log"]).start();
    let is = |status: &Value| !status["trouble"][0].is_null();
    let status = wait_status(env, &server, "trouble", is);
    assert_eq!(status["trouble"][0]["what"], "log");
    let reason = "could not be opened: No such file or directory";
    assert_eq!(status["trouble"][0]["reason"], reason);
    // The greeting says so already.
    let greeting = server.connect().greeting();
    assert_eq!(String::from_utf8_lossy(&greeting).matches("gone/log").count(), 1);
    fs::create_dir(server.path("gone")).unwrap();
    server.signal(Signal::SIGHUP);
    wait_status(env, &server, "the recovery", |status| status["trouble"] == json!([]));
}

fn program_that_cannot_be_executed_is_told_on_stderr(env: &TestEnv) {
    let server = env.server().opts(["--noautorestart"]).command(["./none"]).start();
    server.file_with(
        "stderr",
        "procServ: child could not execute: ./none, No such file or directory\n",
    );
    assert_eq!(server.stderr().lines().count(), 1);
}

fn directory_that_is_missing_is_told_on_stderr(env: &TestEnv) {
    let server = env.server().opts(["--noautorestart", "-c", "/none"]).start();
    let line = "procServ: child could not chdir to /none, No such file or directory\n";
    server.file_with("stderr", line);
    assert_eq!(server.stderr(), line);
}
