//! The steps of the stand-in that prepare a process, which then becomes the server.

use super::{number, scratch, signal, sockets, text};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{self, Gid, Uid};
use std::env;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::process::Command;
use std::vec::IntoIter;

/// Whom `unprivileged` makes of root.
const NOBODY: (Gid, Uid) = (Gid::from_raw(65534), Uid::from_raw(65534));

/// Does one of these steps.
pub(super) fn do_step(step: &str, steps: &mut IntoIter<OsString>) {
    match step {
        "open-tty" => {
            let terminal = File::options().read(true).write(true).open(text(steps)).expect("a tty");
            unistd::dup2_stdin(&terminal).expect("dup2");
        }
        "to-background" => to_background(),
        "open-fd" => {
            let null = File::open("/dev/null").expect("/dev/null");
            // The copy has no close-on-exec flag, and is meant to stay.
            std::mem::forget(unistd::dup(&null).expect("dup"));
        }
        "close-inherited" => {
            for number in 3..1024 {
                let _ = unistd::close(number);
            }
        }
        "close" => unistd::close(number::<i32>(steps)).expect("close"),
        "block" => SigSet::from(signal(steps)).thread_block().expect("block"),
        "limit-files" => {
            setrlimit(Resource::RLIMIT_NOFILE, number(steps), number(steps)).expect("setrlimit");
        }
        "limit-file-size" => {
            setrlimit(Resource::RLIMIT_FSIZE, number(steps), number(steps)).expect("setrlimit");
        }
        "subreaper" => nix::sys::prctl::set_child_subreaper(true).expect("prctl"),
        "limit-core" => {
            let limit = number(steps);
            setrlimit(Resource::RLIMIT_CORE, limit, limit).expect("setrlimit");
        }
        "limit-memory" => {
            let limit = number(steps);
            setrlimit(Resource::RLIMIT_AS, limit, limit).expect("setrlimit");
        }
        "umask" => {
            let mode = u32::from_str_radix(&text(steps), 8).expect("octal");
            umask(Mode::from_bits_truncate(mode));
        }
        "chdir" => env::set_current_dir(text(steps)).expect("chdir"),
        "lose-dir" => {
            let lost = scratch().join("lost");
            fs::create_dir(&lost).expect("mkdir");
            env::set_current_dir(&lost).expect("chdir");
            fs::remove_dir(&lost).expect("rmdir");
        }
        "unprivileged" if unistd::geteuid().is_root() => {
            let (group, user) = NOBODY;
            unistd::setgroups(&[]).expect("setgroups");
            unistd::setgid(group).expect("setgid");
            unistd::setuid(user).expect("setuid");
            prctl::set_no_new_privs().expect("no_new_privs");
        }
        "unprivileged" => {}
        "notify" => {
            sockets::notify(&text(steps));
        }
        "fetch" => sockets::fetch(&scratch().join(text(steps))),
        "pass" => sockets::pass(&text(steps), text(steps)),
        "inherit" => drop(sockets::open(&text(steps))),
        "answer" => sockets::answer(),
        "exec" => {
            let words = steps.map(|word| CString::new(word.into_vec()).expect("no NUL"));
            let words: Vec<CString> = words.collect();
            // Not std's, which would reset the signal mask.
            let Err(error) = unistd::execve(&words[0], &words[1..], &sockets::environment());
            panic!("exec: {error}");
        }
        other => panic!("fake-ioc knows no step {other:?}"),
    }
}

/// A process of our own takes the foreground, and stays.
fn to_background() {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(env::current_exe().expect("my own path"));
    command.args(["fake-ioc", "unrecorded", "wait"]).process_group(0);
    let other = command.spawn().expect("a child of my own").id();
    let group = unistd::Pid::from_raw(i32::try_from(other).expect("a PID"));
    unistd::tcsetpgrp(std::io::stdin(), group).expect("tcsetpgrp");
}
