//! `--user`: the child is another user's.

use crate::support::dialogue::started;
use crate::support::{TestEnv, cases};
use nix::unistd::{Group, User, getgrouplist};
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

cases![
    user_is_the_childs_in_all_respects.needs_root(),
    user_may_be_a_number.needs_root(),
    user_owns_the_terminal.needs_root(),
    user_enters_the_directory.needs_root(),
    user_without_rights_is_told_on_the_console.needs_root(),
    user_keeps_being_it_after_an_upgrade.needs_root(),
    user_can_be_killed.needs_root(),
    user_that_is_unknown_is_an_error.needs_root(),
    user_needs_root.needs_root(),
];

/// Of Debian, with a group or two.
const WHO: &str = "nobody";

fn who() -> User {
    User::from_name(WHO).unwrap().expect("a user nobody")
}

fn identity() -> String {
    let user = who();
    let name = CString::new(WHO).unwrap();
    let mut groups: Vec<u32> =
        getgrouplist(&name, user.gid).unwrap().into_iter().map(|gid| gid.as_raw()).collect();
    groups.sort();
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    let groups = groups.join(" ");
    let (uid, gid) = (user.uid, user.gid);
    format!(
        "Uid: {uid} {uid} {uid} {uid}\nGid: {gid} {gid} {gid} {gid}\n\
        Groups: {groups}\nCapEff: 0000000000000000\n"
    )
}

const SHOW: [&str; 8] =
    ["show-status", "Uid", "show-status", "Gid", "show-status", "Groups", "show-status", "CapEff"];

fn user_is_the_childs_in_all_respects(env: &TestEnv) {
    let names = ["HOME", "USER", "LOGNAME", "SHELL"];
    let shown = names.iter().flat_map(|name| ["show-env", name]);
    let steps: Vec<&str> = SHOW.into_iter().chain(shown).chain(["wait"]).collect();
    let server = env.server().for_anybody().env("USER", "somebody").opts(["--user", WHO]);
    let (_server, mut user) = started(server.child(["unrecorded"].into_iter().chain(steps)));
    let User { dir, shell, .. } = who();
    let (home, shell) = (dir.display(), shell.display());
    user.expect(&format!("{}HOME={home}\nUSER={WHO}\nLOGNAME={WHO}\nSHELL={shell}\n", identity()));
}

fn user_may_be_a_number(env: &TestEnv) {
    let server = env.server().for_anybody().opts(["--user", &who().uid.to_string()]);
    let (_server, mut user) = started(server.child(["unrecorded"].iter().chain(&SHOW)));
    user.expect(&identity());
}

fn user_owns_the_terminal(env: &TestEnv) {
    let script = "stat -Lc '%U %a %G' /dev/stdin; echo opened > /dev/stderr; sleep 1000";
    let server = env.server().for_anybody().opts(["--user", WHO]);
    let (_server, mut user) = started(server.command(["/bin/sh", "-c", script]));
    let tty = Group::from_name("tty").unwrap().expect("a group tty").name;
    user.expect(&format!("{WHO} 620 {tty}\nopened\n"));
}

fn user_enters_the_directory(env: &TestEnv) {
    let server = env.server().for_anybody().opts(["--user", WHO, "-c", "own"]);
    fs::create_dir(server.path("own")).unwrap();
    std::os::unix::fs::chown(server.path("own"), Some(who().uid.as_raw()), None).unwrap();
    fs::set_permissions(server.path("own"), Permissions::from_mode(0o700)).unwrap();
    let (server, mut user) = started(server.command(["/bin/sh", "-c", "pwd; sleep 1000"]));
    user.until(format!("{}\r\n", server.path("own").display()));
}

fn user_without_rights_is_told_on_the_console(env: &TestEnv) {
    // Root could enter it, and execute what is in it.
    let server = env.server().for_anybody().opts(["--user", WHO, "-c", "closed"]).logged();
    fs::create_dir(server.path("closed")).unwrap();
    fs::set_permissions(server.path("closed"), Permissions::from_mode(0o700)).unwrap();
    let server = server.command(["/bin/true"]).start();
    server.file_with(
        "log",
        "procServ: child could not chdir to closed, Permission denied\r\n\
        procServ: child could not execute: /bin/true, Permission denied\r\n",
    );
    server.file_with("log", "Normal exit status = 255\r\n");
}

fn user_keeps_being_it_after_an_upgrade(env: &TestEnv) {
    let server = env.server().for_anybody().opts(["--user", WHO, "--holdoff", "0"]).logged();
    let steps = ["unrecorded"].into_iter().chain(SHOW).chain(["wait"]);
    let (server, mut user) = started(server.child(steps));
    user.expect(&identity());
    server.signal(nix::sys::signal::Signal::SIGUSR1);
    server.file_with("log", "upgraded in place");
    user.send(b"\x18");
    user.until("@@@ The PID");
    user.until("@@@ @@@ @@@ @@@ @@@\r\n");
    user.expect(&identity());
}

fn user_can_be_killed(env: &TestEnv) {
    let server = env.server().for_anybody().opts(["--user", WHO]);
    let (server, mut user) = started(server.child(["unrecorded", "say", "UP", "wait"]));
    user.expect("UP\n");
    user.send(b"\x18");
    user.until("killed by signal 9\r\n");
    assert_eq!(server.terminate().code(), Some(0));
}

fn user_that_is_unknown_is_an_error(env: &TestEnv) {
    for name in ["no-such-user", "", "4000000000", "99999999999", "-1"] {
        let server = env.server().logged().opts(["--user", name]);
        let ended = server.run();
        ended.assert(
            1,
            "",
            &format!(
                "procServ: cannot obey --user: unknown user '{name}'\n\
                procServ: Exiting with error code: 1\n"
            ),
        );
        assert!(!ended.instance.path("log").exists() && !ended.instance.path("starts").exists());
    }
}

fn user_needs_root(env: &TestEnv) {
    let server = env.server().for_anybody().launched_by(["unprivileged"]).opts(["--user", WHO]);
    server.run().assert(
        1,
        "",
        "procServ: cannot obey --user: the server was not started as root\n\
        procServ: Exiting with error code: 1\n",
    );
}
