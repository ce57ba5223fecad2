//! `--record-input`: what is typed, and by whom.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{events_in, own_pid, wait_events};
use crate::support::{TestEnv, cases};

cases![
    each_line_is_recorded_with_its_client,
    keys_are_in_caret_notation,
    line_ends_of_two_bytes_are_one,
    long_lines_come_in_pieces,
    a_password_is_only_counted,
    what_a_raw_program_gets_is_text,
    an_unfinished_line_is_recorded_when_its_client_leaves,
    what_does_not_reach_the_child_is_not_recorded,
    an_upgrade_keeps_the_unfinished_line,
    both_children_of_an_overlap,
    requests_of_programs_are_recorded,
    nothing_without_the_option,
    it_needs_events,
];

const OPTIONS: [&str; 3] = ["--events", "events", "--record-input"];

/// The child may speak before anybody is there.
const HISTORY: [&str; 2] = ["--history", "4k"];

/// The texts, the numbers of hidden bytes and whether each is unfinished.
fn inputs(events: &[Value]) -> Vec<Value> {
    let keys = |event: &Value| match event {
        event if event.get("unfinished").is_some() => {
            json!([event.get("text").or(event.get("hidden")), event["unfinished"]])
        }
        event => event.get("text").or(event.get("hidden")).unwrap().clone(),
    };
    events.iter().map(keys).collect()
}

fn each_line_is_recorded_with_its_client(env: &TestEnv) {
    let server = env.server().opts(OPTIONS).start();
    let mut users = [server.connect(), server.connect()];
    for user in &mut users {
        user.greeting();
    }
    users[0].send("db");
    users[0].until("db");
    users[1].send("casr 2\r");
    users[1].until("casr 2\r\n");
    users[0].send("l\r\r");
    let events = wait_events(env, &server, "input", 3);
    assert_eq!(inputs(&events), ["casr 2", "dbl", ""]);
    let connects = wait_events(env, &server, "connect", 2);
    assert_eq!(events[0]["client"], connects[1]["client"]);
    assert_eq!(events[1]["client"], connects[0]["client"]);
    assert_eq!(events[1]["client"]["pid"], own_pid());
}

fn keys_are_in_caret_notation(env: &TestEnv) {
    let server =
        env.server().opts(OPTIONS).child(["raw", "cat"]).opts(["-P", "raw:unix:raw"]).start();
    server.child_start(1);
    let mut user = server.connect_to("unix:raw");
    user.until("(plus you)\r\n");
    user.send(&b"\x1b[A\x7f\t^\\ \xC3\xA4\xFF\xC2\x9B\n"[..]);
    let events = wait_events(env, &server, "input", 1);
    assert_eq!(inputs(&events), ["^[[A^?^I\\^\\\\ \u{e4}\u{fffd}\u{fffd}"]);
}

fn line_ends_of_two_bytes_are_one(env: &TestEnv) {
    let server = env.server().opts(OPTIONS).opts(["-P", "raw:unix:raw"]).start();
    let mut user = server.connect_to("unix:raw");
    user.until("(plus you)\r\n");
    user.send("one\r\ntwo\n\nthree\r");
    user.until("three");
    user.send("\nfour\r");
    assert_eq!(inputs(&wait_events(env, &server, "input", 5)), ["one", "two", "", "three", "four"]);
}

fn long_lines_come_in_pieces(env: &TestEnv) {
    let server = env.server().opts(OPTIONS).child(["raw", "cat"]).start();
    server.child_start(1);
    let mut user = server.connect();
    user.greeting();
    // The character in two bytes is not cut.
    let line = ["x".repeat(4095), "\u{e4}".to_owned(), "y".repeat(4095)].concat();
    user.send(format!("{line}\r").as_bytes());
    let events = wait_events(env, &server, "input", 3);
    let first = json!(["x".repeat(4095), true]);
    let second = json!([format!("\u{e4}{}", "y".repeat(4094)), true]);
    assert_eq!(inputs(&events), [first, second, json!("y")]);
}

const LOGIN: &str = "echo UP; read name; stty -echo; echo password:; read word; stty echo; \
    echo $word | wc -c; read more; echo END; cat";

fn a_password_is_only_counted(env: &TestEnv) {
    let setup = env.server().opts(OPTIONS).opts(HISTORY).command(["sh", "-c", LOGIN]);
    let server = setup.start();
    let mut user = server.connect();
    user.until("UP\r\n");
    user.send("oper\r");
    user.until("password:\r\n");
    user.send("secr");
    user.send("et\r");
    user.until("7\r\n");
    user.send("dbl\r");
    user.until("END\r\n");
    let events = wait_events(env, &server, "input", 3);
    assert_eq!(inputs(&events), [json!("oper"), json!(6), json!("dbl")]);
    assert!(events[1].get("text").is_none() && events[0].get("hidden").is_none());
    assert!(!String::from_utf8_lossy(&server.file("events")).contains("secret"));
}

/// It has ECHO off, too, and echoes by itself.
fn what_a_raw_program_gets_is_text(env: &TestEnv) {
    let setup = env.server().opts(OPTIONS).opts(HISTORY);
    let server = setup.command(["sh", "-c", "stty raw -echo; echo UP; cat"]).start();
    let mut user = server.connect();
    user.until("UP\n");
    user.send("dbl\r");
    assert_eq!(inputs(&wait_events(env, &server, "input", 1)), ["dbl"]);
}

fn an_unfinished_line_is_recorded_when_its_client_leaves(env: &TestEnv) {
    let server = env.server().opts(OPTIONS).start();
    let mut user = server.connect();
    user.greeting();
    user.send("half");
    user.until("half");
    drop(user);
    wait_events(env, &server, "disconnect", 1);
    let mut user = server.connect();
    user.greeting();
    user.send("exit");
    user.until("exit");
    assert!(server.terminate().success());
    let events = events_in(&server, "events");
    let inputs: Vec<usize> =
        (0..events.len()).filter(|&at| events[at]["event"] == "input").collect();
    let texts: Vec<&Value> = inputs.iter().map(|&at| &events[at]["text"]).collect();
    assert_eq!(texts, ["half", "exit"]);
    for at in inputs {
        assert_eq!(events[at]["unfinished"], true);
        assert_eq!(events[at + 1]["event"], "disconnect");
        assert_eq!(events[at + 1]["client"], events[at]["client"]);
    }
}

fn what_does_not_reach_the_child_is_not_recorded(env: &TestEnv) {
    let options = ["-i", "^D", "-l", "unix:log", "-P", "view:unix:view", "--noautorestart"];
    let server = env.server().opts(OPTIONS).opts(options).start();
    for endpoint in ["unix:log", "unix:view"] {
        let mut watcher = server.connect_to(endpoint);
        watcher.until(b"\xFF\xFD\x22");
        watcher.send("not typed\r");
    }
    let mut user = server.connect();
    user.greeting();
    user.send("a\x04b\r");
    user.until("ab\r\n");
    user.send("\x18");
    wait_events(env, &server, "child_exit", 1);
    user.send("nobody hears\r");
    user.send("\x12");
    wait_events(env, &server, "child_start", 2);
    user.send("last\r");
    user.until("last\r\n");
    assert_eq!(inputs(&wait_events(env, &server, "input", 2)), ["ab", "last"]);
}

fn an_upgrade_keeps_the_unfinished_line(env: &TestEnv) {
    let server = env.server().opts(OPTIONS).start();
    let mut user = server.connect();
    user.greeting();
    user.send("db");
    user.until("db");
    server.signal(Signal::SIGUSR1);
    wait_events(env, &server, "server_upgrade", 1);
    user.send("l\r");
    assert_eq!(inputs(&wait_events(env, &server, "input", 1)), ["dbl"]);
}

/// The new child hides what is typed, the old one does not.
fn both_children_of_an_overlap(env: &TestEnv) {
    let script = "if [ -e second ]; then stty -echo; fi; touch second; echo UP; cat";
    let options = ["--overlap", "100000", "--holdoff", "0"];
    let setup = env.server().opts(OPTIONS).opts(HISTORY).opts(options);
    let setup = setup.command(["sh", "-c", script]);
    let server = setup.start();
    let mut user = server.connect();
    user.until("UP\r\n");
    user.send("one\r");
    user.until("one\r\n");
    server.signal(Signal::SIGUSR2);
    user.until("UP\r\n");
    user.send("two\r");
    let events = wait_events(env, &server, "input", 2);
    assert_eq!(inputs(&events), [json!("one"), json!(3)]);
    // The new child fails, and the old one goes on.
    let starts = wait_events(env, &server, "child_start", 2);
    let pid = starts[1]["pid"].as_i64().unwrap() as i32;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_events(env, &server, "child_exit", 1);
    user.send("three\r");
    user.until("three\r\n");
    let events = wait_events(env, &server, "input", 3);
    assert_eq!(inputs(&events)[2], "three");
}

fn requests_of_programs_are_recorded(env: &TestEnv) {
    let server = env.server().opts(OPTIONS).opts(["--api", "unix:api"]).start();
    server.child_start(1);
    let mut program = server.connect_to("unix:api");
    program.send("{\"request\":\"input\",\"text\":\"dbl\\r\"}\n");
    let events = wait_events(env, &server, "input", 1);
    assert_eq!((&events[0]["text"], &events[0]["client"]["role"]), (&json!("dbl"), &json!("api")));
}

fn nothing_without_the_option(env: &TestEnv) {
    let server = env.server().opts(["--events", "events"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send("dbl\r");
    user.until("dbl\r\n");
    drop(user);
    assert!(server.terminate().success());
    assert!(events_in(&server, "events").iter().all(|event| event["event"] != "input"));
}

fn it_needs_events(env: &TestEnv) {
    let finished = env.run(["-P", "unix:ctl", "--record-input", "./fake-ioc"]);
    finished.assert(1, "", "procServ: --record-input needs --events\n");
}
