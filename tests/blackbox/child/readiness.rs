//! READY=1 of a new child under `--overlap`, and who may say it.

use super::listen::upgrade;
use super::overlap::{crlf, killed, line_after, logged, reload, user};
use crate::support::{TestEnv, alive, cases};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

cases![
    readiness_ends_the_wait,
    descendant_may_say_it,
    others_may_not_say_it,
    ready_from_outside_alone_is_nothing,
    messages_of_a_child_never_fill_up,
    child_has_a_socket_of_its_own,
    upgrade_hears_the_new_child,
];

const READY: [&str; 4] = ["on-start", "1", "wait", "otherwise"];

fn send_to(address: &str, text: &str) {
    let name = address.strip_prefix('@').expect("an abstract name");
    let address = SocketAddr::from_abstract_name(name).unwrap();
    UnixDatagram::unbound().unwrap().send_to_addr(text.as_bytes(), &address).unwrap();
}

fn readiness_ends_the_wait(env: &TestEnv) {
    // Longer than anybody waits.
    let server = logged(env, &["--overlap", "4000000000"]);
    let steps = ["wait-for", "go", "notify", "STATUS=up\nREADY=1", "wait"];
    let server = server.child(READY.into_iter().chain(steps)).start();
    let mut user = user(&server);
    reload(&server);
    let (old, new) = (server.child_start(1), server.child_start(2));
    user.until("@@@ @@@ @@@ @@@ @@@\r\n");
    assert!(alive(old) && alive(new), "not ready yet");
    std::fs::write(server.path("go"), "").unwrap();
    user.until(crlf(&killed(old, 15)));
}

fn descendant_may_say_it(env: &TestEnv) {
    let server = logged(env, &["--overlap", "4000000000"]);
    // A grandchild, in a session of its own.
    let steps = ["background", "setsid", "notify", "READY=1", "wait", ";", "wait"];
    let server = server.child(READY.into_iter().chain(steps)).start();
    let mut user = user(&server);
    reload(&server);
    user.until(crlf(&killed(server.child_start(1), 15)));
}

fn others_may_not_say_it(env: &TestEnv) {
    let setup = logged(env, &["--overlap", "4000000000"]);
    let steps = ["show-env", "NOTIFY_SOCKET", "on-start", "1", "wait", "otherwise"];
    let more = ["wait-for", "go", "notify", "READY=1", "wait"];
    let server = setup.child(steps.into_iter().chain(more)).start();
    let mut user = user(&server);
    reload(&server);
    let new = line_after(env, &server, "NOTIFY_SOCKET=", 2);
    // This process is none of its descendants. One after the other: heard in this order.
    for _ in 0..50 {
        send_to(&new, "READY=1");
    }
    std::fs::write(server.path("go"), "").unwrap();
    user.until(crlf(&killed(server.child_start(1), 15)));
}

fn ready_from_outside_alone_is_nothing(env: &TestEnv) {
    let setup = logged(env, &["--overlap", "4000000000"]);
    let server = setup.child(["show-env", "NOTIFY_SOCKET", "wait"]).start();
    let mut user = user(&server);
    reload(&server);
    let addresses = [1, 2].map(|n| line_after(env, &server, "NOTIFY_SOCKET=", n));
    user.until("@@@ @@@ @@@ @@@ @@@\r\n");
    for address in &addresses {
        send_to(address, "READY=1");
    }
    server.falls_asleep();
    assert!(alive(server.child_start(1)) && alive(server.child_start(2)));
}

fn messages_of_a_child_never_fill_up(env: &TestEnv) {
    // More than a socket's queue holds: sending would wait.
    let many: Vec<&str> = std::iter::repeat_n(["notify", "WATCHDOG=1"], 300).flatten().collect();
    let setup = logged(env, &["--overlap", "0"]);
    let server = setup.child(many.into_iter().chain(["say", "all said", "wait"])).start();
    server.file_with("log", "all said\r\n");
}

fn child_has_a_socket_of_its_own(env: &TestEnv) {
    let setup = logged(env, &["--overlap", "0"]).env("NOTIFY_SOCKET", "/run/another");
    let setup = setup.env("WATCHDOG_USEC", "1000000");
    let shown = ["show-env", "WATCHDOG_USEC", "show-env", "NOTIFY_SOCKET", "show-fds", "wait"];
    let server = setup.child(shown).start();
    let first = line_after(env, &server, "NOTIFY_SOCKET=", 1);
    server.file_with("log", "WATCHDOG_USEC unset\r\n");
    line_after(env, &server, "fds: 0 1 2", 1);
    reload(&server);
    let second = line_after(env, &server, "NOTIFY_SOCKET=", 2);
    assert!(first.starts_with('@') && second.starts_with('@') && first != second);
}

fn upgrade_hears_the_new_child(env: &TestEnv) {
    let server = logged(env, &["--overlap", "4000000000"]);
    let steps = ["wait-for", "go", "notify", "READY=1", "wait"];
    let server = server.child(READY.into_iter().chain(steps)).start();
    let mut user = user(&server);
    reload(&server);
    server.child_start(2);
    upgrade(env, &server, 1);
    std::fs::write(server.path("go"), "").unwrap();
    user.until(crlf(&killed(server.child_start(1), 15)));
}
