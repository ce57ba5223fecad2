//! What telnet clients may ask for, and how their Return reaches the child: SUPPRESS-GO-AHEAD for
//! clients that send each key as it is typed only if the server agrees to it, and `--crlf`.

use crate::support::dialogue::{HEX, started_hex};
use crate::support::{Client, TestEnv, cases};
use nix::sys::signal::Signal;

cases![
    suppress_go_ahead_is_agreed_to_once,
    suppress_go_ahead_may_be_dropped_and_taken_up_again,
    the_clients_own_suppress_go_ahead_is_refused,
    suppress_go_ahead_is_kept_over_an_upgrade,
    putty_is_answered_as_it_asks,
    one_return_is_one_for_a_client_that_speaks_telnet,
    the_cr_of_a_line_end_is_passed_at_once,
    line_ends_are_data_for_a_client_that_never_spoke,
    line_ends_of_a_raw_endpoint_are_data,
    line_ends_may_be_kept,
    a_line_end_may_be_split_by_an_upgrade,
    a_line_end_is_one_for_the_ignore_list_too,
    an_lf_that_belongs_to_a_cr_is_no_command,
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

fn one_return_is_one_for_a_client_that_speaks_telnet(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server().opts(["-i", "^D"]));
    user.send(b"a\r\nb\n");
    user.expect("61 0d 0a \n62 0a \n");
    user.send(b"\xff\xfd\x01c\r\nd\r\0e\r\r\n\nf\rg\n");
    user.expect("63 0d 64 0d 65 0d 0d 0a \n66 0d 67 0a \n");
}

fn the_cr_of_a_line_end_is_passed_at_once(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"\xff\xf1a\r");
    user.until("61 0d ");
    // Telnet commands between the two change nothing.
    user.send(b"\xff\xf1\xff\xfa\x18\n\xff\xf0");
    user.send(b"\n");
    user.send(b"b\n");
    user.expect("62 0a \n");
    user.send(b"\r");
    user.until("0d ");
    user.send(b"\0\0\n");
    user.expect("0a \n");
}

fn line_ends_are_data_for_a_client_that_never_spoke(env: &TestEnv) {
    let options = ["-w", "-k", "", "--autorestartcmd", ""];
    let server = env.server().opts(options).child(HEX).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until("READY\r\n");
    // A byte 0xFF that is doubled is data, too.
    user.send(b"\xff\xffa\r\n\r\0\r\xff\xff\n");
    user.expect("ff 61 0d 0a \n0d 00 0d ff 0a \n");
}

fn line_ends_of_a_raw_endpoint_are_data(env: &TestEnv) {
    let setup = env.server().opts(["-P", "raw:unix:raw"]);
    let (server, _user) = started_hex(setup);
    let mut user = server.connect_to("unix:raw");
    user.until("connected (plus you)\r\n");
    user.send(b"\xff\xf1a\r\n");
    user.expect("ff f1 61 0d 0a \n");
}

fn line_ends_may_be_kept(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server().opts(["--crlf", "keep"]));
    user.send(b"\xff\xf1a\r\nb\r\0c\n");
    user.expect("61 0d 0a \n62 0d 63 0a \n");
}

fn a_line_end_may_be_split_by_an_upgrade(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().logged());
    user.send(b"\xff\xf1a\r");
    user.until("61 0d ");
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    user.send(b"\nb\r\nc\n");
    user.expect("62 0d 63 0a \n");
}

fn a_line_end_is_one_for_the_ignore_list_too(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server().opts(["-i", "^M"]));
    user.send(b"\xff\xf1a\r\nb\n");
    user.expect("61 62 0a \n");
}

fn an_lf_that_belongs_to_a_cr_is_no_command(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server().opts(["-x", "^J"]));
    user.send(b"\xff\xf1\r\na");
    user.until("0d 61 ");
    user.send(b"\n");
    user.until_end();
}
