//! `--kill-orphans`: what left the child's process group goes with it.

use crate::child::reduced;
use crate::support::dialogue::started;
use crate::support::{Client, TestEnv, TestServer, alive, cases};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

const KILLED: [&str; 3] = ["--kill-orphans", "--holdoff", "0"];

cases![
    orphans_are_gone_before_the_next_start,
    orphans_live_on_without_the_option,
    orphans_are_gone_at_sigterm,
    orphans_are_gone_at_quit,
    orphans_of_a_replaced_child_are_not_forgotten,
    orphans_get_a_grace_period,
    orphans_that_wait_out_the_grace_period_are_killed,
    orphans_in_their_grace_period_end_with_a_second_sigterm,
    orphans_of_others_are_left_alone,
    orphans_are_found_after_an_upgrade,
    user_is_patient_with_orphans,
];

/// Leaves that many behind, of four kinds, and then waits; tells in later starts who of them lives.
fn script(count: usize) -> String {
    format!(
        "\
        if test -e orphans; then
            for pid in $(cat orphans); do
                grep -qs '^State:.[^ZX]' /proc/$pid/status && echo ALIVE $pid
            done
            echo CHECKED
            exec sleep 1000
        fi
        n=0
        while test $n -lt {count}; do
            n=$((n+1))
            case $((n%4)) in
            0) setsid sh -c 'trap \"\" TERM; echo $$ >> orphans; while :; do sleep 1000; done' & ;;
            1) setsid sh -c 'echo $$ >> orphans; kill -STOP $$' & ;;
            2) setsid sh -c 'sh -c \"echo \\$\\$ >> orphans; exec sleep 1000\" & sleep 1000' & ;;
            3) setsid sh -c 'echo $$ >> orphans; exec sleep 1000 > /dev/null 2>&1 < /dev/null' & ;;
            esac
        done
        while test $(cat orphans | wc -l) -lt {count}; do sleep 0.01; done
        echo READY
        sleep 1000"
    )
}

fn orphans(server: &TestServer) -> Vec<i32> {
    let text = String::from_utf8(server.file("orphans")).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn busy(env: &TestEnv, options: &[&str], count: usize) -> (TestServer, Client) {
    let setup = env.server().logged().opts(options).command(["/bin/sh", "-c", &script(count)]);
    let (server, mut user) = started(setup);
    user.until("READY\r\n");
    (server, user)
}

fn next_start_finds(user: &mut Client) -> usize {
    user.send(b"\x18");
    let text = String::from_utf8(user.until("CHECKED\r\n")).unwrap();
    text.matches("ALIVE ").count()
}

fn orphans_are_gone_before_the_next_start(env: &TestEnv) {
    let env = &env.with_timeout(Duration::from_secs(60));
    let count = reduced(20, 200);
    let (server, mut user) = busy(env, &KILLED, count);
    let orphans = orphans(&server);
    assert_eq!(orphans.len(), count);
    assert!(orphans.iter().all(|&pid| alive(pid)));
    assert_eq!(next_start_finds(&mut user), 0);
    assert!(!orphans.iter().any(|&pid| alive(pid)));
}

fn orphans_live_on_without_the_option(env: &TestEnv) {
    let env = &env.with_timeout(Duration::from_secs(60));
    let count = reduced(20, 200);
    let (server, mut user) = busy(env, &["--holdoff", "0"], count);
    assert_eq!(next_start_finds(&mut user), count);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(orphans(&server).iter().all(|&pid| alive(pid)));
}

fn orphans_are_gone_at_sigterm(env: &TestEnv) {
    let (server, _) = busy(env, &KILLED, 8);
    let orphans = orphans(&server);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!orphans.iter().any(|&pid| alive(pid)));
}

fn orphans_are_gone_at_quit(env: &TestEnv) {
    let (server, mut user) = busy(env, &[&KILLED[..], &["--noautorestart"]].concat(), 8);
    let orphans = orphans(&server);
    user.send(b"\x18");
    user.until("quits the server\r\n");
    user.send(b"\x11");
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(!orphans.iter().any(|&pid| alive(pid)));
}

fn orphans_of_a_replaced_child_are_not_forgotten(env: &TestEnv) {
    let options = [&KILLED[..], &["--overlap", "0"]].concat();
    let (server, mut user) = busy(env, &options, 8);
    let orphans = orphans(&server);
    server.signal(Signal::SIGUSR2);
    user.until("was killed by signal 15\r\n");
    assert!(orphans.iter().all(|&pid| alive(pid)), "a child lives");
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!orphans.iter().any(|&pid| alive(pid)));
}

/// A server with one orphan that says when it gets SIGTERM, and then does these steps.
fn polite(env: &TestEnv, grace: &str, last: &[&str]) -> (TestServer, Client, i32) {
    let orphan = [&["daemonize", "block", "SIGTERM", "record", "orphan"], last, &[";"]].concat();
    let steps = [&orphan[..], &["wait-for", "orphan", "say", "READY", "wait"]].concat();
    let options = [&KILLED[..], &["-g", grace]].concat();
    let (server, mut user) = started(env.server().opts(options).child(steps));
    user.expect("READY\n");
    let orphan = String::from_utf8(server.file("orphan")).unwrap().trim().parse().unwrap();
    (server, user, orphan)
}

fn orphans_get_a_grace_period(env: &TestEnv) {
    let (server, mut user, orphan) =
        polite(env, "1000", &["await", "SIGTERM", "record", "asked", "exit", "0"]);
    user.send(b"\x18");
    user.until("is: ");
    assert!(server.path("asked").exists() && !alive(orphan));
}

fn orphans_that_wait_out_the_grace_period_are_killed(env: &TestEnv) {
    let (_server, mut user, orphan) = polite(env, "1", &["wait"]);
    let begin = std::time::Instant::now();
    user.send(b"\x18");
    user.until("is: ");
    assert!(begin.elapsed() >= Duration::from_secs(1) && !alive(orphan));
}

fn orphans_in_their_grace_period_end_with_a_second_sigterm(env: &TestEnv) {
    let last = ["await", "SIGTERM", "record", "asked", "wait"];
    let (server, _user, orphan) = polite(env, "1000", &last);
    server.signal(Signal::SIGTERM);
    server.file_with("asked", "\n");
    assert!(alive(orphan));
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!alive(orphan));
}

fn orphans_of_others_are_left_alone(env: &TestEnv) {
    // A child of the process that became the server.
    let before = ["background", "record", "elder", "wait", ";", "wait-for", "elder"];
    let setup = env.server().launched_by(before).opts(KILLED);
    let child = ["daemonize", "record", "orphan", "wait", ";", "wait-for", "orphan", "say", "UP"];
    let (server, mut user) = started(setup.child(child.into_iter().chain(["wait"])));
    user.expect("UP\n");
    let [elder, orphan]: [i32; 2] = ["elder", "orphan"]
        .map(|name| String::from_utf8(server.file(name)).unwrap().trim().parse().unwrap());
    user.send(b"\x18");
    user.until("is: ");
    assert!(alive(elder), "older than the child");
    assert!(!alive(orphan));
    assert_eq!(server.terminate().code(), Some(0));
    assert!(alive(elder));
    kill(Pid::from_raw(elder), Signal::SIGKILL).unwrap();
}

fn orphans_are_found_after_an_upgrade(env: &TestEnv) {
    let (server, mut user) = busy(env, &KILLED, 8);
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "upgraded in place");
    assert_eq!(next_start_finds(&mut user), 0);
    fs::remove_file(server.path("orphans")).unwrap();
}

fn user_is_patient_with_orphans(env: &TestEnv) {
    let last = ["await", "SIGTERM", "record", "asked", "wait-for", "go", "exit", "0"];
    let (server, mut user, orphan) = polite(env, "1000", &last);
    user.send(b"\x14");
    user.until("OFF\r\n");
    user.send(b"\x18");
    server.file_with("asked", "\n");
    // It starts when the orphan is gone, though nothing else would have it start.
    user.send(b"\x12");
    let mut other = server.connect();
    let greeting = String::from_utf8_lossy(&other.greeting()).into_owned();
    assert!(greeting.contains("is SHUT DOWN") && alive(orphan), "{greeting}");
    fs::write(server.path("go"), "").unwrap();
    user.until("is: ");
    assert!(!alive(orphan));
}
