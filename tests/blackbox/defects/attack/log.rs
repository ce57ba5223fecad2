//! Logs that don't take what they get.

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use crate::support::{ServerBuilder, TestEnv, TestServer, cases, find};

/// What ends the announcement of a start.
const RULE: &str = "@@@ @@@ @@@ @@@ @@@\r\n";

/// More than the console stream holds.
const MUCH: &str = "3000000";

cases![
    server_sleeps_beside_a_log_that_hangs.differs_on_oracle("hangs with its log"),
    server_sleeps_beside_a_log_that_failed_and_now_hangs.differs_on_oracle("hangs with its log"),
    log_that_is_a_fifo_without_a_reader_keeps_nobody_waiting
        .differs_on_oracle("does not start before there is a reader"),
    hangups_do_not_cost_a_stuck_log_anything.differs_on_oracle("hangs with its log"),
];

/// A server whose log is a FIFO, and its reader, who doesn't read.
fn with_fifo(setup: ServerBuilder) -> (ServerBuilder, File) {
    let path = setup.path("fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let mut options = File::options();
    let reader = options.read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).unwrap();
    (setup.opts(["-L", "fifo"]), reader)
}

/// Closes the reader, and waits until it is closed everywhere: a process that another case starts
/// meanwhile has it, too, until it executes its program.
fn close_reader(env: &TestEnv, path: &Path, reader: File) {
    drop(reader);
    env.wait_for("the reader to be closed", || {
        let mut options = File::options();
        let writer = options.write(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
        writer.err().filter(|error| error.raw_os_error() == Some(nix::libc::ENXIO))
    });
}

fn server_sleeps_beside_a_log_that_hangs(env: &TestEnv) {
    let setup = env.server().child(["wait-for", "go", "emit", MUCH, "say", "END", "wait"]);
    let (setup, _reader) = with_fifo(setup);
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    fs::write(server.path("go"), "").unwrap();
    user.until("END\r\n");
    server.falls_asleep();
}

fn server_sleeps_beside_a_log_that_failed_and_now_hangs(env: &TestEnv) {
    let (setup, reader) = with_fifo(env.server());
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    close_reader(env, &server.path("fifo"), reader);
    user.send("one\n");
    user.until("@@@ Log file fifo: Broken pipe, output is not being logged\r\n");
    let _full = filled(&server);
    user.send("two\n");
    user.until("two\r\n");
    wait_until_stuck(env, &server);
    user.send("three\n");
    user.until("three\r\n");
    server.falls_asleep();
}

fn hangups_do_not_cost_a_stuck_log_anything(env: &TestEnv) {
    let (setup, mut fifo) = with_fifo(env.server().opts(["-d", "-w"]).child(["wait"]));
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until(RULE);
    let mut log = Vec::new();
    read_until(env, &mut fifo, &mut log, RULE);
    let mut fifo = filled(&server);
    user.send("one\n");
    wait_until_stuck(env, &server);
    for count in 1..30 {
        server.signal(Signal::SIGHUP);
        // One at a time: those that come together count once.
        env.wait_for("the hangup to be noticed", || {
            (server.stdout().matches("SIGHUP").count() == count).then_some(())
        });
    }
    user.send("two\n");
    user.until("two\r\n");
    user.send("three\n");
    user.until("three\r\n");
    read_until(env, &mut fifo, &mut log, "three\r\n");
    find(&log, b"xone\r\ntwo\r\nthree\r\n").expect("all of it");
}

fn log_that_is_a_fifo_without_a_reader_keeps_nobody_waiting(env: &TestEnv) {
    let (setup, reader) = with_fifo(env.server());
    close_reader(env, &setup.path("fifo"), reader);
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    user.send("one\n");
    user.until("one\r\none\r\n");
    let (mut fifo, mut log) = (open_fifo(&server), Vec::new());
    read_until(env, &mut fifo, &mut log, "one\r\none\r\n");
    server.signal(Signal::SIGHUP);
    user.send("two\n");
    read_until(env, &mut fifo, &mut log, "two\r\ntwo\r\n");
}

/// Reads a log that goes on, up to `end`.
fn read_until(env: &TestEnv, from: &mut File, log: &mut Vec<u8>, end: &str) {
    env.wait_for(end, || {
        // It never ends, only would block.
        let _ = from.read_to_end(log);
        find(log, end.as_bytes()).map(|_| ())
    });
}

/// The FIFO, from both ends.
fn open_fifo(server: &TestServer) -> File {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(nix::libc::O_NONBLOCK);
    options.open(server.path("fifo")).unwrap()
}

/// The FIFO, filled up, to read it from.
fn filled(server: &TestServer) -> File {
    let mut fifo = open_fifo(server);
    while fifo.write(&[b'x'; 4096]).is_ok() {}
    fifo
}

/// Waits until the server's writer waits for something else than work: for room in its pipe.
fn wait_until_stuck(env: &TestEnv, server: &TestServer) {
    let futex = nix::libc::SYS_futex.to_string();
    env.wait_for("a stuck writer", || {
        let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        let of = |path: PathBuf, name| fs::read_to_string(path.join(name)).unwrap_or_default();
        let writers = threads.flatten().filter(|thread| of(thread.path(), "comm") == "log\n");
        // The number of a system call and its arguments, or "running".
        let mut calls = writers.map(|thread| of(thread.path(), "syscall"));
        let stuck = |call: String| {
            let number = call.split(' ').next().unwrap_or_default();
            number.parse::<u32>().is_ok() && number != futex
        };
        calls.any(stuck).then_some(())
    });
}
