//! The kernel is short of something when the new program has just begun, and cannot go back: it tries
//! again for as long as it takes. Child, clients and log lose nothing.

use crate::support::dialogue::started;
use crate::support::preload::{NO_CC, compiled};
use crate::support::{
    Client, PidsGroup, TestEnv, TestServer, alive, cases, descriptors, find, show,
};
use crate::upgrade::ask::{assert_echo, count, notice, upgrade};
use crate::upgrade::exchanged::write_script;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

cases![
    no_poll.only_if(preload().is_some(), NO_CC),
    no_room_to_poll_another.only_if(preload().is_some(), NO_CC),
    no_waker.only_if(preload().is_some(), NO_CC),
    no_socket_for_signals.only_if(preload().is_some(), NO_CC),
    no_socket_to_the_service_manager.only_if(preload().is_some(), NO_CC),
    no_look_at_the_state.only_if(preload().is_some(), NO_CC),
    no_thread_for_the_log.only_if(preload().is_some(), NO_CC),
    log_without_a_thread_for_long_has_a_gap.only_if(preload().is_some(), NO_CC),
    server_without_threads_can_be_stopped.only_if(preload().is_some(), NO_CC),
    signals_wait_for_what_is_short.only_if(preload().is_some(), NO_CC),
    processes_of_a_control_group
        .only_if(PidsGroup::new("procserv-probe").is_some(), "no control group with pids.max"),
    limit_of_descriptors_falls_after_the_check_run.needs("prlimit"),
    limit_of_memory_falls_after_the_check_run.needs("prlimit"),
];

fn preload() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    LIBRARY.get_or_init(|| compiled("upgrade/refuse.c")).as_deref()
}

/// A server that was asked for an upgrade, and whose new program is refused `function` and has said
/// so, as failing to do `what`. The refusals end with [`relent`].
fn refused(
    env: &TestEnv,
    function: &str,
    errno: Errno,
    what: &str,
    child: &[&str],
) -> (TestServer, Client) {
    let setup = env.server().logged();
    let until = setup.path("until");
    let setup = setup.env("LD_PRELOAD", preload().unwrap()).env("TEST_REFUSE", function);
    let setup = setup.env("TEST_REFUSE_UNTIL", until).env("TEST_ERRNO", (errno as i32).to_string());
    let setup = setup.env("NOTIFY_SOCKET", "@nobody").opts(["--notify"]);
    let (server, user) = started(setup.child(child));
    server.signal(Signal::SIGUSR1);
    let reason = Error::from(errno).to_string();
    let reason = reason.split(" (os error").next().unwrap_or_default();
    server.file_with("stderr", format!("cannot {what}: {reason}, trying again\n"));
    (server, user)
}

fn relent(server: &TestServer) {
    fs::write(server.path("until"), "").unwrap();
}

/// Nothing was lost, and it was said once.
fn goes_on(env: &TestEnv, function: &str, errno: Errno, what: &str) {
    let (server, mut user) = refused(env, function, errno, what, &["cat"]);
    let child = server.child_start(1);
    user.send("meanwhile\n");
    // More than one try.
    thread::sleep(Duration::from_millis(300));
    assert!(alive(child) && alive(server.pid()));
    relent(&server);
    user.until("meanwhile\r\nmeanwhile\r\n");
    assert_echo(&mut user, "after");
    let log = server.file_with("log", "after\r\nafter\r\n");
    assert_eq!(count(&log, notice(env).as_bytes()), 1);
    let end = format!("{}meanwhile\r\nmeanwhile\r\nafter\r\nafter\r\n", notice(env));
    assert!(log.ends_with(end.as_bytes()), "{}", show(&log));
    assert_eq!(count(server.stderr().as_bytes(), b"trying again"), 1);
    assert_eq!(server.terminate().code(), Some(0));
}

fn no_poll(env: &TestEnv) {
    goes_on(env, "epoll_create1", Errno::EMFILE, "poll");
}

fn no_room_to_poll_another(env: &TestEnv) {
    goes_on(env, "epoll_ctl", Errno::ENOSPC, "poll");
}

fn no_waker(env: &TestEnv) {
    goes_on(env, "eventfd", Errno::ENFILE, "poll");
}

fn no_socket_for_signals(env: &TestEnv) {
    goes_on(env, "socketpair", Errno::ENOMEM, "poll");
}

fn no_socket_to_the_service_manager(env: &TestEnv) {
    goes_on(env, "socket", Errno::ENOBUFS, "use NOTIFY_SOCKET");
}

fn no_look_at_the_state(env: &TestEnv) {
    goes_on(env, "lseek", Errno::ENOMEM, "read the state");
}

fn without_threads(env: &TestEnv, child: &[&str]) -> (TestServer, Client) {
    refused(env, "pthread_create", Errno::EAGAIN, "start a thread", child)
}

/// The console goes on at once, and the log is late.
fn no_thread_for_the_log(env: &TestEnv) {
    let (server, mut user) = without_threads(env, &["cat"]);
    assert_echo(&mut user, "meanwhile");
    assert_eq!(find(&server.file("log"), b"meanwhile"), None);
    relent(&server);
    let log = server.file_with("log", "meanwhile\r\nmeanwhile\r\n");
    let end = format!("{}meanwhile\r\nmeanwhile\r\n", notice(env));
    assert!(log.ends_with(end.as_bytes()), "{}", show(&log));
    assert_echo(&mut user, "after");
    server.file_with("log", "after\r\nafter\r\n");
    assert_eq!(server.terminate().code(), Some(0));
}

/// As of a disk that hangs: after 5 seconds the console goes on, and the log says what is missing.
fn log_without_a_thread_for_long_has_a_gap(env: &TestEnv) {
    let child = ["wait-for", "go", "emit", "4000000", "say", "END", "wait"];
    let (server, mut user) = without_threads(env, &child);
    fs::write(server.path("go"), "").unwrap();
    user.until("END\r\n");
    relent(&server);
    let log = server.file_with("log", "END\r\n");
    assert!(find(&log, b" bytes are missing here\r\n").is_some());
    assert_eq!(server.terminate().code(), Some(0));
}

fn server_without_threads_can_be_stopped(env: &TestEnv) {
    let (server, mut user) = without_threads(env, &["cat"]);
    assert_echo(&mut user, "meanwhile");
    assert_eq!(server.terminate().code(), Some(0));
}

/// A signal that comes before the new program can handle signals does not kill it: child and server end
/// in order, or the upgrade that is asked for follows.
fn signals_wait_for_what_is_short(env: &TestEnv) {
    let phases = [
        ("lseek", "read the state"),
        ("socket", "use NOTIFY_SOCKET"),
        ("epoll_create1", "poll"),
        ("socketpair", "poll"),
        ("epoll_ctl", "poll"),
        ("pthread_create", "start a thread"),
    ];
    for (function, what) in phases {
        for signals in [&[Signal::SIGHUP, Signal::SIGTERM][..], &[Signal::SIGHUP, Signal::SIGUSR1]]
        {
            let (server, mut user) = refused(env, function, Errno::EAGAIN, what, &["cat"]);
            let child = server.child_start(1);
            signals.iter().for_each(|&signal| server.signal(signal));
            if signals.contains(&Signal::SIGTERM) {
                // Without threads it has ended already.
                if function != "pthread_create" {
                    assert!(alive(child) && alive(server.pid()), "{function}");
                }
                relent(&server);
                assert_eq!(server.wait_exit().code(), Some(0), "{function}");
                assert!(!server.path("ctl").exists() && !alive(child));
                continue;
            }
            assert!(alive(child) && alive(server.pid()), "{function}");
            relent(&server);
            env.wait_for("both upgrades", || {
                let log = fs::read(server.path("log")).ok()?;
                (count(&log, notice(env).as_bytes()) == 2).then_some(())
            });
            assert_echo(&mut user, "after");
            assert_eq!(server.child_start(1), child);
            assert_eq!(server.terminate().code(), Some(0), "{function}");
        }
    }
}

/// Other processes take the places of the threads that end in an upgrade.
fn processes_of_a_control_group(env: &TestEnv) {
    let group = PidsGroup::new("procserv-upgrades").expect("a control group");
    let options = ["--events", "events", "--status-file", "status"];
    let (server, mut user) = started(env.server().logged().opts(options).child(["cat"]));
    let child = server.child_start(1);
    for pid in [server.pid(), child] {
        group.take(pid).expect("cgroup.procs");
    }
    group.limit("8").expect("pids.max");
    let mut others = Vec::new();
    for round in 0..50 {
        for other in 0..6 {
            let seconds = format!("0.{:02}", (round * 7 + other * 5) % 20);
            let other = Command::new("sleep").arg(seconds).spawn().expect("sleep");
            // A process may be moved into a group that is full, and may have ended before.
            let _ = group.take(other.id() as i32);
            others.push(other);
        }
        server.signal(Signal::SIGUSR1);
        thread::sleep(Duration::from_millis(80));
        assert!(alive(server.pid()) && alive(child), "{}", server.stderr());
    }
    for mut other in others {
        other.wait().expect("wait");
    }
    assert_echo(&mut user, "meanwhile");
    group.limit("max").expect("pids.max");
    // No upgrade is under way any more that a later one could be part of.
    server.falls_asleep();
    upgrade(env, &server);
    assert_echo(&mut user, "after");
    server.file_with("log", "after\r\nafter\r\n");
    assert_eq!(server.terminate().code(), Some(0));
}

/// A server whose limits are changed by prlimit(1) with these arguments when the new program has passed its
/// check run. Both go on, as the old or as the new program.
fn limited_after_the_check_run(env: &TestEnv, limits: impl Fn(&TestServer) -> String) {
    let (server, mut user) = started(env.server().installed().logged());
    let child = server.child_start(1);
    assert_echo(&mut user, "before");
    let (program, limits) = (env.program().display(), limits(&server));
    let change = format!("prlimit {limits} --pid $PPID");
    write_script(&server, "next", &format!("'{program}' \"$@\" || exit; {change}; exit 0"));
    fs::rename(server.path("next"), server.path("procServ")).unwrap();
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server not upgraded: ");
    assert_echo(&mut user, "after");
    // Nothing is missing, as the log is open while the upgrade is under way.
    let log = server.file_with("log", "after\r\nafter\r\n");
    assert!(find(&log, b"missing").is_none(), "{}", show(&log));
    assert!(alive(child));
    assert_eq!(server.child_start(1), child);
    assert_eq!(server.terminate().code(), Some(0));
}

fn limit_of_descriptors_falls_after_the_check_run(env: &TestEnv) {
    limited_after_the_check_run(env, |server| {
        format!("--nofile={}:", descriptors(server.pid()).len())
    });
    limited_after_the_check_run(env, |_| "--nofile=3:".to_owned());
}

/// The new program cannot be loaded any more.
fn limit_of_memory_falls_after_the_check_run(env: &TestEnv) {
    limited_after_the_check_run(env, |_| "--as=4000000:".to_owned());
}
