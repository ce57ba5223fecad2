//! Contract section 4: telnet.

use crate::support::dialogue::{started, started_hex};
use crate::support::{Client, TestEnv, TestServer, cases};

cases![
    s4_every_other_will_gets_dont,
    s4_every_other_do_gets_wont,
    s4_a_repeated_refusal_is_repeated,
    s4_will_echo_and_do_linemode_are_refused,
    s4_agreement_to_the_offers_gets_no_answer,
    s4_refusal_of_the_offers_gets_no_answer,
    s4_dropped_after_agreement_is_confirmed,
    s4_taken_up_again_after_refusal,
    s4_taken_up_again_after_being_dropped,
    s4_wont_and_dont_of_unknown_options_get_no_answer,
    s4_same_on_tcp_and_unix,
    s4_command_bytes_are_swallowed,
    s4_subnegotiation_is_swallowed,
    s4_doubled_iac_inside_a_subnegotiation_is_data,
    s4_iac_and_another_byte_ends_a_subnegotiation,
    s4_old_mccp_subnegotiation_is_complete
        .differs_on_oracle("2.7.0 waits for its end (section 10)"),
    s4_longest_subnegotiation_is_swallowed,
    s4_too_long_subnegotiation_is_given_up,
    s4_command_characters_in_a_subnegotiation_are_none,
    s4_commands_may_be_split_over_reads,
    s4_iac_iac_is_one_byte_for_the_child,
    s4_child_output_ff_goes_out_doubled,
    s4_no_line_end_translation_towards_the_child,
    s4_no_line_end_translation_towards_clients,
    s4_log_client_input_is_thrown_away,
    s4_log_client_gets_doubled_ff_too,
];

/// A server without a child, and a client that negotiates with it.
fn negotiator(env: &TestEnv) -> (TestServer, Client) {
    let server = env.server().opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    (server, user)
}

/// Sends, and compares all answers. A question with a known answer marks their end.
fn dialogue(user: &mut Client, sent: &[u8], answer: &[u8]) {
    user.send(sent);
    user.send(b"\xff\xfd\x63");
    let got = user.until(b"\xff\xfc\x63");
    let expected = [answer, b"\xff\xfc\x63"].concat();
    assert!(got == expected, "{} -> {}", sent.escape_ascii(), got.escape_ascii());
}

fn s4_every_other_will_gets_dont(env: &TestEnv) {
    let (_server, mut user) = negotiator(env);
    for option in (0..=254).filter(|option| *option != 1 && *option != 34) {
        dialogue(&mut user, &[255, 251, option], &[255, 254, option]);
    }
}

fn s4_every_other_do_gets_wont(env: &TestEnv) {
    let (_server, mut user) = negotiator(env);
    for option in (0..=254).filter(|option| ![1, 3, 34, 99].contains(option)) {
        dialogue(&mut user, &[255, 253, option], &[255, 252, option]);
    }
}

fn s4_a_repeated_refusal_is_repeated(env: &TestEnv) {
    let (_server, mut user) = negotiator(env);
    dialogue(&mut user, b"\xff\xfb\x05\xff\xfb\x05", b"\xff\xfe\x05\xff\xfe\x05");
    dialogue(&mut user, b"\xff\xfd\x05\xff\xfd\x05", b"\xff\xfc\x05\xff\xfc\x05");
}

fn s4_will_echo_and_do_linemode_are_refused(env: &TestEnv) {
    let (_server, mut user) = negotiator(env);
    dialogue(&mut user, b"\xff\xfb\x01", b"\xff\xfe\x01");
    dialogue(&mut user, b"\xff\xfd\x22", b"\xff\xfc\x22");
}

fn s4_agreement_to_the_offers_gets_no_answer(env: &TestEnv) {
    let (_server, mut user) = negotiator(env);
    dialogue(&mut user, b"\xff\xfd\x01\xff\xfb\x22", b"");
    // Nor does saying so again, which changes nothing.
    dialogue(&mut user, b"\xff\xfd\x01\xff\xfb\x22", b"");
}

fn s4_refusal_of_the_offers_gets_no_answer(env: &TestEnv) {
    let (_server, mut user) = negotiator(env);
    dialogue(&mut user, b"\xff\xfe\x01\xff\xfc\x22", b"");
    dialogue(&mut user, b"\xff\xfe\x01\xff\xfc\x22", b"");
}

fn s4_dropped_after_agreement_is_confirmed(env: &TestEnv) {
    let (_server, mut user) = negotiator(env);
    dialogue(&mut user, b"\xff\xfd\x01\xff\xfb\x22", b"");
    dialogue(&mut user, b"\xff\xfe\x01", b"\xff\xfc\x01");
    dialogue(&mut user, b"\xff\xfc\x22", b"\xff\xfe\x22");
}

fn s4_taken_up_again_after_refusal(env: &TestEnv) {
    let (_server, mut user) = negotiator(env);
    dialogue(&mut user, b"\xff\xfe\x01\xff\xfc\x22", b"");
    dialogue(&mut user, b"\xff\xfd\x01", b"\xff\xfb\x01");
    dialogue(&mut user, b"\xff\xfb\x22", b"\xff\xfd\x22");
}

fn s4_taken_up_again_after_being_dropped(env: &TestEnv) {
    let (_server, mut user) = negotiator(env);
    dialogue(&mut user, b"\xff\xfd\x01\xff\xfb\x22", b"");
    dialogue(&mut user, b"\xff\xfe\x01\xff\xfc\x22", b"\xff\xfc\x01\xff\xfe\x22");
    dialogue(&mut user, b"\xff\xfd\x01\xff\xfb\x22", b"\xff\xfb\x01\xff\xfd\x22");
}

fn s4_wont_and_dont_of_unknown_options_get_no_answer(env: &TestEnv) {
    let (_server, mut user) = negotiator(env);
    dialogue(&mut user, b"\xff\xfc\x05\xff\xfe\x05\xff\xfe\x18\xff\xfc\xfe", b"");
}

fn s4_same_on_tcp_and_unix(env: &TestEnv) {
    let port = env.free_port().to_string();
    let server = env.server().control(&port).opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    dialogue(&mut user, b"\xff\xfb\x05\xff\xfd\x05", b"\xff\xfe\x05\xff\xfc\x05");
}

fn s4_command_bytes_are_swallowed(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"a\xff\xf1b\xff\xf6c\xff\x18d\xff\x00e\n");
    user.expect("61 62 63 64 65 0a \n");
}

fn s4_subnegotiation_is_swallowed(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"a\xff\xfa\x22\x01\x02\x03\xff\xf0b\xff\xfa\x18\xff\xf0c\n");
    user.expect("61 62 63 0a \n");
}

fn s4_doubled_iac_inside_a_subnegotiation_is_data(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"a\xff\xfa\x22\x01\xff\xff\xf0\x02\xff\xf0b\n");
    user.expect("61 62 0a \n");
}

fn s4_iac_and_another_byte_ends_a_subnegotiation(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    // It is taken as that command, so that DO gets its answer.
    user.send(b"a\xff\xfa\x22\x01\xff\xfd\x05b\n");
    assert_eq!(user.bytes(3), b"\xff\xfc\x05");
    user.expect("61 62 0a \n");
    user.send(b"a\xff\xfa\x22\x01\xff\xf1b\n");
    user.expect("61 62 0a \n");
}

fn s4_old_mccp_subnegotiation_is_complete(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"a\xff\xfa\x55\xfb\xf0b\n");
    user.expect("61 62 0a \n");
}

fn s4_longest_subnegotiation_is_swallowed(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send([b"a\xff\xfa\x22".as_slice(), &[b'x'; 16384], b"\xff\xf0b\n"].concat());
    user.expect("61 62 0a \n");
}

fn s4_too_long_subnegotiation_is_given_up(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    // The byte too many is dropped; all after it is ordinary input.
    user.send([b"a\xff\xfa\x22".as_slice(), &[b'x'; 16385], b"y\n"].concat());
    user.expect("61 79 0a \n");
}

fn s4_command_characters_in_a_subnegotiation_are_none(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"a\xff\xfa\x22\x14\x18\x14\xff\xf0b\n");
    user.expect("61 62 0a \n");
}

fn s4_commands_may_be_split_over_reads(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    // What the child shows of one part tells that it has been read before the next is sent.
    for (part, shown) in [
        (b"a\n\xff".as_slice(), "61 0a \n"),
        (b"\xf1b\n\xff\xfc", "62 0a \n"),
        (b"\x05c\n\xff\xfa\x22\x01", "63 0a \n"),
        (b"\x02\xff\xf0d\n\xff\xfa\x22\xff", "64 0a \n"),
        (b"\xf0e\n\xff", "65 0a \n"),
        (b"\xfff\n", "ff 66 0a \n"),
    ] {
        user.send(part);
        user.expect(shown);
    }
}

fn s4_iac_iac_is_one_byte_for_the_child(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"a\xff\xffb\xff\xff\xff\xff\n");
    user.expect("61 ff 62 ff ff 0a \n");
}

fn s4_child_output_ff_goes_out_doubled(env: &TestEnv) {
    let setup = env.server().child(["print", r"a\xffb\xff\xff\xf0\n", "cat"]);
    let (_server, mut user) = started(setup);
    assert_eq!(user.until(b"\n"), b"a\xff\xffb\xff\xff\xff\xff\xf0\r\n");
}

fn s4_no_line_end_translation_towards_the_child(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"a\rb\r\rc\r\nd\n\re\n");
    user.expect("61 0d 62 0d 0d 63 0d 0a \n64 0a \n0d 65 0a \n");
}

fn s4_no_line_end_translation_towards_clients(env: &TestEnv) {
    // Without OPOST the terminal translates nothing either.
    let script = r"stty -opost; printf 'a\nb\rc\r\nd\n'; exec cat";
    let (_server, mut user) = started(env.server().command(["/bin/sh", "-c", script]));
    assert_eq!(user.until(b"d\n"), b"a\nb\rc\r\nd\n");
}

fn s4_log_client_input_is_thrown_away(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().log_endpoint());
    let mut log = server.connect_log();
    log.greeting();
    log.send(b"x\x18\x14\xff\xfd\x05\xff\xfb\x06y\n");
    // Then all of it has been read.
    if env.ours() {
        server.falls_asleep();
    } else {
        // procServ closes a half-closed connection when it has been read to its end.
        log.half_close();
        assert_eq!(log.until_end(), b"");
    }
    user.send(b"a\n");
    user.expect("61 0a \n");
    if env.ours() {
        assert_eq!(log.until("\n"), b"61 0a \r\n");
    }
}

fn s4_log_client_gets_doubled_ff_too(env: &TestEnv) {
    let steps = ["raw", "say", "READY", "cat"];
    let (server, mut user) = started(env.server().log_endpoint().child(steps));
    user.expect("READY\n");
    let mut log = server.connect_log();
    log.greeting();
    user.send(b"a\xff\xff\n");
    assert_eq!(log.until(b"\n"), b"a\xff\xff\r\n");
}
