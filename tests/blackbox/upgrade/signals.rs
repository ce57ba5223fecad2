//! Signals that come at the moment of an upgrade. Each case goes through many moments.

use crate::support::dialogue::{gone, started};
use crate::support::{TestEnv, TestServer, cases, stat};
use crate::upgrade::ask::{assert_echo, count, notice, upgrade, without_notices};
use crate::upgrade::traffic::FLOOD;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

cases![
    sigterm_is_not_lost,
    sigterm_is_not_lost_while_the_child_writes,
    sigterm_before_is_obeyed,
    sighup_is_not_lost,
    death_of_the_child_is_not_missed,
    many_at_once_are_harmless,
    one_more_comes_after_it,
];

/// Moments after the request: the whole of an upgrade and a bit more, as long as one takes.
fn moments(env: &TestEnv) -> impl Iterator<Item = Duration> {
    const MOMENTS: u32 = 30;
    let (server, _) = started(env.server().logged());
    let begin = Instant::now();
    upgrade(env, &server);
    let whole = begin.elapsed();
    (0..MOMENTS).map(move |moment| whole * moment / (MOMENTS - 2))
}

/// Waits exactly: what comes at this moment is the point, and any outcome must be right.
fn spin(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn sigterm_is_not_lost(env: &TestEnv) {
    for moment in moments(env) {
        let server = env.server().logged().opts(["-p", "pid"]).start();
        let child = server.child_start(1);
        let mut user = server.connect();
        user.greeting();
        server.signal(Signal::SIGUSR1);
        spin(moment);
        assert_eq!(server.terminate().code(), Some(0), "{moment:?}");
        gone(env, child);
        user.until_end();
        assert!(!server.path("pid").exists() && !server.path("ctl").exists(), "{moment:?}");
    }
}

/// Turns are long then: the last one before the exec, too.
fn sigterm_is_not_lost_while_the_child_writes(env: &TestEnv) {
    for moment in moments(env).chain(moments(env)) {
        let setup = env.server().logged().with_file("go", "");
        let server = setup.command(["./fake-ioc", FLOOD]).start();
        let child = server.child_start(1);
        let mut users: Vec<_> = (0..8).map(|_| server.connect()).collect();
        users.iter_mut().for_each(|user| drop(user.greeting()));
        server.signal(Signal::SIGUSR1);
        spin(moment);
        assert_eq!(server.terminate().code(), Some(0), "{moment:?}");
        gone(env, child);
    }
}

/// The new program is still being tried when the child has ended: nobody waits for it.
fn sigterm_before_is_obeyed(env: &TestEnv) {
    let server = env.server().installed().logged().start();
    let child = server.child_start(1);
    install_slow(env, &server);
    // Else it may be between looking for the one signal and looking for the other.
    server.falls_asleep();
    server.signal(Signal::SIGSTOP);
    env.wait_for("the server to stop", || stat(server.pid()).filter(|stat| stat[0] == "T"));
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGUSR1);
    server.signal(Signal::SIGCONT);
    assert_eq!(server.wait_exit().code(), Some(0));
    gone(env, child);
    assert_eq!(count(&server.file("log"), notice(env).as_bytes()), 0);
}

fn sighup_is_not_lost(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged());
    for moment in moments(env) {
        fs::rename(server.path("log"), server.path("old")).unwrap();
        let before = count(&server.file("old"), notice(env).as_bytes());
        server.signal(Signal::SIGUSR1);
        spin(moment);
        server.signal(Signal::SIGHUP);
        env.wait_for("the new log", || fs::metadata(server.path("log")).ok());
        let log = || [server.file("old"), server.file("log")].concat();
        env.wait_for("the upgrade", || {
            (count(&log(), notice(env).as_bytes()) == before + 1).then_some(())
        });
        let word = format!("{moment:?}");
        assert_echo(&mut user, &word);
        let new = server.file_with("log", format!("{word}\r\n{word}\r\n"));
        assert_eq!(without_notices(env, &new), format!("{word}\r\n{word}\r\n"));
        fs::remove_file(server.path("old")).unwrap();
    }
}

fn death_of_the_child_is_not_missed(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged().opts(["--holdoff", "0"]));
    for (number, moment) in moments(env).enumerate() {
        let child = server.child_start(number + 1);
        crate::upgrade::ask::upgrade_by(env, &server, "log", || {
            server.signal(Signal::SIGUSR1);
            spin(moment);
            kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
        });
        user.until(format!("for process {child}. The process was killed by signal 9\r\n"));
        let next = server.child_start(number + 2);
        user.until(format!("is: {next}\r\n"));
        user.until("@@@ @@@ @@@\r\n");
        assert_echo(&mut user, "hello");
        gone(env, child);
    }
}

fn many_at_once_are_harmless(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged());
    for round in 0..5 {
        for _ in 0..10 {
            server.signal(Signal::SIGUSR1);
        }
        assert_echo(&mut user, &format!("round {round}"));
    }
    server.file_with("log", notice(env));
    server.falls_asleep();
    let upgrades = count(&server.file("log"), notice(env).as_bytes());
    assert!((1..=50).contains(&upgrades), "{upgrades}");
    upgrade(env, &server);
    assert_echo(&mut user, "hello");
    assert_eq!(server.stderr(), "");
    assert_eq!(server.file("starts").iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(server.terminate().code(), Some(0));
}

/// Installs a program that leaves the file `tried`, and goes on when there is a file `go`.
fn install_slow(env: &TestEnv, server: &TestServer) {
    let slow = format!(
        "#!/bin/sh\necho >>tried\nwhile [ ! -e go ]; do sleep 0.01; done\nexec '{}' \"$@\"\n",
        env.program().display()
    );
    fs::write(server.path("slow"), slow).unwrap();
    fs::set_permissions(server.path("slow"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(server.path("slow"), server.path("procServ")).unwrap();
}

/// The second comes while the new program is tried, which waits.
fn one_more_comes_after_it(env: &TestEnv) {
    let (server, mut user) = started(env.server().installed().logged());
    install_slow(env, &server);
    server.signal(Signal::SIGUSR1);
    server.file_with("tried", "\n");
    server.signal(Signal::SIGUSR1);
    assert_echo(&mut user, "meanwhile");
    fs::write(server.path("go"), "").unwrap();
    // The program that takes over is the script: what it executes knows another path.
    env.wait_for("both", || {
        (count(&server.file("log"), notice(env).as_bytes()) == 2).then_some(())
    });
    assert_echo(&mut user, "after both");
}
