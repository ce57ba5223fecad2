//! Contract section 5: party line, commands, ignore list.

use crate::case;
use crate::common::{HEX, RULE, ended, gone, line, started, started_hex};
use crate::support::{Case, Client, Lab, find};

pub(super) fn cases() -> Vec<Case> {
    let modes = "2.7.0 has no ONESHOT (section 10)";
    vec![
        case!(s5_child_output_goes_to_all_and_the_log),
        case!(s5_server_messages_go_to_all_and_the_log),
        case!(s5_input_reaches_others_only_as_the_terminals_echo),
        case!(s5_commands_act_wherever_they_stand),
        case!(s5_commands_act_before_the_rest_is_sent),
        case!(s5_logout_closes_that_connection_only),
        case!(s5_what_comes_with_a_logout_is_delivered),
        case!(s5_toggle_from_on_to_off),
        case!(s5_toggle_goes_round).differs_on_oracle(modes),
        case!(s5_toggle_under_wait_starts_nothing),
        case!(s5_oneshot_chosen_on_a_running_child_starts_one_more).differs_on_oracle(modes),
        case!(s5_oneshot_chosen_on_a_dead_child_starts_one_more).differs_on_oracle(modes),
        case!(s5_kill_is_announced_to_all),
        case!(s5_kill_reaches_the_process_group),
        case!(s5_killsig_0_sends_nothing),
        case!(s5_what_comes_with_a_kill_is_dropped_with_the_child_or_delivered),
        case!(s5_restart_and_quit_are_plain_input_to_a_running_child),
        case!(s5_restart_character_starts_at_once_during_holdoff),
        case!(s5_kill_character_starts_at_once_during_holdoff),
        case!(s5_restart_in_mode_off),
        case!(s5_restart_under_wait),
        case!(s5_restart_at_the_end_in_oneshot_exits).differs_on_oracle(modes),
        case!(s5_quit_ends_the_server),
        case!(s5_quit_during_holdoff),
        case!(s5_input_without_a_child_is_dropped),
        case!(s5_the_buffer_of_a_restart_is_dropped),
        case!(s5_restart_then_kill_on_a_dead_child_starts_one),
        case!(s5_kill_then_restart_on_a_running_child_only_kills),
        case!(s5_one_byte_may_be_toggle_and_kill),
        case!(s5_one_byte_may_be_logout_and_toggle),
        case!(s5_one_byte_may_be_restart_and_toggle),
        case!(s5_half_close_closes_and_delivers),
        case!(s5_nul_passes_without_an_ignore_list)
            .differs_on_oracle("makes the bytes after a NUL NUL (DEFECTS)"),
    ]
}

fn s5_child_output_goes_to_all_and_the_log(lab: &Lab) {
    let setup = lab.server().log_endpoint().logged();
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

fn s5_server_messages_go_to_all_and_the_log(lab: &Lab) {
    let server = lab.server().opts(["-w", "-n", "ioc"]).log_endpoint().logged().start();
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

fn s5_input_reaches_others_only_as_the_terminals_echo(lab: &Lab) {
    let (server, mut user) = started(lab.server().child(["cat"]));
    let mut other = server.connect();
    other.greeting();
    user.send(b"hello\n");
    for client in [&mut user, &mut other] {
        client.expect("hello\nhello\n");
    }
    // A child that switches the echo off and says something else.
    let (server, mut user) = started_hex(lab.server());
    let mut other = server.connect();
    other.greeting();
    user.send(b"hello\n");
    for client in [&mut user, &mut other] {
        client.expect("68 65 6c 6c 6f 0a \n");
    }
}

fn s5_commands_act_wherever_they_stand(lab: &Lab) {
    let (_server, mut user) = started_hex(lab.server());
    user.send(b"ab\x14cd\n");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n61 62 63 64 0a \n");
}

fn s5_commands_act_before_the_rest_is_sent(lab: &Lab) {
    let (_server, mut user) = started(lab.server());
    user.send(b"ab\n\x14");
    user.expect("\n@@@ Toggled auto restart mode to OFF\nab\nab\n");
}

fn s5_logout_closes_that_connection_only(lab: &Lab) {
    let (server, mut user) = started_hex(lab.server().opts(["-x", "^L"]));
    let mut other = server.connect();
    other.greeting();
    other.send(b"\x0c");
    assert_eq!(other.until_end(), b"");
    user.send(b"a\n");
    user.expect("61 0a \n");
}

fn s5_what_comes_with_a_logout_is_delivered(lab: &Lab) {
    let (server, mut user) = started_hex(lab.server().opts(["-x", "^L"]));
    let mut other = server.connect();
    other.greeting();
    other.send(b"ab\x0ccd\n");
    user.expect("61 62 63 64 0a \n");
    other.until_end();
}

fn s5_toggle_from_on_to_off(lab: &Lab) {
    let server = lab.server().opts(["-w"]).log_endpoint().start();
    let mut user = server.connect();
    let mut other = server.connect();
    let mut log = server.connect_log();
    for client in [&mut user, &mut other, &mut log] {
        client.greeting();
    }
    user.send(b"\x14");
    for client in [&mut user, &mut other, &mut log] {
        client.expect("\n@@@ Toggled auto restart mode to OFF\n");
    }
}

/// Toggles once for each of the modes.
fn toggle(user: &mut Client, modes: &[&str]) {
    for mode in modes {
        user.send(b"\x14");
        user.expect(&format!("\n@@@ Toggled auto restart mode to {mode}\n"));
    }
}

fn s5_toggle_goes_round(lab: &Lab) {
    let server = lab.server().opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    toggle(&mut user, &["OFF", "ONESHOT", "ON", "OFF"]);
    line(&server.connect().greeting(), "@@@ Use ^X to kill the child, auto restart mode is OFF");
}

fn s5_toggle_under_wait_starts_nothing(lab: &Lab) {
    let server = lab.server().opts(["-w", "--holdoff", "0"]).logged().start();
    let mut user = server.connect();
    user.greeting();
    for _ in 0..3 {
        user.send(b"\x14");
        user.until("@@@ Toggled auto restart");
    }
    server.connect().greeting();
    user.send(b"\x11");
    user.until_end();
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(find(&server.file("log"), b"Restarting").is_none());
    assert!(!server.path("starts").exists());
}

fn s5_oneshot_chosen_on_a_running_child_starts_one_more(lab: &Lab) {
    let setup = lab.server().opts(["--holdoff", "0"]);
    let (server, mut user) = started(setup.child(["say", "READY", "cat"]));
    user.expect("READY\n");
    toggle(&mut user, &["OFF", "ONESHOT"]);
    let end = "
@@@ @@@ @@@ @@@ @@@
@@@ Received a sigChild for process <pid>. Normal exit status = 0
@@@ Current time: <time>
@@@ Child process is shutting down, oneshot mode: server will exit
";
    user.send(b"\x04");
    user.expect(end);
    user.expect(
        "\
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
READY
",
    );
    user.send(b"\x04");
    user.expect(end);
    assert_eq!(user.until_end(), b"");
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn s5_oneshot_chosen_on_a_dead_child_starts_one_more(lab: &Lab) {
    let setup = lab.server().opts(["--holdoff", "1", "--noauto"]);
    let (server, mut user) =
        started(setup.child(["on-start", "1", "exit", "3", "otherwise", "exit", "4"]));
    ended(&mut user, "Normal exit status = 3");
    toggle(&mut user, &["ONESHOT"]);
    user.expect(
        "\
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@

@@@ @@@ @@@ @@@ @@@
@@@ Received a sigChild for process <pid>. Normal exit status = 4
@@@ Current time: <time>
@@@ Child process is shutting down, oneshot mode: server will exit
",
    );
    assert_eq!(user.until_end(), b"");
    assert_eq!(server.wait_exit().code(), Some(4));
}

fn s5_kill_is_announced_to_all(lab: &Lab) {
    let (server, mut user) = started_hex(lab.server().log_endpoint());
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

fn s5_kill_reaches_the_process_group(lab: &Lab) {
    let script =
        "trap 'echo got it' USR1; echo READY; ./fake-ioc unrecorded record other wait; cat";
    let setup = lab.server().opts(["--killsig", "10"]);
    let (server, mut user) = started(setup.command(["/bin/sh", "-c", script]));
    user.expect("READY\n");
    let other = crate::support::number_after(&server.file_with("other", "\n"), "");
    user.send(b"\x18");
    user.until("got it\r\n");
    gone(lab, other);
}

fn s5_killsig_0_sends_nothing(lab: &Lab) {
    let (_server, mut user) = started_hex(lab.server().opts(["--killsig", "0"]));
    user.send(b"\x18");
    user.expect("\n@@@ Got a kill command\n");
    user.send(b"a\n");
    user.expect("61 0a \n");
}

fn s5_what_comes_with_a_kill_is_dropped_with_the_child_or_delivered(lab: &Lab) {
    let (_server, mut user) = started_hex(lab.server().opts(["--killsig", "0"]));
    user.send(b"ab\x18cd\n");
    user.expect("\n@@@ Got a kill command\n61 62 63 64 0a \n");
}

fn s5_restart_and_quit_are_plain_input_to_a_running_child(lab: &Lab) {
    let (_server, mut user) = started_hex(lab.server());
    user.send(b"a\x12b\x11c\n");
    user.expect("61 12 62 11 63 0a \n");
}

fn started_at_once_by(lab: &Lab, character: &[u8], notice: &str) {
    let setup = lab.server().opts(["--holdoff", "600"]);
    let (server, mut user) =
        started(setup.child(["on-start", "1", "exit", "0", "otherwise", "cat"]));
    ended(&mut user, "Normal exit status = 0");
    user.send(character);
    let announced = "\
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
";
    user.expect(&format!("{notice}{announced}"));
    server.child_start(2);
}

fn s5_restart_character_starts_at_once_during_holdoff(lab: &Lab) {
    started_at_once_by(lab, b"\x12", "");
}

fn s5_kill_character_starts_at_once_during_holdoff(lab: &Lab) {
    started_at_once_by(lab, b"\x18", "\n@@@ Got a kill command\n");
}

fn s5_restart_in_mode_off(lab: &Lab) {
    let setup = lab.server().opts(["--noauto"]);
    let (server, mut user) =
        started(setup.child(["on-start", "1", "exit", "0", "otherwise", "cat"]));
    ended(&mut user, "Normal exit status = 0");
    user.send(b"\x12");
    server.child_start(2);
    user.until("@@@ Restarting child \"./fake-ioc\"\r\n");
}

fn s5_restart_under_wait(lab: &Lab) {
    for character in [b"\x12", b"\x18"] {
        let server = lab.server().opts(["-w"]).start();
        let mut user = server.connect();
        user.greeting();
        user.send(character);
        server.child_start(1);
    }
}

fn s5_restart_at_the_end_in_oneshot_exits(lab: &Lab) {
    for character in [b"\x12", b"\x18"] {
        let setup = lab.server().opts(["-o", "--holdoff", "600"]);
        let (server, mut user) = started(setup.child(["exit", "3"]));
        user.until("oneshot mode: server will exit\r\n");
        user.send(character);
        user.until_end();
        assert_eq!(server.wait_exit().code(), Some(3));
    }
}

fn s5_quit_ends_the_server(lab: &Lab) {
    let server = lab.server().opts(["-w"]).log_endpoint().start();
    let mut user = server.connect();
    let mut log = server.connect_log();
    user.greeting();
    log.greeting();
    user.send(b"\x11");
    // Nobody is told anything.
    assert_eq!(user.until_end(), b"");
    assert_eq!(log.until_end(), b"");
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(!server.path("ctl").exists());
}

fn s5_quit_during_holdoff(lab: &Lab) {
    let setup = lab.server().opts(["--holdoff", "600"]);
    let (server, mut user) = started(setup.child(["exit", "0"]));
    ended(&mut user, "Normal exit status = 0");
    user.send(b"\x11");
    user.until_end();
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn s5_input_without_a_child_is_dropped(lab: &Lab) {
    let server = lab.server().opts(["-w"]).child(HEX).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"lost\n\x14");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n");
    user.send(b"\x12");
    user.until("READY\r\n");
    user.send(b"a\n");
    user.expect("61 0a \n");
}

fn s5_the_buffer_of_a_restart_is_dropped(lab: &Lab) {
    let server = lab.server().opts(["-w"]).child(HEX).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"lost\x12lost\n");
    user.until("READY\r\n");
    user.send(b"a\n");
    user.expect("61 0a \n");
}

fn s5_restart_then_kill_on_a_dead_child_starts_one(lab: &Lab) {
    let server = lab.server().opts(["-w"]).child(HEX).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12\x18");
    user.expect(
        "
@@@ Got a kill command
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
READY
",
    );
    user.send(b"a\n");
    user.expect("61 0a \n");
}

fn s5_kill_then_restart_on_a_running_child_only_kills(lab: &Lab) {
    let (server, mut user) = started_hex(lab.server().opts(["--noauto"]));
    user.send(b"\x18\x12");
    ended(&mut user, "The process was killed by signal 9");
    // 2.7.0 may tell the other half of the news after this.
    gone(lab, server.child_start(1));
    user.send(b"\x11");
    user.until_end();
    assert_eq!(server.wait_exit().code(), Some(0));
    assert_eq!(server.file("starts").iter().filter(|byte| **byte == b'\n').count(), 1);
}

fn s5_one_byte_may_be_toggle_and_kill(lab: &Lab) {
    let setup = lab.server().opts(["--autorestartcmd", "^X", "--killsig", "0"]);
    let (_server, mut user) = started_hex(setup);
    user.send(b"\x18");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n\n@@@ Got a kill command\n");
}

fn s5_one_byte_may_be_logout_and_toggle(lab: &Lab) {
    let server = lab.server().opts(["-w", "-x", "^T"]).start();
    let mut user = server.connect();
    let mut other = server.connect();
    user.greeting();
    other.greeting();
    user.send(b"\x14");
    other.expect("\n@@@ Toggled auto restart mode to OFF\n");
    user.until_end();
}

fn s5_one_byte_may_be_restart_and_toggle(lab: &Lab) {
    let server = lab.server().opts(["-w", "--autorestartcmd", "^R"]).start();
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

fn s5_half_close_closes_and_delivers(lab: &Lab) {
    let (server, mut user) = started_hex(lab.server());
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

fn s5_nul_passes_without_an_ignore_list(lab: &Lab) {
    let (_server, mut user) = started_hex(lab.server().opts(["--autorestartcmd=", "-k", ""]));
    user.send(b"a\0b\n");
    user.expect("61 00 62 0a \n");
}
