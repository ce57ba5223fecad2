//! `why`, and `status` of one instance: what happened, who did it, what to try.

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::TcpListener;

cases![
    the_past_of_a_stopped_instance,
    who_killed_it_and_its_last_words,
    a_crash_loop_and_its_core_dump,
    no_child_until_the_mode_is_on,
    a_unit_that_failed_and_who_has_its_port,
    what_hangs_is_left_out,
    nothing_that_is_read_does_harm,
    status_of_one_is_the_same,
    names_that_are_none,
];

/// With an instance `a`, and stand-ins for journalctl and coredumpctl that print the files `journal`
/// and `cores`.
fn fleet(more: &str) -> Fleet {
    let fleet = Fleet::new();
    fleet.file("home/.config/procServ.d/a.conf", &format!("[a]\ncommand = x\n{more}\n"));
    fleet.must(&["restart", "a"]);
    stand_ins(&fleet);
    fleet
}

fn stand_ins(fleet: &Fleet) {
    let dir = fleet.path("").display().to_string();
    for (program, file) in [("journalctl", "journal"), ("coredumpctl", "cores")] {
        let script = format!("#!/bin/sh\ncat {dir}/{file} 2>/dev/null\nexit 0\n");
        fleet.program(&format!("bin/{program}"), &script);
    }
}

/// Writes the events of `a`, a second apart.
fn record(fleet: &Fleet, events: &[Value]) {
    let line = |(second, event): (usize, &Value)| {
        let mut event = event.clone();
        event["time"] = json!(format!("2020-01-02T03:04:{second:02}.000+00:00"));
        format!("{event}\n")
    };
    let lines: String = events.iter().enumerate().map(line).collect();
    fleet.file("home/.local/state/log/procserv-a/events", &lines);
}

/// Writes the journal of `a`.
fn write_journal(fleet: &Fleet, lines: &[&str]) {
    let line = |text: &&str| format!("{}\n", json!({ "MESSAGE": text, "_PID": "1" }));
    fleet.file("journal", &lines.iter().map(line).collect::<String>());
}

fn why(fleet: &Fleet) -> String {
    let output = fleet.command(&["why", "a"]).env("TZ", "UTC").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn look(fleet: &Fleet) -> Value {
    serde_json::from_str(&fleet.must(&["why", "--json", "a"])).unwrap()
}

/// The line of the page with this label.
fn field<'p>(page: &'p str, label: &str) -> &'p str {
    let start = format!("  {label:8} ");
    let found = page.lines().find_map(|line| line.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("no {label}: {page}"))
}

fn the_past_of_a_stopped_instance(_: &TestEnv) {
    let fleet = fleet("");
    let client = json!({ "id": 3, "uid": 0, "endpoint": "unix:/c" });
    let command = |word| json!({ "event": "command", "command": word, "client": client });
    record(
        &fleet,
        &[
            json!({ "event": "server_start", "pid": 2 }),
            json!({ "event": "child_start", "pid": 7 }),
            json!({ "event": "child_exit", "pid": 7, "signal": 11 }),
            json!({ "event": "child_start", "pid": 8 }),
            command("kill"),
            json!({ "event": "child_exit", "pid": 8, "signal": 9 }),
            command("quit"),
            json!({ "event": "server_exit", "status": 0 }),
        ],
    );
    write_journal(
        &fleet,
        &[
            "before",
            "@@@ The PID of new child \"a\" is: 7",
            "bad address\r",
            "@@@ Received a sigChild for process 7. The process was killed by signal 11",
            "@@@ The PID of new child \"a\" is: 8",
            "of the next one",
            "@@@ Received a sigChild for process 8. The process was killed by signal 9",
        ],
    );
    fleet.file("cores", "Thu 2020-01-02 03:04:03 UTC 7 0 0 SIGSEGV present /x 20K\n");
    let page = why(&fleet);
    let quit = "2020-01-02 03:04:07";
    assert!(page.starts_with(&format!("a: stopped since {quit} (")), "{page}");
    let ends: Vec<&str> = page.split("  end      ").skip(1).collect();
    let by = "by root (uid 0) at unix:/c";
    for (end, says) in ends.iter().zip([
        format!("server: exit 0; server told to quit {by}\n"),
        format!("child (PID 8): SIGKILL after 2s; killed {by}\n           | of the next one\n"),
        "child (PID 7): SIGSEGV after 1s; nobody asked the server for it; \
         core dump: coredumpctl info 7\n           | bad address\n"
            .to_owned(),
    ]) {
        assert!(end.contains(&says), "{says}: {page}");
    }
    assert_eq!(ends.len(), 3);
    let next = "manage-procs --user start a starts it; root had it end on purpose";
    assert_eq!(field(&page, "next"), next);
    assert_eq!(field(&page, "log"), "the journal");
    let found = look(&fleet);
    let end = &found["ends"][2];
    assert_eq!((&found["v"], &found["state"]), (&json!(1), &json!("stopped")));
    assert_eq!((&end["signal"], &end["signal_name"]), (&json!(11), &json!("SIGSEGV")));
    assert_eq!((&end["core"]["pid"], &end["lines"]), (&json!(7), &json!(["bad address"])));
    assert_eq!(found["ends"][1]["by"], "root");
    assert_eq!(found["next"]["command"], "manage-procs --user start a");
}

fn user() -> String {
    let uid = nix::unistd::Uid::current();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| format!("{} (uid {uid})", user.name))
}

/// The log is a file, which has been rotated since the end.
fn who_killed_it_and_its_last_words(env: &TestEnv) {
    let fleet = Fleet::new();
    stand_ins(&fleet);
    let setup = env.server();
    let log = fleet.path("log").display().to_string();
    let more = format!("options = --holdoff 0 --logfile {log}");
    fleet.instance(&setup, "a", "lines 15 cat", &more);
    fleet.must(&["restart", "a"]);
    let server = fleet.launch(env, setup, "a");
    server.child_start(1);
    let control = format!("unix:{}", fleet.path("run/procserv-a/control").display());
    let mut client = server.connect_to(&control);
    client.greeting();
    env.wait_for("its lines", || fleet.read("log").contains("line 15").then_some(()));
    client.send("\u{18}");
    server.child_start(2);
    env.wait_for("the end", || (!look(&fleet)["ends"][0].is_null()).then_some(()));
    fs::rename(fleet.path("log"), fleet.path("log.1")).unwrap();
    fleet.file("log", "newer\n");
    let page = why(&fleet);
    assert!(page.starts_with("a: running since "), "{page}");
    let end = field(&page, "end");
    assert!(end.contains(&format!("; killed by {} at {control}", user())), "{end}");
    let quoted: Vec<&str> =
        page.lines().filter_map(|it| it.strip_prefix("           | ")).collect();
    let expected: Vec<String> = (6..16).map(|number| format!("line {number}")).collect();
    assert_eq!(quoted, expected);
    assert!(field(&page, "attached").starts_with(&user()), "{page}");
    assert_eq!(field(&page, "log"), format!("{log}, 6 bytes"));
    let next = field(&page, "next");
    assert!(next.starts_with("manage-procs --user events --since -1d a shows"), "{next}");
    let found = look(&fleet);
    assert_eq!(found["log"], json!({ "path": log, "size": 6 }));
    assert_eq!(found["clients"][0]["name"].as_str(), user().split(" (").next());
}

fn a_crash_loop_and_its_core_dump(env: &TestEnv) {
    let fleet = Fleet::new();
    stand_ins(&fleet);
    let setup = env.server();
    fleet.instance(&setup, "a", "kill-self SIGABRT", "options = --holdoff 0");
    fleet.must(&["restart", "a"]);
    let _server = fleet.launch(env, setup, "a");
    env.wait_for("the loop", || (look(&fleet)["state"] == "looping").then_some(()));
    let page = why(&fleet);
    assert!(page.starts_with("a: looping since "), "{page}");
    assert!(field(&page, "end").contains(": SIGABRT after 0s; nobody asked"), "{page}");
    let next = field(&page, "next");
    assert!(next.starts_with("manage-procs --user logs -n 100 a "), "{next}");
    assert!(next.ends_with("; manage-procs --user mode a off ends the loop"), "{next}");
    // Of another process of the child, at any time of the last minute.
    let cores = "#!/bin/sh\nnow=$(date +%s)\nseq $((now - 60)) $((now + 1)) | sed s/^/@/ |\n\
        TZ=UTC date -f - '+%a %F %T UTC 4242 0 0 SIGSEGV present /bin/x'\n";
    fleet.program("bin/coredumpctl", cores);
    let next = look(&fleet)["next"]["command"].clone();
    assert_eq!(next, "coredumpctl gdb 4242");
}

fn no_child_until_the_mode_is_on(env: &TestEnv) {
    let fleet = Fleet::new();
    stand_ins(&fleet);
    let setup = env.server();
    fleet.instance(&setup, "a", "cat", "options = --holdoff 0");
    fleet.must(&["restart", "a"]);
    let server = fleet.launch(env, setup, "a");
    server.child_start(1);
    fleet.must(&["mode", "a", "off"]);
    let off = || look(&fleet)["mode_change"]["by"].as_str().map(str::to_owned);
    let by = env.wait_for("who has set it", off);
    assert_eq!(user().split(" (").next(), Some(by.as_str()));
    assert!(field(&why(&fleet), "next").contains(" mode a on undoes the mode OFF, which "));
    fleet.must(&["kill", "a"]);
    env.wait_for("no child", || (look(&fleet)["state"] == "down").then_some(()));
    let page = why(&fleet);
    assert!(field(&page, "mode").starts_with("OFF, auto-restart mode set to OFF by "), "{page}");
    let command = look(&fleet)["next"]["command"].as_str().unwrap().to_owned();
    let words: Vec<&str> = command.split(' ').skip(2).collect();
    assert_eq!(words, ["mode", "a", "on"]);
    fleet.must(&words);
    server.child_start(2);
}

fn a_unit_that_failed_and_who_has_its_port(_: &TestEnv) {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let fleet = fleet(&format!("port = {port}"));
    fleet.file(
        "show",
        "Id=procserv-a.service\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n\
         Result=exit-code\nExecMainStatus=98\nNRestarts=7\n\
         ExecMainExitTimestamp=Thu 2020-01-02 03:04:05 UTC\n",
    );
    let page = why(&fleet);
    let unit = "procserv-a.service: activating (auto-restart), exit status 98, restarts: 7";
    assert!(page.starts_with("a: failed\n") && field(&page, "unit") == unit, "{page}");
    let end = field(&page, "end");
    assert!(end.starts_with("2020-01-02 03:04:05 ("), "{end}");
    assert!(end.ends_with(": server: exit 98; nobody told it to"), "{end}");
    let says = format!("port {port} is in use by ");
    assert!(field(&page, "next").starts_with(&says) && page.contains(&says), "{page}");
    drop(other);
    let page = why(&fleet);
    let status = "exit status 98: systemctl --user status procserv-a.service has the reason";
    assert!(field(&page, "next").starts_with(status), "{page}");
}

fn what_hangs_is_left_out(_: &TestEnv) {
    let fleet = fleet("");
    record(
        &fleet,
        &[
            json!({ "event": "child_start", "pid": 7 }),
            json!({ "event": "child_exit", "pid": 7, "signal": 11 }),
        ],
    );
    for program in ["journalctl", "coredumpctl"] {
        fleet.program(&format!("bin/{program}"), "#!/bin/sh\nexec sleep 600\n");
    }
    let page = why(&fleet);
    assert_eq!(field(&page, "console"), "the journal can't be read: journalctl does not answer");
    assert!(field(&page, "end").contains("SIGSEGV") && page.contains("\n  next "), "{page}");
    for program in ["journalctl", "coredumpctl"] {
        fs::remove_file(fleet.path(&format!("bin/{program}"))).unwrap();
    }
    assert!(why(&fleet).contains("SIGSEGV"));
}

/// A log without an end, lines with control characters, and events that are none.
fn nothing_that_is_read_does_harm(_: &TestEnv) {
    let fleet = fleet("");
    record(
        &fleet,
        &[
            json!({ "event": "child_start", "pid": 7 }),
            json!({ "event": "child_exit", "pid": 7, "code": -1, "started": "\u{1b}" }),
            json!({ "event": ["child_exit"], "pid": {} }),
        ],
    );
    let long = "x".repeat(100_000);
    write_journal(
        &fleet,
        &[
            "@@@ The PID of new child \"a\" is: 7",
            "\u{1b}[2Jred\r\u{202e}\u{7}",
            &long,
            "@@@ Received a sigChild for process 7",
            "@@@ The PID of new child \"a\" is: 99999999999999999999",
        ],
    );
    fleet.file("cores", "\u{1b}[2J\n1 2 3 4 5 6 7 8 9\n");
    let page = why(&fleet);
    let harmful = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
    assert!(!page.contains(harmful), "{page:?}");
    assert!(page.contains("| \\u{1b}[2Jred") && page.len() < 10_000, "{page}");
    let log = fleet.path("log");
    File::create(&log).unwrap().set_len(1 << 40).unwrap();
    let conf = format!("[a]\ncommand = x\noptions = --logfile {}\n", log.display());
    fleet.file("home/.config/procServ.d/a.conf", &conf);
    let page = why(&fleet);
    assert!(field(&page, "log").ends_with("log, 1024 GiB"), "{page}");
}

fn status_of_one_is_the_same(_: &TestEnv) {
    let fleet = fleet("");
    let page = why(&fleet);
    assert_eq!(fleet.must(&["status", "a"]), page);
    assert_eq!(fleet.must(&["status", "--check", "a"]), page);
    for words in [&["status"][..], &["status", "a*"], &["status", "--wide", "a"]] {
        assert!(fleet.must(words).starts_with("NAME "), "{words:?}");
    }
    assert!(fleet.must(&["status", "--json", "a"]).starts_with("[\n"));
    assert_eq!(fleet.must(&["status", "--plain", "a"]), "a Stopped\n");
    fleet.file("home/.config/procServ.d/a.conf", "[a]\ncommand = x\nwhat is this\n");
    let done = fleet.run(&["why", "a"]);
    assert!(done.code == 0 && done.stdout.starts_with("a: broken\n"), "{done:?}");
    assert!(field(&done.stdout, "next").starts_with("manage-procs --user edit a "), "{done:?}");
}

fn names_that_are_none(_: &TestEnv) {
    let fleet = fleet("");
    for (name, code) in [("b", 1), ("*", 2), ("", 2), ("../a", 2)] {
        let done = fleet.run(&["why", name]);
        assert!(done.code == code && done.stdout.is_empty(), "{name}: {done:?}");
    }
    assert_eq!(fleet.run(&["why"]).code, 2);
}
