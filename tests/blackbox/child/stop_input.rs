//! `--stop-input`: what is typed to the child at SIGTERM.

use super::daemon;
use crate::support::dialogue::started;
use crate::support::{Client, TestEnv, TestServer, alive, cases, find, show};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::{Duration, Instant};

cases![
    text_ends_the_child_for_good,
    text_is_typed_as_it_is,
    text_takes_the_place_of_what_is_queued,
    users_may_answer_in_the_wait,
    kill_command_acts_in_the_wait,
    child_that_does_not_read_has_the_time,
    child_that_is_stopped_has_the_time,
    child_without_its_terminal_has_the_time,
    killsig_and_grace_period_come_after_the_wait,
    second_sigterm_ends_the_wait,
    without_a_child_nothing_is_waited_for,
    quit_request_types_it,
    both_children_are_told_to_end,
    old_child_outlives_the_new_one,
    daemon_is_typed_to,
    daemon_without_a_terminal_has_the_time,
    upgrade_keeps_the_wait,
    bad_texts_are_errors,
];

/// The child is this script of a shell. The first line that it prints is `UP`.
fn script(env: &TestEnv, options: &[&str], script: &str) -> (TestServer, Client) {
    let script = format!("echo UP\n{script}");
    let setup = env.server().logged().opts(options).command(["sh", "-c", &script]);
    let (server, mut user) = started(setup);
    user.expect("UP\n");
    (server, user)
}

const END: &str = "\
@@@ Current time: <time>
@@@ Child process is shutting down, auto restart is disabled
@@@ ^R or ^X restarts the child, ^Q quits the server
";

const UNTIL_EXIT: &str = "while read -r word; do
    if [ \"$word\" = exit ]; then echo bye; exit 3; fi
done";

fn text_ends_the_child_for_good(env: &TestEnv) {
    let options = ["--stop-input", r"^Uexit\r", "--holdoff", "0", "--signal-status"];
    let (server, mut user) = script(env, &options, UNTIL_EXIT);
    user.send("half a li");
    user.expect("half a li");
    assert_eq!(server.terminate().code(), Some(0));
    let rest = user.until_end();
    let bye = find(&rest, b"bye\r\n").expect("the child's last word");
    server.assert_console(&rest[bye..], &format!("bye\n{END}"));
    let log = server.file("log");
    assert_eq!(log.windows(10).filter(|it| it == b"Restarting").count(), 1, "{}", show(&log));
}

fn text_is_typed_as_it_is(env: &TestEnv) {
    let text = r"x^X\e\t\\\^^^^[\n";
    let options = ["-i", "x^I", "--stop-input", text, "-L", "log"];
    let server = env.server().opts(options).child(["raw", "say", "UP", "hex"]).start();
    server.file_with("log", "UP\r\n");
    server.signal(Signal::SIGTERM);
    server.file_with("log", "78 18 1b 09 5c 5e 5e 1b 0a \r\n");
    assert_eq!(server.terminate().code(), Some(0));
}

fn text_takes_the_place_of_what_is_queued(env: &TestEnv) {
    let steps = ["raw", "say", "UP", "wait-for", "go", "hex"];
    let (server, mut user) =
        started(env.server().opts(["--stop-input", "!"]).logged().child(steps));
    user.expect("UP\n");
    // More than a terminal takes, less than the queue.
    user.send("a".repeat(30_000));
    server.falls_asleep();
    server.signal(Signal::SIGTERM);
    // By then the server has typed the text, if there was room for it.
    server.file_with("log", "");
    fs::write(server.path("go"), "").unwrap();
    let hex = user.until("21 ");
    let count = hex.len() / 3;
    assert!(count < 25_000, "{count} bytes came before the text");
    assert_eq!(server.terminate().code(), Some(0));
}

fn users_may_answer_in_the_wait(env: &TestEnv) {
    let asks = "read -r word; echo sure?; read -r word; echo \"got $word\"; exit";
    let options = ["--stop-input", "quit^M", "-g", "1000"];
    let (server, mut user) = script(env, &options, asks);
    server.signal(Signal::SIGTERM);
    user.until("sure?\r\n");
    let mut other = server.connect();
    let greeting = other.greeting();
    assert!(find(&greeting, b"auto restart mode is OFF").is_some(), "{}", show(&greeting));
    other.send("yes\n");
    user.until("got yes\r\n");
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn kill_command_acts_in_the_wait(env: &TestEnv) {
    let (server, mut user) = script(env, &["--stop-input", "x", "-g", "1000"], "cat");
    server.signal(Signal::SIGTERM);
    user.until("x");
    user.send(b"\x18");
    assert_eq!(server.wait_exit().code(), Some(0));
}

/// Ends the server, and checks that it took so many seconds at least.
fn ends_after(server: &TestServer, seconds: u64) {
    let begin = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(seconds), "{took:?}");
    assert!(took < Duration::from_secs(seconds + 8), "{took:?}");
}

fn child_that_does_not_read_has_the_time(env: &TestEnv) {
    let setup = env.server().logged().opts(["--stop-input", "exit\\r", "-g", "1"]);
    let (server, _user) = started(setup.child(["wait"]));
    let child = server.child_start(1);
    ends_after(&server, 1);
    assert!(!alive(child));
    let log = server.file("log");
    let end = log.windows(9).rposition(|it| it == b"@@@ Curre").unwrap();
    server.assert_console(&log[end..], END);
}

fn child_that_is_stopped_has_the_time(env: &TestEnv) {
    let options = ["--stop-input", "exit\\r", "-g", "1", "--killsig", "TERM"];
    let (server, _user) = started(env.server().opts(options).child(["cat"]));
    let child = server.child_start(1);
    kill(Pid::from_raw(child), Signal::SIGSTOP).unwrap();
    // SIGTERM waits for SIGCONT, so the grace period passes too.
    ends_after(&server, 2);
    assert!(!alive(child));
}

fn child_without_its_terminal_has_the_time(env: &TestEnv) {
    let saves = "trap '' HUP; read -r word; exec <&- >&- 2>&-; sleep 0.5; echo >saved";
    let (server, _user) = script(env, &["--stop-input", "exit\\r"], saves);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(server.path("saved").exists(), "killed when it closed its terminal");

    let stays = "trap '' HUP; read -r word; exec <&- >&- 2>&-; while :; do sleep 0.1; done";
    let (server, _user) = script(env, &["--stop-input", "exit\\r", "-g", "1"], stays);
    ends_after(&server, 1);
}

fn killsig_and_grace_period_come_after_the_wait(env: &TestEnv) {
    let options = ["--stop-input", "x", "-g", "1", "--killsig", "15"];
    let steps = ["block", "SIGTERM", "say", "UP", "await", "SIGTERM", "say", "TOLD", "wait"];
    let (server, mut user) = started(env.server().logged().opts(options).child(steps));
    user.expect("UP\n");
    ends_after(&server, 2);
    user.until("TOLD\r\n");
}

fn second_sigterm_ends_the_wait(env: &TestEnv) {
    let options = ["--stop-input", "x", "-g", "1000", "--killsig", "15"];
    let steps = ["block", "SIGTERM", "say", "UP", "await", "SIGTERM", "say", "TOLD", "wait"];
    let (server, mut user) = started(env.server().opts(options).child(steps));
    user.expect("UP\n");
    server.signal(Signal::SIGTERM);
    user.until("x");
    server.signal(Signal::SIGTERM);
    user.until("TOLD\r\n");
    // And the third one the grace period.
    assert_eq!(server.terminate().code(), Some(0));
}

fn without_a_child_nothing_is_waited_for(env: &TestEnv) {
    let server = env.server().opts(["--stop-input", "x", "-w", "-g", "1000"]).start();
    let mut user = server.connect();
    user.greeting();
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!(user.until_end(), b"");
}

fn quit_request_types_it(env: &TestEnv) {
    let options = ["--stop-input", "exit\\r", "--api", "unix:api"];
    let (server, mut user) = script(env, &options, UNTIL_EXIT);
    let mut program = server.connect_to("unix:api");
    program.send("{\"request\":\"quit\"}\n");
    user.until("bye\r\n");
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn both_children_are_told_to_end(env: &TestEnv) {
    let options = ["--overlap", "100000", "--stop-input", "exit\\n", "-g", "1000"];
    let child = "trap 'echo told; exit' TERM; echo up $$
        while read -r word || [ $? -gt 128 ]; do [ \"$word\" = exit ] && { echo bye; exit; }; done";
    let setup = env.server().opts(options).command(["sh", "-c", child]);
    let (server, mut user) = started(setup);
    user.until("up ");
    server.signal(Signal::SIGUSR2);
    user.until("@@@ Restarting");
    user.until("up ");
    server.signal(Signal::SIGTERM);
    user.until_all(["told\r\n", "bye\r\n"]);
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn old_child_outlives_the_new_one(env: &TestEnv) {
    let options = ["--overlap", "100000", "--stop-input", "exit\\n", "-g", "1000"];
    let child = "trap 'echo told; while [ ! -e go ]; do sleep 0.05; done; echo over; exit' TERM
        echo up
        while read -r word || [ $? -gt 128 ]; do [ \"$word\" = exit ] && { echo bye; exit; }; done";
    let setup = env.server().opts(options).command(["sh", "-c", child]);
    let (server, mut user) = started(setup);
    user.until("up\r\n");
    server.signal(Signal::SIGUSR2);
    user.until("@@@ Restarting");
    user.until("up\r\n");
    server.signal(Signal::SIGTERM);
    user.until_all(["told\r\n", "bye\r\n"]);
    fs::write(server.path("go"), "").unwrap();
    user.until("over\r\n");
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn daemon_is_typed_to(env: &TestEnv) {
    let steps = ["say", "READY", "hex"];
    let setup = daemon::setup(env).opts(["--stop-input", "A\\n", "-g", "1000"]);
    let (server, mut user) = started(setup.child(daemon::daemon(&steps)));
    user.until_all(["READY\r\n", "is: "]);
    server.file_with("log", "@@@ @@@\r\n");
    env.wait_for("the daemon to be the child", || {
        let log = server.file("log");
        let lines = log.windows(7).filter(|it| it == b"PID of ").count();
        (lines == 2).then_some(())
    });
    server.signal(Signal::SIGTERM);
    user.until("41 0a \r\n");
    assert_eq!(server.terminate().code(), Some(0));
}

fn daemon_without_a_terminal_has_the_time(env: &TestEnv) {
    let setup = daemon::setup(env).opts(["--stop-input", "A\\n", "-g", "1"]);
    let (server, mut user) = started(setup.child(daemon::daemon(&["close-tty", "wait"])));
    let pid = daemon::next(env, &server, &mut user);
    ends_after(&server, 1);
    assert!(!alive(pid));
}

fn upgrade_keeps_the_wait(env: &TestEnv) {
    let asks = "read -r word; echo \"got $word\"; while [ ! -e go ]; do sleep 0.05; done; echo bye";
    let options = ["--stop-input", "exit\\r", "-g", "1000", "--holdoff", "0"];
    let (server, mut user) = script(env, &options, asks);
    server.signal(Signal::SIGTERM);
    user.until("got exit\r\n");
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    fs::write(server.path("go"), "").unwrap();
    user.until("bye\r\n");
    assert_eq!(server.wait_exit().code(), Some(0));

    let setup = env.server().logged().opts(["--stop-input", "x", "-g", "3"]).child(["wait"]);
    let (server, mut user) = started(setup);
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    user.until("x");
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(begin.elapsed() >= Duration::from_secs(3), "{:?}", begin.elapsed());
}

fn bad_texts_are_errors(env: &TestEnv) {
    let takes = r"procServ: --stop-input needs a text (^A to ^Z, ^^, \r \n \t \e \\ \^)";
    for (text, rest) in [
        ("", ""),
        (r"exit\x", r", not '\x'"),
        (r"exit\", r", not '\'"),
        ("exit^", ", not '^'"),
        ("^1", ", not '^1'"),
    ] {
        let finished = env.server().opts(["--stop-input", text]).run();
        finished.assert(1, "", &format!("{takes}{rest}\n"));
        assert!(!finished.instance.path("starts").exists());
    }
}
