//! What goes on as if nothing had happened.

use super::store::Unit;
use super::{BASICS, WITH_CLIENT, is_served, is_told};
use crate::support::{NEGOTIATION, TestEnv, alive, cases, find};
use crate::systemd::manager::user;
use nix::sys::signal::Signal;
use std::fs;

cases![
    names_say_whose_they_are,
    child_and_clients_go_on,
    telnet_is_not_negotiated_again,
    log_client_goes_on,
    modes_and_times_are_kept,
    windows_are_kept,
    readiness_is_kept,
    wait_is_kept,
    files_and_variables_name_the_new_server,
    log_is_appended_to,
    upgrade_keeps_the_store,
];

fn names_say_whose_they_are(env: &TestEnv) {
    let port = env.free_port().to_string();
    let unit = Unit::start(env, &["-P", &port, "-l", "unix:log-ctl"], &["cat"]);
    let _user = user(&unit.server);
    let _logger = unit.server.connect_log();
    let listeners = ["listener"; 3];
    unit.store
        .expect(&[&["child", "client", "client"][..], &listeners, &["pty", "state"]].concat());
    for kept in &*unit.store.kept.lock().unwrap() {
        let unwatched = ["procserv.pty.", "procserv.child.", "procserv.state"];
        let is_one = unwatched.iter().any(|name| kept.name.starts_with(name));
        assert_eq!(!kept.watched, is_one, "{}", kept.name);
    }
}

fn child_and_clients_go_on(env: &TestEnv) {
    let port = env.free_port().to_string();
    let mut unit = Unit::start(env, &["-P", &port], &["cat"]);
    let mut unix = user(&unit.server);
    let mut tcp = unit.server.connect_to(&port);
    tcp.greeting();
    let child = unit.server.child_start(1);
    for round in 0..3 {
        unit.restart(&["child", "client", "client", "listener", "listener", "pty", "state"]);
        is_told(&mut unix);
        is_told(&mut tcp);
        let text = format!("round {round}");
        is_served(&mut unix, &text);
        tcp.until(format!("{text}\r\n{text}\r\n"));
    }
    let mut late = user(&unit.server);
    let greeting = String::from_utf8_lossy(late.received()).into_owned();
    assert!(greeting.contains(&format!("server PID: {}", unit.server.pid())), "{greeting}");
    assert!(greeting.contains(&format!("PID: {child}\r\n")), "{greeting}");
    is_served(&mut late, "late");
    assert_eq!(unit.starts(), 1);
    assert!(alive(child));
    let pid = unit.server.child_start(1);
    unit.store.settle();
    let said = unit.store.said.lock().unwrap().clone();
    let running = format!("STATUS=Child ioc running, PID {pid}");
    assert_eq!(said, [&*running, "READY=1"].repeat(4), "each server says so");
}

fn windows_are_kept(env: &TestEnv) {
    let mut unit = Unit::start(env, &["--window", "follow"], &["show-window"]);
    let told = |columns: u8| [&b"\xff\xfa\x1f\0"[..], &[columns, 0, 24], b"\xff\xf0"].concat();
    let [mut one, mut other] = [(); 2].map(|()| user(&unit.server));
    for (person, columns) in [(&mut one, 80), (&mut other, 90)] {
        person.send([b"\xff\xfb\x1f", &*told(columns), b"a"].concat());
        person.until(format!("window {columns}x24\r\n"));
    }
    unit.restart(&["child", "client", "client", "listener", "pty", "state"]);
    // Who has agreed need not do so again, and who typed last counts.
    is_told(&mut other);
    one.send(told(81));
    other.send(told(91));
    other.until("window 91x24\r\n");
    drop(other);
    one.until("window 81x24\r\n");
}

fn telnet_is_not_negotiated_again(env: &TestEnv) {
    let mut unit = Unit::start(env, &[], &["raw", "say", "UP", "hex"]);
    let mut user = user(&unit.server);
    user.send(b"\xff\xfd\x01\xff\xfc\x22\xff\xfd\x03");
    user.send(b"a");
    user.until("61 ");
    // Half a command is not lost either.
    user.send(b"\xff");
    user.send(b"b");
    let mut other = crate::systemd::manager::user(&unit.server);
    other.send(b"c\xff");
    user.until("63 ");
    let kinds = ["child", "client", "client", "listener", "pty", "state"];
    unit.store.expect(&kinds);
    env.wait_for("half a command to be saved", || {
        let state = format!("{:?}", unit.store.state().console);
        (state.matches("Iac").count() > 0 || state.contains("Command")).then_some(())
    });
    unit.restart(&kinds);
    is_told(&mut user);
    user.send(b"d");
    user.until("64 ");
    other.send(b"\xffe");
    user.until("ff 65 ");
    let late = &user.received()[find(user.received(), NEGOTIATION).unwrap() + 6..];
    let late = &late[find(late, b"restarted").unwrap()..];
    assert!(!late.contains(&0xff), "{late:?}");
}

fn log_client_goes_on(env: &TestEnv) {
    let mut unit = Unit::start(env, &["-l", "unix:log-ctl", "--logstamp=<%Y> "], &["cat"]);
    let mut user = user(&unit.server);
    let mut logger = unit.server.connect_log();
    user.send(b"before\n");
    logger.until("before\r\n");
    logger.until("before\r\n");
    user.until("before\r\nbefore\r\n");
    unit.restart(&["child", "client", "client", "listener", "listener", "pty", "state"]);
    let line = String::from_utf8(logger.until("restarted\r\n")).unwrap();
    let stamp = line.trim_start().split_once('>').expect("a stamp").0;
    assert!(stamp.starts_with("<20"), "{line}");
    user.send(b"after\n");
    let line = String::from_utf8(logger.until("after\r\n")).unwrap();
    assert!(line.contains(&format!("{stamp}> after")), "{line}");
    // Still deaf.
    logger.send(b"\x18deaf\n");
    is_told(&mut user);
    user.until("after\r\nafter\r\n");
    is_served(&mut user, "end");
}

/// The supervisor's facts, times included, clients and all are the same after a crash.
#[track_caller]
fn is_kept(unit: &mut Unit, kinds: &[&str]) {
    unit.store.expect(kinds);
    unit.server.falls_asleep();
    unit.store.settle();
    // The places in the stream differ: it has a line more.
    let state = || {
        let mut state = unit.store.state();
        state.console.forget_stream();
        state
    };
    let before = state();
    unit.restart(kinds);
    unit.server.falls_asleep();
    unit.store.settle();
    let mut after = unit.store.state();
    after.console.forget_stream();
    assert_eq!(before.console, after.console);
    assert_eq!(before.child.map(|child| child.pid), after.child.map(|child| child.pid));
    assert_ne!(before.argv, []);
}

fn modes_and_times_are_kept(env: &TestEnv) {
    let options = ["--holdoff", "1000"];
    let child = ["on-start", "1", "wait-for", "go", "exit", "7", "otherwise", "cat"];
    let mut unit = Unit::start(env, &options, &child);
    let mut user = user(&unit.server);
    let without_child = ["client", "listener", "state"];
    is_kept(&mut unit, &WITH_CLIENT);
    fs::write(unit.server.path("go"), "").unwrap();
    user.until("Normal exit status = 7\r\n");
    // A start is due; last exit status is 7.
    is_kept(&mut unit, &without_child);
    user.send(b"\x14");
    user.until("auto restart mode to OFF\r\n");
    is_kept(&mut unit, &without_child);
    user.send(b"\x12");
    user.until("The PID of new child");
    user.send(b"\x14");
    user.until("auto restart mode to ONESHOT\r\n");
    is_kept(&mut unit, &WITH_CLIENT);
    assert_eq!(unit.starts(), 2);
    user.send(b"\x18");
    user.until("killed by signal 9");
    is_kept(&mut unit, &without_child);
    user.send(b"\x12");
    unit.server.child_start(3);
}

fn readiness_is_kept(env: &TestEnv) {
    let child = ["print", "a", "wait-for", "go", "say", "UP", "wait-for", "on", "cat"];
    let mut unit = Unit::start(env, &["--ready", "UP", "--holdoff", "1000"], &child);
    let starting = format!("STATUS=Child ioc starting, PID {}", unit.server.child_start(1));
    is_kept(&mut unit, &BASICS);
    assert_eq!(*unit.store.said.lock().unwrap(), [&*starting, &*starting]);
    unit.store.said.lock().unwrap().clear();
    fs::write(unit.server.path("go"), "").unwrap();
    let running = format!("STATUS=Child ioc running, PID {}", unit.server.child_start(1));
    let said = |count| {
        let what = format!("{count} messages");
        env.wait_for(&what, || (unit.store.said.lock().unwrap().len() >= count).then_some(()));
    };
    said(2);
    is_kept(&mut unit, &BASICS);
    assert_eq!(*unit.store.said.lock().unwrap(), [&*running, "READY=1", &*running, "READY=1"]);
}

fn wait_is_kept(env: &TestEnv) {
    let mut unit = Unit::start(env, &["-w"], &["cat"]);
    is_kept(&mut unit, &["listener", "state"]);
    assert_eq!(unit.starts(), 0);
    user(&unit.server).send(b"\x12");
    unit.server.child_start(1);
}

fn files_and_variables_name_the_new_server(env: &TestEnv) {
    let options = ["-p", "pid", "-I", "info", "--holdoff", "0", "-L", "log"];
    let child = ["show-env", "PROCSERV_INFO", "show-env", "NOTIFY_SOCKET", "cat"];
    let mut unit = Unit::start(env, &options, &child);
    unit.server.file_with("log", "NOTIFY_SOCKET unset\r\n");
    let mut user = user(&unit.server);
    unit.restart(&WITH_CLIENT);
    is_told(&mut user);
    let pid = unit.server.pid();
    assert_eq!(unit.server.file("pid"), format!("{pid}\n").as_bytes());
    assert_eq!(unit.server.file("info"), format!("pid:{pid}\nunix:ctl\n").as_bytes());
    user.send(b"\x18");
    let info = format!("PROCSERV_INFO=PID={pid};CTL=unix:ctl\r\nNOTIFY_SOCKET unset\r\n");
    user.until(info);
    assert_eq!(unit.server.terminate().code(), Some(0));
    for name in ["pid", "info", "ctl"] {
        assert!(!unit.server.path(name).exists(), "{name}");
    }
}

fn log_is_appended_to(env: &TestEnv) {
    let mut unit = Unit::start(env, &["-L", "log"], &["say", "FIRST", "cat"]);
    unit.server.file_with("log", "FIRST");
    unit.restart(&BASICS);
    let log = unit.server.file_with("log", "server restarted");
    let [first, line] = ["FIRST", "@@@ procServ server restarted"]
        .map(|text| find(&log, text.as_bytes()).expect(text));
    assert!(first < line);
}

fn upgrade_keeps_the_store(env: &TestEnv) {
    let mut unit = Unit::start(env, &["-L", "log"], &["cat"]);
    let mut user = user(&unit.server);
    for round in 1..4 {
        unit.store.expect(&WITH_CLIENT);
        let pid = unit.server.pid();
        unit.server.signal(Signal::SIGUSR1);
        env.wait_for("an upgrade", || {
            let log = String::from_utf8(unit.server.file("log")).unwrap();
            (log.matches("upgraded in place").count() == round).then_some(())
        });
        assert_eq!(unit.server.pid(), pid);
        is_served(&mut user, &format!("upgraded {round}"));
        unit.restart(&WITH_CLIENT);
        is_told(&mut user);
        is_served(&mut user, &format!("restarted {round}"));
    }
    assert_eq!(unit.starts(), 1);
    assert_eq!(unit.server.terminate().code(), Some(0));
    unit.store.expect(&[]);
}
