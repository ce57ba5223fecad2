//! What is passed is not what was stored.

use super::store::Unit;
use super::{BASICS, WITH_CLIENT, is_served, is_told};
use crate::support::{Client, TestEnv, alive, cases};
use crate::systemd::manager::user;
use procserv_ng::limits::FDSTORE_SLOT_SIZE;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

cases![
    state_may_be_lost,
    one_half_may_be_damaged,
    terminal_may_be_lost,
    process_may_be_lost,
    whole_child_may_be_lost,
    client_may_be_lost,
    endpoint_may_be_lost,
    names_may_be_unknown,
    things_may_be_of_another_kind,
    nothing_may_be_passed,
    nothing_leaks,
    store_may_have_no_room,
    state_that_can_not_be_saved_is_told_once_and_saved_later,
];

/// It lives on without its terminal.
const STUBBORN: [&str; 4] = ["block", "SIGHUP", "cat", "wait"];

/// A service with a client and a child that a hangup does not end.
fn unit(env: &TestEnv) -> (Unit, Client, i32) {
    let unit = Unit::start(env, &["--holdoff", "0"], &STUBBORN);
    let user = user(&unit.server);
    let child = unit.server.child_start(1);
    unit.store.expect(&WITH_CLIENT);
    (unit, user, child)
}

/// There is one child, another one than before, and a server that knows nothing of the one before.
#[track_caller]
fn is_fresh(unit: &Unit, user: &mut Client, child: i32) {
    let second = unit.server.child_start(2);
    assert!(!alive(child) && alive(second));
    user.until_end();
    is_served(&mut crate::systemd::manager::user(&unit.server), "fresh");
    unit.store.expect(&BASICS);
    assert_eq!(unit.starts(), 2);
}

fn state_may_be_lost(env: &TestEnv) {
    let damages: [fn(&Unit); 4] = [
        |unit| assert!(unit.store.lose("procserv.state")),
        |unit| {
            for half in [0, FDSTORE_SLOT_SIZE as u64] {
                unit.store.memory().write_all_at(&[0; 16], half).unwrap();
            }
        },
        |unit| {
            for half in [0, FDSTORE_SLOT_SIZE as u64] {
                unit.store.memory().write_all_at(&[0xff; 20], half).unwrap();
            }
        },
        |unit| {
            unit.store.lose("procserv.state");
            unit.store.plant("procserv.state", UnixStream::pair().unwrap().0);
        },
    ];
    for damage in damages {
        let (mut unit, mut user, child) = unit(env);
        unit.kill_asleep();
        damage(&unit);
        unit.next();
        is_fresh(&unit, &mut user, child);
        let mut user = crate::systemd::manager::user(&unit.server);
        unit.restart(&WITH_CLIENT);
        is_told(&mut user);
        is_served(&mut user, "and goes on");
        assert_eq!(unit.starts(), 2);
    }
}

fn one_half_may_be_damaged(env: &TestEnv) {
    for half in [0, FDSTORE_SLOT_SIZE as u64] {
        for byte in [0, 7, 8, 15, 16, 40, 60, 300] {
            let mut unit = Unit::start(env, &[], &["cat"]);
            let mut user = user(&unit.server);
            // Both halves know this child and this client.
            for mode in ["OFF", "ONESHOT", "ON"] {
                user.send(b"\x14");
                user.until(format!("mode to {mode}\r\n"));
            }
            unit.kill(&WITH_CLIENT);
            unit.store.memory().write_all_at(&[0xee], half + byte).unwrap();
            unit.next();
            // Output may be missing if it was the later half.
            user.until("server restarted");
            user.until("\r\n");
            is_served(&mut user, "goes on");
            assert_eq!(unit.starts(), 1);
        }
    }
}

fn terminal_may_be_lost(env: &TestEnv) {
    let (mut unit, mut user, child) = unit(env);
    unit.kill_asleep();
    assert!(unit.store.lose(&format!("procserv.pty.{child}")));
    unit.next();
    has_another_child(&unit, &mut user, child);
}

fn process_may_be_lost(env: &TestEnv) {
    let (mut unit, mut user, child) = unit(env);
    unit.kill_asleep();
    assert!(unit.store.lose(&format!("procserv.child.{child}")));
    unit.next();
    has_another_child(&unit, &mut user, child);
}

fn whole_child_may_be_lost(env: &TestEnv) {
    let (mut unit, mut user, child) = unit(env);
    unit.kill_asleep();
    assert!(unit.store.lose(&format!("procserv.child.{child}")));
    assert!(unit.store.lose(&format!("procserv.pty.{child}")));
    unit.next();
    has_another_child(&unit, &mut user, child);
}

#[track_caller]
fn has_another_child(unit: &Unit, user: &mut Client, child: i32) {
    is_told(user);
    user.until("Received a sigChild for process");
    let second = unit.server.child_start(2);
    assert!(!alive(child) && alive(second));
    user.until("The PID of new child");
    user.until("@@@ @@@\r\n");
    is_served(user, "another");
    unit.store.expect(&WITH_CLIENT);
    assert_eq!(unit.starts(), 2);
}

fn client_may_be_lost(env: &TestEnv) {
    let (mut unit, mut lost, child) = unit(env);
    unit.kill_asleep();
    let name = || {
        let kept = unit.store.kept.lock().unwrap();
        let mut names = kept.iter().map(|kept| kept.name.clone());
        names.find(|name| name.starts_with("procserv.client.")).unwrap()
    };
    let name = name();
    assert!(unit.store.lose(&name));
    unit.next();
    lost.until_end();
    is_served(&mut user(&unit.server), "another");
    assert!(alive(child));
    unit.store.expect(&BASICS);
}

fn endpoint_may_be_lost(env: &TestEnv) {
    let (mut unit, mut client, child) = unit(env);
    unit.kill_asleep();
    unit.store.kept.lock().unwrap().retain(|kept| !kept.name.contains("listener"));
    env.nobody_answers(unit.server.path("ctl"));
    unit.next();
    is_told(&mut client);
    is_served(&mut user(&unit.server), "another");
    unit.store.expect(&WITH_CLIENT);
    assert!(alive(child));
}

fn names_may_be_unknown(env: &TestEnv) {
    let (mut unit, mut client, child) = unit(env);
    unit.restart(&WITH_CLIENT);
    is_told(&mut client);
    unit.server.falls_asleep();
    let before = unit.descriptors();
    unit.kill_asleep();
    let null = || File::open("/dev/null").unwrap();
    let (stranger, mut other) = UnixStream::pair().unwrap();
    unit.store.plant("procserv.client.999", stranger);
    for name in [
        "procserv.",
        "procserv.what",
        "procserv.client.x",
        "procserv.listener.1",
        "procserv.child.1",
        "procserv.child.0",
        "procserv.child.-1",
        "procserv.pty.77",
        "another",
    ] {
        unit.store.plant(name, null());
    }
    unit.next();
    is_told(&mut client);
    is_served(&mut client, "unmoved");
    assert!(alive(child));
    unit.store.settle();
    assert!(unit.store.lose("another"));
    unit.store.expect(&WITH_CLIENT);
    assert_eq!(std::io::Read::read(&mut other, &mut [0; 10]).unwrap(), 0);
    unit.server.falls_asleep();
    assert_eq!(unit.descriptors(), before);
}

fn things_may_be_of_another_kind(env: &TestEnv) {
    for kind in ["client", "listener", "pty", "child"] {
        let (mut unit, client, child) = unit(env);
        unit.kill_asleep();
        for kept in &mut *unit.store.kept.lock().unwrap() {
            if kept.name.contains(kind) {
                kept.fd = File::open("/dev/null").unwrap().into();
            }
        }
        unit.next();
        let last = if ["pty", "child"].contains(&kind) { 2 } else { 1 };
        let last = unit.server.child_start(last);
        let mut late = user(&unit.server);
        is_served(&mut late, kind);
        assert!(alive(last), "{kind}");
        assert_eq!(alive(child), last == child, "{kind}");
        drop((client, late));
        unit.store.expect(&BASICS);
    }
}

fn nothing_may_be_passed(env: &TestEnv) {
    let (mut unit, mut lost, child) = unit(env);
    unit.kill_asleep();
    unit.store.kept.lock().unwrap().clear();
    env.nobody_answers(unit.server.path("ctl"));
    unit.next();
    lost.until_end();
    unit.server.child_start(2);
    unit.store.expect(&BASICS);
    // Nothing tells of it but its hangup, which it ignores.
    let _ = child;
}

fn nothing_leaks(env: &TestEnv) {
    let (mut unit, mut client, _) = unit(env);
    let mut counts = Vec::new();
    for _ in 0..4 {
        unit.restart(&WITH_CLIENT);
        is_told(&mut client);
        for _ in 0..5 {
            user(&unit.server);
        }
        unit.store.expect(&WITH_CLIENT);
        unit.server.falls_asleep();
        counts.push(unit.descriptors());
    }
    assert!(counts.iter().all(|&count| count == counts[0]), "{counts:?}");
}

fn store_may_have_no_room(env: &TestEnv) {
    let mut unit = Unit::start(env, &["--holdoff", "0"], &STUBBORN);
    unit.store.expect(&BASICS);
    unit.store.room.store(4, std::sync::atomic::Ordering::SeqCst);
    let mut client = user(&unit.server);
    unit.server.child_start(1);
    client.send(b"\x18");
    let second = unit.server.child_start(2);
    unit.store.expect(&BASICS);
    unit.store.room.store(0, std::sync::atomic::Ordering::SeqCst);
    client.send(b"\x18");
    let third = unit.server.child_start(3);
    // A child that a client is told of is saved; one that has only just been started may not be.
    client.until(format!("is: {third}"));
    unit.store.expect(&["listener", "state"]);
    unit.kill_asleep();
    unit.next();
    client.until_end();
    unit.server.child_start(4);
    let are_gone = || (!alive(second) && !alive(third)).then_some(());
    env.wait_for("the end of the child that was not kept", are_gone);
    is_served(&mut user(&unit.server), "fourth");
}

fn state_that_can_not_be_saved_is_told_once_and_saved_later(env: &TestEnv) {
    const COMPLAINT: &str = "procServ: a crash would not be survived: File too large\n";
    let unit = Unit::start(env, &[], &["cat"]);
    unit.store.expect(&BASICS);
    let limit = |size: &str| {
        let pid = unit.server.pid().to_string();
        let run =
            Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={size}")]).status();
        assert!(run.expect("prlimit").success());
    };
    let mut user = user(&unit.server);
    for (round, count) in [(1, 3), (2, 1)] {
        let saves = unit.store.saves();
        // So much of stderr has room, and no state.
        limit("200:");
        for _ in 0..count {
            user.send(b"\x14");
            user.until("auto restart mode to");
        }
        assert_eq!(unit.store.saves(), saves);
        limit("unlimited:");
        env.wait_for("the state to be saved", || (unit.store.saves() > saves).then_some(()));
        assert_eq!(unit.server.stderr(), COMPLAINT.repeat(round));
    }
}
