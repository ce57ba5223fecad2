//! Endpoints, and everybody who is connected.

use crate::support::dialogue::{line, started, started_hex};
use crate::support::{NEGOTIATION, TestEnv, cases, descriptors, show};
use crate::upgrade::ask::{assert_echo, notice, upgrade};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

cases![
    endpoints_and_clients_of_all_kinds_live_on,
    output_is_neither_lost_nor_repeated,
    half_a_telnet_sequence_is_completed,
    half_a_subnegotiation_is_completed,
    nothing_is_negotiated_again,
    paste_to_a_deaf_child_arrives_whole,
    output_for_a_client_that_does_not_read_waits,
    clients_that_leave_meanwhile_are_gone,
    stamps_go_on_in_mid_line,
    greeting_is_the_same,
];

fn endpoints_and_clients_of_all_kinds_live_on(env: &TestEnv) {
    let port = env.free_port().to_string();
    let name = format!("unix:@procserv-upgrade-{port}");
    let setup = env.server().logged().log_endpoint().opts(["-P", &port, "-P", &name]);
    let server = setup.start();
    let child = server.child_start(1);
    let endpoints = ["unix:ctl", &port, &name];
    let mut users = endpoints.map(|endpoint| server.connect_to(endpoint));
    users.iter_mut().for_each(|user| drop(user.greeting()));
    let mut logger = server.connect_log();
    logger.greeting();
    let socket = fs::metadata(server.path("ctl")).unwrap().ino();
    for round in 0..3 {
        upgrade(env, &server);
        for speaker in 0..users.len() {
            let word = format!("round {round} of {speaker}");
            users[speaker].send(format!("{word}\n"));
            for user in users.iter_mut().chain([&mut logger]) {
                user.expect(&format!("{word}\n{word}\n"));
            }
        }
        for endpoint in endpoints {
            let mut newcomer = server.connect_to(endpoint);
            newcomer.greeting();
            assert_echo(&mut newcomer, "new");
            for user in users.iter_mut().chain([&mut logger]) {
                user.expect("new\nnew\n");
            }
        }
    }
    assert_eq!(fs::read_to_string(server.path("starts")).unwrap(), format!("{child}\n"));
    assert_eq!(fs::metadata(server.path("ctl")).unwrap().ino(), socket);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!server.path("ctl").exists() && !server.path("log-ctl").exists());
    for user in &mut users {
        // Nobody but the log was told of an upgrade.
        user.until_end();
        assert!(!show(user.received()).contains("upgrade"), "{}", show(user.received()));
    }
}

/// The server sleeps while the child writes and the signal comes.
fn output_is_neither_lost_nor_repeated(env: &TestEnv) {
    let child =
        ["wait-for", "go", "emit", "3000", "record", "done", "wait-for", "on", "say", "END"];
    let child = [&child[..], &["wait"]].concat();
    let (server, mut user) = started(env.server().logged().child(child));
    server.signal(Signal::SIGSTOP);
    fs::write(server.path("go"), "").unwrap();
    env.wait_for("the child to have written", || fs::read(server.path("done")).ok());
    upgrade_while_stopped(env, &server);
    fs::write(server.path("on"), "").unwrap();
    let lines: String = (0..47).map(|n| format!("{n:<63}\n")).collect();
    user.expect(&format!("{}END\n", &lines[..3000]));
}

fn upgrade_while_stopped(env: &TestEnv, server: &crate::support::TestServer) {
    crate::upgrade::ask::upgrade_by(env, server, "log", || {
        server.signal(Signal::SIGUSR1);
        server.signal(Signal::SIGCONT);
    });
}

fn half_a_telnet_sequence_is_completed(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().logged());
    user.send(b"a\xff");
    user.until("61 ");
    upgrade(env, &server);
    user.send(b"\xffb\n");
    assert_eq!(show(&user.until("0a \r\n")), show(b"ff 62 0a \r\n"));
    user.send(b"c\xff\xfd");
    user.until("63 ");
    upgrade(env, &server);
    // An option that nobody has: refused.
    user.send(b"\x63d\n");
    let answer = user.until_all(["0a \r\n"]);
    assert_eq!(show(&answer), show(b"\xff\xfc\x6364 0a \r\n"));
    // CR and what belongs to it are one line end.
    user.send(b"e\r");
    user.until("65 ");
    upgrade(env, &server);
    user.send(b"\0f\n");
    let before = user.until("0a \r\n");
    assert!(before.ends_with(b"66 0a \r\n") && !show(&before).contains("00"), "{}", show(&before));
}

fn half_a_subnegotiation_is_completed(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().logged());
    user.send(b"a\xff\xfa\x1f\0");
    user.until("61 ");
    upgrade(env, &server);
    user.send(b"\x50\0\x18\xff\xf0b\n");
    assert_eq!(show(&user.until("0a \r\n")), show(b"62 0a \r\n"));
}

fn nothing_is_negotiated_again(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged());
    // As telnet(1) answers the greeting.
    user.send(b"\xff\xfd\x01\xff\xfc\x22x\n");
    user.expect("x\nx\n");
    upgrade(env, &server);
    // Answered before, so that an answer now would begin a loop.
    user.send(b"\xff\xfd\x01\xff\xfc\x22y\n");
    user.expect("y\ny\n");
    upgrade(env, &server);
    assert_echo(&mut user, "z");
}

fn paste_to_a_deaf_child_arrives_whole(env: &TestEnv) {
    let child = ["raw", "say", "READY", "wait-for", "go", "slowly", "kept"];
    let (server, mut user) = started(env.server().logged().child(child));
    user.expect("READY\n");
    let paste: String = (0..90_000).map(|n| format!("{n:<6}\n")).collect();
    let (first, second) = paste.split_at(paste.len() / 2);
    user.send(first);
    upgrade(env, &server);
    user.send(second);
    upgrade(env, &server);
    fs::write(server.path("go"), "").unwrap();
    env.wait_for("all of the paste", || {
        let kept = fs::metadata(server.path("kept")).ok()?.len();
        (kept >= paste.len() as u64).then_some(())
    });
    assert!(server.file("kept") == paste.as_bytes());
}

fn output_for_a_client_that_does_not_read_waits(env: &TestEnv) {
    let child = ["wait-for", "go", "emit", "700032", "say", "END", "wait"];
    let (server, _) = started(env.server().logged().child(child));
    let mut deaf = server.connect();
    deaf.greeting();
    fs::write(server.path("go"), "").unwrap();
    server.file_with("log", "END\r\n");
    upgrade(env, &server);
    upgrade(env, &server);
    let lines: String = (0..10_938).map(|n| format!("{n:<63}\r\n")).collect();
    assert!(deaf.until("END\r\n") == format!("{lines}END\r\n").into_bytes());
}

fn clients_that_leave_meanwhile_are_gone(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged());
    // What the first server inherited from whoever started it is closed by the first upgrade.
    upgrade(env, &server);
    let before = descriptors(server.pid()).len();
    let mut leaver = server.connect();
    leaver.greeting();
    server.signal(Signal::SIGSTOP);
    drop(leaver);
    upgrade_while_stopped(env, &server);
    env.wait_for("one descriptor less", || {
        (descriptors(server.pid()).len() == before).then_some(())
    });
    assert_echo(&mut user, "hello");
    line(&server.connect().greeting(), "@@@ 1 user(s) and 0 logger(s) connected (plus you)");
}

fn stamps_go_on_in_mid_line(env: &TestEnv) {
    let child = ["wait-for", "go", "print", "half", "wait-for", "on", "print", " line\\n", "wait"];
    let setup = env.server().logged().log_endpoint().opts(["--logstamp=STAMP "]);
    let (server, mut user) = started(setup.child(child));
    let mut logger = server.connect_log();
    logger.greeting();
    fs::write(server.path("go"), "").unwrap();
    let before = server.file_with("log", "STAMP half").len();
    logger.until("STAMP half");
    upgrade(env, &server);
    fs::write(server.path("on"), "").unwrap();
    logger.expect(" line\n");
    user.expect("half line\n");
    let log = server.file_with("log", " line\r\n");
    // The notice is on a line of its own.
    let expected = format!("\r\nSTAMP {}STAMP  line\r\n", notice(env));
    assert_eq!(show(&log[before..]), show(expected.as_bytes()));
}

fn greeting_is_the_same(env: &TestEnv) {
    let setup = env.server().logged().log_endpoint().opts(["-n", "ioc", "-I", "info"]);
    let (server, _user) = started(setup);
    let mut logger = server.connect_log();
    logger.greeting();
    let mut leaver = server.connect();
    let before = leaver.greeting();
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let began = second();
    // A server that started now would say another time.
    env.wait_for("another second", || (second() > began + 1).then_some(()));
    upgrade(env, &server);
    let after = server.connect().greeting();
    let counted = |greeting: &[u8]| show(greeting).replace("@@@ 1 user(s)", "@@@ 2 user(s)");
    assert_eq!(counted(&before), show(&after));
    line(&after, "@@@ 2 user(s) and 1 logger(s) connected (plus you)");
    assert!(after.ends_with(NEGOTIATION));
}
