//! `--ready`: the moment at which the service manager is told that the child is.

use crate::support::{TestEnv, cases};
use crate::systemd::manager::{running, told, user};
use nix::sys::signal::Signal;
use std::fs;

cases![
    text_makes_ready,
    text_counts_only_from_the_child,
    text_is_awaited_even_if_the_child_waits,
    one_readiness_is_enough,
    reload_before_readiness_is_not_said,
];

fn text_makes_ready(env: &TestEnv) {
    let (setup, manager) = told(env);
    let child =
        ["print", "iocRun: All init", "wait-for", "go", "print", "ialized\\nepics> ", "cat"];
    let setup = setup.opts(["--ready", "All initialized"]).child(child).logged();
    let server = setup.start();
    let pid = server.child_start(1);
    manager.expect([&*format!("STATUS=Child ioc starting, PID {pid}")]);
    server.file_with("log", "All init");
    assert!(manager.rest().is_empty());
    fs::write(server.path("go"), "").unwrap();
    manager.expect([&*running(&server, 1), "READY=1"]);
    server.falls_asleep();
    assert!(manager.rest().is_empty());
}

fn text_counts_only_from_the_child(env: &TestEnv) {
    let (setup, manager) = told(env);
    let server = setup
        .opts(["--ready", "new child", "--holdoff", "0"])
        .child(["raw", "say", "UP", "cat"])
        .start();
    let pid = server.child_start(1);
    manager.expect([&*format!("STATUS=Child ioc starting, PID {pid}")]);
    // The log of the start has the text, and so has what a client gets.
    let mut user = user(&server);
    user.send(b"\x18");
    user.until("The PID of new child");
    user.until("UP\r\n");
    user.send(b"hello\n");
    user.until("hello");
    let said = manager.rest();
    assert!(!said.is_empty() && said.iter().all(|one| one.starts_with("STATUS=")), "{said:?}");
    // An echo is the child's.
    user.send(b"a new child\n");
    manager.expect([&*running(&server, 2), "READY=1"]);
}

fn text_is_awaited_even_if_the_child_waits(env: &TestEnv) {
    let (setup, manager) = told(env);
    let server = setup.opts(["--ready", "UP", "-w"]).child(["say", "UP", "cat"]).start();
    manager.expect(["STATUS=Child ioc down until started by hand"]);
    server.falls_asleep();
    assert!(manager.rest().is_empty());
    user(&server).send(b"\x12");
    while manager.next() != "READY=1" {}
}

fn one_readiness_is_enough(env: &TestEnv) {
    let (setup, manager) = told(env);
    let setup = setup.opts(["--ready", "UP", "--holdoff", "0"]).logged();
    let child = ["say", "UP", "on-start", "1", "wait-for", "go", "exit", "0", "otherwise", "cat"];
    let server = setup.child(child).start();
    while manager.next() != "READY=1" {}
    fs::write(server.path("go"), "").unwrap();
    let second = running(&server, 2);
    while manager.next() != second {}
    server.file_with("log", "UP\r\n");
    server.falls_asleep();
    assert!(manager.rest().is_empty());
}

fn reload_before_readiness_is_not_said(env: &TestEnv) {
    let (setup, manager) = told(env);
    let setup = setup.opts(["--ready", "UP"]).child(["wait-for", "go", "say", "UP", "cat"]);
    let server = setup.logged().start();
    let pid = server.child_start(1);
    manager.expect([&*format!("STATUS=Child ioc starting, PID {pid}")]);
    fs::rename(server.path("log"), server.path("log.1")).unwrap();
    server.signal(Signal::SIGHUP);
    env.wait_for("the new log", || server.path("log").exists().then_some(()));
    fs::write(server.path("go"), "").unwrap();
    manager.expect([&*running(&server, 1), "READY=1"]);
    assert!(manager.rest().is_empty());
}
