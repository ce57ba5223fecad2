//! SUPPRESS-GO-AHEAD, for clients that send each key as it is typed only if the server agrees to it.

use crate::support::{Client, TestEnv, cases};
use nix::sys::signal::Signal;

cases![
    suppress_go_ahead_is_agreed_to_once,
    suppress_go_ahead_may_be_dropped_and_taken_up_again,
    the_clients_own_suppress_go_ahead_is_refused,
    suppress_go_ahead_is_kept_over_an_upgrade,
    putty_is_answered_as_it_asks,
];

/// Sends, and compares all answers. A question with a known answer marks their end.
fn dialogue(user: &mut Client, sent: &[u8], answer: &[u8]) {
    user.send(sent);
    user.send(b"\xff\xfd\x63");
    let got = user.until(b"\xff\xfc\x63");
    let expected = [answer, b"\xff\xfc\x63"].concat();
    assert!(got == expected, "{} -> {}", sent.escape_ascii(), got.escape_ascii());
}

fn suppress_go_ahead_is_agreed_to_once(env: &TestEnv) {
    let server = env.server().opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    dialogue(&mut user, b"\xff\xfd\x03", b"\xff\xfb\x03");
    dialogue(&mut user, b"\xff\xfd\x03\xff\xfd\x03", b"");
}

fn suppress_go_ahead_may_be_dropped_and_taken_up_again(env: &TestEnv) {
    let server = env.server().opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    // Nothing is said about an option that is off already.
    dialogue(&mut user, b"\xff\xfe\x03", b"");
    dialogue(&mut user, b"\xff\xfd\x03", b"\xff\xfb\x03");
    dialogue(&mut user, b"\xff\xfe\x03\xff\xfe\x03", b"\xff\xfc\x03");
    dialogue(&mut user, b"\xff\xfd\x03", b"\xff\xfb\x03");
}

fn the_clients_own_suppress_go_ahead_is_refused(env: &TestEnv) {
    let server = env.server().opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    dialogue(&mut user, b"\xff\xfb\x03\xff\xfb\x03", b"\xff\xfe\x03\xff\xfe\x03");
    dialogue(&mut user, b"\xff\xfc\x03", b"");
}

fn suppress_go_ahead_is_kept_over_an_upgrade(env: &TestEnv) {
    let server = env.server().logged().opts(["-w"]).start();
    let mut asked = server.connect();
    asked.greeting();
    dialogue(&mut asked, b"\xff\xfd\x03", b"\xff\xfb\x03");
    let mut other = server.connect();
    other.greeting();
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    dialogue(&mut asked, b"\xff\xfd\x03", b"");
    dialogue(&mut asked, b"\xff\xfe\x03", b"\xff\xfc\x03");
    dialogue(&mut other, b"\xff\xfe\x03", b"");
    dialogue(&mut other, b"\xff\xfd\x03", b"\xff\xfb\x03");
}

/// The commands that PuTTY sends when it connects, and then in answer to WILL ECHO.
fn putty_is_answered_as_it_asks(env: &TestEnv) {
    let server = env.server().opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    dialogue(
        &mut user,
        b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03\
          \xff\xfc\x22",
        b"\xff\xfe\x1f\xff\xfe\x20\xff\xfe\x18\xff\xfe\x27\xff\xfe\x03\xff\xfb\x03",
    );
}
