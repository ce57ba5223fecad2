//! `control_group`: a group controls an instance, and everybody else watches.

use crate::manage::attach::Person;
use crate::manage::fleet::{Done, Fleet, MANAGE};
use crate::support::{TestEnv, TestServer, cases};
use nix::unistd::Group;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

cases![
    sockets_are_for_the_group.needs_root(),
    who_is_no_member_watches.needs_root(),
    a_member_types.needs_root(),
    without_a_terminal_nobody_watches_by_accident.needs_root(),
    an_endpoint_to_watch_is_attached_to,
    doctor_tells_who_else_may_type,
    doctor_tells_of_a_group_that_is_not_there,
    doctor_tells_of_sockets_of_another_group.needs_root(),
];

/// A group of every Debian system, of which nobody is a member.
const GROUP: &str = "daemon";

const SETPRIV: &str = "/usr/bin/setpriv";

fn gid() -> u32 {
    Group::from_name(GROUP).unwrap().unwrap().gid.as_raw()
}

fn instance(env: &TestEnv, more: &str) -> (Fleet, TestServer) {
    let fleet = Fleet::new();
    let setup = env.server();
    fs::set_permissions(fleet.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fleet.instance(&setup, "ioc1", "cat", more);
    let server = fleet.launch_until(env, setup, "ioc1", "run/procserv-ioc1/status");
    server.child_start(1);
    (fleet, server)
}

fn with_group(env: &TestEnv) -> (Fleet, TestServer) {
    instance(env, &format!("control_group = {GROUP}"))
}

/// The words that make another user of who executes them.
fn as_user(group: u32) -> Vec<String> {
    let ids = ["--reuid=65534", "--clear-groups"].map(str::to_owned);
    [&ids[..], &[format!("--regid={group}"), MANAGE.to_owned()]].concat()
}

fn sockets_are_for_the_group(env: &TestEnv) {
    let (fleet, server) = with_group(env);
    let rights = |name: &str| {
        let file = fs::metadata(fleet.path(&format!("run/procserv-ioc1/{name}"))).unwrap();
        (file.gid(), file.mode() & 0o777)
    };
    for name in ["control", "raw", "api"] {
        assert_eq!(rights(name), (gid(), 0o660), "{name}");
    }
    assert_eq!(rights("view").1, 0o666);
    let info = fleet.read("run/procserv-ioc1/info");
    let run = fleet.path("run/procserv-ioc1").display().to_string();
    let pid = server.pid();
    let lines =
        format!("pid:{pid}\nunix:{run}/control\nraw:unix:{run}/raw\nview:unix:{run}/view\n");
    assert_eq!(info, lines);
    // Scripts get what they have got so far.
    let plain = format!("ioc1 Running\t{run}/control\n");
    assert_eq!(fleet.must(&["status", "--plain"]), plain);
}

fn who_is_no_member_watches(env: &TestEnv) {
    let (fleet, server) = with_group(env);
    let mut person = Person::attach_as(env, &fleet, &as_user(65534), &["ioc1"]);
    person.greeted();
    let said = person.client.stderr();
    let view = fleet.path("run/procserv-ioc1/view");
    let lines = format!(
        "ioc1: view:unix:{}; ^] leaves; keys have no effect\n\
         ioc1: you may watch, but have no permission to type\n",
        view.display()
    );
    assert!(said.starts_with(&lines), "{said}");
    person.terminal.screen.send("lost\r\x18");
    let control = format!("unix:{}", fleet.path("run/procserv-ioc1/control").display());
    let mut other = server.connect_to(&control);
    other.greeting();
    other.send("typed\r");
    let seen = person.terminal.screen.until("typed\r\ntyped\r\n");
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(!seen.contains("lost") && !seen.contains("Got a kill"), "{seen}");
    person.terminal.screen.send("\x1d");
    person.left(0);
}

fn a_member_types(env: &TestEnv) {
    let (fleet, _server) = with_group(env);
    let mut person = Person::attach_as(env, &fleet, &as_user(gid()), &["ioc1"]);
    person.greeted();
    person.terminal.screen.send("typed\r");
    person.terminal.screen.until("typed\r\ntyped\r\n");
    person.terminal.screen.send("\x1d");
    person.left(0);
}

/// What is typed must not be lost without a word.
fn without_a_terminal_nobody_watches_by_accident(env: &TestEnv) {
    let (fleet, _server) = with_group(env);
    for words in [["attach", "ioc1"], ["send", "ioc1"]] {
        let mut command = Command::new(SETPRIV);
        command
            .args(as_user(65534))
            .arg("--user")
            .args(words)
            .args((words[0] == "send").then_some("x"));
        fleet.dress(|name, value| {
            command.env(name, value);
        });
        let done: Done = command.stdin(Stdio::null()).output().unwrap().into();
        assert!(done.code == 1 && done.stderr.contains("Permission denied"), "{done:?}");
        assert_eq!(done.stdout, "");
    }
}

fn an_endpoint_to_watch_is_attached_to(env: &TestEnv) {
    let (fleet, server) = instance(env, "");
    let view = format!("view:unix:{}", fleet.path("run/procserv-ioc1/view").display());
    let mut person = Person::attach_in(env, &fleet, &[&view]);
    person.greeted();
    assert!(!person.client.stderr().contains("permission"), "{}", person.client.stderr());
    person.terminal.screen.send("lost\r");
    let raw = format!("unix:{}", fleet.path("run/procserv-ioc1/raw").display());
    let mut other = server.connect_to(&raw);
    other.until("(plus you)\r\n");
    other.send("typed\r");
    let seen = other.until("typed\r\ntyped\r\n");
    assert!(!String::from_utf8_lossy(&seen).contains("lost"));
    person.terminal.screen.until("typed\r\ntyped\r\n");
    person.terminal.screen.send("\x1d");
    person.left(0);
}

fn findings(fleet: &Fleet) -> String {
    let done = fleet.run(&["doctor"]);
    format!("{}{}", done.stdout, done.stderr)
}

fn doctor_tells_who_else_may_type(env: &TestEnv) {
    let fleet = Fleet::new();
    let port = env.free_port();
    let setup = env.server();
    fleet.instance(&setup, "a", "cat", &format!("control_group = {GROUP}\nport = {port}"));
    fleet.instance(&setup, "b", "cat", &format!("control_group = {GROUP}\nport = unix:::0600:/b"));
    let told = findings(&fleet);
    let line = format!("tcp:127.0.0.1:{port} is not only for control_group");
    assert_eq!(told.matches("is not only for control_group").count(), 1, "{told}");
    assert!(told.contains(&line), "{told}");
}

fn doctor_tells_of_a_group_that_is_not_there(env: &TestEnv) {
    let fleet = Fleet::new();
    fleet.instance(&env.server(), "a", "cat", "control_group = no-such-group");
    let told = findings(&fleet);
    assert!(!told.contains("refuses to start"), "{told}");
    assert!(told.contains("there is no group no-such-group"), "{told}");
}

fn doctor_tells_of_sockets_of_another_group(env: &TestEnv) {
    let (fleet, _server) = instance(env, "");
    assert!(!findings(&fleet).contains("does not belong"), "{}", findings(&fleet));
    fleet.must(&["set", "ioc1", &format!("control_group={GROUP}")]);
    let told = findings(&fleet);
    assert!(told.contains(&format!("/api does not belong to group {GROUP}")), "{told}");
}
