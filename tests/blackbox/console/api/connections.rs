//! The socket and its connections.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{Program, with_api};
use crate::support::{ServerBuilder, TestEnv, cases};

cases![
    socket_is_for_its_user_only,
    permissions_may_be_wider,
    socket_of_a_live_server_is_not_taken,
    half_closed_client_gets_its_answers,
    greetings_and_info_file_do_not_know_programs,
    program_gets_no_console,
    bad_endpoints_are_refused,
];

fn mode(server: &crate::support::TestServer) -> u32 {
    fs::metadata(server.path("api")).unwrap().permissions().mode() & 0o7777
}

fn socket_is_for_its_user_only(env: &TestEnv) {
    let server = with_api(env).start();
    Program::connect(env, &server).result("status");
    assert_eq!(mode(&server), 0o600);
    assert!(server.terminate().success());
    assert!(!server.path("api").exists());
}

fn permissions_may_be_wider(env: &TestEnv) {
    let server = env.server().opts(["--api", "unix:::0660:api"]).start();
    Program::connect(env, &server).result("status");
    assert_eq!(mode(&server), 0o660);
}

fn socket_of_a_live_server_is_not_taken(env: &TestEnv) {
    let first = with_api(env).start();
    Program::connect(env, &first).result("status");
    let finished = with_second(&first).run();
    assert_eq!(finished.status.code(), Some(98));
    assert!(finished.stderr.contains("unix:api"), "{}", finished.stderr);
    Program::connect(env, &first).result("status");
}

fn with_second(first: &crate::support::TestServer) -> ServerBuilder {
    let second = ServerBuilder::after(first).bare().control("unix:other");
    second.opts(["--api", "unix:api"]).child(["cat"])
}

fn half_closed_client_gets_its_answers(env: &TestEnv) {
    let server = with_api(env).start();
    let mut program = Program::connect(env, &server);
    // The last line has no end.
    program.send("{\"id\":1,\"request\":\"status\"}\n{\"id\":2,\"request\":\"status\"}");
    program.half_close();
    for id in [1, 2] {
        assert_eq!(program.next().unwrap()["id"], id);
    }
    assert_eq!(program.next(), None);
}

fn greetings_and_info_file_do_not_know_programs(env: &TestEnv) {
    let server = with_api(env).opts(["-I", "info", "--announce"]).start();
    let mut watcher = server.connect();
    watcher.greeting();
    let mut program = Program::connect(env, &server);
    program.result("status");
    let greeting = server.connect().greeting();
    let greeting = String::from_utf8_lossy(&greeting);
    assert!(greeting.contains("@@@ 1 user(s) and 0 logger(s) connected"), "{greeting}");
    let info = String::from_utf8(server.file("info")).unwrap();
    assert!(!info.contains("api"), "{info}");
}

fn program_gets_no_console(env: &TestEnv) {
    let server = with_api(env).child(["cat"]).start();
    let mut program = Program::connect(env, &server);
    for _ in 0..30 {
        let text = "x".repeat(60_000);
        let answer = program.ask(&json!({ "request": "input", "text": text }));
        assert_eq!(answer["result"]["bytes"], 60_000);
    }
    // The stream is not held back for it either.
    let mut user = server.connect();
    user.greeting();
    user.send("\rEND\r");
    user.until("END");
}

fn bad_endpoints_are_refused(env: &TestEnv) {
    for endpoint in [
        "2000",
        "127.0.0.1:2000",
        "unix:",
        "unix:@api",
        "raw:unix:api",
        "fd:3",
        "unix:::9:api",
        "unix:a:b",
        "api",
    ] {
        let finished = env.run(["--api", endpoint, "-P", "unix:ctl", "/bin/cat"]);
        let line = format!(
            "procServ: invalid endpoint '{endpoint}' for --api (unix:PATH or unix:USER:GROUP:PERM:PATH)\n"
        );
        assert!(finished.stderr.contains(&line), "{endpoint}: {}", finished.stderr);
        assert_eq!(finished.status.code(), Some(1));
    }
    let finished = env.run(["--api", "unix:nobodyhere::0600:api", "-P", "unix:ctl", "/bin/cat"]);
    assert!(
        finished.stderr.contains("for --api (Unknown user 'nobodyhere')"),
        "{}",
        finished.stderr
    );
}
