//! Programs that are replaced between their check run and their execution: the server never becomes
//! a program that had no check run.

use crate::support::dialogue::started;
use crate::support::{Client, TestEnv, TestServer, cases, descriptors};
use crate::upgrade::ask::{assert_echo, notice};
use nix::sys::signal::Signal;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

cases![
    program_installed_after_a_check_run_is_checked_too,
    program_written_over_after_its_check_run_is_checked_again,
    bad_program_installed_after_a_check_run_is_refused,
    program_that_is_always_replaced_is_refused,
];

/// A server whose program is the script `first`, which gets `second` installed by `install` when it
/// has answered well. Both note their first argument in the file `ran`.
fn server(env: &TestEnv, install: &str, second: &str) -> (TestServer, Client) {
    let (server, mut user) = started(env.server().installed().logged());
    assert_echo(&mut user, "before");
    let program = env.program().display();
    let first =
        format!("{{ echo \"first $1\" >>ran; '{program}' \"$@\" || exit; {install}; exit; }}");
    let second = second.replace("PROGRAM", &format!("'{program}' \"$@\""));
    write_script(&server, "second", &format!("echo \"second $1\" >>ran; {second}"));
    write_script(&server, "first", &first);
    // `first` may be needed as it was.
    fs::hard_link(server.path("first"), server.path("next")).unwrap();
    fs::rename(server.path("next"), server.path("procServ")).unwrap();
    (server, user)
}

/// An executable script of this name.
pub(super) fn write_script(server: &TestServer, name: &str, script: &str) {
    // By another process, see `ServerBuilder::for_anybody`.
    let text = format!("#!/bin/sh\n{script}\n");
    fs::write(server.path("text"), text).unwrap();
    let mut cp = Command::new("cp");
    let copied = cp.arg(server.path("text")).arg(server.path(name)).status();
    assert!(copied.is_ok_and(|status| status.success()));
    fs::set_permissions(server.path(name), Permissions::from_mode(0o755)).unwrap();
}

/// What ran, without the numbers of the descriptors.
fn ran(server: &TestServer) -> String {
    let ran = String::from_utf8(server.file("ran")).unwrap();
    ran.replace(|letter: char| letter.is_ascii_digit(), "")
}

/// The server becomes `second`, which is installed like this, but only when it has answered, too.
fn becomes_the_second(env: &TestEnv, install: &str) {
    let (server, mut user) = server(env, install, "exec PROGRAM");
    server.signal(Signal::SIGUSR1);
    server.file_with("log", notice(env));
    let checks = "first --handover-check=\nsecond --handover-check=\n";
    let ran = ran(&server);
    let executed = ran.strip_prefix(checks).unwrap_or_else(|| panic!("{ran}"));
    assert_eq!(executed.lines().count(), 1, "{ran}");
    assert!(executed.starts_with("second -") && !executed.contains("check"), "{ran}");
    assert_echo(&mut user, "after");
    assert_eq!(server.terminate().code(), Some(0));
}

/// The server goes on, for this reason.
fn goes_on(env: &TestEnv, install: &str, second: &str, reason: &str, expected: &str) {
    let (server, mut user) = server(env, install, second);
    let before = descriptors(server.pid());
    server.signal(Signal::SIGUSR1);
    server.file_with("log", format!("@@@ procServ server not upgraded: {reason}\r\n"));
    assert_eq!(ran(&server), expected);
    assert_echo(&mut user, "after");
    env.wait_for("descriptors as before", || (descriptors(server.pid()) == before).then_some(()));
    assert_eq!(server.terminate().code(), Some(0));
}

fn program_installed_after_a_check_run_is_checked_too(env: &TestEnv) {
    becomes_the_second(env, "mv second procServ");
}

/// The file is the same, and is another program.
fn program_written_over_after_its_check_run_is_checked_again(env: &TestEnv) {
    becomes_the_second(env, "cat second >procServ");
}

fn bad_program_installed_after_a_check_run_is_refused(env: &TestEnv) {
    let reason = "the new program refused with status 3: ";
    let checks = "first --handover-check=\nsecond --handover-check=\n";
    goes_on(env, "mv second procServ", "exit 3", reason, checks);
}

fn program_that_is_always_replaced_is_refused(env: &TestEnv) {
    let reason = "the new program was replaced again and again";
    let checks = "first --handover-check=\n".repeat(5);
    goes_on(env, "cp first next; mv next procServ", "exit 3", reason, &checks);
}
