//! What is lost is counted, and docs/events.md tells what is written.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::json::ExitJson;
use super::*;
use crate::console::event::Role;

const EVENTS_MD: &str = include_str!("../../../docs/events.md");

#[derive(Default)]
struct Lane {
    jobs: Vec<LogJob>,
    done: VecDeque<LogReply>,
}

struct LinkTo(Rc<RefCell<Lane>>);

impl WorkerHandle for LinkTo {
    fn send(&mut self, job: LogJob) -> Result<(), LogJob> {
        self.0.borrow_mut().jobs.push(job);
        Ok(())
    }

    fn receive(&mut self) -> Option<LogReply> {
        self.0.borrow_mut().done.pop_front()
    }

    fn want(&mut self, _: bool) {}

    fn wait(&mut self, _: Duration) -> Option<LogReply> {
        self.receive()
    }

    fn close(self, _: Duration) {}
}

/// The thread is busy for so long that its next job is as large as one can be.
#[test]
fn what_is_lost_is_counted_while_as_much_as_can_waits() {
    let lane = Rc::<RefCell<Lane>>::default();
    let mut records = Records::new(LinkTo(Rc::clone(&lane)), ServerInfo::default(), true, false);
    records.record(&EventBody::ChildStart { pid: 1 }, 0);
    records.hand_over_last();
    let reason = "x".repeat(EVENTS_MAX);
    let room = EVENTS_MAX - line(&EventBody::ChildStartFailed { reason: "" }, 0).len();
    records.record(&EventBody::ChildStartFailed { reason: &reason[..room] }, 0);
    for pid in 0..7 {
        records.record(&EventBody::ChildStart { pid }, 0);
    }
    let done = RecordsReply { rest: Vec::new(), events: Some(Ok(())), status: None };
    records.take_back(LogReply::Recorded(done), Monotonic(0), 0, &mut Vec::new());
    let last = records.pending.split_inclusive(|&byte| byte == b'\n').next_back().unwrap();
    let last: Value = serde_json::from_slice(last).unwrap();
    assert_eq!((&last["event"], &last["count"]), (&"events_lost".into(), &7.into()));
}

/// One that is longer than all that may wait is written all the same, and so are those behind it.
#[test]
fn long_event_ends_no_records() {
    let lane = Rc::<RefCell<Lane>>::default();
    let mut records = Records::new(LinkTo(Rc::clone(&lane)), ServerInfo::default(), true, false);
    let reason = "x".repeat(EVENTS_MAX);
    records.record(&EventBody::ChildStartFailed { reason: &reason }, 0);
    records.record(&EventBody::ChildStart { pid: 1 }, 0);
    assert!(records.pending.len() > EVENTS_MAX);
    records.hand_over_last();
    let done = RecordsReply { rest: Vec::new(), events: Some(Ok(())), status: None };
    records.take_back(LogReply::Recorded(done), Monotonic(0), 0, &mut Vec::new());
    records.record(&EventBody::ChildStart { pid: 2 }, 0);
    let text = String::from_utf8(records.pending).unwrap();
    let names = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let names: Vec<Value> = names.map(|mut line| line["event"].take()).collect();
    assert_eq!(names, ["events_lost", "child_start"]);
}

/// One of each, with all that it can have.
fn examples() -> Vec<Value> {
    let clients: BTreeMap<ClientId, ClientInfo> = [
        PeerIdentity::Address("127.0.0.1:1".parse().unwrap()),
        PeerIdentity::Process { uid: 1, gid: 1, pid: 1 },
    ]
    .into_iter()
    .zip(1..)
    .map(|(caller, id)| {
        let who = ClientInfo { role: Role::User, endpoint: "unix:a".to_owned(), caller, since: 0 };
        (ClientId(id), who)
    })
    .collect();
    let client = |id| client_line(&clients, ClientId(id));
    let (version, name, argv, reason) = ("1", "ioc", &["procServ".to_owned()][..], "why");
    let endpoints = &[EndpointJson::new(Role::User, "unix:a".to_owned())][..];
    let all = [
        EventBody::ServerStart { version, pid: 1, name, argv, endpoints },
        EventBody::ServerRestart { version, pid: 1, name, argv, endpoints },
        EventBody::ServerUpgrade { from: "1", to: "2" },
        EventBody::UpgradeFailed { reason },
        EventBody::ServerExit { status: 0 },
        EventBody::Connect { client: client(1) },
        EventBody::Connect { client: client(2) },
        EventBody::Disconnect { client: client(1), reason },
        EventBody::Refuse { endpoint: "unix:a", peer: Some("127.0.0.1:1".to_owned()), reason },
        EventBody::Command { command: "kill", client: client(1) },
        EventBody::Signal { signal: "SIGHUP", sender: Some(SignalSender { pid: 1, uid: 1 }) },
        EventBody::ChildStart { pid: 1 },
        EventBody::ChildStartFailed { reason },
        EventBody::ChildReady { pid: 1 },
        EventBody::ChildExit { pid: 1, end: ExitJson::Code(1) },
        EventBody::ChildExit { pid: 1, end: ExitJson::Signal(1) },
        EventBody::ChildExit { pid: 1, end: ExitJson::Status("unknown") },
        EventBody::Trouble { with: "log", reason },
        EventBody::Recovery { with: "log" },
        EventBody::AcceptFailed { endpoint: "unix:a", reason },
        EventBody::Skipped { client: client(1), bytes: 1 },
        EventBody::EventsLost { count: 1 },
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
