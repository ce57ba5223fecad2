//! Contract section 3: what a client sees on connecting.

use crate::support::dialogue::{ended, line, started, waiting_greeting};
use crate::support::{NEGOTIATION, ServerBuilder, TestEnv, TestServer, cases, find, number_after};
use std::fs;

cases![
    s3_control_greeting_child_running,
    s3_control_greeting_child_not_started,
    s3_log_client_greeting_has_no_welcome,
    s3_log_client_greeting_child_not_started,
    s3_negotiation_comes_right_after_the_greeting,
    s3_logout_character_has_a_line_of_its_own,
    s3_log_client_is_told_of_no_logout_character,
    s3_kill_disabled,
    s3_toggle_disabled,
    s3_kill_and_toggle_disabled,
    s3_mode_off,
    s3_mode_oneshot.differs_on_oracle("2.7.0 has no -o (section 10)"),
    s3_control_characters_show_as_caret_and_letter,
    s3_name_equal_to_the_command_is_left_out,
    s3_command_is_shown_without_arguments,
    s3_log_file_line_names_the_file.differs_on_oracle("2.7.0 has no such line (section 10)"),
    s3_log_file_line_when_it_cannot_be_opened
        .differs_on_oracle("2.7.0 has no such line (section 10)"),
    s3_log_file_line_is_fixed_at_the_start.differs_on_oracle("2.7.0 has no such line (section 10)"),
    s3_child_directory_is_shown_as_given,
    s3_server_directory_has_its_links_resolved,
    s3_counters_count_the_others,
    s3_counters_count_down_again,
    s3_greeting_is_never_stamped,
    s3_not_running_covers_holdoff,
    s3_not_running_covers_mode_off_after_the_end,
    s3_long_names_are_not_cut.differs_on_oracle("cuts them"),
    s3_long_directory_is_not_cut.differs_on_oracle("cuts it"),
    s3_empty_time_leaves_the_line_intact,
    s3_kill_disabled_shortens_the_last_line
        .differs_on_oracle("offers the disabled character (section 3, [+])"),
    s3_start_directory_removed.differs_on_oracle("says (null)"),
];

fn without_negotiation(greeting: &[u8]) -> &[u8] {
    greeting.strip_suffix(NEGOTIATION).expect("a greeting ends in the negotiation")
}

fn s3_control_greeting_child_running(env: &TestEnv) {
    let server = env.server().opts(["-n", "ioc"]).start();
    let child = server.child_start(1);
    let greeting = server.connect().greeting();
    server.assert_console(
        without_negotiation(&greeting),
        "\
@@@ Welcome to procServ (<version>)
@@@ Use ^X to kill the child, auto restart mode is ON, use ^T to toggle auto restart
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child \"ioc\" PID: <pid>
@@@ procServ server started at: <time>
@@@ Child \"ioc\" started at: <time>
@@@ 0 user(s) and 0 logger(s) connected (plus you)
",
    );
    assert_eq!(number_after(&greeting, "server PID: "), server.pid());
    assert_eq!(number_after(&greeting, "\"ioc\" PID: "), child);
}

/// The greeting of a server under `--wait`, with a logger connected. 2.7.0 counts `/dev/null` as a
/// user until it has read from it, which the logger's own greeting tells.
fn settled_greeting(setup: ServerBuilder) -> (TestServer, Vec<u8>) {
    let server = setup.log_endpoint().opts(["-w"]).start();
    let mut log = server.connect_log();
    log.greeting();
    let greeting = server.connect().greeting();
    (server, greeting)
}

fn s3_control_greeting_child_not_started(env: &TestEnv) {
    let (server, greeting) = settled_greeting(env.server().opts(["-n", "ioc"]));
    server.assert_console(
        without_negotiation(&greeting),
        "\
@@@ Welcome to procServ (<version>)
@@@ Use ^X to kill the child, auto restart mode is ON, use ^T to toggle auto restart
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child \"ioc\" is SHUT DOWN
@@@ procServ server started at: <time>
@@@ 0 user(s) and 1 logger(s) connected (plus you)
@@@ ^R or ^X restarts the child, ^Q quits the server
",
    );
}

fn s3_log_client_greeting_has_no_welcome(env: &TestEnv) {
    let server = env.server().opts(["-n", "ioc"]).log_endpoint().start();
    server.child_start(1);
    let greeting = server.connect_log().greeting();
    server.assert_console(
        without_negotiation(&greeting),
        "\
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child \"ioc\" PID: <pid>
@@@ procServ server started at: <time>
@@@ Child \"ioc\" started at: <time>
",
    );
}

fn s3_log_client_greeting_child_not_started(env: &TestEnv) {
    let server = env.server().opts(["-w"]).log_endpoint().start();
    let greeting = server.connect_log().greeting();
    server.assert_console(
        without_negotiation(&greeting),
        "\
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child started as: ./fake-ioc
@@@ Child \"./fake-ioc\" is SHUT DOWN
@@@ procServ server started at: <time>
@@@ ^R or ^X restarts the child, ^Q quits the server
",
    );
}

fn s3_negotiation_comes_right_after_the_greeting(env: &TestEnv) {
    let port = env.free_port().to_string();
    let server = env.server().opts(["-P", &port]).log_endpoint().start();
    server.child_start(1);
    for endpoint in ["unix:ctl", "unix:log-ctl", &port] {
        let mut client = server.connect_to(endpoint);
        // The start line of the child comes last for a log client.
        client.until("@@@ Child \"./fake-ioc\" started at: ");
        client.until("\r\n");
        if endpoint != "unix:log-ctl" {
            client.until("connected (plus you)\r\n");
        }
        assert_eq!(client.bytes(6), b"\xff\xfb\x01\xff\xfd\x22");
    }
}

fn s3_logout_character_has_a_line_of_its_own(env: &TestEnv) {
    let (server, greeting) = settled_greeting(env.server().opts(["-n", "ioc", "-x", "^L"]));
    server.assert_console(
        without_negotiation(&greeting),
        "\
@@@ Welcome to procServ (<version>)
@@@ Use ^X to kill the child, auto restart mode is ON, use ^T to toggle auto restart
@@@ Use ^L to logout from procServ server
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child \"ioc\" is SHUT DOWN
@@@ procServ server started at: <time>
@@@ 0 user(s) and 1 logger(s) connected (plus you)
@@@ ^R or ^X restarts the child, ^Q quits the server, ^L closes this connection
",
    );
}

fn s3_log_client_is_told_of_no_logout_character(env: &TestEnv) {
    let server = env.server().opts(["-n", "ioc", "-x", "^L"]).log_endpoint().start();
    server.child_start(1);
    let greeting = server.connect_log().greeting();
    assert!(find(&greeting, b"^L").is_none(), "{}", greeting.escape_ascii());
    assert!(greeting.starts_with(b"@@@ procServ server PID: "), "{}", greeting.escape_ascii());
}

/// The line about commands that these options lead to.
fn second_line(setup: ServerBuilder) -> String {
    let (_server, greeting) = waiting_greeting(setup);
    let greeting = String::from_utf8_lossy(&greeting).into_owned();
    greeting.split("\r\n").nth(1).unwrap().to_owned()
}

fn s3_kill_disabled(env: &TestEnv) {
    assert_eq!(
        second_line(env.server().opts(["-k", ""])),
        env.translate(
            "@@@ Kill command disabled, auto restart mode is ON, use ^T to toggle auto restart"
        )
    );
}

fn s3_toggle_disabled(env: &TestEnv) {
    assert_eq!(
        second_line(env.server().opts(["--autorestartcmd="])),
        env.translate(
            "@@@ Use ^X to kill the child, auto restart mode is ON, auto restart toggle disabled"
        )
    );
}

fn s3_kill_and_toggle_disabled(env: &TestEnv) {
    assert_eq!(
        second_line(env.server().opts(["-k", "", "--autorestartcmd", ""])),
        env.translate(
            "@@@ Kill command disabled, auto restart mode is ON, auto restart toggle disabled"
        )
    );
}

fn s3_mode_off(env: &TestEnv) {
    assert_eq!(
        second_line(env.server().opts(["--noautorestart"])),
        env.translate(
            "@@@ Use ^X to kill the child, auto restart mode is OFF, use ^T to toggle auto restart"
        )
    );
}

fn s3_mode_oneshot(env: &TestEnv) {
    assert_eq!(
        second_line(env.server().opts(["-o"])),
        "@@@ Use ^X to kill the child, auto restart mode is ONESHOT, use ^T to toggle auto restart"
    );
}

fn s3_control_characters_show_as_caret_and_letter(env: &TestEnv) {
    let options = ["-k", "^B", "--autorestartcmd", "t", "-x", "%"];
    let (_server, greeting) = waiting_greeting(env.server().opts(options));
    assert_eq!(
        line(&greeting, "@@@ Use ^B"),
        env.translate(
            "@@@ Use ^B to kill the child, auto restart mode is ON, use t to toggle auto restart"
        )
    );
    assert_eq!(line(&greeting, "@@@ Use %"), "@@@ Use % to logout from procServ server");
    assert_eq!(
        line(&greeting, "@@@ ^R or"),
        "@@@ ^R or ^B restarts the child, ^Q quits the server, % closes this connection"
    );
}

fn s3_name_equal_to_the_command_is_left_out(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["-n", "./fake-ioc"]));
    assert_eq!(line(&greeting, "@@@ Child started as"), "@@@ Child started as: ./fake-ioc");
}

fn s3_command_is_shown_without_arguments(env: &TestEnv) {
    let setup = env.server().command(["/bin/sh", "-c", "cat"]).opts(["-n", "ioc"]);
    let (_server, greeting) = waiting_greeting(setup);
    assert_eq!(
        line(&greeting, "@@@ Child \"ioc\" started"),
        "@@@ Child \"ioc\" started as: /bin/sh"
    );
}

fn s3_log_file_line_names_the_file(env: &TestEnv) {
    let setup = env.server().opts(["-n", "ioc", "-L", "./log"]).log_endpoint();
    let (server, greeting) = waiting_greeting(setup);
    let expected = "\
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child log file: ./log
@@@ Child \"ioc\" is SHUT DOWN
";
    let log_greeting = server.connect_log().greeting();
    for greeting in [greeting, log_greeting] {
        let text = String::from_utf8_lossy(&greeting).replace("\r\n", "\n");
        assert!(text.contains(expected), "{text}");
    }
}

fn s3_log_file_line_when_it_cannot_be_opened(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["-L", "none/log"]));
    assert_eq!(
        line(&greeting, "@@@ Child log file"),
        "@@@ Child log file: unable to open log file none/log"
    );
}

fn s3_log_file_line_is_fixed_at_the_start(env: &TestEnv) {
    let (server, _) = waiting_greeting(env.server().opts(["-L", "sub/log"]));
    fs::create_dir(server.path("sub")).unwrap();
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.connect().send(b"\x14");
    server.file_with("sub/log", "Toggled");
    assert_eq!(
        line(&server.connect().greeting(), "@@@ Child log file"),
        "@@@ Child log file: unable to open log file sub/log"
    );
}

fn s3_child_directory_is_shown_as_given(env: &TestEnv) {
    let setup = env.server().opts(["-c", "./sub/../sub/"]).command(["/bin/cat"]);
    fs::create_dir(setup.path("sub")).unwrap();
    let (_server, greeting) = waiting_greeting(setup);
    assert_eq!(
        line(&greeting, "@@@ Child startup directory"),
        "@@@ Child startup directory: ./sub/../sub/"
    );
}

fn s3_server_directory_has_its_links_resolved(env: &TestEnv) {
    let setup = env.server().launched_by(["chdir", "link"]).control("unix:../ctl");
    fs::create_dir(setup.path("real")).unwrap();
    std::os::unix::fs::symlink("real", setup.path("link")).unwrap();
    let server = setup.command(["/bin/cat"]).opts(["-w"]).start();
    let greeting = server.connect_to("unix:ctl").greeting();
    let expected = format!("@@@ Server startup directory: {}/real", server.dir().display());
    assert_eq!(line(&greeting, "@@@ Server startup"), expected);
}

fn s3_counters_count_the_others(env: &TestEnv) {
    let server = env.server().opts(["-w"]).log_endpoint().start();
    let mut clients = [server.connect(), server.connect_log(), server.connect_log()];
    for client in &mut clients {
        client.greeting();
    }
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ 1 user(s) and 2 logger(s) connected (plus you)");
}

fn s3_counters_count_down_again(env: &TestEnv) {
    let server = env.server().opts(["-w", "-x", "^L"]).start();
    let mut first = server.connect();
    first.greeting();
    let mut second = server.connect();
    line(&second.greeting(), "@@@ 1 user(s) and 0 logger(s) connected (plus you)");
    first.send(b"\x0c");
    first.until_end();
    drop(first);
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ 1 user(s) and 0 logger(s) connected (plus you)");
}

fn s3_greeting_is_never_stamped(env: &TestEnv) {
    let server = env.server().opts(["-w", "--logstamp=STAMP "]).log_endpoint().start();
    for mut client in [server.connect(), server.connect_log()] {
        let greeting = client.greeting();
        assert!(find(&greeting, b"STAMP").is_none(), "{}", greeting.escape_ascii());
    }
}

fn s3_not_running_covers_holdoff(env: &TestEnv) {
    let setup = env.server().opts(["--holdoff", "600", "-n", "ioc"]);
    let (server, mut user) = started(setup.child(["exit", "0"]));
    ended(&mut user, "Normal exit status = 0");
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ Child \"ioc\" is SHUT DOWN");
    line(&greeting, "@@@ ^R or ^X restarts the child, ^Q quits the server");
    assert!(find(&greeting, b"@@@ Child \"ioc\" started at").is_none());
}

fn s3_not_running_covers_mode_off_after_the_end(env: &TestEnv) {
    let setup = env.server().opts(["--noauto", "-n", "ioc"]);
    let (server, mut user) = started(setup.child(["exit", "0"]));
    ended(&mut user, "Normal exit status = 0");
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ Child \"ioc\" is SHUT DOWN");
    assert!(find(&greeting, b"@@@ Child \"ioc\" started at").is_none());
}

fn s3_long_names_are_not_cut(env: &TestEnv) {
    let name = "n".repeat(5000);
    let server = env.server().opts(["-n", name.as_str()]).start();
    server.child_start(1);
    let greeting = server.connect().greeting();
    let start = format!("@@@ Child \"{name}\" ");
    assert_eq!(
        line(&greeting, &format!("{start}started as")),
        format!("{start}started as: ./fake-ioc")
    );
    line(&greeting, &format!("{start}PID: "));
    line(&greeting, &format!("{start}started at: "));
}

fn s3_long_directory_is_not_cut(env: &TestEnv) {
    let deep = ["d".repeat(200), "e".repeat(200), "f".repeat(200)].join("/");
    let setup = env.server().opts(["-c", deep.as_str()]).command(["/bin/cat"]);
    fs::create_dir_all(setup.path(&deep)).unwrap();
    let (_server, greeting) = waiting_greeting(setup);
    assert_eq!(
        line(&greeting, "@@@ Child startup"),
        format!("@@@ Child startup directory: {deep}")
    );
}

fn s3_empty_time_leaves_the_line_intact(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["--timefmt", ""]));
    let started = line(&greeting, "@@@ procServ server started at: ");
    assert_eq!(started, "@@@ procServ server started at: ");
}

fn s3_kill_disabled_shortens_the_last_line(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["-k", ""]));
    assert_eq!(line(&greeting, "@@@ ^R"), "@@@ ^R restarts the child, ^Q quits the server");
    let (_server, greeting) = waiting_greeting(env.server().opts(["-k", "", "-x", "^L"]));
    assert_eq!(
        line(&greeting, "@@@ ^R"),
        "@@@ ^R restarts the child, ^Q quits the server, ^L closes this connection"
    );
}

fn s3_start_directory_removed(env: &TestEnv) {
    let setup = env.server().launched_by(["lose-dir"]);
    let endpoint = format!("unix:{}", setup.path("ctl").display());
    let setup = setup.control(&endpoint).command(["/bin/cat"]);
    let (server, mut user) = started(setup);
    user.send(b"hello\n");
    user.expect("hello\nhello\n");
    let greeting = server.connect().greeting();
    assert!(find(&greeting, b"null").is_none(), "{}", greeting.escape_ascii());
    line(&greeting, "@@@ Server startup directory: ");
}
