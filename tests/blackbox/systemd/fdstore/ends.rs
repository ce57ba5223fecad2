//! Ends: of a child that was taken over, of clients, of the server itself.

use super::store::Unit;
use super::{BASICS, WITH_CLIENT, is_served, is_told};
use crate::support::{TestEnv, alive, cases};
use crate::systemd::manager::user;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::net::{UnixDatagram, UnixStream};

cases![
    end_of_the_child_is_noticed,
    signal_that_ended_the_child_is_told,
    kill_character_reaches_the_whole_group,
    sigterm_waits_for_the_grace_period,
    grace_period_ends,
    sigterm_may_be_in_the_middle,
    child_that_died_meanwhile_is_told_of,
    client_that_left_meanwhile_is_gone,
    connection_ends_though_the_manager_has_it,
    orderly_end_leaves_nothing,
    manager_that_is_busy_hears_of_the_end,
    what_the_manager_did_not_hear_of_the_end_is_removed_by_the_next,
];

/// Kernels before 6.15 tell nobody but the parent how a process ended.
fn status(code: u8) -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let told = (parts.next(), parts.next()) >= (Some(6), Some(15));
    format!("Normal exit status = {}\r\n", if told { code } else { 255 })
}

fn end_of_the_child_is_noticed(env: &TestEnv) {
    let child = ["on-start", "1", "wait-for", "go", "exit", "7", "otherwise", "cat"];
    let mut unit = Unit::start(env, &["--holdoff", "0"], &child);
    let mut user = user(&unit.server);
    unit.restart(&WITH_CLIENT);
    is_told(&mut user);
    let first = unit.server.child_start(1);
    fs::write(unit.server.path("go"), "").unwrap();
    user.until(status(7));
    user.until("The PID of new child");
    user.until("@@@ @@@\r\n");
    let second = unit.server.child_start(2);
    assert!(!alive(first) && alive(second));
    unit.store.expect(&WITH_CLIENT);
    unit.restart(&WITH_CLIENT);
    user.until("restarted\r\n");
    is_served(&mut user, "second");
    assert_eq!(unit.starts(), 2);
}

fn signal_that_ended_the_child_is_told(env: &TestEnv) {
    let mut unit = Unit::start(env, &["--holdoff", "1000"], &["cat"]);
    let mut user = user(&unit.server);
    unit.restart(&WITH_CLIENT);
    is_told(&mut user);
    kill(Pid::from_raw(unit.server.child_start(1)), Signal::SIGTERM).unwrap();
    user.until(if status(0).contains(" 0") { "killed by signal 15" } else { "status = 255" });
    unit.store.expect(&["client", "listener", "state"]);
}

fn group(env: &TestEnv, options: &[&str]) -> (Unit, [i32; 2]) {
    let child = ["background", "block", "SIGHUP", "record", "other", "wait", ";", "cat"];
    let unit = Unit::start(env, options, &child);
    let other = env.wait_for("the other one of the group", || {
        fs::read_to_string(unit.server.path("other")).ok()?.trim().parse().ok()
    });
    let child = unit.server.child_start(1);
    (unit, [child, other])
}

#[track_caller]
fn are_gone(env: &TestEnv, pids: &[i32]) {
    env.wait_for(&format!("the end of {pids:?}"), || {
        pids.iter().all(|&pid| !alive(pid)).then_some(())
    });
}

fn kill_character_reaches_the_whole_group(env: &TestEnv) {
    let (mut unit, pids) = group(env, &["--holdoff", "1000"]);
    let mut user = user(&unit.server);
    unit.restart(&WITH_CLIENT);
    is_told(&mut user);
    user.send(b"\x18");
    user.until("@@@ Got a kill command\r\n");
    are_gone(env, &pids);
    user.until("Child process is shutting down");
    // A leader that dies alone takes the others along.
    let (mut unit, pids) = group(env, &["--holdoff", "1000"]);
    unit.restart(&BASICS);
    kill(Pid::from_raw(pids[0]), Signal::SIGTERM).unwrap();
    are_gone(env, &pids);
}

const PATIENT: [&str; 8] = ["block", "SIGTERM", "say", "UP", "await", "SIGTERM", "wait-for", "go"];

fn sigterm_waits_for_the_grace_period(env: &TestEnv) {
    let options = ["--killsig", "15", "--grace-period", "1000", "-L", "log"];
    let mut unit = Unit::start(env, &options, &PATIENT);
    unit.server.file_with("log", "UP");
    unit.restart(&BASICS);
    unit.server.file_with("log", "server restarted");
    unit.server.signal(Signal::SIGTERM);
    env.wait_for("the news", || {
        unit.store.said.lock().unwrap().contains(&"STOPPING=1".to_owned()).then_some(())
    });
    assert!(alive(unit.server.child_start(1)));
    fs::write(unit.server.path("go"), "").unwrap();
    assert_eq!(unit.server.wait_exit().code(), Some(0));
    assert!(!alive(unit.server.child_start(1)));
    unit.store.expect(&[]);
}

fn grace_period_ends(env: &TestEnv) {
    let options = ["--killsig", "15", "--grace-period", "1", "-L", "log"];
    let mut unit = Unit::start(env, &options, &PATIENT);
    unit.server.file_with("log", "UP");
    unit.restart(&BASICS);
    unit.server.file_with("log", "server restarted");
    assert_eq!(unit.server.terminate().code(), Some(0));
    assert!(!alive(unit.server.child_start(1)));
    unit.store.expect(&[]);
}

fn sigterm_may_be_in_the_middle(env: &TestEnv) {
    let options = ["--killsig", "15", "--grace-period", "1000", "-L", "log"];
    let mut unit = Unit::start(env, &options, &PATIENT);
    unit.server.file_with("log", "UP");
    unit.store.expect(&BASICS);
    unit.server.signal(Signal::SIGTERM);
    env.wait_for("the news", || {
        unit.store.said.lock().unwrap().contains(&"STOPPING=1".to_owned()).then_some(())
    });
    unit.restart(&BASICS);
    unit.server.file_with("log", "server restarted");
    fs::write(unit.server.path("go"), "").unwrap();
    // It was leaving, and still is.
    assert_eq!(unit.server.wait_exit().code(), Some(0));
    unit.store.expect(&[]);
    assert_eq!(unit.starts(), 1);
}

fn child_that_died_meanwhile_is_told_of(env: &TestEnv) {
    let child = ["on-start", "1", "wait-for", "go", "say", "LAST", "exit", "7", "otherwise", "cat"];
    let mut unit = Unit::start(env, &["--holdoff", "0"], &child);
    let mut user = user(&unit.server);
    unit.kill(&WITH_CLIENT);
    let first = unit.server.child_start(1);
    fs::write(unit.server.path("go"), "").unwrap();
    are_gone(env, &[first]);
    unit.next();
    is_told(&mut user);
    let end = user.until(status(7));
    assert!(String::from_utf8_lossy(&end).starts_with("LAST\r\n"));
    unit.server.child_start(2);
    user.until("The PID of new child");
    user.until("@@@ @@@\r\n");
    is_served(&mut user, "second");
    unit.store.expect(&WITH_CLIENT);
}

fn client_that_left_meanwhile_is_gone(env: &TestEnv) {
    let port = env.free_port().to_string();
    let mut unit = Unit::start(env, &["-P", &port], &["cat"]);
    let unix = user(&unit.server);
    let mut stays = user(&unit.server);
    let mut tcp = unit.server.connect_to(&port);
    tcp.greeting();
    let with = |clients| {
        [&["child"][..], &vec!["client"; clients], &["listener", "listener", "pty", "state"]]
            .concat()
    };
    unit.kill(&with(3));
    drop((unix, tcp));
    unit.next();
    is_told(&mut stays);
    unit.store.expect(&with(1));
    is_served(&mut stays, "still");
    let mut late = user(&unit.server);
    late.send(b"\n");
    let greeting = String::from_utf8_lossy(late.received()).into_owned();
    assert!(
        greeting.contains("2 user(s) and 0 logger(s) connected (plus you)")
            || greeting.contains("1 user(s) and 0 logger(s) connected (plus you)"),
        "{greeting}"
    );
    assert_eq!(unit.store.state().console.clients().count(), 2);
}

fn connection_ends_though_the_manager_has_it(env: &TestEnv) {
    let port = env.free_port().to_string();
    let mut unit = Unit::start(env, &["-P", &port, "-x", "^D"], &["cat"]);
    for taken_over in [false, true] {
        let mut unix = user(&unit.server);
        let mut tcp = unit.server.connect_to(&port);
        tcp.greeting();
        unit.store.expect(&["child", "client", "client", "listener", "listener", "pty", "state"]);
        if taken_over {
            unit.kill_asleep();
            unit.next();
            is_told(&mut unix);
            is_told(&mut tcp);
        }
        unit.store.settle();
        unit.store.set_deaf(true);
        unix.send(b"\x04");
        unix.until_end();
        tcp.send(b"\x04");
        tcp.until_end();
        unit.store.set_deaf(false);
        unit.store.expect(&["child", "listener", "listener", "pty", "state"]);
    }
}

fn orderly_end_leaves_nothing(env: &TestEnv) {
    let port = env.free_port().to_string();
    for (restarted, how) in [(false, "term"), (true, "term"), (true, "quit"), (true, "oneshot")] {
        let child = ["on-start", "1", "wait-for", "go", "exit", "7", "otherwise", "exit", "8"];
        let options = ["-P", &*port, "-o", "--holdoff", "0"];
        let hold = ["-P", &*port, "--holdoff", "1000"];
        let options = if how == "oneshot" { options.as_slice() } else { &hold };
        let mut unit = Unit::start(env, options, &child);
        let mut user = user(&unit.server);
        let kinds = ["child", "client", "listener", "listener", "pty", "state"];
        unit.server.child_start(1);
        unit.store.expect(&kinds);
        if restarted {
            unit.restart(&kinds);
            is_told(&mut user);
        }
        let code = match how {
            "term" => unit.server.terminate().code(),
            "quit" => {
                user.send(b"\x14\x18");
                user.until("^Q quits the server\r\n");
                user.send(b"\x11");
                unit.server.wait_exit().code()
            }
            _ => {
                fs::write(unit.server.path("go"), "").unwrap();
                unit.server.wait_exit().code()
            }
        };
        let told = status(7).contains('7');
        let expected = if how == "oneshot" && told {
            7
        } else if how == "oneshot" {
            255
        } else {
            0
        };
        assert_eq!(code, Some(expected), "{how}");
        unit.store.expect(&[]);
        user.until_end();
        assert!(!unit.server.path("ctl").exists());
        assert!(!alive(unit.server.child_start(1)));
    }
}

/// The server has no client any more to wait for.
fn manager_that_is_busy_hears_of_the_end(env: &TestEnv) {
    let unit = Unit::start(env, &[], &["cat"]);
    let mut user = user(&unit.server);
    unit.store.expect(&WITH_CLIENT);
    unit.store.set_deaf(true);
    let others = UnixDatagram::unbound().unwrap();
    others.set_nonblocking(true).unwrap();
    while others.send_to(b"STATUS=another service", unit.server.path("notify")).is_ok() {}
    unit.server.signal(Signal::SIGTERM);
    user.until_end();
    unit.store.set_deaf(false);
    unit.store.expect(&[]);
    assert_eq!(unit.server.wait_exit().code(), Some(0));
}

fn what_the_manager_did_not_hear_of_the_end_is_removed_by_the_next(env: &TestEnv) {
    let port = env.free_port().to_string();
    let mut unit = Unit::start(env, &["-P", &port], &["cat"]);
    let mut unix = user(&unit.server);
    let mut tcp = unit.server.connect_to(&port);
    tcp.greeting();
    let kinds = ["child", "client", "client", "listener", "listener", "pty", "state"];
    unit.server.child_start(1);
    unit.store.expect(&kinds);
    let copies: Vec<_> = unit
        .store
        .kept
        .lock()
        .unwrap()
        .iter()
        .map(|kept| (kept.name.clone(), kept.fd.try_clone().unwrap()))
        .collect();
    assert_eq!(unit.server.terminate().code(), Some(0));
    unix.until_end();
    tcp.until_end();
    unit.store.expect(&[]);
    copies.into_iter().for_each(|(name, fd)| unit.store.plant(&name, fd));
    unit.next();
    let mut late = unit.server.connect_to(&port);
    late.greeting();
    is_served(&mut late, "fresh");
    let mut unix = user(&unit.server);
    is_served(&mut unix, "fresh too");
    late.until("fresh too\r\nfresh too\r\n");
    assert!(!String::from_utf8_lossy(late.received()).contains("restarted"));
    assert_eq!(unit.starts(), 2);
    unit.store.settle();
    unit.store.expect(&kinds);
    assert_eq!(unit.store.state().console.clients().count(), 2);
    UnixStream::connect(unit.server.path("ctl")).unwrap();
}
