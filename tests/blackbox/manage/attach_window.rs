//! `manage-procs attach` tells the size of its window, if it is asked.

use crate::manage::attach::Person;
use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, TestServer, cases, find};
use std::process::Command;

cases![
    the_window_and_its_changes_are_told,
    two_people_have_it_by_turns,
    who_watches_tells_nothing,
    nothing_is_told_unless_asked,
    a_section_asks_for_it,
];

fn following(env: &TestEnv) -> TestServer {
    let server = env.server().opts(["--window", "follow"]).child(["show-window"]).logged().start();
    server.file_with("log", "window 0x0");
    server
}

fn endpoint(server: &TestServer) -> String {
    format!("unix:{}", server.path("ctl").display())
}

fn resize(person: &Person, columns: u16, rows: u16) {
    let mut command = Command::new("stty");
    command.arg("-F").arg(person.terminal.path()).args(["cols", &columns.to_string()]);
    assert!(command.args(["rows", &rows.to_string()]).status().unwrap().success());
}

fn the_window_and_its_changes_are_told(env: &TestEnv) {
    let server = following(env);
    let mut person = Person::attach(env, &[&endpoint(&server)]);
    person.greeted();
    resize(&person, 100, 30);
    server.file_with("log", "window 100x30");
    resize(&person, 255, 31);
    server.file_with("log", "window 255x31");
    person.terminal.screen.send("a\x1d");
    person.left(0);
}

fn two_people_have_it_by_turns(env: &TestEnv) {
    let server = following(env);
    let endpoint = endpoint(&server);
    let [mut one, mut other] = [(); 2].map(|()| Person::attach(env, &[&endpoint]));
    one.greeted();
    other.greeted();
    resize(&one, 100, 30);
    server.file_with("log", "window 100x30");
    resize(&other, 80, 24);
    other.terminal.screen.send("a");
    server.file_with("log", "window 80x24");
    one.terminal.screen.send("b");
    one.terminal.screen.until("window 100x30");
    one.terminal.screen.send("\x1d");
    one.left(0);
    other.terminal.screen.until("window 80x24");
}

fn who_watches_tells_nothing(env: &TestEnv) {
    let server = following(env);
    let mut watcher = Person::attach(env, &["--watch", &endpoint(&server)]);
    watcher.greeted();
    resize(&watcher, 100, 30);
    let mut other = server.connect();
    other.greeting();
    other.send(b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0");
    // The first size that is told counts.
    server.file_with("log", "window 80x24");
    let log = server.file("log");
    assert!(find(&log, b"100x30").is_none());
}

fn nothing_is_told_unless_asked(env: &TestEnv) {
    let server = env.server().child(["raw", "say", "UP", "hex"]).logged().start();
    server.file_with("log", "UP");
    let mut person = Person::attach(env, &[&endpoint(&server)]);
    person.greeted();
    resize(&person, 100, 30);
    person.terminal.screen.send("a");
    person.terminal.screen.until("61 ");
    assert!(find(&server.file("log"), b"1f ").is_none());
}

fn a_section_asks_for_it(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "ioc1", "show-env TERM show-window", "window = follow\nterm = vt220");
    let server = fleet.launch(env, setup, "ioc1");
    server.child_start(1);
    let mut person = Person::attach_in(env, &fleet, &["ioc1"]);
    person.greeted();
    resize(&person, 100, 30);
    person.terminal.screen.send("a");
    person.terminal.screen.until("window 100x30");
    assert!(server.stdout().contains("TERM=vt220"), "{}", server.stdout());
}
