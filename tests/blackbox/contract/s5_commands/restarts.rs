//! Contract section 5: modes, restart, quit.

use crate::support::dialogue::{HEX, ended, line, started, started_hex};
use crate::support::{Client, TestEnv, cases, find};

const MODES: &str = "2.7.0 has no ONESHOT (section 10)";

cases![
    s5_toggle_from_on_to_off,
    s5_toggle_goes_round.differs_on_oracle(MODES),
    s5_toggle_under_wait_starts_nothing,
    s5_oneshot_chosen_on_a_running_child_starts_one_more.differs_on_oracle(MODES),
    s5_oneshot_chosen_on_a_dead_child_starts_one_more.differs_on_oracle(MODES),
    s5_restart_and_quit_are_plain_input_to_a_running_child,
    s5_restart_character_starts_at_once_during_holdoff,
    s5_kill_character_starts_at_once_during_holdoff,
    s5_restart_in_mode_off,
    s5_restart_under_wait,
    s5_restart_at_the_end_in_oneshot_exits.differs_on_oracle(MODES),
    s5_quit_ends_the_server,
    s5_quit_during_holdoff,
    s5_input_without_a_child_is_dropped,
    s5_the_buffer_of_a_restart_is_dropped,
    s5_restart_then_kill_on_a_dead_child_starts_one,
    s5_kill_then_restart_on_a_running_child_only_kills,
];

fn s5_toggle_from_on_to_off(env: &TestEnv) {
    let server = env.server().opts(["-w"]).log_endpoint().start();
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

fn s5_toggle_goes_round(env: &TestEnv) {
    let server = env.server().opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    toggle(&mut user, &["OFF", "ONESHOT", "ON", "OFF"]);
    line(&server.connect().greeting(), "@@@ Use ^X to kill the child, auto restart mode is OFF");
}

fn s5_toggle_under_wait_starts_nothing(env: &TestEnv) {
    let server = env.server().opts(["-w", "--holdoff", "0"]).logged().start();
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

fn s5_oneshot_chosen_on_a_running_child_starts_one_more(env: &TestEnv) {
    let setup = env.server().opts(["--holdoff", "0"]);
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

fn s5_oneshot_chosen_on_a_dead_child_starts_one_more(env: &TestEnv) {
    let setup = env.server().opts(["--holdoff", "1", "--noauto"]);
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

fn s5_restart_and_quit_are_plain_input_to_a_running_child(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"a\x12b\x11c\n");
    user.expect("61 12 62 11 63 0a \n");
}

fn started_at_once_by(env: &TestEnv, character: &[u8], notice: &str) {
    let setup = env.server().opts(["--holdoff", "600"]);
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

fn s5_restart_character_starts_at_once_during_holdoff(env: &TestEnv) {
    started_at_once_by(env, b"\x12", "");
}

fn s5_kill_character_starts_at_once_during_holdoff(env: &TestEnv) {
    started_at_once_by(env, b"\x18", "\n@@@ Got a kill command\n");
}

fn s5_restart_in_mode_off(env: &TestEnv) {
    let setup = env.server().opts(["--noauto"]);
    let (server, mut user) =
        started(setup.child(["on-start", "1", "exit", "0", "otherwise", "cat"]));
    ended(&mut user, "Normal exit status = 0");
    user.send(b"\x12");
    server.child_start(2);
    user.until("@@@ Restarting child \"./fake-ioc\"\r\n");
}

fn s5_restart_under_wait(env: &TestEnv) {
    for character in [b"\x12", b"\x18"] {
        let server = env.server().opts(["-w"]).start();
        let mut user = server.connect();
        user.greeting();
        user.send(character);
        server.child_start(1);
    }
}

fn s5_restart_at_the_end_in_oneshot_exits(env: &TestEnv) {
    for character in [b"\x12", b"\x18"] {
        let setup = env.server().opts(["-o", "--holdoff", "600"]);
        let (server, mut user) = started(setup.child(["exit", "3"]));
        user.until("oneshot mode: server will exit\r\n");
        user.send(character);
        user.until_end();
        assert_eq!(server.wait_exit().code(), Some(3));
    }
}

fn s5_quit_ends_the_server(env: &TestEnv) {
    let server = env.server().opts(["-w"]).log_endpoint().start();
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

fn s5_quit_during_holdoff(env: &TestEnv) {
    let setup = env.server().opts(["--holdoff", "600"]);
    let (server, mut user) = started(setup.child(["exit", "0"]));
    ended(&mut user, "Normal exit status = 0");
    user.send(b"\x11");
    user.until_end();
    assert_eq!(server.wait_exit().code(), Some(0));
}

fn s5_input_without_a_child_is_dropped(env: &TestEnv) {
    let server = env.server().opts(["-w"]).child(HEX).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"lost\n\x14");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n");
    user.send(b"\x12");
    user.until("READY\r\n");
    user.send(b"a\n");
    user.expect("61 0a \n");
}

fn s5_the_buffer_of_a_restart_is_dropped(env: &TestEnv) {
    let server = env.server().opts(["-w"]).child(HEX).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"lost\x12lost\n");
    user.until("READY\r\n");
    user.send(b"a\n");
    user.expect("61 0a \n");
}

fn s5_restart_then_kill_on_a_dead_child_starts_one(env: &TestEnv) {
    let server = env.server().opts(["-w"]).child(HEX).start();
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

fn s5_kill_then_restart_on_a_running_child_only_kills(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().opts(["--noauto"]));
    user.send(b"\x18\x12");
    ended(&mut user, "The process was killed by signal 9");
    user.send(b"\x11");
    user.until_end();
    assert_eq!(server.wait_exit().code(), Some(0));
    assert_eq!(server.file("starts").iter().filter(|byte| **byte == b'\n').count(), 1);
}
