//! Time: the wall clock, the disk's, and none at all while nothing happens.

use crate::support::dialogue::started;
use crate::support::{NO_CC, ServerBuilder, TestEnv, TestServer, cases, compiled, sleeps};
use std::fs;
use std::io::pipe;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const WALL: &str = "asks the wall clock when to start";
const WAKES: &str = "wakes up twice a second";

cases![
    clock_set_back_delays_no_restart.only_if(preload().is_some(), NO_CC).differs_on_oracle(WALL),
    clock_set_forward_hurries_no_restart
        .only_if(preload().is_some(), NO_CC)
        .differs_on_oracle(WALL),
    log_is_synced_at_most_twice_a_second
        .only_if(preload().is_some(), NO_CC)
        .differs_on_oracle("syncs after every write"),
    slow_sync_is_not_in_the_way
        .only_if(preload().is_some(), NO_CC)
        .differs_on_oracle("waits for the disk"),
    idle_server_sleeps.differs_on_oracle(WAKES),
    server_with_stuck_peers_sleeps.differs_on_oracle("hangs"),
    server_with_closed_stdin_sleeps.differs_on_oracle("spins"),
    server_whose_stdin_has_ended_sleeps.differs_on_oracle(WAKES),
    server_whose_stdout_has_no_reader_sleeps.differs_on_oracle("spins"),
];

/// The library `preload.c`, compiled, if there is a compiler.
fn preload() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    LIBRARY.get_or_init(|| compiled("defects/preload.c")).as_deref()
}

fn preloaded(env: &TestEnv) -> ServerBuilder {
    let setup = env.server();
    let (clock, syncs) = (setup.path("clock"), setup.path("syncs"));
    let setup = setup.env("LD_PRELOAD", preload().unwrap());
    setup.env("TEST_CLOCK", clock).env("TEST_SYNCS", syncs)
}

/// A server that is to start its second child after a holdoff of two seconds; a time before the first
/// start.
fn holding_off(env: &TestEnv) -> (TestServer, Instant) {
    let child = ["on-start", "1", "exit", "0", "otherwise", "wait"];
    let start = Instant::now();
    let (server, mut user) = started(preloaded(env).opts(["--holdoff", "2"]).child(child));
    user.until("the child, ^Q quits the server\r\n");
    (server, start)
}

fn set_clock(server: &TestServer, seconds: &str) {
    fs::write(server.path("clock.part"), seconds).unwrap();
    fs::rename(server.path("clock.part"), server.path("clock")).unwrap();
}

fn clock_set_back_delays_no_restart(env: &TestEnv) {
    let (server, _) = holding_off(env);
    set_clock(&server, "-3600");
    server.child_start(2);
}

fn clock_set_forward_hurries_no_restart(env: &TestEnv) {
    let (server, start) = holding_off(env);
    set_clock(&server, "3600");
    server.child_start(2);
    assert!(start.elapsed() > Duration::from_millis(1900), "{:?}", start.elapsed());
}

fn log_is_synced_at_most_twice_a_second(env: &TestEnv) {
    let (server, mut user) = started(preloaded(env).logged());
    server.child_start(1);
    let begin = Instant::now();
    for round in 0..200 {
        let line = format!("round {round}\n");
        user.send(&line);
        user.expect(&line.repeat(2));
    }
    let syncs = || fs::read(server.path("syncs")).unwrap_or_default();
    let before = syncs().len();
    user.send("last\n");
    user.expect("last\nlast\n");
    let syncs = env.wait_for("the last sync", || {
        let syncs = syncs();
        (syncs.len() > before && syncs.ends_with(b"e")).then_some(syncs)
    });
    let half_seconds = begin.elapsed().as_millis() / 500;
    // One may have been due at the begin, one is at the end.
    let most = usize::try_from(half_seconds).unwrap() + 2;
    assert!(syncs.len() / 2 <= most, "{} in {half_seconds} half seconds", syncs.len() / 2);
}

fn slow_sync_is_not_in_the_way(env: &TestEnv) {
    let setup = preloaded(env).logged();
    let synced = setup.path("synced");
    let server = setup.env("TEST_SYNC_UNTIL", &synced).start();
    server.child_start(1);
    let mut user = server.connect();
    user.greeting();
    user.send("hello\n");
    user.until("hello\r\nhello\r\n");
    server.file_with("syncs", "b");
    for round in 0..20 {
        let line = format!("round {round}\n");
        user.send(&line);
        user.expect(&line.repeat(2));
    }
    server.connect().greeting();
    assert_eq!(server.file("syncs"), b"b", "all that was to be done during the sync");
    fs::write(synced, "").unwrap();
    server.file_with("syncs", "be");
}

/// How often the threads of a process gave up a processor, and took one from others; the clock
/// ticks it used.
fn activity(pid: i32) -> (u64, u64) {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let switches = tasks.map(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap();
        let lines = status.lines().filter_map(|line| line.split_once("ctxt_switches:\t"));
        lines.map(|(_, count)| count.parse::<u64>().unwrap()).sum::<u64>()
    });
    let switches = switches.sum();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (switches, fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
}

/// Panics unless the server does nothing at all for two seconds, once what was begun has come to its
/// end: the last sync of a log, say.
fn assert_sleeps(env: &TestEnv, server: &TestServer) {
    let mut last = (activity(server.pid()), Instant::now());
    env.wait_for("two seconds without context switches and ticks", || {
        let activity = activity(server.pid());
        if activity != last.0 || !sleeps(server.pid()) {
            last = (activity, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(2)).then_some(())
    });
}

fn idle_server_sleeps(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged().log_endpoint());
    let mut log = server.connect_log();
    log.greeting();
    server.child_start(1);
    user.send("hello\n");
    user.expect("hello\nhello\n");
    assert_sleeps(env, &server);
}

/// A child that doesn't read, a user who has pasted, a user who doesn't read, a user who went away.
fn server_with_stuck_peers_sleeps(env: &TestEnv) {
    let child = ["raw", "say", "READY", "wait-for", "go", "emit", "1000000", "say", "END", "wait"];
    let (server, mut user) = started(env.server().logged().child(child));
    user.expect("READY\n");
    let mut deaf = server.connect();
    deaf.greeting();
    let gone = server.connect();
    gone.half_close();
    user.send(vec![b'x'; 300_000]);
    fs::write(server.path("go"), "").unwrap();
    user.until("END\r\n");
    assert_sleeps(env, &server);
}

fn server_with_closed_stdin_sleeps(env: &TestEnv) {
    let server = env.server().launched_by(["close", "0"]).start();
    server.connect().greeting();
    server.child_start(1);
    assert_sleeps(env, &server);
}

fn server_whose_stdin_has_ended_sleeps(env: &TestEnv) {
    let (reader, writer) = pipe().unwrap();
    let server = env.server().stdin(reader).start();
    server.child_start(1);
    drop(writer);
    assert_sleeps(env, &server);
}

fn server_whose_stdout_has_no_reader_sleeps(env: &TestEnv) {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let (server, mut user) = started(env.server().opts(["-L", "-"]).stdout(writer));
    server.child_start(1);
    user.send("hello\n");
    user.until("hello\r\n");
    // Who doesn't read would hold up a flood.
    drop(user);
    assert_sleeps(env, &server);
}
