//! Each request, its answer and what comes of it.

use serde_json::{Value, json};

use super::{Program, with_api};
use crate::files::wait_events;
use crate::support::{TestEnv, cases};

cases![
    status_is_that_of_the_file,
    mode_is_set_whatever_it_was,
    child_is_killed_and_started,
    text_is_typed,
    reload_needs_overlap,
    quit_ends_the_server,
    who_asked_is_recorded,
    bad_lines_harm_nothing,
    each_request_is_answered_once_and_in_order,
    too_many_commands_are_refused,
    mode_oneshot_starts_one_more,
    every_error_and_request_is_documented,
];

fn status_is_that_of_the_file(env: &TestEnv) {
    let server = with_api(env).opts(["--status-file", "status"]).child(["cat"]).start();
    server.child_start(1);
    let mut program = Program::connect(env, &server);
    let mut status = program.result("status");
    assert_eq!(status["clients"][0]["role"], "api");
    assert_eq!(status["endpoints"][1], json!({ "role": "api", "endpoint": "unix:api" }));
    let mut file = env.wait_for("the file", || {
        let file = std::fs::read(server.path("status")).ok()?;
        let file: Value = serde_json::from_slice(&file).unwrap();
        (file["clients"][0]["role"] == "api").then_some(file)
    });
    for all in [&mut status, &mut file] {
        all["log"].take();
    }
    assert_eq!(status, file);
}

fn mode_is_set_whatever_it_was(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    let mut user = server.connect();
    user.greeting();
    let mut program = Program::connect(env, &server);
    for (mode, name) in [("off", "OFF"), ("off", "OFF"), ("oneshot", "ONESHOT"), ("on", "ON")] {
        let answer = program.ask(&json!({ "id": mode, "request": "mode", "mode": mode }));
        assert_eq!(answer, json!({ "v": 1, "id": mode, "result": { "mode": name } }));
        assert_eq!(program.result("status")["mode"], name);
    }
    // What has not changed is not said again.
    user.expect(
        "
@@@ Toggled auto restart mode to OFF

@@@ Toggled auto restart mode to ONESHOT

@@@ Toggled auto restart mode to ON
",
    );
}

fn child_is_killed_and_started(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    let mut program = Program::connect(env, &server);
    let first = server.child_start(1);
    program.ask(&json!({ "request": "mode", "mode": "off" }));
    assert_eq!(program.result("kill"), json!({ "pid": first }));
    env.wait_for("no child", || {
        (program.result("status")["child"]["state"] == "by_hand").then_some(())
    });
    let refused = program.ask(&json!({ "id": 3, "request": "kill" }));
    assert_eq!((&refused["id"], &refused["error"]), (&json!(3), &json!("no_child")));
    assert_eq!(program.result("start"), json!({}));
    let second = server.child_start(2);
    let running = |status: Value| (status["child"]["pid"] == second).then_some(status);
    let status = env.wait_for("the child", || running(program.result("status")));
    assert_eq!(status["ends"][0]["cause"]["client"]["role"], "api");
    assert_eq!(program.ask(&json!({ "request": "start" }))["error"], "child_runs");
}

fn text_is_typed(env: &TestEnv) {
    let server = with_api(env).opts(["-w"]).child(["raw", "say", "READY", "cat"]).start();
    let mut user = server.connect();
    user.greeting();
    let mut program = Program::connect(env, &server);
    program.result("start");
    user.until("READY\r\n");
    // The kill character is no command, and never reaches the child.
    let text = "h\u{e4}llo\u{18} \u{3}\r";
    let answer = program.ask(&json!({ "request": "input", "text": text }));
    assert_eq!(answer["result"], json!({ "bytes": 9 }));
    user.until("h\u{e4}llo \u{3}\r");
    assert_eq!(program.result("status")["restarts"], 0);
    // More than the child's terminal holds is given to it as it reads.
    let long = "x".repeat(60_000) + "END";
    let answer = program.ask(&json!({ "request": "input", "text": long }));
    assert_eq!(answer["result"], json!({ "bytes": 60_003 }));
    user.until("xEND");
}

fn reload_needs_overlap(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    server.child_start(1);
    let mut program = Program::connect(env, &server);
    assert_eq!(program.ask(&json!({ "request": "reload" }))["error"], "no_overlap");
    let server = with_api(env).opts(["--overlap", "0"]).child(["cat"]).start();
    let first = server.child_start(1);
    let mut program = Program::connect(env, &server);
    assert_eq!(program.result("reload"), json!({ "pid": first }));
    server.child_start(2);
}

fn quit_ends_the_server(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    server.child_start(1);
    let mut program = Program::connect(env, &server);
    assert_eq!(program.result("quit"), json!({}));
    assert_eq!(program.next(), None);
    assert!(server.wait_exit().success());
    assert!(!server.path("api").exists());
}

fn who_asked_is_recorded(env: &TestEnv) {
    let server = with_api(env).opts(["--overlap", "0"]).child(["cat"]).start();
    server.child_start(1);
    let mut program = Program::connect(env, &server);
    program.ask(&json!({ "request": "mode", "mode": "off" }));
    program.result("kill");
    let commands = wait_events(env, &server, "command", 2);
    let modes = [&json!("OFF"), &Value::Null];
    for ((event, command), mode) in commands.iter().zip(["mode", "kill"]).zip(modes) {
        assert_eq!((&event["command"], &event["mode"]), (&json!(command), mode));
        let client = &event["client"];
        assert_eq!((&client["role"], &client["endpoint"]), (&json!("api"), &json!("unix:api")));
        assert_eq!(client["uid"], nix::unistd::getuid().as_raw());
    }
}

fn bad_lines_harm_nothing(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    let mut program = Program::connect(env, &server);
    for (line, error) in [
        ("{", "bad_request"),
        ("kill", "bad_request"),
        ("[]", "bad_request"),
        ("null", "bad_request"),
        ("{}", "bad_request"),
        (r#"{"request":"kill","force":true}"#, "bad_request"),
        (r#"{"request":"kill","mode":"on"}"#, "bad_request"),
        (r#"{"request":"mode"}"#, "bad_request"),
        (r#"{"request":"mode","mode":"ON"}"#, "bad_request"),
        (r#"{"request":"input","text":7}"#, "bad_request"),
        (r#"{"request":"explode"}"#, "unknown_request"),
        (r#"{"request":"status","v":2}"#, "bad_version"),
        (r#"{"request":"status","id":{}}"#, "bad_request"),
    ] {
        program.send(&format!("{line}\n"));
        let answer = program.next().unwrap();
        assert_eq!(answer["error"], error, "{line}: {answer}");
    }
    program.send(&"[".repeat(100_000));
    program.send("\n");
    assert_eq!(program.next().unwrap()["error"], "too_long");
    // Neither is a telnet command or a kill character one here, nor an empty line a request.
    program.send_bytes(b"\xff\xfd\x03\x18\x14\n");
    assert_eq!(program.next().unwrap()["error"], "bad_request");
    program.send("\n \r\n");
    let status = program.result("status");
    assert_eq!((&status["restarts"], &status["mode"]), (&json!(0), &json!("ON")));
}

fn each_request_is_answered_once_and_in_order(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    let mut program = Program::connect(env, &server);
    let request = |id: usize| format!("{{\"request\":\"status\",\"id\":{id}}}\n");
    program.send(&(0..200).map(request).collect::<String>());
    for id in 0..200 {
        assert_eq!(program.next().unwrap()["id"], id);
    }
}

fn too_many_commands_are_refused(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    let mut program = Program::connect(env, &server);
    let modes = [r#"{"request":"mode","mode":"off"}"#, r#"{"request":"mode","mode":"on"}"#];
    let all: String = modes.iter().cycle().take(1000).map(|line| format!("{line}\n")).collect();
    let begun = std::time::Instant::now();
    program.send(&all);
    let mut done = 0;
    for _ in 0..1000 {
        let answer = program.next().unwrap();
        if answer["error"].is_null() {
            done += 1;
        } else {
            assert_eq!(answer["error"], "too_many");
        }
    }
    let seconds = begun.elapsed().as_secs() + 2;
    assert!((20..=20 * seconds).contains(&done), "{done} in {seconds} s");
}

fn mode_oneshot_starts_one_more(env: &TestEnv) {
    let server = with_api(env).opts(["--noautorestart"]).child(["cat"]).start();
    server.child_start(1);
    let mut program = Program::connect(env, &server);
    program.result("kill");
    env.wait_for("no child", || {
        (program.result("status")["child"]["state"] == "by_hand").then_some(())
    });
    let answer = program.ask(&json!({ "request": "mode", "mode": "oneshot" }));
    assert_eq!(answer["result"]["mode"], "ONESHOT");
    server.child_start(2);
    program.result("kill");
    assert!(server.wait_exit().success());
}

fn every_error_and_request_is_documented(_: &TestEnv) {
    let text = include_str!("../../../../docs/api.md");
    for name in [
        "status",
        "subscribe",
        "kill",
        "start",
        "mode",
        "reload",
        "input",
        "quit",
        "bad_request",
        "unknown_request",
        "bad_version",
        "too_long",
        "no_child",
        "child_runs",
        "oneshot",
        "no_overlap",
        "leaving",
        "too_many",
    ] {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}
