//! `--overlap` under a service manager: what it hears of a reload, and what not.

use super::manager::{running, told};
use crate::support::{TestEnv, TestServer, cases};
use nix::sys::signal::Signal;
use std::fs;

cases![
    new_childs_readiness_is_the_servers,
    reload_is_over_when_the_time_is,
    reload_that_fails_is_over_too,
    with_ready_only_the_text_counts,
    without_overlap_the_signal_is_no_reload,
];

const READY: [&str; 9] =
    ["on-start", "1", "wait", "otherwise", "wait-for", "go", "notify", "READY=1", "wait"];
const LONG: [&str; 3] = ["--notify", "--overlap", "4000000000"];

#[track_caller]
fn expect_reloading(message: &str) {
    assert!(message.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{message}");
}

fn new_childs_readiness_is_the_servers(env: &TestEnv) {
    let (setup, manager) = told(env);
    let server = setup.opts(LONG).child(READY).start();
    manager.expect([&*running(&server, 1), "READY=1"]);
    for start in [2, 3] {
        let _ = fs::remove_file(server.path("go"));
        server.signal(Signal::SIGUSR2);
        expect_reloading(&manager.next());
        assert_eq!(manager.next(), running(&server, start));
        server.falls_asleep();
        assert!(manager.rest().is_empty(), "not ready yet");
        fs::write(server.path("go"), "").unwrap();
        assert_eq!(manager.next(), "READY=1");
        let old = server.child_start(start - 1);
        env.wait_for("the end of the old one", || (!crate::support::alive(old)).then_some(()));
    }
    server.falls_asleep();
    assert!(manager.rest().is_empty());
}

fn reload_is_over_when_the_time_is(env: &TestEnv) {
    let (setup, manager) = told(env);
    let server = setup.opts(["--notify", "--overlap", "10"]).child(["wait"]).start();
    manager.expect([&*running(&server, 1), "READY=1"]);
    server.signal(Signal::SIGUSR2);
    expect_reloading(&manager.next());
    assert!(manager.next().starts_with("STATUS=Child ioc running, PID "));
    assert_eq!(manager.next(), "READY=1");
}

fn reload_that_fails_is_over_too(env: &TestEnv) {
    let (setup, manager) = told(env);
    let steps = ["on-start", "1", "wait", "otherwise", "exit", "1"];
    let server: TestServer = setup.opts(LONG).child(steps).start();
    let first = running(&server, 1);
    manager.expect([&*first, "READY=1"]);
    server.signal(Signal::SIGUSR2);
    expect_reloading(&manager.next());
    let second = manager.next();
    assert!(second != first && second.starts_with("STATUS=Child ioc running"), "{second}");
    manager.expect([&*first, "READY=1"]);
}

fn with_ready_only_the_text_counts(env: &TestEnv) {
    let (setup, manager) = told(env);
    let steps = ["on-start", "1", "say", "I am up", "wait", "otherwise", "notify", "READY=1"];
    let options = ["--ready", "I am up", "--overlap", "4000000000"];
    let server = setup.opts(options).child(steps.into_iter().chain(["wait"])).start();
    let first = running(&server, 1);
    manager.expect([&*first.replace("running", "starting"), &*first, "READY=1"]);
    server.signal(Signal::SIGUSR2);
    let old = server.child_start(1);
    env.wait_for("the end of the old one", || (!crate::support::alive(old)).then_some(()));
    server.falls_asleep();
    assert_eq!(manager.rest(), [running(&server, 2)]);
}

fn without_overlap_the_signal_is_no_reload(env: &TestEnv) {
    let (setup, manager) = told(env);
    let server = setup.opts(["--notify"]).child(["wait"]).start();
    manager.expect([&*running(&server, 1), "READY=1"]);
    server.signal(Signal::SIGUSR2);
    server.falls_asleep();
    assert!(manager.rest().is_empty());
}
