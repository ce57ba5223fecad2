//! `--console`: the terminal of `-f` is a client also with `-L -`.

use crate::support::dialogue::{RULE, line};
use crate::support::{ServerBuilder, Terminal, TestEnv, TestServer, cases, find, show};
use nix::sys::signal::Signal;
use std::fs;

cases![
    terminal_is_a_client,
    terminal_has_no_stamps_and_stdout_no_log,
    terminal_gets_its_modes_back,
    pipe_sends_and_stdout_is_the_log,
    without_input_stdout_is_the_log,
    in_the_background_stdout_is_the_log,
    upgrade_keeps_the_terminal,
    upgrade_keeps_the_log,
    without_the_log_on_stdout_it_changes_nothing,
    it_needs_the_foreground,
];

/// A server as `docker run -it` starts one: with `-L -`, in the foreground of a terminal of its own.
fn on_terminal(env: &TestEnv, options: &[&str]) -> (TestServer, Terminal) {
    let setup = with_log(env).opts(options);
    let terminal = Terminal::new(env, &setup.dir());
    let path = terminal.path().to_str().unwrap().to_owned();
    let launch = ["setsid", "open-tty", path.as_str()];
    (setup.launched_by(launch).start(), terminal)
}

fn with_log(env: &TestEnv) -> ServerBuilder {
    env.server().opts(["-L", "-", "--console", "--logstamp=STAMP "])
}

fn terminal_is_a_client(env: &TestEnv) {
    let (server, mut terminal) = on_terminal(env, &["-n", "ioc"]);
    let got = terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
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
    // As without `-L -`.
    server.assert_plain(got, &expected.replace('\n', "\r\r\n"));
    terminal.screen.send("word\r");
    terminal.screen.until("word\r\r\nword\r\r\n");
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ 1 user(s) and 0 logger(s) connected (plus you)");
}

fn terminal_has_no_stamps_and_stdout_no_log(env: &TestEnv) {
    let (server, mut terminal) = on_terminal(env, &["-l", "unix:log-ctl"]);
    terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    let mut logger = server.connect_log();
    logger.greeting();
    terminal.screen.send("word\r");
    terminal.screen.until("word\r\r\nword\r\r\n");
    // Who reads the log has them.
    logger.until("STAMP word\r\nSTAMP word\r\n");
    assert_eq!(server.terminate().code(), Some(0));
    let screen = terminal.screen.received();
    assert!(find(screen, b"STAMP").is_none(), "{}", show(screen));
    assert_eq!(server.stdout(), "");
}

fn terminal_gets_its_modes_back(env: &TestEnv) {
    let (server, mut terminal) = on_terminal(env, &[]);
    let fresh = Terminal::new(env, server.dir()).modes();
    terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    assert!(terminal.modes() != fresh);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(terminal.modes() == fresh);
}

fn pipe_sends_and_stdout_is_the_log(env: &TestEnv) {
    use std::io::Write;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let server = with_log(env).stdin(reader).start();
    server.child_start(1);
    writer.write_all(b"word\n").unwrap();
    server.file_with("stdout", "STAMP word\r\nSTAMP word\r\n");
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ 0 user(s) and 0 logger(s) connected (plus you)");
    // Its end is not that of the server.
    drop(writer);
    let mut user = server.connect();
    assert!(user.is_answered("another"));
    server.file_with("stdout", "STAMP another\r\nSTAMP another\r\n");
}

fn without_input_stdout_is_the_log(env: &TestEnv) {
    let server = with_log(env).start();
    server.file_with("stdout", RULE);
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ 0 user(s) and 0 logger(s) connected (plus you)");
    line(&greeting, "@@@ Child log file: -");
}

fn in_the_background_stdout_is_the_log(env: &TestEnv) {
    let setup = with_log(env);
    let terminal = Terminal::new(env, &setup.dir());
    let path = terminal.path().to_str().unwrap().to_owned();
    let launch = ["setsid", "open-tty", path.as_str(), "to-background"];
    let server = setup.launched_by(launch).start();
    server.file_with("stdout", RULE);
    assert_eq!(terminal.screen.received(), b"");
}

fn upgrade_keeps_the_terminal(env: &TestEnv) {
    let (server, mut terminal) = on_terminal(env, &["--events", "events"]);
    terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    for number in 1..=2 {
        server.signal(Signal::SIGUSR1);
        env.wait_for("the upgrade", || {
            let events = fs::read_to_string(server.path("events")).ok()?;
            (events.matches("\"server_upgrade\"").count() == number).then_some(())
        });
        server.signal(Signal::SIGHUP);
        let word = format!("word{number}");
        terminal.screen.send(format!("{word}\r"));
        terminal.screen.until(format!("{word}\r\r\n{word}\r\r\n"));
        let greeting = server.connect().greeting();
        assert!(find(&greeting, b"log file").is_none(), "{}", show(&greeting));
        line(&greeting, "@@@ 1 user(s) and 0 logger(s) connected (plus you)");
    }
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!((server.stdout(), server.stderr()), (String::new(), String::new()));
}

fn upgrade_keeps_the_log(env: &TestEnv) {
    let server = with_log(env).start();
    server.file_with("stdout", RULE);
    server.signal(Signal::SIGUSR1);
    server.file_with("stdout", "STAMP @@@ procServ server upgraded in place");
    let mut user = server.connect();
    assert!(user.is_answered("word"));
    server.file_with("stdout", "STAMP word\r\nSTAMP word\r\n");
}

fn without_the_log_on_stdout_it_changes_nothing(env: &TestEnv) {
    let setup = env.server().opts(["--console", "-L", "log"]);
    let terminal = Terminal::new(env, &setup.dir());
    let path = terminal.path().to_str().unwrap().to_owned();
    let mut terminal = terminal;
    let server = setup.launched_by(["setsid", "open-tty", path.as_str()]).start();
    terminal.screen.until("@@@ Child log file: log\r\r\n");
    terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    server.file_with("log", RULE);
}

fn it_needs_the_foreground(env: &TestEnv) {
    let setup = env.server().bare().opts(["--console", "-L", "-", "unix:ctl", "./fake-ioc"]);
    let finished = setup.run();
    finished.assert(1, "", "procServ: --console needs --foreground\n");
    assert!(!finished.instance.path("starts").exists());
}
