//! Clients that end their input: those without telnet, viewers and log clients go on receiving.

use crate::support::{Client, ServerBuilder, TestEnv, TestServer, cases, find, show};
use nix::sys::signal::Signal;
use std::fs;

cases![
    raw_client_gets_the_answer,
    viewers_and_loggers_go_on_receiving,
    control_client_with_telnet_is_closed,
    unix_client_is_gone_when_it_hangs_up,
    tcp_client_is_gone_when_it_is_written_to,
    tcp_client_that_hangs_up_is_found_by_keepalive,
    server_sleeps_beside_it,
    logout_command_closes_it,
    upgrade_keeps_it,
    it_is_sent_the_end,
];

/// A server with every kind of endpoint.
fn every_kind(env: &TestEnv) -> (ServerBuilder, String) {
    let port = env.free_port().to_string();
    let raw = format!("raw:127.0.0.1:{port}");
    let endpoints = ["-P", "raw:unix:raw", "-P", &raw, "-P", "view:unix:view"];
    (env.server().opts(endpoints).opts(["-P", "view:raw:unix:rawview"]).log_endpoint(), port)
}

/// A client that has got its greeting and ended its input.
fn half_closed(server: &TestServer, endpoint: &str) -> Client {
    let mut client = server.connect_to(endpoint);
    client.until("@@@ procServ server started at: ");
    client.until("\r\n");
    client.half_close();
    client
}

/// Waits until so many users and loggers are connected.
fn wait_for_users(env: &TestEnv, server: &TestServer, users: i32, loggers: i32) {
    env.wait_for("the right number of clients", || {
        let greeting = server.connect().greeting();
        let line = format!("@@@ {users} user(s) and {loggers} logger(s) connected (plus you)");
        find(&greeting, line.as_bytes()).map(|_| ())
    });
}

fn raw_client_gets_the_answer(env: &TestEnv) {
    let (setup, port) = every_kind(env);
    let child = "while read -r word; do sleep 0.3; echo \"answer to $word\"; done";
    let server = setup.command(["sh", "-c", child]).start();
    for endpoint in ["unix:raw", &port] {
        let mut script = server.connect_to(endpoint);
        script.send("command\n");
        script.half_close();
        script.until("answer to command\r\n");
    }
}

fn viewers_and_loggers_go_on_receiving(env: &TestEnv) {
    let (setup, _) = every_kind(env);
    let server = setup.start();
    server.child_start(1);
    let endpoints = ["unix:view", "unix:rawview", "unix:log-ctl"];
    let mut readers = endpoints.map(|endpoint| half_closed(&server, endpoint));
    server.falls_asleep();
    let mut user = server.connect();
    user.greeting();
    for word in ["one", "two"] {
        user.send(format!("{word}\n"));
        for reader in &mut readers {
            reader.until(format!("{word}\r\n{word}\r\n"));
        }
    }
    wait_for_users(env, &server, 3, 1);
}

fn control_client_with_telnet_is_closed(env: &TestEnv) {
    let (setup, _) = every_kind(env);
    let server = setup.start();
    server.child_start(1);
    half_closed(&server, "unix:ctl").until_end();
}

fn unix_client_is_gone_when_it_hangs_up(env: &TestEnv) {
    let (setup, _) = every_kind(env);
    let server = setup.opts(["--events", "events"]).start();
    server.child_start(1);
    let clients = ["unix:raw", "unix:view", "unix:rawview", "unix:log-ctl"]
        .map(|endpoint| half_closed(&server, endpoint));
    wait_for_users(env, &server, 3, 1);
    drop(clients);
    wait_for_users(env, &server, 0, 0);
    env.wait_for("the records", || {
        let events = String::from_utf8(server.file("events")).unwrap();
        let ends = events.lines().filter(|line| line.contains("\"disconnect\""));
        let closed = ends.filter(|line| line.contains("\"reason\":\"closed\"")).count();
        // Those that only looked at the number of users are among them.
        (closed >= 4).then_some(())
    });
}

fn tcp_client_is_gone_when_it_is_written_to(env: &TestEnv) {
    let (setup, port) = every_kind(env);
    let server = setup.start();
    server.child_start(1);
    drop(half_closed(&server, &port));
    let mut user = server.connect();
    user.greeting();
    env.wait_for("the client to be gone", || {
        user.is_answered("word");
        let greeting = server.connect().greeting();
        find(&greeting, b"@@@ 1 user(s) and 0 logger(s)").map(|_| ())
    });
}

/// The time until the kernel's next keepalive probe of each connection of this port, in hundredths of a
/// second (proc_net_tcp(5)). `CLOSE_WAIT` is the state after the other side's end of file.
fn keepalive(port: u16) -> Vec<u64> {
    let table = fs::read_to_string("/proc/net/tcp").expect("the connections");
    let half_closed = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let half_closed = half_closed.filter(|row| {
        row.get(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}"))) && row[3] == "08"
    });
    let timers = half_closed.map(|row| {
        let when = row[5].strip_prefix("02:").unwrap_or_else(|| panic!("no keepalive: {row:?}"));
        u64::from_str_radix(when, 16).expect("a number")
    });
    timers.collect()
}

fn tcp_client_that_hangs_up_is_found_by_keepalive(env: &TestEnv) {
    let (setup, port) = every_kind(env);
    let server = setup.start();
    server.child_start(1);
    let _client = half_closed(&server, &port);
    let number = port.parse().unwrap();
    env.wait_for("the end of the input", || (keepalive(number).len() == 1).then_some(()));
    // What was acknowledged last is not long ago.
    env.wait_for("keepalive", || (keepalive(number)[0] <= 1500).then_some(()));
}

fn server_sleeps_beside_it(env: &TestEnv) {
    let (setup, port) = every_kind(env);
    let server = setup.start();
    server.child_start(1);
    let endpoints = ["unix:raw", &port, "unix:view", "unix:rawview", "unix:log-ctl"];
    let _clients = endpoints.map(|endpoint| half_closed(&server, endpoint));
    server.falls_asleep();
    // It reads nobody again and again either.
    let mut user = server.connect();
    assert!(user.is_answered("word"));
    server.falls_asleep();
}

fn logout_command_closes_it(env: &TestEnv) {
    let server = env.server().opts(["-P", "raw:unix:raw", "-x", "^D"]).start();
    server.child_start(1);
    let mut client = server.connect_to("unix:raw");
    client.send(b"\x04");
    client.half_close();
    client.until_end();
}

fn upgrade_keeps_it(env: &TestEnv) {
    let (setup, port) = every_kind(env);
    let server = setup.logged().start();
    server.child_start(1);
    let endpoints = ["unix:raw", &port, "unix:view", "unix:rawview", "unix:log-ctl"];
    let mut clients = endpoints.map(|endpoint| half_closed(&server, endpoint));
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    let mut user = server.connect();
    assert!(user.is_answered("word"));
    for client in &mut clients {
        client.until("word\r\nword\r\n");
    }
    drop(clients);
    env.wait_for("all to be gone", || {
        user.is_answered("word");
        let greeting = server.connect().greeting();
        find(&greeting, b"@@@ 1 user(s) and 0 logger(s)").map(|_| ())
    });
}

fn it_is_sent_the_end(env: &TestEnv) {
    let (setup, _) = every_kind(env);
    let server = setup.start();
    server.child_start(1);
    let mut client = half_closed(&server, "unix:raw");
    assert_eq!(server.terminate().code(), Some(0));
    let rest = client.until_end();
    assert!(find(&rest, b"@@@ Child process is shutting down").is_some(), "{}", show(&rest));
}
