//! The memory of `--history`.

use crate::support::{ServerBuilder, TestEnv, TestServer, cases, find};
use std::fs;
use std::time::Duration;

/// The child writes 72 MB.
const LONG: Duration = Duration::from_secs(300);

cases![
    history_takes_its_size_and_a_mebibyte.takes_up_to(LONG),
    history_fits_into_limited_memory.takes_up_to(LONG),
    history_that_finds_no_memory_is_smaller.takes_up_to(LONG),
];

const KIB_PER_MIB: u64 = 1 << 10;

/// A server with the largest history, which is full when the child has written the file `full`.
fn setup(env: &TestEnv) -> ServerBuilder {
    let script = "\
        while test ! -e go; do sleep 0.1; done
        yes 'a line of the child that fills the history' | head -c 72000000
        echo last line
        echo full >full
        exec cat";
    let options = ["--history", "64M", "--events", "events"];
    // Otherwise glibc takes address space for each thread, as long as there is any.
    let setup = env.with_timeout(LONG / 3).server().opts(options).env("MALLOC_ARENA_MAX", "1");
    setup.command(["/bin/sh", "-c", script])
}

/// Has the child fill the history.
fn fill(server: &TestServer) {
    server.file_with("events", "child_start");
    fs::write(server.path("go"), "").unwrap();
    server.file_with("full", "\n");
    server.falls_asleep();
}

/// A line of `/proc/PID/status` in KiB.
fn memory(server: &TestServer, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap()
}

/// What an idle server takes of its address space, and `mib` more, in bytes.
fn limit(env: &TestEnv, mib: u64) -> String {
    let server = setup(env).start();
    server.connect().greeting();
    server.falls_asleep();
    ((memory(&server, "VmSize:") + mib * KIB_PER_MIB) * 1024).to_string()
}

fn history_takes_its_size_and_a_mebibyte(env: &TestEnv) {
    let server = setup(env).start();
    server.falls_asleep();
    let idle = memory(&server, "VmRSS:");
    fill(&server);
    let taken = memory(&server, "VmHWM:") - idle;
    assert!((64 * KIB_PER_MIB..68 * KIB_PER_MIB).contains(&taken), "{taken} KiB");
}

fn history_fits_into_limited_memory(env: &TestEnv) {
    let limit = limit(env, 75);
    let server = setup(env).launched_by(["limit-memory", &limit]).start();
    fill(&server);
    assert!(memory(&server, "VmRSS:") > 64 * KIB_PER_MIB);
    assert!(find(&server.file("events"), b"trouble").is_none());
}

fn history_that_finds_no_memory_is_smaller(env: &TestEnv) {
    let limit = limit(env, 30);
    let server = setup(env).launched_by(["limit-memory", &limit]).start();
    fill(&server);
    let trouble = server.file_with("events", "\"event\":\"trouble\"");
    let trouble = String::from_utf8_lossy(&trouble);
    let expected = "\"with\":\"history\",\"reason\":\"Cannot allocate memory\"";
    assert!(trouble.contains(expected), "{trouble}");
    assert_eq!(trouble.matches("trouble").count(), 1, "{trouble}");
    // New clients are given as much as there was memory for.
    let mut user = server.connect();
    user.greeting();
    let past = user.until("last line\r\n");
    assert!(past.len() > 4 << 20, "{} bytes", past.len());
}
