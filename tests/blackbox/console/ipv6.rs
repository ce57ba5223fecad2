//! `[ADDR]:PORT`: IPv6.

use crate::console::networks::own_ipv6;
use crate::support::{ServerBuilder, TestEnv, TestServer, cases};
use std::io::ErrorKind;
use std::net::{Ipv6Addr, TcpListener};

const NO_NETWORK: &str = "no IPv6 but on loopback";

cases![
    ipv6_endpoint_is_served.needs_ipv6(),
    ipv6_endpoint_is_not_ipv4.needs_ipv6(),
    both_can_have_one_port.needs_ipv6(),
    free_port_is_shown.needs_ipv6(),
    old_style_endpoint_may_be_ipv6.needs_ipv6(),
    daemon_has_it_in_the_info_file.needs_ipv6(),
    port_in_use_is_an_error.needs_ipv6(),
    control_endpoint_is_local_unless_allowed.only_if(own_ipv6().is_some(), NO_NETWORK),
    log_endpoint_is_open_unless_restricted.only_if(own_ipv6().is_some(), NO_NETWORK),
    link_local_address_has_an_interface.only_if(interface().is_some(), "no link-local address"),
    ipv6_endpoint_outlives_an_upgrade.needs_ipv6(),
    bad_ipv6_specs_are_errors,
];

fn is_served(server: &TestServer, endpoint: &str) {
    let mut user = server.connect_to(endpoint);
    user.greeting();
    user.send(b"hello\n");
    user.until("hello\r\nhello\r\n");
}

fn start(env: &TestEnv, endpoint: &str) -> TestServer {
    env.server().control(endpoint).opts(["-I", "info"]).start()
}

fn info(server: &TestServer) -> String {
    String::from_utf8(server.file_with("info", "tcp:")).unwrap()
}

fn ipv6_endpoint_is_served(env: &TestEnv) {
    let endpoint = format!("[::1]:{}", env.free_port());
    let setup = env.server().control(&endpoint).opts(["-I", "info"]).logged();
    let server = setup.child(["show-env", "PROCSERV_INFO", "say", "SHOWN", "cat"]).start();
    let log = String::from_utf8(server.file_with("log", "SHOWN\r\n")).unwrap();
    is_served(&server, &endpoint);
    assert_eq!(info(&server), format!("pid:{}\ntcp:{endpoint}\n", server.pid()));
    let line = format!("PROCSERV_INFO=PID={};CTL=tcp:{endpoint}\r\n", server.pid());
    assert!(log.contains(&line), "{log}");
}

fn ipv6_endpoint_is_not_ipv4(env: &TestEnv) {
    let port = env.free_port();
    let setup = env.server().control(&format!("[::]:{port}")).opts(["--allow"]);
    let server = setup.start();
    is_served(&server, &format!("[::1]:{port}"));
    assert_eq!(server.refused(&port.to_string()), ErrorKind::ConnectionRefused);
}

fn both_can_have_one_port(env: &TestEnv) {
    let port = env.free_port().to_string();
    let six = format!("[::]:{port}");
    for (first, second) in [(&port, &six), (&six, &port)] {
        let setup = env.server().control(first).opts(["-P", second, "--allow"]);
        let server = setup.start();
        is_served(&server, &port);
        is_served(&server, &format!("[::1]:{port}"));
        server.terminate();
    }
}

fn free_port_is_shown(env: &TestEnv) {
    let server = start(env, "[::1]:0");
    let info = info(&server);
    let endpoint = info.trim_end().rsplit_once("tcp:").unwrap().1;
    assert!(!endpoint.ends_with(":0"), "{info}");
    is_served(&server, endpoint);
}

fn old_style_endpoint_may_be_ipv6(env: &TestEnv) {
    let endpoint = format!("[::1]:{}", env.free_port());
    let setup = env.server().bare().opts(["-f", &endpoint, "./fake-ioc", "cat"]);
    is_served(&setup.start(), &endpoint);
}

fn daemon_has_it_in_the_info_file(env: &TestEnv) {
    let endpoint = format!("[::1]:{}", env.free_port());
    let setup = env.server().daemon().control(&endpoint).opts(["-I", "info", "-l", "[::1]:0"]);
    let server = setup.start();
    let info = info(&server);
    let lines: Vec<&str> = info.lines().collect();
    assert!(lines[1].starts_with("tcp:[::1]:"), "{info}");
    assert_eq!(lines[2], format!("tcp:{endpoint}"));
    assert_eq!(server.terminate().code(), Some(0));
}

fn port_in_use_is_an_error(env: &TestEnv) {
    let taken = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let endpoint = taken.local_addr().unwrap().to_string();
    env.server().control(&endpoint).run().assert(
        98,
        "",
        &format!(
            "Caught an exception creating the initial control telnet port: \
             Address already in use (tcp:{endpoint})
procServ: Exiting with error code: 98
"
        ),
    );
}

/// What the info file says of a server with this endpoint, after its PID.
fn bound(setup: ServerBuilder) -> String {
    let server = setup.opts(["-I", "info"]).start();
    let info = info(&server);
    info.split_once('\n').unwrap().1.to_owned()
}

fn control_endpoint_is_local_unless_allowed(env: &TestEnv) {
    let port = env.free_port();
    let own = own_ipv6().unwrap();
    for spec in [format!("[{own}]:{port}"), format!("[::]:{port}")] {
        let closed = bound(env.server().control(&spec));
        assert_eq!(closed, format!("tcp:[::1]:{port}\n"));
        let open = bound(env.server().control(&spec).opts(["--allow"]));
        assert_eq!(open, format!("tcp:{spec}\n"));
    }
    let server = start(env, &format!("[::]:{port}"));
    is_served(&server, &format!("[::1]:{port}"));
    assert_eq!(server.refused(&format!("[{own}]:{port}")), ErrorKind::ConnectionRefused);
    server.terminate();
    let spec = format!("[{own}]:{port}");
    let server = env.server().control(&spec).opts(["--allow"]).start();
    is_served(&server, &spec);
    assert_eq!(server.refused(&format!("[::1]:{port}")), ErrorKind::ConnectionRefused);
}

fn log_endpoint_is_open_unless_restricted(env: &TestEnv) {
    let port = env.free_port();
    let own = own_ipv6().unwrap();
    let spec = format!("[::]:{port}");
    let server = env.server().opts(["-l", &spec]).start();
    server.connect_to(&format!("[{own}]:{port}")).until("Child startup directory");
    server.terminate();
    let server = env.server().opts(["-l", &spec, "--restrict"]).start();
    server.connect_to(&format!("[::1]:{port}")).until("Child startup directory");
    assert_eq!(server.refused(&format!("[{own}]:{port}")), ErrorKind::ConnectionRefused);
}

/// The interface of a link-local address of this machine.
fn interface() -> Option<(String, Ipv6Addr)> {
    let table = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let address = Ipv6Addr::from(address);
        (address.segments()[0] == 0xfe80).then(|| (fields.last().unwrap().to_owned(), address))
    })
}

fn link_local_address_has_an_interface(env: &TestEnv) {
    let (name, address) = interface().unwrap();
    let port = env.free_port();
    let spec = format!("[{address}%{name}]:{port}");
    let shown = bound(env.server().control(&spec).opts(["--allow"]));
    assert!(shown.starts_with(&format!("tcp:[{address}%")), "{shown}");
    // What is shown is an endpoint, too, and can be connected to.
    let shown = shown.trim_end().strip_prefix("tcp:").unwrap();
    let server = env.server().control(shown).opts(["--allow"]).start();
    is_served(&server, shown);
}

fn ipv6_endpoint_outlives_an_upgrade(env: &TestEnv) {
    let endpoint = format!("[::1]:{}", env.free_port());
    let server = env.server().control(&endpoint).opts(["-I", "info"]).logged().start();
    let mut user = server.connect_to(&endpoint);
    user.greeting();
    server.signal(nix::sys::signal::Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    user.send(b"hello\n");
    user.until("hello\r\nhello\r\n");
    is_served(&server, &endpoint);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!server.path("info").exists());
}

fn bad_ipv6_specs_are_errors(env: &TestEnv) {
    for (spec, line) in [
        ("[::1]", "Invalid socket spec '[::1]'"),
        ("::1:2000", "Invalid socket spec '::1:2000'"),
        ("[localhost]:2000", "Invalid socket spec '[localhost]:2000'"),
        ("[::1]:65536", "procServ: invalid control port 65536 (must be <65536)"),
        ("[fe80::1%nowhere]:2000", "Unknown network interface 'nowhere'"),
    ] {
        for option in ["-P", "-l"] {
            let setup = env.server().opts([option, spec]);
            let finished = setup.run();
            finished.assert(1, "", &format!("{line}\n"));
            assert!(!finished.instance.path("starts").exists());
        }
    }
}
