//! Things that are standard input.

use nix::sys::termios::LocalFlags;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use crate::support::{Terminal, TestEnv, cases, find};

cases![
    stdin_may_be_a_socket.differs_on_oracle("takes no input from there"),
    terminal_that_a_shell_took_back_is_left_alone,
    terminal_of_another_user_is_a_client.needs_root(),
];

fn stdin_may_be_a_socket(env: &TestEnv) {
    let (mut far, near) = UnixStream::pair().unwrap();
    let server = env.server().stdin(OwnedFd::from(near)).child(["cat"]).start();
    let mut user = server.connect();
    user.greeting();
    far.write_all(b"hello\n").unwrap();
    user.until("hello\r\nhello\r\n");
    drop(far);
    server.falls_asleep();
    assert_eq!(server.terminate().code(), Some(0));
}

/// As after ^Z and bg: a shell reads its next command line in modes of its own.
fn terminal_that_a_shell_took_back_is_left_alone(env: &TestEnv) {
    let setup = env.server();
    let mut terminal = Terminal::new(env, &setup.dir());
    let path = terminal.path().display().to_string();
    let shell = ["background", "wait-for", "go", "to-background", "record", "done", ";"];
    let launch = ["setsid", "open-tty", &path].into_iter().chain(shell);
    let server = setup.launched_by(launch).start();
    terminal.screen.until("connected (plus you)\r\r\n");
    fs::write(server.path("go"), "").unwrap();
    env.wait_for("the shell", || fs::read(server.path("done")).ok());
    let mut modes = terminal.modes();
    modes.local_flags.remove(LocalFlags::ISIG);
    terminal.set_modes(&modes);
    // The server may not read any more, so this client ends.
    terminal.screen.send("x");
    env.wait_for("the end of the client", || {
        find(&server.connect().greeting(), b"@@@ 0 user(s) and 0 logger(s) connected").map(|_| ())
    });
    assert_eq!(terminal.modes().local_flags, modes.local_flags);
}

/// As behind su(1), which leaves the terminal to the user who logged in.
fn terminal_of_another_user_is_a_client(env: &TestEnv) {
    let setup = env.server().for_anybody();
    let mut terminal = Terminal::new(env, &setup.dir());
    fs::set_permissions(terminal.path(), Permissions::from_mode(0o600)).unwrap();
    let path = terminal.path().display().to_string();
    let server = setup.launched_by(["setsid", "open-tty", &path, "unprivileged"]).start();
    terminal.screen.until("@@@ @@@ @@@ @@@ @@@\r\r\n");
    terminal.screen.send("hello\n");
    terminal.screen.until("hello\r\r\nhello\r\r\n");
    assert_eq!(server.terminate().code(), Some(0));
}
