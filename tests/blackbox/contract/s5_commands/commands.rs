//! Contract section 5: party line, logout, kill, ignore list.

use crate::support::dialogue::{RULE, gone, line, started, started_hex};
use crate::support::{TestEnv, cases};

cases![
    s5_child_output_goes_to_all_and_the_log,
    s5_server_messages_go_to_all_and_the_log,
    s5_input_reaches_others_only_as_the_terminals_echo,
    s5_commands_act_wherever_they_stand,
    s5_commands_act_before_the_rest_is_sent,
    s5_logout_closes_that_connection_only,
    s5_what_comes_with_a_logout_is_delivered,
    s5_kill_is_announced_to_all,
    s5_kill_reaches_the_process_group,
    s5_killsig_0_sends_nothing,
    s5_what_comes_with_a_kill_is_dropped_with_the_child_or_delivered,
    s5_one_byte_may_be_toggle_and_kill,
    s5_one_byte_may_be_logout_and_toggle,
    s5_one_byte_may_be_restart_and_toggle,
    s5_half_close_closes_and_delivers,
    s5_nul_passes_without_an_ignore_list.differs_on_oracle("makes the bytes after a NUL NUL"),
];

fn s5_child_output_goes_to_all_and_the_log(env: &TestEnv) {
    let setup = env.server().log_endpoint().logged();
    let (server, mut user) = started(setup.child(["wait-for", "go", "say", "hello", "cat"]));
    let mut other = server.connect();
    let mut log = server.connect_log();
    other.greeting();
    log.greeting();
    std::fs::write(server.path("go"), "").unwrap();
    for client in [&mut user, &mut other, &mut log] {
        client.expect("hello\n");
    }
    server.file_with("log", "hello\r\n");
}

fn s5_server_messages_go_to_all_and_the_log(env: &TestEnv) {
    let server = env.server().opts(["-w", "-n", "ioc"]).log_endpoint().logged().start();
    let mut user = server.connect();
    let mut other = server.connect();
    let mut log = server.connect_log();
    for client in [&mut user, &mut other, &mut log] {
        client.greeting();
    }
    user.send(b"\x12");
    let expected = "\
@@@ Restarting child \"ioc\"
@@@    (as ./fake-ioc)
@@@ The PID of new child \"ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
";
    for client in [&mut user, &mut other, &mut log] {
        client.expect(expected);
    }
    server.assert_console(server.file_with("log", RULE), expected);
}

fn s5_input_reaches_others_only_as_the_terminals_echo(env: &TestEnv) {
    let (server, mut user) = started(env.server().child(["cat"]));
    let mut other = server.connect();
    other.greeting();
    user.send(b"hello\n");
    for client in [&mut user, &mut other] {
        client.expect("hello\nhello\n");
    }
    // A child that switches the echo off and says something else.
    let (server, mut user) = started_hex(env.server());
    let mut other = server.connect();
    other.greeting();
    user.send(b"hello\n");
    for client in [&mut user, &mut other] {
        client.expect("68 65 6c 6c 6f 0a \n");
    }
}

fn s5_commands_act_wherever_they_stand(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"ab\x14cd\n");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n61 62 63 64 0a \n");
}

fn s5_commands_act_before_the_rest_is_sent(env: &TestEnv) {
    let (_server, mut user) = started(env.server());
    user.send(b"ab\n\x14");
    user.expect("\n@@@ Toggled auto restart mode to OFF\nab\nab\n");
}

fn s5_logout_closes_that_connection_only(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().opts(["-x", "^L"]));
    let mut other = server.connect();
    other.greeting();
    other.send(b"\x0c");
    assert_eq!(other.until_end(), b"");
    user.send(b"a\n");
    user.expect("61 0a \n");
}

fn s5_what_comes_with_a_logout_is_delivered(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().opts(["-x", "^L"]));
    let mut other = server.connect();
    other.greeting();
    other.send(b"ab\x0ccd\n");
    user.expect("61 62 63 64 0a \n");
    other.until_end();
}

fn s5_kill_is_announced_to_all(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().log_endpoint());
    let mut other = server.connect();
    let mut log = server.connect_log();
    other.greeting();
    log.greeting();
    other.send(b"\x18");
    for client in [&mut user, &mut other, &mut log] {
        client.expect("\n@@@ Got a kill command\n");
        client.until("The process was killed by signal 9\r\n");
    }
}

fn s5_kill_reaches_the_process_group(env: &TestEnv) {
    let script =
        "trap 'echo got it' USR1; echo READY; ./fake-ioc unrecorded record other wait; cat";
    let setup = env.server().opts(["--killsig", "10"]);
    let (server, mut user) = started(setup.command(["/bin/sh", "-c", script]));
    user.expect("READY\n");
    let other = crate::support::number_after(&server.file_with("other", "\n"), "");
    user.send(b"\x18");
    user.until("got it\r\n");
    gone(env, other);
}

fn s5_killsig_0_sends_nothing(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server().opts(["--killsig", "0"]));
    user.send(b"\x18");
    user.expect("\n@@@ Got a kill command\n");
    user.send(b"a\n");
    user.expect("61 0a \n");
}

fn s5_what_comes_with_a_kill_is_dropped_with_the_child_or_delivered(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server().opts(["--killsig", "0"]));
    user.send(b"ab\x18cd\n");
    user.expect("\n@@@ Got a kill command\n61 62 63 64 0a \n");
}

fn s5_one_byte_may_be_toggle_and_kill(env: &TestEnv) {
    let setup = env.server().opts(["--autorestartcmd", "^X", "--killsig", "0"]);
    let (_server, mut user) = started_hex(setup);
    user.send(b"\x18");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n\n@@@ Got a kill command\n");
}

fn s5_one_byte_may_be_logout_and_toggle(env: &TestEnv) {
    let server = env.server().opts(["-w", "-x", "^T"]).start();
    let mut user = server.connect();
    let mut other = server.connect();
    user.greeting();
    other.greeting();
    user.send(b"\x14");
    other.expect("\n@@@ Toggled auto restart mode to OFF\n");
    user.until_end();
}

fn s5_one_byte_may_be_restart_and_toggle(env: &TestEnv) {
    let server = env.server().opts(["-w", "--autorestartcmd", "^R"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.expect(
        "
@@@ Toggled auto restart mode to OFF
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
",
    );
}

fn s5_half_close_closes_and_delivers(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server());
    let mut other = server.connect();
    other.greeting();
    other.send(b"exit\n");
    other.half_close();
    user.expect("65 78 69 74 0a \n");
    other.until_end();
    // Only that connection is gone.
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ 1 user(s) and 0 logger(s) connected (plus you)");
}

fn s5_nul_passes_without_an_ignore_list(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server().opts(["--autorestartcmd=", "-k", ""]));
    user.send(b"a\0b\n");
    user.expect("61 00 62 0a \n");
}
