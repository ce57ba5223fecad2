//! The unit's file is changed, and the server killed: the next one has other options.

use super::store::Unit;
use super::{BASICS, WITH_CLIENT, is_served, is_told};
use crate::support::{TestEnv, alive, cases};
use crate::systemd::manager::user;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

cases![
    port_may_change,
    history_may_change,
    any_port_stays_the_same,
    any_port_takes_no_port_that_is_asked_for,
    endpoint_may_be_dropped,
    endpoints_may_change_places,
    log_endpoint_may_become_a_control_endpoint,
    permissions_may_change,
    text_to_be_ready_may_change,
    store_may_be_given_up,
    socket_file_may_be_gone,
    socket_file_may_be_anothers,
];

const TWO: [&str; 5] = ["child", "listener", "listener", "pty", "state"];

fn set(unit: &mut Unit, options: &[&str]) {
    unit.options = ["--fdstore"].iter().chain(options).map(|&word| word.to_owned()).collect();
}

/// The next server needs memory of another size, and has the console in it: the one after it finds it.
fn history_may_change(env: &TestEnv) {
    let mut unit = Unit::start(env, &["--history", "64k"], &["cat"]);
    let mut client = user(&unit.server);
    client.until("@@@ @@@ @@@ @@@ @@@\r\n");
    for options in [["--history", "128k"], ["--history", "128k"], ["--history", "64k"]] {
        unit.kill(&WITH_CLIENT);
        set(&mut unit, &options);
        unit.next();
        is_told(&mut client);
        is_served(&mut client, options[1]);
    }
}

fn port_may_change(env: &TestEnv) {
    let [one, other] = [(), ()].map(|()| env.free_port().to_string());
    let mut unit = Unit::start(env, &["-P", &one], &["cat"]);
    let mut tcp = unit.server.connect_to(&one);
    tcp.greeting();
    unit.kill(&["child", "client", "listener", "listener", "pty", "state"]);
    set(&mut unit, &["-P", &other]);
    unit.next();
    is_told(&mut tcp);
    is_served(&mut tcp, "old");
    let mut new = unit.server.connect_to(&other);
    new.greeting();
    drop((tcp, new));
    unit.store.expect(&TWO);
    assert_eq!(unit.server.refused(&one), ErrorKind::ConnectionRefused);
    assert_eq!(unit.starts(), 1);
}

/// Waits until the new server has opened its endpoints: until then, a socket that it replaces still
/// takes connections, which end with it.
fn is_there(unit: &Unit) {
    user(&unit.server);
}

/// The second endpoint's port.
fn port(unit: &Unit) -> String {
    let info = String::from_utf8(unit.server.file_with("info", "tcp:")).unwrap();
    let line = info.lines().find(|line| line.starts_with("tcp:")).unwrap();
    line.rsplit(':').next().unwrap().to_owned()
}

fn any_port_stays_the_same(env: &TestEnv) {
    let mut unit = Unit::start(env, &["-P", "0", "-I", "info"], &["cat"]);
    let first = port(&unit);
    unit.restart(&TWO);
    unit.server.connect_to(&first).greeting();
    unit.server.file_with("info", format!("pid:{}\n", unit.server.pid()));
    assert_eq!(port(&unit), first);
}

fn any_port_takes_no_port_that_is_asked_for(env: &TestEnv) {
    for asked_first in [false, true] {
        let asked = env.free_port().to_string();
        let options =
            if asked_first { ["-P", &asked, "-P", "0"] } else { ["-P", "0", "-P", &asked] };
        let mut unit = Unit::start(env, &options, &["cat"]);
        let three = ["child", "listener", "listener", "listener", "pty", "state"];
        for _ in 0..3 {
            unit.restart(&three);
            unit.server.connect_to(&asked).greeting();
            user(&unit.server);
            unit.store.expect(&three);
        }
        assert_eq!(unit.server.terminate().code(), Some(0));
    }
}

fn endpoint_may_be_dropped(env: &TestEnv) {
    let port = env.free_port().to_string();
    let options = ["-P", "unix:more", "-P", &port];
    let mut unit = Unit::start(env, &options, &["cat"]);
    let mut client = unit.server.connect_to("unix:more");
    client.greeting();
    unit.kill(&["child", "client", "listener", "listener", "listener", "pty", "state"]);
    set(&mut unit, &options[2..]);
    unit.next();
    is_told(&mut client);
    is_served(&mut client, "on");
    drop(client);
    unit.store.expect(&TWO);
    assert!(!unit.server.path("more").exists());
    // What is left has another place now.
    for _ in 0..2 {
        unit.restart(&TWO);
        unit.server.connect_to(&port).greeting();
        user(&unit.server);
    }
    unit.store.expect(&TWO);
    unit.kill(&TWO);
    set(&mut unit, &options);
    unit.next();
    unit.server.connect_to("unix:more").greeting();
    unit.store.expect(&["child", "listener", "listener", "listener", "pty", "state"]);
    assert_eq!(unit.starts(), 1);
}

fn endpoints_may_change_places(env: &TestEnv) {
    let mut unit = Unit::start(env, &["-P", "unix:a", "-P", "unix:b"], &["cat"]);
    let three = ["child", "listener", "listener", "listener", "pty", "state"];
    for options in [["-P", "unix:b", "-P", "unix:a"], ["-P", "unix:a", "-P", "unix:b"]] {
        unit.kill(&three);
        set(&mut unit, &options);
        unit.next();
        for endpoint in ["unix:a", "unix:b", "unix:ctl"] {
            unit.server.connect_to(endpoint).greeting();
        }
        unit.store.expect(&three);
        unit.restart(&three);
        unit.server.connect_to("unix:a").greeting();
        unit.store.expect(&three);
    }
    assert_eq!(unit.starts(), 1);
}

fn log_endpoint_may_become_a_control_endpoint(env: &TestEnv) {
    let mut unit = Unit::start(env, &["-l", "unix:log-ctl"], &["cat"]);
    unit.kill(&TWO);
    set(&mut unit, &["-P", "unix:log-ctl"]);
    unit.next();
    is_there(&unit);
    let mut client = unit.server.connect_log();
    client.greeting();
    is_served(&mut client, "heard");
    drop(client);
    unit.kill(&TWO);
    set(&mut unit, &[]);
    unit.next();
    unit.store.expect(&BASICS);
    user(&unit.server);
    assert!(!unit.server.path("log-ctl").exists());
}

fn permissions_may_change(env: &TestEnv) {
    let mut unit = Unit::start(env, &["-P", "unix:more"], &["cat"]);
    unit.kill(&TWO);
    set(&mut unit, &["-P", "unix:::0600:more"]);
    unit.next();
    // Whoever connects earlier is in the queue of the old socket.
    env.wait_for("the new permissions", || {
        let mode = fs::metadata(unit.server.path("more")).ok()?.permissions().mode();
        (mode & 0o777 == 0o600).then_some(())
    });
    is_there(&unit);
    unit.server.connect_to("unix:more").greeting();
}

fn text_to_be_ready_may_change(env: &TestEnv) {
    let mut unit = Unit::start(env, &["--ready", "something long that never comes"], &["cat"]);
    let mut user = user(&unit.server);
    user.send(b"something long\n");
    user.until("long\r\nsomething long\r\n");
    for options in [&["--ready", "x"][..], &[]] {
        unit.kill(&WITH_CLIENT);
        set(&mut unit, options);
        unit.next();
        is_told(&mut user);
        let text = format!("{}", options.len());
        is_served(&mut user, &text);
    }
    // Without one, a child that runs is enough.
    unit.store.settle();
    let said = unit.store.said.lock().unwrap();
    assert_eq!(said.iter().filter(|one| *one == "READY=1").count(), 1, "{said:?}");
    assert_eq!(unit.starts(), 1);
}

fn store_may_be_given_up(env: &TestEnv) {
    for option in ["--notify", "-q"] {
        let port = env.free_port().to_string();
        let mut unit = Unit::start(env, &["-P", &port], &["block", "SIGHUP", "cat", "wait"]);
        let first = unit.server.child_start(1);
        let mut unix = user(&unit.server);
        let mut tcp = unit.server.connect_to(&port);
        tcp.greeting();
        unit.kill(&["child", "client", "client", "listener", "listener", "pty", "state"]);
        unit.options = [option, "-P", &port].map(str::to_owned).to_vec();
        unit.next();
        unix.until_end();
        tcp.until_end();
        unit.server.child_start(2);
        assert!(!alive(first));
        unit.store.expect(&[]);
        let mut late = unit.server.connect_to(&port);
        late.greeting();
        is_served(&mut late, "fresh");
        user(&unit.server);
        assert_eq!(unit.server.terminate().code(), Some(0));
    }
}

fn socket_file_may_be_gone(env: &TestEnv) {
    let mut unit = Unit::start(env, &[], &["cat"]);
    let mut client = user(&unit.server);
    unit.kill(&WITH_CLIENT);
    fs::remove_file(unit.server.path("ctl")).unwrap();
    unit.next();
    is_told(&mut client);
    is_served(&mut user(&unit.server), "anew");
    unit.store.expect(&WITH_CLIENT);
    unit.restart(&WITH_CLIENT);
    is_served(&mut user(&unit.server), "again");
}

fn socket_file_may_be_anothers(env: &TestEnv) {
    let mut unit = Unit::start(env, &[], &["cat"]);
    let mut client = user(&unit.server);
    unit.kill(&WITH_CLIENT);
    fs::remove_file(unit.server.path("ctl")).unwrap();
    env.stale_socket(unit.server.path("ctl"));
    unit.next();
    is_told(&mut client);
    is_served(&mut user(&unit.server), "anew");
    client.until("anew\r\nanew\r\n");
    unit.restart(&WITH_CLIENT);
    is_told(&mut client);
    is_served(&mut client, "once more");
    unit.kill_asleep();
    fs::remove_file(unit.server.path("ctl")).unwrap();
    let other = UnixListener::bind(unit.server.path("ctl")).unwrap();
    unit.next();
    assert_eq!(unit.server.wait_exit().code(), Some(98));
    assert!(unit.server.stderr().contains("in use"), "{}", unit.server.stderr());
    // It took nothing along.
    drop(other);
    env.nobody_answers(unit.server.path("ctl"));
    unit.next();
    is_told(&mut client);
    is_served(&mut client, "at last");
    assert_eq!(unit.starts(), 1);
}
