//! Programs that read the log or the journal.

use crate::support::{Client, TestEnv, TestServer, cases};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

cases![
    ioc_runner_counts_ends_in_the_log,
    manage_iocs_finds_the_last_start_from_behind,
    manage_iocs_rotates_with_hup_by_name,
    manage_iocs_unit_has_a_pid_file_it_cannot_write
        .differs_on_oracle("2.7.0 writes no pidfile with -f (section 10)")
        .needs_root(),
    manage_iocs_unit_has_a_pid_file_in_a_foreign_directory
        .differs_on_oracle("2.7.0 writes no pidfile with -f (section 10)")
        .needs_root(),
    squasher_matches_the_block_of_an_end_and_a_start
        .flaky_on_oracle("swaps the lines about end and start (section 6)"),
    squasher_matches_the_block_after_a_kill
        .flaky_on_oracle("swaps the lines about end and start (section 6)"),
    open_glider_finds_crash_and_restart_in_the_journal,
];

/// The log as Python reads it: lines, whichever way they end.
fn lines(log: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(log).lines().map(str::to_owned).collect()
}

fn user(server: &TestServer) -> Client {
    let mut user = server.connect();
    user.greeting();
    user
}

// epics-ioc-runner (ALS-U).

fn ioc_runner_counts_ends_in_the_log(env: &TestEnv) {
    let options = ["--autorestartcmd=", "--holdoff", "0"];
    let server = env.server().logged().opts(options).child(["say", "hello", "cat"]).start();
    for number in 1..=3 {
        server.child_start(number);
        user(&server).send(b"\x18");
    }
    server.child_start(4);
    assert_eq!(server.terminate().code(), Some(0));
    // `grep -c`: three kills, and SIGTERM.
    let log = lines(&server.file("log"));
    let ends = log.iter().filter(|line| line.contains("@@@ Child process is shutting down"));
    assert_eq!(ends.count(), 4, "{log:#?}");
}

// NSLS2/manage-iocs.

fn manage_iocs_finds_the_last_start_from_behind(env: &TestEnv) {
    let steps = ["on-start", "1", "say", "first", "exit", "0"];
    let child = steps.iter().chain(&["otherwise", "say", "last", "cat"]);
    let setup = env.server().logged().opts(["-n", "iocsim", "--holdoff", "0"]);
    let server = setup.child(child).start();
    let log = lines(&server.file_with("log", "last\r\n"));
    let start = log.iter().rposition(|line| line == "@@@ Restarting child \"iocsim\"");
    let session = &log[start.expect("a start")..];
    assert!(session.iter().any(|line| line == "last"), "{session:#?}");
    assert!(!session.iter().any(|line| line == "first"), "{session:#?}");
}

fn manage_iocs_rotates_with_hup_by_name(env: &TestEnv) {
    let server = env.server().logged().start();
    server.child_start(1);
    server.file_with("log", "@@@ @@@ @@@ @@@ @@@");
    // `killall -HUP procServ` goes to everybody of that name: here to the one that is ours.
    let named = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "procServ\n")
    };
    let all = crate::support::processes_with(server.dir());
    assert_eq!(all.into_iter().filter(named).collect::<Vec<_>>(), [server.pid()]);
    fs::rename(server.path("log"), server.path("log.1")).unwrap();
    server.signal(Signal::SIGHUP);
    env.wait_for("the new log", || server.path("log").exists().then_some(()));
    user(&server).send(b"hello\n");
    let log = server.file_with("log", "hello\r\nhello\r\n");
    assert_eq!(log, b"hello\r\nhello\r\n");
}

fn manage_iocs_unit_has_a_pid_file_it_cannot_write(env: &TestEnv) {
    let setup = env.server().for_anybody();
    fs::create_dir(setup.path("run")).unwrap();
    let options = ["-q", "-p", "run/softioc-x.pid", "-n", "x", "--restrict", "-L", "log"];
    let server = setup.launched_by(["unprivileged"]).opts(options).start();
    user(&server);
    server.child_start(1);
    assert_eq!(server.stderr(), "procServ: unable to open PID file run/softioc-x.pid\n");
    assert_eq!(server.terminate().code(), Some(0));
}

fn manage_iocs_unit_has_a_pid_file_in_a_foreign_directory(env: &TestEnv) {
    let setup = env.server().for_anybody();
    fs::create_dir(setup.path("run")).unwrap();
    let file = setup.path("run/softioc-x.pid");
    fs::write(&file, "4711 and an old text\n").unwrap();
    let mode = Command::new("chmod").arg("666").arg(&file).status();
    assert!(mode.is_ok_and(|status| status.success()));
    let options = ["-q", "-p", "run/softioc-x.pid", "-n", "x", "-L", "log"];
    let server = setup.launched_by(["unprivileged"]).opts(options).start();
    user(&server);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", server.pid()));
    assert_eq!(server.stderr(), "");
    assert_eq!(server.terminate().code(), Some(0));
}

// SLAC's log squasher.

/// The line between which it takes lines together.
const RULE: &str = "@@@ @@@ @@@ @@@ @@@";

/// Whether one of the squasher's patterns, in its order, matches the whole line.
fn squashes(line: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let sig_child = |line: &str| {
        let rest = line.strip_prefix("@@@ Received a sigChild for process ")?;
        let (pid, rest) = rest.split_once(". ")?;
        let status = rest
            .strip_prefix("Normal exit status = ")
            .or_else(|| rest.strip_prefix("The process was killed by signal "))?;
        (number(pid) && number(status)).then_some(())
    };
    let pid = |line: &str| {
        let rest = line.strip_prefix("@@@ The PID of new child \"")?;
        rest.rsplit_once("\" is: ").filter(|(_, pid)| number(pid)).map(|_| ())
    };
    sig_child(line).is_some()
        || line.starts_with("@@@ Current time: ")
        || line == "@@@ Child process is shutting down, a new one will be restarted shortly"
        || line == "@@@ ^R or ^X restarts the child, ^Q quits the server"
        || (line.starts_with("@@@ Restarting child \"") && line.ends_with('"'))
        || (line.starts_with("@@@    (as ") && line.ends_with(')'))
        || line.starts_with("@@@ Toggled auto restart mode to ")
        || pid(line).is_some()
}

/// The groups: from a rule to the next, if all lines between match. Empty lines don't count.
fn squash(log: &[u8]) -> Vec<Vec<String>> {
    let mut groups = Vec::new();
    let mut group: Option<Vec<String>> = None;
    for line in lines(log).into_iter().filter(|line| !line.trim().is_empty()) {
        group = match group {
            Some(lines) if line == RULE => {
                groups.push(lines);
                None
            }
            Some(mut lines) if squashes(&line) => {
                lines.push(line);
                Some(lines)
            }
            _ => (line == RULE).then(Vec::new),
        };
    }
    groups
}

/// What each line of a group tells, in the order in which it must be told.
fn told(group: &[String]) -> Vec<&str> {
    const WORDS: [&str; 7] = ["sigChild", "time:", "shutting", "^R or", "Restarting", "(as", "PID"];
    let word = |line: &String| WORDS.into_iter().find(|word| line.contains(word)).unwrap_or("");
    group.iter().map(word).collect()
}

const WHOLE: [&str; 7] = ["sigChild", "time:", "shutting", "^R or", "Restarting", "(as", "PID"];

fn squasher_matches_the_block_of_an_end_and_a_start(env: &TestEnv) {
    let child = ["say", "hello", "on-start", "6", "cat", "otherwise", "exit", "1"];
    let setup = env.server().logged().opts(["-n", "ioc-tst", "--holdoff", "0"]).child(child);
    let server = setup.start();
    server.child_start(6);
    user(&server).send(b"end\n");
    let log = server.file_with("log", "end\r\nend\r\n");
    let groups = squash(&log);
    assert_eq!(groups.len(), 5, "{:#?}", lines(&log));
    groups.iter().for_each(|group| assert_eq!(told(group), WHOLE));
}

fn squasher_matches_the_block_after_a_kill(env: &TestEnv) {
    let child = ["say", "hello", "cat"];
    let setup = env.server().logged().opts(["-n", "ioc-tst", "--holdoff", "0"]).child(child);
    let server = setup.start();
    let mut user = user(&server);
    for number in 2..=4 {
        server.child_start(number - 1);
        user.send(b"\x18");
        user.until("\" is: ");
        user.until("hello\r\n");
        server.child_start(number);
    }
    // The log may be behind the clients.
    let groups = env.wait_for("three groups", || {
        Some(squash(&server.file("log"))).filter(|groups| groups.len() == 3)
    });
    groups.iter().for_each(|group| assert_eq!(told(group), WHOLE));
}

// Open Glider Network.

fn open_glider_finds_crash_and_restart_in_the_journal(env: &TestEnv) {
    // systemd makes standard output a stream socket to the journal.
    let (journal, stdout) = UnixStream::pair().unwrap();
    journal.set_read_timeout(Some(env.timeout())).unwrap();
    let setup = env.server();
    fs::rename(setup.path("fake-ioc"), setup.path("ogn-decode")).unwrap();
    let options = ["-k", "^X", "--killsig", "15", "-x", "^C", "-i", "^D", "-L", "-"];
    let setup = setup.opts(options).opts(["--coresize", "0", "--holdoff", "0"]);
    // Twice: the first one only ends the handler that Rust's runtime has for it.
    let crash = ["kill-self", "SIGSEGV", "kill-self", "SIGSEGV"];
    let child = ["on-start", "1"].iter().chain(&crash).chain(&["otherwise", "cat"]);
    let command = ["./ogn-decode"].iter().chain(child);
    let server = setup.command(command).stdout(OwnedFd::from(stdout)).start();
    let first = server.child_start(1);
    let mut lines = BufReader::new(journal).split(b'\n');
    // journald cuts the line end, CR included, and puts the name and PID before it.
    let mut next = |pattern: &str| {
        loop {
            let line = lines.next().expect("a line").expect("in time");
            let line = String::from_utf8(line).unwrap();
            let line = format!("procServ[{}]: {}", server.pid(), line.trim_end());
            if line.contains(pattern) {
                return line;
            }
        }
    };
    let pid = server.pid();
    let started = "@@@ Restarting child \"./ogn-decode\"";
    assert_eq!(next(started), format!("procServ[{pid}]: {started}"));
    let crash = next("killed by signal 11");
    let expected = format!(
        "procServ[{pid}]: @@@ Received a sigChild for process {first}. \
         The process was killed by signal 11"
    );
    assert_eq!(crash, expected);
    assert_eq!(next(started), format!("procServ[{pid}]: {started}"));
}
