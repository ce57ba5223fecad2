//! The child, its restarts, and those that are started later.

use crate::support::dialogue::{RULE, gone, line, started};
use crate::support::{Client, TestEnv, TestServer, cases, show, stat};
use crate::upgrade::ask::{assert_echo, upgrade};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};
use std::fs;

cases![
    child_keeps_its_terminal,
    restart_that_is_due_comes_in_time,
    holdoff_counts_from_the_childs_start,
    mode_off_stays_off,
    oneshot_ends_the_server_with_the_childs_status,
    oneshot_from_the_start_starts_none_more,
    child_that_was_never_started_stays_so,
    later_children_are_as_earlier_ones,
    orphans_of_the_child_live_on,
    kill_command_works,
];

fn child_keeps_its_terminal(env: &TestEnv) {
    let steps = ["show-session", "wait-for", "go", "show-session", "show-fds", "cat"];
    let (server, mut user) = started(env.server().logged().child(steps));
    user.expect("session: leader true, group true, terminal true\n");
    let child = server.child_start(1);
    let parent = stat(child).unwrap()[1].clone();
    upgrade(env, &server);
    fs::write(server.path("go"), "").unwrap();
    user.expect("session: leader true, group true, terminal true\nfds: 0 1 2\n");
    assert_echo(&mut user, "hello");
    assert_eq!(stat(child).unwrap()[1], parent);
}

/// When a process was started, in seconds since boot.
fn start_of(pid: i32) -> f64 {
    let ticks: f64 = stat(pid).unwrap()[19].parse().unwrap();
    ticks / sysconf(SysconfVar::CLK_TCK).unwrap().unwrap() as f64
}

fn restarts_after(env: &TestEnv, upgrade_first: bool) {
    let child = ["on-start", "1", "wait-for", "go", "exit", "0", "otherwise", "cat"];
    let setup = env.server().logged().opts(["--holdoff", "3"]).child(child);
    let (server, mut user) = started(setup);
    let first = start_of(server.child_start(1));
    if upgrade_first {
        upgrade(env, &server);
    }
    fs::write(server.path("go"), "").unwrap();
    user.until("^Q quits the server\r\n");
    if !upgrade_first {
        upgrade(env, &server);
        assert_eq!(starts(&server), 1);
    }
    let waited = start_of(server.child_start(2)) - first;
    assert!((2.9..8.0).contains(&waited), "{waited} s");
    user.until(RULE);
    assert_echo(&mut user, "hello");
}

fn restart_that_is_due_comes_in_time(env: &TestEnv) {
    restarts_after(env, false);
}

fn holdoff_counts_from_the_childs_start(env: &TestEnv) {
    restarts_after(env, true);
}

/// A server whose child ends when the file `go` is there, in the mode that so many ^T set.
fn toggled(env: &TestEnv, toggles: &[&str]) -> (TestServer, Client) {
    let child = ["wait-for", "go", "exit", "7"];
    let setup = env.server().logged().opts(["--holdoff", "0"]).child(child);
    let (server, mut user) = started(setup);
    for mode in toggles {
        user.send(b"\x14");
        user.expect(&format!("\n@@@ Toggled auto restart mode to {mode}\n"));
    }
    upgrade(env, &server);
    (server, user)
}

fn mode_off_stays_off(env: &TestEnv) {
    let (server, mut user) = toggled(env, &["OFF"]);
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ Use ^X to kill the child, auto restart mode is OFF");
    fs::write(server.path("go"), "").unwrap();
    user.until("Normal exit status = 7\r\n");
    user.until("^Q quits the server\r\n");
    upgrade(env, &server);
    fs::remove_file(server.path("go")).unwrap();
    user.send(b"\x12");
    user.until(RULE);
    server.child_start(2);
}

fn oneshot_ends_the_server_with_the_childs_status(env: &TestEnv) {
    let (server, mut user) = toggled(env, &["OFF", "ONESHOT"]);
    fs::write(server.path("go"), "").unwrap();
    user.until("oneshot mode: server will exit\r\n");
    assert_eq!(server.wait_exit().code(), Some(7));
    // Chosen on a running child, this mode starts one more.
    assert_eq!(starts(&server), 2);
}

fn oneshot_from_the_start_starts_none_more(env: &TestEnv) {
    let setup = env.server().logged().opts(["-o", "--holdoff", "0"]);
    let (server, mut user) = started(setup.child(["wait-for", "go", "exit", "7"]));
    upgrade(env, &server);
    fs::write(server.path("go"), "").unwrap();
    user.until("oneshot mode: server will exit\r\n");
    assert_eq!(server.wait_exit().code(), Some(7));
    assert_eq!(starts(&server), 1);
}

fn starts(server: &TestServer) -> usize {
    server.file("starts").iter().filter(|byte| **byte == b'\n').count()
}

fn child_that_was_never_started_stays_so(env: &TestEnv) {
    let server = env.server().logged().opts(["-w"]).start();
    let mut user = server.connect();
    let before = user.greeting();
    upgrade(env, &server);
    upgrade(env, &server);
    let mut other = server.connect();
    let after = other.greeting();
    assert_eq!(show(&before).replace("@@@ 0 user(s)", "@@@ 1 user(s)"), show(&after));
    assert!(!server.path("starts").exists());
    user.send(b"\x12");
    user.until(RULE);
    assert_echo(&mut user, "hello");
    assert_eq!(server.terminate().code(), Some(0));
}

fn later_children_are_as_earlier_ones(env: &TestEnv) {
    let shows = ["show-env PROCSERV_HANDOVER", "show-env PROCSERV_INFO", "show-env LANG"];
    let status = ["SigBlk:", "SigIgn:", "SigCgt:"].map(|name| format!("show-status {name}"));
    let limits = ["show-limit=Max open files", "show-limit=Max core file size"];
    let limits = limits.iter().flat_map(|limit| limit.split('='));
    let steps = shows.iter().copied().chain(status.iter().map(String::as_str));
    let steps = steps.flat_map(|step| step.split(' ')).chain(limits);
    let steps = steps.chain(["show-cwd", "show-session", "show-fds", "say", "END", "wait"]);
    let port = env.free_port().to_string();
    let setup = env.server().logged().log_endpoint().opts(["-P", &port, "-c", "work"]);
    let setup = setup.opts(["--coresize", "4096", "--holdoff", "0"]).env("LANG", "C");
    fs::create_dir(setup.path("work")).unwrap();
    let fake = setup.path("fake-ioc").into_os_string();
    let command = [fake].into_iter().chain(steps.map(Into::into));
    let setup = setup.launched_by(["limit-files", "256", "4096", "block", "SIGTERM", "open-fd"]);
    let (server, mut user) = started(setup.command(command));
    let first = show(&user.until("END\r\n"));
    assert!(first.contains("PROCSERV_HANDOVER unset"), "{first}");
    assert!(first.contains("Max open files 256 4096"), "{first}");
    for _ in 0..2 {
        upgrade(env, &server);
        user.send(b"\x18");
        user.until("^Q quits the server\r\n");
        user.until(RULE);
        assert_eq!(show(&user.until("END\r\n")), first);
    }
}

fn orphans_of_the_child_live_on(env: &TestEnv) {
    let orphan = ["background", "setsid", "record", "orphan", "wait-for", "end", ";"];
    let child = [&orphan[..], &["wait-for", "orphan", "cat"]].concat();
    let (server, mut user) = started(env.server().logged().child(child));
    assert_echo(&mut user, "hello");
    let orphan: i32 = String::from_utf8(server.file("orphan")).unwrap().trim().parse().unwrap();
    upgrade(env, &server);
    assert_echo(&mut user, "again");
    assert!(crate::support::alive(orphan));
    fs::write(server.path("end"), "").unwrap();
    gone(env, orphan);
}

fn kill_command_works(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged().opts(["--holdoff", "0"]));
    let first = server.child_start(1);
    upgrade(env, &server);
    user.send(b"\x18");
    user.until(format!("for process {first}. The process was killed by signal 9\r\n"));
    let second = server.child_start(2);
    upgrade(env, &server);
    kill(Pid::from_raw(second), Signal::SIGTERM).unwrap();
    user.until(format!("for process {second}. The process was killed by signal 15\r\n"));
    server.child_start(3);
    upgrade(env, &server);
    assert_eq!(server.terminate().code(), Some(0));
    gone(env, server.child_start(3));
}
