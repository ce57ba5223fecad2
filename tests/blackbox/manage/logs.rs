//! `logs`, with a stand-in for journalctl; and readers that leave.

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

cases![
    logs_have_names_and_colours,
    what_a_line_sets_ends_with_it,
    no_message_has_a_label_of_another_instance,
    a_log_file_is_shown_with_those_before_it,
    a_log_file_is_searched_by_time,
    a_log_file_without_times_is_searched_by_its_own,
    what_is_followed_is_searched_too,
    lines_have_times,
    options_go_to_journalctl,
    who_leaves_ends_logs,
    a_reader_that_leaves_is_no_error,
];

const LINES: &str = r#"
echo '{"MESSAGE":"one","_SYSTEMD_USER_UNIT":"procserv-a.service","__REALTIME_TIMESTAMP":"7"}'
echo 'no entry'
echo '{"MESSAGE":[116,119,111,27,91,99,255,13],"_SYSTEMD_USER_UNIT":"procserv-long.service"}'
"#;

/// With instances `a` and `long`, and a journal that says one line of each.
fn fleet(end: &str) -> Fleet {
    let fleet = Fleet::new();
    fleet.file("home/.config/procServ.d/a.conf", "[a]\ncommand = x\n");
    fleet.file("home/.config/procServ.conf", "[long]\ncommand = x\n");
    let dir = fleet.path("").display().to_string();
    let script = format!("#!/bin/sh\necho $$ \"$*\" >{dir}/journalctl\n{LINES}\n{end}\n");
    fleet.program("bin/journalctl", &script);
    fleet
}

fn logs_have_names_and_colours(_: &TestEnv) {
    let fleet = fleet("");
    assert_eq!(fleet.must(&["logs", "--no-time"]), "a    | one\nlong | two\u{fffd}\n");
    let words = "--user --unit procserv-a.service --unit procserv-long.service --lines=100\n";
    assert!(fleet.read("journalctl").ends_with(words));
    let coloured = fleet.must(&["logs", "--no-time", "--color", "always"]);
    assert!(coloured.starts_with("\x1b[36ma   \x1b[0m | one\n"), "{coloured:?}");
    let json = fleet.must(&["logs", "--json", "a"]);
    assert!(json.starts_with("{\"message\":\"one\",\"name\":\"a\",\"time_us\":7}\n"), "{json}");
    fleet.program("bin/journalctl", "#!/bin/sh\nexit 3\n");
    let done = fleet.run(&["logs"]);
    assert_eq!(done.stderr, "manage-procs: journalctl: exit status: 3\n");
}

/// Colours, a cursor that is not to be seen; what has only begun is not there at all.
fn what_a_line_sets_ends_with_it(_: &TestEnv) {
    let fleet = fleet("");
    let line = |message: &str| serde_json::json!({ "MESSAGE": message.as_bytes(), "UNIT": "procserv-a.service" });
    let lines =
        ["\x1b[31mred\r", "\x1b[?25l\x1b[1mbold", "\x1b[1mbold\x1b[m", "half\x1b[3", "last"];
    let lines = lines.map(|message| format!("echo '{}'\n", line(message))).concat();
    fleet.program("bin/journalctl", &format!("#!/bin/sh\n{lines}"));
    let shown =
        "\x1b[31mred\x1b[m\n\x1b[?25l\x1b[1mbold\x1b[m\x1b[?25h\n\x1b[1mbold\x1b[m\nhalf\nlast\n";
    assert_eq!(fleet.must(&["logs", "a"]), shown);
}

/// A child may write what looks like the output of another instance.
fn no_message_has_a_label_of_another_instance(_: &TestEnv) {
    let fleet = fleet("");
    let forged = "long | forged";
    for (message, shown) in [
        (format!("one\r{forged}"), format!("a    | one\na    | {forged}\n")),
        (format!("one\n{forged}\r\n"), format!("a    | one\na    | {forged}\n")),
        (
            format!("one\u{b}{forged}\u{c}\u{85}x"),
            format!("a    | one\na    | {forged}\na    | x\n"),
        ),
        (format!("one\u{2028}{forged}"), format!("a    | one\na    | {forged}\n")),
        (format!("\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}{forged}"), format!("a    | {forged}\n")),
        (format!("\x1b[1G\x1b[31m{forged}\x1b[A\x1bM"), format!("a    | \x1b[31m{forged}\x1b[m\n")),
        (
            format!("\u{9b}1G\x1b]0;title\x07\x1b]2;t\x1b\\\x1b(B{forged}\x1b[2"),
            format!("a    | 1G{forged}\n"),
        ),
        (format!("\u{202e}{forged}\t\u{e4}"), format!("a    | {forged}\t\u{e4}\n")),
        ("\r\n".to_owned(), "a    | \n".to_owned()),
    ] {
        let entry = serde_json::json!({
            "MESSAGE": message.as_bytes(), "UNIT": "procserv-a.service"
        });
        fleet.program("bin/journalctl", &format!("#!/bin/sh\necho '{entry}'\n"));
        assert_eq!(fleet.must(&["logs"]), shown, "{message:?}");
    }
}

/// In place of the journal, where the output of such a child is not.
fn a_log_file_is_shown_with_those_before_it(env: &TestEnv) {
    let fleet = fleet("");
    fleet.program(
        "bin/journalctl",
        "#!/bin/sh\ncase \"$*\" in *--follow*) exec sleep 1000;; esac\n",
    );
    let log = fleet.path("log").display().to_string();
    for name in ["a", "long"] {
        let content = format!("[{name}]\ncommand = x\noptions = -L {log}-{name}\n");
        fleet.file(&format!("home/.config/procServ.d/{name}.conf"), &content);
    }
    fleet.file("log-a.1", "1\n2\n3\n");
    fleet.file("log-a", "4\n\x1b[31m5\r\nhalf");
    fleet.file("log-long", "x\n");
    assert_eq!(fleet.must(&["logs", "-n", "3", "a"]), "3\n4\n\x1b[31m5\x1b[m\n");
    assert_eq!(fleet.must(&["logs", "a"]), "1\n2\n3\n4\n\x1b[31m5\x1b[m\n");
    let shown = "a    | 4\na    | \x1b[31m5\x1b[m\nlong | x\n";
    assert_eq!(fleet.must(&["logs", "-n2"]), shown);
    let mut logs = fleet.command(&["logs", "-f", "a"]);
    let mut logs = logs.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(logs.stdout.take().unwrap());
    let mut until = |end: &str| {
        let mut text = String::new();
        while !text.ends_with(end) {
            assert!(output.read_line(&mut text).unwrap() > 0, "{text:?}");
        }
    };
    until("5\x1b[m\n");
    fs::rename(fleet.path("log-a"), fleet.path("log-a.1")).unwrap();
    fleet.file("log-a", "new\n");
    until("new\n");
    drop(output);
    env.wait_for("the end", || logs.try_wait().unwrap());
}

/// An instance `a` with a log file, and a journal without entries.
fn with_log(options: &str) -> Fleet {
    let fleet = fleet("");
    fleet.program(
        "bin/journalctl",
        "#!/bin/sh\ncase \"$*\" in *--follow*) exec sleep 1000;; esac\n",
    );
    let log = fleet.path("log").display().to_string();
    let content = format!("[a]\ncommand = x\noptions = -L {log} {options}\n");
    fleet.file("home/.config/procServ.d/a.conf", &content);
    fleet
}

/// Sets the time of a file, so many hours ago.
fn written(fleet: &Fleet, name: &str, hours: u64) {
    let time = SystemTime::now() - Duration::from_secs(3600 * hours);
    fs::File::options().write(true).open(fleet.path(name)).unwrap().set_modified(time).unwrap();
}

fn compress(fleet: &Fleet, name: &str) {
    let done = Command::new("gzip").arg(fleet.path(name)).status().unwrap();
    assert!(done.success());
}

/// The stamps count, lines without any belong to the last one, and rotated files are searched, too.
fn a_log_file_is_searched_by_time(_: &TestEnv) {
    let fleet = with_log("--logstamp='[%Y-%m-%d %H:%M:%S] '");
    fleet.file("log.2", "[2026-01-02 10:00:00] one\n  at line 7\n[2026-01-02 11:00:00] Two\n");
    compress(&fleet, "log.2");
    fleet.file("log-20260101", "[2026-01-01 10:00:00] first\n");
    fleet.file("log.1", "[2026-01-03 10:00:00] three\nno stamp\n");
    fleet.file("log", "[2026-01-04 10:00:00] four\n[2026-01-04 11:00:00] half");
    let logs = |words: &[&str]| fleet.must(&[&["logs", "--no-time", "a"], words].concat());
    let all = "first\none\n  at line 7\nTwo\nthree\nno stamp\nfour\n";
    assert_eq!(logs(&[]), all);
    assert_eq!(logs(&["-n", "all"]), all);
    assert_eq!(logs(&["-n", "2"]), "no stamp\nfour\n");
    assert_eq!(logs(&["--since", "2026-01-02 10:30"]), "Two\nthree\nno stamp\nfour\n");
    assert_eq!(logs(&["--until", "2026-01-02 10:30"]), "first\none\n  at line 7\n");
    assert_eq!(logs(&["-S", "2026-01-03", "-U", "2026-01-04"]), "three\nno stamp\n");
    assert_eq!(logs(&["-S", "2026-01-02", "-n", "1"]), "four\n");
    assert_eq!(logs(&["-g", "t[wh]"]), "Two\nthree\n");
    assert_eq!(logs(&["-g", "^T"]), "Two\n");
    assert_eq!(logs(&["-g", "^f", "-U", "2026-01-02"]), "first\n");
    assert_eq!(logs(&["--since", "-1h"]), "");
    assert!(fleet.must(&["logs", "a", "-n1"]).ends_with("2026-01-04 10:00:00 four\n"));
    let json = fleet.must(&["logs", "--json", "a", "-n1"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["time_us"].is_u64() && json["message"] == "four\n", "{json}");
    for words in [["-S", "soon"], ["-g", "("]] {
        assert_eq!(fleet.run(&[&["logs", "a"], &words[..]].concat()).code, 2);
    }
    fleet.file("log.3.gz", "no gzip");
    let done = fleet.run(&["logs", "--no-time", "a", "-g", "one"]);
    assert!(
        done.stdout == "one\n" && done.stderr.contains("log.3.gz: can't be decompressed"),
        "{done:?}"
    );
}

fn a_log_file_without_times_is_searched_by_its_own(_: &TestEnv) {
    for options in ["", "--logstamp='%T '"] {
        let fleet = with_log(options);
        for (name, hours) in [("log.2", 9), ("log.1", 5), ("log", 1)] {
            fleet.file(name, &format!("in {name}\n"));
            written(&fleet, name, hours);
        }
        for (words, shown) in [
            (["--since", "-6h"], "in log.1\nin log\n"),
            (["--since", "-2h"], "in log\n"),
            (["--until", "-6h"], "in log.2\nin log.1\n"),
            (["--until", "-10h"], "in log.2\n"),
            (["--since", "-10min"], ""),
        ] {
            let done = fleet.run(&[&["logs", "a"], &words[..]].concat());
            let says = "manage-procs: a: its log has no times (--logstamp): whole files are shown, \
                by when they were written\n";
            assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (shown, says), "{words:?}");
        }
        assert_eq!(fleet.must(&["logs", "a", "-g", "log.1"]), "in log.1\n");
    }
}

fn what_is_followed_is_searched_too(env: &TestEnv) {
    let fleet = with_log("--logstamp='[%F %T] '");
    fleet.file("log", "[2026-01-04 10:00:00] old good\n[2026-01-04 10:00:00] old bad\n");
    let mut logs = fleet.command(&["logs", "--no-time", "-f", "-g", "good", "a"]);
    let mut logs = logs.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(logs.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let mut log = fs::File::options().append(true).open(fleet.path("log")).unwrap();
    log.write_all(b"[2026-01-04 10:00:01] new bad\n[2026-01-04 10:00:02] new good\n").unwrap();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "old good\nnew good\n");
    drop(output);
    env.wait_for("the end", || logs.try_wait().unwrap());
}

fn lines_have_times(_: &TestEnv) {
    let fleet = fleet("");
    let mut command = fleet.command(&["logs"]);
    let output = command.env("TZ", "UTC").output().unwrap();
    let shown = "1970-01-01 00:00:00 a    | one\nlong | two\u{fffd}\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), shown);
}

fn options_go_to_journalctl(_: &TestEnv) {
    let fleet = fleet("");
    for (words, passed) in [
        (&["-n7"][..], "--lines=7"),
        (&["-nall"], "--lines=all"),
        (&["-f"], "--follow --lines=10"),
        (&["--since", "-1h", "-U", "now", "-g", "a b"], "--since=-1h --until=now --grep=a b"),
        (&["--since", "-1h", "-n5"], "--since=-1h --lines=5"),
    ] {
        let words: Vec<&str> = ["logs", "a"].iter().chain(words).copied().collect();
        fleet.must(&words);
        let called = fleet.read("journalctl");
        assert!(called.ends_with(&format!("procserv-a.service {passed}\n")), "{called}");
    }
    assert_eq!(fleet.run(&["logs", "-n", "few"]).code, 2);
}

/// At once, and not with the next line, which may be hours away.
fn who_leaves_ends_logs(env: &TestEnv) {
    let fleet = fleet("exec sleep 1000");
    let mut logs = fleet.command(&["logs", "-f"]);
    let mut logs = logs.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(logs.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("two\u{fffd}\n") {
        assert!(output.read_line(&mut line).unwrap() > 0, "{line:?}");
    }
    drop(output);
    let status = env.wait_for("the end", || logs.try_wait().unwrap());
    let mut said = String::new();
    logs.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    let journal = fleet.read("journalctl");
    let journal = journal.split_whitespace().next().unwrap().to_owned();
    assert!(!fs::exists(format!("/proc/{journal}")).unwrap());
}

fn a_reader_that_leaves_is_no_error(_: &TestEnv) {
    let fleet = fleet("");
    fleet.file("home/.config/procServ.d/bad.conf", "nonsense\n");
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    for words in [&["list"][..], &["status"], &["status", "--json"], &["logs"], &["--help"]] {
        let mut command = fleet.command(words);
        let status = command.stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{words:?}");
    }
}
