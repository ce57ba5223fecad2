//! Standard input and output with `-f`.

use crate::support::dialogue::started;
use crate::support::{Terminal, TestEnv, TestServer, cases, find, show};
use nix::sys::termios::{InputFlags, LocalFlags, Termios};
use std::io::{Read, Write, pipe};

const MODES: &str = "puts the terminal back at few of the ways out";

cases![
    stdout_without_a_reader_is_no_flood.differs_on_oracle("floods everybody"),
    stdout_that_nobody_reads_is_no_hang.differs_on_oracle("hangs"),
    log_that_hangs_is_left_behind_after_a_while.differs_on_oracle("hangs"),
    terminal_gets_the_whole_greeting_and_no_telnet
        .differs_on_oracle("telnet bytes; PID and directory lines missing"),
    terminal_is_restored_after_logout.differs_on_oracle(MODES),
    terminal_is_restored_after_sigterm,
    terminal_is_restored_after_quit,
    terminal_is_restored_after_oneshot.differs_on_oracle("2.7.0 has no --oneshot (section 10)"),
    pipe_as_stdin_reaches_the_child.differs_on_oracle("its input is lost"),
];

fn stdout_without_a_reader_is_no_flood(env: &TestEnv) {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let (server, mut user) = started(env.server().opts(["-L", "-"]).stdout(writer));
    server.child_start(1);
    let mut said = Vec::new();
    let mut expected = String::new();
    for round in 0..30 {
        let line = format!("round {round}\r\n");
        user.send(line.replace('\r', ""));
        said.extend(user.until(&line));
        said.extend(user.until(&line));
        expected += &line.repeat(2);
    }
    let notice = "@@@ Log file -: Broken pipe, output is not being logged\r\n";
    let said = String::from_utf8(said).unwrap().replacen(notice, "", 1);
    assert!(said == expected, "{}", show(said.as_bytes()));
    assert_eq!(server.terminate().code(), Some(0));
    // procServ says nothing there.
    let line = "procServ: Log file -: Broken pipe, output is not being logged\n";
    server.assert_plain(server.stderr(), if env.ours() { line } else { "" });
}

fn stdout_that_nobody_reads_is_no_hang(env: &TestEnv) {
    let (_reader, writer) = pipe().unwrap();
    let child = ["emit", "300032", "say", "END", "cat"];
    let (server, mut user) = started(env.server().opts(["-L", "-"]).stdout(writer).child(child));
    user.until("END\r\n");
    user.send("hello\n");
    user.expect("hello\nhello\n");
    assert_eq!(server.terminate().code(), Some(0));
}

/// The child waits for a log that is full, but not for ever; what is then missing is told when the
/// log is back.
fn log_that_hangs_is_left_behind_after_a_while(env: &TestEnv) {
    let (mut reader, writer) = pipe().unwrap();
    let child = ["emit", "3000000", "say", "END", "cat"];
    // The history keeps what comes after the wait until a client has read it that reads slowly. It does
    // not keep all that the log lacks by then.
    let options = ["-w", "-L", "-", "--history", "1M"];
    let server = env.server().opts(options).stdout(writer).child(child).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    let mut stream = user.until("END\r\n");
    let mut log = Vec::new();
    while find(&log, b"END\r\n").is_none() {
        let mut buffer = [0; 65536];
        let count = reader.read(&mut buffer).unwrap();
        log.extend_from_slice(&buffer[..count]);
    }
    user.send("hello\n");
    stream.extend(user.until("hello\r\nhello\r\n"));
    server.terminate();
    reader.read_to_end(&mut log).unwrap();
    crate::defects::logs::assert_one_gap(&log, &stream, &user.until_end());
}

/// A server on a terminal.
fn seated(env: &TestEnv, options: &[&str]) -> (TestServer, Terminal) {
    let setup = env.server().opts(options);
    let terminal = Terminal::new(env, &setup.dir());
    (setup.stdin(terminal.stdin()).start(), terminal)
}

/// Output processing stays on, so that lines end CR CR LF.
fn terminal_gets_the_whole_greeting_and_no_telnet(env: &TestEnv) {
    let (_server, mut terminal) = seated(env, &["-w"]);
    let greeting = "\
@@@ Welcome to procServ (<version>)
@@@ Use ^X to kill the child, auto restart mode is ON, use ^T to toggle auto restart
@@@ procServ server PID: <pid>
@@@ Server startup directory: <dir>
@@@ Child startup directory: <dir>
@@@ Child started as: ./fake-ioc
@@@ Child \"./fake-ioc\" is SHUT DOWN
@@@ procServ server started at: <time>
@@@ 0 user(s) and 0 logger(s) connected (plus you)
@@@ ^R or ^X restarts the child, ^Q quits the server
";
    terminal.screen.expect(&greeting.replace('\n', "\r\n"));
    terminal.screen.send(b"\x12");
    terminal.screen.expect("@@@ Restarting child \"./fake-ioc\"\r\n");
}

fn flags(modes: &Termios) -> (InputFlags, LocalFlags) {
    (modes.input_flags, modes.local_flags)
}

/// Starts a server on a terminal, sees its modes changed, does something, sees them restored.
fn restored(
    env: &TestEnv,
    options: &[&str],
    leave: impl FnOnce(&TestServer, &mut Terminal),
) -> TestServer {
    let setup = env.server().opts(options);
    let mut terminal = Terminal::new(env, &setup.dir());
    let before = flags(&terminal.modes());
    let server = setup.stdin(terminal.stdin()).start();
    terminal.screen.until("connected (plus you)\r\r\n");
    env.wait_for("the modes of a console", || {
        let console = LocalFlags::ECHO | LocalFlags::ICANON;
        (!terminal.modes().local_flags.intersects(console)).then_some(())
    });
    leave(&server, &mut terminal);
    env.wait_for("the modes of before", || (flags(&terminal.modes()) == before).then_some(()));
    server
}

/// The server goes on without it.
fn terminal_is_restored_after_logout(env: &TestEnv) {
    let server = restored(env, &["-x", "^L"], |_, terminal| terminal.screen.send(b"\x0c"));
    server.connect().until("@@@ 0 user(s) and 0 logger(s) connected");
}

fn terminal_is_restored_after_sigterm(env: &TestEnv) {
    restored(env, &[], |server, _| {
        assert_eq!(server.terminate().code(), Some(0));
    });
}

fn terminal_is_restored_after_quit(env: &TestEnv) {
    restored(env, &["-w"], |server, terminal| {
        terminal.screen.send(b"\x11");
        assert_eq!(server.wait_exit().code(), Some(0));
    });
}

fn terminal_is_restored_after_oneshot(env: &TestEnv) {
    restored(env, &["-o", "--holdoff", "0"], |server, terminal| {
        server.child_start(1);
        terminal.screen.send(b"\x18");
        assert_eq!(server.wait_exit().code(), Some(0));
    });
}

/// At its end the client goes and the server stays.
fn pipe_as_stdin_reaches_the_child(env: &TestEnv) {
    let (reader, mut writer) = pipe().unwrap();
    let server = env.server().stdin(reader).start();
    server.child_start(1);
    let mut user = server.connect();
    user.until("@@@ 0 user(s) and 0 logger(s) connected");
    user.greeting();
    writer.write_all(b"hello\n").unwrap();
    user.expect("hello\nhello\n");
    drop(writer);
    user.send("still here\n");
    user.expect("still here\nstill here\n");
}
