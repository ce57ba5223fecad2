//! Clients that come and go: what is written down of that is about them only.

use super::store::Unit;
use super::{is_served, is_told};
use crate::support::{Client, TestEnv, cases};
use crate::systemd::manager::user;
use std::fs;

cases![
    coming_and_going_costs_the_same_however_many_there_are,
    who_came_and_went_is_known_after_a_crash,
];

/// The answers to what the greeting asks for, which the server notes of the client.
const ANSWERS: &[u8] = b"\xff\xfd\x01\xff\xfc\x22\xff\xfd\x03";

/// How many bytes the server has given to system calls that write (proc_pid_io(5)).
fn written(unit: &Unit) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", unit.server.pid())).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
    line.parse().unwrap()
}

fn coming_and_going_costs_the_same_however_many_there_are(env: &TestEnv) {
    const CLIENTS: u64 = 250;
    let unit = Unit::start(env, &["--events", "events"], &["cat"]);
    unit.server.falls_asleep();
    let begin = written(&unit);
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = user(&unit.server);
        client.send(ANSWERS);
        clients.push(client);
    }
    unit.server.falls_asleep();
    let joined = (written(&unit) - begin) / CLIENTS;
    assert!(joined < 4096, "{joined} bytes were written for each client that came");
    let begin = written(&unit);
    while let Some(client) = clients.pop() {
        drop(client);
        let kept = super::BASICS.len() + clients.len();
        env.wait_for("the manager to forget the client", || {
            (unit.store.kept.lock().unwrap().len() == kept).then_some(())
        });
    }
    let left = (written(&unit) - begin) / CLIENTS;
    assert!(left < 2048, "{left} bytes were written for each client that left");
    unit.store.expect(&super::BASICS);
}

fn who_came_and_went_is_known_after_a_crash(env: &TestEnv) {
    let port = env.free_port().to_string();
    let options = ["-P", &port, "--announce", "--events", "events"];
    let mut unit = Unit::start(env, &options, &["cat"]);
    let mut first = user(&unit.server);
    let mut others: Vec<Client> = Vec::new();
    for count in 0..4 {
        let mut other = unit.server.connect_to(&port);
        other.send(ANSWERS);
        let greeting = other.greeting();
        assert!(!greeting.is_empty());
        first.until(" attached\r\n");
        if count % 2 == 1 {
            drop(others.pop());
            first.until(" left\r\n");
        }
        others.push(other);
    }
    let kinds = ["child", "client", "client", "client", "listener", "listener", "pty", "state"];
    unit.restart(&kinds);
    is_told(&mut first);
    assert_eq!(unit.store.state().console.clients().count(), 3);
    for _ in 0..2 {
        drop(others.pop());
        first.until(" left\r\n");
    }
    is_served(&mut first, "alone");
    unit.store.expect(&["child", "client", "listener", "listener", "pty", "state"]);
    let events = unit.server.file_with("events", "server_restart");
    let events = String::from_utf8_lossy(&events).into_owned();
    let (_, later) = events.split_once("server_restart").unwrap();
    assert!(!later.contains("null"), "{later}");
}
