//! The console client on a terminal. The test is the person and the hardware.

use crate::manage::fleet::{Fleet, MANAGE};
use crate::support::{Terminal, TestEnv, TestServer, alive, cases};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

cases![
    a_line_there_and_back_over_unix,
    a_line_there_and_back_over_tcp,
    an_abstract_socket,
    every_byte_passes,
    another_key_leaves,
    a_key_is_one_character,
    signals_leave_the_terminal_as_it_was,
    a_hangup_ends_it,
    the_end_of_the_server_ends_it,
    stopped_and_continued,
    questions_to_the_terminal_are_not_replayed,
    modes_of_the_screen_are_put_back,
    nobody_there,
];

/// Somebody who is attached.
pub struct Person {
    /// What they sit at.
    pub terminal: Terminal,
    /// Its modes before.
    pub before: Termios,
    /// The program.
    pub client: TestServer,
}

impl Person {
    /// Who has no instances.
    pub fn attach(env: &TestEnv, words: &[&str]) -> Person {
        Person::with(env, &[], &[&["attach"], words].concat())
    }

    /// Who has these.
    pub fn attach_in(env: &TestEnv, fleet: &Fleet, words: &[&str]) -> Person {
        let mut pairs = Vec::new();
        fleet.dress(|name, value| pairs.push((name, value.to_owned())));
        Person::with(env, &pairs, &[&["--user", "attach"], words].concat())
    }

    /// Who looks at these with `top`.
    pub fn top(env: &TestEnv, fleet: &Fleet, words: &[&str]) -> Person {
        let mut pairs = vec![("TERM", PathBuf::from("xterm"))];
        fleet.dress(|name, value| pairs.push((name, value.to_owned())));
        Person::with(env, &pairs, &[&["--user", "top"], words].concat())
    }

    /// The same as another user: `setpriv` are the arguments of setpriv(1).
    pub fn attach_as(env: &TestEnv, fleet: &Fleet, setpriv: &[String], words: &[&str]) -> Person {
        let mut pairs = Vec::new();
        fleet.dress(|name, value| pairs.push((name, value.to_owned())));
        let setpriv: Vec<&str> = setpriv.iter().map(String::as_str).collect();
        let words = [&setpriv[..], &["--user", "attach"], words].concat();
        Person::run(env, "/usr/bin/setpriv", &pairs, &words)
    }

    fn with(env: &TestEnv, environment: &[(&str, PathBuf)], words: &[&str]) -> Person {
        Person::run(env, MANAGE, environment, words)
    }

    fn run(
        env: &TestEnv,
        program: &str,
        environment: &[(&str, PathBuf)],
        words: &[&str],
    ) -> Person {
        let mut setup = env.server().bare().program(program).argv0("manage-procs");
        setup = setup.env("HOME", "/nonexistent");
        for (name, value) in environment {
            setup = setup.env(name, value);
        }
        let terminal = Terminal::new(env, &setup.dir());
        let before = terminal.modes();
        let tty = terminal.path().to_str().unwrap().to_owned();
        let client = setup
            .opts(words)
            .launched_by(["setsid", "open-tty", &tty])
            .stdout(terminal.stdin())
            .start();
        Person { terminal, before, client }
    }

    /// The greeting has come and the terminal is taken.
    pub fn greeted(&mut self) {
        self.terminal.screen.until("@@@ Welcome to procServ");
        self.terminal.screen.until("(plus you)\r\n");
        assert!(!self.terminal.modes().local_flags.contains(LocalFlags::ECHO));
    }

    /// It ended with this status, and the terminal is as it was.
    pub fn left(&self, code: i32) {
        let status = self.client.wait_exit();
        assert_eq!(status.code(), Some(code), "{status}: {}", self.client.stderr());
        assert_eq!(self.terminal.modes(), self.before);
    }
}

/// Of a server that listens.
fn endpoint(server: &TestServer) -> String {
    drop(server.connect());
    format!("unix:{}", server.path("ctl").display())
}

fn there_and_back(env: &TestEnv, server: &TestServer, endpoint: &str) {
    server.child_start(1);
    let mut person = Person::attach(env, &[endpoint]);
    person.greeted();
    person.terminal.screen.send("hello\r");
    person.terminal.screen.until("hello\r\nhello\r\n");
    person.terminal.screen.send("\x1d");
    person.left(0);
    assert!(
        person.client.stderr().ends_with(" (it keeps running)\n"),
        "{}",
        person.client.stderr()
    );
    assert!(alive(server.pid()));
}

fn a_line_there_and_back_over_unix(env: &TestEnv) {
    let server = env.server().start();
    there_and_back(env, &server, &endpoint(&server));
}

fn a_line_there_and_back_over_tcp(env: &TestEnv) {
    let port = env.free_port().to_string();
    let server = env.server().control(&port).start();
    there_and_back(env, &server, &port);
    there_and_back(env, &server, &format!("tcp:127.0.0.1:{port}"));
}

fn an_abstract_socket(env: &TestEnv) {
    let name = format!("unix:@attach-{}", env.free_port());
    let server = env.server().control(&name).start();
    there_and_back(env, &server, &name);
}

/// Also those that mean something to telnet, to terminals and to shells.
fn every_byte_passes(env: &TestEnv) {
    let server = env
        .server()
        .opts(["-w", "-k", "", "--autorestartcmd", ""])
        .child(["raw", "say", "READY", "hex"])
        .start();
    let mut person = Person::attach(env, &["-k", "^_", &endpoint(&server)]);
    person.greeted();
    person.terminal.screen.send("\x12");
    person.terminal.screen.until("READY\r\n");
    person.terminal.screen.send(b"\x03\x04\x11\x13\x1a\x1c\x1d\xff\xfb\x01\x80\r\n");
    person.terminal.screen.until("03 04 11 13 1a 1c 1d ff fb 01 80 0d 0a");
    person.terminal.screen.send("\x1f");
    person.left(0);
}

fn another_key_leaves(env: &TestEnv) {
    let server = env.server().start();
    server.child_start(1);
    let mut person = Person::attach(env, &["--detach", "^A", &endpoint(&server)]);
    person.greeted();
    // What was typed before it still arrives; what comes after it goes nowhere.
    let mut other = server.connect();
    other.greeting();
    person.terminal.screen.send("last\r\x01lost\r");
    person.left(0);
    other.until("last\r\nlast\r\n");
    other.send("end\r");
    let rest = other.until("end\r\nend");
    assert!(!String::from_utf8_lossy(&rest).contains("lost"));
}

fn a_key_is_one_character(_: &TestEnv) {
    for key in ["exit", "", "^@", "^D^C", "^1", "\u{e4}"] {
        let mut command = std::process::Command::new(MANAGE);
        let output = command.args(["attach", "-k", key, "unix:/nonexistent"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.ends_with(" is not one character, or ^ and a letter\n"), "{key}: {said}");
        assert_eq!(output.status.code(), Some(2), "{key}");
    }
    for key in ["^x", "^^", "q", "^?"] {
        let mut command = std::process::Command::new(MANAGE);
        let output = command.args(["attach", "-k", key, "unix:/nonexistent"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{key}");
    }
}

fn signals_leave_the_terminal_as_it_was(env: &TestEnv) {
    let server = env.server().start();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        let mut person = Person::attach(env, &[&endpoint(&server)]);
        person.greeted();
        person.client.signal(signal);
        let status = person.client.wait_exit();
        assert_eq!(status.signal(), Some(signal as i32), "{status}");
        assert_eq!(person.terminal.modes(), person.before);
    }
}

fn a_hangup_ends_it(env: &TestEnv) {
    let server = env.server().start();
    let mut person = Person::attach(env, &[&endpoint(&server)]);
    person.greeted();
    let Person { terminal, client, .. } = person;
    drop(terminal);
    let status = client.wait_exit();
    assert_eq!(status.signal(), Some(Signal::SIGHUP as i32), "{status}");
}

fn the_end_of_the_server_ends_it(env: &TestEnv) {
    let server = env.server().start();
    server.child_start(1);
    let mut person = Person::attach(env, &[&endpoint(&server)]);
    person.greeted();
    server.terminate();
    person.terminal.screen.until("@@@ Child process is shutting down");
    person.left(0);
    assert!(person.client.stderr().ends_with(": closed by the server (restarted? attach again)\n"));
}

fn stopped_and_continued(env: &TestEnv) {
    let server = env.server().start();
    server.child_start(1);
    let mut person = Person::attach(env, &[&endpoint(&server)]);
    person.greeted();
    let raw = person.terminal.modes();
    // What it is after this is the shell's.
    person.client.signal(Signal::SIGTSTP);
    let status = format!("/proc/{}/status", person.client.pid());
    env.wait_for("the stop", || {
        std::fs::read_to_string(&status).unwrap().contains("State:\tT").then_some(())
    });
    assert_eq!(person.terminal.modes(), person.before);
    person.client.signal(Signal::SIGCONT);
    env.wait_for("raw mode", || (person.terminal.modes() == raw).then_some(()));
    person.terminal.screen.send("again\r\x1d");
    person.left(0);
}

fn questions_to_the_terminal_are_not_replayed(env: &TestEnv) {
    let child = ["wait-for", "go", "print", "a\\x1b[c\\x1b[6nb\\x1b]10;?\\x07c\\n", "cat"];
    let server = env.server().child(child).start();
    let mut person = Person::attach(env, &[&endpoint(&server)]);
    person.greeted();
    std::fs::write(server.path("go"), "").unwrap();
    person.terminal.screen.until("abc\r\n");
    person.terminal.screen.send("\x1d");
    person.left(0);
}

fn modes_of_the_screen_are_put_back(env: &TestEnv) {
    let child = ["print", "\\x1b[?1049h\\x1b[?25l\\x1b[31mred", "cat"];
    let server = env.server().opts(["-w"]).child(child).start();
    let mut person = Person::attach(env, &[&endpoint(&server)]);
    person.greeted();
    person.terminal.screen.send("\x12");
    person.terminal.screen.until("red");
    kill(Pid::from_raw(person.client.pid()), Signal::SIGTERM).unwrap();
    person.terminal.screen.until("\x1b[m\x1b[?25h\x1b[?1049l\r\n");
    person.client.wait_exit();
    assert_eq!(person.terminal.modes(), person.before);
}

fn nobody_there(env: &TestEnv) {
    let person = Person::attach(env, &["unix:/nonexistent"]);
    person.left(1);
    assert_eq!(
        person.client.stderr(),
        "manage-procs: unix:/nonexistent: No such file or directory\n"
    );
}
