//! The addresses of `--listen`, and everything that may be wrong with one.

use super::listen::{ask, listening};
use crate::support::{TestEnv, cases};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;

cases![
    host_may_be_a_name,
    host_may_be_left_out,
    both_families_without_a_host.needs_ipv6(),
    tcp6_takes_no_ipv4.needs_ipv6(),
    descriptor_is_passed_on,
    descriptor_of_the_service_manager_keeps_its_name,
    descriptor_serves_one_purpose,
    bad_address_is_an_error,
    address_in_use_is_an_error,
    live_socket_file_is_not_taken,
    what_cannot_be_opened_is_an_error,
    endpoints_are_opened_first,
    failure_leaves_nothing_behind,
    daemon_tells_its_caller,
];

fn host_may_be_a_name(env: &TestEnv) {
    let port = env.free_port();
    let server = listening(env, &[format!("tcp://localhost:{port}")]).child(["answer"]).start();
    let pid = server.child_start(1);
    assert_eq!(ask(port), (3, pid));
}

fn host_may_be_left_out(env: &TestEnv) {
    let ports = [env.free_port(), env.free_port()];
    let uris = [format!("tcp://:{}", ports[0]), format!("tcp4://:{}", ports[1])];
    let server = listening(env, &uris).child(["answer"]).start();
    let pid = server.child_start(1);
    assert_eq!([ask(ports[0]), ask(ports[1])], [(3, pid), (4, pid)]);
}

fn both_families_without_a_host(env: &TestEnv) {
    let port = env.free_port();
    let server = listening(env, &[format!("tcp://:{port}")]).child(["answer"]).start();
    server.child_start(1);
    TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
}

fn tcp6_takes_no_ipv4(env: &TestEnv) {
    let port = env.free_port();
    let uris = [format!("tcp6://:{port}"), format!("tcp4://:{port}")];
    let server = listening(env, &uris).child(["answer"]).start();
    let pid = server.child_start(1);
    assert_eq!(ask(port), (4, pid));
    TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
}

fn descriptor_is_passed_on(env: &TestEnv) {
    let ports = [env.free_port(), env.free_port()];
    let inherit = ports.map(|port| ["inherit".to_owned(), format!("tcp:127.0.0.1:{port}")]);
    let setup = listening(env, &["fd://4".to_owned(), "fd://3".to_owned()]);
    let setup = setup.launched_by(inherit.concat()).logged();
    let server = setup.child(["show-env", "LISTEN_FDNAMES", "answer"]).start();
    let pid = server.child_start(1);
    server.file_with("log", "LISTEN_FDNAMES=listen.0:listen.1\r\n");
    // They change places.
    assert_eq!([ask(ports[0]), ask(ports[1])], [(4, pid), (3, pid)]);
}

fn descriptor_of_the_service_manager_keeps_its_name(env: &TestEnv) {
    let ports = [env.free_port(), env.free_port()];
    let web = format!("tcp:127.0.0.1:{}", ports[0]);
    let steps = ["pass", "unix:console", "console", "pass", &web, "web"];
    let setup =
        env.server().bare().launched_by(steps).opts(["-f", "-P", "fd:console", "-L", "log"]);
    let other = format!("tcp://127.0.0.1:{}", ports[1]);
    let setup = setup.opts(["--listen", "fd://4", "--listen", &other]);
    let child = ["./fake-ioc", "show-env", "LISTEN_FDNAMES", "answer"];
    let server = setup.command(child).start();
    let pid = server.child_start(1);
    server.file_with("log", "LISTEN_FDNAMES=web:listen.1\r\n");
    assert_eq!([ask(ports[0]), ask(ports[1])], [(3, pid), (4, pid)]);
    server.connect_to("unix:console").greeting();
}

/// One line about `uri`, and this status.
fn fails(env: &TestEnv, uri: &str, reason: &str, code: i32) {
    let finished = env.server().opts(["--listen", uri]).run();
    let expected =
        format!("procServ: --listen {uri}: {reason}\nprocServ: Exiting with error code: {code}\n");
    finished.assert(code, "", &expected);
}

fn descriptor_serves_one_purpose(env: &TestEnv) {
    let setup = env.server().bare().launched_by(["pass", "unix:console", "console"]);
    let setup = setup.opts(["-f", "--listen", "fd://3", "-P", "fd:3"]).command(["./fake-ioc"]);
    let reason = "the service manager has passed no such socket";
    let stderr = setup.run().stderr;
    assert!(stderr.contains(reason), "{stderr}");
    let twice = ["-f", "--listen", "fd://3", "--listen", "fd://3", "-P", "unix:x"];
    let finished = env.server().bare().opts(twice).command(["./fake-ioc"]).run();
    finished.assert(1, "", "procServ: --listen fd://3 is given twice\n");
}

fn bad_address_is_an_error(env: &TestEnv) {
    let kinds = "is none of tcp://HOST:PORT, tcp4://HOST:PORT, tcp6://HOST:PORT, unix:///PATH and \
                 fd://N";
    let tcp = "needs HOST:PORT, with a port up to 65535";
    let descriptor = "needs the number of a descriptor, 3 or more";
    for (uri, problem) in [
        ("", kinds),
        ("8080", kinds),
        ("http://x:1", kinds),
        ("tcp://x", tcp),
        ("tcp://x:70000", tcp),
        ("tcp://::1:80", tcp),
        ("unix://here", "needs an absolute path: unix:///PATH"),
        ("fd://x", descriptor),
        ("fd://1", descriptor),
    ] {
        let finished = env.server().opts(["--listen", uri]).run();
        finished.assert(1, "", &format!("procServ: --listen {uri} {problem}\n"));
        assert!(!finished.instance.path("starts").exists(), "nothing was started");
    }
}

fn address_in_use_is_an_error(env: &TestEnv) {
    let port = env.free_port();
    let _other = TcpListener::bind(("127.0.0.1", port)).unwrap();
    fails(env, &format!("tcp://127.0.0.1:{port}"), "Address already in use", 98);
    let port = env.free_port();
    let uri = format!("tcp4://:{port}");
    let finished = env.server().opts(["--listen", &uri, "--listen", &uri]).run();
    assert_eq!(finished.status.code(), Some(98), "{}", finished.stderr);
}

fn live_socket_file_is_not_taken(env: &TestEnv) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _other = UnixListener::bind(&path).unwrap();
    fails(env, &format!("unix://{}", path.display()), "Address already in use", 98);
    assert!(path.exists());
}

fn what_cannot_be_opened_is_an_error(env: &TestEnv) {
    fails(env, "fd://77", "Bad file descriptor", 9);
    fails(env, "tcp://192.0.2.1:9", "Cannot assign requested address", 99);
    fails(env, "tcp6://127.0.0.1:9", "127.0.0.1 has no address of that kind", 1);
    fails(env, "unix:///nowhere/socket", "No such file or directory", 2);
    fails(env, "unix:///tmp", "Is a directory", 21);
    let finished = env.server().opts(["--listen", "tcp://no.such.host.invalid:9"]).run();
    assert!(finished.stderr.starts_with("procServ: --listen tcp://no.such.host.invalid:9: failed"));
    assert_eq!(finished.status.code(), Some(1));
    let setup = env.server().launched_by(["open-fd"]).opts(["--listen", "fd://4"]);
    let finished = setup.run();
    let reason = "procServ: --listen fd://4: Socket operation on non-socket\n";
    assert!(finished.stderr.starts_with(reason), "{}", finished.stderr);
}

fn endpoints_are_opened_first(env: &TestEnv) {
    let setup = env.server().bare().opts(["-f", "-P", "unix:/nowhere/ctl", "--listen", "fd://77"]);
    let stderr = setup.command(["./fake-ioc"]).run().stderr;
    assert!(stderr.starts_with("Caught an exception creating the initial control"), "{stderr}");
}

fn failure_leaves_nothing_behind(env: &TestEnv) {
    let setup = env.server();
    let path = setup.path("socket");
    let uri = format!("unix://{}", path.display());
    let finished = setup.opts(["--listen", &uri, "--listen", "fd://77"]).run();
    assert_eq!(finished.status.code(), Some(9));
    assert!(!path.exists() && !finished.instance.path("ctl").exists());
}

fn daemon_tells_its_caller(env: &TestEnv) {
    let finished = env.server().daemon().opts(["--listen", "fd://77"]).run();
    assert_eq!(finished.status.code(), Some(9));
    assert!(finished.stderr.contains("--listen fd://77: Bad file descriptor"));
}
