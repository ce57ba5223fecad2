//! `--announce`: who attaches and who leaves is told.

use nix::sys::signal::Signal;
use nix::unistd::{User, getuid};

use crate::support::{TestEnv, cases, find};

cases![
    everybody_else_is_told,
    without_the_option_nobody_is_told,
    tcp_client_is_told_by_its_address,
    loggers_are_told_and_not_announced,
    who_left_is_known_after_an_upgrade,
];

/// The user of this process as others are told.
fn own_name() -> String {
    let uid = getuid();
    match User::from_uid(uid).unwrap() {
        Some(user) => format!("{} (uid {uid})", user.name),
        None => format!("uid {uid}"),
    }
}

fn everybody_else_is_told(env: &TestEnv) {
    let server = env.server().opts(["--announce"]).child(["cat"]).start();
    let mut first = server.connect();
    first.greeting();
    let mut second = server.connect();
    second.greeting();
    let who = own_name();
    first.until(format!("@@@ {who} attached\r\n"));
    second.send("typed\r");
    second.until("typed");
    assert_eq!(find(second.received(), b"attached"), None);
    drop(second);
    first.until(format!("@@@ {who} left\r\n"));
}

fn without_the_option_nobody_is_told(env: &TestEnv) {
    let server = env.server().child(["cat"]).start();
    let mut first = server.connect();
    first.greeting();
    server.connect().greeting();
    server.falls_asleep();
    first.send("typed\r");
    first.until("typed");
    assert_eq!(find(first.received(), b"attached"), None);
}

fn tcp_client_is_told_by_its_address(env: &TestEnv) {
    let endpoint = format!("127.0.0.1:{}", env.free_port());
    let server = env.server().opts(["--announce", "-P", &endpoint]).child(["cat"]).start();
    let mut first = server.connect();
    first.greeting();
    server.connect_to(&endpoint).greeting();
    first.until("@@@ 127.0.0.1:");
    first.until(" attached\r\n");
    first.until("@@@ 127.0.0.1:");
    first.until(" left\r\n");
}

fn loggers_are_told_and_not_announced(env: &TestEnv) {
    let server = env.server().opts(["--announce"]).log_endpoint().child(["cat"]).start();
    let mut user = server.connect();
    user.greeting();
    let mut logger = server.connect_log();
    logger.greeting();
    drop(user);
    logger.until(format!("@@@ {} left\r\n", own_name()));
    assert_eq!(find(logger.received(), b"attached"), None);
}

fn who_left_is_known_after_an_upgrade(env: &TestEnv) {
    let setup = env.server().opts(["--announce"]).logged().child(["cat"]);
    let server = setup.start();
    let mut first = server.connect();
    first.greeting();
    let second = server.connect();
    first.until("attached\r\n");
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "upgraded in place");
    drop(second);
    first.until(format!("@@@ {} left\r\n", own_name()));
}
