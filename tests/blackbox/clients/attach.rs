//! What attaches to consoles: conserver, procServUtils, socat.

use crate::support::{NEGOTIATION, TestEnv, TestServer, cases, find};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::{Command, Stdio};

cases![
    conserver_uds_never_answers_the_negotiation,
    conserver_uds_sends_ff_unescaped,
    conserver_uds_reconnects_when_the_server_is_back,
    conserver_logs_the_doubled_ff_of_output,
    proc_serv_utils_attaches_to_the_first_usable_endpoint,
    ioc_runner_endpoint_has_owner_and_mode,
    ioc_runner_toggle_is_plain_input,
    ioc_runner_monitors_with_socat.needs("socat"),
];

// conserver `type uds`: bytes as they are, both ways.

fn conserver_uds_never_answers_the_negotiation(env: &TestEnv) {
    let server = env.server().logged().child(["say", "up", "cat"]).start();
    server.file_with("log", "up\r\n");
    let mut console = server.connect();
    console.greeting();
    console.send(b"one\r");
    console.expect("one\none\n");
    // The negotiation was sent once, and nobody waits for an answer.
    let received = console.received();
    let times = received.windows(NEGOTIATION.len()).filter(|some| *some == NEGOTIATION);
    assert_eq!(times.count(), 1);
    assert_eq!(received.iter().filter(|byte| **byte == 0xff).count(), 2);
}

fn conserver_uds_sends_ff_unescaped(env: &TestEnv) {
    let server = env.server().logged().child(["raw", "say", "READY", "hex"]).start();
    server.file_with("log", "READY");
    let mut console = server.connect();
    console.greeting();
    // To the server it begins a telnet command, which swallows the next byte.
    console.send(b"a\xffbc\n");
    console.expect("61 63 0a \n");
    // Also a command character; the next one acts.
    console.send(b"\xff\x14\x14");
    console.expect("\n@@@ Toggled auto restart mode to OFF\n");
    console.send(b"14\n");
    console.expect("31 34 0a \n");
    // \xff\xfd, in Latin 1 two letters, makes a command of three bytes, which is answered.
    console.send(b"\xff\xfdxd\n");
    assert_eq!(console.bytes(3), b"\xff\xfcx");
    console.expect("64 0a \n");
}

fn conserver_uds_reconnects_when_the_server_is_back(env: &TestEnv) {
    let run = tempfile::tempdir().unwrap();
    let endpoint = format!("unix:{}", run.path().join("control").display());
    for _ in 0..2 {
        let server = env.server().control(&endpoint).start();
        server.child_start(1);
        let mut console = server.connect();
        console.greeting();
        assert_eq!(server.terminate().code(), Some(0));
        // The console goes down at an orderly end of file, not at a reset.
        console.until_end();
    }
}

fn conserver_logs_the_doubled_ff_of_output(env: &TestEnv) {
    let server = env.server().logged().child(["print", r"\xff\xfe\n", "cat"]).start();
    server.file_with("log", b"\xff\xfe\r\n");
    let mut console = server.connect();
    console.greeting();
    console.send(b"\xff\xff\n");
    console.until(b"\xff\xff\r\n\xff\xff\r\n");
}

// procServUtils.

/// `attach`: the first line of the info file that is an endpoint.
fn first_endpoint(server: &TestServer) -> String {
    let text = String::from_utf8(server.file_with("info", "unix:")).unwrap();
    assert_eq!(text.lines().next(), Some(format!("pid:{}", server.pid()).as_str()));
    let usable = |line: &&str| line.starts_with("tcp:") || line.starts_with("unix:");
    let first = text.lines().find(usable).expect("an endpoint");
    first.strip_prefix("tcp:").unwrap_or(first).to_owned()
}

fn proc_serv_utils_attaches_to_the_first_usable_endpoint(env: &TestEnv) {
    let options = ["--logfile", "-", "--ignore", "^D^C", "--logoutcmd", "^D"];
    let setup = || env.server().opts(options).opts(["--info-file", "info"]);
    let server = setup().start();
    server.child_start(1);
    assert_eq!(first_endpoint(&server), "unix:ctl");
    server.connect_to("unix:ctl").greeting();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!server.path("info").exists());

    let port = env.free_port();
    let server = setup().opts(["-P", &port.to_string()]).start();
    server.child_start(1);
    let endpoint = first_endpoint(&server);
    assert_eq!(endpoint, format!("127.0.0.1:{port}"));
    server.connect_to(&endpoint).greeting();
}

// epics-ioc-runner.

fn ioc_runner_endpoint_has_owner_and_mode(env: &TestEnv) {
    let setup = env.server();
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    let group = nix::unistd::Group::from_gid(nix::unistd::getgid()).unwrap().unwrap().name;
    let socket = setup.path("control");
    let endpoint = format!("unix:{user}:{group}:0660:{}", socket.display());
    let server = setup.control(&endpoint).start();
    server.connect_to("unix:control").greeting();
    let metadata = fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o7777, 0o660);
    assert_eq!(metadata.uid(), nix::unistd::getuid().as_raw());
    assert_eq!(metadata.gid(), nix::unistd::getgid().as_raw());
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!socket.exists());
}

fn ioc_runner_toggle_is_plain_input(env: &TestEnv) {
    let setup = env.server().logged().opts(["--autorestartcmd="]);
    let server = setup.child(["raw", "say", "READY", "hex"]).start();
    server.file_with("log", "READY");
    let mut user = server.connect();
    let greeting = user.greeting();
    let told = b"auto restart toggle disabled\r\n";
    assert!(find(&greeting, told).is_some());
    user.send(b"\x14\n");
    user.expect("14 0a \n");
}

fn ioc_runner_monitors_with_socat(env: &TestEnv) {
    let server = env.server().logged().child(["say", "up", "cat"]).start();
    server.file_with("log", "up\r\n");
    let mut socat = Command::new("socat");
    socat.args(["-u", "UNIX-CONNECT:ctl", "OPEN:monitor,creat,append"]);
    let mut socat = socat.current_dir(server.dir()).stdin(Stdio::null()).spawn().unwrap();
    server.file_with("monitor", NEGOTIATION);
    let mut user = server.connect();
    user.greeting();
    user.send(b"hello\n");
    user.expect("hello\nhello\n");
    let monitor = server.file_with("monitor", "hello\r\nhello\r\n");
    assert!(monitor.ends_with(b"hello\r\nhello\r\n"));
    assert_eq!(server.terminate().code(), Some(0));
    // It leaves at the end of file.
    assert!(socat.wait().unwrap().success());
}
