//! Bytes on their way, and small facts that are easy to miss.

use crate::support::dialogue::{started, started_hex};
use crate::support::{TestEnv, cases};
use nix::sys::signal::Signal;
use std::fs;

cases![
    bytes_after_a_nul_reach_the_child.differs_on_oracle("they become NUL"),
    all_bytes_reach_the_child.differs_on_oracle("those after a NUL become NUL"),
    nul_and_no_more_is_dropped_with_an_ignore_list,
    long_name_in_the_news_is_not_cut.differs_on_oracle("cut, line end and all"),
    long_command_in_the_news_is_not_cut.differs_on_oracle("cut, line end and all"),
    long_time_is_not_cut.differs_on_oracle("cut"),
    long_stamp_is_not_cut.differs_on_oracle("cut"),
    log_client_that_joins_in_mid_line_gets_a_stamp_first,
    log_reopened_in_mid_line_gets_no_stamp,
    second_log_endpoint_wins,
    restrict_concerns_the_log_endpoint_only
        .differs_on_oracle("Debian's build has no --allow (section 10)"),
];

fn bytes_after_a_nul_reach_the_child(env: &TestEnv) {
    let setup = env.server().opts(["-k", "", "--autorestartcmd", ""]);
    let (_server, mut user) = started_hex(setup);
    user.send(b"ab\0cd\n");
    user.expect("61 62 00 63 64 0a \n");
}

/// The telnet escape has to be doubled.
fn all_bytes_reach_the_child(env: &TestEnv) {
    let setup = env.server().opts(["-k", "", "--autorestartcmd", ""]);
    let (_server, mut user) = started_hex(setup);
    let sent: Vec<u8> = (0..=255).chain([255, b'\n']).collect();
    user.send(sent);
    let shown = |byte| format!("{byte:02x} {}", if byte == 10 { "\n" } else { "" });
    let expected: String = (0..=255_u8).chain([b'\n']).map(shown).collect();
    user.expect(&expected);
}

fn nul_and_no_more_is_dropped_with_an_ignore_list(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"ab\0cd\n");
    user.expect("61 62 63 64 0a \n");
}

fn long_name_in_the_news_is_not_cut(env: &TestEnv) {
    let name = "n".repeat(700);
    let setup = env.server().opts(["-n", &name, "-w", "--noautorestart"]).child(["exit", "0"]);
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.expect(&format!(
        "\
@@@ Restarting child \"{name}\"
@@@    (as ./fake-ioc)
@@@ The PID of new child \"{name}\" is: <pid>
@@@ @@@ @@@ @@@ @@@
"
    ));
}

fn long_command_in_the_news_is_not_cut(env: &TestEnv) {
    let command = format!("{}fake-ioc", "./".repeat(400));
    let server = env.server().opts(["-n", "ioc", "-w"]).command([&*command, "wait"]).start();
    let mut user = server.connect();
    let greeting = user.greeting();
    let shown = format!("@@@ Child \"ioc\" started as: {command}\r\n");
    assert!(crate::support::find(&greeting, shown.as_bytes()).is_some());
    user.send(b"\x12");
    user.until(format!("@@@ Restarting child \"ioc\"\r\n@@@    (as {command})\r\n"));
}

fn long_time_is_not_cut(env: &TestEnv) {
    let time = "t".repeat(500);
    let setup = env.server().opts(["--timefmt", &time, "--noautorestart"]).child(["exit", "0"]);
    let (_server, mut user) = started(setup);
    user.until("Normal exit status = 0\r\n");
    user.expect(&format!("@@@ Current time: {time}\n@@@ Child process is shutting down"));
}

fn long_stamp_is_not_cut(env: &TestEnv) {
    let stamp = "s".repeat(500);
    let option = format!("--logstamp={stamp}");
    let (server, _) = started(env.server().logged().opts([&option]).child(["say", "hello", "cat"]));
    server.file_with("log", format!("\r\n{stamp}hello\r\n"));
}

const PARTS: [&str; 6] = ["print", "first", "wait-for", "go", "print", " second\\n"];

fn log_client_that_joins_in_mid_line_gets_a_stamp_first(env: &TestEnv) {
    let setup = env.server().log_endpoint().opts(["--logstamp=STAMP:"]).child(PARTS);
    let (server, mut user) = started(setup);
    user.expect("first");
    let mut log = server.connect_log();
    log.greeting();
    fs::write(server.path("go"), "").unwrap();
    log.expect("STAMP: second\n");
}

fn log_reopened_in_mid_line_gets_no_stamp(env: &TestEnv) {
    let child = [&PARTS[..], &["wait"]].concat();
    let (server, _user) = started(env.server().logged().opts(["--logstamp=STAMP:"]).child(child));
    server.file_with("log", "STAMP:first");
    fs::rename(server.path("log"), server.path("log.1")).unwrap();
    server.signal(Signal::SIGHUP);
    env.wait_for("the new log", || fs::read(server.path("log")).ok());
    fs::write(server.path("go"), "").unwrap();
    server.assert_console(server.file_with("log", "second\r\n"), " second\n");
}

fn second_log_endpoint_wins(env: &TestEnv) {
    let server = env.server().opts(["-l", "unix:one", "-l", "unix:two"]).start();
    server.connect_to("unix:two").until("@@@ procServ server PID: ");
    assert!(!server.path("one").exists());
}

fn restrict_concerns_the_log_endpoint_only(env: &TestEnv) {
    let (control, log) = (env.free_port(), env.free_port());
    let setup = env.server().control(&control.to_string());
    let server = setup.opts(["--allow", "--restrict", "-l", &log.to_string()]).start();
    server.connect().greeting();
    env.listens(control, "00000000");
    env.listens(log, "0100007F");
}
