//! The stand-in for the supervised program: this test executable itself, told what to do step by
//! step on its command line. The same steps prepare the process that becomes the server.
//!
//! | step | what it does |
//! |---|---|
//! | `say TEXT` | prints the text and a newline |
//! | `print TEXT` | prints the text; `\n`, `\r`, `\\` and `\xNN` are understood |
//! | `emit N` | prints N bytes: lines of 64, numbered |
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
//! | `on-start N STEP...`, `otherwise STEP...` | only in the Nth start of this instance's child |
//! | `show-args ARG...` | prints its arguments, then `cat` |
//! | `show-env NAME` | prints `NAME=VALUE` or `NAME unset` |
//! | `show-cwd`, `show-fds`, `show-session` | print `cwd: ...`, `fds: ...`, `session: ...` |
//! | `show-status NAME`, `show-limit NAME` | print that line of /proc/self/status, .../limits |
//! | `open-tty PATH` | makes that terminal standard input, for a session leader the controlling one |
//! | `to-background` | another process group takes the foreground of the terminal |
//! | `open-fd` | leaves one more descriptor open over exec |
//! | `close N` | closes a descriptor |
//! | `block SIGNAL` | blocks a signal (by name) |
//! | `limit-files SOFT HARD`, `limit-file-size SOFT HARD` | the limits of open files, of bytes in a file |
//! | `limit-core N` | both limits of core files |
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

use super::process::MARKER;
use super::{offspring, passing};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::termios::{self, LocalFlags, SetArg};
use nix::unistd::{self, Gid, Uid};
use std::env;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;
use std::vec::IntoIter;

/// Whom `unprivileged` makes of root.
const NOBODY: (Gid, Uid) = (Gid::from_raw(65534), Uid::from_raw(65534));

/// The steps, if this process is to be the stand-in: told so, or started by an instance.
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
        _ => do_show(step, steps),
    }
}

fn do_show(step: &str, steps: &mut IntoIter<OsString>) {
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
        _ => do_prepare(step, steps),
    }
}

fn do_prepare(step: &str, steps: &mut IntoIter<OsString>) {
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
            passing::notify(&text(steps));
        }
        "fetch" => passing::fetch(&scratch().join(text(steps))),
        "pass" => passing::pass(&text(steps), text(steps)),
        "inherit" => drop(passing::open(&text(steps))),
        "answer" => passing::answer(),
        "exec" => {
            let words = steps.map(|word| CString::new(word.into_vec()).expect("no NUL"));
            let words: Vec<CString> = words.collect();
            // Not std's, which would reset the signal mask.
            let Err(error) = unistd::execve(&words[0], &words[1..], &passing::environment());
            panic!("exec: {error}");
        }
        other => panic!("fake-ioc knows no step {other:?}"),
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

fn print(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    // The terminal may have been hung up; then there is nobody to tell.
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, if byte == b'\\' { rest.next() } else { None }) {
            (_, Some(b'n')) => b'\n',
            (_, Some(b'r')) => b'\r',
            (_, Some(b'x')) => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).expect("two hex digits")
            }
            (_, Some(other)) => other,
            (byte, None) => byte,
        });
    }
    bytes
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

fn emit(count: usize) {
    let lines = (0..count.div_ceil(64)).flat_map(|n| format!("{n:<63}\n").into_bytes());
    let bytes: Vec<u8> = lines.take(count).collect();
    print(&bytes);
}

fn copy(mut convert: impl FnMut(&[u8]) -> Vec<u8>) {
    let mut buffer = [0; 4096];
    let mut stdin = std::io::stdin().lock();
    while let Ok(count @ 1..) = stdin.read(&mut buffer) {
        print(&convert(&buffer[..count]));
    }
}

fn keep_slowly(name: &str) {
    const MB: usize = 1_000_000;
    let mut file = File::create(scratch().join(name)).expect("a file of the stand-in");
    let mut kept = 0;
    copy(|bytes| {
        thread::sleep(Duration::from_millis(1));
        file.write_all(bytes).expect("a file of the stand-in");
        let whole = kept / MB;
        kept += bytes.len();
        if kept / MB > whole { format!("{} MB\n", kept / MB).into_bytes() } else { Vec::new() }
    });
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let shown = bytes.iter().map(|byte| match byte {
        b'\n' => "0a \n".to_owned(),
        other => format!("{other:02x} "),
    });
    shown.collect::<String>().into_bytes()
}

fn raw() {
    let stdin = std::io::stdin();
    let mut modes = termios::tcgetattr(&stdin).expect("tcgetattr");
    let output = modes.output_flags;
    termios::cfmakeraw(&mut modes);
    modes.output_flags = output;
    modes.local_flags.remove(LocalFlags::ECHO);
    termios::tcsetattr(&stdin, SetArg::TCSANOW, &modes).expect("tcsetattr");
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

/// A process of our own takes the foreground, and stays.
fn to_background() {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(env::current_exe().expect("my own path"));
    command.args(["fake-ioc", "unrecorded", "wait"]).process_group(0);
    let other = command.spawn().expect("a child of my own").id();
    let group = unistd::Pid::from_raw(i32::try_from(other).expect("a PID"));
    unistd::tcsetpgrp(std::io::stdin(), group).expect("tcsetpgrp");
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
