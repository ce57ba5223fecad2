//! `--notify`: what the service manager is told.

use crate::support::{ServerBuilder, TestEnv, cases};
use crate::systemd::manager::{Manager, ready, running, told, user};
use nix::sys::signal::Signal;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};

cases![
    ready_when_the_child_has_been_started,
    ready_at_once_if_the_child_waits,
    status_follows_child_and_mode,
    name_cannot_forge_a_message,
    sigterm_is_said,
    exit_by_hand_and_oneshot_are_said,
    reload_is_said_until_the_log_is_open,
    watchdog_hears_from_an_idle_server,
    watchdog_of_another_process_is_none,
    idle_server_sleeps,
    manager_that_does_not_read_delays_nobody,
    manager_that_is_gone_is_no_trouble,
    abstract_socket_will_do,
    vsock_is_refused,
    without_a_manager_nothing_is_different,
    variables_are_the_servers,
    variables_are_the_childs_without_notify,
    nothing_starts_without_foreground,
];

fn ready_when_the_child_has_been_started(env: &TestEnv) {
    let (setup, manager) = told(env);
    let setup = setup.opts(["--notify", "-p", "pid"]);
    let server = setup.start();
    let status = manager.next();
    manager.expect(["READY=1"]);
    // Whoever comes now finds everything there.
    UnixStream::connect(server.path("ctl")).expect("an open endpoint");
    assert!(server.path("pid").exists());
    assert_eq!(status, running(&server, 1));
    server.falls_asleep();
    assert!(manager.rest().is_empty());
}

fn ready_at_once_if_the_child_waits(env: &TestEnv) {
    let (setup, manager) = told(env);
    let server = setup.opts(["--notify", "-w"]).start();
    manager.expect(["STATUS=Child ioc down until started by hand", "READY=1"]);
    user(&server).send(b"\x12");
    manager.expect([&*running(&server, 1)]);
    server.falls_asleep();
    assert!(manager.rest().is_empty());
}

fn status_follows_child_and_mode(env: &TestEnv) {
    let (server, manager) = ready(env, &["--holdoff", "1000"]);
    let mut user = user(&server);
    let first = running(&server, 1);
    user.send(b"\x14");
    manager.expect([&*format!("{first}, auto restart OFF")]);
    user.send(b"\x18");
    manager.expect(["STATUS=Child ioc down until started by hand"]);
    user.send(b"\x18");
    let second = running(&server, 2);
    manager.expect([&*format!("{second}, auto restart OFF")]);
    user.send(b"\x14");
    manager.expect([&*format!("{second}, ONESHOT")]);
    user.send(b"\x14");
    manager.expect([&*second]);
    user.send(b"\x18");
    manager.expect(["STATUS=Child ioc down, to be started"]);
    user.send(b"\x12");
    manager.expect([&*running(&server, 3)]);
    server.falls_asleep();
    assert!(manager.rest().is_empty(), "one READY=1 is enough");
}

fn name_cannot_forge_a_message(env: &TestEnv) {
    let (setup, manager) = told(env);
    let setup = setup.opts(["-n", "a\nMAINPID=1\nb", "--ready", "up"]);
    let server = setup.start();
    let pid = server.child_start(1);
    manager.expect([&*format!("STATUS=Child a?MAINPID=1?b starting, PID {pid}")]);
}

fn sigterm_is_said(env: &TestEnv) {
    let (setup, manager) = told(env);
    let options = ["--notify", "--killsig", "15", "--grace-period", "1000"];
    let child = ["block", "SIGTERM", "say", "UP", "await", "SIGTERM", "wait-for", "go"];
    let server = setup.opts(options).child(child).logged().start();
    manager.expect([&*running(&server, 1), "READY=1"]);
    server.file_with("log", "UP");
    server.signal(Signal::SIGTERM);
    let pid = server.child_start(1);
    manager.expect([&*format!("STATUS=Child ioc ending, PID {pid}"), "STOPPING=1"]);
    server.signal(Signal::SIGHUP);
    fs::write(server.path("go"), "").unwrap();
    assert_eq!(server.wait_exit().code(), Some(0));
    let rest = manager.rest();
    assert!(!rest.contains(&"READY=1".to_owned()), "{rest:?}");
    assert!(!rest.contains(&"STOPPING=1".to_owned()), "{rest:?}");
}

fn exit_by_hand_and_oneshot_are_said(env: &TestEnv) {
    let (server, manager) = ready(env, &["--holdoff", "1000"]);
    let mut user = user(&server);
    user.send(b"\x14");
    user.send(b"\x18");
    user.until("^Q quits the server\r\n");
    user.send(b"\x11");
    server.wait_exit();
    let last = manager.rest();
    assert_eq!(last.last().unwrap(), "STOPPING=1", "{last:?}");

    let (setup, manager) = told(env);
    let setup = setup.opts(["--notify", "--oneshot", "--holdoff", "0"]);
    assert_eq!(setup.child(["exit", "7"]).start().wait_exit().code(), Some(7));
    let last = manager.rest();
    assert_eq!(last.last().unwrap(), "STOPPING=1", "{last:?}");
}

fn microseconds() -> u64 {
    procserv_ng::sys::time::monotonic() / 1000
}

fn reload_is_said_until_the_log_is_open(env: &TestEnv) {
    let (server, manager) = ready(env, &["-L", "log"]);
    for _ in 0..3 {
        fs::rename(server.path("log"), server.path("log.1")).unwrap();
        let before = microseconds();
        server.signal(Signal::SIGHUP);
        let message = manager.next();
        let stamp = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a stamp");
        let stamp: u64 = stamp.parse().unwrap();
        assert!((before..=microseconds()).contains(&stamp), "{before} {stamp}");
        manager.expect(["READY=1"]);
        assert!(server.path("log").exists(), "not open yet");
    }
    server.falls_asleep();
    assert!(manager.rest().is_empty());
}

fn watchdog_hears_from_an_idle_server(env: &TestEnv) {
    let (setup, manager) = told(env);
    let server = setup.opts(["--notify"]).env("WATCHDOG_USEC", "100000").start();
    manager.expect([&*running(&server, 1), "READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
}

/// What `sh` is told, to give the server its own PID in a variable.
fn with_pid(setup: ServerBuilder, script: &str, program: &std::path::Path) -> ServerBuilder {
    let setup = setup.bare().program("/bin/sh").argv0("sh").opts(["-c", script, "sh"]);
    let words = ["-f", "-n", "ioc", "--notify", "-P", "unix:ctl", "./fake-ioc", "cat"];
    setup.opts([program]).opts(words)
}

fn watchdog_of_another_process_is_none(env: &TestEnv) {
    let (setup, manager) = told(env);
    let setup = setup.opts(["--notify"]).env("WATCHDOG_USEC", "100000").env("WATCHDOG_PID", "1");
    let server = setup.start();
    manager.expect([&*running(&server, 1), "READY=1"]);
    server.falls_asleep();
    assert!(manager.rest().is_empty());

    let setup = env.server();
    let manager = Manager::new(env, &setup);
    let path = setup.path("notify");
    let setup = setup.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "100000");
    let server = with_pid(setup, "WATCHDOG_PID=$$ exec \"$@\"", env.program()).start();
    manager.expect([&*running(&server, 1), "READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
}

fn idle_server_sleeps(env: &TestEnv) {
    let (server, manager) = ready(env, &["-L", "log"]);
    let _user = user(&server);
    server.falls_asleep();
    assert!(manager.rest().is_empty());
}

fn manager_that_does_not_read_delays_nobody(env: &TestEnv) {
    let (setup, manager) = told(env);
    let stuffing = UnixDatagram::unbound().unwrap();
    stuffing.set_nonblocking(true).unwrap();
    while stuffing.send_to(b"x", setup.path("notify")).is_ok() {}
    let server = setup.opts(["--notify", "--holdoff", "0"]).start();
    server.child_start(1);
    let mut user = user(&server);
    user.send(b"\x18");
    server.child_start(2);
    user.send(b"\x14");
    user.until("@@@ Toggled auto restart mode to OFF\r\n");
    user.send(b"hello\n");
    user.until("hello\r\nhello\r\n");
    let second = format!("{}, auto restart OFF", running(&server, 2));
    let mut message = manager.next();
    while message == "x" {
        message = manager.next();
    }
    assert_eq!(message, second, "the newest, and none before it");
    manager.expect(["READY=1"]);
    server.falls_asleep();
    assert!(manager.rest().is_empty());
}

fn manager_that_is_gone_is_no_trouble(env: &TestEnv) {
    let (server, manager) = ready(env, &[]);
    drop(manager);
    let mut user = user(&server);
    user.send(b"\x14");
    user.until("@@@ Toggled auto restart mode to OFF\r\n");
    server.falls_asleep();
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!(server.stderr(), "");
}

fn abstract_socket_will_do(env: &TestEnv) {
    let setup = env.server().opts(["-n", "ioc", "--notify"]);
    let name = format!("procserv-manager-{}", setup.dir().file_name().unwrap().display());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    socket.set_read_timeout(Some(env.timeout())).unwrap();
    let manager = Manager(socket);
    let server = setup.env("NOTIFY_SOCKET", format!("@{name}")).start();
    manager.expect([&*running(&server, 1), "READY=1"]);
}

fn vsock_is_refused(env: &TestEnv) {
    let setup = env.server().opts(["--notify"]).env("NOTIFY_SOCKET", "vsock:2:9999");
    let finished = setup.run();
    let expected = "\
procServ: cannot use NOTIFY_SOCKET: vsock:2:9999 is no Unix socket
procServ: Exiting with error code: 1
";
    finished.assert(1, "", expected);
    assert!(!finished.instance.path("starts").exists());
    // Without the option it is the child's business.
    let setup = env.server().env("NOTIFY_SOCKET", "vsock:2:9999");
    setup.start().child_start(1);
}

fn without_a_manager_nothing_is_different(env: &TestEnv) {
    for server in [
        env.server().opts(["--notify"]).env("WATCHDOG_USEC", "1000").start(),
        env.server().opts(["--ready", "never"]).env("NOTIFY_SOCKET", "").start(),
    ] {
        user(&server).send(b"hello\n");
        server.falls_asleep();
        server.signal(Signal::SIGHUP);
        assert_eq!(server.terminate().code(), Some(0));
        assert_eq!(server.stderr(), "");
    }
}

const SHOW: [&str; 10] = [
    "show-env",
    "NOTIFY_SOCKET",
    "show-env",
    "WATCHDOG_USEC",
    "show-env",
    "WATCHDOG_PID",
    "show-env",
    "LISTEN_FDS",
    "say",
    "SHOWN",
];

fn variables_are_the_servers(env: &TestEnv) {
    let (setup, _manager) = told(env);
    let setup = setup.opts(["--notify"]).logged().child(SHOW.iter().chain(&["cat"]));
    let setup = setup.env("WATCHDOG_USEC", "1000000").env("WATCHDOG_PID", "1");
    let setup = setup.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let server = setup.start();
    let log = String::from_utf8(server.file_with("log", "SHOWN")).unwrap();
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS"] {
        assert!(log.contains(&format!("{name} unset\r\n")), "{log}");
    }
    // It may need them once more.
    let own = fs::read(format!("/proc/{}/environ", server.pid())).unwrap();
    for name in ["NOTIFY_SOCKET=", "WATCHDOG_USEC=", "LISTEN_FDS="] {
        assert!(crate::support::find(&own, name.as_bytes()).is_some(), "{name}");
    }
}

fn variables_are_the_childs_without_notify(env: &TestEnv) {
    let (setup, manager) = told(env);
    let setup = setup.logged().child(SHOW.iter().chain(&["cat"]));
    let setup = setup.env("WATCHDOG_USEC", "1000000").env("WATCHDOG_PID", "1");
    let server = setup.env("LISTEN_FDS", "1").env("LISTEN_PID", "1").start();
    let log = String::from_utf8(server.file_with("log", "SHOWN")).unwrap();
    let path = server.path("notify");
    let socket = format!("NOTIFY_SOCKET={}\r\n", path.display());
    for line in
        [&*socket, "WATCHDOG_USEC=1000000\r\n", "WATCHDOG_PID=1\r\n", "LISTEN_FDS unset\r\n"]
    {
        assert!(log.contains(line), "{log}");
    }
    assert_eq!(server.terminate().code(), Some(0));
    assert!(manager.rest().is_empty());
}

fn nothing_starts_without_foreground(env: &TestEnv) {
    for (option, value) in [("--notify", None), ("--ready", Some("UP"))] {
        let setup = env.server().bare().opts(["-p", "pid", "-P", "unix:ctl", option]).opts(value);
        let finished = setup.command(["./fake-ioc", "cat"]).run();
        finished.assert(1, "", &format!("procServ: {option} needs --foreground\n"));
        for name in ["pid", "ctl", "starts"] {
            assert!(!finished.instance.path(name).exists(), "{name}");
        }
    }
}
