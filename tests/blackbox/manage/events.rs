//! `events`: the events files of instances, written by hand and by real servers.

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

cases![
    files_are_merged_by_time,
    times_select_events,
    a_server_is_told_of,
    nothing_in_a_file_does_harm,
    who_has_no_events_is_named,
    the_journal_is_read_once_for_all,
    a_journal_that_does_not_answer_is_a_failure,
    new_events_are_followed_over_a_rotation,
    a_terminal_has_a_pager,
];

/// With instances `a` and `bb`, whose events files are `a` and `bb` in the directory `events`.
fn fleet() -> Fleet {
    let fleet = Fleet::new();
    for name in ["a", "bb"] {
        fleet.file(&format!("events/{name}"), "");
        let file = fleet.path("events").join(name).display().to_string();
        let content = format!("[{name}]\ncommand = x\noptions = --events {file}\n");
        fleet.file(&format!("home/.config/procServ.d/{name}.conf"), &content);
    }
    fleet
}

/// A line for the start of a child at a second of a day.
fn start(second: u32, pid: u32) -> String {
    let time = format!("2020-01-02T03:04:{second:02}.000+00:00");
    format!("{{\"v\":1,\"time\":\"{time}\",\"event\":\"child_start\",\"pid\":{pid}}}\n")
}

/// The last numbers of lines, which are PIDs.
fn pids(lines: &str) -> Vec<u32> {
    let pid = |line: &str| line.rsplit(' ').next()?.trim_end_matches(')').parse().ok();
    lines.lines().filter_map(pid).collect()
}

fn files_are_merged_by_time(_: &TestEnv) {
    let fleet = fleet();
    fleet.file("events/a.2", &start(1, 1));
    fleet.file("events/a.1", &(start(3, 3) + &start(5, 5)));
    fleet.file("events/a", &start(7, 7));
    fleet.file("events/bb", &(start(2, 2) + &start(4, 4) + &start(6, 6) + "{\"half\":"));
    // The one file is behind a symbolic link.
    fs::rename(fleet.path("events/a"), fleet.path("events/real")).unwrap();
    for number in [1, 2] {
        let (from, to) = (format!("events/a.{number}"), format!("events/real.{number}"));
        fs::rename(fleet.path(&from), fleet.path(&to)).unwrap();
    }
    std::os::unix::fs::symlink("real", fleet.path("events/a")).unwrap();
    let mut command = fleet.command(&["events"]);
    let output = command.env("TZ", "UTC").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(pids(&text), [1, 2, 3, 4, 5, 6, 7]);
    let first = "2020-01-02 03:04:01 a  child started (PID 1)\n\
        2020-01-02 03:04:02 bb child started (PID 2)\n";
    assert!(text.starts_with(first), "{text}");
    assert_eq!(pids(&fleet.must(&["events", "b*"])), [2, 4, 6]);
    let json = fleet.must(&["events", "--json", "bb"]);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((first["instance"].as_str(), first["pid"].as_u64()), (Some("bb"), Some(2)));
    assert_eq!((json.lines().count(), first["event"].as_str()), (3, Some("child_start")));
}

fn times_select_events(_: &TestEnv) {
    let fleet = fleet();
    fleet.file("events/a.1", &(0..20).map(|it| start(it, it)).collect::<String>());
    fleet.file("events/a", &(20..60).map(|it| start(it, it)).collect::<String>());
    let shown = |words: &[&str]| {
        let words: Vec<&str> = ["events", "a"].iter().chain(words).copied().collect();
        pids(&fleet.must(&words))
    };
    assert_eq!(shown(&["--since", "2020-01-02 03:04:58 UTC"]), [58, 59]);
    assert_eq!(shown(&["-U", "2020-01-02 03:04:01 UTC"]), [0, 1]);
    assert_eq!(shown(&["-S@1577934258", "-U", "2020-01-02 03:04:20.5 UTC"]), [18, 19, 20]);
    assert_eq!(shown(&["--since", "-1h"]), [0; 0]);
    for words in [&["--since", "soon"][..], &["-f", "--until", "now"]] {
        let words: Vec<&str> = ["events"].iter().chain(words).copied().collect();
        assert_eq!(fleet.run(&words).code, 2, "{words:?}");
    }
    let done = fleet.run(&["events", "--until", "soon"]);
    assert!(done.stderr.starts_with("manage-procs: --until: \"soon\" is not a time"), "{done:?}");
}

fn a_server_is_told_of(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    let events = fleet.path("events").display().to_string();
    fleet.instance(&setup, "ioc1", "say up cat", &format!("options = --events {events}"));
    let server = fleet.launch(env, setup, "ioc1");
    let attach = || {
        let mut attach = fleet.command(&["attach", "ioc1"]);
        attach.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut attach = attach.spawn().unwrap();
        std::io::Write::write_all(attach.stdin.as_mut().unwrap(), b"\x18").unwrap();
        attach
    };
    let mut client = attach();
    let uid = nix::unistd::Uid::current();
    let user = nix::unistd::User::from_uid(uid).unwrap().unwrap().name;
    let socket = fleet.path("run/procserv-ioc1/control");
    let killed = format!(" ioc1 killed by {user} (uid {uid}) at unix:{}\n", socket.display());
    let text = env.wait_for("the kill", || {
        let text = fleet.must(&["events", "--since", "-1h"]);
        (text.contains(&killed) && text.contains(" ioc1 child died of SIGKILL (PID "))
            .then_some(text)
    });
    assert!(text.lines().next().unwrap().contains(" ioc1 server started (PID "), "{text}");
    client.kill().unwrap();
    client.wait().unwrap();
    drop(server);
}

/// The user of an instance writes what the files have, and may put anything in their place.
fn nothing_in_a_file_does_harm(_: &TestEnv) {
    let fleet = fleet();
    let time = "2020-01-02T03:04:05Z";
    let event = serde_json::json!({
        "time": time, "event": "trouble", "with": "\u{1b}[2J", "reason": "x\n03:04:05 bb forged\u{202e}"
    });
    let deep = format!("{{\"time\":\"{time}\",\"event\":{}", "[".repeat(100_000));
    let long = format!("{{\"time\":\"{time}\",\"event\":\"{}\"}}", "x".repeat(1_000_000));
    let strange = format!("{{\"time\":\"{time}\",\"event\":[],\"client\":7,\"pid\":{{}}}}");
    fleet.file("events/a", &format!("{deep}\n{long}\n{event}\n{strange}\n\0\n"));
    let text = fleet.must(&["events", "a"]);
    assert!(!text.contains('\x1b') && text.lines().count() == 3, "{text}");
    assert!(text.contains("\\u{1b}[2J fails: x\\n03:04:05 bb forged\\u{202e}\n"), "{text}");
    fs::remove_file(fleet.path("events/a")).unwrap();
    nix::unistd::mkfifo(&fleet.path("events/a"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fleet.file("events/bb", &start(1, 1));
    let done = fleet.run(&["events"]);
    assert_eq!((done.code, pids(&done.stdout)), (1, vec![1]));
    assert!(done.stderr.starts_with("manage-procs: a: "), "{done:?}");
}

fn who_has_no_events_is_named(_: &TestEnv) {
    let fleet = fleet();
    fs::remove_file(fleet.path("events/a")).unwrap();
    fleet.file(
        "home/.config/procServ.conf",
        "[none]\ncommand = x\nevents = no\n[usual]\ncommand = x\n",
    );
    let done = fleet.run(&["events"]);
    let says = "manage-procs: no events are recorded (key events) by none\n";
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, "", says));
    fleet.file("home/.local/state/log/procserv-usual/events", &start(1, 5));
    assert_eq!(pids(&fleet.must(&["events", "usual"])), [5]);
    let done = fleet.run(&["events", "none"]);
    assert_eq!(done.stderr, "manage-procs: no events are recorded (key events): none\n");
    assert_eq!(done.code, 1);
}

/// A stand-in for journalctl that writes down its arguments and prints these events, newest first.
fn journal(fleet: &Fleet, events: &[(&str, &str)]) {
    let uid = nix::unistd::Uid::current().to_string();
    let entry = |(name, line): &(&str, &str)| {
        let unit = format!("procserv-{name}.service");
        json!({ "PROCSERV_JSON": line.trim_end(), "_SYSTEMD_USER_UNIT": unit, "_UID": uid })
    };
    let entries: String = events.iter().map(|event| format!("echo '{}'\n", entry(event))).collect();
    let dir = fleet.path("").display().to_string();
    let script = format!("#!/bin/sh\necho \"$*\" >>{dir}/journalctl\n{entries}");
    fleet.program("bin/journalctl", &script);
}

fn the_journal_is_read_once_for_all(_: &TestEnv) {
    let fleet = fleet();
    journal(&fleet, &[]);
    fleet.file("events/a", &(start(1, 1) + &start(3, 3)));
    assert_eq!(pids(&fleet.must(&["events"])), [1, 3]);
    assert!(!fleet.path("journalctl").exists(), "nobody sends events there");

    fleet.file(
        "home/.config/procServ.conf",
        "[both]\ncommand = x\nevents = both\n[alone]\ncommand = x\nevents = journal\n",
    );
    fleet.file("home/.local/state/log/procserv-both/events", &(start(2, 2) + &start(6, 6)));
    let lost = start(7, 9).replace("child_start", "events_lost");
    let both = [start(2, 2), start(5, 5), start(6, 6)];
    let alone = start(4, 4);
    journal(
        &fleet,
        &[
            ("both", &lost),
            ("both", &both[2]),
            ("both", &both[1]),
            ("alone", &alone),
            ("a", &start(4, 100)),
            ("both", &both[0]),
        ],
    );
    let done = fleet.run(&["events", "--since", "2020-01-02 03:04:01 UTC"]);
    assert_eq!(
        (pids(&done.stdout), done.code, done.stderr.as_str()),
        (vec![1, 2, 3, 4, 5, 6], 0, "")
    );
    let calls = fleet.read("journalctl");
    assert!(calls.lines().count() == 1 && calls.contains(" --since=@1577934241 "), "{calls}");
    let json = fleet.must(&["events", "--json", "alone"]);
    assert!(json.contains("\"instance\":\"alone\"") && json.lines().count() == 1, "{json}");
}

fn a_journal_that_does_not_answer_is_a_failure(_: &TestEnv) {
    let fleet = fleet();
    fleet.file("home/.config/procServ.conf", "[both]\ncommand = x\nevents = both\n");
    fleet.file("home/.local/state/log/procserv-both/events", &start(2, 2));
    fleet.program("bin/journalctl", "#!/bin/sh\nexit 3\n");
    let done = fleet.run(&["events"]);
    let says = "manage-procs: the journal can't be read: journalctl: exit status: 3\n";
    assert_eq!((pids(&done.stdout), done.code, done.stderr.as_str()), (vec![2], 1, says));
    fleet.program("bin/journalctl", "#!/bin/sh\nexec sleep 1000\n");
    let done = fleet.run(&["events"]);
    assert_eq!((pids(&done.stdout), done.code), (vec![2], 1));
    assert!(done.stderr.ends_with("journalctl does not answer\n"), "{}", done.stderr);
}

fn new_events_are_followed_over_a_rotation(env: &TestEnv) {
    let fleet = fleet();
    fs::remove_file(fleet.path("events/bb")).unwrap();
    fleet.file("events/a", &(0..20).map(|it| start(it, it)).collect::<String>());
    let mut events = fleet.command(&["events", "-f"]);
    let mut events = events.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(events.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0);
        pids(&line)
    };
    for pid in 10..20 {
        assert_eq!(next(), [pid]);
    }
    fleet.file("events/bb", &start(1, 100));
    assert_eq!(next(), [100]);
    fs::rename(fleet.path("events/a"), fleet.path("events/a.1")).unwrap();
    fleet.file("events/a", &start(30, 101));
    assert_eq!(next(), [101]);
    drop(output);
    let status = env.wait_for("the end", || events.try_wait().unwrap());
    let mut said = String::new();
    events.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

fn a_terminal_has_a_pager(_: &TestEnv) {
    let fleet = fleet();
    fleet.file("events/a", &start(1, 1));
    let paged = fleet.path("paged").display().to_string();
    fleet.program("bin/pager", &format!("#!/bin/sh\necho \"$LESS $1\" >{paged}; cat >>{paged}\n"));
    let run = |words: &[&str], variables: &[(&str, &str)]| {
        let terminal = nix::pty::openpty(None, None).unwrap();
        let mut command = fleet.command(words);
        command.stdout(terminal.slave).env("TERM", "vt100").envs(variables.iter().copied());
        command.env_remove("SUDO_UID");
        let status = command.status().unwrap();
        assert_eq!(status.code(), Some(0), "{words:?}");
        let paged = fs::read_to_string(fleet.path("paged")).unwrap_or_default();
        let _ = fs::remove_file(fleet.path("paged"));
        paged
    };
    let text = run(&["events"], &[("PAGER", "pager -x")]);
    assert!(text.starts_with("FRSXMK -x\n") && pids(&text) == [1], "{text}");
    let text =
        run(&["events"], &[("PAGER", "x"), ("SYSTEMD_PAGER", "pager"), ("SYSTEMD_LESS", "F")]);
    assert!(text.starts_with("F \n") && pids(&text) == [1], "{text}");
    assert_eq!(run(&["events"], &[("PAGER", "pager"), ("SYSTEMD_PAGER", "")]), "");
    assert_eq!(run(&["events"], &[("PAGER", "pager"), ("TERM", "dumb")]), "");
}
