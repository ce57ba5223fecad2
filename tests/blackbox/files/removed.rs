//! A log file that is removed while the server writes it.

use crate::support::dialogue::started;
use crate::support::{TestEnv, cases, find};
use std::fs;

cases![removed_log_is_opened_anew, removed_log_is_opened_as_soon_as_it_can_be, renamed_log_goes_on,];

fn removed_log_is_opened_anew(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged());
    server.file_with("log", "@@@ @@@ @@@ @@@ @@@\r\n");
    fs::remove_file(server.path("log")).unwrap();
    env.wait_for("the new log", || {
        user.send("word\n");
        user.until("word\r\nword\r\n");
        fs::read(server.path("log")).ok().filter(|log| find(log, b"word\r\n").is_some())
    });
    // It is the log from now on, and nothing has been said about it.
    user.send("last\n");
    user.expect("last\nlast\n");
    server.file_with("log", "last\r\nlast\r\n");
}

fn removed_log_is_opened_as_soon_as_it_can_be(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged());
    server.file_with("log", "@@@ @@@ @@@ @@@ @@@\r\n");
    fs::remove_file(server.path("log")).unwrap();
    fs::create_dir(server.path("log")).unwrap();
    user.send("word\n");
    user.expect("word\nword\n");
    // The child writes nothing from here on.
    fs::remove_dir(server.path("log")).unwrap();
    env.wait_for("the new log", || server.path("log").is_file().then_some(()));
    user.send("last\n");
    user.expect("last\nlast\n");
    server.file_with("log", "last\r\nlast\r\n");
}

fn renamed_log_goes_on(env: &TestEnv) {
    let (server, mut user) = started(env.server().logged());
    server.file_with("log", "@@@ @@@ @@@ @@@ @@@\r\n");
    fs::rename(server.path("log"), server.path("old")).unwrap();
    user.send("word\n");
    user.expect("word\nword\n");
    server.file_with("old", "word\r\nword\r\n");
    server.falls_asleep();
    user.send("last\n");
    user.expect("last\nlast\n");
    server.file_with("old", "last\r\nlast\r\n");
    assert!(!server.path("log").exists());
}
