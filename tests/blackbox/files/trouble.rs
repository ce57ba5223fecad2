//! Records that can't be written: said once, tried again, nothing lost but what has no room.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{events_in, kinds, wait_events};
use crate::support::{TestEnv, TestServer, cases};

cases![
    events_wait_for_their_directory,
    a_full_disk_leaves_whole_lines,
    trouble_is_said_once,
    trouble_with_the_log_and_its_end,
    a_full_fifo_holds_up_nobody,
    too_many_events_are_counted,
    failing_sync_is_told_as_a_failing_write_is.needs("strace"),
    what_an_unread_fifo_lacks_is_told,
    what_a_log_lacks_that_is_rotated_at_each_line_is_told,
];

fn events_wait_for_their_directory(env: &TestEnv) {
    let server = env.server().logged().opts(["--events", "gone/events"]).start();
    server.file_with("log", "@@@ Events file: No such file or directory, events have to wait\r\n");
    let mut user = server.connect();
    user.greeting();
    user.send("\x14");
    user.until("Toggled");
    fs::create_dir(server.path("gone")).unwrap();
    env.wait_for("the events", || fs::metadata(server.path("gone/events")).ok());
    let recovered = || {
        let events = events_in(&server, "gone/events");
        events.iter().any(|it| it["event"] == "recovery").then_some(events)
    };
    let events = env.wait_for("the recovery", recovered);
    let expected =
        ["server_start", "child_start", "connect", "trouble", "command toggle", "recovery"];
    let mut kinds = kinds(&events);
    // The trouble is known a little later than its cause.
    kinds.sort();
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(kinds, expected);
    let trouble = events.iter().find(|it| it["event"] == "trouble").unwrap();
    assert_eq!(
        (&trouble["with"], &trouble["reason"]),
        (&"events".into(), &"No such file or directory".into())
    );
}

/// The limit of a file's size, which ends in the middle of a line, stands for a full disk.
fn a_full_disk_leaves_whole_lines(env: &TestEnv) {
    let limit = ["limit-file-size", "3000", "3000"];
    let server = env.server().launched_by(limit).opts(["--events", "events"]).start();
    let mut watcher = server.connect();
    watcher.greeting();
    for _ in 0..20 {
        server.connect().greeting();
    }
    watcher.until("@@@ Events file: File too large, events have to wait\r\n");
    let mut names = vec!["events".to_owned()];
    let all = |names: &[String]| -> Vec<Value> {
        names.iter().flat_map(|name| events_in(&server, name)).collect()
    };
    let complete = |events: &[Value]| {
        events.iter().filter(|event| event["event"] == "disconnect").count() == 20
    };
    for number in 0..10 {
        // As soon as the writer has found out that there is no room, there are whole lines only.
        env.wait_for("whole lines", || {
            let text = fs::read(server.path("events")).ok()?;
            (text.len() <= 3000 && text.ends_with(b"\n")).then_some(())
        });
        if complete(&all(&names)) {
            break;
        }
        let name = format!("old{number}");
        fs::rename(server.path("events"), server.path(&name)).unwrap();
        names.insert(names.len() - 1, name);
        server.signal(Signal::SIGHUP);
        env.wait_for("a full file, or the end", || {
            let length = fs::metadata(server.path("events")).ok()?.len();
            (length > 2500 || complete(&all(&names))).then_some(())
        });
    }
    let all = all(&names);
    assert!(complete(&all) && names.len() > 2);
    let connects = all.iter().filter(|event| event["event"] == "connect");
    let ids: Vec<u64> = connects.map(|event| event["client"]["id"].as_u64().unwrap()).collect();
    assert!(ids.len() == 21 && ids.is_sorted_by(|one, next| one < next), "{ids:?}");
}

fn trouble_is_said_once(env: &TestEnv) {
    let records = ["--events", "/dev/full", "--status-file", "gone/status"];
    let server = env.server().logged().opts(records).start();
    server.child_start(1);
    let text = "@@@ Status file: No such file or directory, it is not being written\r\n";
    server.file_with("log", text);
    server.file_with("log", "@@@ Events file: No space left on device, events have to wait\r\n");
    // It is tried again, at least for these.
    for _ in 0..3 {
        let mut user = server.connect();
        user.greeting();
        user.send("\x14");
        user.until("Toggled");
    }
    fs::create_dir(server.path("gone")).unwrap();
    server.file_with("gone/status", "\"pid\"");
    let log = String::from_utf8(server.file("log")).unwrap();
    assert_eq!(log.matches("Status file").count(), 1, "{log}");
    assert_eq!(log.matches("Events file").count(), 1, "{log}");
    assert!(server.terminate().success());
}

fn trouble_with_the_log_and_its_end(env: &TestEnv) {
    let server = env.server().opts(["-L", "gone/log", "--events", "events"]).start();
    let trouble = wait_events(env, &server, "trouble", 1);
    assert_eq!(trouble[0]["with"], "log");
    assert_eq!(trouble[0]["reason"], "could not be opened: No such file or directory");
    server.signal(Signal::SIGHUP);
    wait_events(env, &server, "trouble", 2);
    fs::create_dir(server.path("gone")).unwrap();
    server.signal(Signal::SIGHUP);
    assert_eq!(wait_events(env, &server, "recovery", 1)[0]["with"], "log");
    fs::remove_dir_all(server.path("gone")).unwrap();
    server.signal(Signal::SIGHUP);
    assert_eq!(wait_events(env, &server, "trouble", 3)[2]["with"], "log");
}

/// One that nobody reads.
fn a_full_fifo_holds_up_nobody(env: &TestEnv) {
    let setup = env.server().logged().opts(["--events", "events"]);
    let fifo = setup.path("events");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let server = setup.start();
    for _ in 0..200 {
        let mut user = server.connect();
        user.greeting();
        user.send("hello\r\x14");
        user.until("Toggled");
    }
    server.file_with("log", "hello");
    assert!(server.terminate().success());
}

fn too_many_events_are_counted(env: &TestEnv) {
    let server = env.server().opts(["--events", "gone/events"]).start();
    // Each command is an event of some 200 bytes, of which a mebibyte is kept. So many commands of one
    // client are not held as too many. Of each client but the last, the end is recorded, too.
    let mut last = None;
    for _ in 0..500 {
        last = None;
        let user = last.insert(server.connect());
        user.greeting();
        user.send([0x14; 20]);
        for _ in 0..20 {
            user.until("Toggled");
        }
    }
    fs::create_dir(server.path("gone")).unwrap();
    server.file_with("gone/events", "events_lost");
    let events = env.wait_for("whole lines", || {
        server.file("gone/events").ends_with(b"\n").then(|| events_in(&server, "gone/events"))
    });
    let of_clients = ["connect", "command", "disconnect"];
    let is_of_client = |event: &&Value| of_clients.iter().any(|kind| event["event"] == *kind);
    let kept = events.iter().filter(is_of_client).count();
    let lost = events.iter().find(|it| it["event"] == "events_lost").unwrap();
    let lost = usize::try_from(lost["count"].as_u64().unwrap()).unwrap();
    assert!(lost > 1000, "{lost}");
    // What is lost may be the trouble itself.
    assert!((10_999..=11_000).contains(&(kept + lost)), "{kept} {lost}");
    drop(last);
}

/// strace(1) has the first three syncs fail.
fn failing_sync_is_told_as_a_failing_write_is(env: &TestEnv) {
    let setup = env.server().logged().opts(["--events", "events"]);
    let inject = "-D -f -qq -o strace -e trace=fdatasync -e inject=fdatasync:error=EIO:when=1..3";
    let script = format!("#!/bin/sh\nexec strace {inject} {} \"$@\"\n", env.program().display());
    let setup = setup.with_file("traced", script);
    fs::set_permissions(setup.path("traced"), fs::Permissions::from_mode(0o755)).unwrap();
    let program = setup.path("traced");
    let server = setup.program(program).start();
    let trouble = wait_events(env, &server, "trouble", 1);
    assert_eq!(trouble[0]["with"], "log_sync");
    assert_eq!(trouble[0]["reason"], "Input/output error");
    let mut user = server.connect();
    user.greeting();
    let recovery = env.wait_for("a sync that succeeds", || {
        user.send("more\r");
        user.until("more");
        events_in(&server, "events").into_iter().find(|event| event["event"] == "recovery")
    });
    assert_eq!(recovery["with"], "log_sync");
    let log = server.file_with("log", " bytes above may not have reached the disk\r\n");
    let log = String::from_utf8(log).unwrap();
    let told = "@@@ Log file log: Input/output error, output may not reach the disk\r\n";
    assert_eq!(log.matches(told).count(), 1, "{log}");
    let (before, _) = log.split_once(" bytes above may not").unwrap();
    let (above, count) = before.rsplit_once("@@@ ").unwrap();
    // What was written between the last failed sync and the first that succeeded is safe.
    let count: usize = count.parse().unwrap();
    assert!((told.len()..=above.len()).contains(&count), "{count} of {}", above.len());
    assert!(server.terminate().success());
}

/// What the log lacks at the end of the server, as standard error says.
fn said_to_be_missing(server: &TestServer) -> usize {
    let stderr = server.stderr();
    let line = stderr.lines().find(|line| line.ends_with(" bytes were not written to the log"));
    let line = line.unwrap_or_else(|| panic!("nothing is said: {stderr}"));
    line.strip_prefix("procServ: ").unwrap().split_once(' ').unwrap().0.parse().unwrap()
}

/// Lets a server write lines until a user has seen them all, and stops the server. Returns what the user
/// saw from the first line to the end.
fn stop_after_lines(server: &TestServer) -> String {
    let mut user = server.connect();
    user.greeting();
    fs::write(server.path("go"), "").unwrap();
    user.until("the end\r\n");
    server.signal(Signal::SIGTERM);
    user.until_end();
    assert!(server.wait_exit().success());
    let seen = String::from_utf8_lossy(user.received());
    seen[seen.find("line 1\r\n").unwrap()..].to_owned()
}

const LINES: [&str; 7] = ["wait-for", "go", "lines", "20000", "say", "the end", "wait"];

fn what_an_unread_fifo_lacks_is_told(env: &TestEnv) {
    let setup = env.server().opts(["-L", "fifo"]).child(LINES);
    let fifo = setup.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut options = fs::File::options();
    options.read(true).custom_flags(nix::libc::O_NONBLOCK);
    let mut reader = options.open(&fifo).unwrap();
    let server = setup.start();
    let seen = stop_after_lines(&server);
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    let log = &log[log.find("line 1\r\n").unwrap()..];
    assert!(seen.starts_with(log), "it is not whole");
    assert_eq!(log.len() + said_to_be_missing(&server), seen.len());
}

fn what_a_log_lacks_that_is_rotated_at_each_line_is_told(env: &TestEnv) {
    let setup = env.server().logged().opts(["--log-rotate", "1,1000"]).child(LINES);
    let server = setup.start();
    let seen = stop_after_lines(&server);
    let names = (1..=1000).rev().map(|number| format!("log.{number}")).chain(["log".to_owned()]);
    let log: String = names.filter_map(|name| fs::read_to_string(server.path(name)).ok()).collect();
    // On a slow disk even the first lines are still there, and what came before them.
    let log = log.find("line 1\r\n").map_or(log.as_str(), |start| &log[start..]);
    let missing = said_to_be_missing(&server);
    assert!(seen[..seen.len() - missing].ends_with(log), "{missing} of {}: {log}", seen.len());
    assert!(!log.is_empty());
}
