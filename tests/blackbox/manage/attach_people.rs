//! The console client, with others at the same console, and when the server ends.

use crate::manage::attach::Person;
use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, TestServer, cases};
use nix::sys::signal::Signal;
use std::io::Read;

cases![
    who_watches_can_not_type,
    who_watches_needs_no_terminal,
    the_others_are_named,
    how_to_leave_is_said_after_the_greeting,
    the_end_of_the_server_is_told,
    a_killed_server_is_told,
    a_logout_is_no_end_of_the_server,
    reconnect_waits_for_the_next_server,
    reconnect_can_be_left,
    reconnect_needs_a_terminal,
];

fn instance(env: &TestEnv) -> (Fleet, TestServer) {
    let fleet = Fleet::new();
    let server = launch(env, &fleet);
    (fleet, server)
}

fn launch(env: &TestEnv, fleet: &Fleet) -> TestServer {
    let setup = env.server();
    fleet.instance(&setup, "ioc1", "cat", "");
    let server = fleet.launch(env, setup, "ioc1");
    server.child_start(1);
    server
}

fn control(fleet: &Fleet) -> String {
    format!("unix:{}", fleet.path("run/procserv-ioc1/control").display())
}

fn who_watches_can_not_type(env: &TestEnv) {
    let (fleet, server) = instance(env);
    let mut person = Person::attach_in(env, &fleet, &["--watch", "ioc1"]);
    person.greeted();
    person.terminal.screen.until("^] leaves; keys have no effect\r\n");
    // Neither a line nor the kill character.
    person.terminal.screen.send("lost\r\x18");
    let mut other = server.connect_to(&control(&fleet));
    other.greeting();
    other.send("typed\r");
    other.until("typed\r\ntyped\r\n");
    let seen = person.terminal.screen.until("typed\r\ntyped\r\n");
    assert!(!String::from_utf8_lossy(&seen).contains("lost"));
    person.terminal.screen.send("lost\r\x1d");
    person.left(0);
    other.send("end\r");
    let seen = other.until("end\r\nend\r\n");
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(!seen.contains("lost") && !seen.contains("kill"), "{seen}");
}

/// The end of standard input is no reason to leave.
fn who_watches_needs_no_terminal(env: &TestEnv) {
    let (fleet, server) = instance(env);
    let mut command = fleet.command(&["attach", "--watch", "ioc1"]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::null());
    let mut watcher = command.spawn().unwrap();
    let mut seen = Vec::new();
    let mut stdout = watcher.stdout.take().unwrap();
    while !String::from_utf8_lossy(&seen).contains("(plus you)") {
        let mut buffer = [0; 4096];
        let length = stdout.read(&mut buffer).unwrap();
        assert!(length > 0, "the watcher left");
        seen.extend_from_slice(&buffer[..length]);
    }
    let mut other = server.connect_to(&control(&fleet));
    other.greeting();
    other.send("typed\r");
    other.until("typed\r\ntyped\r\n");
    server.terminate();
    stdout.read_to_end(&mut seen).unwrap();
    assert!(watcher.wait().unwrap().success());
    assert!(String::from_utf8_lossy(&seen).contains("typed\r\ntyped\r\n"));
}

fn the_others_are_named(env: &TestEnv) {
    let (fleet, server) = instance(env);
    let mut other = server.connect_to(&control(&fleet));
    other.greeting();
    env.wait_for("the status", || {
        let status = std::fs::read_to_string(fleet.path("run/procserv-ioc1/status"));
        status.is_ok_and(|status| status.contains("\"uid\"")).then_some(())
    });
    let mut person = Person::attach_in(env, &fleet, &["ioc1"]);
    person.greeted();
    person.terminal.screen.send("\x1d");
    person.left(0);
    let said = person.client.stderr();
    let uid = nix::unistd::Uid::effective();
    assert!(said.contains(&format!("uid {uid}")) && said.contains(" since 20"), "{said}");
    assert!(said.contains(" is attached, too\n"), "{said}");
}

fn how_to_leave_is_said_after_the_greeting(env: &TestEnv) {
    let (fleet, _server) = instance(env);
    let mut person = Person::attach_in(env, &fleet, &["-k", "^A", "ioc1"]);
    person.greeted();
    person.terminal.screen.until("^A leaves\r\n");
    person.terminal.screen.send("\x01");
    person.left(0);
}

fn the_end_of_the_server_is_told(env: &TestEnv) {
    let (fleet, server) = instance(env);
    fleet.file("show", "Id=procserv-ioc1.service\nActiveState=inactive\nExecMainStatus=0\n");
    let mut person = Person::attach_in(env, &fleet, &["ioc1"]);
    person.greeted();
    server.terminate();
    person.left(0);
    let said = person.client.stderr();
    assert!(said.ends_with("ioc1: its server exited 0\n"), "{said}");
}

fn a_killed_server_is_told(env: &TestEnv) {
    let (fleet, server) = instance(env);
    let failed = "ActiveState=activating\nSubState=auto-restart\nResult=signal\nExecMainStatus=9\n";
    fleet.file("show", &format!("Id=procserv-ioc1.service\n{failed}"));
    let mut person = Person::attach_in(env, &fleet, &["ioc1"]);
    person.greeted();
    server.signal(Signal::SIGKILL);
    person.client.wait_exit();
    let said = person.client.stderr();
    let says = "ioc1: its server has ended (killed by signal 9), systemd starts it again\n";
    assert!(said.contains(says), "{said}");
}

fn a_logout_is_no_end_of_the_server(env: &TestEnv) {
    let (fleet, _server) = instance(env);
    let mut person = Person::attach_in(env, &fleet, &["--reconnect", "ioc1"]);
    person.greeted();
    person.terminal.screen.send("\x04");
    person.left(0);
    let said = person.client.stderr();
    assert!(said.ends_with("ioc1: disconnected by the server (it keeps running)\n"), "{said}");
}

fn reconnect_waits_for_the_next_server(env: &TestEnv) {
    let (fleet, server) = instance(env);
    let mut person = Person::attach_in(env, &fleet, &["--reconnect", "ioc1"]);
    person.greeted();
    server.terminate();
    server.wait_exit();
    env.wait_for("the notice", || {
        person.client.stderr().contains("; waiting for the next; ^] leaves\n").then_some(())
    });
    let _next = launch(env, &fleet);
    person.greeted();
    person.terminal.screen.send("again\r");
    person.terminal.screen.until("again\r\nagain\r\n");
    person.terminal.screen.send("\x1d");
    person.left(0);
}

fn reconnect_can_be_left(env: &TestEnv) {
    for signal in [None, Some(Signal::SIGTERM)] {
        let (fleet, server) = instance(env);
        let mut person = Person::attach_in(env, &fleet, &["--reconnect", "ioc1"]);
        person.greeted();
        server.terminate();
        env.wait_for("the notice", || {
            person.client.stderr().contains("; waiting for the next; ").then_some(())
        });
        match signal {
            None => {
                person.terminal.screen.send("\x1d");
                person.left(0);
            }
            Some(signal) => {
                person.client.signal(signal);
                person.client.wait_exit();
                assert_eq!(person.terminal.modes(), person.before);
            }
        }
    }
}

fn reconnect_needs_a_terminal(_: &TestEnv) {
    let done = Fleet::new().run(&["attach", "--reconnect", "unix:/nonexistent"]);
    assert!(done.code == 2 && done.stderr.contains("--reconnect needs a terminal"), "{done:?}");
}
