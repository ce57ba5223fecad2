//! `--child-pidfile` when there is no daemon, or the file names somebody else.

use crate::child::daemon::{daemon, next, setup};
use crate::support::dialogue::started;
use crate::support::{TestEnv, TestServer, alive, cases, number_after};
use nix::sys::signal::Signal;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

cases![
    pidfile_that_names_nobody_of_ours_is_refused,
    pidfile_that_never_comes_ends_in_a_restart,
    pidfile_of_last_time_is_removed_before_a_start,
    pidfile_that_is_no_file_is_left_alone,
    first_process_that_fails_is_not_waited_for,
    kill_command_ends_the_wait,
    sigterm_ends_the_wait,
];

/// Starts a server whose daemon writes what is no PID of it.
fn lies(env: &TestEnv, lie: &str) -> TestServer {
    let script = format!(
        "export SERVER=$PPID FIRST=$$
        setsid sh -c 'echo $$ > really; printf \"%b\" \"{lie}\" > daemon.pid; sleep 1000' &
        exit 0"
    );
    setup(env).opts(["--noautorestart"]).command(["/bin/sh", "-c", &script]).start()
}

fn pidfile_that_names_nobody_of_ours_is_refused(env: &TestEnv) {
    let env = &env.with_timeout(Duration::from_secs(40));
    let mut stranger = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let none = |pid: &str| format!("names process {pid}, which is none of the child's");
    let [foreign, gone] = [stranger.id(), dead.id()].map(|pid| pid.to_string());
    let cases = [
        (foreign.as_str(), none(&foreign)),
        (&gone, none(&gone)),
        ("2147483647", none("2147483647")),
        ("$SERVER", "is none of the child's".to_owned()),
        ("$FIRST", "is none of the child's".to_owned()),
        ("1", "holds no PID".to_owned()),
        ("0", "holds no PID".to_owned()),
        ("-1", "holds no PID".to_owned()),
        ("99999999999999999999", "holds no PID".to_owned()),
        ("", "holds no PID".to_owned()),
        ("garbage", "holds no PID".to_owned()),
        ("\\\\0377\\\\0000\\\\n12", "holds no PID".to_owned()),
    ];
    let servers: Vec<_> = cases.iter().map(|(lie, why)| (lies(env, lie), why, lie)).collect();
    for (server, why, lie) in &servers {
        let log = server.file_with("log", "quits the server\r\n");
        let log = String::from_utf8_lossy(&log).into_owned();
        let line = log.lines().find(|line| line.contains("left no daemon"));
        let line = line.unwrap_or_else(|| panic!("nothing said of {lie}: {log}"));
        assert!(
            line.starts_with("@@@ Child \"ioc\" left no daemon: PID file daemon.pid "),
            "{line}"
        );
        assert!(line.ends_with(why.as_str()), "{line} for {lie}");
        assert!(log.contains(". Normal exit status = 0\r\n"), "{log}");
        let really = number_after(&server.file("really"), "");
        env.wait_for("the end of the daemon", || (!alive(really)).then_some(()));
    }
    assert!(stranger.try_wait().unwrap().is_none(), "it was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    for (server, ..) in servers {
        assert_eq!(server.terminate().code(), Some(0));
    }
}

fn pidfile_that_never_comes_ends_in_a_restart(env: &TestEnv) {
    let env = &env.with_timeout(Duration::from_secs(40));
    let child = ["daemonize", "record", "really", "wait", ";", "exit", "0"];
    let (server, mut user) = started(setup(env).child(child));
    server.assert_console(
        user.until("@@@ @@@ @@@ @@@ @@@\r\n@@@ Received"),
        "@@@ Child \"ioc\" left no daemon: PID file daemon.pid can't be read: No such file or \
        directory\n\n@@@ @@@ @@@ @@@ @@@\n@@@ Received",
    );
    let first = number_after(&user.until(". Normal exit status = 0\r\n"), "for process ");
    assert_eq!(first, server.child_start(1));
    let really = number_after(&server.file("really"), "");
    user.until("@@@ Restarting child");
    assert!(!alive(really));
}

fn pidfile_of_last_time_is_removed_before_a_start(env: &TestEnv) {
    let script = "test -e daemon.pid && echo THERE || echo GONE; sleep 1000";
    let setup = setup(env).with_file("daemon.pid", "1\n");
    let (server, mut user) = started(setup.command(["/bin/sh", "-c", script]));
    user.expect("GONE\n");
    fs::write(server.path("daemon.pid"), "2\n").unwrap();
    user.send(b"\x18");
    user.until("GONE\r\n");
}

fn pidfile_that_is_no_file_is_left_alone(env: &TestEnv) {
    let setup = setup(env).with_file("precious", "x");
    std::os::unix::fs::symlink("precious", setup.path("daemon.pid")).unwrap();
    let (server, mut user) = started(setup.child(["say", "UP", "wait"]));
    user.expect("UP\n");
    assert_eq!(server.file("precious"), b"x");
    assert!(server.path("daemon.pid").is_symlink());
}

fn first_process_that_fails_is_not_waited_for(env: &TestEnv) {
    let child = daemon(&["wait"]);
    let child = child[..child.len() - 2].iter().map(String::as_str);
    let child = child.chain(["wait-for", "daemon.pid", "exit", "1"]);
    let (server, mut user) = started(setup(env).opts(["--noautorestart"]).child(child));
    let first = server.child_start(1);
    user.until(format!("sigChild for process {first}. Normal exit status = 1\r\n"));
    let daemon = number_after(&server.file("daemon.pid"), "");
    env.wait_for("the end of what is no daemon", || (!alive(daemon)).then_some(()));
}

fn kill_command_ends_the_wait(env: &TestEnv) {
    let child = ["on-start", "1", "daemonize", "record", "really", "wait", ";", "exit", "0"];
    let child = child.iter().copied().chain(["otherwise"]);
    let second = daemon(&["wait"]);
    let child: Vec<&str> = child.chain(second.iter().map(String::as_str)).collect();
    let (server, mut user) = started(setup(env).child(child));
    env.wait_for("the end of the first process", || (!alive(server.child_start(1))).then_some(()));
    let really = number_after(&server.file_with("really", "\n"), "");
    user.send(b"\x18");
    user.until("Got a kill command\r\n");
    user.until(". Normal exit status = 0\r\n");
    user.until("@@@ @@@ @@@ @@@ @@@\r\n");
    assert!(!alive(really));
    next(env, &server, &mut user);
}

fn sigterm_ends_the_wait(env: &TestEnv) {
    let child = ["daemonize", "record", "really", "wait", ";", "exit", "0"];
    let (server, _user) = started(setup(env).child(child));
    env.wait_for("the end of the first process", || (!alive(server.child_start(1))).then_some(()));
    let really = number_after(&server.file_with("really", "\n"), "");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(!alive(really));
}
