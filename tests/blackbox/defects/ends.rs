//! The end of a child and the next start: last words, order, time.

use crate::support::dialogue::started;
use crate::support::{Client, TestEnv, TestServer, cases, find, number_after, parent_of, show};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a client and the log get when the child ends, in this order.
const END: &str = "
@@@ @@@ @@@ @@@ @@@
@@@ Received a sigChild for process <pid>. Normal exit status = 0
@@@ Current time: <time>
@@@ Child process is shutting down, auto restart is disabled
@@@ ^R or ^X restarts the child, ^Q quits the server
";

/// What they get when it is started.
const START: &str = "\
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
";

cases![
    first_start_does_not_wait_for_clients_to_pause
        .differs_on_oracle("waits for half a second without traffic"),
    restart_does_not_wait_for_clients_to_pause
        .differs_on_oracle("waits for half a second without traffic"),
    last_words_of_60_kb_come_before_the_news
        .differs_on_oracle("loses most of what a dying child wrote"),
    last_words_of_few_lines_come_before_the_news
        .differs_on_oracle("loses the last lines in one of four runs"),
    last_words_are_logged.differs_on_oracle("loses most of what a dying child wrote"),
    last_words_of_1_mb_are_logged_100_times
        .differs_on_oracle("loses the end of what a dying child wrote")
        .takes_up_to(Duration::from_secs(300)),
    last_words_come_before_the_news_of_a_kill
        .differs_on_oracle("loses most of what a dying child wrote"),
    end_is_announced_in_order.flaky_on_oracle("the two halves come in either order"),
    orphan_is_reaped_at_once_and_silently
        .differs_on_oracle("announces it as the child's end, or leaves it a zombie"),
    process_1_reaps_orphans_and_obeys_sigterm
        .only_if(can_be_process_1(), "no PID namespaces")
        .differs_on_oracle("announces an orphan's end as the child's"),
    sigterm_exits_0_whatever_the_last_child_said,
];

fn first_start_does_not_wait_for_clients_to_pause(env: &TestEnv) {
    let server = env.server().start();
    let mut user = server.connect();
    env.wait_for("the first start", || {
        user.send("x");
        fs::read(server.path("starts")).ok()
    });
}

fn restart_does_not_wait_for_clients_to_pause(env: &TestEnv) {
    let child = ["on-start", "1", "exit", "0", "otherwise", "wait"];
    let first = Instant::now();
    let server = env.server().opts(["--holdoff", "1"]).child(child).start();
    let mut user = server.connect();
    server.child_start(1);
    env.wait_for("the second start", || {
        user.send("x");
        let starts = fs::read_to_string(server.path("starts")).ok()?;
        (starts.lines().count() == 2).then_some(())
    });
    assert!(first.elapsed() > Duration::from_millis(900), "{:?}", first.elapsed());
}

/// What `emit N` of the stand-in looks like on the console.
pub(super) fn emitted(count: usize) -> String {
    (0..count / 64).map(|n| format!("{n:<63}\n")).collect()
}

fn last_words_of_60_kb_come_before_the_news(env: &TestEnv) {
    let setup = env.server().opts(["--noautorestart"]).child(["emit", "60032", "exit", "0"]);
    let server = setup.opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    for _ in 0..10 {
        user.send(b"\x12");
        user.expect(&[START, &emitted(60_032), END].concat());
    }
}

fn last_words_of_few_lines_come_before_the_news(env: &TestEnv) {
    let server = env.server().opts(["--noautorestart", "-w"]).child(["lines", "13"]).start();
    let mut user = server.connect();
    user.greeting();
    let words: String = (1..=13).map(|n| format!("line {n}\n")).collect();
    for _ in 0..60 {
        user.send(b"\x12");
        user.expect(&[START, &words, END].concat());
    }
}

fn last_words_are_logged(env: &TestEnv) {
    let child = ["emit", "60032", "exit", "0"];
    let server = env.server().logged().opts(["--noautorestart", "-w"]).child(child).start();
    let mut user = server.connect();
    user.greeting();
    for _ in 0..10 {
        user.send(b"\x12");
        user.until("^Q quits the server\r\n");
    }
    server.terminate();
    server.assert_console(server.file("log"), &[START, &emitted(60_032), END].concat().repeat(10));
}

fn last_words_of_1_mb_are_logged_100_times(env: &TestEnv) {
    let child = ["emit", "1000000", "exit", "0"];
    let server = env.server().logged().opts(["--noautorestart", "-w"]).child(child).start();
    let mut user = server.connect();
    user.greeting();
    let words = emitted(1_000_000).replace('\n', "\r\n").into_bytes();
    let mut file = File::open(server.path("log")).unwrap();
    for _ in 0..100 {
        user.send(b"\x12");
        user.until("^Q quits the server\r\n");
        let mut log = Vec::new();
        env.wait_for("the end in the log", || {
            file.read_to_end(&mut log).unwrap();
            log.ends_with(b"^Q quits the server\r\n").then_some(())
        });
        let start = find(&log, &words).unwrap_or_else(|| panic!("not whole: {}", show(&log)));
        server.assert_console(&log[..start], START);
        server.assert_console(&log[start + words.len()..], END);
    }
}

/// The kill command, on a child that has written and whose output nobody has read yet: it is
/// stopped in the middle of its output by a full terminal.
fn last_words_come_before_the_news_of_a_kill(env: &TestEnv) {
    let child = ["lines", "300", "record", "written", "wait"];
    let server = env.server().opts(["--noautorestart", "-w"]).child(child).start();
    let mut user = server.connect();
    user.greeting();
    let words: String = (1..=300).map(|n| format!("line {n}\n")).collect();
    let end = END.replace("Normal exit status = 0", "The process was killed by signal 9");
    for _ in 0..20 {
        user.send(b"\x12");
        let pid = server.file_with("written", "\n");
        fs::remove_file(server.path("written")).unwrap();
        let pid = String::from_utf8(pid).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        user.expect(&[START, &words, &end].concat());
    }
}

fn end_is_announced_in_order(env: &TestEnv) {
    let server = env.server().opts(["--noautorestart", "-w"]).child(["exit", "0"]).start();
    let mut user = server.connect();
    user.greeting();
    for _ in 0..40 {
        user.send(b"\x12");
        user.expect(&[START, END].concat());
    }
}

/// The first child leaves an orphan to the server; its end is nobody's business.
fn orphan_ends_silently(
    env: &TestEnv,
    server: &TestServer,
    user: &mut Client,
    is_gone: impl Fn() -> bool,
) {
    user.send(b"\x12");
    user.expect(&[START, END].concat());
    user.send(b"\x12");
    user.expect(START);
    server.child_start(2);
    assert!(!is_gone());
    fs::write(server.path("go"), "").unwrap();
    let gone = || is_gone().then_some(());
    env.wait_for("the orphan to be reaped", gone);
    user.send("hello\n");
    user.expect("hello\nhello\n");
}

/// A server under `--wait` whose first child leaves an orphan that waits for the file `go`.
fn leaving_orphan<S: AsRef<OsStr>>(
    env: &TestEnv,
    launch: impl IntoIterator<Item = S>,
) -> TestServer {
    let orphan = ["background", "setsid", "record", "orphan", "wait-for", "go", "exit", "7", ";"];
    let first = [&["on-start", "1"][..], &orphan, &["wait-for", "orphan", "exit", "0"]].concat();
    let setup = env.server().launched_by(launch).opts(["--noautorestart", "-w"]);
    setup.child([&first[..], &["otherwise", "cat"]].concat()).start()
}

/// The server is its subreaper, which is to an orphan what PID 1 is in a container.
fn orphan_is_reaped_at_once_and_silently(env: &TestEnv) {
    let server = leaving_orphan(env, ["subreaper"]);
    let mut user = server.connect();
    user.greeting();
    let is_gone = || {
        let orphan = String::from_utf8(server.file("orphan")).unwrap();
        fs::metadata(format!("/proc/{}", orphan.trim())).is_err()
    };
    orphan_ends_silently(env, &server, &mut user, is_gone);
}

/// What makes the next program process 1 of a PID namespace.
const UNSHARE: [&str; 5] = ["/usr/bin/unshare", "unshare", "--pid", "--fork", "--kill-child"];

fn can_be_process_1() -> bool {
    let mut command = Command::new(UNSHARE[0]);
    command.args(&UNSHARE[2..]).arg("true");
    command.output().is_ok_and(|output| output.status.success())
}

fn process_1_reaps_orphans_and_obeys_sigterm(env: &TestEnv) {
    let launch = [&["exec"][..], &UNSHARE, &["./fake-ioc", "unrecorded"]].concat();
    let server = leaving_orphan(env, launch);
    let mut user = server.connect();
    let greeting = user.greeting();
    assert_eq!(number_after(&greeting, "server PID: "), 1);
    let children = |parent| {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| parent_of(*pid) == Some(parent)).collect::<Vec<i32>>()
    };
    let process_1 = children(server.pid())[0];
    orphan_ends_silently(env, &server, &mut user, || children(process_1).len() == 1);
    kill(Pid::from_raw(process_1), Signal::SIGTERM).unwrap();
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn sigterm_exits_0_whatever_the_last_child_said(env: &TestEnv) {
    let child = ["on-start", "1", "exit", "3", "otherwise", "cat"];
    let (server, mut user) = started(env.server().opts(["--noautorestart"]).child(child));
    user.until("the child, ^Q quits the server\r\n");
    user.send(b"\x12");
    server.child_start(2);
    assert_eq!(server.terminate().code(), Some(0));
}
