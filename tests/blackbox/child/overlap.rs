//! `--overlap`: a new child beside the old one.

use super::listen::{ask, upgrade};
use crate::support::{Client, ServerBuilder, TestEnv, TestServer, alive, cases, number_after};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

cases![
    old_child_ends_when_the_time_is_over,
    reload_command_does_the_same,
    new_child_that_ends_first_changes_nothing,
    old_child_that_ends_first_is_told_of,
    old_child_is_killed_after_its_grace,
    old_child_has_the_grace_period_given,
    input_goes_to_the_new_child,
    lines_of_both_are_whole,
    kill_command_is_for_both,
    sigterm_is_for_both,
    sigterm_waits_for_both,
    one_more_after_it,
    oneshot_looks_at_the_new_child,
    holdoff_looks_at_the_new_child,
    without_a_child_one_is_started,
    without_overlap_it_is_ignored,
    upgrade_keeps_both,
    bad_values_are_errors,
];

pub(super) fn logged(env: &TestEnv, options: &[&str]) -> ServerBuilder {
    env.server().opts(["-n", "web", "--holdoff", "1", "-L", "log"]).opts(options)
}

/// Another child is asked for.
pub(super) fn reload(server: &TestServer) {
    server.signal(Signal::SIGUSR2);
}

pub(super) fn user(server: &TestServer) -> Client {
    server.child_start(1);
    let mut user = server.connect();
    user.greeting();
    user
}

fn block(pid: i32) -> String {
    format!(
        "@@@ Restarting child \"web\"\n@@@    (as ./fake-ioc)\n\
         @@@ The PID of new child \"web\" is: {pid}\n@@@ @@@ @@@ @@@ @@@\n"
    )
}

pub(super) fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

pub(super) fn killed(pid: i32, signal: i32) -> String {
    format!(
        "@@@ Received a sigChild for process {pid}. The process was killed by signal {signal}\n"
    )
}

fn old_child_ends_when_the_time_is_over(env: &TestEnv) {
    // That both run until then is seen where nothing but READY=1 ends it.
    let server = logged(env, &["--overlap", "300"]).child(["wait"]).start();
    let mut user = user(&server);
    let begin = Instant::now();
    reload(&server);
    user.until("@@@ @@@ @@@ @@@ @@@\r\n");
    let (old, new) = (server.child_start(1), server.child_start(2));
    user.until(crlf(&killed(old, 15)));
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
    assert!(alive(new));
    let log = String::from_utf8(server.file_with("log", "signal 15\r\n")).unwrap();
    // The usual block, and one line.
    let rest = log.strip_prefix(&crlf(&block(old))).expect("the first start");
    assert_eq!(rest, crlf(&(block(new) + &killed(old, 15))));
    // The next greeting is about the new one.
    let mut next = server.connect();
    let greeting = next.greeting();
    assert_eq!(number_after(&greeting, "Child \"web\" PID: "), new);
}

fn reload_command_does_the_same(env: &TestEnv) {
    let options = ["--overlap", "0", "--reloadcmd", "^R^@"];
    let finished = env.server().opts(options).run();
    finished.assert(1, "", "procServ: --reloadcmd ^R^@ is no single character\n");
    let server = logged(env, &["--overlap", "0", "--reloadcmd", "^U"]).child(["hex"]).start();
    let mut user = user(&server);
    let mut watcher = server.connect();
    watcher.greeting();
    user.send(b"\x15");
    user.until(crlf(&killed(server.child_start(1), 15)));
    watcher.until("signal 15\r\n");
    let second = server.child_start(2);
    user.send(b"a\x15b\r");
    // What is typed with it is for the child.
    user.until_all([&*crlf(&killed(second, 15)), "61 62 0a \r\n"]);
}

/// The rest of the `number`th line of the log, from 1, that has `name` in it, after that.
pub(super) fn line_after(env: &TestEnv, server: &TestServer, name: &str, number: usize) -> String {
    env.wait_for(&format!("{name} in the log, {number} times"), || {
        let log = std::fs::read_to_string(server.path("log")).ok()?;
        let lines = log.split_inclusive("\r\n").filter_map(|line| line.strip_suffix("\r\n"));
        let mut found = lines.filter_map(|line| Some(line.split_once(name)?.1.to_owned()));
        found.nth(number - 1)
    })
}

fn new_child_that_ends_first_changes_nothing(env: &TestEnv) {
    let server = logged(env, &["--overlap", "4000000000"]);
    let steps = ["on-start", "1", "cat", "otherwise", "say", "hopeless", "exit", "7"];
    let server = server.child(steps).start();
    let mut user = user(&server);
    let old = server.child_start(1);
    for start in [2, 3] {
        reload(&server);
        let new = server.child_start(start);
        let end = format!(
            "hopeless\n@@@ Received a sigChild for process {new}. Normal exit status = 7\n\
             @@@ Child \"web\" is not replaced, process {old} goes on\n"
        );
        user.until(crlf(&(block(new) + &end)));
        user.send(b"hello\r");
        user.until("hello\r\nhello\r\n");
    }
    assert!(alive(old));
    let mut next = server.connect();
    assert_eq!(number_after(&next.greeting(), "Child \"web\" PID: "), old);
}

fn old_child_that_ends_first_is_told_of(env: &TestEnv) {
    let server = logged(env, &["--overlap", "4000000000"]).child(["wait"]).start();
    let mut user = user(&server);
    reload(&server);
    user.until("@@@ @@@ @@@ @@@ @@@\r\n");
    let (old, new) = (server.child_start(1), server.child_start(2));
    kill(Pid::from_raw(old), Signal::SIGINT).unwrap();
    user.until(crlf(&killed(old, 2)));
    assert!(alive(new));
}

/// A child that survives SIGTERM: once it is told, it says so.
const STUBBORN: [&str; 7] = ["background", "wait", ";", "block", "SIGTERM", "say", "deaf"];

fn old_child_is_killed_after_its_grace(env: &TestEnv) {
    let server = logged(env, &["--overlap", "0", "-g", "1"]);
    let server = server.child(STUBBORN.into_iter().chain(["wait"])).start();
    line_after(env, &server, "deaf", 1);
    let mut user = user(&server);
    reload(&server);
    user.until(crlf(&killed(server.child_start(1), 9)));
    assert!(alive(server.child_start(2)));
}

fn old_child_has_the_grace_period_given(env: &TestEnv) {
    // At once, if it is none.
    let server = logged(env, &["--overlap", "0", "-g", "0"]);
    let server = server.child(STUBBORN.into_iter().chain(["wait"])).start();
    line_after(env, &server, "deaf", 1);
    let mut user = user(&server);
    reload(&server);
    user.until(crlf(&killed(server.child_start(1), 9)));
    // Ten seconds, if it is not given: long enough to finish something.
    let server = logged(env, &["--overlap", "0"]);
    let steps = ["block", "SIGTERM", "say", "deaf", "await", "SIGTERM", "wait-for", "done"];
    let server = server.child(steps.into_iter().chain(["say", "finished", "exit", "3"])).start();
    line_after(env, &server, "deaf", 1);
    let mut user = server.connect();
    user.greeting();
    reload(&server);
    let old = server.child_start(1);
    line_after(env, &server, "deaf", 2);
    std::fs::write(server.path("done"), "").unwrap();
    let end =
        format!("finished\n@@@ Received a sigChild for process {old}. Normal exit status = 3\n");
    user.until(crlf(&end));
}

fn input_goes_to_the_new_child(env: &TestEnv) {
    let server = logged(env, &["--overlap", "4000000000"]);
    let steps = ["on-start", "1", "print", "old> ", "hex", "otherwise", "print", "new> ", "cat"];
    let server = server.child(steps).start();
    let mut user = user(&server);
    line_after(env, &server, "web\" is", 1);
    reload(&server);
    user.until("new> ");
    user.send(b"hello\r");
    user.until("hello\r\nhello\r\n");
    let log = std::fs::read_to_string(server.path("log")).unwrap();
    assert!(!log.contains("68 65"), "{log}");
}

fn lines_of_both_are_whole(env: &TestEnv) {
    let server = logged(env, &["--overlap", "4000000000"]);
    let steps = ["say", "up", "wait-for", "go", "lines", "20000", "say", "done", "wait"];
    let server = server.child(steps).start();
    line_after(env, &server, "up", 1);
    reload(&server);
    line_after(env, &server, "up", 2);
    std::fs::write(server.path("go"), "").unwrap();
    line_after(env, &server, "done", 2);
    let log = std::fs::read_to_string(server.path("log")).unwrap();
    let mut counts = vec![0; 20_001];
    for line in log.split_terminator("\r\n").filter(|line| !line.starts_with("@@@")) {
        match line.strip_prefix("line ") {
            Some(number) => counts[number.parse::<usize>().expect(line)] += 1,
            None => assert!(["up", "done"].contains(&line), "{line:?}"),
        }
    }
    assert!(counts[1..].iter().all(|&count| count == 2));
}

fn kill_command_is_for_both(env: &TestEnv) {
    let server = logged(env, &["--overlap", "4000000000"]).child(["wait"]).start();
    let mut user = user(&server);
    reload(&server);
    let (old, new) = (server.child_start(1), server.child_start(2));
    user.until("@@@ @@@ @@@ @@@ @@@\r\n");
    user.send(b"\x18");
    user.until_all([&*crlf(&killed(old, 9)), &*crlf(&killed(new, 9))]);
    let next = server.child_start(3);
    user.until(crlf(&block(next)));
    assert!(alive(next) && !alive(old) && !alive(new));
}

fn sigterm_is_for_both(env: &TestEnv) {
    let server = logged(env, &["--overlap", "4000000000"]).child(["wait"]).start();
    let mut user = user(&server);
    reload(&server);
    let (old, new) = (server.child_start(1), server.child_start(2));
    user.until("@@@ @@@ @@@ @@@ @@@\r\n");
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!alive(old) && !alive(new));
    let rest = String::from_utf8(user.until_end()).unwrap();
    assert_eq!(rest.matches("Child process is shutting down").count(), 1, "{rest}");
}

fn sigterm_waits_for_both(env: &TestEnv) {
    let options = ["--overlap", "4000000000", "--killsig", "TERM", "-g", "3600"];
    let steps = ["block", "SIGTERM", "say", "deaf", "await", "SIGTERM", "wait-for"];
    for (first, second) in [("old", "new"), ("new", "old")] {
        let end = |which| ["say", "finished", "record", which, "exit", "0"];
        let steps = ["on-start", "1"].into_iter().chain(steps).chain(["old-go"]).chain(end("old"));
        let other = ["block", "SIGTERM", "say", "deaf", "await", "SIGTERM", "wait-for", "new-go"];
        let steps = steps.chain(["otherwise"]).chain(other).chain(end("new"));
        let server = logged(env, &options).child(steps).start();
        line_after(env, &server, "deaf", 1);
        reload(&server);
        line_after(env, &server, "deaf", 2);
        server.signal(Signal::SIGTERM);
        std::fs::write(server.path(format!("{first}-go")), "").unwrap();
        server.file_with(first, "\n");
        assert!(!server.path(second).exists() && alive(server.pid()));
        std::fs::write(server.path(format!("{second}-go")), "").unwrap();
        assert_eq!(server.wait_exit().code(), Some(0));
        assert!(server.path(second).exists(), "it had its time");
    }
}

fn one_more_after_it(env: &TestEnv) {
    let server = logged(env, &["--overlap", "4000000000"]);
    let steps = ["say", "up", "on-start", "1", "wait", "otherwise", "wait-for", "go"];
    let steps = steps.into_iter().chain(["notify", "READY=1", "wait"]);
    let server = server.child(steps).start();
    let mut user = user(&server);
    reload(&server);
    line_after(env, &server, "up", 2);
    for _ in 0..5 {
        reload(&server);
    }
    // It has heard of them.
    server.falls_asleep();
    std::fs::write(server.path("go"), "").unwrap();
    let third = server.child_start(3);
    user.until(crlf(&killed(server.child_start(1), 15)));
    user.until(crlf(&block(third)));
    user.until(crlf(&killed(server.child_start(2), 15)));
    server.falls_asleep();
    let starts = String::from_utf8(server.file("starts")).unwrap();
    assert_eq!(starts.lines().count(), 3, "and no more");
}

fn oneshot_looks_at_the_new_child(env: &TestEnv) {
    let server = logged(env, &["--oneshot", "--overlap", "0"]);
    let end = ["otherwise", "wait-for", "go", "exit", "5"];
    let server = server.child(["on-start", "1", "wait"].into_iter().chain(end)).start();
    let mut user = user(&server);
    reload(&server);
    user.until(crlf(&killed(server.child_start(1), 15)));
    assert!(alive(server.pid()), "that was the old one");
    std::fs::write(server.path("go"), "").unwrap();
    assert_eq!(server.wait_exit().code(), Some(5));
}

fn holdoff_looks_at_the_new_child(env: &TestEnv) {
    let server = env.server().opts(["-n", "web", "--holdoff", "3600", "-L", "log"]);
    let end = ["on-start", "2", "wait-for", "go", "exit", "5", "otherwise", "wait"];
    let server = server.opts(["--overlap", "0"]).child(end).start();
    let mut user = user(&server);
    reload(&server);
    user.until(crlf(&killed(server.child_start(1), 15)));
    std::fs::write(server.path("go"), "").unwrap();
    user.until("a new one will be restarted shortly\r\n");
    // The first one started long ago or not: the next one is due an hour from the second's start.
    server.falls_asleep();
    assert_eq!(String::from_utf8(server.file("starts")).unwrap().lines().count(), 2);
}

fn without_a_child_one_is_started(env: &TestEnv) {
    let server = logged(env, &["--noautorestart", "--wait", "--overlap", "0"]).child(["wait"]);
    let server = server.start();
    let mut user = server.connect();
    user.greeting();
    for start in [1, 2] {
        reload(&server);
        let pid = server.child_start(start);
        user.until(crlf(&block(pid)));
        user.send(b"\x18");
        user.until("auto restart is disabled\r\n");
    }
}

fn without_overlap_it_is_ignored(env: &TestEnv) {
    let server = logged(env, &["-d"]).child(["cat"]).start();
    let mut user = user(&server);
    reload(&server);
    server.file_with("stdout", "SIGUSR2: ignored without --overlap\n");
    user.send(b"hello\r");
    user.expect("hello\nhello\n");
    assert_eq!(server.terminate().code(), Some(0));
}

fn upgrade_keeps_both(env: &TestEnv) {
    let port = env.free_port();
    let uri = format!("tcp://127.0.0.1:{port}");
    let server = logged(env, &["--overlap", "4000000000", "--listen", &uri]);
    let steps = ["on-start", "1", "answer", "otherwise", "cat"];
    let server = server.child(steps).start();
    let mut user = user(&server);
    reload(&server);
    let (old, new) = (server.child_start(1), server.child_start(2));
    user.until("@@@ @@@ @@@ @@@ @@@\r\n");
    upgrade(env, &server, 1);
    assert_eq!(ask(port), (3, old));
    user.send(b"hello\r");
    user.until("hello\r\nhello\r\n");
    reload(&server);
    kill(Pid::from_raw(old), Signal::SIGINT).unwrap();
    user.until(crlf(&killed(old, 2)));
    // The one more.
    let next = server.child_start(3);
    user.until(crlf(&block(next)));
    upgrade(env, &server, 2);
    kill(Pid::from_raw(next), Signal::SIGINT).unwrap();
    user.until(crlf(&killed(next, 2)));
    user.until(format!("@@@ Child \"web\" is not replaced, process {new} goes on\r\n"));
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!alive(new));
}

fn bad_values_are_errors(env: &TestEnv) {
    for value in ["", "x", "-1", "+1", "1s", "1.5", "4294967296"] {
        let finished = env.server().opts(["--overlap", value]).run();
        let line = format!("procServ: --overlap {value} is no number of milliseconds\n");
        finished.assert(1, "", &line);
    }
    let finished = env.server().opts(["--reloadcmd", "^U"]).run();
    finished.assert(1, "", "procServ: --reloadcmd needs --overlap\n");
}
