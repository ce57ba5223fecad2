//! `--window`: the size of the window that the child's terminal has; `--term`.

use crate::support::{Client, NEGOTIATION, ServerBuilder, Terminal, TestEnv, TestServer, cases};
use nix::sys::signal::Signal;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

cases![
    who_follows_asks_with_do_naws,
    nobody_else_asks,
    what_a_client_may_answer,
    the_first_size_counts_until_somebody_types,
    the_size_of_the_last_typist_counts,
    commands_and_ignored_characters_are_typed,
    who_tells_none_changes_nothing,
    a_size_without_columns_is_none,
    a_size_of_another_length_is_none,
    when_a_typist_goes_the_one_before_counts,
    a_viewer_has_no_window,
    the_terminal_of_the_foreground_has_one,
    a_new_child_has_the_size_from_its_start,
    both_children_have_it,
    it_is_kept_over_an_upgrade,
    ten_sizes_a_second_and_the_last_one,
    a_fixed_size_is_for_all_children,
    without_the_option_there_is_none,
    the_child_gets_its_terminal_type,
    bad_values_start_nothing,
];

const ASKED: &[u8] = b"\xff\xfd\x1f";
/// What a client sends that agrees to tell its window.
const AGREES: &[u8] = b"\xff\xfb\x1f";

fn following(env: &TestEnv) -> ServerBuilder {
    env.server().opts(["--window", "follow"]).child(["show-window"])
}

/// A client that was asked, and agrees.
fn client(server: &TestServer) -> Client {
    let mut user = server.connect();
    user.greeting();
    assert_eq!(user.bytes(3), ASKED);
    user.send(AGREES);
    user
}

/// What a client sends to tell its size (RFC 1073).
fn size(columns: u16, rows: u16) -> Vec<u8> {
    let mut bytes = b"\xff\xfa\x1f".to_vec();
    for byte in [columns.to_be_bytes(), rows.to_be_bytes()].concat() {
        bytes.push(byte);
        if byte == 0xff {
            bytes.push(byte);
        }
    }
    [&*bytes, b"\xff\xf0"].concat()
}

/// Gives a terminal a window, as a terminal emulator does.
fn resize(terminal: &Path, columns: u16, rows: u16) {
    let mut command = Command::new("stty");
    command.arg("-F").arg(terminal).args(["cols", &columns.to_string()]);
    assert!(command.args(["rows", &rows.to_string()]).status().unwrap().success());
}

/// A question whose answer tells that the server has read everything before it.
fn is_read(user: &mut Client) {
    user.send(b"\xff\xfd\x63");
    user.until(b"\xff\xfc\x63");
}

fn who_follows_asks_with_do_naws(env: &TestEnv) {
    let server = following(env).start();
    let mut user = server.connect();
    let greeting = user.greeting();
    assert!(greeting.ends_with(NEGOTIATION.as_ref()));
    assert_eq!(user.bytes(3), ASKED);
}

fn nobody_else_asks(env: &TestEnv) {
    for option in [&[][..], &["--window", "80x24"]] {
        let server = env.server().opts(option).opts(["-w"]).start();
        let mut user = server.connect();
        user.greeting();
        user.send([AGREES, &size(80, 24), b"\xff\xfd\x63"].concat());
        assert_eq!(user.bytes(6), b"\xff\xfe\x1f\xff\xfc\x63");
    }
}

fn what_a_client_may_answer(env: &TestEnv) {
    let server = following(env).opts(["-w"]).start();
    for (sent, answer) in [
        (&b"\xff\xfb\x1f\xff\xfb\x1f"[..], &b""[..]),
        (b"\xff\xfc\x1f\xff\xfc\x1f", b""),
        (b"\xff\xfc\x1f\xff\xfb\x1f", b"\xff\xfd\x1f"),
        (b"\xff\xfb\x1f\xff\xfc\x1f", b"\xff\xfe\x1f"),
        (b"\xff\xfd\x1f", b"\xff\xfc\x1f"),
    ] {
        let mut user = server.connect();
        user.greeting();
        user.bytes(3);
        user.send([sent, b"\xff\xfd\x63"].concat());
        assert_eq!(user.until(b"\xff\xfc\x63"), [answer, b"\xff\xfc\x63"].concat());
    }
}

fn the_first_size_counts_until_somebody_types(env: &TestEnv) {
    let server = following(env).start();
    let mut first = client(&server);
    first.send(size(100, 30));
    first.until("window 100x30\r\n");
    let mut second = client(&server);
    second.send(size(80, 24));
    is_read(&mut second);
    first.send(size(100, 31));
    first.until("window 100x31\r\n");
    second.send("x");
    first.until("window 80x24\r\n");
    assert!(second.until("window 80x24\r\n").len() < 1000);
}

fn the_size_of_the_last_typist_counts(env: &TestEnv) {
    let server = following(env).start();
    let (mut one, mut other) = (client(&server), client(&server));
    one.send([&*size(100, 30), b"a"].concat());
    one.until("window 100x30\r\n");
    // Before the size, and in one packet.
    other.send([b"b", &*size(80, 255)].concat());
    one.until("window 80x255\r\n");
    one.send(size(101, 30));
    is_read(&mut one);
    other.send(size(256, 24));
    one.until("window 256x24\r\n");
    one.send("a");
    one.until("window 101x30\r\n");
}

fn commands_and_ignored_characters_are_typed(env: &TestEnv) {
    let server = following(env).opts(["-i", "z"]).start();
    let (mut one, mut other) = (client(&server), client(&server));
    one.send([&*size(100, 30), b"a"].concat());
    one.until("window 100x30\r\n");
    other.send([&*size(80, 24), b"\x14"].concat());
    one.until("window 80x24\r\n");
    one.send("z");
    one.until("window 100x30\r\n");
}

fn who_tells_none_changes_nothing(env: &TestEnv) {
    let server = following(env).opts(["-P", "raw:unix:raw"]).start();
    let mut one = client(&server);
    one.send([&*size(100, 30), b"a"].concat());
    one.until("window 100x30\r\n");
    let mut refuses = server.connect();
    refuses.greeting();
    refuses.send(b"\xff\xfc\x1fb");
    is_read(&mut refuses);
    let mut raw = server.connect_to("unix:raw");
    raw.until("(plus you)\r\n");
    raw.send("c");
    one.until("c");
    assert_eq!(current(&server, &mut one), "100x30");
    // The one who typed last counts once there is a size.
    refuses.send("d");
    refuses.send([AGREES, &*size(80, 24)].concat());
    one.until("window 80x24\r\n");
}

/// The size as a new child would find it.
fn current(server: &TestServer, user: &mut Client) -> String {
    let starts = std::fs::read_to_string(server.path("starts")).unwrap().lines().count();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(server.child_start(starts)),
        Signal::SIGWINCH,
    )
    .unwrap();
    user.until("window ");
    let shown = user.until("\r\n");
    String::from_utf8_lossy(&shown).trim_end().to_owned()
}

fn a_size_without_columns_is_none(env: &TestEnv) {
    let server = following(env).start();
    let mut one = client(&server);
    for (columns, rows) in [(0, 0), (0, 24), (80, 0)] {
        one.send([&*size(columns, rows), b"a"].concat());
    }
    one.send(size(100, 30));
    one.until("window 100x30\r\n");
    one.send(size(0, 24));
    is_read(&mut one);
    assert_eq!(current(&server, &mut one), "100x30");
    let received = String::from_utf8_lossy(one.received()).into_owned();
    assert!(!received.contains("x24") && !received.contains("80x"), "{received}");
}

fn a_size_of_another_length_is_none(env: &TestEnv) {
    let server = following(env).start();
    let mut one = client(&server);
    one.send(
        b"\xff\xfa\x1f\0\x50\0\xff\xf0\xff\xfa\x1f\0\x50\0\x18\0\xff\xf0\xff\xfa\x1f\xff\xf0a",
    );
    one.send(size(100, 30));
    one.until("window 100x30\r\n");
    let received = String::from_utf8_lossy(one.received()).into_owned();
    let shown: Vec<&str> = received.lines().filter(|line| line.contains("window ")).collect();
    assert!(
        shown.iter().all(|line| line.ends_with(" 0x0") || line.ends_with(" 100x30")),
        "{received}"
    );
}

fn when_a_typist_goes_the_one_before_counts(env: &TestEnv) {
    let server = following(env).start();
    let mut watcher = client(&server);
    let [mut one, mut other, mut last] = [(); 3].map(|()| client(&server));
    one.send([&*size(100, 30), b"a"].concat());
    watcher.until("window 100x30\r\n");
    other.send([&*size(80, 24), b"b"].concat());
    watcher.until("window 80x24\r\n");
    last.send([&*size(60, 20), b"c"].concat());
    watcher.until("window 60x20\r\n");
    drop(last);
    watcher.until("window 80x24\r\n");
    drop(one);
    drop(other);
    watcher.send(size(120, 40));
    is_read(&mut watcher);
    assert_eq!(current(&server, &mut watcher), "80x24");
    watcher.send("d");
    watcher.until("window 120x40\r\n");
}

fn a_viewer_has_no_window(env: &TestEnv) {
    let server = following(env).opts(["-P", "view:unix:view"]).start();
    let mut one = client(&server);
    one.send(size(100, 30));
    one.until("window 100x30\r\n");
    let mut viewer = server.connect_to("unix:view");
    viewer.greeting();
    viewer.send([AGREES, &*size(80, 24), b"typed"].concat());
    viewer.send(b"\xff\xfd\x63");
    let got = viewer.until(b"\xff\xfc\x63");
    assert!(got.ends_with(b"\xff\xfe\x1f\xff\xfc\x63"), "{}", got.escape_ascii());
    assert_eq!(current(&server, &mut one), "100x30");
}

fn the_terminal_of_the_foreground_has_one(env: &TestEnv) {
    let setup = following(env);
    let mut terminal = Terminal::new(env, &setup.dir());
    let path = terminal.path().to_str().unwrap().to_owned();
    resize(terminal.path(), 90, 20);
    let server = setup.launched_by(["setsid", "open-tty", &path]).start();
    // The child has it from the start.
    terminal.screen.until("window 90x20\r");
    resize(terminal.path(), 91, 21);
    terminal.screen.until("window 91x21\r");
    let mut user = client(&server);
    user.send([&*size(80, 24), b"a"].concat());
    terminal.screen.until("window 80x24\r");
    resize(terminal.path(), 92, 22);
    terminal.screen.send("b");
    terminal.screen.until("window 92x22\r");
    // Nobody sees the signal while the program is exchanged.
    server.signal(Signal::SIGUSR1);
    resize(terminal.path(), 93, 23);
    terminal.screen.until("window 93x23\r");
}

fn a_new_child_has_the_size_from_its_start(env: &TestEnv) {
    let server = following(env).opts(["--holdoff", "0"]).start();
    let mut user = client(&server);
    user.send([&*size(100, 30), b"a"].concat());
    user.until("window 100x30\r\n");
    user.send("\x18");
    user.until("@@@ @@@ @@@ @@@ @@@\r\nwindow 100x30\r\n");
}

fn both_children_have_it(env: &TestEnv) {
    let setup = following(env).opts(["-n", "web", "--overlap", "100000"]);
    let server = setup.logged().start();
    server.file_with("log", "window 0x0\r\n");
    let mut user = client(&server);
    server.signal(Signal::SIGUSR2);
    user.until("window 0x0\r\n");
    user.send([&*size(100, 30), b"a"].concat());
    user.until("window 100x30\r\n");
    user.until("window 100x30\r\n");
}

fn it_is_kept_over_an_upgrade(env: &TestEnv) {
    let server = following(env).opts(["--holdoff", "0"]).logged().start();
    let (mut one, mut other) = (client(&server), client(&server));
    one.send([&*size(100, 30), b"a"].concat());
    other.send([&*size(80, 24), b"b", &size(81, 24)[..4]].concat());
    one.until("window 80x24\r\n");
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    // Half a size is not lost either.
    other.send(&size(81, 24)[4..]);
    one.until("window 81x24\r\n");
    drop(other);
    one.until("window 100x30\r\n");
    one.send("\x18");
    one.until("@@@ @@@ @@@ @@@ @@@\r\nwindow 100x30\r\n");
}

fn ten_sizes_a_second_and_the_last_one(env: &TestEnv) {
    let server = following(env).logged().start();
    server.file_with("log", "window 0x0\r\n");
    let mut user = client(&server);
    let begin = Instant::now();
    for columns in 101..=200 {
        user.send(size(columns, 30));
        is_read(&mut user);
    }
    user.until("window 200x30\r\n");
    let tenths = begin.elapsed().as_millis() / 100;
    let seen = String::from_utf8_lossy(user.received()).into_owned();
    let sizes = seen.matches("x30\r\n").count() as u128;
    assert!((2..=tenths + 2).contains(&sizes), "{sizes} in {tenths} tenths of a second");
    user.send(size(200, 30));
    is_read(&mut user);
    assert_eq!(current(&server, &mut user), "200x30");
}

fn a_fixed_size_is_for_all_children(env: &TestEnv) {
    let setup = env.server().opts(["--window", "132x43", "--holdoff", "0", "--wait"]);
    let server = setup.child(["show-window"]).start();
    let mut user = server.connect();
    user.greeting();
    // A child that was there already would have said so before.
    user.send("\x18");
    user.until("window 132x43\r\n");
    user.send("\x18");
    user.until("@@@ @@@ @@@ @@@ @@@\r\nwindow 132x43\r\n");
}

fn without_the_option_there_is_none(env: &TestEnv) {
    let server = env.server().opts(["--wait"]).child(["show-window"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send("\x18");
    user.until("window 0x0\r\n");
    user.send([AGREES, &*size(80, 24), b"a"].concat());
    is_read(&mut user);
    assert_eq!(current(&server, &mut user), "0x0");
}

fn the_child_gets_its_terminal_type(env: &TestEnv) {
    let show = ["show-env", "TERM", "say", "SHOWN", "cat"];
    let setup = || env.server().env("TERM", "from-outside").child(show);
    for (options, line) in [
        (&[][..], "TERM=from-outside\r\n"),
        (&["--term", "xterm-256color"], "TERM=xterm-256color\r\n"),
        (&["--term=vt100", "--term=vt220"], "TERM=vt220\r\n"),
    ] {
        let server = setup().logged().opts(options).start();
        let log = String::from_utf8(server.file_with("log", "SHOWN")).unwrap();
        assert!(log.contains(line), "{log}");
    }
}

fn bad_values_start_nothing(env: &TestEnv) {
    for size in
        ["", "x", "80", "80x", "x24", "0x24", "80x0", "65536x1", "80X24", " 80x24", "Follow"]
    {
        let finished = env.server().opts(["--window", size]).run();
        let takes = "(follow, or COLSxROWS as in 80x24)";
        let line = format!("procServ: invalid size '{size}' for --window {takes}\n");
        finished.assert(1, "", &line);
        assert!(!finished.instance.path("starts").exists());
    }
    for name in ["", "a b", "/etc/passwd", "a|b", "a\n"] {
        let finished = env.server().opts(["--term", name]).run();
        let takes = "(a terminal type, as xterm-256color)";
        let line = format!("procServ: invalid name '{name}' for --term {takes}\n");
        finished.assert(1, "", &line);
    }
}
