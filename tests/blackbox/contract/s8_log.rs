//! Contract section 8: the log, and the stamped lines of log clients.

use crate::support::dialogue::{HEX, RULE, started, started_hex};
use crate::support::{TestEnv, TestServer, cases, find};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;

cases![
    s8_log_is_the_console,
    s8_log_is_appended_to_what_is_there,
    s8_log_file_mode_is_0644_less_umask,
    s8_log_has_no_input_as_such,
    s8_log_has_ff_once,
    s8_log_is_opened_for_appending,
    s8_logstamp_stamps_each_line,
    s8_logstamp_default_is_the_time_in_brackets
        .differs_on_oracle("2.7.0 has neither brackets nor blank (section 10)"),
    s8_logstamp_default_follows_timefmt
        .differs_on_oracle("2.7.0 has neither brackets nor blank (section 10)"),
    s8_logstamp_is_for_log_clients_too,
    s8_logstamp_is_never_for_control_clients,
    s8_logstamp_is_put_once_before_a_line,
    s8_log_client_joining_in_mid_line_gets_a_stamp,
    s8_log_that_cannot_be_opened_is_told,
    s8_hangup_reopens_the_log,
    s8_hangup_in_mid_line_adds_no_stamp,
    s8_hangup_starts_a_log_that_failed,
    s8_failed_reopen_is_told,
    s8_failed_reopen_goes_on_with_the_old_file.differs_on_oracle("stops logging (section 8, [+])"),
    s8_log_on_stdout,
    s8_hangup_leaves_a_log_on_stdout_alone,
    s8_savelog_keeps_the_log_before.differs_on_oracle("an option of SLAC's fork and of ours"),
    s8_write_error_is_told_once.differs_on_oracle("says nothing of the kind (section 8, [+])"),
];

fn s8_log_is_the_console(env: &TestEnv) {
    let setup = env.server().opts(["-n", "ioc"]).logged();
    let (server, mut user) = started(setup.child(["say", "hello", "cat"]));
    user.expect("hello\n");
    user.send(b"typed\n");
    user.expect("typed\ntyped\n");
    user.send(b"\x14");
    user.until("Toggled auto restart");
    server.terminate();
    server.assert_console(
        server.file("log"),
        "\
@@@ Restarting child \"ioc\"
@@@    (as ./fake-ioc)
@@@ The PID of new child \"ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
hello
typed
typed

@@@ Toggled auto restart mode to OFF
@@@ Current time: <time>
@@@ Child process is shutting down, auto restart is disabled
@@@ ^R or ^X restarts the child, ^Q quits the server
",
    );
}

fn s8_log_is_appended_to_what_is_there(env: &TestEnv) {
    let setup = env.server().with_file("log", "before\n").logged();
    let server = setup.child(["say", "hello", "cat"]).start();
    let log = server.file_with("log", "hello\r\n");
    assert!(log.starts_with(b"before\n@@@ Restarting child "), "{}", log.escape_ascii());
}

fn s8_log_file_mode_is_0644_less_umask(env: &TestEnv) {
    for (umask, mode) in [("0", 0o644), ("0027", 0o640)] {
        let server = env.server().launched_by(["umask", umask]).logged().start();
        server.file_with("log", RULE);
        assert_eq!(fs::metadata(server.path("log")).unwrap().mode() & 0o7777, mode);
    }
}

fn s8_log_has_no_input_as_such(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().logged());
    user.send(b"ab\n");
    user.expect("61 62 0a \n");
    let log = server.file_with("log", "61 62 0a \r\n");
    assert!(log.ends_with(b"@@@ @@@ @@@ @@@ @@@\r\nREADY\r\n61 62 0a \r\n"));
}

fn s8_log_has_ff_once(env: &TestEnv) {
    let setup = env.server().logged().child(["print", r"a\xff\xffb\n", "cat"]);
    let server = setup.start();
    server.file_with("log", b"a\xff\xffb\r\n");
}

fn s8_log_is_opened_for_appending(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().logged());
    server.file_with("log", "READY\r\n");
    fs::write(server.path("log"), "").unwrap();
    user.send(b"a\n");
    assert_eq!(server.file_with("log", "\n"), b"61 0a \r\n");
}

const STAMPED: [&str; 1] = ["--logstamp=STAMP "];

fn s8_logstamp_stamps_each_line(env: &TestEnv) {
    let steps = ["print", r"one\n\ntwo\n", "cat"];
    let (server, mut user) = started(env.server().opts(STAMPED).logged().child(steps));
    user.expect("one\n\ntwo\n");
    server.terminate();
    server.assert_console(
        server.file("log"),
        "\
STAMP @@@ Restarting child \"./fake-ioc\"
STAMP @@@ The PID of new child \"./fake-ioc\" is: <pid>
STAMP @@@ @@@ @@@ @@@ @@@
STAMP one
STAMP \n\
STAMP two
STAMP @@@ Current time: <time>
STAMP @@@ Child process is shutting down, a new one will be restarted shortly
STAMP @@@ ^R or ^X restarts the child, ^Q quits the server
",
    );
}

fn s8_logstamp_default_is_the_time_in_brackets(env: &TestEnv) {
    let setup = env.server().opts(["--logstamp"]).logged().child(["say", "hello", "cat"]);
    let server = setup.start();
    server.assert_console(
        server.file_with("log", "hello\r\n"),
        "\
[<time>] @@@ Restarting child \"./fake-ioc\"
[<time>] @@@ The PID of new child \"./fake-ioc\" is: <pid>
[<time>] @@@ @@@ @@@ @@@ @@@
[<time>] hello
",
    );
}

fn s8_logstamp_default_follows_timefmt(env: &TestEnv) {
    let setup = env.server().opts(["--logstamp", "--timefmt", "now"]).logged();
    let server = setup.child(["say", "hello", "cat"]).start();
    server.file_with("log", "\r\n[now] hello\r\n");
}

fn s8_logstamp_is_for_log_clients_too(env: &TestEnv) {
    let server = env.server().opts(STAMPED).opts(["-w"]).log_endpoint().start();
    let mut user = server.connect();
    let mut log = server.connect_log();
    user.greeting();
    log.greeting();
    user.send(b"\x12");
    log.expect(
        "\
STAMP @@@ Restarting child \"./fake-ioc\"
STAMP @@@ The PID of new child \"./fake-ioc\" is: <pid>
STAMP @@@ @@@ @@@ @@@ @@@
",
    );
}

fn s8_logstamp_is_never_for_control_clients(env: &TestEnv) {
    let (_server, mut user) = started(env.server().opts(STAMPED).child(["say", "hello", "cat"]));
    user.expect("hello\n");
    user.send(b"\x14");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n");
    assert!(find(user.received(), b"STAMP").is_none());
}

fn s8_logstamp_is_put_once_before_a_line(env: &TestEnv) {
    let steps = ["print", "one", "wait-for", "go", "print", r" two\nthree\n", "cat"];
    let (server, mut user) = started(env.server().opts(STAMPED).logged().child(steps));
    user.until("one");
    server.file_with("log", "STAMP one");
    fs::write(server.path("go"), "").unwrap();
    server.file_with("log", "STAMP one two\r\nSTAMP three\r\n");
}

fn s8_log_client_joining_in_mid_line_gets_a_stamp(env: &TestEnv) {
    let steps = ["print", "one", "wait-for", "go", "print", r" two\nthree\n", "cat"];
    let setup = env.server().opts(STAMPED).log_endpoint().child(steps);
    let (server, mut user) = started(setup);
    user.until("one");
    let mut log = server.connect_log();
    log.greeting();
    fs::write(server.path("go"), "").unwrap();
    log.expect("STAMP  two\nSTAMP three\n");
}

fn s8_log_that_cannot_be_opened_is_told(env: &TestEnv) {
    let server = env.server().opts(["-L", "none/log"]).start();
    server.child_start(1);
    server.connect().greeting();
    assert_eq!(server.stderr(), "procServ: unable to open log file none/log\n");
}

/// Sends SIGHUP and waits until the server has acted upon it.
fn hang_up(env: &TestEnv, server: &TestServer, log: &str) {
    server.signal(Signal::SIGHUP);
    env.wait_for("the log to be opened anew", || server.path(log).exists().then_some(()));
}

fn s8_hangup_reopens_the_log(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().logged());
    server.file_with("log", "READY\r\n");
    fs::rename(server.path("log"), server.path("old")).unwrap();
    user.send(b"a\n");
    server.file_with("old", "61 0a \r\n");
    hang_up(env, &server, "log");
    user.send(b"b\n");
    assert_eq!(server.file_with("log", "\n"), b"62 0a \r\n");
    assert!(server.file("old").ends_with(b"READY\r\n61 0a \r\n"));
}

fn s8_hangup_in_mid_line_adds_no_stamp(env: &TestEnv) {
    let steps = ["print", "one", "wait-for", "go", "print", r" two\nthree\n", "cat"];
    let (server, _user) = started(env.server().opts(STAMPED).logged().child(steps));
    server.file_with("log", "STAMP one");
    fs::rename(server.path("log"), server.path("old")).unwrap();
    hang_up(env, &server, "log");
    fs::write(server.path("go"), "").unwrap();
    assert_eq!(server.file_with("log", "three\r\n"), b" two\r\nSTAMP three\r\n");
}

fn s8_hangup_starts_a_log_that_failed(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().opts(["-L", "sub/log"]));
    fs::create_dir(server.path("sub")).unwrap();
    hang_up(env, &server, "sub/log");
    user.send(b"a\n");
    assert_eq!(server.file_with("sub/log", "\n"), b"61 0a \r\n");
}

fn s8_failed_reopen_is_told(env: &TestEnv) {
    let setup = env.server().opts(["-L", "sub/log"]);
    fs::create_dir(setup.path("sub")).unwrap();
    let (server, _user) = started_hex(setup);
    fs::rename(server.path("sub"), server.path("gone")).unwrap();
    server.signal(Signal::SIGHUP);
    server.file_with("stderr", "procServ: unable to open log file sub/log\n");
}

fn s8_failed_reopen_goes_on_with_the_old_file(env: &TestEnv) {
    let setup = env.server().opts(["-L", "sub/log"]);
    fs::create_dir(setup.path("sub")).unwrap();
    let (server, mut user) = started_hex(setup);
    fs::rename(server.path("sub"), server.path("gone")).unwrap();
    server.signal(Signal::SIGHUP);
    server.file_with("stderr", "\n");
    user.send(b"a\n");
    server.file_with("gone/log", "READY\r\n61 0a \r\n");
    assert_eq!(server.stderr(), "procServ: unable to open log file sub/log\n");
}

fn s8_log_on_stdout(env: &TestEnv) {
    let setup = env.server().opts(["-n", "ioc", "-L", "-"]).opts(STAMPED);
    let server = setup.child(["say", "hello", "cat"]).start();
    server.assert_console(
        server.file_with("stdout", "hello\r\n"),
        "\
STAMP @@@ Restarting child \"ioc\"
STAMP @@@    (as ./fake-ioc)
STAMP @@@ The PID of new child \"ioc\" is: <pid>
STAMP @@@ @@@ @@@ @@@ @@@
STAMP hello
",
    );
    assert_eq!(server.stderr(), "");
}

fn s8_hangup_leaves_a_log_on_stdout_alone(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().opts(["-L", "-"]));
    server.signal(Signal::SIGHUP);
    user.send(b"a\n");
    server.file_with("stdout", "READY\r\n61 0a \r\n");
    assert!(!server.path("-").exists());
    assert_eq!(server.stderr(), "");
}

fn s8_write_error_is_told_once(env: &TestEnv) {
    let (server, mut user) = started(env.server().opts(["-L", "/dev/full"]).child(HEX));
    user.until("READY\r\n");
    let notice = "@@@ Log file /dev/full: No space left on device, output is not being logged\r\n";
    env.wait_for("the notice", || {
        user.send(b"a\n");
        user.until("61 0a \r\n");
        find(user.received(), notice.as_bytes())
    });
    for _ in 0..20 {
        user.send(b"b\n");
        user.until("62 0a \r\n");
    }
    server.terminate();
    user.until_end();
    let received = String::from_utf8_lossy(user.received()).into_owned();
    assert_eq!(received.matches("@@@ Log file ").count(), 1, "{received}");
    assert_eq!(received.matches(notice).count(), 1, "{received}");
}

fn s8_savelog_keeps_the_log_before(env: &TestEnv) {
    let setup = env.server().with_file("log", "before\n").opts(["--savelog"]).logged();
    let server = setup.child(["say", "hello", "cat"]).start();
    let log = server.file_with("log", "hello\r\n");
    assert!(log.starts_with(b"@@@ Restarting child "), "{}", log.escape_ascii());
    let entries = fs::read_dir(server.dir()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let saved: Vec<String> = names.filter(|name| name.starts_with("log.")).collect();
    let [saved] = &saved[..] else { panic!("{saved:?}") };
    assert_eq!(server.file(saved), b"before\n");
    let shape: String = saved.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "log.99999999-999999");
}
