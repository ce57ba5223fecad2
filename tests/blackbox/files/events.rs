//! `--events`: what is recorded, and how.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::Signal;

use super::{events_in, kinds, own_pid, wait_events};
use crate::support::preload::{NO_CC, is_available, preloaded};
use crate::support::{TestEnv, cases};

cases![
    the_start_says_who_and_what,
    any_bytes_are_valid_json,
    how_a_child_ended,
    readiness_of_each_child,
    signals_with_their_senders,
    a_child_that_is_replaced,
    a_start_that_fails,
    a_client_that_skipped,
    a_renamed_file_is_left_at_sighup,
    an_upgrade_loses_and_doubles_nothing,
    an_upgrade_that_is_refused,
    idle_means_asleep,
    a_daemon_keeps_them_where_it_was_started,
    nothing_without_the_option,
    a_clock_beyond_9999_ends_nothing.only_if(is_available(), NO_CC),
];

fn the_start_says_who_and_what(env: &TestEnv) {
    let server = env.server().opts(["-n", "ioc", "--events", "events", "-w"]).start();
    let start = &wait_events(env, &server, "server_start", 1)[0];
    assert_eq!(start["version"], env.version());
    assert_eq!(start["pid"], server.pid());
    assert_eq!(start["name"], "ioc");
    let argv = ["procServ", "-f", "-P", "unix:ctl", "-n", "ioc", "--events", "events", "-w"];
    let argv: Vec<&str> = argv.into_iter().chain(["./fake-ioc", "cat"]).collect();
    assert_eq!(start["argv"], serde_json::json!(argv));
    assert_eq!(start["endpoints"][0]["role"], "user");
    assert!(start["endpoints"][0]["endpoint"].as_str().unwrap().ends_with("ctl"));
}

fn any_bytes_are_valid_json(env: &TestEnv) {
    let name = OsStr::from_bytes(b"a\"b\\c\n\x01\xFF\xC3\xA4");
    let server = env.server().opts(["-n".as_ref(), name]).opts(["--events", "events"]).start();
    let start = &wait_events(env, &server, "server_start", 1)[0];
    assert_eq!(start["name"], "a\"b\\c\n\u{1}\u{fffd}\u{e4}");
    assert_eq!(start["argv"][5], start["name"]);
}

fn how_a_child_ended(env: &TestEnv) {
    let steps = ["on-start", "1", "exit", "3", "otherwise", "kill-self", "SIGUSR1"];
    let options = ["--holdoff", "0", "--events", "events"];
    let server = env.server().opts(options).child(steps).start();
    let ends = wait_events(env, &server, "child_exit", 2);
    assert_eq!((ends[0]["code"].as_i64(), ends[0].get("signal")), (Some(3), None));
    assert_eq!((ends[1]["signal"].as_i64(), ends[1].get("code")), (Some(10), None));
    let starts = wait_events(env, &server, "child_start", 2);
    assert_eq!(starts[0]["pid"], server.child_start(1));
    assert_eq!(starts[1]["pid"], ends[1]["pid"]);
}

fn readiness_of_each_child(env: &TestEnv) {
    let options = ["--holdoff", "0", "--ready", "iocRun: All", "--events", "events"];
    let child = [
        "say",
        "booting",
        "say",
        "iocRun: All initialization complete",
        "say",
        "iocRun: All",
        "cat",
    ];
    let server = env.server().opts(options).child(child).start();
    assert_eq!(wait_events(env, &server, "child_ready", 1)[0]["pid"], server.child_start(1));
    server.connect().send("\x18");
    let ready = wait_events(env, &server, "child_ready", 2);
    assert_eq!(ready.len(), 2, "once for each child");
    assert_eq!(ready[1]["pid"], server.child_start(2));
}

fn signals_with_their_senders(env: &TestEnv) {
    let server = env.server().opts(["--events", "events"]).start();
    server.child_start(1);
    server.signal(Signal::SIGUSR2);
    wait_events(env, &server, "signal", 1);
    server.signal(Signal::SIGHUP);
    wait_events(env, &server, "signal", 2);
    // It was ignored.
    server.connect().greeting();
    assert!(server.terminate().success());
    let events = events_in(&server, "events");
    let signals: Vec<_> = events.into_iter().filter(|event| event["event"] == "signal").collect();
    assert_eq!(kinds(&signals), ["signal SIGUSR2", "signal SIGHUP", "signal SIGTERM"]);
    for signal in signals {
        let uid = nix::unistd::getuid().as_raw();
        assert_eq!(signal["sender"], serde_json::json!({ "pid": own_pid(), "uid": uid }));
    }
}

fn a_child_that_is_replaced(env: &TestEnv) {
    let options = ["--overlap", "100", "--reloadcmd", "^U", "--events", "events"];
    let server = env.server().opts(options).child(["wait"]).start();
    let first = server.child_start(1);
    server.connect().send("\x15");
    let end = &wait_events(env, &server, "child_exit", 1)[0];
    assert_eq!((end["pid"].as_i64(), end["signal"].as_i64()), (Some(first.into()), Some(15)));
    // Before the next one has started.
    let second = server.child_start(2);
    server.signal(Signal::SIGUSR2);
    let ends = wait_events(env, &server, "child_exit", 2);
    assert_eq!(ends[1]["pid"], second);
    assert_eq!(wait_events(env, &server, "child_start", 3)[2]["pid"], server.child_start(3));
    let mut events = events_in(&server, "events");
    events.retain(|event| event["event"] != "connect" && event["event"] != "disconnect");
    let expected = [
        "server_start",
        "child_start",
        "command reload",
        "child_start",
        "child_exit",
        "signal SIGUSR2",
        "child_start",
        "child_exit",
    ];
    assert_eq!(kinds(&events), expected);
}

fn a_start_that_fails(env: &TestEnv) {
    let command = ["./not-there"];
    let options = ["--oneshot", "--holdoff", "0", "--events", "events"];
    let server = env.server().opts(options).command(command).start();
    server.wait_exit();
    // Seen from outside it is a child that ended.
    let kinds = kinds(&events_in(&server, "events"));
    assert_eq!(kinds, ["server_start", "child_start", "child_exit", "server_exit"]);
}

fn a_client_that_skipped(env: &TestEnv) {
    let child = ["wait-for", "go", "emit", "12000000", "say", "that is all", "cat"];
    let server = env.server().logged().opts(["--events", "events"]).child(child).start();
    let mut user = server.connect();
    user.greeting();
    std::fs::write(server.path("go"), "").unwrap();
    server.file_with("log", "that is all");
    user.until("that is all");
    let seen = String::from_utf8_lossy(user.received()).into_owned();
    let skips = seen.matches(" bytes skipped: ").count();
    assert!(skips > 0, "it was not skipped");
    for event in wait_events(env, &server, "skipped", skips) {
        let line = format!("@@@ {} bytes skipped: ", event["bytes"]);
        assert!(seen.contains(&line), "{line}");
        assert_eq!(event["client"]["pid"], own_pid());
    }
}

fn a_renamed_file_is_left_at_sighup(env: &TestEnv) {
    let server = env.server().opts(["--events", "events"]).start();
    server.connect().greeting();
    wait_events(env, &server, "disconnect", 1);
    std::fs::rename(server.path("events"), server.path("old")).unwrap();
    // Until then, everything goes on in the old one.
    server.connect().greeting();
    server.file_with("old", "\"connect\"");
    env.wait_for("the second client in the old file", || {
        (events_in(&server, "old").iter().filter(|it| it["event"] == "disconnect").count() == 2)
            .then_some(())
    });
    server.signal(Signal::SIGHUP);
    wait_events(env, &server, "signal", 1);
    server.connect().greeting();
    wait_events(env, &server, "disconnect", 1);
    let old = ["server_start", "child_start", "connect", "disconnect", "connect", "disconnect"];
    assert_eq!(kinds(&events_in(&server, "old")), old);
    let new = ["signal SIGHUP", "connect", "disconnect"];
    assert_eq!(kinds(&events_in(&server, "events")), new);
}

fn an_upgrade_loses_and_doubles_nothing(env: &TestEnv) {
    let server = env.server().opts(["--events", "events"]).start();
    let mut first = server.connect();
    first.greeting();
    for round in 1..=4 {
        server.signal(Signal::SIGUSR1);
        // In the middle of it.
        for _ in 0..20 {
            let mut user = server.connect();
            user.send("\x14");
            user.until("Toggled");
        }
        wait_events(env, &server, "server_upgrade", round);
    }
    first.send("\x14");
    drop(first);
    wait_events(env, &server, "disconnect", 81);
    let events = events_in(&server, "events");
    let count = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((count("connect"), count("disconnect"), count("command")), (81, 81, 81));
    assert_eq!((count("server_start"), count("child_start"), count("child_exit")), (1, 1, 0));
    assert_eq!((count("server_upgrade"), count("signal")), (4, 4));
    let upgrade = events.iter().find(|event| event["event"] == "server_upgrade").unwrap();
    assert_eq!((&upgrade["from"], &upgrade["to"]), (&env.version().into(), &env.version().into()));
    // A client is known by the same name throughout, and who it is.
    let clients: Vec<_> = events.iter().filter_map(|event| event.get("client")).collect();
    let last = clients.iter().rfind(|client| client["id"] == clients[0]["id"]);
    assert_eq!(last, Some(&clients[0]));
}

fn an_upgrade_that_is_refused(env: &TestEnv) {
    let setup = env.server().opts(["--events", "events"]).for_anybody();
    let program = setup.path("procServ");
    let server = setup.start();
    server.child_start(1);
    std::fs::rename(&program, server.path("away")).unwrap();
    server.signal(Signal::SIGUSR1);
    let failed = &wait_events(env, &server, "upgrade_failed", 1)[0];
    assert_eq!(failed["reason"], "No such file or directory");
    let events = events_in(&server, "events");
    assert_eq!(kinds(&events)[2..], ["signal SIGUSR1", "upgrade_failed"]);
}

fn idle_means_asleep(env: &TestEnv) {
    let records = ["--events", "events", "--status-file", "status", "-L", "log"];
    let server = env.server().opts(records).opts(["--log-rotate", "1k"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send("\x14");
    user.until("Toggled");
    server.falls_asleep();
}

fn a_daemon_keeps_them_where_it_was_started(env: &TestEnv) {
    let records = ["--events", "events", "--status-file", "status", "-c", "/"];
    let child = ["echo", "hello"];
    let server = env
        .server()
        .daemon()
        .opts(records)
        .opts(["-o", "-w", "--holdoff", "0"])
        .command(child)
        .start();
    let start = &wait_events(env, &server, "server_start", 1)[0];
    assert_eq!(start["pid"], server.pid());
    server.file_with("status", format!("\"pid\": {}", server.pid()));
    server.connect().send("\x12");
    server.wait_exit();
    assert_eq!(kinds(&events_in(&server, "events")).last().unwrap(), "server_exit");
    assert!(!server.path("status").exists());
}

fn nothing_without_the_option(env: &TestEnv) {
    let server = env.server().start();
    server.connect().greeting();
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
    assert_eq!(threads, 1);
    assert!(!server.path("events").exists());
}

fn a_clock_beyond_9999_ends_nothing(env: &TestEnv) {
    // In seconds: some years after 9999, more than chrono has years, more than localtime(3) has.
    for ahead in ["253402300800", "10000000000000", "100000000000000000"] {
        let options = ["--events", "events", "--status-file", "status", "--logstamp", "--savelog"];
        let setup = preloaded(env).with_file("clock", ahead).with_file("log", "old\n").logged();
        let server = setup.opts(options).child(["say", "READY", "cat"]).start();
        server.file_with("log", "READY\r\n");
        server.connect().greeting();
        wait_events(env, &server, "disconnect", 1);
        let status: serde_json::Value =
            serde_json::from_slice(&server.file_with("status", "}\n")).unwrap();
        for time in [&status["started"], &status["child"]["started"]] {
            assert!(time.as_str().unwrap().starts_with("9999-12-3"), "{time}");
        }
        assert_eq!(server.terminate().code(), Some(0));
        // Every time there has the form of the document.
        let events = events_in(&server, "events");
        assert!(events.iter().all(|it| it["time"].as_str().unwrap().starts_with("9999-12-3")));
    }
}
