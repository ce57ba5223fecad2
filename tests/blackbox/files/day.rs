//! A day with three users: the events account for each connection and each command.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{events_in, own_pid, wait_events};
use crate::support::{Client, TestEnv, TestServer, cases};

cases![a_day_with_three_users];

/// What a user did, in the order in which it was done.
#[derive(Default)]
struct Diary {
    lines: Vec<(usize, &'static str)>,
}

struct User {
    number: usize,
    client: Client,
}

impl Diary {
    fn comes(&mut self, number: usize, mut client: Client) -> User {
        client.greeting();
        self.lines.push((number, "connect"));
        User { number, client }
    }

    /// A command, and what it makes everybody see.
    fn commands(&mut self, user: &mut User, key: &str, name: &'static str, seen: &str) {
        user.client.send(key);
        user.client.until(seen);
        self.lines.push((user.number, name));
    }

    fn goes(&mut self, env: &TestEnv, server: &TestServer, user: User) {
        let count = self.lines.iter().filter(|line| line.1 == "disconnect").count();
        user.client.half_close();
        // A log client goes on receiving. One that closes with output unread before would have failed.
        server.falls_asleep();
        drop(user.client);
        self.lines.push((user.number, "disconnect"));
        wait_events(env, server, "disconnect", count + 1);
    }
}

fn a_day_with_three_users(env: &TestEnv) {
    let port = env.free_port();
    let tcp = format!("127.0.0.1:{port}");
    let options = ["-P", &tcp, "-l", "unix:log-ctl", "-x", "^]", "--holdoff", "0"];
    let server = env.server().opts(options).opts(["--events", "events"]).start();
    server.child_start(1);
    let mut diary = Diary::default();
    let mut anna = diary.comes(1, server.connect());
    let mut bert = diary.comes(2, server.connect_to(&tcp));
    let clio = diary.comes(3, server.connect_log());
    diary.commands(&mut anna, "\x14", "toggle", "restart mode to OFF");
    diary.commands(&mut bert, "\x18", "kill", "^Q quits the server, ^] closes this connection");
    diary.commands(&mut anna, "\x12", "restart", "The PID of new child");
    diary.goes(env, &server, clio);
    diary.commands(&mut bert, "\x14", "toggle", "restart mode to ONESHOT");
    diary.commands(&mut bert, "\x14", "toggle", "restart mode to ON");
    server.signal(Signal::SIGHUP);
    wait_events(env, &server, "signal", 1);
    bert.client.send("\x1d");
    bert.client.until_end();
    diary.lines.extend([(2, "logout"), (2, "disconnect")]);
    wait_events(env, &server, "disconnect", 2);
    let mut bert = diary.comes(4, server.connect_to(&tcp));
    diary.commands(&mut anna, "\x18", "kill", "The PID of new child");
    diary.commands(&mut bert, "\x14", "toggle", "restart mode to OFF");
    diary.commands(&mut bert, "\x18", "kill", "^Q quits the server, ^] closes this connection");
    diary.commands(&mut anna, "\x18", "restart", "The PID of new child");
    diary.commands(&mut anna, "\x18", "kill", "^Q quits the server, ^] closes this connection");
    diary.goes(env, &server, bert);
    anna.client.send("\x11");
    anna.client.until_end();
    diary.lines.extend([(1, "quit"), (1, "disconnect")]);
    assert!(server.wait_exit().success() || server.wait_exit().code().is_some());

    let events = events_in(&server, "events");
    let mut numbers = BTreeMap::new();
    let mut written = Vec::new();
    for event in events.iter().filter(|event| event.get("client").is_some()) {
        let client = &event["client"];
        let id = client["id"].as_u64().unwrap();
        let next = numbers.len() + 1;
        let number = *numbers.entry(id).or_insert(next);
        check_identity(number, client, &tcp);
        let what = event.get("command").unwrap_or(&event["event"]);
        written.push((number, what.as_str().unwrap()));
    }
    assert_eq!(written, diary.lines);
    let reasons: Vec<_> = events.iter().filter_map(|event| event["reason"].as_str()).collect();
    assert_eq!(reasons, ["closed", "logout", "closed", "server_exit"]);
    check_children(&events);
    let ends = [events.first().unwrap(), events.last().unwrap()];
    assert_eq!(ends.map(|event| event["event"].as_str().unwrap()), ["server_start", "server_exit"]);
    let reopened = events.iter().find(|event| event["event"] == "signal").unwrap();
    assert_eq!(reopened["signal"], "SIGHUP");
    assert_eq!(reopened["sender"]["pid"], own_pid());
}

fn check_identity(number: usize, client: &Value, tcp: &str) {
    let endpoint = client["endpoint"].as_str().unwrap();
    match number {
        2 | 4 => {
            assert_eq!((client["role"].as_str(), endpoint), (Some("user"), &*format!("tcp:{tcp}")));
            assert!(client["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{client}");
            assert!(client.get("uid").is_none());
        }
        _ => {
            let (role, path) =
                if number == 1 { ("user", "unix:ctl") } else { ("logger", "unix:log-ctl") };
            assert_eq!(client["role"], role);
            assert_eq!(endpoint, path);
            let uid = nix::unistd::getuid().as_raw();
            let gid = nix::unistd::getgid().as_raw();
            let expected = (uid.into(), gid.into(), own_pid().into());
            assert_eq!(
                (client["uid"].clone(), client["gid"].clone(), client["pid"].clone()),
                expected
            );
        }
    }
}

/// Each child was started and killed, one after the other.
fn check_children(events: &[Value]) {
    let children: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"].as_str().unwrap().starts_with("child"))
        .collect();
    assert_eq!(children.len(), 8);
    for pair in children.chunks(2) {
        assert_eq!(pair[0]["event"], "child_start");
        assert_eq!(pair[1]["event"], "child_exit");
        assert_eq!(pair[0]["pid"], pair[1]["pid"]);
        assert_eq!(pair[1]["signal"], 9);
        assert!(pair[1].get("code").is_none());
    }
}
