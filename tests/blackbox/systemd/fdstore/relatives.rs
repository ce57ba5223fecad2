//! Processes around the child after a crash: the daemon that it became, and those that are none of its.

use super::is_told;
use super::store::Unit;
use crate::support::{Client, TestEnv, alive, cases, number_after};
use crate::systemd::manager::user;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

cases![
    daemon_that_is_waited_for_is_found_by_the_next_server,
    stranger_in_the_pid_file_is_no_daemon,
    children_of_the_launcher_are_no_orphans,
];

const DAEMON: [&str; 4] = ["--child-pidfile", "daemon.pid", "--holdoff", "1000"];

/// A service whose server was killed while it waited for the daemon that its child became.
fn waiting(env: &TestEnv, steps: &[&str]) -> Unit {
    let child = [&["daemonize"], steps, &[";", "exit", "0"]].concat();
    let mut unit = Unit::start(env, &DAEMON, &child);
    env.wait_for("the server to wait for the daemon", || {
        let console = format!("{:?}", unit.store.state().console);
        console.contains("AwaitingDaemon").then_some(())
    });
    unit.kill_now();
    unit
}

fn daemon_that_is_waited_for_is_found_by_the_next_server(env: &TestEnv) {
    for is_late in [false, true] {
        let mut unit =
            waiting(env, &["record", "started", "wait-for", "go", "record", "daemon.pid", "wait"]);
        let daemon = number_after(&unit.server.file_with("started", "\n"), "");
        if !is_late {
            fs::write(unit.server.path("go"), "").unwrap();
            unit.server.file_with("daemon.pid", "\n");
        }
        unit.next();
        let mut user = user(&unit.server);
        if is_late {
            fs::write(unit.server.path("go"), "").unwrap();
            user.until(format!("new child \"ioc\" is: {daemon}\r\n"));
        }
        env.wait_for("the daemon to be the child", || {
            let child = unit.store.state().child;
            (child.map(|child| child.pid) == Some(daemon)).then_some(())
        });
        assert_eq!(unit.starts(), 1);
        // It is the child of the next one, too.
        unit.kill_asleep();
        unit.next();
        is_told(&mut user);
        assert!(alive(daemon));
        user.send(b"\x18");
        user.until(format!("sigChild for process {daemon}. "));
        assert!(!alive(daemon));
    }
}

fn stranger_in_the_pid_file_is_no_daemon(env: &TestEnv) {
    let mut unit = waiting(env, &["record", "started", "wait"]);
    // Older than the child.
    fs::write(unit.server.path("daemon.pid"), format!("{}\n", std::process::id())).unwrap();
    unit.next();
    let mut user = user(&unit.server);
    user.until(format!("names process {}, which is none of the child's", std::process::id()));
}

fn children_of_the_launcher_are_no_orphans(env: &TestEnv) {
    let options = ["--kill-orphans", "--holdoff", "0", "-L", "log"];
    let mut unit = Unit::start(env, &options, &["cat"]);
    let mut user = user(&unit.server);
    unit.kill(&super::WITH_CLIENT);
    unit.next_after(&["background", "record", "elder", "wait", ";", "wait-for", "elder"]);
    is_told(&mut user);
    let elder = number_after(&unit.server.file_with("elder", "\n"), "");
    let is_left_alone = |user: &mut Client| {
        user.send(b"\x18");
        user.until("new child \"ioc\" is: ");
        user.until("@@@ @@@\r\n");
        assert!(alive(elder));
    };
    unit.server.signal(Signal::SIGUSR1);
    unit.server.file_with("log", "upgraded in place");
    is_left_alone(&mut user);
    is_left_alone(&mut user);
    assert_eq!(unit.server.terminate().code(), Some(0));
    assert!(alive(elder));
    kill(Pid::from_raw(elder), Signal::SIGKILL).unwrap();
}
