//! Events that have no room are counted, and docs/events.md describes every event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::Value;

use super::json::{ExitJson, client_json, line};
use super::*;
use crate::console::event::Role;
use crate::limits::{EVENTS_MAX, STATUS_INTERVAL, STATUS_OUTPUT_INTERVAL};
use crate::server::os::SignalSender;

const EVENTS_MD: &str = include_str!("../../../docs/events.md");

/// A worker that never replies by itself.
struct Hung;

impl WorkerHandle<RecordsJob, RecordsReply> for Hung {
    fn send(&mut self, _: RecordsJob) {}

    fn try_send(&mut self, _: RecordsJob) -> bool {
        true
    }

    fn proceed(&mut self) {}

    fn receive(&mut self) -> Option<RecordsReply> {
        None
    }

    fn want(&mut self, _: bool) {}

    fn wait(&mut self, _: Duration) -> Option<RecordsReply> {
        None
    }

    fn abandon(&mut self) -> (VecDeque<RecordsReply>, Option<u64>) {
        Default::default()
    }

    fn close(&mut self, _: Duration) {}
}

/// The writer has appended all lines of its job.
fn appended() -> RecordsReply {
    RecordsReply { events: Some((Vec::new(), Ok(()))), ..RecordsReply::default() }
}

fn pending(records: &Records<Hung>) -> &[u8] {
    &records.events.as_ref().unwrap().pending
}

/// The writer is busy for so long that its next job is as large as a job can be.
#[test]
fn lost_events_are_counted_while_the_queue_is_full() {
    let mut records = Records::new(Hung, ServerInfo::default(), true, false);
    records.record(&EventBody::ChildStart { pid: 1 }, 0);
    records.hand_over_last();
    let reason = "x".repeat(EVENTS_MAX);
    let room = EVENTS_MAX - line(&EventBody::ChildStartFailed { reason: "" }, 0).len();
    records.record(&EventBody::ChildStartFailed { reason: &reason[..room] }, 0);
    for pid in 0..7 {
        records.record(&EventBody::ChildStart { pid }, 0);
    }
    records.take_back(appended(), Monotonic(0), 0);
    let last = pending(&records).split_inclusive(|&byte| byte == b'\n').next_back().unwrap();
    let last: Value = serde_json::from_slice(last).unwrap();
    assert_eq!((&last["event"], &last["count"]), (&"events_lost".into(), &7.into()));
}

/// An event that is longer than all that may wait is written all the same, and so are the events behind
/// it.
#[test]
fn long_event_ends_no_records() {
    let mut records = Records::new(Hung, ServerInfo::default(), true, false);
    let reason = "x".repeat(EVENTS_MAX);
    records.record(&EventBody::ChildStartFailed { reason: &reason }, 0);
    records.record(&EventBody::ChildStart { pid: 1 }, 0);
    assert!(pending(&records).len() > EVENTS_MAX);
    records.hand_over_last();
    records.take_back(appended(), Monotonic(0), 0);
    records.record(&EventBody::ChildStart { pid: 2 }, 0);
    let text = str::from_utf8(pending(&records)).unwrap();
    let names = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let names: Vec<Value> = names.map(|mut line| line["event"].take()).collect();
    assert_eq!(names, ["events_lost", "child_start"]);
}

/// An event of each kind, with every field that it can have.
pub(super) fn examples() -> Vec<Value> {
    let clients: BTreeMap<ClientId, ClientInfo> = [
        PeerIdentity::Address { address: "127.0.0.1:1".parse().unwrap() },
        PeerIdentity::Process { uid: 1, gid: 1, pid: 1 },
    ]
    .into_iter()
    .zip(1..)
    .map(|(peer, id)| {
        let client = ClientInfo { role: Role::User, endpoint: "unix:a".to_owned(), peer, since: 0 };
        (ClientId(id), client)
    })
    .collect();
    let client = |id| client_json(&clients, ClientId(id));
    let server = ServerInfo {
        argv: vec!["procServ".to_owned()],
        endpoints: vec![EndpointJson { role: Role::User, endpoint: "unix:a".to_owned() }],
        ..ServerInfo::default()
    };
    let reason = "why";
    let all = [
        EventBody::ServerStart(ServerJson::new(&server)),
        EventBody::ServerRestart(ServerJson::new(&server)),
        EventBody::ServerUpgrade { from: "1", to: "2" },
        EventBody::UpgradeFailed { reason },
        EventBody::ServerExit { status: 0 },
        EventBody::Connect { client: client(1) },
        EventBody::Connect { client: client(2) },
        EventBody::Disconnect { client: client(1), reason },
        EventBody::Refuse { endpoint: "unix:a", peer: Some("127.0.0.1:1".to_owned()), reason },
        EventBody::Command { command: "kill", mode: Some("OFF"), client: client(1), count: None },
        EventBody::Command { command: "toggle", mode: None, client: client(1), count: Some(4711) },
        EventBody::Signal { signal: "SIGHUP", sender: Some(SignalSender { pid: 1, uid: 1 }) },
        EventBody::ChildStart { pid: 1 },
        EventBody::ChildStartFailed { reason },
        EventBody::ChildReady { pid: 1 },
        EventBody::TerminalClosed { pid: 1 },
        EventBody::ChildExit { pid: 1, end: ExitJson::Code(1) },
        EventBody::ChildExit { pid: 1, end: ExitJson::Signal(1) },
        EventBody::ChildExit { pid: 1, end: ExitJson::Status("unknown") },
        EventBody::Input {
            client: client(1),
            text: Some("a".to_owned()),
            hidden: None,
            unfinished: true,
        },
        EventBody::Input { client: client(2), text: None, hidden: Some(7), unfinished: false },
        EventBody::Trouble { with: "log", reason },
        EventBody::Recovery { with: "log" },
        EventBody::AcceptFailed { endpoint: "unix:a", reason },
        EventBody::Skipped { client: client(1), bytes: 1 },
        EventBody::EventsLost { count: 1 },
    ];
    all.iter().map(|what| serde_json::from_slice(&line(what, 0)).unwrap()).collect()
}

/// The names in the first column of the document's tables, each with the last cell of its row.
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

/// The fields have an order, and those of a peer are those that the system knows.
#[test]
fn client_is_written_with_what_is_known_of_its_peer() {
    let json = |peer| {
        let client = ClientInfo { role: Role::Logger, endpoint: "a".to_owned(), peer, since: 0 };
        let clients = BTreeMap::from([(ClientId(7), client)]);
        [7, 8].map(|id| serde_json::to_string(&client_json(&clients, ClientId(id))).unwrap())
    };
    for (peer, known) in [
        (PeerIdentity::Unknown, ""),
        (PeerIdentity::Process { uid: 1, gid: 2, pid: 3 }, r#","uid":1,"gid":2,"pid":3"#),
        (
            PeerIdentity::Address { address: "[fe80::1%2]:23".parse().unwrap() },
            r#","address":"[fe80::1%2]:23""#,
        ),
    ] {
        let client = format!(r#"{{"id":7,"role":"logger","endpoint":"a"{known}}}"#);
        assert_eq!(json(peer), [client, r#"{"id":8}"#.to_owned()]);
    }
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
            // The field is documented by its name, or by an example with its value.
            let forms = [format!("`{key}`"), format!("`\"{key}\":")];
            assert!(forms.iter().any(|form| text.contains(form)), "{kind}: {key}");
        }
        written.extend(common.into_iter().chain([kind]));
        written.extend(event.get("client").into_iter().flat_map(keys));
    }
    assert_eq!(written, documented.into_keys().collect());
}

/// Output alone has the file written, though not at once, and no more than that.
#[test]
fn status_file_follows_the_output_after_a_while() {
    let at = |seconds| Monotonic::default() + Duration::from_secs(seconds);
    let mut file = StatusFile::default();
    file.compare(1, 0, at(0));
    assert!(file.replace(b"first".to_vec(), 0, None, at(0)).is_some());
    file.compare(1, 0, at(1));
    assert_eq!(file.deadline(), None);
    file.compare(1, 500, at(10));
    let due = at(10) + STATUS_OUTPUT_INTERVAL;
    file.compare(1, 900, at(20));
    assert_eq!(file.deadline(), Some(due));
    // Something else is sooner.
    file.compare(2, 900, at(21));
    assert_eq!(file.deadline(), Some(at(0) + STATUS_INTERVAL));
    assert!(file.replace(b"second".to_vec(), 900, None, at(21)).is_some());
    file.compare(2, 900, at(22));
    assert_eq!(file.deadline(), None);
    file.compare(2, 1000, at(30));
    file.compare(2, 1000, at(30) + STATUS_OUTPUT_INTERVAL);
    assert!(file.deadline() <= Some(at(30) + STATUS_OUTPUT_INTERVAL));
    assert!(file.replace(b"third".to_vec(), 1000, None, at(50)).is_some());
    file.compare(2, 1000, at(70));
    assert_eq!(file.deadline(), None);
}
