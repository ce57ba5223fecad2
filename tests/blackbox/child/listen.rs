//! `--listen`: what a child gets, and what becomes of connections while there is none.

use crate::support::{ServerBuilder, TestEnv, TestServer, cases, number_after};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

cases![
    child_gets_the_sockets_and_is_told,
    sockets_keep_their_order,
    variables_of_others_are_not_mixed_in,
    child_has_none_without_listen,
    script_without_an_interpreter_gets_them_too,
    connections_wait_while_there_is_no_child,
    sockets_are_not_endpoints,
    daemon_has_them_too,
    socket_file_is_for_everybody_and_removed,
    socket_file_of_another_is_left,
    socket_file_left_behind_is_replaced,
    upgrade_keeps_the_sockets,
];

/// What the socket at `port` answers: the descriptor, and the PID of the child.
pub(super) fn ask(port: u16) -> (i32, i32) {
    answer(TcpStream::connect(("127.0.0.1", port)).expect("a connection"))
}

pub(super) fn answer(connection: TcpStream) -> (i32, i32) {
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    read_answer(connection)
}

fn ask_unix(path: &Path) -> (i32, i32) {
    let connection = UnixStream::connect(path).expect("a connection");
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    read_answer(connection)
}

fn read_answer(mut connection: impl Read) -> (i32, i32) {
    let mut text = String::new();
    connection.read_to_string(&mut text).expect("an answer");
    let words: Vec<i32> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    (words[0], words[1])
}

pub(super) fn listening(env: &TestEnv, uris: &[String]) -> ServerBuilder {
    let options = uris.iter().flat_map(|uri| ["--listen", uri]);
    env.server().opts(options)
}

const SHOWN: [&str; 7] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "EINHORN_FDS",
    "EINHORN_FD_COUNT",
    "EINHORN_FD_0",
    "EINHORN_FD_1",
];

fn showing(setup: ServerBuilder) -> ServerBuilder {
    let steps = SHOWN.iter().flat_map(|name| ["show-env", name]);
    setup.opts(["-L", "log"]).child(steps.chain(["show-fds", "say", "done.", "cat"]))
}

fn child_gets_the_sockets_and_is_told(env: &TestEnv) {
    let port = env.free_port();
    let setup = env.server();
    let path = setup.path("socket");
    let options = [format!("tcp://127.0.0.1:{port}"), format!("unix://{}", path.display())];
    let setup = setup.opts(options.iter().flat_map(|uri| ["--listen", uri]));
    let server = showing(setup).start();
    for start in [1, 2] {
        let log = server.file_with("log", "done.\r\n");
        let pid = server.child_start(start);
        let expected = format!(
            "LISTEN_FDS=2\r\nLISTEN_PID={pid}\r\nLISTEN_FDNAMES=listen.0:listen.1\r\n\
             EINHORN_FDS=3\r\nEINHORN_FD_COUNT=2\r\nEINHORN_FD_0=3\r\nEINHORN_FD_1=4\r\n\
             fds: 0 1 2 3 4\r\n"
        );
        let log = String::from_utf8(log).unwrap();
        assert!(log.contains(&expected), "{expected}\nis not in\n{log}");
        if start == 1 {
            fs::write(server.path("log"), "").unwrap();
            let mut user = server.connect();
            user.greeting();
            // Toggled twice: a start by hand is due at once.
            user.send(b"\x14\x18");
            user.until("auto restart is disabled");
            user.send(b"\x12");
        }
    }
}

fn sockets_keep_their_order(env: &TestEnv) {
    // So many that they are where others have to go.
    let ports: Vec<u16> = (0..30).map(|_| env.free_port()).collect();
    let uris: Vec<String> = ports.iter().map(|port| format!("tcp://127.0.0.1:{port}")).collect();
    let server = listening(env, &uris).child(["answer"]).start();
    let pid = server.child_start(1);
    for (number, &port) in (3..).zip(&ports) {
        assert_eq!(ask(port), (number, pid));
    }
}

fn variables_of_others_are_not_mixed_in(env: &TestEnv) {
    let uris = [format!("tcp://127.0.0.1:{}", env.free_port())];
    let steps = ["show-env", "EINHORN_FD_COUNT", "show-env", "EINHORN_FD_7", "show-env"];
    let setup = listening(env, &uris).env("EINHORN_FD_7", "9").env("EINHORN_FD_COUNT", "8");
    let server = setup.env("LISTEN_FDS", "4").env("LISTEN_PID", "1").logged();
    let server = server.child(steps.into_iter().chain(["LISTEN_FDS", "cat"])).start();
    server.file_with("log", "EINHORN_FD_COUNT=1\r\nEINHORN_FD_7 unset\r\nLISTEN_FDS=1\r\n");
}

fn child_has_none_without_listen(env: &TestEnv) {
    let server = showing(env.server().env("EINHORN_FDS", "3")).start();
    let log = String::from_utf8(server.file_with("log", "done.\r\n")).unwrap();
    for name in SHOWN.iter().filter(|name| **name != "EINHORN_FDS") {
        assert!(log.contains(&format!("{name} unset\r\n")), "{name}: {log}");
    }
    assert!(log.contains("EINHORN_FDS=3\r\n"), "not ours to remove: {log}");
    assert!(log.contains("fds: 0 1 2\r\n"), "{log}");
}

fn script_without_an_interpreter_gets_them_too(env: &TestEnv) {
    let uris = [format!("tcp://127.0.0.1:{}", env.free_port())];
    let script = "echo \"pid $LISTEN_PID is $$.\"\nexec sleep 60\n";
    let setup = listening(env, &uris).logged().with_file("script", script);
    fs::set_permissions(setup.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
    let server = setup.command(["./script"]).start();
    let log = server.file_with("log", "is ");
    let pid: i32 = number_after(&log, "is: ");
    server.file_with("log", format!("pid {pid} is {pid}."));
}

fn connections_wait_while_there_is_no_child(env: &TestEnv) {
    let port = env.free_port();
    let setup = listening(env, &[format!("tcp://127.0.0.1:{port}")]);
    let setup = setup.opts(["--wait", "--noautorestart"]);
    let server = setup.child(["answer"]).start();
    let mut user = server.connect();
    user.greeting();
    for start in 1..4 {
        // Nobody has listened for them yet, or does any more.
        let connect = |_| TcpStream::connect(("127.0.0.1", port)).expect("not refused");
        let waiting: Vec<TcpStream> = (0..50).map(connect).collect();
        user.send(b"\x12");
        let pid = server.child_start(start);
        for connection in waiting {
            assert_eq!(answer(connection), (3, pid));
        }
        user.send(b"\x18");
        user.until("auto restart is disabled\r\n");
    }
}

fn sockets_are_not_endpoints(env: &TestEnv) {
    let port = env.free_port();
    let setup = listening(env, &[format!("tcp://127.0.0.1:{port}")]).opts(["-I", "info"]);
    let server = setup.logged().child(["show-env", "PROCSERV_INFO", "answer"]).start();
    let info = format!("pid:{}\nunix:ctl\n", server.pid());
    assert_eq!(server.file_with("info", "ctl\n"), info.as_bytes());
    server.file_with("log", format!("PROCSERV_INFO=PID={};CTL=unix:ctl\r\n", server.pid()));
    let pid = server.child_start(1);
    assert_eq!(ask(port), (3, pid));
}

fn daemon_has_them_too(env: &TestEnv) {
    let setup = env.server().daemon();
    let path = setup.path("socket");
    let uri = format!("unix://{}", path.display());
    let server = setup.opts(["--listen", &uri]).child(["answer"]).start();
    assert_eq!(ask_unix(&path), (3, server.child_start(1)));
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!path.exists());
}

fn with_file(env: &TestEnv) -> (ServerBuilder, std::path::PathBuf) {
    let setup = env.server();
    let path = setup.path("socket");
    let uri = format!("unix://{}", path.display());
    (setup.opts(["--listen", &uri]).child(["answer"]), path)
}

fn socket_file_is_for_everybody_and_removed(env: &TestEnv) {
    let (setup, path) = with_file(env);
    let server = setup.launched_by(["umask", "077"]).start();
    let pid = server.child_start(1);
    assert_eq!(ask_unix_soon(env, &path), (3, pid));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o666);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!path.exists());
}

fn ask_unix_soon(env: &TestEnv, path: &Path) -> (i32, i32) {
    env.wait_for("the socket", || UnixStream::connect(path).ok());
    ask_unix(path)
}

fn socket_file_of_another_is_left(env: &TestEnv) {
    let (setup, path) = with_file(env);
    let server = setup.start();
    ask_unix_soon(env, &path);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(path.exists());
}

fn socket_file_left_behind_is_replaced(env: &TestEnv) {
    let (setup, path) = with_file(env);
    env.stale_socket(&path);
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    let server = setup.start();
    server.child_start(1);
    let pid = server.child_start(1);
    assert_eq!(ask_unix_soon(env, &path), (3, pid));
}

fn upgrade_keeps_the_sockets(env: &TestEnv) {
    let port = env.free_port();
    let setup = listening(env, &[format!("tcp://127.0.0.1:{port}")]);
    let setup = setup.opts(["--noautorestart"]).logged().child(["answer"]);
    let path = setup.path("socket");
    let server = setup.opts(["--listen", &format!("unix://{}", path.display())]).start();
    let mut user = server.connect();
    user.greeting();
    let pid = server.child_start(1);
    assert_eq!(ask(port), (3, pid));
    for start in [2, 3] {
        upgrade(env, &server, start - 1);
        user.send(b"\x18");
        user.until("auto restart is disabled\r\n");
        let waiting = TcpStream::connect(("127.0.0.1", port)).expect("not refused");
        user.send(b"\x12");
        let pid = server.child_start(start);
        assert_eq!(answer(waiting), (3, pid));
        assert_eq!(ask_unix(&path), (4, pid));
    }
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!path.exists());
}

/// The `number`th upgrade in place.
pub(super) fn upgrade(env: &TestEnv, server: &TestServer, number: usize) {
    server.signal(Signal::SIGUSR1);
    env.wait_for("the upgrade", || {
        let log = fs::read_to_string(server.path("log")).ok()?;
        (log.matches("server upgraded in place").count() == number).then_some(())
    });
}
