//! The stand-in for the supervised program: this test executable itself, told what to do step by
//! step on its command line. The same steps prepare the process that becomes the server.
//!
//! | step | what it does |
//! |---|---|
//! | `say TEXT` | prints the text and a newline |
//! | `print TEXT` | prints the text; `\n`, `\r`, `\\` and `\xNN` are understood |
//! | `emit N` | prints N bytes: lines of 64, numbered |
//! | `emit-until FILE` | prints such lines, about 1 MB in a second, until FILE is there, then `END` |
//! | `lines N` | prints `line 1` to `line N` |
//! | `cat` | copies its input to its output, to the end of the input |
//! | `raw` | input as it comes, no echo |
//! | `slowly FILE` | keeps its input in FILE, without haste; prints `N MB` after every million bytes |
//! | `hex` | prints each byte of its input in hex and a blank; a newline after LF |
//! | `wait` | does nothing more, reads nothing |
//! | `wait-for FILE` | waits until FILE is there |
//! | `exit CODE` | exits |
//! | `await SIGNAL` | waits for a signal (by name) and survives it |
//! | `kill-self SIGNAL` | sends itself a signal (by name) |
//! | `console COMMAND ARG...` | the interpreter of a script: see [`console`] |
//! | `close-tty` | closes 0, 1 and 2 |
//! | `record FILE` | writes its PID to FILE |
//! | `background STEP... ;` | a child of its own does these |
//! | `daemonize STEP... ;` | a grandchild of its own, in the session of a process that has ended, does these |
//! | `setsid` | becomes the leader of a session |
//! | `on-start N STEP...`, `otherwise STEP...` | only in the Nth start of this server's child |
//! | `show-args ARG...` | prints its arguments, then `cat` |
//! | `show-env NAME` | prints `NAME=VALUE` or `NAME unset` |
//! | `show-cwd`, `show-fds`, `show-session` | print `cwd: ...`, `fds: ...`, `session: ...` |
//! | `show-window` | prints `window COLSxROWS`, and again at each SIGWINCH; reads nothing |
//! | `show-status NAME`, `show-limit NAME` | print that line of /proc/self/status, .../limits |
//! | `open-tty PATH` | makes that terminal standard input, for a session leader the controlling one |
//! | `to-background` | another process group takes the foreground of the terminal |
//! | `open-fd` | leaves one more descriptor open over exec |
//! | `close N`, `close-inherited` | closes a descriptor, all above 2 |
//! | `block SIGNAL` | blocks a signal (by name) |
//! | `limit-files SOFT HARD`, `limit-file-size SOFT HARD` | the limits of open files, of bytes in a file |
//! | `limit-core N`, `limit-memory N` | both limits of core files, of the address space in bytes |
//! | `subreaper` | becomes the parent of its orphaned descendants |
//! | `umask OCTAL`, `chdir DIR`, `lose-dir` | what they say; `lose-dir`: its directory is removed |
//! | `unprivileged` | gives up root's rights for good; nothing if it has none |
//! | `notify TEXT` | tells the service manager so |
//! | `pass ENDPOINT NAME` | opens `tcp:HOST:PORT`, `unix:PATH` or, no listening socket, `dgram:PATH` to be passed by `exec` |
//! | `fetch PATH` | connects there and gets descriptors to be passed by `exec`: name and descriptor by turns |
//! | `inherit ENDPOINT` | opens such a socket, for whatever program this becomes, and tells nobody |
//! | `answer` | answers each connection to one of its LISTEN_FDS with that descriptor and its PID |
//! | `exec FILE ARGV...` | becomes another program |
//!
//! First of all it appends its PID to the file `starts`, unless the first step is `unrecorded`.

mod launch;
mod offspring;
mod show;
mod sockets;
mod terminal;

use super::process::MARKER;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use std::vec::IntoIter;
use terminal::{copy, emit, emit_until, hex, keep_slowly, print, raw, unescape};

/// The steps, if this process is to be the stand-in: told so, or started by a server under test.
pub(super) fn steps() -> Option<Vec<OsString>> {
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "fake-ioc") {
        arguments.remove(0);
        return Some(arguments);
    }
    env::var_os(MARKER).map(|_| arguments)
}

/// Does the steps.
pub(super) fn run(steps: &[OsString]) -> ExitCode {
    let recorded = steps.first().is_none_or(|first| first != "unrecorded");
    let number = if recorded { record_start() } else { 0 };
    let chosen = choose(&steps[usize::from(!recorded)..], number);
    let mut steps = chosen.into_iter();
    while let Some(step) = steps.next() {
        let step = step.into_string().expect("a step is UTF-8");
        do_step(&step, &mut steps);
    }
    ExitCode::SUCCESS
}

fn scratch() -> PathBuf {
    env::var_os(MARKER).map(PathBuf::from).unwrap_or_default()
}

fn record_start() -> usize {
    let path = scratch().join("starts");
    let mut starts = File::options().append(true).create(true).open(&path).expect("starts");
    starts.write_all(format!("{}\n", std::process::id()).as_bytes()).expect("starts");
    fs::read_to_string(path).expect("starts").lines().count()
}

/// The steps common to all starts, and those for this one.
fn choose(steps: &[OsString], number: usize) -> Vec<OsString> {
    let mut chosen = Vec::new();
    let mut wanted = true;
    let mut found = false;
    let mut steps = steps.iter();
    while let Some(step) = steps.next() {
        if step == "on-start" {
            wanted = steps.next().is_some_and(|n| n.to_str() == Some(&number.to_string()));
            found |= wanted;
        } else if step == "otherwise" {
            wanted = !found;
        } else if wanted {
            chosen.push(step.clone());
            if step == "exec" {
                // The words of another program.
                chosen.extend(steps.by_ref().cloned());
            }
        }
    }
    chosen
}

fn do_step(step: &str, steps: &mut IntoIter<OsString>) {
    match step {
        "say" => print(format!("{}\n", text(steps)).as_bytes()),
        "print" => print(&unescape(&text(steps))),
        "emit" => emit(number(steps)),
        "emit-until" => emit_until(&scratch().join(text(steps))),
        "lines" => {
            (1..=number::<usize>(steps)).for_each(|n| print(format!("line {n}\n").as_bytes()))
        }
        "cat" => copy(|bytes| bytes.to_vec()),
        "hex" => copy(hex),
        "slowly" => keep_slowly(&text(steps)),
        "raw" => raw(),
        "wait" => loop {
            thread::park();
        },
        "wait-for" => wait_for(&scratch().join(text(steps))),
        "await" => {
            let awaited = SigSet::from(signal(steps));
            awaited.thread_block().and_then(|()| awaited.wait()).expect("sigwait");
        }
        "exit" => std::process::exit(number(steps)),
        "kill-self" => kill(unistd::getpid(), signal(steps)).expect("kill"),
        "console" => console(steps),
        "close-tty" => (0..3).for_each(|fd| unistd::close(fd).expect("close")),
        "record" => record(&text(steps)),
        "background" => offspring::background(steps),
        "daemonize" => offspring::daemonize(steps),
        "setsid" => drop(unistd::setsid().expect("setsid")),
        _ => show::do_step(step, steps),
    }
}

fn text(steps: &mut IntoIter<OsString>) -> String {
    steps.next().expect("an argument").into_string().expect("UTF-8")
}

fn number<T: std::str::FromStr>(steps: &mut IntoIter<OsString>) -> T {
    text(steps).parse().unwrap_or_else(|_| panic!("a number"))
}

fn signal(steps: &mut IntoIter<OsString>) -> Signal {
    text(steps).parse().expect("a signal name")
}

/// The stand-in for a program of somebody's command line: `#!.../fake-ioc console` makes it of any
/// file. It says in the file `report` how it was started, then shows its input like `hex`, until a
/// `!` comes: then it exits with status 7.
fn console(steps: &mut IntoIter<OsString>) {
    steps.next().expect("the script");
    let arguments: String = steps.map(|word| format!(" [{}]", word.display())).collect();
    let (core, _) = getrlimit(Resource::RLIMIT_CORE).expect("getrlimit");
    let cwd = env::current_dir().expect("cwd");
    raw();
    write_file("report", &format!("arguments:{arguments}\ncwd: {}\ncore: {core}\n", cwd.display()));
    copy(|bytes| {
        if bytes.contains(&b'!') {
            std::process::exit(7);
        }
        hex(bytes)
    });
}

fn wait_for(path: &Path) {
    while !path.exists() {
        thread::sleep(Duration::from_millis(2));
    }
}

fn record(name: &str) {
    write_file(name, &format!("{}\n", std::process::id()));
}

fn write_file(name: &str, content: &str) {
    // Renamed into place, so that whoever sees the file sees all of it.
    let path = scratch().join(name);
    let unfinished = scratch().join(format!("{name}.part"));
    fs::write(&unfinished, content).expect("a file of the stand-in");
    fs::rename(unfinished, path).expect("a file of the stand-in");
}
