//! Files on a file system that hangs: whoever writes there waits, and nobody else does.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::dialogue::{RULE, gone};
use crate::support::hanging_fs::HangingFs;
use crate::support::{Client, ServerBuilder, TestEnv, TestServer, alive, cases, find, show};

cases![
    log_hangs_nobody.needs_fuse(),
    log_that_hangs_for_long_is_told_what_it_lacks.needs_fuse(),
    events_hang_nobody.needs_fuse(),
    status_file_hangs_nobody.needs_fuse(),
    log_that_hangs_does_not_delay_the_end.needs_fuse(),
    log_that_hangs_is_opened_anew_later.needs_fuse(),
    log_that_was_not_opened_is_opened_later.needs_fuse(),
    rotation_on_a_slow_disk_loses_nothing.needs_fuse(),
    upgrades_on_a_slow_disk_lose_nothing.needs_fuse(),
    hang_that_begins_during_an_upgrade.needs_fuse(),
    pid_and_info_file_hang_nobody.needs_fuse(),
    pid_file_that_hangs_does_not_delay_the_end.needs_fuse(),
    pid_file_of_the_child_hangs_nobody.needs_fuse(),
    directory_of_the_child_hangs_the_child_alone.needs_fuse(),
    killed_server_leaves_no_living_process.needs_fuse(),
];

/// A server with files on a file system. That goes first: a process that waits for it does not end.
struct Hung {
    fs: HangingFs,
    server: TestServer,
    user: Client,
}

/// A server with these options, in which `DISK` is the directory of the file system.
fn hung(env: &TestEnv, options: &[&str]) -> Hung {
    let mut hung = hung_with(env.server(), options, |_| {});
    echo(&mut hung.user, "before");
    hung
}

/// The same with more set up, and with the file system `prepared`.
fn hung_with(setup: ServerBuilder, options: &[&str], prepare: impl FnOnce(&HangingFs)) -> Hung {
    let disk = setup.path("disk");
    let fs = HangingFs::mount(&disk);
    prepare(&fs);
    let options = options.iter().map(|option| option.replace("DISK", disk.to_str().unwrap()));
    let server = setup.opts(options).opts(["--holdoff", "0"]).start();
    server.child_start(1);
    let mut user = server.connect();
    user.greeting();
    Hung { fs, server, user }
}

/// The child, a `cat`, answers.
fn echo(user: &mut Client, word: &str) {
    user.send(format!("{word}\n"));
    user.until(format!("{word}\r\n{word}\r\n"));
}

impl Hung {
    /// While the file system hangs: clients come, the child answers and is restarted.
    fn all_goes_on(&mut self, starts: usize) {
        self.server.connect().greeting();
        echo(&mut self.user, "meanwhile");
        self.user.send("\x18");
        self.user.until(RULE);
        self.server.child_start(starts);
        echo(&mut self.user, "again");
        self.server.connect().greeting();
    }

    /// The upgrade that is asked for now is refused for this reason.
    fn upgrade_is_refused(&mut self, env: &TestEnv, reason: &str) {
        let line = format!("procServ: not upgraded: {reason}\n");
        let count = || self.server.stderr().matches(&line).count();
        let before = count();
        self.server.signal(Signal::SIGUSR1);
        env.wait_for(&line, || (count() > before).then_some(()));
        echo(&mut self.user, "refused");
    }

    /// An upgrade is made.
    fn upgrade(&mut self, env: &TestEnv) {
        let upgrades = || show(&self.log()).matches("server upgraded in place").count();
        let before = upgrades();
        self.server.signal(Signal::SIGUSR1);
        env.wait_for("the upgrade", || (upgrades() > before).then_some(()));
        echo(&mut self.user, "upgraded");
    }

    /// The log, which is either on the file system or in the scratch directory.
    fn log(&self) -> Vec<u8> {
        self.fs.content("log").unwrap_or_else(|| self.server.file("log"))
    }

    /// Waits until a file on the file system has this text.
    fn until(&self, env: &TestEnv, name: &str, text: &str) -> Vec<u8> {
        env.wait_for(&format!("{text:?} in {name}"), || {
            let content = self.fs.content(name)?;
            find(&content, text.as_bytes()).map(|_| content)
        })
    }
}

fn log_hangs_nobody(env: &TestEnv) {
    let mut hung = hung(env, &["-L", "DISK/log"]);
    hung.until(env, "log", "before\r\nbefore");
    hung.fs.hang();
    hung.all_goes_on(2);
    hung.upgrade_is_refused(env, "log is hung");
    hung.all_goes_on(3);
    hung.fs.go_on();
    hung.until(env, "log", "server not upgraded: log is hung");
    echo(&mut hung.user, "after");
    let log = hung.until(env, "log", "after\r\nafter\r\n");
    for word in ["before", "meanwhile", "again", "refused", "after"] {
        assert!(find(&log, word.as_bytes()).is_some(), "{word} in:\n{}", show(&log));
    }
    hung.upgrade(env);
    hung.until(env, "log", "upgraded\r\nupgraded\r\n");
    assert_eq!(hung.fs.names(), ["log"]);
}

/// More than the log may be behind passes through a console whose log hangs.
fn log_that_hangs_for_long_is_told_what_it_lacks(env: &TestEnv) {
    let child = ["wait-for", "go", "emit", "3000000", "say", "END", "cat"];
    let mut hung = hung_with(env.server().child(child), &["-L", "DISK/log"], |_| {});
    hung.until(env, "log", "@@@ @@@");
    hung.fs.hang();
    std::fs::write(hung.server.path("go"), "").unwrap();
    hung.user.until("END\r\n");
    hung.fs.go_on();
    echo(&mut hung.user, "after");
    let log = hung.until(env, "log", "after\r\nafter\r\n");
    let text = String::from_utf8_lossy(&log);
    let missing: u64 = text
        .lines()
        .filter_map(|line| line.strip_prefix("@@@ ")?.split_once(" bytes"))
        .filter_map(|(count, _)| count.parse::<u64>().ok())
        .sum();
    assert!(missing > 1_000_000, "{missing} are missing of {}", log.len());
    assert!(log.len() as u64 + missing > 3_000_000, "{missing} and {}", log.len());
}

fn events_hang_nobody(env: &TestEnv) {
    let mut hung = hung(env, &["-L", "log", "--events", "DISK/events"]);
    hung.until(env, "events", "\"connect\"");
    hung.fs.hang();
    hung.all_goes_on(2);
    hung.upgrade_is_refused(env, "events are hung");
    hung.all_goes_on(3);
    hung.fs.go_on();
    let events = hung.until(env, "events", "upgrade_failed");
    assert!(find(&events, b"events_lost").is_none(), "{}", show(&events));
    hung.upgrade(env);
    let events = hung.until(env, "events", "server_upgrade");
    assert_eq!(show(&events).matches("child_start").count(), 3, "{}", show(&events));
}

fn status_file_hangs_nobody(env: &TestEnv) {
    let mut hung = hung(env, &["-L", "log", "--status-file", "DISK/status"]);
    hung.until(env, "status", "\"running\"");
    hung.fs.hang();
    hung.all_goes_on(2);
    hung.upgrade_is_refused(env, "events are hung");
    hung.all_goes_on(3);
    hung.fs.go_on();
    hung.upgrade(env);
    let pid = hung.server.child_start(3);
    hung.until(env, "status", &format!("\"pid\": {pid}"));
    assert_eq!(hung.server.terminate().code(), Some(0));
    assert_eq!(hung.fs.names(), [""; 0]);
}

/// The kernel keeps a process until its last thread has come back from the file system, but no more
/// than that: what it had open is closed.
fn log_that_hangs_does_not_delay_the_end(env: &TestEnv) {
    let mut hung = hung(env, &["-L", "DISK/log", "--events", "DISK/events"]);
    hung.until(env, "log", "before\r\nbefore");
    hung.fs.hang();
    echo(&mut hung.user, "unwritten");
    let (server, child) = (hung.server.pid(), hung.server.child_start(1));
    hung.server.signal(Signal::SIGTERM);
    hung.user.until_end();
    gone(env, server);
    gone(env, child);
    let stderr = hung.server.stderr();
    for what in ["the log", "the events file"] {
        let line = format!("bytes were not written to {what}\n");
        assert!(stderr.contains(&line), "{stderr}");
    }
    assert!(!hung.server.path("ctl").exists());
    hung.fs.go_on();
    assert_eq!(hung.server.wait_exit().code(), Some(0));
}

fn log_that_hangs_is_opened_anew_later(env: &TestEnv) {
    let mut hung = hung(env, &["-L", "DISK/log"]);
    hung.until(env, "log", "before\r\nbefore");
    hung.fs.hang();
    hung.server.signal(Signal::SIGHUP);
    hung.all_goes_on(2);
    for _ in 0..100 {
        hung.server.signal(Signal::SIGHUP);
    }
    hung.all_goes_on(3);
    hung.upgrade_is_refused(env, "log is hung");
    hung.fs.go_on();
    echo(&mut hung.user, "after");
    hung.until(env, "log", "after\r\nafter\r\n");
    hung.upgrade(env);
}

/// The log that is opened by the first SIGHUP hangs.
fn log_that_was_not_opened_is_opened_later(env: &TestEnv) {
    let mut hung = hung_with(env.server(), &["-L", "DISK/log"], |fs| fs.refuse(true));
    let failed = || hung.server.stderr().matches("unable to open log file").count();
    assert_eq!(failed(), 1);
    hung.server.signal(Signal::SIGHUP);
    env.wait_for("another failure", || (failed() == 2).then_some(()));
    hung.fs.refuse(false);
    hung.fs.hang();
    hung.server.signal(Signal::SIGHUP);
    hung.all_goes_on(2);
    hung.upgrade_is_refused(env, "log is hung");
    hung.fs.go_on();
    env.wait_for("the log", || hung.fs.content("log"));
    echo(&mut hung.user, "after");
    hung.until(env, "log", "after\r\nafter\r\n");
}

fn rotation_on_a_slow_disk_loses_nothing(env: &TestEnv) {
    let mut hung = hung(env, &["-L", "DISK/log", "--log-rotate", "200,1000"]);
    hung.fs.delay(Duration::from_millis(2));
    for number in 0..30 {
        echo(&mut hung.user, &format!("line {number}."));
        if number == 10 {
            hung.fs.hang();
        }
        if number == 20 {
            hung.fs.go_on();
        }
    }
    hung.fs.delay(Duration::ZERO);
    let whole = || {
        let mut names = hung.fs.names();
        // The oldest has the highest number.
        names.sort_by_key(|name| {
            std::cmp::Reverse(name.strip_prefix("log.").map_or(0, |number| number.parse().unwrap()))
        });
        names.iter().filter_map(|name| hung.fs.content(name)).collect::<Vec<_>>().concat()
    };
    let log = env.wait_for("the last line", || {
        let log = whole();
        find(&log, b"line 29.\r\nline 29.\r\n").map(|_| log)
    });
    for number in 0..30 {
        let line = format!("line {number}.\r\nline {number}.\r\n");
        assert!(find(&log, line.as_bytes()).is_some(), "{line} in:\n{}", show(&log));
    }
    assert!(hung.fs.names().len() > 2);
}

fn upgrades_on_a_slow_disk_lose_nothing(env: &TestEnv) {
    let options = ["-L", "DISK/log", "--events", "DISK/events", "--status-file", "DISK/status"];
    let mut hung = hung(env, &options);
    hung.fs.delay(Duration::from_millis(3));
    for number in 0..20 {
        echo(&mut hung.user, &format!("line {number}."));
        hung.upgrade(env);
    }
    let log = hung.until(env, "log", "upgraded\r\nupgraded\r\n");
    for number in 0..20 {
        // What is said of an upgrade may be between the two.
        let count = show(&log).matches(&format!("line {number}.")).count();
        assert_eq!(count, 2, "{number} in:\n{}", show(&log));
    }
    assert!(find(&log, b"missing").is_none(), "{}", show(&log));
}

/// The file system hangs at any moment of an upgrade, which is made or refused.
fn hang_that_begins_during_an_upgrade(env: &TestEnv) {
    let mut hung = hung(env, &["-L", "DISK/log", "--events", "DISK/events"]);
    for round in 0..12 {
        hung.server.signal(Signal::SIGUSR1);
        std::thread::sleep(Duration::from_millis(round * 2));
        hung.fs.hang();
        echo(&mut hung.user, &format!("round {round}."));
        hung.fs.go_on();
        echo(&mut hung.user, &format!("end of round {round}."));
    }
    let log = hung.until(env, "log", "end of round 11.\r\nend of round 11.\r\n");
    for round in 0..12 {
        assert!(find(&log, format!("end of round {round}.").as_bytes()).is_some());
    }
    assert!(alive(hung.server.pid()));
}

fn pid_and_info_file_hang_nobody(env: &TestEnv) {
    let options = ["-L", "log", "-p", "DISK/pid", "-I", "DISK/info"];
    let mut hung = hung(env, &options);
    let pid = hung.server.pid();
    hung.until(env, "pid", &format!("{pid}\n"));
    hung.until(env, "info", &format!("pid:{pid}\n"));
    hung.fs.hang();
    hung.all_goes_on(2);
    // The new program finds that both are there only when the file system goes on.
    hung.upgrade(env);
    hung.all_goes_on(3);
    hung.upgrade_is_refused(env, "PID file is hung");
    hung.fs.go_on();
    hung.upgrade(env);
    assert_eq!(hung.fs.names(), ["info", "pid"]);
    assert_eq!(hung.server.terminate().code(), Some(0));
    assert_eq!(hung.fs.names(), [""; 0]);
}

fn pid_file_that_hangs_does_not_delay_the_end(env: &TestEnv) {
    let options =
        ["-L", "log", "-p", "DISK/pid", "-I", "DISK/info", "--status-file", "DISK/status"];
    let mut hung = hung(env, &options);
    hung.until(env, "status", "running");
    hung.fs.hang();
    hung.server.signal(Signal::SIGTERM);
    hung.user.until_end();
    gone(env, hung.server.pid());
    let stderr = hung.server.stderr();
    for name in ["pid", "info"] {
        let path = hung.server.path("disk").join(name);
        let line = format!("procServ: {} was not removed: its file system hangs\n", path.display());
        assert!(stderr.contains(&line), "{stderr}");
    }
    hung.fs.go_on();
    assert_eq!(hung.server.wait_exit().code(), Some(0));
}

/// A daemon as the child, whose PID file is on the file system.
fn pid_file_of_the_child_hangs_nobody(env: &TestEnv) {
    let mut hung = hung(env, &["-L", "log", "--child-pidfile", "DISK/child"]);
    hung.fs.hang();
    // The file of the last child cannot be removed.
    hung.all_goes_on(2);
    hung.upgrade_is_refused(env, "PID file is hung");
    hung.fs.go_on();
    hung.all_goes_on(3);
    hung.upgrade(env);
}

/// The child that is started by then waits, and gets its signals when the file system goes on.
fn directory_of_the_child_hangs_the_child_alone(env: &TestEnv) {
    let setup = env.server();
    let cat = [setup.path("fake-ioc").into_os_string(), "cat".into()];
    let mut hung = hung_with(setup.command(cat), &["-L", "log", "-c", "DISK"], |_| {});
    let child = hung.server.child_start(1);
    hung.fs.hang();
    hung.user.send("\x18");
    hung.user.until(RULE);
    gone(env, child);
    hung.server.connect().greeting();
    let upgrades = || show(&hung.log()).matches("server upgraded in place").count();
    hung.server.signal(Signal::SIGUSR1);
    env.wait_for("the upgrade", || (upgrades() == 1).then_some(()));
    hung.server.connect().greeting();
    hung.fs.go_on();
    hung.server.child_start(2);
    echo(&mut hung.user, "after");
}

fn killed_server_leaves_no_living_process(env: &TestEnv) {
    let options = ["-L", "DISK/log", "--events", "DISK/events", "-p", "DISK/pid"];
    let mut hung = hung(env, &options);
    hung.until(env, "log", "before\r\nbefore");
    let (server, child) = (hung.server.pid(), hung.server.child_start(1));
    hung.fs.hang();
    echo(&mut hung.user, "unwritten");
    hung.server.signal(Signal::SIGKILL);
    hung.user.until_end();
    gone(env, server);
    gone(env, child);
    hung.fs.go_on();
    assert_eq!(hung.server.wait_exit().code(), None);
}
