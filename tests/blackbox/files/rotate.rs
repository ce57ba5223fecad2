//! `--log-rotate`, `--events-rotate`: together the files are the log, or the events.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{events_in, kinds, wait_events};
use crate::support::{TestEnv, TestServer, cases, find};

cases![
    every_byte_is_in_one_of_the_files,
    only_so_many_are_kept,
    without_a_line_end_it_is_cut_at_twice_the_size,
    with_stamps,
    a_log_that_was_there_counts,
    copytruncate_and_sighup_begin_anew,
    a_failing_rename_is_said_once_and_the_log_goes_on,
    an_upgrade_changes_nothing,
    who_could_read_it_still_can,
    it_needs_a_file_and_a_size,
    each_event_is_whole_in_one_of_the_files,
    only_so_many_events_are_kept,
    failing_rename_of_events_is_told_once,
];

const LINE: usize = 64;

fn sizes(server: &TestServer) -> Vec<usize> {
    let older = (1..).map(|number| server.path(format!("log.{number}")));
    let older = older.map_while(|path| fs::read(path).ok()).map(|content| content.len());
    older.collect()
}

/// The contents, the oldest first.
fn files(server: &TestServer) -> Vec<Vec<u8>> {
    // While they are being renamed, one may be missing.
    let read = |name: String| fs::read(server.path(name)).unwrap_or_default();
    let count = sizes(server).len();
    (1..=count)
        .rev()
        .map(|number| read(format!("log.{number}")))
        .chain([read("log".into())])
        .collect()
}

/// Waits until the last words are in one of them, and none is to be renamed any more: a log of that
/// size makes way.
fn wait_end(env: &TestEnv, server: &TestServer, size: usize) {
    let end = |text: &[u8]| find(text, b"the end\r\n").is_some();
    env.wait_for("the end", || {
        let log = fs::read(server.path("log")).ok()?;
        let at_rest = if end(&log) {
            log.len() < size
        } else {
            // The renaming is over with this one.
            end(&fs::read(server.path("log.1")).unwrap_or_default())
        };
        at_rest.then_some(())
    });
}

fn every_byte_is_in_one_of_the_files(env: &TestEnv) {
    // Hundreds of files are synced and renamed.
    let env = &env.with_timeout(Duration::from_secs(60));
    let options = ["--log-rotate", "10k,1000"];
    let child = ["wait-for", "go", "emit", "3000000", "say", "the end", "cat"];
    let setup = env.server().logged().opts(options).child(child);
    let server = setup.start();
    let mut user = server.connect();
    user.greeting();
    fs::write(server.path("go"), "").unwrap();
    wait_end(env, &server, 10_240);
    let all = files(&server);
    assert!(all.len() > 250, "{}", all.len());
    for file in &all[..all.len() - 1] {
        assert!((10_240..10_240 + 2 * LINE).contains(&file.len()), "{}", file.len());
        assert!(file.ends_with(b"\n"));
    }
    let all = all.concat();
    let text = all.strip_suffix(b"the end\r\n").unwrap();
    let start = find(text, b"is: ").unwrap();
    let emitted: Vec<u8> = text[text.len() - 3_000_000..].to_vec();
    assert!(start < text.len() - 3_000_000);
    // The same in the same order, as an unrotated log has it.
    let plain = env.server().logged().child(["emit", "3000000", "say", "the end", "cat"]).start();
    let log = plain.file_with("log", "the end\r\n");
    let log = log.strip_suffix(b"the end\r\n").unwrap();
    assert!(log[log.len() - 3_000_000..] == emitted, "not the same");
}

fn only_so_many_are_kept(env: &TestEnv) {
    let child = ["lines", "5000", "say", "the end", "cat"];
    for (option, size, kept) in [("1000", 1000, 5), ("1K,2", 1024, 2), ("1k,1", 1024, 1)] {
        let server = env.server().logged().opts(["--log-rotate", option]).child(child).start();
        wait_end(env, &server, size);
        assert_eq!(sizes(&server).len(), kept);
        let all = files(&server).concat();
        let lines = String::from_utf8(all).unwrap();
        let lines: Vec<&str> = lines.lines().collect();
        let first: usize = lines[0].strip_prefix("line ").unwrap().parse().unwrap();
        let expected: Vec<String> = (first..=5000).map(|number| format!("line {number}")).collect();
        assert_eq!(lines[..lines.len() - 1], expected);
    }
}

fn without_a_line_end_it_is_cut_at_twice_the_size(env: &TestEnv) {
    let text = "x".repeat(5000);
    let child = ["print", &text, "wait"];
    let server = env.server().logged().opts(["--log-rotate", "1000,20"]).child(child).start();
    env.wait_for("all of it", || {
        let count = files(&server).concat().iter().filter(|&&byte| byte == b'x').count();
        (count == 5000).then_some(())
    });
    let sizes = sizes(&server);
    assert!(sizes.len() >= 2);
    assert!(sizes[..2].iter().all(|&size| size == 2000), "{sizes:?}");
}

fn with_stamps(env: &TestEnv) {
    let options = ["--log-rotate", "1000,100", "--logstamp=[%Y] "];
    let child = ["lines", "1000", "say", "the end", "cat"];
    let server = env.server().logged().opts(options).child(child).start();
    wait_end(env, &server, 1000);
    for file in files(&server) {
        let text = String::from_utf8(file).unwrap();
        for line in text.split_inclusive("\r\n").filter(|line| line.contains("line ")) {
            assert!(line.starts_with("[2") && line.ends_with("\r\n"), "{line:?}");
        }
    }
}

fn a_log_that_was_there_counts(env: &TestEnv) {
    let before = "before\n".repeat(500);
    let setup = env.server().logged().opts(["--log-rotate", "1000"]).with_file("log", &before);
    let server = setup.child(["say", "hello", "cat"]).start();
    server.file_with("log", "hello");
    let older = server.file("log.1");
    assert!(older.starts_with(before.as_bytes()) && older.len() < before.len() + 100);
}

fn copytruncate_and_sighup_begin_anew(env: &TestEnv) {
    let options = ["--log-rotate", "1000", "--events", "events"];
    let server = env.server().logged().opts(options).start();
    let mut user = server.connect();
    user.greeting();
    // Nine times 90 bytes, then cut by somebody else: nothing of it counts any more.
    let line = "y".repeat(88);
    for round in 1..=3 {
        for _ in 0..4 {
            user.send(format!("{line}\r"));
            user.until(&line);
            user.until(&line);
        }
        // The echo and the answer, all of it: what came later would count after the cut.
        env.wait_for("all lines in the log", || {
            let log = String::from_utf8_lossy(&server.file("log")).into_owned();
            (log.matches(&format!("{line}\r\n")).count() == 8).then_some(())
        });
        if round == 2 {
            fs::rename(server.path("log"), server.path("elsewhere")).unwrap();
            server.signal(Signal::SIGHUP);
            wait_events(env, &server, "signal", 1);
            env.wait_for("the new log", || fs::metadata(server.path("log")).ok());
        } else {
            File::options().write(true).open(server.path("log")).unwrap().set_len(0).unwrap();
        }
    }
    assert_eq!(sizes(&server), [0; 0]);
}

fn a_failing_rename_is_said_once_and_the_log_goes_on(env: &TestEnv) {
    let setup = env.server().logged().opts(["--log-rotate", "1000,1", "--events", "events"]);
    fs::create_dir(setup.path("log.1")).unwrap();
    let child =
        ["lines", "500", "say", "half", "wait-for", "go", "lines", "500", "say", "the end", "cat"];
    let server = setup.child(child).start();
    let log = server.file_with("log", "half");
    let text = "@@@ Log file log: Is a directory, it is not being rotated\r\n";
    server.file_with("log", text);
    assert_eq!(wait_events(env, &server, "trouble", 1)[0]["with"], "log_rotate");
    assert!(find(&log, b"line 1\r\n").is_some());
    fs::remove_dir(server.path("log.1")).unwrap();
    fs::write(server.path("go"), "").unwrap();
    server.file_with("log", "the end\r\n");
    let mut user = server.connect();
    user.greeting();
    // It is tried again a second later at the earliest, and when there is something to write.
    env.wait_for("the rotation", || {
        user.send("and on\r");
        fs::metadata(server.path("log.1")).ok()
    });
    assert_eq!(wait_events(env, &server, "recovery", 1)[0]["with"], "log_rotate");
    let all = String::from_utf8(files(&server).concat()).unwrap();
    assert_eq!(all.matches("it is not being rotated").count(), 1);
    for number in 1..=500 {
        assert_eq!(all.matches(&format!("line {number}\r\n")).count(), 2);
    }
}

fn an_upgrade_changes_nothing(env: &TestEnv) {
    let options = ["--log-rotate", "4k,1000", "--events", "events"];
    let child = ["wait-for", "go", "lines", "100000", "say", "the end", "cat"];
    let server = env.server().logged().opts(options).child(child).start();
    server.child_start(1);
    fs::write(server.path("go"), "").unwrap();
    for round in 1..=3 {
        server.signal(Signal::SIGUSR1);
        wait_events(env, &server, "server_upgrade", round);
    }
    wait_end(env, &server, 4096);
    let all = String::from_utf8(files(&server).concat()).unwrap();
    // The news of an upgrade may stand in the middle of a line, even of its end.
    let lines = all.lines().filter(|line| !line.starts_with("@@@ "));
    let lines = lines.map(|line| line.trim_end_matches('\r'));
    let expected = (1..=100_000).map(|number| format!("line {number}"));
    let expected = expected.chain(["the end".to_owned()]);
    assert!(lines.collect::<String>() == expected.collect::<String>());
}

fn who_could_read_it_still_can(env: &TestEnv) {
    let setup = env.server().logged().opts(["--log-rotate", "1000"]).with_file("log", "");
    fs::set_permissions(setup.path("log"), fs::Permissions::from_mode(0o620)).unwrap();
    let server = setup.child(["lines", "1000", "say", "the end", "cat"]).start();
    wait_end(env, &server, 1000);
    // The first one is there before it has its rights, but never with more than these.
    let mode = |name| Some(fs::metadata(server.path(name)).ok()?.permissions().mode() & 0o777);
    env.wait_for("the log's rights", || {
        let mode = mode("log")?;
        assert_eq!(mode & !0o620, 0);
        (mode == 0o620).then_some(())
    });
    for name in ["log.1", "log.5"] {
        assert_eq!(mode(name), Some(0o620), "{name}");
    }
}

fn it_needs_a_file_and_a_size(env: &TestEnv) {
    let needs = "procServ: --log-rotate needs --logfile with a file\n";
    let size = "procServ: --log-rotate needs a size (1000, 64k, 10M, 2G) and perhaps ,<keep>\n";
    let events_size = &size.replace("log-rotate", "events-rotate");
    for (options, text) in [
        (&["--log-rotate", "1k"][..], needs),
        (&["-L", "-", "--log-rotate", "1k"], needs),
        (&["-L", "log", "--log-rotate", "0"], size),
        (&["-L", "log", "--log-rotate", ""], size),
        (&["-L", "log", "--log-rotate", "k"], size),
        (&["-L", "log", "--log-rotate", "1k,"], size),
        (&["-L", "log", "--log-rotate", "1k,0"], size),
        (&["-L", "log", "--log-rotate", "1k,1001"], size),
        (&["-L", "log", "--log-rotate", "-1"], size),
        (&["-L", "log", "--log-rotate", "1T"], size),
        (&["-L", "log", "--log-rotate", "99999999999G"], size),
        (&["--events-rotate", "1k"], "procServ: --events-rotate needs --events\n"),
        (
            &["--events", "journal", "--events-rotate", "1k"],
            "procServ: --events-rotate needs --events with a file\n",
        ),
        (&["--events", "events", "--events-rotate", "0"], events_size),
        (&["--events", "events", "--events-rotate", "1k,0"], events_size),
    ] {
        env.server().opts(options.iter().copied()).run().assert(1, "", text);
    }
}

/// The events files there are, the oldest first.
fn events_files(server: &TestServer) -> Vec<String> {
    let older = (1..).map(|number| format!("events.{number}"));
    let mut names: Vec<String> = older.take_while(|name| server.path(name).exists()).collect();
    names.reverse();
    names.push("events".to_owned());
    names
}

/// A server whose events have been rotated as `rule` says, and that has ended.
fn server_with_events(env: &TestEnv, rule: &str) -> TestServer {
    let server = env.server().opts(["--events", "events", "--events-rotate", rule]).start();
    for _ in 0..30 {
        server.connect().greeting();
    }
    assert!(server.terminate().success());
    server
}

fn each_event_is_whole_in_one_of_the_files(env: &TestEnv) {
    // The first size is less than that of any event.
    for (rule, size) in [("10,1000", 10), ("2k,1000", 2048)] {
        let server = server_with_events(env, rule);
        let names = events_files(&server);
        let all: Vec<_> = names.iter().flat_map(|name| events_in(&server, name)).collect();
        let count = |kind: &str| all.iter().filter(|event| event["event"] == kind).count();
        assert_eq!((count("connect"), count("disconnect")), (30, 30));
        let kinds = kinds(&all);
        assert_eq!((&*kinds[0], &*kinds[kinds.len() - 1]), ("server_start", "server_exit"));
        let older = &names[..names.len() - 1];
        assert!(older.len() >= 60 * 100 / size.max(100) - 1, "{names:?}");
        for name in older {
            let text = String::from_utf8(server.file(name)).unwrap();
            let last = text.lines().last().unwrap();
            assert!(text.len() >= size && text.len() - last.len() - 1 < size, "{text}");
        }
    }
}

fn only_so_many_events_are_kept(env: &TestEnv) {
    for (rule, kept) in [("500,2", 2), ("500", 5)] {
        let server = server_with_events(env, rule);
        assert_eq!(events_files(&server).len(), kept + 1, "{rule}");
        assert!(!server.path(format!("events.{}", kept + 1)).exists());
    }
}

fn failing_rename_of_events_is_told_once(env: &TestEnv) {
    let events = ["--events", "events", "--events-rotate", "500,1"];
    let setup = env.server().logged().opts(events);
    fs::create_dir(setup.path("events.1")).unwrap();
    let server = setup.start();
    let told = "@@@ Events file: Is a directory, it is not being rotated\r\n";
    server.connect().greeting();
    server.connect().greeting();
    let log = server.file_with("log", told);
    assert_eq!(String::from_utf8_lossy(&log).matches(told).count(), 1);
    assert_eq!(wait_events(env, &server, "trouble", 1)[0]["with"], "events_rotate");
    fs::remove_dir(server.path("events.1")).unwrap();
    // The rotation is tried again when there is something to write.
    let recovery = env.wait_for("the rotation", || {
        server.connect().greeting();
        let mut events = events_files(&server).into_iter().flat_map(|name| {
            let path = server.path(name);
            fs::read_to_string(path)
                .unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        events.find(|line| line.contains("\"recovery\""))
    });
    assert!(recovery.contains("events_rotate"), "{recovery}");
}
