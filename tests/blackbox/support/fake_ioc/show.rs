//! The steps of the stand-in that show what it was given.

use super::terminal::{copy, print};
use super::{launch, text};
use nix::unistd;
use std::ffi::OsString;
use std::process::{Command, Stdio};
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
        "show-window" => show_windows(),
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

/// Shows the size of the terminal's window now and whenever it changes, for ever.
fn show_windows() {
    let mut signals =
        signal_hook::iterator::Signals::new([signal_hook::consts::SIGWINCH]).expect("a handler");
    loop {
        let shown = Command::new("stty").arg("size").stdin(Stdio::inherit()).output();
        let shown = String::from_utf8(shown.expect("stty").stdout).expect("two numbers");
        let (rows, columns) = shown.trim_end().split_once(' ').expect("two numbers");
        print(format!("window {columns}x{rows}\n").as_bytes());
        signals.wait().for_each(drop);
    }
}
