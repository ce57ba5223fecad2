//! `raw:ENDPOINT`: bytes as they are.

use crate::support::{Client, ServerBuilder, TestEnv, TestServer, cases, find, show};
use nix::sys::signal::Signal;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

cases![
    greeting_comes_without_negotiation,
    every_byte_reaches_the_child,
    every_byte_of_the_child_arrives,
    commands_act,
    it_shares_the_console_with_telnet,
    what_is_sent_before_a_half_close_arrives,
    raw_client_is_counted,
    log_endpoint_may_be_raw,
    log_client_is_stamped_and_not_escaped,
    any_endpoint_may_be_raw,
    old_style_endpoint_may_be_raw,
    passed_socket_may_be_raw,
    it_is_listed_after_all_others,
    it_stays_raw_over_an_upgrade,
    bad_raw_specs_are_errors,
];

const WELCOMED: &str = "connected (plus you)\r\n";

/// A server with a raw endpoint beside the other one.
fn raw(env: &TestEnv) -> ServerBuilder {
    env.server().opts(["-P", "raw:unix:raw"])
}

fn attach(server: &TestServer) -> Client {
    let mut client = server.connect_to("unix:raw");
    client.until(WELCOMED);
    client
}

fn greeting_comes_without_negotiation(env: &TestEnv) {
    let server = raw(env).opts(["-n", "ioc"]).child(["say", "UP", "cat"]).start();
    server.child_start(1);
    let mut user = server.connect_to("unix:raw");
    user.send(b"hello\n");
    user.until("hello\r\n");
    let greeting = user.received();
    let end = find(greeting, WELCOMED.as_bytes()).unwrap() + WELCOMED.len();
    server.assert_console(
        &greeting[..end],
        "\
@@@ Welcome to procServ (<version>)
@@@ Use ^X to kill the child, auto restart mode is ON, use ^T to toggle auto restart
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child \"ioc\" PID: <pid>
@@@ procServ server started at: <time>
@@@ Child \"ioc\" started at: <time>
@@@ 0 user(s) and 0 logger(s) connected (plus you)
",
    );
    assert!(!greeting[end..].contains(&0xff), "{}", show(&greeting[end..]));
}

fn every_byte_reaches_the_child(env: &TestEnv) {
    let setup = raw(env).opts(["-w", "-k", "", "--autorestartcmd", ""]);
    let server = setup.child(["raw", "say", "READY", "hex"]).start();
    let mut user = attach(&server);
    user.send(b"\x12");
    user.until("READY\r\n");
    // Negotiation and an unfinished subnegotiation among them.
    let bytes: Vec<u8> = (0..=255).chain(*b"\xff\xfb\x01\xff\xff\xff\xfa\x22\x01").collect();
    user.send(&bytes);
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
    let hex = hex.concat().replace("0a ", "0a \r\n");
    let got = user.until("fa 22 01 ");
    assert_eq!(show(&got), show(hex.as_bytes()), "nothing but the child's own");
}

fn every_byte_of_the_child_arrives(env: &TestEnv) {
    let all: String = (0..=255).filter(|byte| *byte != 10).map(|b| format!("\\x{b:02x}")).collect();
    let setup = raw(env).opts(["-w"]).child(["raw", "say", "READY", "print", &all, "cat"]);
    let server = setup.start();
    let mut user = attach(&server);
    user.send(b"\x12");
    user.until("READY\r\n");
    let expected: Vec<u8> = (0..=255).filter(|byte| *byte != 10).collect();
    assert_eq!(show(&user.bytes(255)), show(&expected));
}

fn commands_act(env: &TestEnv) {
    let server = raw(env).opts(["-x", "^Q"]).start();
    server.child_start(1);
    let mut user = attach(&server);
    user.send(b"\x14");
    user.until("\r\n@@@ Toggled auto restart mode to OFF\r\n");
    user.send(b"\x18");
    user.until("\r\n@@@ Got a kill command\r\n");
    user.until("^Q closes this connection\r\n");
    user.send(b"\x12");
    server.child_start(2);
    user.send(b"\x11");
    user.until_end();
}

fn it_shares_the_console_with_telnet(env: &TestEnv) {
    let server = raw(env).opts(["-w"]).child(["raw", "say", "READY", "cat"]).start();
    let mut plain = attach(&server);
    let mut telnet = server.connect();
    telnet.greeting();
    plain.send(b"\x12");
    plain.until("READY\r\n");
    telnet.until("READY\r\n");
    plain.send(b"a\xffb\n");
    assert_eq!(plain.until("b\r\n"), b"a\xffb\r\n");
    assert_eq!(telnet.until("b\r\n"), b"a\xff\xffb\r\n");
    telnet.send(b"c\xff\xffd\n");
    assert_eq!(plain.until("d\r\n"), b"c\xffd\r\n");
    assert_eq!(telnet.until("d\r\n"), b"c\xff\xffd\r\n");
}

fn what_is_sent_before_a_half_close_arrives(env: &TestEnv) {
    let server = raw(env).logged().start();
    server.child_start(1);
    let mut user = server.connect_to("unix:raw");
    user.send(b"last words\n");
    user.half_close();
    server.file_with("log", "last words\r\nlast words\r\n");
    user.until("last words\r\nlast words\r\n");
}

fn raw_client_is_counted(env: &TestEnv) {
    let server = raw(env).opts(["-l", "raw:unix:log-ctl"]).start();
    let _user = attach(&server);
    let mut logger = server.connect_to("unix:log-ctl");
    logger.until("started at");
    let mut third = server.connect();
    third.until("@@@ 1 user(s) and 1 logger(s) connected (plus you)\r\n");
}

fn log_endpoint_may_be_raw(env: &TestEnv) {
    let setup = env.server().opts(["-w", "-l", "raw:unix:log-ctl"]);
    let server = setup.child(["raw", "print", "a\\xffb\\n", "cat"]).start();
    let mut logger = server.connect_log();
    logger.until("^Q quits the server\r\n");
    logger.send(b"\x12\xff\xfd\x03");
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    // Nothing comes between greeting and start.
    logger.expect(
        "\
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
",
    );
    assert_eq!(logger.until("b\r\n"), b"a\xffb\r\n");
    user.send(b"typed\n");
    assert_eq!(logger.until("d\r\n"), b"typed\r\n");
}

fn log_client_is_stamped_and_not_escaped(env: &TestEnv) {
    // The stamp has a 0xFF of its own.
    let stamp = OsStr::from_bytes(b"--logstamp=[\xff] ");
    let options = [OsStr::new("-w"), OsStr::new("-l"), OsStr::new("raw:unix:log-ctl"), stamp];
    let server = env.server().opts(options).child(["raw", "print", "a\\xffb\\n", "cat"]).start();
    let mut logger = server.connect_log();
    logger.until("^Q quits the server\r\n");
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    let got = logger.until("b\r\n");
    assert!(got.ends_with(b"\r\n[\xff] a\xffb\r\n"), "{}", show(&got));
}

fn any_endpoint_may_be_raw(env: &TestEnv) {
    let port = env.free_port();
    let name = format!("@procserv-test-raw-{port}");
    let tcp = format!("raw:127.0.0.1:{port}");
    let options = ["-P", &tcp, "-P", &format!("raw:unix:{name}"), "-P", "raw:unix:::0600:private"];
    let server = env.server().opts(options).start();
    for endpoint in [port.to_string(), format!("unix:{name}"), "unix:private".to_owned()] {
        let mut user = server.connect_to(&endpoint);
        user.send(b"hello\n");
        user.until("hello\r\nhello\r\n");
        assert!(!user.received().contains(&0xff), "{endpoint}");
    }
    let mode = std::fs::metadata(server.path("private")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!server.path("private").exists());
}

fn old_style_endpoint_may_be_raw(env: &TestEnv) {
    let setup = env.server().bare().opts(["-f", "raw:unix:raw", "./fake-ioc", "cat"]);
    let server = setup.start();
    let mut user = attach(&server);
    user.send(b"hello\n");
    user.until("hello\r\nhello\r\n");
    assert!(!user.received().contains(&0xff));
}

fn passed_socket_may_be_raw(env: &TestEnv) {
    let setup =
        env.server().bare().launched_by(["pass", "unix:sock", "x", "pass", "unix:two", "y"]);
    let setup = setup.opts(["-f", "-I", "info", "-P", "raw:fd:x", "-P", "fd:4"]);
    let server = setup.command(["./fake-ioc", "cat"]).start();
    let mut user = server.connect_to("unix:sock");
    user.send(b"hello\n");
    user.until("hello\r\nhello\r\n");
    assert!(!user.received().contains(&0xff));
    server.connect_to("unix:two").greeting();
    let info = String::from_utf8(server.file_with("info", "\n")).unwrap();
    assert!(info.ends_with("\nunix:two\nraw:unix:sock\n"), "{info}");
}

fn it_is_listed_after_all_others(env: &TestEnv) {
    for (log, listed) in [
        ("unix:log-ctl", ["LOG=unix:log-ctl", "CTL=unix:c", "CTL=unix:ctl", "CTL=raw:unix:b"]),
        (
            "raw:unix:log-ctl",
            ["CTL=unix:c", "CTL=unix:ctl", "LOG=raw:unix:log-ctl", "CTL=raw:unix:b"],
        ),
    ] {
        let options = ["-I", "info", "-P", "raw:unix:b", "-P", "unix:c", "-l", log];
        let setup = env.server().opts(options).logged();
        let server = setup.child(["show-env", "PROCSERV_INFO", "say", "SHOWN", "cat"]).start();
        let info = String::from_utf8(server.file_with("info", "raw:unix:b\n")).unwrap();
        let lines: Vec<&str> = info.lines().skip(1).collect();
        assert_eq!(lines, listed.map(|one| &one[4..]));
        let shown = String::from_utf8(server.file_with("log", "SHOWN")).unwrap();
        let expected = format!("PROCSERV_INFO=PID={};{}\r\n", server.pid(), listed.join(";"));
        assert!(shown.contains(&expected), "{shown}");
    }
}

fn it_stays_raw_over_an_upgrade(env: &TestEnv) {
    let server =
        raw(env).opts(["-I", "info"]).child(["raw", "say", "READY", "cat"]).logged().start();
    server.file_with("log", "READY\r\n");
    let mut before = attach(&server);
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    let mut after = attach(&server);
    before.send(b"a\xff\xfd\x03b\n");
    for client in [&mut before, &mut after] {
        assert_eq!(client.until("b\r\n"), b"a\xff\xfd\x03b\r\n");
    }
    server.connect().greeting();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!server.path("info").exists() && !server.path("raw").exists());
}

fn bad_raw_specs_are_errors(env: &TestEnv) {
    for (spec, line) in [
        ("raw:", "Invalid socket spec 'raw:'"),
        ("raw:raw:2000", "Invalid socket spec 'raw:raw:2000'"),
        ("Raw:2000", "Invalid socket spec 'Raw:2000'"),
        ("raw:70000", "procServ: invalid control port 70000 (must be <65536)"),
        ("raw:unix:", "expected unix socket path spec."),
    ] {
        for option in ["-P", "-l"] {
            let finished = env.server().opts([option, spec]).run();
            finished.assert(1, "", &format!("{line}\n"));
            assert!(!finished.instance.path("starts").exists());
        }
    }
    env.server().opts(["-P", "raw:unix:./"]).run().assert(
        21,
        "",
        "Caught an exception creating the initial control telnet port: \
         Is a directory (raw:unix:./)
procServ: Exiting with error code: 21
",
    );
}
