//! `top` on a terminal. The test is the person and the hardware, which does not know its size.

use crate::manage::attach::Person;
use crate::manage::fleet::{Fleet, MANAGE};
use crate::support::{TestEnv, TestServer, cases};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::LocalFlags;
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

cases![
    what_changes_is_shown,
    signals_leave_the_terminal_as_it_was,
    a_hangup_ends_it,
    a_console_is_used_and_left,
    a_signal_ends_the_console_first,
    a_restart_needs_a_yes,
    what_a_command_says_is_shown,
    it_needs_a_terminal_and_instances,
];

const ALTERNATE: &str = "\x1b[?1049h";
const MAIN: &str = "\x1b[?1049l";

/// An instance that runs, and who looks at it.
fn one(env: &TestEnv) -> (Fleet, TestServer, Person) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "vac1", "cat", "options = --holdoff 0");
    let server = fleet.launch(env, setup, "vac1");
    let person = person(env, &fleet);
    (fleet, server, person)
}

fn person(env: &TestEnv, fleet: &Fleet) -> Person {
    let mut person = Person::top(env, fleet, &[]);
    person.terminal.screen.until(ALTERNATE);
    shows(env, &mut person, "1 instance, 0 wrong");
    shows(env, &mut person, "vac1  running");
    assert!(!person.terminal.modes().local_flags.contains(LocalFlags::ECHO));
    person
}

/// Waits until the whole screen, drawn anew each time, shows a text that has the same style everywhere.
fn shows(env: &TestEnv, person: &mut Person, text: &str) {
    env.wait_for(text, || {
        person.terminal.screen.send("\x0c");
        person.terminal.screen.until(ALTERNATE);
        let screen = person.terminal.screen.until("\x1b[m\x1b[?25");
        String::from_utf8_lossy(&screen).contains(text).then_some(())
    });
}

fn what_changes_is_shown(env: &TestEnv) {
    let (fleet, server, mut person) = one(env);
    let pid = server.child_start(1);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    shows(env, &mut person, "SIGKILL");
    server.child_start(2);
    // One that is new, and a server that was killed.
    fleet.file("home/.config/procServ.d/rf1.conf", "[rf1]\ncommand = cat\nchdir = /\n");
    shows(env, &mut person, "2 instances, 0 wrong");
    server.signal(Signal::SIGKILL);
    shows(env, &mut person, "2 instances, 1 wrong");
    person.terminal.screen.send("q");
    person.terminal.screen.until(MAIN);
    person.left(0);
}

fn signals_leave_the_terminal_as_it_was(env: &TestEnv) {
    let (fleet, _server, person) = one(env);
    let mut person = Some(person);
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        let mut person = person.take().unwrap_or_else(|| self::person(env, &fleet));
        person.client.signal(signal);
        person.terminal.screen.until(MAIN);
        let status = person.client.wait_exit();
        assert_eq!(status.signal(), Some(signal as i32), "{status}");
        assert_eq!(person.terminal.modes(), person.before);
    }
}

fn a_hangup_ends_it(env: &TestEnv) {
    let (_fleet, _server, person) = one(env);
    let Person { terminal, client, .. } = person;
    drop(terminal);
    let status = client.wait_exit();
    assert_eq!(status.signal(), Some(Signal::SIGHUP as i32), "{status}");
}

fn a_console_is_used_and_left(env: &TestEnv) {
    let (_fleet, _server, mut person) = one(env);
    person.terminal.screen.send("a");
    person.terminal.screen.until(MAIN);
    person.terminal.screen.until("(plus you)");
    person.terminal.screen.send("hello\r");
    person.terminal.screen.until("hello\r\nhello\r\n");
    person.terminal.screen.send("\x1d");
    // A key is waited for if nobody can have read the end.
    person.terminal.screen.until_any([ALTERNATE, "[any key: back to top]"]);
    person.terminal.screen.send("x");
    shows(env, &mut person, "vac1  running");
    person.terminal.screen.send("q");
    person.terminal.screen.until(MAIN);
    person.left(0);
}

fn a_signal_ends_the_console_first(env: &TestEnv) {
    let (_fleet, _server, mut person) = one(env);
    person.terminal.screen.send("\r");
    person.terminal.screen.until("(plus you)");
    person.client.signal(Signal::SIGTERM);
    let status = person.client.wait_exit();
    assert_eq!(status.signal(), Some(Signal::SIGTERM as i32), "{status}");
    assert_eq!(person.terminal.modes(), person.before);
}

fn a_restart_needs_a_yes(env: &TestEnv) {
    let (fleet, _server, mut person) = one(env);
    person.terminal.screen.send("r");
    shows(env, &mut person, "vac1: restart? y/N");
    person.terminal.screen.send("n");
    shows(env, &mut person, "was not restarted");
    assert!(!fleet.path("systemctl").exists());
    person.terminal.screen.send("ry");
    shows(env, &mut person, "restart vac1: done");
    let calls = fleet.read("systemctl");
    assert!(calls.ends_with("--user restart procserv-vac1.service\n"), "{calls}");
    fleet.file("fails", "");
    person.terminal.screen.send("ry");
    shows(env, &mut person, "exit status: 1");
    person.terminal.screen.send("\x03");
    person.terminal.screen.until(MAIN);
    person.left(0);
}

fn what_a_command_says_is_shown(env: &TestEnv) {
    let (fleet, _server, mut person) = one(env);
    // The section can't be used any more.
    fleet.file("home/.config/procServ.d/vac1.conf", "[vac1]\ncommand = 'cat\n");
    person.terminal.screen.send("ry");
    shows(env, &mut person, "no instance vac1");
    person.terminal.screen.send("?");
    shows(env, &mut person, "reversed");
    person.terminal.screen.send("qq");
    person.terminal.screen.until(MAIN);
    person.left(0);
}

fn it_needs_a_terminal_and_instances(env: &TestEnv) {
    let fleet = Fleet::new();
    let done = fleet.run(&["top"]);
    let text =
        "manage-procs: top needs a terminal; manage-procs status prints the same table once\n";
    assert_eq!((done.code, done.stderr.as_str()), (1, text));
    assert_eq!(fleet.run(&["top", "--json"]).code, 2);
    let person = Person::top(env, &fleet, &["vac*"]);
    person.left(1);
    let said = person.client.stderr();
    assert!(said.starts_with("manage-procs: no instance vac* in "), "{said}");
    let output = Command::new(MANAGE).args(["--root", "/", "top"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
