//! systemd units: Type=notify for the child, and the hardening of EPNix.

use crate::support::{ServerBuilder, TestEnv, cases, succeeds, uninterrupted};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

cases![
    notify_unit_is_told_ready_by_the_child_alone,
    notify_unit_survives_a_restart_of_the_child,
    epnix_unit_runs_without_any_rights
        .differs_on_oracle("2.7.0 has no -o, and takes no command from PATH (section 10)"),
    epnix_unit_runs_as_a_dynamic_user.needs_root(),
    epnix_unit_runs_in_a_user_namespace
        .only_if(succeeds(&["unshare", "--user", "true"]), "no user namespaces"),
    epnix_unit_runs_behind_a_system_call_filter.only_if(
        Path::new("/usr/bin/python3").exists() && cfg!(target_arch = "x86_64"),
        "no /usr/bin/python3 on x86_64"
    ),
];

/// The service manager's end of NOTIFY_SOCKET.
fn manager(env: &TestEnv, setup: &ServerBuilder) -> UnixDatagram {
    let socket = UnixDatagram::bind(setup.path("notify")).unwrap();
    socket.set_read_timeout(Some(env.timeout())).unwrap();
    socket
}

fn next_message(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 1000];
    let count = uninterrupted(|| manager.recv(&mut buffer)).expect("a message in time");
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

fn no_message(manager: &UnixDatagram) {
    manager.set_nonblocking(true).unwrap();
    let mut buffer = [0; 1000];
    match manager.recv(&mut buffer) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        Ok(count) => panic!("unasked: {}", buffer[..count].escape_ascii()),
    }
}

fn notify_unit_is_told_ready_by_the_child_alone(env: &TestEnv) {
    let setup = env.server();
    let manager = manager(env, &setup);
    let path = setup.path("notify");
    let setup = setup.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000").logged();
    let setup = setup.child(["show-env", "NOTIFY_SOCKET", "notify", "READY=1", "cat"]);
    let server = setup.start();
    assert_eq!(next_message(&manager), "READY=1");
    server.file_with("log", format!("NOTIFY_SOCKET={}\r\n", path.display()));
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x14");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n");
    server.signal(nix::sys::signal::SIGHUP);
    assert_eq!(server.terminate().code(), Some(0));
    no_message(&manager);
}

fn notify_unit_survives_a_restart_of_the_child(env: &TestEnv) {
    let setup = env.server();
    let manager = manager(env, &setup);
    let path = setup.path("notify");
    let setup = setup.env("NOTIFY_SOCKET", path).opts(["--holdoff", "0"]);
    let child = ["on-start", "1", "notify", "READY=1", "exit", "1"];
    let child = child.iter().chain(&["otherwise", "notify", "READY=1", "cat"]);
    let server = setup.child(child).start();
    for _ in 0..2 {
        assert_eq!(next_message(&manager), "READY=1");
    }
    server.child_start(2);
    assert_eq!(server.terminate().code(), Some(0));
    no_message(&manager);
}

fn epnix_unit_runs_without_any_rights(env: &TestEnv) {
    let setup = env.server().for_anybody();
    let port = env.free_port().to_string();
    let mut path = setup.dir().into_os_string();
    path.push(":/usr/bin:/bin");
    let words = ["--foreground", "--oneshot", "--logfile", "-", "--holdoff", "0", &port];
    let setup = setup.bare().launched_by(["unprivileged"]).opts(words).env("PATH", path);
    let server = setup.command(["fake-ioc", "cat"]).start();
    server.child_start(1);
    let mut user = server.connect_to(&port);
    user.greeting();
    user.send(b"hello\n");
    user.expect("hello\nhello\n");
    user.send(b"\x04");
    user.until("oneshot mode: server will exit\r\n");
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn epnix_unit_runs_as_a_dynamic_user(env: &TestEnv) {
    let setup = env.server().for_anybody().launched_by(["unprivileged"]).logged();
    let status = ["Uid:", "CapEff:", "NoNewPrivs:"];
    let steps = status.iter().flat_map(|name| ["show-status", *name]).chain(["cat"]);
    let server = setup.opts(["-I", "info"]).child(steps).start();
    let log = server.file_with("log", "NoNewPrivs:");
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("Uid: 65534 65534 65534 65534\r\n"), "{log}");
    assert!(log.contains("CapEff: 0000000000000000\r\n"), "{log}");
    let mut user = server.connect();
    user.greeting();
    user.send(b"hello\n");
    user.expect("hello\nhello\n");
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!server.path("ctl").exists() && !server.path("info").exists());
}

fn epnix_unit_runs_in_a_user_namespace(env: &TestEnv) {
    // PrivateUsers: no user but the own one is known there.
    let setup = env.server().for_anybody();
    let program = setup.path("procServ");
    let setup = setup.bare().program("unshare").argv0("unshare").opts(["--user", "--"]);
    let words = ["-f", "-L", "log", "-P", "unix:ctl"];
    let setup = setup.opts([program]).opts(words).command(["./fake-ioc", "cat"]);
    let server = setup.start();
    server.child_start(1);
    let mut user = server.connect_to("unix:ctl");
    user.greeting();
    user.send(b"\x18");
    user.until("@@@ Received a sigChild for process ");
    user.until("The process was killed by signal 9\r\n");
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!server.path("ctl").exists());
}

fn epnix_unit_runs_behind_a_system_call_filter(env: &TestEnv) {
    let setup = env.server().bare().with_file("filter.py", include_str!("filter.py"));
    let setup = setup.program("/usr/bin/python3").argv0("python3").opts(["filter.py"]);
    let port = env.free_port().to_string();
    let words = ["-f", "-L", "log", "-I", "info", "--coresize", "0", "-P", &port];
    let setup = setup.opts([env.program()]).opts(words).opts(["--holdoff", "0"]);
    let server = setup.command(["./fake-ioc", "show-status", "Seccomp:", "cat"]).start();
    server.child_start(1);
    server.file_with("log", "Seccomp: 2\r\n");
    let mut user = server.connect_to(&port);
    user.greeting();
    user.send(b"\x18");
    server.child_start(2);
    server.signal(nix::sys::signal::SIGHUP);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!server.path("info").exists());
}
