//! `--compat 2.7`: the words of that version, byte for byte.

use crate::support::{TestEnv, TestServer, cases, find, show};
use std::path::Path;
use std::process::Command;

/// Where a package puts the program whose words they are.
const ORIGINAL: &str = "/usr/bin/procServ";

cases![
    greeting_is_in_old_words,
    notices_are_in_old_words,
    toggle_knows_two_modes,
    oneshot_is_left_by_the_toggle,
    words_stay_over_an_upgrade,
    a_session_is_that_of_2_7.only_if(original_is_2_7(), "no procServ 2.7.0"),
    other_versions_are_errors,
];

fn original_is_2_7() -> bool {
    let version = Command::new(ORIGINAL).arg("-V").output();
    version.is_ok_and(|version| version.stdout.ends_with(b" 2.7.0\n"))
}

const COMPAT: [&str; 2] = ["--compat", "2.7"];

fn greeting_is_in_old_words(env: &TestEnv) {
    let server = env.server().opts(COMPAT).opts(["-w", "-n", "ioc"]).logged().start();
    let greeting = server.connect().greeting();
    server.assert_console(
        &greeting[..greeting.len() - 6],
        "\
@@@ Welcome to procServ (<version>)
@@@ Use ^X to kill the child, auto restart is ON, use ^T to toggle auto restart
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child \"ioc\" is SHUT DOWN
@@@ procServ server started at: <time>
@@@ 0 user(s) and 0 logger(s) connected (plus you)
@@@ ^R or ^X restarts the child, ^Q quits the server
",
    );
}

fn notices_are_in_old_words(env: &TestEnv) {
    let server = env.server().opts(COMPAT).opts(["-w", "-n", "ioc"]).logged().start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x14");
    user.expect("\n@@@ Toggled auto restart to OFF\n");
    user.send(b"\x18");
    user.expect(
        "\
@@@ Restarting child \"ioc\"
@@@    (as ./fake-ioc)
@@@ The PID of new child \"ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
",
    );
    user.send(b"\x18");
    user.expect(
        "
@@@ @@@ @@@ @@@ @@@
@@@ Received a sigChild for process <pid>. The process was killed by signal 9
@@@ Current time: <time>
@@@ Child process is shutting down, auto restart is disabled
@@@ ^R or ^X restarts the child, ^Q quits the server
",
    );
    let log = server.file_with("log", "^Q quits");
    assert!(find(&log, b"kill command").is_none(), "{}", show(&log));
}

fn toggle_knows_two_modes(env: &TestEnv) {
    let server = env.server().opts(COMPAT).start();
    let mut user = server.connect();
    user.greeting();
    for mode in ["OFF", "ON", "OFF", "ON"] {
        user.send(b"\x14");
        user.until(format!("\r\n@@@ Toggled auto restart to {mode}\r\n"));
    }
}

fn oneshot_is_left_by_the_toggle(env: &TestEnv) {
    let server = env.server().opts(COMPAT).opts(["-o"]).start();
    let mut user = server.connect();
    let greeting = user.greeting();
    assert!(find(&greeting, b", auto restart is ONESHOT, ").is_some(), "{}", show(&greeting));
    user.send(b"\x14");
    user.until("\r\n@@@ Toggled auto restart to ON\r\n");
}

fn words_stay_over_an_upgrade(env: &TestEnv) {
    let server = env.server().opts(COMPAT).logged().start();
    let mut user = server.connect();
    user.greeting();
    server.signal(nix::sys::signal::Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    user.send(b"\x14");
    user.until("\r\n@@@ Toggled auto restart to OFF\r\n");
}

/// What a control client and a log client see: up to the kill command, and of it.
struct Session {
    user: Vec<u8>,
    logger: Vec<u8>,
    end: Vec<u8>,
}

fn session(env: &TestEnv, program: &Path, options: &[&str]) -> Session {
    let setup = env.server().program(program).log_endpoint().logged().opts(options);
    let setup = setup.opts(["-w", "-n", "ioc", "-x", "^L", "--timefmt", "TIME", "--holdoff", "1"]);
    let server = setup.child(["raw", "say", "READY", "cat"]).start();
    let mut logger = server.connect_log();
    logger.until("closes this connection\r\n");
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x14");
    user.until("to OFF\r\n");
    user.send(b"\x12");
    user.until("READY\r\n");
    user.send(b"\x14");
    user.until("to ON\r\n");
    user.send(b"typed\n");
    user.until("typed\r\n");
    let mut second = server.connect();
    second.greeting();
    user.send(b"\x14");
    user.until("to OFF\r\n");
    logger.until("typed\r\n");
    logger.until("to OFF\r\n");
    second.until("to OFF\r\n");
    let before = [user.received(), second.received()].concat();
    user.send(b"\x18");
    let end = user.until_all(["killed by signal 9\r\n", "closes this connection\r\n"]);
    let mask = |bytes: &[u8]| masked(&server, bytes);
    Session { user: mask(&before), logger: mask(logger.received()), end: mask(&end) }
}

/// Without directory, version and numbers.
fn masked(server: &TestServer, bytes: &[u8]) -> Vec<u8> {
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let text = text.replace(server.dir().to_str().unwrap(), "DIR");
    let lines = text.split_inclusive('\n').map(|line| {
        let line = if line.starts_with("@@@ Welcome") { "@@@ Welcome\r\n" } else { line };
        let numbers = line.split(|letter: char| letter.is_ascii_digit());
        numbers.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("N")
    });
    lines.collect::<String>().chars().map(|letter| letter as u8).collect()
}

fn a_session_is_that_of_2_7(env: &TestEnv) {
    let original = session(env, Path::new(ORIGINAL), &[]);
    let ours = session(env, env.program(), &COMPAT);
    assert_eq!(show(&ours.user), show(&original.user));
    assert_eq!(show(&ours.logger), show(&original.logger));
    // 2.7.0 swaps the two halves of the news now and then.
    let sorted = |bytes: &[u8]| {
        let mut lines: Vec<_> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        lines.sort_unstable();
        lines.concat()
    };
    assert_eq!(show(&sorted(&ours.end)), show(&sorted(&original.end)));
}

fn other_versions_are_errors(env: &TestEnv) {
    for version in ["", "2", "2.70", "2.7.0", " 2.7", "2.8", "2.9"] {
        let finished = env.server().opts(["--compat", version]).run();
        let line = format!("procServ: invalid version '{version}' for --compat (only 2.7)\n");
        finished.assert(1, "", &line);
        assert!(!finished.instance.path("starts").exists());
    }
}
