//! `--events journal`, in a /run of its own with a socket of the test in place of journald's.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{events_in, wait_events};
use crate::support::{
    NO_NAMESPACE, ServerBuilder, TestEnv, TestServer, cases, has_mount_namespaces,
};

cases![
    events_are_entries_beside_the_file_or_alone.only_if(has_mount_namespaces(), NO_NAMESPACE),
    a_server_without_a_journal_says_so.only_if(has_mount_namespaces(), NO_NAMESPACE),
    a_journal_that_does_not_read_holds_up_nobody.only_if(has_mount_namespaces(), NO_NAMESPACE),
    hostile_texts_stay_in_their_fields.only_if(has_mount_namespaces(), NO_NAMESPACE),
    an_upgrade_goes_on_counting.only_if(has_mount_namespaces(), NO_NAMESPACE),
    of_several_files_the_last_counts,
];

/// Becomes the server in a /run of its own.
const LAUNCHER: &str = r#"#!/bin/sh
if [ -z "$INSIDE" ]; then
    INSIDE=1 exec unshare -m "$0" "$@"
fi
unset INSIDE
mount -t tmpfs none /run && mkdir -p /run/systemd/journal || exit 99
ln -s "$PWD/journal-socket" /run/systemd/journal/socket || exit 99
exec "$PROGRAM" "$@"
"#;

fn with_journal(env: &TestEnv) -> ServerBuilder {
    let setup = env.server().with_file("launch", LAUNCHER).env("PROGRAM", env.program());
    let path = setup.path("launch");
    assert!(Command::new("chmod").arg("755").arg(&path).status().unwrap().success());
    setup.program(path).opts(["--events", "journal"])
}

fn journald(dir: &Path) -> UnixDatagram {
    let journald = UnixDatagram::bind(dir.join("journal-socket")).unwrap();
    journald.set_nonblocking(true).unwrap();
    journald
}

/// The fields of an entry, by name.
type Entry = BTreeMap<String, String>;

/// Reads an entry as journald does.
fn parse(mut bytes: &[u8]) -> Entry {
    let mut entry = Entry::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        let (name, value);
        if let Some(at) = line.iter().position(|&byte| byte == b'=') {
            (name, value, bytes) = (text(&line[..at]), text(&line[at + 1..]), rest);
        } else {
            let (length, rest) = rest.split_first_chunk().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            (name, value, bytes) = (text(line), text(&rest[..length]), &rest[length + 1..]);
        }
        assert_eq!(entry.insert(name, value), None);
    }
    entry
}

/// The entries that have come.
fn received(journald: &UnixDatagram) -> Vec<Entry> {
    let mut buffer = vec![0; 300_000];
    let entries = std::iter::from_fn(|| {
        let count = journald.recv(&mut buffer).ok()?;
        Some(parse(&buffer[..count]))
    });
    entries.collect()
}

/// Adds what comes to `entries`, until there is an event of this kind.
fn receive_until(env: &TestEnv, journald: &UnixDatagram, kind: &str, entries: &mut Vec<Entry>) {
    env.wait_for(&format!("an entry {kind}"), || {
        entries.extend(received(journald));
        entries.iter().any(|entry| entry["PROCSERV_EVENT"] == kind).then_some(())
    });
}

/// Returns the status file once `is_so` is true of its `journal`.
fn journal_status(server: &TestServer, env: &TestEnv, is_so: impl Fn(u64, u64) -> bool) -> Value {
    env.wait_for("the status", || {
        let status: Value =
            serde_json::from_slice(&std::fs::read(server.path("status")).ok()?).ok()?;
        let count = |what: &str| status["journal"][what].as_u64().unwrap();
        is_so(count("sent"), count("lost")).then_some(status)
    })
}

fn events_are_entries_beside_the_file_or_alone(env: &TestEnv) {
    let setup = with_journal(env).opts(["-n", "ioc", "--events", "events"]);
    let journald = journald(&setup.path(""));
    let server = setup.child(["cat"]).start();
    let mut user = server.connect();
    user.greeting();
    server.child_start(1);
    user.send("\x18");
    server.child_start(2);
    assert!(server.terminate().success());
    let mut entries = Vec::new();
    receive_until(env, &journald, "server_exit", &mut entries);
    let events = events_in(&server, "events");
    let sent: Vec<Value> =
        entries.iter().map(|it| serde_json::from_str(&it["PROCSERV_JSON"]).unwrap()).collect();
    assert_eq!(sent, events);
    let kill = entries.iter().find(|entry| entry["PROCSERV_EVENT"] == "command").unwrap();
    assert!(kill["MESSAGE"].starts_with("ioc: killed by "), "{kill:?}");
    assert_eq!((&*kill["PROCSERV_INSTANCE"], &*kill["PRIORITY"]), ("ioc", "5"));
    assert_eq!(kill["SYSLOG_IDENTIFIER"], "procServ");
    let ids: Vec<&String> = entries.iter().map(|entry| &entry["MESSAGE_ID"]).collect();
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");

    let setup = with_journal(env);
    let journald = self::journald(&setup.path(""));
    let server = setup.child(["cat"]).start();
    receive_until(env, &journald, "child_start", &mut Vec::new());
    assert!(!server.path("journal").exists());
}

fn a_server_without_a_journal_says_so(env: &TestEnv) {
    let server =
        with_journal(env).logged().opts(["--status-file", "status"]).child(["cat"]).start();
    let notice = "@@@ Journal: No such file or directory, events are not being sent there\r\n";
    server.file_with("log", notice);
    let status = journal_status(&server, env, |sent, lost| sent == 0 && lost >= 3);
    assert_eq!(status["trouble"][0]["what"], "journal");
    let mut entries = Vec::new();
    let journald = journald(&server.path(""));
    receive_until(env, &journald, "recovery", &mut entries);
    // The number comes first, without an event that it would have to wait for.
    assert_eq!(entries[0]["PROCSERV_EVENT"], "events_lost");
    let count: u64 = entries[0]["PROCSERV_COUNT"].parse().unwrap();
    let status = journal_status(&server, env, |sent, _| sent > 0);
    assert_eq!(
        (status["journal"]["lost"].as_u64(), &status["trouble"]),
        (Some(count), &Value::Array(vec![]))
    );
    let log = String::from_utf8(server.file("log")).unwrap();
    assert_eq!(log.matches("@@@ Journal").count(), 1, "{log}");
}

fn a_journal_that_does_not_read_holds_up_nobody(env: &TestEnv) {
    let setup = with_journal(env).logged().opts(["--status-file", "status", "--events", "events"]);
    let journald = journald(&setup.path(""));
    let server = setup.child(["cat"]).start();
    let is_full = || {
        let log = std::fs::read_to_string(server.path("log")).unwrap_or_default();
        log.contains("@@@ Journal: Resource temporarily unavailable, events are not being sent")
    };
    // As many as a system may let wait.
    for _ in 0..2000 {
        if is_full() {
            break;
        }
        let mut user = server.connect();
        user.greeting();
    }
    assert!(is_full());
    let mut user = server.connect();
    user.greeting();
    user.send("still there\r");
    user.until("still there");
    drop(user);
    let mut entries = Vec::new();
    receive_until(env, &journald, "recovery", &mut entries);
    assert!(server.terminate().success());
    receive_until(env, &journald, "server_exit", &mut entries);
    let told = entries.iter().filter(|entry| entry["PROCSERV_EVENT"] == "events_lost");
    let lost: u64 = told.clone().map(|entry| entry["PROCSERV_COUNT"].parse::<u64>().unwrap()).sum();
    let sent = entries.len() - told.count();
    // The file, which lacks nothing, has them all.
    assert_eq!(sent as u64 + lost, events_in(&server, "events").len() as u64);
    assert!(lost > 0);
}

fn hostile_texts_stay_in_their_fields(env: &TestEnv) {
    let name = "a\nMESSAGE=evil\n\x1b]0;title\x07\"'=\\";
    let setup = with_journal(env).opts(["-n", name, "--record-input"]);
    let journald = journald(&setup.path(""));
    let server = setup.child(["cat"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send("x\x1b=\"".repeat(20_000));
    user.send("\rPROCSERV_EVENT=evil\x1b[31m\r");
    let mut entries = Vec::new();
    env.wait_for("what was typed", || {
        entries.extend(received(&journald));
        entries
            .iter()
            .any(|it| it.get("PROCSERV_TEXT").is_some_and(|it| it.contains("evil^[[")))
            .then_some(())
    });
    for entry in &entries {
        assert_eq!(entry["PROCSERV_INSTANCE"], name);
        assert!(!entry["MESSAGE"].contains(char::is_control), "{entry:?}");
        assert!(entry["MESSAGE"].starts_with(r"a\nMESSAGE=evil\n\u{1b}]0;title\u{7}"), "{entry:?}");
        let event: Value = serde_json::from_str(&entry["PROCSERV_JSON"]).unwrap();
        assert_eq!(event["event"], entry["PROCSERV_EVENT"]);
    }
}

fn an_upgrade_goes_on_counting(env: &TestEnv) {
    let setup = with_journal(env).opts(["--status-file", "status", "--events", "events"]);
    let server = setup.child(["cat"]).start();
    let status = journal_status(&server, env, |_, lost| lost >= 3);
    let before = status["journal"]["lost"].as_u64().unwrap();
    server.signal(Signal::SIGUSR1);
    wait_events(env, &server, "server_upgrade", 1);
    let journald = journald(&server.path(""));
    let mut entries = Vec::new();
    receive_until(env, &journald, "events_lost", &mut entries);
    let count: u64 = entries[0]["PROCSERV_COUNT"].parse().unwrap();
    assert!(count > before, "{count} {before}");
    journal_status(&server, env, |_, lost| lost == count);
    server.signal(Signal::SIGUSR1);
    wait_events(env, &server, "server_upgrade", 2);
    journal_status(&server, env, |sent, lost| lost == count && sent > 0);
}

fn of_several_files_the_last_counts(env: &TestEnv) {
    let server = env.server().opts(["--events", "first", "--events", "./journal"]).start();
    server.file_with("journal", "child_start");
    assert!(!server.path("first").exists());
}
