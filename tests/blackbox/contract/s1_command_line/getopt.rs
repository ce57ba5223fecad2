//! Contract section 1: how the command line is read.

use crate::support::dialogue::{line, started, waiting_greeting};
use crate::support::{TestEnv, cases, find};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

cases![
    s1_first_word_is_the_endpoint_without_port_option,
    s1_words_after_the_command_are_the_childs,
    s1_double_dash_ends_the_options,
    s1_double_dash_before_the_old_endpoint,
    s1_long_options_may_be_abbreviated,
    s1_short_options_may_be_bundled,
    s1_short_value_attached,
    s1_short_value_in_next_word,
    s1_long_value_attached,
    s1_long_value_in_next_word,
    s1_logstamp_never_takes_the_next_word,
    s1_value_may_start_with_a_dash,
    s1_bytes_outside_utf8_pass_untouched,
    s1_last_of_a_repeated_option_wins,
];

fn s1_first_word_is_the_endpoint_without_port_option(env: &TestEnv) {
    let setup = env.server().bare().opts(["-f", "-w", "unix:old"]).command(["./fake-ioc", "cat"]);
    let server = setup.start();
    let greeting = server.connect_to("unix:old").greeting();
    assert_eq!(line(&greeting, "@@@ Child started"), "@@@ Child started as: ./fake-ioc");
}

fn s1_words_after_the_command_are_the_childs(env: &TestEnv) {
    let (_server, mut user) = started(env.server().child(["show-args", "-f", "--", "--help", ""]));
    user.expect("[./fake-ioc]\n[show-args]\n[-f]\n[--]\n[--help]\n[]\n");
}

fn s1_double_dash_ends_the_options(env: &TestEnv) {
    let setup = env.server().opts(["-w", "--"]).child(["show-args", "-x"]).start();
    let mut user = setup.connect();
    user.greeting();
    user.send(b"\x12");
    user.until("[./fake-ioc]\r\n[show-args]\r\n[-x]\r\n");
}

fn s1_double_dash_before_the_old_endpoint(env: &TestEnv) {
    let setup = env.server().bare().opts(["-f", "-w", "--", "unix:old"]);
    let server = setup.command(["./fake-ioc", "cat"]).start();
    server.connect_to("unix:old").greeting();
}

fn s1_long_options_may_be_abbreviated(env: &TestEnv) {
    let setup = env.server().bare().opts(["--fore", "--noauto", "--wai", "--por", "unix:ctl"]);
    let server = setup.opts(["--logf", "log"]).command(["./fake-ioc", "cat"]).start();
    let greeting = server.connect_to("unix:ctl").greeting();
    assert_eq!(
        line(&greeting, "@@@ Use"),
        env.translate(
            "@@@ Use ^X to kill the child, auto restart mode is OFF, use ^T to toggle auto restart"
        )
    );
    assert!(server.path("log").exists());
}

fn s1_short_options_may_be_bundled(env: &TestEnv) {
    let setup = env.server().bare().opts(["-fwqPunix:ctl"]).command(["./fake-ioc", "cat"]);
    let server = setup.start();
    let greeting = server.connect_to("unix:ctl").greeting();
    line(&greeting, "@@@ Child \"./fake-ioc\" is SHUT DOWN");
}

fn s1_short_value_attached(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["-nioc"]));
    line(&greeting, "@@@ Child \"ioc\" is SHUT DOWN");
}

fn s1_short_value_in_next_word(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["-n", "ioc"]));
    line(&greeting, "@@@ Child \"ioc\" is SHUT DOWN");
}

fn s1_long_value_attached(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["--name=a=b"]));
    line(&greeting, "@@@ Child \"a=b\" is SHUT DOWN");
}

fn s1_long_value_in_next_word(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["--name", "ioc"]));
    line(&greeting, "@@@ Child \"ioc\" is SHUT DOWN");
}

fn s1_logstamp_never_takes_the_next_word(env: &TestEnv) {
    let setup = env.server().opts(["-w", "--logstamp"]).child(["cat"]);
    let greeting = setup.start().connect().greeting();
    assert_eq!(line(&greeting, "@@@ Child started"), "@@@ Child started as: ./fake-ioc");
}

fn s1_value_may_start_with_a_dash(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["-n", "-f", "--timefmt", "--x"]));
    line(&greeting, "@@@ Child \"-f\" is SHUT DOWN");
    line(&greeting, "@@@ procServ server started at: --x");
}

fn s1_bytes_outside_utf8_pass_untouched(env: &TestEnv) {
    let setup = env.server().opts([OsStr::from_bytes(b"-n\xe9\xc3")]);
    let setup = setup.child([OsStr::new("show-args"), OsStr::from_bytes(b"\xfe\x80")]);
    let (_server, mut user) = started(setup);
    assert!(find(user.received(), b"@@@ Restarting child \"\xe9\xc3\"\r\n").is_some());
    assert_eq!(user.until("[show-args]\r\n"), b"[./fake-ioc]\r\n[show-args]\r\n");
    assert_eq!(user.bytes(6), b"[\xfe\x80]\r\n");
}

fn s1_last_of_a_repeated_option_wins(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["-n", "first", "-n", "second"]));
    line(&greeting, "@@@ Child \"second\" is SHUT DOWN");
}
