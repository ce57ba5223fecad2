//! With what the server and its child begin: signals, descriptors, files.

use crate::support::dialogue::{RULE, started};
use crate::support::{TestEnv, cases, number_after};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

cases![
    child_has_no_signal_blocked_or_ignored
        .differs_on_oracle("HUP, PIPE and TERM are blocked; INT, QUIT and XFSZ ignored"),
    killsig_15_ends_the_child.differs_on_oracle("TERM is blocked in the child"),
    killsig_1_ends_the_child.differs_on_oracle("HUP is blocked in the child"),
    sigterm_from_outside_ends_the_child.differs_on_oracle("TERM is blocked"),
    kill_right_after_the_start_is_not_lost.differs_on_oracle("TERM is blocked"),
    interrupt_character_ends_the_child.differs_on_oracle("INT is ignored with -f"),
    server_started_with_sigterm_blocked_obeys_it.differs_on_oracle("the inherited mask stays"),
    child_has_three_descriptors.differs_on_oracle("sockets leak into the child"),
    grandchild_does_not_keep_the_port.differs_on_oracle("the listening socket leaks into it"),
    daemon_starts_with_its_first_descriptors_closed
        .differs_on_oracle("a socket becomes descriptor 0 to 2 and is lost"),
    foreground_starts_with_its_first_descriptors_closed
        .differs_on_oracle("a socket becomes descriptor 0 to 2 and is lost"),
    files_are_complete_when_the_parent_has_left
        .flaky_on_oracle("the daemon writes them later, most times soon enough (section 10)"),
    debug_output_never_reaches_the_child
        .differs_on_oracle("what stdio still holds is flushed by the child too"),
];

/// Not this executable as the child: Rust's start-up ignores SIGPIPE by itself. Signals 32 and 33
/// are the C library's own, which the `posix_spawn` that started the server has ignored.
fn child_has_no_signal_blocked_or_ignored(env: &TestEnv) {
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; exec cat";
    let (_server, mut user) = started(env.server().command(["/bin/sh", "-c", script]));
    let mut number = |name: &str| {
        let shown = String::from_utf8(user.until("\r\n")).unwrap();
        u64::from_str_radix(shown.trim_end().strip_prefix(name).unwrap(), 16).unwrap()
    };
    assert_eq!(number("SigBlk:\t"), 0);
    assert_eq!(number("SigIgn:\t") & !(0b11 << 31), 0);
}

fn killsig_15_ends_the_child(env: &TestEnv) {
    let (_server, mut user) = started(env.server().opts(["--killsig", "15"]));
    user.send(b"\x18");
    user.until("The process was killed by signal 15\r\n");
}

fn killsig_1_ends_the_child(env: &TestEnv) {
    let (_server, mut user) = started(env.server().opts(["--killsig", "1"]));
    user.send(b"\x18");
    user.until("The process was killed by signal 1\r\n");
}

fn sigterm_from_outside_ends_the_child(env: &TestEnv) {
    let (server, mut user) = started(env.server());
    kill(Pid::from_raw(server.child_start(1)), Signal::SIGTERM).unwrap();
    user.until("The process was killed by signal 15\r\n");
}

/// It may come while the new process has not made itself leader of a group yet, or still has the
/// server's signal handlers.
fn kill_right_after_the_start_is_not_lost(env: &TestEnv) {
    let setup = env.server().opts(["--killsig", "15", "--noautorestart", "-w"]);
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    for _ in 0..40 {
        user.send(b"\x12");
        user.until(RULE);
        user.send(b"\x18");
        user.until("The process was killed by signal 15\r\n");
        user.until("the child, ^Q quits the server\r\n");
    }
}

fn interrupt_character_ends_the_child(env: &TestEnv) {
    let (server, mut user) = started(env.server());
    server.child_start(1);
    user.send(b"\x03");
    user.until("The process was killed by signal 2\r\n");
}

fn server_started_with_sigterm_blocked_obeys_it(env: &TestEnv) {
    let server = env.server().launched_by(["block", "SIGTERM"]).start();
    server.connect().greeting();
    assert_eq!(server.terminate().code(), Some(0));
}

fn child_has_three_descriptors(env: &TestEnv) {
    let port = env.free_port().to_string();
    let setup = env.server().launched_by(["open-fd"]).logged().log_endpoint().opts(["-P", &port]);
    let server = setup.opts(["-w"]).child(["show-fds", "cat"]).start();
    // Connections of every kind, and a second start that could inherit what the first one left.
    let mut log = server.connect_log();
    log.greeting();
    let mut other = server.connect_to(&port);
    other.greeting();
    let mut user = server.connect();
    user.greeting();
    for _ in 0..2 {
        user.send(b"\x12");
        user.until(RULE);
        user.expect("fds: 0 1 2\n");
        user.send(b"\x18");
        user.until("the child, ^Q quits the server\r\n");
    }
}

fn grandchild_does_not_keep_the_port(env: &TestEnv) {
    let port = env.free_port().to_string();
    let steps = ["background", "setsid", "record", "orphan", "wait", ";", "cat"];
    let first = env.server().control(&port).child(steps).start();
    first.file_with("orphan", "\n");
    first.terminate();
    let orphan = String::from_utf8(first.file("orphan")).unwrap().trim().parse().unwrap();
    assert!(crate::support::alive(orphan));
    env.server().control(&port).start().connect().greeting();
}

fn daemon_starts_with_its_first_descriptors_closed(env: &TestEnv) {
    let setup = env.server().daemon().opts(["-p", "pid"]);
    let server = setup.launched_by(["close", "0", "close", "1", "close", "2"]).start();
    let mut user = server.connect();
    let greeting = user.greeting();
    server.child_start(1);
    user.send(b"hello\n");
    user.until("hello\r\nhello\r\n");
    let pid = number_after(&greeting, "server PID: ");
    assert_eq!(fs::read_to_string(server.path("pid")).unwrap(), format!("{pid}\n"));
}

fn foreground_starts_with_its_first_descriptors_closed(env: &TestEnv) {
    let server = env.server().launched_by(["close", "0", "close", "1", "close", "2"]).start();
    let mut user = server.connect();
    user.greeting();
    server.child_start(1);
    user.send(b"hello\n");
    user.until("hello\r\nhello\r\n");
}

fn files_are_complete_when_the_parent_has_left(env: &TestEnv) {
    for _ in 0..60 {
        let server = env.server().daemon().opts(["-p", "pid", "-I", "info"]).start();
        let (pid, info) = (fs::read(server.path("pid")), fs::read(server.path("info")));
        let own = server.pid();
        assert_eq!(String::from_utf8(pid.unwrap()).unwrap(), format!("{own}\n"));
        assert_eq!(String::from_utf8(info.unwrap()).unwrap(), format!("pid:{own}\nunix:ctl\n"));
    }
}

/// The stdout of the server is a file, so that stdio of the C library would buffer, and the child
/// ends by itself before any exec could drop the buffer.
fn debug_output_never_reaches_the_child(env: &TestEnv) {
    let setup = env.server().bare().opts(["-d", "-w", "-c", "missing", "-P", "unix:ctl"]);
    let server = setup.opts(["--noautorestart"]).command(["./fake-ioc"]).start();
    let mut user = server.connect_to("unix:ctl");
    user.greeting();
    // Several times: procServ loses the last output of a child, this too.
    for _ in 0..10 {
        user.send(b"\x12");
        user.until(RULE);
        user.expect(
            "\
procServ: child could not chdir to missing, No such file or directory
procServ: child could not execute: ./fake-ioc, No such file or directory

@@@ @@@ @@@ @@@ @@@
@@@ Received a sigChild for process <pid>. Normal exit status = 255
",
        );
        user.until("the child, ^Q quits the server\r\n");
    }
}
