//! The steps of the stand-in that show what it was given.

use super::terminal::{copy, print};
use super::{launch, text};
use nix::unistd;
use std::ffi::OsString;
use std::vec::IntoIter;
use std::{env, fs};

/// Does one of these steps, or one of [`launch`].
pub(super) fn do_step(step: &str, steps: &mut IntoIter<OsString>) {
    match step {
        "show-args" => {
            env::args_os()
                .for_each(|word| print(&[b"[", word.as_encoded_bytes(), b"]\n"].concat()));
            copy(|bytes| bytes.to_vec());
            std::process::exit(0);
        }
        "show-env" => {
            let name = text(steps);
            let shown = env::var_os(&name).map_or_else(
                || format!("{name} unset\n").into_bytes(),
                |value| [name.as_bytes(), b"=", value.as_encoded_bytes(), b"\n"].concat(),
            );
            print(&shown);
        }
        "show-cwd" => {
            print(format!("cwd: {}\n", env::current_dir().expect("cwd").display()).as_bytes())
        }
        "show-fds" => print(format!("fds:{}\n", descriptors()).as_bytes()),
        "show-session" => show_session(),
        "show-status" => show_line("/proc/self/status", &text(steps)),
        "show-limit" => show_line("/proc/self/limits", &text(steps)),
        _ => launch::do_step(step, steps),
    }
}

fn descriptors() -> String {
    let listing = fs::read_dir("/proc/self/fd").expect("/proc/self/fd");
    let numbers = listing.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut numbers: Vec<String> = numbers.collect();
    // The one that listed them is closed by now.
    numbers.retain(|number| fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
    numbers.sort();
    numbers.iter().map(|number| format!(" {number}")).collect()
}

fn show_session() {
    let me = unistd::getpid();
    let session = unistd::getsid(None).expect("getsid") == me;
    let group = unistd::getpgrp() == me;
    let terminal = unistd::tcgetpgrp(std::io::stdin()).is_ok_and(|group| group == me);
    let line = format!("session: leader {session}, group {group}, terminal {terminal}\n");
    print(line.as_bytes());
}

fn show_line(path: &str, name: &str) {
    let content = fs::read_to_string(path).expect("proc");
    let line = content.lines().find(|line| line.starts_with(name)).expect("such a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    print(format!("{}\n", words.join(" ")).as_bytes());
}
