//! `--child-pidfile`: a child that makes itself a daemon stays the child.

use crate::child::reduced;
use crate::support::dialogue::started;
use crate::support::{
    Client, ServerBuilder, TestEnv, TestServer, alive, cases, number_after, parent_of,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

const OPTIONS: [&str; 6] = ["--child-pidfile", "daemon.pid", "--holdoff", "0", "-n", "ioc"];

cases![
    daemon_is_announced_by_one_line,
    daemon_is_killed_by_the_kill_command_with_its_group,
    daemon_without_a_terminal_is_no_end,
    daemon_has_an_exit_status,
    daemon_decides_the_servers_exit_status,
    daemon_is_ended_by_sigterm,
    daemon_gets_a_grace_period,
    daemon_may_have_a_parent,
    daemon_stays_the_child_over_an_upgrade,
    daemon_that_is_waited_for_survives_an_upgrade,
    daemon_keeps_its_console,
    daemon_that_dies_is_back,
    program_that_stays_is_an_ordinary_child,
];

/// A daemon that does these steps once it has told its PID.
pub(super) fn daemon(steps: &[&str]) -> Vec<String> {
    let all = [&["daemonize", "record", "daemon.pid"], steps, &[";", "exit", "0"]].concat();
    all.into_iter().map(str::to_owned).collect()
}

pub(super) fn setup(env: &TestEnv) -> ServerBuilder {
    env.server().logged().opts(OPTIONS)
}

/// The next daemon, by its one line and nothing else.
pub(super) fn next(env: &TestEnv, server: &TestServer, user: &mut Client) -> i32 {
    let line = user.until("\r\n");
    server.assert_console(&line, "@@@ The PID of new child \"ioc\" is: <pid>\n");
    let pid = number_after(&line, "is: ");
    assert_eq!(server.file("daemon.pid"), format!("{pid}\n").as_bytes());
    assert!(alive(pid));
    // Its status is the server's to have as soon as the process has ended that started it.
    env.wait_for("the daemon to be the server's", || {
        (parent_of(pid)? == server.pid()).then_some(())
    });
    pid
}

fn running(env: &TestEnv, options: &[&str], steps: &[&str]) -> (TestServer, Client, i32) {
    let (server, mut user) = started(setup(env).opts(options).child(daemon(steps)));
    let pid = next(env, &server, &mut user);
    (server, user, pid)
}

fn daemon_is_announced_by_one_line(env: &TestEnv) {
    let (server, _user, pid) = running(env, &[], &["wait"]);
    assert_ne!(server.child_start(1), pid);
    assert!(!alive(server.child_start(1)));
    // The process in between may take a moment to go.
    env.wait_for("a daemon of the server's", || {
        (parent_of(pid) == Some(server.pid())).then_some(())
    });
    let greeting = server.connect().greeting();
    assert_eq!(number_after(&greeting, "Child \"ioc\" PID: "), pid);
    // A thread of its own writes the log, perhaps after the users have got it.
    server.assert_console(
        server.file_with("log", format!("is: {pid}\r\n")),
        "@@@ Restarting child \"ioc\"\n@@@    (as ./fake-ioc)\n\
        @@@ The PID of new child \"ioc\" is: <pid>\n@@@ @@@ @@@ @@@ @@@\n\
        @@@ The PID of new child \"ioc\" is: <pid>\n",
    );
}

fn daemon_is_killed_by_the_kill_command_with_its_group(env: &TestEnv) {
    let script = "\
        rm -f helper
        setsid sh -c 'sleep 1000 & echo $! > helper; echo $$ > daemon.pid; sleep 1000' &
        exit 0";
    let (server, mut user) = started(setup(env).command(["/bin/sh", "-c", script]));
    user.until("new child \"ioc\" is: ");
    let pid = number_after(&server.file_with("daemon.pid", "\n"), "");
    let helper = number_after(&server.file_with("helper", "\n"), "");
    assert!(alive(helper));
    user.send(b"\x18");
    user.until(format!(
        "\r\n@@@ Got a kill command\r\n\r\n@@@ @@@ @@@ @@@ @@@\r\n\
        @@@ Received a sigChild for process {pid}. The process was killed by signal 9\r\n"
    ));
    user.until("@@@ Restarting child");
    assert!(!alive(pid));
    // It got the same signal, but nobody waits for its end.
    env.wait_for("the end of the helper", || (!alive(helper)).then_some(()));
}

fn daemon_without_a_terminal_is_no_end(env: &TestEnv) {
    let (server, mut user, pid) = running(env, &[], &["close-tty", "record", "closed", "wait"]);
    server.file_with("closed", "\n");
    server.falls_asleep();
    // What is typed goes nowhere.
    user.send(b"typed\r");
    assert!(alive(pid));
    user.send(b"\x18");
    user.until(format!("sigChild for process {pid}. The process was killed by signal 9\r\n"));
    user.until("new child \"ioc\" is: ");
}

fn daemon_has_an_exit_status(env: &TestEnv) {
    let (server, mut user, pid) =
        running(env, &["--noautorestart"], &["close-tty", "wait-for", "go", "exit", "7"]);
    fs::write(server.path("go"), "").unwrap();
    user.expect(
        "\n@@@ @@@ @@@ @@@ @@@\n\
        @@@ Received a sigChild for process <pid>. Normal exit status = 7\n\
        @@@ Current time: <time>\n\
        @@@ Child process is shutting down, auto restart is disabled\n\
        @@@ ^R or ^X restarts the child, ^Q quits the server\n",
    );
    assert!(!alive(pid));
    user.send(b"\x11");
    assert_eq!(server.wait_exit().code(), Some(7));
}

fn daemon_decides_the_servers_exit_status(env: &TestEnv) {
    for (last, status) in [(["exit", "5"], 5), (["kill-self", "SIGUSR1"], 138)] {
        let setup = setup(env).opts(["--oneshot", "--signal-status"]);
        let steps = [&["wait-for", "go"][..], &last].concat();
        let (server, mut user) = started(setup.child(daemon(&steps)));
        next(env, &server, &mut user);
        fs::write(server.path("go"), "").unwrap();
        assert_eq!(server.wait_exit().code(), Some(status));
    }
}

fn daemon_is_ended_by_sigterm(env: &TestEnv) {
    let (server, _user, pid) = running(env, &[], &["wait"]);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!alive(pid));
}

fn daemon_gets_a_grace_period(env: &TestEnv) {
    let options = ["--killsig", "TERM", "-g", "1000"];
    let steps = ["block", "SIGTERM", "record", "deaf", "await", "SIGTERM", "record", "asked"];
    let (server, _user, pid) = running(env, &options, &steps);
    server.file_with("deaf", "\n");
    assert_eq!(server.terminate().code(), Some(0));
    assert!(server.path("asked").exists() && !alive(pid));
}

fn daemon_may_have_a_parent(env: &TestEnv) {
    // As under a guard that would start it again.
    let script = "\
        test -e done && exit 3
        setsid sh -c 'sh -c \"echo \\$\\$ > daemon.pid; exec sleep 1000\"; sleep 1000' &
        exit 0";
    let (server, mut user) = started(setup(env).command(["/bin/sh", "-c", script]));
    user.until("new child \"ioc\" is: ");
    let pid = number_after(&server.file_with("daemon.pid", "\n"), "");
    assert_ne!(parent_of(pid), Some(server.pid()));
    fs::write(server.path("done"), "").unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    user.until(format!("\r\n@@@ Received a sigChild for process {pid}. "));
    user.until("Normal exit status = 3\r\n");
}

fn daemon_stays_the_child_over_an_upgrade(env: &TestEnv) {
    let (server, mut user, pid) =
        running(env, &["--noautorestart"], &["close-tty", "wait-for", "go", "exit", "7"]);
    for count in 1..=2 {
        server.signal(Signal::SIGUSR1);
        env.wait_for("an upgrade", || {
            let log = String::from_utf8_lossy(&server.file("log")).into_owned();
            (log.matches("upgraded in place").count() == count).then_some(())
        });
    }
    assert_eq!(number_after(&server.connect().greeting(), "Child \"ioc\" PID: "), pid);
    fs::write(server.path("go"), "").unwrap();
    user.until(format!("sigChild for process {pid}. Normal exit status = 7\r\n"));
}

fn daemon_that_is_waited_for_survives_an_upgrade(env: &TestEnv) {
    let steps = ["daemonize", "wait-for", "go", "record", "daemon.pid", "wait", ";", "exit", "0"];
    let (server, mut user) = started(setup(env).child(steps));
    env.wait_for("the end of the first process", || (!alive(server.child_start(1))).then_some(()));
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "upgraded in place");
    fs::write(server.path("go"), "").unwrap();
    let pid = next(env, &server, &mut user);
    user.send(b"\x18");
    user.until(format!("sigChild for process {pid}. The process was killed by signal 9\r\n"));
}

fn daemon_keeps_its_console(env: &TestEnv) {
    let (server, mut user, _) = running(env, &[], &["wait-for", "go", "say", "UP", "cat"]);
    fs::write(server.path("go"), "").unwrap();
    user.expect("UP\n");
    user.send("hello\n");
    // The terminal's echo, and the answer.
    user.expect("hello\nhello\n");
}

fn daemon_that_dies_is_back(env: &TestEnv) {
    let count = reduced(5, 100);
    let (server, mut user, mut pid) = running(env, &[], &["close-tty", "wait"]);
    for _ in 0..count {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        user.until(format!("sigChild for process {pid}. The process was killed by signal 9\r\n"));
        user.until("@@@ @@@ @@@ @@@ @@@\r\n");
        let before = std::mem::replace(&mut pid, next(env, &server, &mut user));
        assert!(!alive(before));
        // The server and the daemon, and nobody else as soon as the one in between has gone.
        let dir = server.path("log").parent().unwrap().to_owned();
        let expected = [server.pid(), pid];
        env.wait_for("one daemon", || {
            let there = crate::support::processes_with(&dir);
            (there.len() == 2 && expected.iter().all(|pid| there.contains(pid))).then_some(())
        });
    }
    assert_eq!(server.file("starts").split(|byte| *byte == b'\n').count(), count + 2);
}

fn program_that_stays_is_an_ordinary_child(env: &TestEnv) {
    let (server, mut user) =
        started(setup(env).child(["say", "UP", "wait-for", "go", "exit", "9"]));
    user.expect("UP\n");
    fs::write(server.path("go"), "").unwrap();
    user.until(format!(
        "sigChild for process {}. Normal exit status = 9\r\n",
        server.child_start(1)
    ));
    user.until("new child \"ioc\" is: ");
}
