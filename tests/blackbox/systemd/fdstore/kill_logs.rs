//! The log of servers that are killed: exact, whatever becomes of its file.

use super::manager::random;
use super::store::Unit;
use super::{BASICS, is_told};
use crate::support::{TestEnv, cases};
use crate::systemd::manager::user;
use nix::sys::signal::Signal;
use std::cmp::Reverse;
use std::fs;
use std::thread;
use std::time::Duration;

cases![
    renamed_log_misses_nothing,
    reopened_log_misses_nothing,
    saved_logs_are_exact,
    reopened_logs_are_exact,
    plain_log_is_exact,
    rotated_logs_are_exact,
];

const KILLS: usize = 10;

/// Nothing was on its way to the log, so that it does not matter where the file is.
fn renamed_log_misses_nothing(env: &TestEnv) {
    let mut unit = Unit::start(env, &["-L", "log"], &["say", "FIRST", "cat"]);
    unit.server.file_with("log", "FIRST");
    let mut client = user(&unit.server);
    unit.server.falls_asleep();
    fs::rename(unit.server.path("log"), unit.server.path("log.old")).unwrap();
    unit.kill_asleep();
    unit.next();
    is_told(&mut client);
    unit.server.file_with("log", "server restarted");
    unit.store.expect(&super::WITH_CLIENT);
}

/// The server dies after it has opened the next log, and before it has written anything to it.
fn reopened_log_misses_nothing(env: &TestEnv) {
    let mut unit = Unit::start(env, &["-L", "log"], &["say", "FIRST", "cat"]);
    unit.server.file_with("log", "FIRST");
    let mut client = user(&unit.server);
    unit.server.falls_asleep();
    fs::rename(unit.server.path("log"), unit.server.path("log.old")).unwrap();
    unit.server.signal(Signal::SIGHUP);
    let log = unit.server.path("log");
    env.wait_for("the next log", || log.exists().then_some(()));
    unit.kill_asleep();
    unit.next();
    is_told(&mut client);
    let log = String::from_utf8(unit.server.file_with("log", "server restarted")).unwrap();
    assert!(!log.contains("FIRST"), "{log}");
}

fn saved_logs_are_exact(env: &TestEnv) {
    logs_are_exact(env, &["--savelog"], |_, _| ());
}

/// The server dies at any moment after the log was renamed, and after SIGHUP.
fn reopened_logs_are_exact(env: &TestEnv) {
    logs_are_exact(env, &[], |unit, number| {
        let name = format!("log.{}", KILLS - number);
        // The server may not have come to its log yet.
        let renamed = fs::rename(unit.server.path("log"), unit.server.path(&name));
        if renamed.is_ok() && number % 4 > 0 {
            unit.server.signal(Signal::SIGHUP);
        }
    });
}

fn plain_log_is_exact(env: &TestEnv) {
    logs_are_exact(env, &["--log-plain"], |_, _| ());
}

fn rotated_logs_are_exact(env: &TestEnv) {
    logs_are_exact(env, &["--log-rotate", "16k,1000"], |_, _| ());
}

/// All logs of the unit together, without CRs.
fn all_logs(unit: &Unit) -> String {
    let directory = fs::read_dir(unit.server.path("")).unwrap().map(|entry| entry.unwrap());
    let logs = directory.filter(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name == "log" || name.starts_with("log.")
    });
    // By their times, and where these are the same by their numbers, of which the newest has 1.
    let mut logs: Vec<_> = logs
        .map(|entry| {
            let modified = entry.metadata().unwrap().modified().unwrap();
            let number = entry.path().extension().and_then(|it| it.to_str()?.parse::<u64>().ok());
            (modified, Reverse(number), fs::read(entry.path()).unwrap())
        })
        .filter(|(_, _, bytes)| !bytes.is_empty())
        .collect();
    logs.sort();
    let bytes: Vec<u8> = logs.into_iter().flat_map(|(_, _, bytes)| bytes).collect();
    String::from_utf8(bytes).unwrap().replace('\r', "")
}

/// `before` is done before each kill, of which it gets the number.
fn logs_are_exact(env: &TestEnv, options: &[&str], before: impl Fn(&Unit, usize)) {
    let mut seed = 7;
    let env = &env.with_timeout(Duration::from_secs(60));
    let options = [&["-L", "log"], options].concat();
    let child = ["raw", "wait-for", "go", "emit-until", "end", "cat"];
    let mut unit = Unit::start(env, &options, &child);
    unit.store.expect(&BASICS);
    fs::write(unit.server.path("go"), "").unwrap();
    for number in 0..KILLS {
        thread::sleep(Duration::from_micros(random(&mut seed) % 100_000));
        before(&unit, number);
        thread::sleep(Duration::from_micros(random(&mut seed) % 2_000));
        unit.kill_now();
        unit.next();
    }
    fs::write(unit.server.path("end"), "").unwrap();
    unit.server.falls_asleep();
    let log = all_logs(&unit);
    let begin = log.find(&format!("{:<63}\n", 0)).expect("the first line");
    let output = log[begin..].replace("\n@@@ procServ server restarted\n", "");
    let lines = output.find("END").expect("the end") / 64;
    let all: String = (0..lines).map(|n| format!("{n:<63}\n")).collect();
    let same = output.bytes().zip(all.bytes()).take_while(|(one, other)| one == other).count();
    assert!(
        output.starts_with(&all),
        "the log is not exact after {same} bytes: {:?}",
        &output[same.saturating_sub(100)..(same + 200).min(output.len())]
    );
}
