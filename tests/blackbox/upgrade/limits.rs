//! Where there is little left: descriptors, time, room on the disk.

use crate::support::dialogue::{gone, line, started};
use crate::support::{Client, TestEnv, alive, cases, find, stat};
use crate::upgrade::ask::{count, upgrade, upgrade_by};
use nix::sys::signal::Signal;
use nix::unistd::{SysconfVar, sysconf};
use std::fs;

cases![
    few_descriptors_and_many_clients,
    thousands_of_clients,
    grace_period_goes_on,
    grace_period_ends_in_time,
    log_that_fails_is_tried_again,
    stamped_log_that_fails_is_tried_again,
];

/// More come than can be served; those who wait are served by a later server.
fn few_descriptors_and_many_clients(env: &TestEnv) {
    let setup = env.server().launched_by(["limit-files", "64", "64"]).logged();
    let (server, mut user) = started(setup);
    let mut others: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    user.expect("@@@ Endpoint unix:ctl: Too many open files, new connections have to wait\n");
    others[0].greeting();
    for round in 0..3 {
        upgrade(env, &server);
        let word = format!("round {round}");
        user.send(format!("{word}\n"));
        user.until(format!("{word}\r\n{word}\r\n"));
        others[0].until(format!("{word}\r\n{word}\r\n"));
    }
    others.drain(..40);
    others.iter_mut().for_each(|other| drop(other.greeting()));
    assert_eq!(server.terminate().code(), Some(0));
}

fn thousands_of_clients(env: &TestEnv) {
    let setup = env.server().launched_by(["limit-files", "4096", "4096"]).logged();
    let (server, mut user) = started(setup);
    let mut others: Vec<Client> = (0..2000).map(|_| server.connect()).collect();
    others.iter_mut().for_each(|other| drop(other.greeting()));
    upgrade(env, &server);
    others[1999].send("hello\n");
    user.expect("hello\nhello\n");
    others.iter_mut().for_each(|other| other.expect("hello\nhello\n"));
    line(&server.connect().greeting(), "@@@ 2001 user(s) and 0 logger(s) connected (plus you)");
}

/// When a process was started, and now, in seconds since boot.
fn age(pid: i32) -> f64 {
    let ticks: f64 = stat(pid).unwrap()[19].parse().unwrap();
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    uptime - ticks / sysconf(SysconfVar::CLK_TCK).unwrap().unwrap() as f64
}

fn grace_period_goes_on(env: &TestEnv) {
    let child = ["block", "SIGTERM", "say", "READY", "await", "SIGTERM", "say", "GOT"];
    let child = [&child[..], &["wait-for", "go", "say", "bye"]].concat();
    let options = ["--killsig", "15", "--grace-period", "1000"];
    let (server, mut user) = started(env.server().logged().opts(options).child(child));
    user.until("READY\r\n");
    let pid = server.child_start(1);
    server.signal(Signal::SIGTERM);
    user.until("GOT\r\n");
    upgrade(env, &server);
    assert!(alive(pid));
    fs::write(server.path("go"), "").unwrap();
    user.until("bye\r\n");
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(!server.path("ctl").exists());
}

fn grace_period_ends_in_time(env: &TestEnv) {
    let child = ["block", "SIGTERM", "say", "READY", "wait"];
    let options = ["--killsig", "15", "--grace-period", "3"];
    let (server, mut user) = started(env.server().logged().opts(options).child(child));
    user.until("READY\r\n");
    let pid = server.child_start(1);
    upgrade_by(env, &server, "log", || {
        server.signal(Signal::SIGTERM);
        server.signal(Signal::SIGUSR1);
    });
    let before = age(pid);
    assert!(alive(pid) && before < 3.0, "{before} s");
    assert_eq!(server.wait_exit().code(), Some(0));
    gone(env, pid);
    user.until_end();
}

/// Its size is limited; truncating it makes room. What is missing is told by a later server.
fn fails_and_works_again(env: &TestEnv, options: &[&str]) {
    let setup = env.server().launched_by(["limit-file-size", "16384", "16384"]).logged();
    // What is left of it when it works again fits in.
    let child = ["raw", "emit", "20032", "say", "END", "cat"];
    let (server, mut user) = started(setup.opts(options).child(child));
    let told = "@@@ Log file log: File too large, output is not being logged\r\n";
    user.until_all([told, "END\r\n"]);
    server.signal(Signal::SIGUSR1);
    let environment = format!("/proc/{}/environ", server.pid());
    env.wait_for("the upgrade", || {
        find(&fs::read(&environment).ok()?, b"PROCSERV_HANDOVER=").map(drop)
    });
    user.send("meanwhile\n");
    user.until("meanwhile\r\n");
    let full = server.file("log");
    assert_eq!(full.len(), 16_384);
    fs::File::options().write(true).open(server.path("log")).unwrap().set_len(0).unwrap();
    server.file_with("log", " bytes are missing here\r\n");
    user.send("hello\n");
    user.until("hello\r\n");
    let log = server.file_with("log", "hello\r\n");
    assert_eq!(count(&log, b"File too large"), 0);
    assert_eq!(count(&log, b" bytes are missing here"), 1);
    // It was told once, and by one server.
    assert_eq!(count(user.received(), b"output is not being logged"), 1);
    upgrade(env, &server);
    user.send("end\n");
    user.until("end\r\n");
    server.file_with("log", "end\r\n");
}

fn log_that_fails_is_tried_again(env: &TestEnv) {
    fails_and_works_again(env, &[]);
}

fn stamped_log_that_fails_is_tried_again(env: &TestEnv) {
    fails_and_works_again(env, &["--logstamp=STAMP "]);
}
