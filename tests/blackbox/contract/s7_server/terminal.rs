//! Contract section 7: the foreground, `-f`, with a terminal, a pipe or nothing as its input.

use crate::support::dialogue::{RULE, line};
use crate::support::{Terminal, TestEnv, TestServer, cases, find};
use nix::sys::termios::{InputFlags, LocalFlags, OutputFlags, Termios};

const CLEAN: &str = "has telnet bytes on it, and a greeting with lines missing";

cases![
    s7_terminal_gets_the_greeting_before_the_start.differs_on_oracle(CLEAN),
    s7_terminal_is_a_control_client,
    s7_terminal_output_is_not_on_stdout,
    s7_terminal_counts_as_a_user,
    s7_terminal_modes_while_it_runs,
    s7_terminal_modes_are_restored_by_sigterm,
    s7_terminal_modes_are_restored_by_quit,
    s7_terminal_modes_are_restored_by_logout.differs_on_oracle("not restored then"),
    s7_terminal_interrupt_does_not_reach_the_child,
    s7_terminal_hangup_ends_that_client_only,
    s7_terminal_with_the_log_on_stdout_is_no_client,
    s7_terminal_in_the_background_is_no_client
        .differs_on_oracle("takes it all the same (section 7, [+])"),
    s7_pipe_as_stdin_only_sends.differs_on_oracle("loses its input"),
    s7_pipe_as_stdin_is_no_user.differs_on_oracle("counts it (section 7)"),
    s7_null_as_stdin_is_no_user.flaky_on_oracle("counts it until it has read its end"),
    s7_closed_stdin_works.differs_on_oracle("spins"),
];

/// A server in the foreground of a terminal of its own, as a shell would start it.
fn on_terminal(env: &TestEnv, options: &[&str]) -> (TestServer, Terminal) {
    let setup = env.server().opts(options);
    let terminal = Terminal::new(env, &setup.dir());
    let path = terminal.path().to_str().unwrap().to_owned();
    let launch = ["setsid", "open-tty", path.as_str()];
    (setup.launched_by(launch).start(), terminal)
}

fn s7_terminal_gets_the_greeting_before_the_start(env: &TestEnv) {
    let (server, mut terminal) = on_terminal(env, &["-n", "ioc"]);
    let expected = "\
@@@ Welcome to procServ (<version>)
@@@ Use ^X to kill the child, auto restart mode is ON, use ^T to toggle auto restart
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child \"ioc\" started as: ./fake-ioc
@@@ Child \"ioc\" is SHUT DOWN
@@@ procServ server started at: <time>
@@@ 0 user(s) and 0 logger(s) connected (plus you)
@@@ ^R or ^X restarts the child, ^Q quits the server
@@@ Restarting child \"ioc\"
@@@    (as ./fake-ioc)
@@@ The PID of new child \"ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
";
    let got = terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    // OPOST stays, so that the CR LF of the messages comes out as CR CR LF.
    server.assert_plain(got, &expected.replace('\n', "\r\r\n"));
}

fn s7_terminal_is_a_control_client(env: &TestEnv) {
    let (_server, mut terminal) = on_terminal(env, &[]);
    terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    // What is typed there is sent at once, with CR as LF, and echoed by the child's terminal only.
    terminal.screen.send(b"hello\r");
    assert_eq!(terminal.screen.until("\r\r\nhello\r\r\n"), b"hello\r\r\nhello\r\r\n");
    terminal.screen.send(b"\x14");
    terminal.screen.until("@@@ Toggled auto restart");
}

fn s7_terminal_output_is_not_on_stdout(env: &TestEnv) {
    let (server, mut terminal) = on_terminal(env, &[]);
    terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    terminal.screen.send(b"\x14");
    terminal.screen.until("@@@ Toggled auto restart");
    assert_eq!(server.stdout(), "");
}

fn s7_terminal_counts_as_a_user(env: &TestEnv) {
    let (server, mut terminal) = on_terminal(env, &["-w"]);
    terminal.screen.until("@@@ ^R or ^X restarts the child");
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ 1 user(s) and 0 logger(s) connected (plus you)");
}

fn is_raw(modes: &Termios) -> bool {
    !modes.local_flags.intersects(LocalFlags::ECHO | LocalFlags::ICANON)
        && !modes.input_flags.intersects(InputFlags::IXON)
}

fn s7_terminal_modes_while_it_runs(env: &TestEnv) {
    let (_server, mut terminal) = on_terminal(env, &[]);
    terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    let modes = terminal.modes();
    assert!(is_raw(&modes), "{modes:?}");
    assert!(modes.local_flags.contains(LocalFlags::ISIG));
    assert!(modes.input_flags.contains(InputFlags::ICRNL));
    assert!(modes.output_flags.contains(OutputFlags::OPOST));
}

fn restored_after(env: &TestEnv, options: &[&str], end: impl FnOnce(&TestServer, &mut Terminal)) {
    let fresh = Terminal::new(env, std::path::Path::new("/none")).modes();
    let (server, mut terminal) = on_terminal(env, options);
    terminal.screen.until("@@@ ^R or ^X restarts the child");
    env.wait_for("the modes to be set", || is_raw(&terminal.modes()).then_some(()));
    end(&server, &mut terminal);
    env.wait_for("the modes to be restored", || (terminal.modes() == fresh).then_some(()));
}

fn s7_terminal_modes_are_restored_by_sigterm(env: &TestEnv) {
    restored_after(env, &[], |server, _| {
        server.terminate();
    });
}

fn s7_terminal_modes_are_restored_by_quit(env: &TestEnv) {
    restored_after(env, &["-w"], |server, terminal| {
        terminal.screen.send(b"\x11");
        server.wait_exit();
    });
}

fn s7_terminal_modes_are_restored_by_logout(env: &TestEnv) {
    restored_after(env, &["-w", "-x", "^L"], |_, terminal| terminal.screen.send(b"\x0c"));
}

fn s7_terminal_interrupt_does_not_reach_the_child(env: &TestEnv) {
    let (server, mut terminal) = on_terminal(env, &[]);
    terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    terminal.screen.send(b"\x03\x1c");
    terminal.screen.send(b"hello\r");
    terminal.screen.until("hello\r\r\nhello\r\r\n");
    assert_eq!(server.terminate().code(), Some(0));
}

fn s7_terminal_hangup_ends_that_client_only(env: &TestEnv) {
    let (server, mut terminal) = on_terminal(env, &["-w"]);
    terminal.screen.until("@@@ ^R or ^X restarts the child");
    drop(terminal);
    env.wait_for("the terminal to be gone", || {
        find(&server.connect().greeting(), b"@@@ 0 user(s) and ")
    });
    assert_eq!(server.terminate().code(), Some(0));
}

fn s7_terminal_with_the_log_on_stdout_is_no_client(env: &TestEnv) {
    let (server, terminal) = on_terminal(env, &["-L", "-"]);
    let fresh = Terminal::new(env, server.dir()).modes();
    server.file_with("stdout", RULE);
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ 0 user(s) and 0 logger(s) connected (plus you)");
    assert!(terminal.modes() == fresh);
    assert_eq!(terminal.screen.received(), b"");
}

fn s7_terminal_in_the_background_is_no_client(env: &TestEnv) {
    let setup = env.server().opts(["-w"]);
    let terminal = Terminal::new(env, &setup.dir());
    let path = terminal.path().to_str().unwrap().to_owned();
    let fresh = terminal.modes();
    let launch = ["setsid", "open-tty", path.as_str(), "to-background"];
    let server = setup.launched_by(launch).start();
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ 0 user(s) and 0 logger(s) connected (plus you)");
    assert!(terminal.modes() == fresh);
}

fn s7_pipe_as_stdin_only_sends(env: &TestEnv) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let setup = env.server().stdin(reader).opts(["-w"]);
    let server = setup.child(["say", "READY", "cat"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until("READY\r\n");
    std::io::Write::write_all(&mut writer, b"hello\n").unwrap();
    user.expect("hello\nhello\n");
    // Its end is nobody's end.
    drop(writer);
    user.send(b"a\n");
    user.expect("a\na\n");
    assert_eq!(server.terminate().code(), Some(0));
}

fn s7_pipe_as_stdin_is_no_user(env: &TestEnv) {
    let (reader, _writer) = std::io::pipe().unwrap();
    let server = env.server().stdin(reader).opts(["-w"]).start();
    line(&server.connect().greeting(), "@@@ 0 user(s) and 0 logger(s) connected (plus you)");
}

fn s7_null_as_stdin_is_no_user(env: &TestEnv) {
    let server = env.server().opts(["-w"]).start();
    line(&server.connect().greeting(), "@@@ 0 user(s) and 0 logger(s) connected (plus you)");
}

fn s7_closed_stdin_works(env: &TestEnv) {
    let server = env.server().launched_by(["close", "0"]).start();
    server.child_start(1);
    let mut user = server.connect();
    line(&user.greeting(), "@@@ 0 user(s) and 0 logger(s) connected (plus you)");
    user.send(b"a\n");
    user.expect("a\na\n");
}
