//! What is lost is counted, and docs/events.md tells what is written.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::json::End;
use super::*;
use crate::console::event::Role;

const EVENTS_MD: &str = include_str!("../../../docs/events.md");

#[derive(Default)]
struct Lane {
    jobs: Vec<Job>,
    done: VecDeque<Done>,
}

struct LinkTo(Rc<RefCell<Lane>>);

impl Link for LinkTo {
    fn send(&mut self, job: Job) -> Result<(), Job> {
        self.0.borrow_mut().jobs.push(job);
        Ok(())
    }

    fn receive(&mut self) -> Option<Done> {
        self.0.borrow_mut().done.pop_front()
    }

    fn want(&mut self, _: bool) {}

    fn wait(&mut self, _: Duration) -> Option<Done> {
        self.receive()
    }

    fn close(self, _: Duration) {}
}

/// The thread is busy for so long that its next job is as large as one can be.
#[test]
fn what_is_lost_is_counted_while_as_much_as_can_waits() {
    let lane = Rc::<RefCell<Lane>>::default();
    let mut records = Records::new(LinkTo(Rc::clone(&lane)), Fixed::default(), true, false);
    records.write(&What::ChildStart { pid: 1 }, 0);
    records.hand_over_last();
    let reason = "x".repeat(EVENTS_MAX);
    let room = EVENTS_MAX - line(&What::ChildStartFailed { reason: "" }, 0).len();
    records.write(&What::ChildStartFailed { reason: &reason[..room] }, 0);
    for pid in 0..7 {
        records.write(&What::ChildStart { pid }, 0);
    }
    let done = Outcome { rest: Vec::new(), events: Some(Ok(())), status: None };
    records.take_back(Done::Recorded(done), Monotonic(0), 0, &mut Vec::new());
    let last = records.pending.split_inclusive(|&byte| byte == b'\n').next_back().unwrap();
    let last: Value = serde_json::from_slice(last).unwrap();
    assert_eq!((&last["event"], &last["count"]), (&"events_lost".into(), &7.into()));
}

/// One that is longer than all that may wait is written all the same, and so are those behind it.
#[test]
fn long_event_ends_no_records() {
    let lane = Rc::<RefCell<Lane>>::default();
    let mut records = Records::new(LinkTo(Rc::clone(&lane)), Fixed::default(), true, false);
    let reason = "x".repeat(EVENTS_MAX);
    records.write(&What::ChildStartFailed { reason: &reason }, 0);
    records.write(&What::ChildStart { pid: 1 }, 0);
    assert!(records.pending.len() > EVENTS_MAX);
    records.hand_over_last();
    let done = Outcome { rest: Vec::new(), events: Some(Ok(())), status: None };
    records.take_back(Done::Recorded(done), Monotonic(0), 0, &mut Vec::new());
    records.write(&What::ChildStart { pid: 2 }, 0);
    let text = String::from_utf8(records.pending).unwrap();
    let names = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let names: Vec<Value> = names.map(|mut line| line["event"].take()).collect();
    assert_eq!(names, ["events_lost", "child_start"]);
}

/// One of each, with all that it can have.
fn examples() -> Vec<Value> {
    let clients: BTreeMap<ClientId, Who> = [
        Caller::Address("127.0.0.1:1".parse().unwrap()),
        Caller::Process { uid: 1, gid: 1, pid: 1 },
    ]
    .into_iter()
    .zip(1..)
    .map(|(caller, id)| {
        let who = Who { role: Role::User, endpoint: "unix:a".to_owned(), caller, since: 0 };
        (ClientId(id), who)
    })
    .collect();
    let client = |id| client_line(&clients, ClientId(id));
    let (version, name, argv, reason) = ("1", "ioc", &["procServ".to_owned()][..], "why");
    let endpoints = &[EndpointLine::new(Role::User, "unix:a".to_owned())][..];
    let all = [
        What::ServerStart { version, pid: 1, name, argv, endpoints },
        What::ServerRestart { version, pid: 1, name, argv, endpoints },
        What::ServerUpgrade { from: "1", to: "2" },
        What::UpgradeFailed { reason },
        What::ServerExit { status: 0 },
        What::Connect { client: client(1) },
        What::Connect { client: client(2) },
        What::Disconnect { client: client(1), reason },
        What::Refuse { endpoint: "unix:a", peer: Some("127.0.0.1:1".to_owned()), reason },
        What::Command { command: "kill", client: client(1) },
        What::Signal { signal: "SIGHUP", sender: Some(Sender { pid: 1, uid: 1 }) },
        What::ChildStart { pid: 1 },
        What::ChildStartFailed { reason },
        What::ChildReady { pid: 1 },
        What::ChildExit { pid: 1, end: End::Code(1) },
        What::ChildExit { pid: 1, end: End::Signal(1) },
        What::ChildExit { pid: 1, end: End::Status("unknown") },
        What::Trouble { with: "log", reason },
        What::Recovery { with: "log" },
        What::AcceptFailed { endpoint: "unix:a", reason },
        What::Skipped { client: client(1), bytes: 1 },
        What::EventsLost { count: 1 },
    ];
    all.iter().map(|what| serde_json::from_slice(&line(what, 0)).unwrap()).collect()
}

/// What the tables name, and the last cell of its row.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let mut documented = BTreeMap::new();
    let mut before = "";
    for row in EVENTS_MD.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let last = *cells.last().unwrap();
        before = if last == "the same" { before } else { last };
        documented.extend(cells[0].split(", ").map(|name| (name.trim_matches('`'), before)));
    }
    documented
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value.as_object().unwrap().keys().map(String::as_str)
}

#[test]
fn every_event_and_field_is_documented_and_no_other() {
    let documented = documented();
    let examples = examples();
    let mut written = BTreeSet::new();
    for event in &examples {
        let kind = event["event"].as_str().unwrap();
        let common = ["v", "time", "event"];
        let text = documented.get(kind).expect(kind);
        for key in keys(event).filter(|key| !common.contains(key)) {
            // Its name, or an example with its value.
            let forms = [format!("`{key}`"), format!("`\"{key}\":")];
            assert!(forms.iter().any(|form| text.contains(form)), "{kind}: {key}");
        }
        written.extend(common.into_iter().chain([kind]));
        written.extend(event.get("client").into_iter().flat_map(keys));
    }
    assert!(written.into_iter().eq(documented.into_keys()));
}
