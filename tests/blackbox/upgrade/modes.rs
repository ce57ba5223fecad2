//! However the server was started.

use crate::support::dialogue::{daemon, line, started};
use crate::support::{
    ServerBuilder, Terminal, TestEnv, TestServer, cases, number_after, parent_of, show, stat,
};
use crate::upgrade::ask::{assert_echo, notice, upgrade, upgrade_by, upgrade_logged_in};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::Termios;
use nix::unistd::Pid;
use std::fs;
use std::io::{Write, pipe};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

cases![
    daemon_stays_one,
    pipe_as_stdin_still_sends,
    terminal_is_still_a_client,
    terminal_that_was_left_stays_left,
    debug_mode_goes_on_printing,
    process_1_stays_process_1.only_if(can_be_process_1(), "no PID namespaces"),
    started_by_a_relative_path,
    started_by_a_name_in_path,
    link_to_a_directory_of_a_version_is_followed,
    process_has_the_name_of_the_link,
    started_by_a_descriptor,
    started_by_another_name,
    long_command_line_and_environment,
];

/// The file that the server is executed from.
fn executed(server: &TestServer) -> PathBuf {
    fs::read_link(format!("/proc/{}/exe", server.pid())).unwrap()
}

fn daemon_stays_one(env: &TestEnv) {
    let server = daemon(env.server().logged());
    let mut user = server.connect();
    user.greeting();
    let (pid, identity) = (server.pid(), |pid| stat(pid).unwrap()[1..4].to_vec());
    let before = identity(pid);
    upgrade(env, &server);
    assert_echo(&mut user, "hello");
    assert_eq!(identity(pid), before);
    assert_eq!(server.terminate().code(), Some(0));
    server.assert_plain(server.stderr(), "procServ: spawning daemon process: <pid>\n");
}

fn pipe_as_stdin_still_sends(env: &TestEnv) {
    let (reader, mut writer) = pipe().unwrap();
    let server = env.server().stdin(reader).logged().opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until("@@@ @@@ @@@\r\n");
    writer.write_all(b"before\n").unwrap();
    user.expect("before\nbefore\n");
    upgrade(env, &server);
    writer.write_all(b"after\n").unwrap();
    user.expect("after\nafter\n");
    drop(writer);
    upgrade(env, &server);
    assert_echo(&mut user, "without it");
}

/// A server in the foreground of a terminal of its own.
fn on_terminal(env: &TestEnv) -> (TestServer, Terminal) {
    let setup = env.server().logged();
    let terminal = Terminal::new(env, &setup.dir());
    let path = terminal.path().to_str().unwrap().to_owned();
    let server = setup.launched_by(["setsid", "open-tty", &path]).start();
    (server, terminal)
}

/// All of them, to be compared.
fn modes(modes: &Termios) -> String {
    format!("{modes:?}")
}

fn terminal_is_still_a_client(env: &TestEnv) {
    let (server, mut terminal) = on_terminal(env);
    let screen = &mut terminal.screen;
    screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    let reference = Terminal::new(env, server.dir()).modes();
    let seated = modes(&terminal.modes());
    assert_ne!(modes(&reference), seated);
    for _ in 0..2 {
        upgrade(env, &server);
        assert_eq!(modes(&terminal.modes()), seated);
        terminal.screen.send(b"hello\r");
        assert_eq!(terminal.screen.until("\r\r\nhello\r\r\n"), b"hello\r\r\nhello\r\r\n");
    }
    let greeting = server.connect().greeting();
    line(&greeting, "@@@ 1 user(s) and 0 logger(s) connected (plus you)");
    // The keys of the terminal are the child's, not the server's.
    terminal.screen.send(b"\x18");
    terminal.screen.until("was killed by signal 9\r\r\n");
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!(modes(&terminal.modes()), modes(&reference));
}

fn terminal_that_was_left_stays_left(env: &TestEnv) {
    let setup = env.server().logged().opts(["-x", "^O"]);
    let terminal = Terminal::new(env, &setup.dir());
    let path = terminal.path().to_str().unwrap().to_owned();
    let server = setup.launched_by(["setsid", "open-tty", &path]).start();
    let mut terminal = terminal;
    terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    terminal.screen.send(b"\x0f");
    let reference = modes(&Terminal::new(env, server.dir()).modes());
    env.wait_for("the modes", || (modes(&terminal.modes()) == reference).then_some(()));
    upgrade(env, &server);
    let mut user = server.connect();
    let greeting = user.greeting();
    line(&greeting, "@@@ 0 user(s) and 0 logger(s) connected (plus you)");
    assert_echo(&mut user, "hello");
    assert_eq!(modes(&terminal.modes()), reference);
}

fn debug_mode_goes_on_printing(env: &TestEnv) {
    let server = env.server().bare().logged().opts(["-d", "-P", "unix:ctl", "-w"]);
    let server = server.command(["./fake-ioc", "cat"]).start();
    let mut user = server.connect_to("unix:ctl");
    user.greeting();
    user.send(b"\x12");
    user.until("@@@ @@@ @@@\r\n");
    assert_echo(&mut user, "before");
    server.file_with("stdout", "before\r\nbefore\r\n");
    upgrade(env, &server);
    assert_echo(&mut user, "after");
    let stdout = server.file_with("stdout", "after\r\nafter\r\n");
    assert!(!show(&stdout).contains("upgraded in place"), "{}", show(&stdout));
    assert_eq!(server.terminate().code(), Some(0));
}

/// What makes the next program process 1 of a PID namespace.
const UNSHARE: [&str; 5] = ["/usr/bin/unshare", "unshare", "--pid", "--fork", "--kill-child"];

fn can_be_process_1() -> bool {
    let mut command = Command::new(UNSHARE[0]);
    command.args(&UNSHARE[2..]).arg("true");
    command.output().is_ok_and(|output| output.status.success())
}

fn process_1_stays_process_1(env: &TestEnv) {
    let launch = [&["exec"][..], &UNSHARE, &["./fake-ioc", "unrecorded"]].concat();
    let server = env.server().logged().launched_by(launch).opts(["--holdoff", "0"]).start();
    let mut user = server.connect();
    assert_eq!(number_after(&user.greeting(), "server PID: "), 1);
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let process_1 = pids.find(|pid| parent_of(*pid) == Some(server.pid())).unwrap();
    let process_1 = Pid::from_raw(process_1);
    server.child_start(1);
    upgrade_by(env, &server, "log", || kill(process_1, Signal::SIGUSR1).unwrap());
    assert_eq!(number_after(&server.connect().greeting(), "server PID: "), 1);
    user.send(b"\x18");
    user.until("was killed by signal 9\r\n");
    user.until("@@@ @@@ @@@\r\n");
    assert_echo(&mut user, "hello");
    kill(process_1, Signal::SIGTERM).unwrap();
    assert_eq!(server.wait_exit().code(), Some(0));
}

/// Puts a new file in the place of the one the server was started by, and sees it become that.
fn becomes_another_file(env: &TestEnv, setup: ServerBuilder, name: &str) {
    let server = setup.start();
    let child = server.child_start(1);
    let mut user = server.connect();
    user.greeting();
    let installed = install(env, &server, name);
    assert_ne!(executed(&server), installed);
    upgrade(env, &server);
    assert_eq!(executed(&server), installed);
    install(env, &server, name);
    upgrade(env, &server);
    assert_eq!(executed(&server), installed);
    assert_echo(&mut user, "hello");
    assert_eq!(server.child_start(1), child);
}

/// A copy of the program in a new file of that name. By another process, see `ServerBuilder::for_anybody`.
fn install(env: &TestEnv, server: &TestServer, name: &str) -> PathBuf {
    let path = server.path(name);
    let part = server.path(format!("{name}.part"));
    let status = Command::new("cp").arg(env.program()).arg(&part).status();
    assert!(status.is_ok_and(|status| status.success()));
    fs::rename(part, &path).unwrap();
    path
}

fn started_by_a_relative_path(env: &TestEnv) {
    let setup = env.server().logged().installed().program("./procServ").opts(["-c", "/"]);
    let command = setup.path("fake-ioc").into_os_string();
    becomes_another_file(env, setup.command([command, "cat".into()]), "procServ");
}

fn started_by_a_name_in_path(env: &TestEnv) {
    let setup = env.server().logged().installed().program("procServ");
    let mut path = setup.dir().into_os_string();
    path.push(":/usr/bin:/bin");
    becomes_another_file(env, setup.env("PATH", path), "procServ");
}

fn link_to_a_directory_of_a_version_is_followed(env: &TestEnv) {
    let setup = env.server().logged();
    let dir = setup.dir();
    fs::create_dir(dir.join("v1")).unwrap();
    fs::create_dir(dir.join("v2")).unwrap();
    symlink(env.program(), dir.join("v1/procServ")).unwrap();
    symlink("v1", dir.join("current")).unwrap();
    let server = setup.program(dir.join("current/procServ")).start();
    let mut user = server.connect();
    user.greeting();
    server.child_start(1);
    let installed = install(env, &server, "v2/procServ");
    symlink("v2", dir.join("next")).unwrap();
    fs::rename(dir.join("next"), dir.join("current")).unwrap();
    fs::remove_dir_all(dir.join("v1")).unwrap();
    upgrade(env, &server);
    assert_eq!(executed(&server), installed);
    assert_echo(&mut user, "hello");
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", server.pid())).unwrap(), "procServ\n");
}

/// The file behind the link has another name, in each version.
fn process_has_the_name_of_the_link(env: &TestEnv) {
    let (server, mut user) = started(env.server().installed().logged());
    for version in ["server-v1", "server-v2"] {
        let installed = install(env, &server, version);
        symlink(&installed, server.path("next")).unwrap();
        fs::rename(server.path("next"), server.path("procServ")).unwrap();
        upgrade(env, &server);
        assert_eq!(executed(&server), installed);
        assert_echo(&mut user, version);
        let comm = fs::read_to_string(format!("/proc/{}/comm", server.pid())).unwrap();
        assert_eq!(comm, "procServ\n");
    }
}

fn started_by_a_descriptor(env: &TestEnv) {
    let setup = env.server();
    let script = "exec 9<\"$0\"; exec /dev/fd/9 \"$@\"";
    let copy = setup.path("procServ");
    let status = Command::new("cp").arg(env.program()).arg(&copy).status();
    assert!(status.is_ok_and(|status| status.success()));
    let setup = setup.bare().program("/bin/sh").argv0("sh").opts(["-c", script]).opts([&copy]);
    let setup = setup.opts(["-f", "-P", "unix:ctl", "-L", "log"]).command(["./fake-ioc", "cat"]);
    let server = setup.start();
    server.child_start(1);
    let mut user = server.connect_to("unix:ctl");
    user.greeting();
    for _ in 0..2 {
        let installed = install(env, &server, "procServ");
        upgrade(env, &server);
        assert_eq!(executed(&server), installed);
        assert_echo(&mut user, "hello");
    }
}

fn started_by_another_name(env: &TestEnv) {
    let server = env.server().logged().argv0("the ioc server").start();
    server.child_start(1);
    let line = || fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    let before = line();
    upgrade(env, &server);
    assert_eq!(show(&line()), show(&before));
}

/// Near what the kernel takes: what is added must be short.
fn long_command_line_and_environment(env: &TestEnv) {
    let mut setup = env.server().logged();
    // Of all strings together a quarter of the stack's limit, each up to 128 KiB.
    let value = "x".repeat(100_000);
    for number in 0..15 {
        setup = setup.env(format!("LONG{number}"), &value);
    }
    let words = std::iter::repeat_n(value.as_str(), 4);
    let server = setup.command(["./fake-ioc", "cat"].into_iter().chain(words)).start();
    server.child_start(1);
    let mut user = server.connect();
    user.greeting();
    upgrade(env, &server);
    upgrade_logged_in(env, &server, "log");
    assert_echo(&mut user, "hello");
    assert!(show(&server.file("log")).contains(notice(env).trim_end()));
}
