//! What a child gets at SIGTERM.

use crate::support::dialogue::started;
use crate::support::{Client, TestEnv, TestServer, alive, cases};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

const NONE: &str = "2.7.0 has no --grace-period";

cases![
    grace_period_lets_the_child_finish.differs_on_oracle(NONE),
    grace_period_ends_in_sigkill.differs_on_oracle(NONE),
    clients_are_served_in_the_grace_period.differs_on_oracle(NONE),
    second_sigterm_ends_the_grace_period.differs_on_oracle(NONE),
    grace_period_is_none_with_killsig_9.differs_on_oracle(NONE),
    grace_period_is_none_by_default,
];

/// A server whose child takes SIGTERM only when it comes to `await` it.
fn with_grace(env: &TestEnv, options: &[&str], steps: &[&str]) -> (TestServer, Client) {
    let child = [&["block", "SIGTERM", "say", "READY"], steps].concat();
    let (server, mut user) = started(env.server().logged().opts(options).child(child));
    user.expect("READY\n");
    (server, user)
}

const LEAVING: &str = "\
@@@ Current time: <time>
@@@ Child process is shutting down, a new one will be restarted shortly
@@@ ^R or ^X restarts the child, ^Q quits the server
";

fn grace_period_lets_the_child_finish(env: &TestEnv) {
    let options = ["--killsig", "15", "--grace-period", "1000"];
    let (server, mut user) = with_grace(env, &options, &["await", "SIGTERM", "say", "bye"]);
    assert_eq!(server.terminate().code(), Some(0));
    server.assert_console(user.until_end(), &format!("bye\n{LEAVING}"));
    let log = server.file("log");
    assert!(log.starts_with(b"@@@ Restarting"));
    let bye = crate::support::find(&log, b"bye\r\n").unwrap();
    server.assert_console(&log[bye..], &format!("bye\n{LEAVING}"));
}

fn grace_period_ends_in_sigkill(env: &TestEnv) {
    let options = ["--killsig", "15", "--grace-period", "1"];
    let (server, mut user) = with_grace(env, &options, &["wait"]);
    let child = server.child_start(1);
    let begin = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(!alive(child));
    server.assert_console(user.until_end(), LEAVING);
}

fn clients_are_served_in_the_grace_period(env: &TestEnv) {
    let options = ["--killsig", "15", "--grace-period", "1000"];
    let steps = ["await", "SIGTERM", "say", "GOT", "cat"];
    let (server, mut user) = with_grace(env, &options, &steps);
    server.signal(Signal::SIGTERM);
    user.expect("GOT\n");
    let mut other = server.connect();
    other.greeting();
    other.send("hello\n");
    user.expect("hello\nhello\n");
    // The end of its input is the child's.
    other.send(b"\x04");
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn second_sigterm_ends_the_grace_period(env: &TestEnv) {
    let options = ["--killsig", "15", "--grace-period", "1000"];
    let (server, mut user) = with_grace(env, &options, &["await", "SIGTERM", "say", "GOT", "wait"]);
    server.signal(Signal::SIGTERM);
    user.expect("GOT\n");
    assert_eq!(server.terminate().code(), Some(0));
    server.assert_console(user.until_end(), LEAVING);
}

fn grace_period_is_none_with_killsig_9(env: &TestEnv) {
    let (server, _) = with_grace(env, &["--grace-period", "1000"], &["wait"]);
    assert_eq!(server.terminate().code(), Some(0));
}

fn grace_period_is_none_by_default(env: &TestEnv) {
    let (server, _) = with_grace(env, &["--killsig", "15"], &["wait"]);
    let child = server.child_start(1);
    assert_eq!(server.terminate().code(), Some(0));
    // procServ doesn't wait for it.
    env.wait_for("the end of the child", || (!alive(child)).then_some(()));
}
