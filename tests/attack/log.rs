//! Logs that don't take what they get.

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::case;
use crate::support::{Case, Instance, Lab, Setup, find};

/// What ends the announcement of a start.
const RULE: &str = "@@@ @@@ @@@ @@@ @@@\r\n";

/// More than the console stream holds.
const MUCH: &str = "3000000";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(server_sleeps_beside_a_log_that_hangs).differs_on_oracle("hangs with its log"),
        case!(server_sleeps_beside_a_log_that_failed_and_now_hangs)
            .differs_on_oracle("hangs with its log"),
        case!(hangups_do_not_cost_a_stuck_log_anything).differs_on_oracle("hangs with its log"),
    ]
}

/// A server whose log is a FIFO, and its reader, who doesn't read.
fn with_fifo(setup: Setup) -> (Setup, File) {
    let path = setup.path("fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let mut options = File::options();
    let reader = options.read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).unwrap();
    (setup.opts(["-L", "fifo"]), reader)
}

fn server_sleeps_beside_a_log_that_hangs(lab: &Lab) {
    let setup = lab.server().child(["wait-for", "go", "emit", MUCH, "say", "END", "wait"]);
    let (setup, _reader) = with_fifo(setup);
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    fs::write(server.path("go"), "").unwrap();
    user.until("END\r\n");
    server.falls_asleep();
}

fn server_sleeps_beside_a_log_that_failed_and_now_hangs(lab: &Lab) {
    let (setup, reader) = with_fifo(lab.server());
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    drop(reader);
    user.send("one\n");
    user.until("@@@ Log file fifo: Broken pipe, output is not being logged\r\n");
    let _full = filled(&server);
    user.send("two\n");
    user.until("two\r\n");
    wait_until_stuck(lab, &server);
    user.send("three\n");
    user.until("three\r\n");
    server.falls_asleep();
}

fn hangups_do_not_cost_a_stuck_log_anything(lab: &Lab) {
    let (setup, mut fifo) = with_fifo(lab.server().opts(["-d", "-w"]).child(["wait"]));
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until(RULE);
    let mut log = Vec::new();
    read_until(lab, &mut fifo, &mut log, RULE);
    let mut fifo = filled(&server);
    user.send("one\n");
    wait_until_stuck(lab, &server);
    for count in 1..30 {
        server.signal(Signal::SIGHUP);
        // One at a time: those that come together count once.
        lab.wait_for("the hangup to be noticed", || {
            (server.stdout().matches("SIGHUP").count() == count).then_some(())
        });
    }
    user.send("two\n");
    user.until("two\r\n");
    user.send("three\n");
    user.until("three\r\n");
    read_until(lab, &mut fifo, &mut log, "three\r\n");
    find(&log, b"xone\r\ntwo\r\nthree\r\n").expect("all of it");
}

/// Reads a log that goes on, up to `end`.
fn read_until(lab: &Lab, from: &mut File, log: &mut Vec<u8>, end: &str) {
    lab.wait_for(end, || {
        // It never ends, only would block.
        let _ = from.read_to_end(log);
        find(log, end.as_bytes()).map(|_| ())
    });
}

/// The FIFO, filled up, to read it from.
fn filled(server: &Instance) -> File {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(nix::libc::O_NONBLOCK);
    let mut fifo = options.open(server.path("fifo")).unwrap();
    while fifo.write(&[b'x'; 4096]).is_ok() {}
    fifo
}

/// Waits until the server's writer waits for room in its pipe.
fn wait_until_stuck(lab: &Lab, server: &Instance) {
    // The number of write(2), and its arguments; "running" in no call.
    let write = format!("{} ", nix::libc::SYS_write);
    lab.wait_for("a stuck writer", || {
        let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        let calls =
            threads.flatten().map(|thread| fs::read_to_string(thread.path().join("syscall")));
        calls.flatten().any(|call| call.starts_with(&write)).then_some(())
    });
}
