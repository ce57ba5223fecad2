//! ProcMgr of lcls2 (SLAC LCLS-II): telnetlib before children named by their log file.

use crate::clients::telnetlib::{Telnet, search};
use crate::support::{TestEnv, TestServer, cases, find, show};
use std::process::Command;

cases![
    procmgr_reads_pids_and_a_name_that_is_a_path,
    procmgr_restarts_a_child_shut_down,
    procmgr_stops_child_and_server,
    procmgr_sees_a_clean_end_after_interrupt.differs_on_oracle("with -f the child ignores ^C"),
    procmgr_kill_is_told_before_restart
        .flaky_on_oracle("swaps the lines about end and start (section 6)"),
    procmgr_pid_file_may_be_a_device
        .differs_on_oracle("removes the device (section 7)")
        .needs_root(),
];

const NAME: &str = "2024/01/16_10:27:22_drp-tst:teb0.log";

/// What `readLogPortBanner` finds.
struct Banner {
    running: bool,
    /// The child's PID.
    pid: Option<String>,
    name: String,
    /// The server's PID.
    ppid: String,
}

fn digits(text: &str) -> String {
    text.chars().take_while(char::is_ascii_digit).collect()
}

fn read_banner(telnet: &mut Telnet) -> Banner {
    let banner = telnet.read_until("server started at", 1);
    assert!(banner.ends_with(b"server started at"), "no banner:\n{}", show(&banner));
    let (_, ppid) = search(&banner, "@@@ procServ server ", "PID: ").expect("the server's PID");
    let running = find(&banner, b"SHUT DOWN").is_none();
    let middle = if running { "\" PID: " } else { "\" start" };
    let (name, rest) = search(&banner, "@@@ Child \"", middle).expect("the child's line");
    Banner {
        running,
        pid: running.then(|| digits(rest)),
        name: name.to_owned(),
        ppid: digits(ppid),
    }
}

fn start(env: &TestEnv, options: &[&str]) -> (TestServer, u16) {
    let port = env.free_port();
    let setup = env.server().control(&port.to_string()).logged();
    let options = ["-n", NAME, "--allow", "--coresize", "0"].iter().chain(options);
    let server = setup.opts(options).start();
    server.connect().greeting();
    (server, port)
}

fn procmgr_reads_pids_and_a_name_that_is_a_path(env: &TestEnv) {
    let (server, port) = start(env, &["--noautorestart"]);
    let child = server.child_start(1);
    let banner = read_banner(&mut Telnet::open(port));
    assert!(banner.running);
    assert_eq!(banner.name, NAME);
    assert_eq!(banner.pid, Some(child.to_string()));
    assert_eq!(banner.ppid, server.pid().to_string());
}

fn procmgr_restarts_a_child_shut_down(env: &TestEnv) {
    let (server, port) = start(env, &["--noautorestart", "-w"]);
    let banner = read_banner(&mut Telnet::open(port));
    assert!(!banner.running);
    assert_eq!((banner.name.as_str(), banner.pid), (NAME, None));
    assert_eq!(banner.ppid, server.pid().to_string());
    let mut telnet = Telnet::open(port);
    let answer = telnet.read_until("is SHUT DOWN", 1);
    assert!(answer.ends_with(b"is SHUT DOWN"), "{}", show(&answer));
    // The rest of the greeting is still on its way.
    telnet.write(b"\x12");
    let answer = telnet.read_until("new child", 3);
    assert!(answer.ends_with(b"new child"), "{}", show(&answer));
    server.child_start(1);
}

fn procmgr_stops_child_and_server(env: &TestEnv) {
    let (server, port) = start(env, &["--noautorestart"]);
    let child = server.child_start(1);
    let mut telnet = Telnet::open(port);
    telnet.write(b"\x18");
    let answer = telnet.read_until("process was killed", 1);
    assert!(answer.ends_with(b"process was killed"), "{}", show(&answer));
    assert!(find(&answer, b"Restarting").is_none(), "a second kill is due:\n{}", show(&answer));
    // At once, and closed with the rest unread.
    telnet.write(b"\x11");
    drop(telnet);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(!crate::support::alive(child));
    assert!(Telnet::try_open(port).is_err());
}

fn procmgr_sees_a_clean_end_after_interrupt(env: &TestEnv) {
    let (server, port) = start(env, &["--noautorestart"]);
    server.child_start(1);
    let mut telnet = Telnet::open(port);
    read_banner(&mut telnet);
    // The flag s: ^C through the terminal, then a second's time.
    telnet.write(b"\x03");
    let answer = telnet.read_until("is shutting down", 1);
    assert!(answer.ends_with(b"is shutting down"), "{}", show(&answer));
    telnet.write(b"\x11");
    drop(telnet);
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn procmgr_kill_is_told_before_restart(env: &TestEnv) {
    let (server, port) = start(env, &["--holdoff", "0"]);
    for number in 1..=10 {
        server.child_start(number);
        let mut telnet = Telnet::open(port);
        telnet.write(b"\x18");
        let answer = telnet.read_until("process was killed", 1);
        assert!(answer.ends_with(b"process was killed"), "{}", show(&answer));
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("Restarting"), "{text}");
    }
}

fn procmgr_pid_file_may_be_a_device(env: &TestEnv) {
    // Not /dev/null itself: a server that is wrong here would take the machine's.
    let setup = env.server();
    let null = setup.path("null");
    let made = Command::new("mknod").arg(&null).args(["c", "1", "3"]).status();
    assert!(made.is_ok_and(|status| status.success()), "mknod");
    let server = setup.daemon().opts(["-w", "--pidfile", "null"]).start();
    server.connect().greeting();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(null.exists());
}
