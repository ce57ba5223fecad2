//! Logs that don't take what they get.

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use crate::case;
use crate::support::{Case, Lab, Setup};

/// More than the console stream holds.
const MUCH: &str = "3000000";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(server_sleeps_beside_a_log_that_hangs).differs_on_oracle("hangs with its log"),
        case!(server_sleeps_beside_a_log_that_failed_and_now_hangs)
            .differs_on_oracle("hangs with its log"),
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
    std::fs::write(server.path("go"), "").unwrap();
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
    let mut options = File::options();
    options.read(true).write(true).custom_flags(nix::libc::O_NONBLOCK);
    let mut full = options.open(server.path("fifo")).unwrap();
    while full.write(&[b'x'; 4096]).is_ok() {}
    user.send("two\n");
    user.until("two\r\n");
    // The retry has begun when the writer is stuck in it.
    lab.wait_for("a stuck writer", || stuck_in_a_pipe(server.pid()));
    user.send("three\n");
    user.until("three\r\n");
    server.falls_asleep();
}

/// Whether a thread of the process waits for room in a pipe.
fn stuck_in_a_pipe(pid: i32) -> Option<()> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let calls =
        threads.flatten().map(|thread| std::fs::read_to_string(thread.path().join("syscall")));
    // The number of write(2) and its first arguments; "running" while it is in no call.
    let write = format!("{} ", nix::libc::SYS_write);
    calls.flatten().any(|call| call.starts_with(&write)).then_some(())
}
