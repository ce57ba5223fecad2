//! Log, pidfile, info file, socket files.

use crate::support::dialogue::{gone, line, started};
use crate::support::{TestEnv, cases, show};
use crate::upgrade::ask::{assert_echo, notice, upgrade, upgrade_logged_in, without_notices};
use nix::sys::signal::Signal;
use std::fs;

cases![
    only_the_log_is_told,
    log_is_told_at_once_when_nothing_else_happens,
    renamed_log_goes_on_until_sighup,
    sighup_opens_the_log_of_that_name,
    truncated_log_is_appended_to,
    log_that_was_never_opened_is_still_none,
    log_on_stdout_goes_on,
    files_are_removed_at_the_end,
    files_of_somebody_else_stay,
];

fn only_the_log_is_told(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged().log_endpoint());
    let mut logger = server.connect_log();
    logger.greeting();
    assert_echo(&mut user, "before");
    logger.expect("before\nbefore\n");
    let before = server.file_with("log", "before\r\nbefore\r\n");
    upgrade(env, &server);
    assert_echo(&mut user, "after");
    logger.expect("after\nafter\n");
    let log = server.file_with("log", "after\r\nafter\r\n");
    let expected = format!("{}after\r\nafter\r\n", notice(env));
    assert_eq!(show(&log[before.len()..]), show(expected.as_bytes()));
    assert!(log.starts_with(&before));
    assert_eq!(server.stdout() + &server.stderr(), "");
}

/// Nothing happens after the upgrade: no child writes, no client is there.
fn log_is_told_at_once_when_nothing_else_happens(env: &TestEnv) {
    let server = env.server().logged().opts(["-w"]).start();
    env.wait_for("the server", || fs::metadata(server.path("ctl")).ok());
    // Its own start may still go on.
    server.falls_asleep();
    upgrade(env, &server);
    upgrade(env, &server);
}

fn renamed_log_goes_on_until_sighup(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged());
    fs::rename(server.path("log"), server.path("old")).unwrap();
    upgrade_logged_in(env, &server, "old");
    assert_echo(&mut user, "into the old one");
    server.file_with("old", "into the old one\r\ninto the old one\r\n");
    assert!(!server.path("log").exists());
    server.signal(Signal::SIGHUP);
    env.wait_for("the new log", || fs::metadata(server.path("log")).ok());
    assert_echo(&mut user, "into the new one");
    server.file_with("log", "into the new one\r\ninto the new one\r\n");
    assert!(!show(&server.file("old")).contains("new one"));
}

fn sighup_opens_the_log_of_that_name(env: &TestEnv) {
    // A relative name, and a child elsewhere.
    let setup = env.server().logged().opts(["-c", "/"]);
    let command = setup.path("fake-ioc").into_os_string();
    let (server, mut user) = started(setup.command([command, "cat".into()]));
    upgrade(env, &server);
    fs::rename(server.path("log"), server.path("old")).unwrap();
    server.signal(Signal::SIGHUP);
    env.wait_for("the new log", || fs::metadata(server.path("log")).ok());
    upgrade(env, &server);
    assert_echo(&mut user, "hello");
    let log = server.file_with("log", "hello\r\nhello\r\n");
    assert_eq!(without_notices(env, &log), "hello\r\nhello\r\n");
}

fn truncated_log_is_appended_to(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged());
    upgrade(env, &server);
    fs::File::options().write(true).open(server.path("log")).unwrap().set_len(0).unwrap();
    assert_echo(&mut user, "hello");
    let log = server.file_with("log", "hello\r\nhello\r\n");
    assert_eq!(show(&log), show(b"hello\r\nhello\r\n"));
}

fn log_that_was_never_opened_is_still_none(env: &TestEnv) {
    let setup = env.server().opts(["-L", "logs/log"]);
    let (server, mut user) = started(setup);
    let greeting = |user: &mut crate::support::Client| line(&user.greeting(), "@@@ Child log file");
    let before = greeting(&mut server.connect());
    assert!(server.stderr().contains("logs/log"), "{}", server.stderr());
    let complaints = server.stderr();
    server.signal(Signal::SIGUSR1);
    // The server that is another one has another environment.
    let environment = format!("/proc/{}/environ", server.pid());
    env.wait_for("the upgrade", || {
        let environment = fs::read(&environment).ok()?;
        crate::support::find(&environment, b"PROCSERV_HANDOVER=").map(drop)
    });
    assert_echo(&mut user, "nowhere");
    assert_eq!(greeting(&mut server.connect()), before);
    assert_eq!(server.stderr(), complaints);
    fs::create_dir(server.path("logs")).unwrap();
    server.signal(Signal::SIGHUP);
    env.wait_for("the log", || fs::metadata(server.path("logs/log")).ok());
    assert_echo(&mut user, "somewhere");
    server.file_with("logs/log", "somewhere\r\nsomewhere\r\n");
}

fn log_on_stdout_goes_on(env: &TestEnv) {
    let (server, mut user) = started(env.server().opts(["-L", "-"]));
    upgrade_logged_in(env, &server, "stdout");
    upgrade_logged_in(env, &server, "stdout");
    assert_echo(&mut user, "hello");
    let stdout = server.file_with("stdout", "hello\r\nhello\r\n");
    let end = format!("{0}{0}hello\r\nhello\r\n", notice(env));
    assert!(stdout.ends_with(end.as_bytes()), "{}", show(&stdout));
}

fn files_are_removed_at_the_end(env: &TestEnv) {
    let setup = env.server().logged().log_endpoint().opts(["-p", "pid", "-I", "info"]);
    let server = setup.daemon().start();
    let child = server.child_start(1);
    let files = || ["pid", "info"].map(|name| show(&server.file(name)));
    let before = files();
    assert_eq!(before[0], show(format!("{}\n", server.pid()).as_bytes()));
    upgrade(env, &server);
    upgrade(env, &server);
    assert_eq!(files(), before);
    assert_eq!(server.terminate().code(), Some(0));
    for name in ["pid", "info", "ctl", "log-ctl"] {
        assert!(!server.path(name).exists(), "{name}");
    }
    gone(env, child);
}

fn files_of_somebody_else_stay(env: &TestEnv) {
    let setup = env.server().logged().opts(["-p", "pid", "-P", "unix:other"]);
    let server = setup.start();
    server.connect().greeting();
    fs::rename(server.path("ctl"), server.path("moved")).unwrap();
    fs::write(server.path("ctl"), "mine").unwrap();
    fs::write(server.path("pid"), "1\n").unwrap();
    upgrade(env, &server);
    server.connect_to("unix:other").greeting();
    server.connect_to("unix:moved").greeting();
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!((server.file("ctl"), server.file("pid")), (b"mine".to_vec(), b"1\n".to_vec()));
    assert!(!server.path("other").exists());
}
