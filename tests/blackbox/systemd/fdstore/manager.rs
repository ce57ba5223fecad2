//! A manager that does not do its part, and servers that are killed at any moment.

use super::store::Unit;
use super::{BASICS, WITH_CLIENT, is_served};
use crate::support::{Client, TestEnv, alive, cases};
use crate::systemd::manager::user;
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

cases![
    deaf_manager_stalls_nobody,
    deaf_manager_costs_no_descriptors,
    deaf_manager_does_not_hold_an_upgrade_for_ever,
    deaf_manager_at_the_end,
    manager_that_is_gone_keeps_nothing,
    without_a_manager_nothing_is_kept,
    any_moment_will_do,
];

fn deaf_manager_stalls_nobody(env: &TestEnv) {
    let mut unit = Unit::start(env, &[], &["cat"]);
    unit.store.expect(&BASICS);
    unit.store.settle();
    unit.store.set_deaf(true);
    let mut users: Vec<Client> = (0..700).map(|_| user(&unit.server)).collect();
    is_served(&mut users[0], "not stalled");
    drop(users.drain(300..));
    is_served(&mut users[0], "still not stalled");
    unit.store.set_deaf(false);
    let all = [&["child"][..], &["client"; 300], &["listener", "pty", "state"]].concat();
    unit.restart(&all);
    for user in &mut users {
        user.until("restarted\r\n");
    }
    is_served(&mut users[0], "restarted");
    drop(users);
    unit.store.expect(&BASICS);
}

fn deaf_manager_costs_no_descriptors(env: &TestEnv) {
    let unit = Unit::start(env, &["--holdoff", "0"], &["cat"]);
    let mut stays = user(&unit.server);
    unit.store.expect(&WITH_CLIENT);
    unit.store.set_deaf(true);
    // More than the socket's queue takes.
    let users: Vec<Client> = (0..700).map(|_| user(&unit.server)).collect();
    let most = unit.descriptors();
    drop(users);
    let gone = || (unit.descriptors() < most - 600).then_some(());
    env.wait_for("the clients to be gone", gone);
    let before = unit.descriptors() + 5;
    for _ in 0..300 {
        user(&unit.server);
    }
    stays.send(b"\x18");
    stays.until("The PID of new child");
    stays.until("@@@ @@@\r\n");
    env.wait_for("the clients to be gone", || (unit.descriptors() <= before).then_some(()));
    unit.store.set_deaf(false);
    unit.store.expect(&WITH_CLIENT);
    is_served(&mut stays, "heard");
}

fn deaf_manager_does_not_hold_an_upgrade_for_ever(env: &TestEnv) {
    let unit = Unit::start(env, &["-L", "log"], &["cat"]);
    unit.store.expect(&BASICS);
    unit.store.set_deaf(true);
    let mut users: Vec<Client> = (0..700).map(|_| user(&unit.server)).collect();
    unit.server.signal(Signal::SIGUSR1);
    unit.server.file_with("log", "service manager is hung");
    is_served(&mut users[0], "goes on");
    unit.server.file_with("log", "goes on\r\n");
    unit.store.set_deaf(false);
    drop(users);
    unit.store.expect(&BASICS);
    unit.server.signal(Signal::SIGUSR1);
    unit.server.file_with("log", "upgraded in place");
    assert_eq!(unit.server.terminate().code(), Some(0));
    unit.store.expect(&[]);
}

fn deaf_manager_at_the_end(env: &TestEnv) {
    let mut unit = Unit::start(env, &[], &["cat"]);
    unit.store.expect(&BASICS);
    unit.store.set_deaf(true);
    let mut users: Vec<Client> = (0..700).map(|_| user(&unit.server)).collect();
    assert_eq!(unit.server.terminate().code(), Some(0));
    users.iter_mut().for_each(|user| drop(user.until_end()));
    unit.store.set_deaf(false);
    unit.store.settle();
    // What it did not hear of the next server clears away.
    unit.next();
    let mut user = user(&unit.server);
    is_served(&mut user, "fresh");
    unit.store.expect(&WITH_CLIENT);
    assert_eq!(unit.starts(), 2);
}

fn manager_that_is_gone_keeps_nothing(env: &TestEnv) {
    let unit = Unit::start(env, &["--holdoff", "0"], &["cat"]);
    unit.store.expect(&BASICS);
    fs::remove_file(unit.server.path("notify")).unwrap();
    let mut stays = user(&unit.server);
    let before = unit.descriptors();
    for _ in 0..50 {
        user(&unit.server);
    }
    stays.send(b"\x18");
    stays.until("The PID of new child");
    stays.until("@@@ @@@\r\n");
    is_served(&mut stays, "no harm done");
    env.wait_for("the clients to be gone", || (unit.descriptors() <= before).then_some(()));
    assert_eq!(unit.server.terminate().code(), Some(0));
}

fn without_a_manager_nothing_is_kept(env: &TestEnv) {
    let server = env.server().opts(["--fdstore"]).start();
    let mut stays = user(&server);
    let count = || fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let before = count();
    for _ in 0..50 {
        user(&server);
    }
    is_served(&mut stays, "all the same");
    env.wait_for("the clients to be gone", || (count() <= before).then_some(()));
}

/// A number from the one before (Knuth).
pub(super) fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

fn any_moment_will_do(env: &TestEnv) {
    let mut seed = std::env::var("SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut unit = Unit::start(env, &["--holdoff", "0"], &["cat"]);
    for round in 0..50 {
        let path = unit.server.path("ctl");
        unit.server.child_start(1);
        let mut fickle: Vec<UnixStream> = Vec::new();
        let moment = random(&mut seed) % 60;
        for _ in 0..moment {
            match random(&mut seed) % 4 {
                0 | 1 => fickle.extend(UnixStream::connect(&path)),
                2 => drop(fickle.pop()),
                _ => {
                    let _ = fickle
                        .last()
                        .map(|mut user| std::io::Write::write_all(&mut user, b"\x18").is_ok());
                }
            }
        }
        thread::sleep(Duration::from_micros(random(&mut seed) % 3000));
        unit.kill_now();
        unit.next();
        // Whoever connects is served by one child, the only one.
        drop(fickle);
        let mut user = user(&unit.server);
        unit.store.expect(&WITH_CLIENT);
        // If the last command of those who have gone is still taking effect, the next one answers.
        let answer = "one child\r\none child\r\n";
        let mut answered = false;
        while !answered {
            user.send(b"one child\n");
            answered =
                user.until_any([answer, "The PID of new child"]).ends_with(answer.as_bytes());
        }
        unit.store.expect(&WITH_CLIENT);
        // A command that was slower than the answer may just have another one started.
        env.wait_for(&format!("one living child in round {round}"), || {
            let child = unit.store.state().child?.pid;
            let starts = fs::read_to_string(unit.server.path("starts")).ok()?;
            let living = starts.lines().filter_map(|line| line.parse().ok());
            living.filter(|&pid| alive(pid)).eq([child]).then_some(())
        });
    }
    assert_eq!(unit.server.terminate().code(), Some(0));
    unit.store.expect(&[]);
}
