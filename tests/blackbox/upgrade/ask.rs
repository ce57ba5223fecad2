//! Asking for an upgrade, and seeing what came of it.

use crate::support::{Client, TestEnv, TestServer, find};
use nix::sys::signal::Signal;

/// What the log says of an upgrade that was made.
pub(super) fn notice(env: &TestEnv) -> String {
    format!("@@@ procServ server upgraded in place ({})\r\n", env.version())
}

/// How often `pattern` is in `text`.
pub(super) fn count(text: &[u8], pattern: &[u8]) -> usize {
    let mut count = 0;
    let mut rest = text;
    while let Some(at) = find(rest, pattern) {
        count += 1;
        rest = &rest[at + pattern.len()..];
    }
    count
}

/// Upgrades a server with the log `log`; comes back when the new one runs.
pub(super) fn upgrade(env: &TestEnv, server: &TestServer) {
    upgrade_logged_in(env, server, "log");
}

/// The same with the log in this file.
pub(super) fn upgrade_logged_in(env: &TestEnv, server: &TestServer, log: &str) {
    upgrade_by(env, server, log, || server.signal(Signal::SIGUSR1));
}

/// The same, asked for in another way.
pub(super) fn upgrade_by(env: &TestEnv, server: &TestServer, log: &str, ask: impl FnOnce()) {
    let notice = notice(env);
    let upgrades = || std::fs::read(server.path(log)).map_or(0, |l| count(&l, notice.as_bytes()));
    let before = upgrades();
    ask();
    env.wait_for("the upgrade", || (upgrades() == before + 1).then_some(()));
}

/// Panics unless the child of `server`, a `cat`, answers this client, and nothing else comes.
pub(super) fn assert_echo(user: &mut Client, word: &str) {
    user.send(format!("{word}\n"));
    user.expect(&format!("{word}\n{word}\n"));
}

/// What the log says, upgrades left out.
pub(super) fn without_notices(env: &TestEnv, log: &[u8]) -> String {
    String::from_utf8_lossy(log).replace(&notice(env), "")
}
