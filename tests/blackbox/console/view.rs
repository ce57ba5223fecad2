//! `view:ENDPOINT`: clients that watch and can do nothing.

use crate::support::{Client, ServerBuilder, TestEnv, TestServer, cases, find, show};
use nix::sys::signal::Signal;
use serde_json::Value;

cases![
    viewer_sees_what_a_user_sees,
    viewer_can_neither_type_nor_command,
    viewer_negotiates_telnet,
    raw_viewer_gets_no_negotiation,
    viewer_is_counted_as_a_user,
    viewer_is_listed_after_all_others,
    viewer_is_named_in_the_records,
    viewer_stays_one_over_an_upgrade,
    viewers_alone_are_no_reason_not_to_start,
    bad_view_specs_are_errors,
];

fn viewed(env: &TestEnv) -> ServerBuilder {
    env.server().opts(["-P", "view:unix:view"])
}

fn view(server: &TestServer) -> Client {
    let mut viewer = server.connect_to("unix:view");
    viewer.greeting();
    viewer
}

fn viewer_sees_what_a_user_sees(env: &TestEnv) {
    let setup = viewed(env).opts(["--history", "1k", "--logstamp=STAMP ", "-w"]);
    let server = setup.child(["raw", "print", r"a\xffb\n", "cat"]).start();
    let mut user = server.connect();
    let greeting = user.greeting();
    drop(user);
    let mut viewer = env.wait_for("the user to be gone", || {
        let mut viewer = server.connect_to("unix:view");
        (viewer.greeting() == greeting).then_some(viewer)
    });
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    assert_eq!(viewer.until("b\r\n"), user.until("b\r\n"));
    assert!(find(viewer.received(), b"a\xff\xffb\r\n").is_some());
    let mut late = view(&server);
    assert!(late.until("b\r\n").starts_with(b"@@@ Restarting child"));
}

fn viewer_can_neither_type_nor_command(env: &TestEnv) {
    let server = viewed(env).opts(["-x", "^D"]).child(["raw", "say", "UP", "hex"]).start();
    server.child_start(1);
    let mut viewer = view(&server);
    let mut user = server.connect();
    user.greeting();
    // The answer tells that everything before it has been read.
    viewer.send(b"typed\x18\x14\x04\n\xff\xfd\x05");
    viewer.until(b"\xff\xfc\x05");
    user.send(b"a\n");
    user.until("61 0a \r\n");
    assert!(find(user.received(), b"74 79").is_none(), "{}", show(user.received()));
    user.send(b"\x14\x18");
    user.until("\r\n@@@ Toggled auto restart mode to OFF\r\n");
    user.until("^Q quits the server");
    // Nor without a child.
    viewer.send(b"\x12\x18\x11\xff\xfd\x05");
    viewer.until(b"\xff\xfc\x05");
    assert_eq!(std::fs::read_to_string(server.path("starts")).unwrap().lines().count(), 1);
    user.send(b"\x12");
    server.child_start(2);
}

fn viewer_negotiates_telnet(env: &TestEnv) {
    let server = viewed(env).opts(["-w"]).start();
    let mut viewer = view(&server);
    viewer.send(b"\xff\xfd\x01\xff\xfd\x03\xff\xfb\x18");
    assert_eq!(viewer.bytes(6), b"\xff\xfb\x03\xff\xfe\x18");
}

fn raw_viewer_gets_no_negotiation(env: &TestEnv) {
    let server = env.server().opts(["-P", "view:raw:unix:view"]).start();
    let mut viewer = server.connect_to("unix:view");
    viewer.until("connected (plus you)\r\n");
    viewer.send(b"typed\n\x18");
    let mut user = server.connect();
    user.greeting();
    user.send(b"word\n");
    viewer.until("word\r\nword\r\n");
    let received = viewer.received();
    assert!(!received.contains(&0xff) && find(received, b"typed").is_none(), "{}", show(received));
}

fn viewer_is_counted_as_a_user(env: &TestEnv) {
    let server = viewed(env).log_endpoint().start();
    let _viewer = view(&server);
    let mut user = server.connect();
    user.until("@@@ 1 user(s) and 0 logger(s) connected (plus you)\r\n");
}

fn viewer_is_listed_after_all_others(env: &TestEnv) {
    let options = ["-I", "info", "-P", "view:raw:unix:a", "-P", "view:unix:b", "-P", "raw:unix:c"];
    let setup = env.server().opts(options).logged().log_endpoint();
    let server = setup.child(["show-env", "PROCSERV_INFO", "say", "SHOWN", "cat"]).start();
    let info = String::from_utf8(server.file_with("info", "view:raw:unix:a\n")).unwrap();
    let lines: Vec<&str> = info.lines().skip(1).collect();
    let listed = ["unix:log-ctl", "unix:ctl", "raw:unix:c", "view:unix:b", "view:raw:unix:a"];
    assert_eq!(lines, listed);
    let shown = String::from_utf8(server.file_with("log", "SHOWN")).unwrap();
    let expected = "CTL=raw:unix:c;CTL=view:unix:b;CTL=view:raw:unix:a\r\n";
    assert!(shown.contains(expected), "{shown}");
}

fn viewer_is_named_in_the_records(env: &TestEnv) {
    let server = viewed(env).opts(["--events", "events", "--status-file", "status"]).start();
    let _viewer = view(&server);
    let event = server.file_with("events", "\"connect\"");
    let line = String::from_utf8(event).unwrap();
    let line = line.lines().find(|line| line.contains("\"connect\"")).unwrap();
    let event: Value = serde_json::from_str(line).unwrap();
    assert_eq!(event["client"]["role"], "viewer", "{line}");
    assert_eq!(event["client"]["endpoint"], "view:unix:view", "{line}");
    let status: Value = env.wait_for("the client in the status", || {
        let text = std::fs::read_to_string(server.path("status")).ok()?;
        let status: Value = serde_json::from_str(&text).ok()?;
        (status["clients"].as_array()?.len() == 1).then_some(status)
    });
    assert_eq!(status["clients"][0]["role"], "viewer", "{status}");
    let endpoints = status["endpoints"].as_array().unwrap();
    let last = endpoints.last().unwrap();
    assert_eq!((&last["role"], &last["endpoint"]), (&"viewer".into(), &"view:unix:view".into()));
}

fn viewer_stays_one_over_an_upgrade(env: &TestEnv) {
    let server = viewed(env).opts(["-I", "info"]).logged().start();
    server.child_start(1);
    let mut before = view(&server);
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    let mut after = view(&server);
    let mut user = server.connect();
    user.greeting();
    for viewer in [&mut before, &mut after] {
        viewer.send(b"typed\n\x18\xff\xfd\x05");
        viewer.until(b"\xff\xfc\x05");
    }
    user.send(b"word\n");
    user.expect("word\nword\n");
    for viewer in [&mut before, &mut after] {
        viewer.until("word\r\nword\r\n");
    }
    assert!(server.file_with("info", "unix:ctl\nview:unix:view\n").len() > 1);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!server.path("view").exists());
}

fn viewers_alone_are_no_reason_not_to_start(env: &TestEnv) {
    let server = env.server().bare().opts(["-f", "view:unix:view", "./fake-ioc", "cat"]).start();
    view(&server);
}

fn bad_view_specs_are_errors(env: &TestEnv) {
    for (option, spec, line) in [
        ("-P", "view:", "Invalid socket spec 'view:'"),
        ("-P", "raw:view:2000", "Invalid socket spec 'raw:view:2000'"),
        ("-P", "view:view:2000", "Invalid socket spec 'view:view:2000'"),
        ("-P", "view:unix:", "expected unix socket path spec."),
        ("-l", "view:unix:log", "Invalid socket spec 'view:unix:log'"),
    ] {
        let finished = env.server().opts([option, spec]).run();
        finished.assert(1, "", &format!("{line}\n"));
        assert!(!finished.instance.path("starts").exists());
    }
}
