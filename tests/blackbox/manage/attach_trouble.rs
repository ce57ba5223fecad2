//! The console client, strange servers, and terminals that nobody reads.

use crate::manage::attach::Person;
use crate::manage::fleet::MANAGE;
use crate::support::{
    Terminal, TestEnv, alive, anonymous_memory, cases, find, running_time, sleeps,
};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, connect, listen, socket,
};
use nix::sys::termios::LocalFlags;
use nix::unistd::Pid;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

cases![
    the_last_words_of_a_server_are_all_shown,
    a_stuck_terminal_holds_nobody,
    a_stuck_server_holds_nobody,
    a_full_queue_holds_nobody,
    a_signal_ends_the_wait_in_a_queue,
    a_signal_ends_what_is_left_to_send,
    a_title_without_an_end_is_broken_off,
    endless_questions_are_not_all_answered,
    a_server_that_says_nothing,
    who_can_not_be_reached,
    who_can_not_be_reached_over_ipv6.needs_ipv6(),
    a_pipe_gets_what_the_child_wrote,
    a_terminal_that_only_shows,
    a_terminal_to_type_and_one_to_show,
];

/// A server of the test's own.
struct Stranger {
    dir: TempDir,
    listener: UnixListener,
}

impl Stranger {
    fn new() -> Stranger {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("ctl")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Stranger { dir, listener }
    }

    fn endpoint(&self) -> String {
        format!("unix:{}", self.dir.path().join("ctl").display())
    }

    /// Somebody who has connected. Reading and writing don't block.
    fn accept(&self, env: &TestEnv) -> UnixStream {
        let (stream, _) = env.wait_for("a connection", || self.listener.accept().ok());
        stream.set_nonblocking(true).unwrap();
        stream
    }

    fn command(&self, prefix: &str) -> Command {
        let mut command = Command::new(MANAGE);
        command.args(["attach", &format!("{prefix}{}", self.endpoint())]);
        command.env("HOME", "/nonexistent");
        command
    }
}

/// As much of `piece` as is taken at once, if any.
fn write(mut stream: &UnixStream, piece: &[u8]) -> Option<usize> {
    match stream.write(piece) {
        Ok(count) => Some(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// Writes so much, however long it takes.
fn flood(env: &TestEnv, stream: &UnixStream, piece: &[u8], much: usize) {
    let mut sent = 0;
    while sent < much {
        let most = piece.len().min(much - sent);
        sent += env.wait_for("a reader", || write(stream, &piece[..most]));
    }
}

/// Writes until nothing more is taken by a client that waits for something else.
fn clog(env: &TestEnv, stream: &UnixStream, piece: &[u8], client: &Child) {
    loop {
        while write(stream, piece).is_some() {}
        rests(env, client);
        // It may have made room before it fell asleep.
        if write(stream, piece).is_none() {
            return;
        }
    }
}

/// Waits until a client has slept for longer than a terminal gets for what puts its modes back. A
/// client that is kept from running by others does not sleep.
fn rests(env: &TestEnv, client: &Child) {
    let pid = client.id().try_into().unwrap();
    let mut last = (0, Instant::now());
    env.wait_for("the client to rest", || {
        let time = running_time(pid);
        if !sleeps(pid) || time != last.0 {
            last = (time, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(600)).then_some(())
    });
}

/// Whoever reads them may be slower than the server was.
fn the_last_words_of_a_server_are_all_shown(env: &TestEnv) {
    let stranger = Stranger::new();
    let mut command = stranger.command("raw:");
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().unwrap();
    let stream = stranger.accept(env);
    // More than the pipe takes, less than would keep it from reading that this is all.
    flood(env, &stream, &[b'x'; 4096], 100_000);
    drop(stream);
    rests(env, &client);
    let mut shown = Vec::new();
    client.stdout.take().unwrap().read_to_end(&mut shown).unwrap();
    assert_eq!(shown.len(), 100_000);
    assert!(client.wait().unwrap().success());
}

/// Neither the detach key nor a signal waits for somebody who reads it, on which everything is shown.
fn a_stuck_terminal_holds_nobody(env: &TestEnv) {
    for detach in [false, true] {
        let stranger = Stranger::new();
        let mut terminal = Terminal::new(env, stranger.dir.path());
        let before = terminal.modes();
        let mut command = stranger.command("raw:");
        command.stdin(terminal.stdin()).stdout(terminal.stdin()).stderr(terminal.stdin());
        let mut client = command.spawn().unwrap();
        let stream = stranger.accept(env);
        clog(env, &stream, b"\x1b[?1049h lots and lots\r\n", &client);
        assert_ne!(terminal.modes(), before);
        if detach {
            terminal.screen.send("\x1d");
            env.wait_for("its modes", || (terminal.modes() == before).then_some(()));
        }
        kill(Pid::from_raw(client.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let status = env.wait_for("the end", || client.try_wait().unwrap());
        assert_eq!(status.signal(), Some(Signal::SIGTERM as i32), "{status}");
        assert_eq!(terminal.modes(), before);
    }
}

fn a_stuck_server_holds_nobody(env: &TestEnv) {
    let stranger = Stranger::new();
    let mut person = Person::attach(env, &[&format!("raw:{}", stranger.endpoint())]);
    let _stream = stranger.accept(env);
    env.wait_for("raw mode", || (person.terminal.modes() != person.before).then_some(()));
    person.terminal.screen.send(vec![b'y'; 1_000_000]);
    person.terminal.screen.send("\x1d");
    person.left(0);
    let stderr = person.client.stderr();
    assert!(stderr.contains("(it keeps running); the server did not take the last "), "{stderr}");
}

/// After the detach key, while the server takes what was typed before, little by little.
fn a_signal_ends_what_is_left_to_send(env: &TestEnv) {
    let stranger = Stranger::new();
    let mut person = Person::attach(env, &[&format!("raw:{}", stranger.endpoint())]);
    let mut stream = stranger.accept(env);
    env.wait_for("raw mode", || (person.terminal.modes() != person.before).then_some(()));
    person.terminal.screen.send(vec![b'y'; 3_000_000]);
    person.terminal.screen.send("\x1d");
    let mut buffer = [0; 4096];
    let mut taken = 0;
    // By then it has read all that was typed.
    env.wait_for("some of it", || {
        taken += stream.read(&mut buffer).unwrap_or_default();
        (taken > 500_000).then_some(())
    });
    person.client.signal(Signal::SIGTERM);
    env.wait_for("the end", || {
        taken += stream.read(&mut buffer).unwrap_or_default();
        (!alive(person.client.pid())).then_some(())
    });
    assert!(taken < 2_000_000, "{taken}");
    assert_eq!(person.client.wait_exit().signal(), Some(Signal::SIGTERM as i32));
    assert_eq!(person.terminal.modes(), person.before);
}

fn a_title_without_an_end_is_broken_off(env: &TestEnv) {
    let stranger = Stranger::new();
    let mut person = Person::attach(env, &[&format!("raw:{}", stranger.endpoint())]);
    let mut stream = stranger.accept(env);
    stream.write_all(b"\x1b]0;tit").unwrap();
    drop(stream);
    person.terminal.screen.until("\x1b]0;tit\x18\r\n");
    person.left(0);
}

/// The answers would wait in memory for a server that does not read them.
fn endless_questions_are_not_all_answered(env: &TestEnv) {
    let stranger = Stranger::new();
    let mut person = Person::attach(env, &[&stranger.endpoint()]);
    let stream = stranger.accept(env);
    flood(env, &stream, &b"\xff\xfd\x22".repeat(20_000), 30_000_000);
    let kept = anonymous_memory(person.client.pid());
    assert!(kept < 16_000, "{kept} KiB");
    person.terminal.screen.send("\x1d");
    person.left(0);
}

fn a_server_that_says_nothing(env: &TestEnv) {
    let stranger = Stranger::new();
    let mut person = Person::attach(env, &[&stranger.endpoint()]);
    let stream = stranger.accept(env);
    person.terminal.screen.send("\x1d");
    person.left(0);
    drop(stream);
    // Nor one that leaves at once, in the midst of telnet's.
    for last in [&b""[..], b"\xff", b"\xff\xfa\x18", b"\xff\xfb"] {
        let person = Person::attach(env, &[&stranger.endpoint()]);
        stranger.accept(env).write_all(last).unwrap();
        person.left(0);
        assert!(
            person.client.stderr().ends_with(": closed by the server (restarted? attach again)\n")
        );
    }
}

fn who_can_not_be_reached(_: &TestEnv) {
    not_reached(&format!("raw:unix:/{}", "x".repeat(200)), "path must be shorter than SUN_LEN");
    for endpoint in ["unix:/dev/null", "127.0.0.1:1", "unix:@nobody-is-there"] {
        not_reached(endpoint, "Connection refused");
    }
}

fn who_can_not_be_reached_over_ipv6(_: &TestEnv) {
    not_reached("raw:[::1]:1", "Connection refused");
}

fn not_reached(endpoint: &str, why: &str) {
    let mut command = Command::new(MANAGE);
    command.args(["attach", endpoint]).env("HOME", "/nonexistent").stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, format!("manage-procs: {endpoint}: {why}\n"));
}

/// There is no terminal that would answer, and none to be put back.
fn a_pipe_gets_what_the_child_wrote(env: &TestEnv) {
    let stranger = Stranger::new();
    let mut command = stranger.command("raw:");
    let client = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = b"\x1b[c\x05\xff\x1b[?1049h\x1b]10;?\x07 and a part: \x1b[3";
    stranger.accept(env).write_all(text).unwrap();
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.stdout, text);
    assert!(find(&output.stderr, b": closed by the server (restarted? attach again)\n").is_some());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = stranger.command("raw:");
    let client = command.stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    stranger.accept(env).write_all(text).unwrap();
    let output = client.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "manage-procs: standard output: No space left on device\n");
}

/// Standard output alone.
fn a_terminal_that_only_shows(env: &TestEnv) {
    for stuck in [false, true] {
        let stranger = Stranger::new();
        let mut terminal = Terminal::new(env, stranger.dir.path());
        let mut command = stranger.command("raw:");
        command.stdin(Stdio::piped()).stdout(terminal.stdin()).stderr(Stdio::null());
        let mut client = command.spawn().unwrap();
        let mut stream = stranger.accept(env);
        stream.write_all(b"a\x1b[c\x1b[?1049hb").unwrap();
        if stuck {
            clog(env, &stream, b"lots and lots\r\n", &client);
            kill(Pid::from_raw(client.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        }
        drop(stream);
        let status = env.wait_for("the end", || client.try_wait().unwrap());
        assert_eq!(status.signal(), stuck.then_some(Signal::SIGTERM as i32), "{status}");
        terminal.screen.until(if stuck { "a\x1b[?1049hb" } else { "a\x1b[?1049hb\x1b[?1049l" });
    }
}

fn a_terminal_to_type_and_one_to_show(env: &TestEnv) {
    let stranger = Stranger::new();
    let mut keyboard = Terminal::new(env, stranger.dir.path());
    let mut screen = Terminal::new(env, stranger.dir.path());
    let mut command = stranger.command("raw:");
    command.stdin(keyboard.stdin()).stdout(screen.stdin()).stderr(Stdio::null());
    let mut client = command.spawn().unwrap();
    stranger.accept(env).write_all(b"hello").unwrap();
    screen.screen.until("hello");
    keyboard.screen.send("\x1d");
    env.wait_for("the end", || client.try_wait().unwrap());
}

/// A server that accepts nobody, with a queue that has no room, and those who wait in it.
struct FullQueue {
    dir: TempDir,
    listener: UnixListener,
    waiting: Vec<UnixStream>,
}

impl FullQueue {
    fn new() -> FullQueue {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctl");
        let listener = UnixListener::bind(&path).unwrap();
        // Again, for a shorter queue.
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let mut waiting = Vec::new();
        loop {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
            match connect(stream.as_raw_fd(), &UnixAddr::new(&path).unwrap()) {
                Ok(()) => waiting.push(UnixStream::from(stream)),
                Err(error) => {
                    assert_eq!(error, Errno::EAGAIN);
                    return FullQueue { dir, listener, waiting };
                }
            }
        }
    }

    fn attach(&self, env: &TestEnv) -> Person {
        let endpoint = format!("raw:unix:{}", self.dir.path().join("ctl").display());
        let person = Person::attach(env, &[&endpoint]);
        env.wait_for("the raw mode", || {
            (!person.terminal.modes().local_flags.contains(LocalFlags::ICANON)).then_some(())
        });
        person
    }
}

fn a_full_queue_holds_nobody(env: &TestEnv) {
    let mut queue = FullQueue::new();
    let mut person = queue.attach(env);
    person.terminal.screen.send("ab\x1d");
    person.left(0);
    assert!(person.client.stderr().contains("does not accept anybody yet; ^] leaves"));
    // What was typed arrives when there is room.
    let mut person = queue.attach(env);
    person.terminal.screen.send("typed before");
    queue.listener.set_nonblocking(true).unwrap();
    queue.waiting.clear();
    let mut said = Vec::new();
    let mut streams = Vec::new();
    env.wait_for("what was typed", || {
        streams.extend(queue.listener.accept().ok().map(|(stream, _)| stream));
        for mut stream in &streams {
            stream.set_nonblocking(true).unwrap();
            let mut bytes = [0; 64];
            said.extend(stream.read(&mut bytes).ok().map(|count| bytes[..count].to_vec()));
        }
        (said.concat() == b"typed before").then_some(())
    });
    person.terminal.screen.send("\x1d");
    person.left(0);
}

fn a_signal_ends_the_wait_in_a_queue(env: &TestEnv) {
    let queue = FullQueue::new();
    let person = queue.attach(env);
    kill(Pid::from_raw(person.client.pid()), Signal::SIGTERM).unwrap();
    let status = person.client.wait_exit();
    assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
    assert_eq!(person.terminal.modes(), person.before);
}
