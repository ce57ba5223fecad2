//! The log: what is missing in it, and where it is.

use crate::support::dialogue::started;
use crate::support::{
    NEGOTIATION, ServerBuilder, TestEnv, TestServer, cases, find, number_after, show,
};
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

const SILENT: &str = "stops logging without a word";
const NO_MOUNT: &str = "no right to mount";

cases![
    log_that_cannot_be_reopened_goes_on
        .differs_on_oracle("stops logging, and an error of select() on stderr"),
    full_device_is_told_once.differs_on_oracle(SILENT),
    missing_bytes_are_counted.differs_on_oracle(SILENT),
    missing_bytes_are_counted_without_the_stamps.differs_on_oracle(SILENT),
    missing_bytes_are_counted_on_a_full_disk
        .only_if(Tmpfs::is_possible(), NO_MOUNT)
        .differs_on_oracle(SILENT),
    missing_bytes_are_counted_on_a_full_disk_without_the_stamps
        .only_if(Tmpfs::is_possible(), NO_MOUNT)
        .differs_on_oracle(SILENT),
    savelog_moves_the_log_aside.differs_on_oracle(NO_SAVELOG),
    savelog_overwrites_nothing.differs_on_oracle(NO_SAVELOG),
    savelog_without_a_log_is_no_trouble.differs_on_oracle(NO_SAVELOG),
];

const NO_SAVELOG: &str = "2.7.0 has no --savelog";

fn log_that_cannot_be_reopened_goes_on(env: &TestEnv) {
    let setup = env.server().opts(["-L", "logs/log"]);
    fs::create_dir(setup.path("logs")).unwrap();
    let (server, mut user) = started(setup);
    server.child_start(1);
    fs::rename(server.path("logs"), server.path("moved")).unwrap();
    server.signal(Signal::SIGHUP);
    server.file_with("stderr", "log file logs/log\n");
    user.send("hello\n");
    user.expect("hello\nhello\n");
    server.file_with("moved/log", "hello\r\nhello\r\n");
    server.assert_plain(server.stderr(), "procServ: unable to open log file logs/log\n");
    // Everything is as before when it is possible again.
    fs::rename(server.path("moved"), server.path("logs")).unwrap();
    fs::rename(server.path("logs/log"), server.path("logs/old")).unwrap();
    server.signal(Signal::SIGHUP);
    env.wait_for("the new log", || fs::read(server.path("logs/log")).ok());
    user.send("again\n");
    server.file_with("logs/log", "again\r\nagain\r\n");
}

/// Two attempts at least are made while the second start is waited for.
fn full_device_is_told_once(env: &TestEnv) {
    let child = ["on-start", "1", "say", "hello", "exit", "0", "otherwise", "say", "END", "wait"];
    let setup = env.server().opts(["-L", "/dev/full", "--holdoff", "2", "-w"]).child(child);
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    let said = user.until("END\r\n");
    let notice = "@@@ Log file /dev/full: No space left on device, output is not being logged\r\n";
    let at = find(&said, notice.as_bytes()).unwrap_or_else(|| panic!("{}", show(&said)));
    let rest = [&said[..at], &said[at + notice.len()..]].concat();
    server.assert_console(
        rest,
        "\
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
hello

@@@ @@@ @@@ @@@ @@@
@@@ Received a sigChild for process <pid>. Normal exit status = 0
@@@ Current time: <time>
@@@ Child process is shutting down, a new one will be restarted shortly
@@@ ^R or ^X restarts the child, ^Q quits the server
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
END
",
    );
}

/// Panics unless `log` is `stream` with one gap that is announced to the byte. Of what came after,
/// `last`, the log may have any part.
pub(super) fn assert_one_gap(log: &[u8], stream: &[u8], last: &[u8]) {
    let notice = find(log, b" bytes are missing here\r\n").expect("no gap in the log");
    let begin = log[..notice].windows(4).rposition(|window| window == b"@@@ ").unwrap();
    let count = usize::try_from(number_after(&log[begin..], "@@@ ")).unwrap();
    let end = notice + " bytes are missing here\r\n".len();
    assert!(find(&log[end..], b" bytes are missing here").is_none(), "more than one gap");
    let stream = [stream, last].concat();
    let (before, after) = (&log[..begin], &log[end..]);
    // What stood before the announcement may have got a line end for it.
    let before = match before.strip_suffix(b"\r\n") {
        Some(shorter) if !stream[shorter.len() + count..].starts_with(after) => before,
        Some(shorter) => shorter,
        None => before,
    };
    assert!(stream.starts_with(before), "{}", show(before));
    let rest = &stream[before.len() + count..];
    assert!(rest.starts_with(after), "{count} missing, then:\n{}", show(after));
}

/// The lines of a text without the stamp that each begins with.
fn unstamped(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let lines = lines.map(|line| match line.strip_prefix(STAMP.as_bytes()) {
        Some(line) => line,
        // The announcement; or the end of what was written, within a stamp.
        None if line.starts_with(b"@@@ ") => line,
        None if STAMP.as_bytes().starts_with(line.trim_ascii_end()) => b"\r\n",
        None => panic!("no stamp: {}", show(line)),
    });
    lines.collect::<Vec<_>>().concat()
}

const STAMP: &str = "STAMP:";

/// Fills the log with more than it can take, lets `relieve` make room, and compares log and
/// console. `log_parts` gives all that was ever in the log.
fn gap_is_announced(
    setup: ServerBuilder,
    (log, reason): (&str, &str),
    relieve: impl FnOnce(&Path) -> Vec<u8>,
    stamped: bool,
) {
    let stamp = format!("--logstamp={STAMP}");
    let setup = if stamped { setup.opts([&stamp]) } else { setup };
    let child = ["raw", "emit", "40000", "say", "END", "cat"];
    let server = setup.opts(["-w", "-L", log]).child(child).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until(format!("@@@ Log file {log}: {reason}, output is not being logged\r\n"));
    if find(user.received(), b"END\r\n").is_none() {
        user.until("END\r\n");
    }
    let moved = relieve(&server.path(log));
    server.file_with(log, " bytes are missing here\r\n");
    user.send("hello\n");
    user.until("hello\r\n");
    let rest = server.file_with(log, "hello\r\n");
    let written = [moved, rest].concat();
    let written = if stamped { unstamped(&written) } else { written };
    let greeting = find(user.received(), NEGOTIATION).unwrap() + NEGOTIATION.len();
    assert_one_gap(&written, &user.received()[greeting..], b"");
}

/// A limit on the size of a file needs no rights. It ends what one file can hold, so that
/// truncating it, as sites do, makes room.
fn limited(env: &TestEnv, stamped: bool) {
    let setup = env.server().launched_by(["limit-file-size", "16384", "16384"]);
    gap_is_announced(setup, ("log", "File too large"), truncate, stamped);
}

fn truncate(log: &Path) -> Vec<u8> {
    let moved = fs::read(log).unwrap();
    assert_eq!(moved.len(), 16_384);
    File::options().write(true).open(log).unwrap().set_len(0).unwrap();
    moved
}

fn missing_bytes_are_counted(env: &TestEnv) {
    limited(env, false);
}

fn missing_bytes_are_counted_without_the_stamps(env: &TestEnv) {
    limited(env, true);
}

/// A disk of its own: dropped, it is gone.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: &Path) -> Option<Tmpfs> {
        fs::create_dir(path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=32k", "none"]).arg(path);
        let mounted = command.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Tmpfs(path.to_owned()))
    }

    fn is_possible() -> bool {
        static POSSIBLE: OnceLock<bool> = OnceLock::new();
        *POSSIBLE.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            Tmpfs::mount(&dir.path().join("disk")).is_some()
        })
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Also while somebody still has it open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn full_disk(env: &TestEnv, stamped: bool) {
    let setup = env.server();
    let disk = Tmpfs::mount(&setup.path("disk")).unwrap();
    fs::write(disk.0.join("filler"), [0; 16_384]).unwrap();
    let relieve = |_: &Path| {
        fs::remove_file(disk.0.join("filler")).unwrap();
        Vec::new()
    };
    gap_is_announced(setup, ("disk/log", "No space left on device"), relieve, stamped);
}

fn missing_bytes_are_counted_on_a_full_disk(env: &TestEnv) {
    full_disk(env, false);
}

fn missing_bytes_are_counted_on_a_full_disk_without_the_stamps(env: &TestEnv) {
    full_disk(env, true);
}

/// A directory with a log last changed in a certain second, 03:04:05 in UTC.
fn with_old_log(env: &TestEnv) -> ServerBuilder {
    let setup = env.server().env("TZ", "UTC0").logged().opts(["--savelog"]);
    let setup = setup.with_file("log", "what was before\n");
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(981_169_445);
    File::options().write(true).open(setup.path("log")).unwrap().set_modified(changed).unwrap();
    setup
}

/// The files of the log, with their contents.
fn logs(server: &TestServer) -> Vec<(String, String)> {
    let names = fs::read_dir(server.dir()).unwrap().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut logs: Vec<_> = names
        .filter(|name| name.starts_with("log") && name != "log-ctl")
        .map(|name| (name.clone(), String::from_utf8(server.file(&name)).unwrap()))
        .collect();
    logs.sort();
    logs
}

fn savelog_moves_the_log_aside(env: &TestEnv) {
    let setup = with_old_log(env).opts(["-w"]);
    let inode = fs::metadata(setup.path("log")).unwrap().ino();
    let server = setup.start();
    server.connect().greeting();
    let expected = [("log", ""), ("log.20010203-030405", "what was before\n")];
    assert_eq!(logs(&server), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    // The same file, for whoever still has it open.
    assert_eq!(fs::metadata(server.path("log.20010203-030405")).unwrap().ino(), inode);
}

fn savelog_overwrites_nothing(env: &TestEnv) {
    let setup = with_old_log(env).opts(["-w"]).with_file("log.20010203-030405", "taken\n");
    let server = setup.with_file("log.20010203-030405-1", "taken too\n").start();
    server.connect().greeting();
    let expected = [
        ("log", ""),
        ("log.20010203-030405", "taken\n"),
        ("log.20010203-030405-1", "taken too\n"),
        ("log.20010203-030405-2", "what was before\n"),
    ];
    assert_eq!(logs(&server), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

fn savelog_without_a_log_is_no_trouble(env: &TestEnv) {
    let server = env.server().logged().opts(["--savelog", "-w"]).start();
    server.connect().greeting();
    assert_eq!(logs(&server), [("log".to_owned(), String::new())]);
    server.assert_plain(server.stderr(), "");
}
