//! Chapter 4: the launcher, by what a stand-in for procServ gets.

use super::{MAIN, argv, launch, launcher, stand_in};
use crate::manage::fleet::{Done, Fleet};
use crate::support::{TestEnv, cases};
use std::fs;

cases![
    procserv_gets_exactly_this,
    events_go_where_the_section_says,
    the_terminal_is_as_the_section_says,
    a_child_may_survive_its_server,
    a_child_may_be_typed_to_at_the_end,
    what_is_typed_may_be_recorded,
    its_directory_is_chdir,
    the_child_knows_its_name,
    options_stand_before_or_behind_the_name,
    debug_says_what_is_executed,
    a_command_may_begin_with_options,
    procserv_is_found_by_path,
    refusals,
];

fn fleet(more: &str) -> Fleet {
    let fleet = Fleet::new();
    stand_in(&fleet);
    fleet.file(MAIN, &format!("[a]\ncommand = ./st.cmd 'x y'\nchdir = /usr\n{more}"));
    fleet
}

fn expected(fleet: &Fleet, endpoints: &[&str], words: &[&str]) -> Vec<String> {
    let mut all = without_events(fleet, endpoints, words);
    let place = all.iter().position(|word| word == "--port").unwrap();
    let events = fleet.path("home/.local/state/log/procserv-a/events").display().to_string();
    let events = ["--events", &events, "--events-rotate", "1M,3"].map(str::to_owned);
    all.splice(place..place, events);
    all
}

fn without_events(fleet: &Fleet, endpoints: &[&str], words: &[&str]) -> Vec<String> {
    let run = fleet.path("run/procserv-a").display().to_string();
    let mut all: Vec<String> = [
        "--foreground",
        "--notify",
        "--logfile",
        "-",
        "--name",
        "a",
        "--ignore",
        "^D^C^]",
        "--logoutcmd",
        "^D",
        "--chdir",
        "/usr",
        "--info-file",
        &format!("{run}/info"),
        "--status-file",
        &format!("{run}/status"),
        "--api",
        &format!("unix:::0660:{run}/api"),
    ]
    .map(str::to_owned)
    .into();
    let rights = endpoints[0].trim_start_matches("unix:").trim_end_matches("RUN/control");
    let more = [format!("raw:unix:{rights}RUN/raw"), format!("view:unix:{rights}RUN/view")];
    for endpoint in endpoints.iter().copied().chain(more.iter().map(String::as_str)) {
        all.extend(["--port".to_owned(), endpoint.replace("RUN", &run)]);
    }
    all.extend(words.iter().map(|word| (*word).to_owned()));
    all
}

fn procserv_gets_exactly_this(_: &TestEnv) {
    let plain = fleet("");
    assert_eq!(argv(&plain, "a"), expected(&plain, &["unix:RUN/control"], &["./st.cmd", "x y"]));
    let tcp = fleet("port = 2000\noptions = --holdoff 1\n");
    assert_eq!(
        argv(&tcp, "a"),
        expected(
            &tcp,
            &["unix:::0660:RUN/control", "2000"],
            &["--holdoff", "1", "./st.cmd", "x y"]
        )
    );
}

fn events_go_where_the_section_says(_: &TestEnv) {
    let words = ["./st.cmd", "x y"];
    let off = fleet("events = no\n");
    assert_eq!(argv(&off, "a"), without_events(&off, &["unix:RUN/control"], &words));
    assert!(!off.path("home/.local").exists());
    let journal = fleet("events = journal\n");
    assert_eq!(super::values(&argv(&journal, "a"), "--events"), ["journal"]);
    assert!(!journal.path("home/.local").exists());
    let both = fleet("events = both\n");
    let values = super::values(&argv(&both, "a"), "--events");
    assert!(values.len() == 2 && values[0].ends_with("/events") && values[1] == "journal");
    // Nobody can make the directory: the instance runs all the same.
    let blocked = fleet("");
    blocked.file("home/.local/state", "");
    let done = launch(&blocked, &["--user", "a"]);
    assert!(done.code == 0 && done.stderr.contains("no events are recorded: "), "{done:?}");
    let got: Vec<String> = blocked.read("argv").lines().map(str::to_owned).collect();
    assert_eq!(got, without_events(&blocked, &["unix:RUN/control"], &words));
}

fn the_terminal_is_as_the_section_says(_: &TestEnv) {
    let fleet = fleet("term = vt100\nwindow = follow\nevents = no\n");
    let words = argv(&fleet, "a");
    assert_eq!(super::values(&words, "--term"), ["vt100"]);
    assert_eq!(super::values(&words, "--window"), ["follow"]);
    let wrong = self::fleet("window = 80\nchdir = /\n");
    let told = wrong.run(&["doctor"]).stdout;
    let problem = "its server refuses to start: procServ: invalid size '80' for --window";
    assert!(told.contains(problem), "{told}");
}

fn a_child_may_survive_its_server(_: &TestEnv) {
    let fleet = fleet("fdstore = yes\n");
    let words = argv(&fleet, "a");
    assert!(words.contains(&"--fdstore".to_owned()) && !words.contains(&"--notify".to_owned()));
}

fn a_child_may_be_typed_to_at_the_end(_: &TestEnv) {
    let fleet = fleet("stop_input = %% ^Uexit\\r\n");
    let words = argv(&fleet, "a");
    let at = words.iter().position(|word| word == "--stop-input").expect("the option");
    assert_eq!(words[at + 1], "% ^Uexit\\r");
}

fn what_is_typed_may_be_recorded(_: &TestEnv) {
    let option = "--record-input".to_owned();
    assert!(argv(&fleet("record_input = yes\n"), "a").contains(&option));
    assert!(!argv(&fleet("record_input = no\n"), "a").contains(&option));
}

fn its_directory_is_chdir(_: &TestEnv) {
    let fleet = fleet("");
    argv(&fleet, "a");
    assert_eq!(fleet.read("cwd"), "/usr\n");
}

fn the_child_knows_its_name(_: &TestEnv) {
    let fleet = fleet("");
    argv(&fleet, "a");
    let has = |line: &str| fleet.read("env").lines().any(|other| other == line);
    assert!(has("IOCNAME=a") && has("PROCSERV_NAME=a"));
    let mut command = launcher(&fleet, &["--user", "a"]);
    assert!(command.env("IOCNAME", "other").status().unwrap().success());
    assert!(has("IOCNAME=other") && has("PROCSERV_NAME=a"));
}

fn options_stand_before_or_behind_the_name(_: &TestEnv) {
    for words in [
        &["a", "--user"][..],
        &["--system", "a", "--user"],
        &["--system", "--user", "--user", "a"],
        &["--us", "a"],
    ] {
        let fleet = fleet("");
        assert_eq!(launch(&fleet, words).code, 0, "{words:?}");
        assert!(fleet.path("argv").exists());
    }
    let fleet = fleet("");
    // The machine has no such instance.
    let done = launch(&fleet, &["--user", "--system", "a"]);
    assert!(done.code == 1 && done.stderr.contains("Instance 'a' not found"), "{done:?}");
}

fn debug_says_what_is_executed(_: &TestEnv) {
    let fleet = fleet("options = -w\n");
    let done = launch(&fleet, &["--user", "-d", "a"]);
    assert!(done.stderr.contains("/usr") && done.stderr.contains("/bin/procServ"), "{done:?}");
    assert!(!fleet.read("argv").contains("--debug"));
    for words in [["--user", "-dd", "a"], ["-d", "--user", "a"]] {
        let more: &[&str] = if words[0] == "-d" { &["--debug"] } else { &[] };
        assert_eq!(launch(&fleet, &[&words, more].concat()).code, 0);
        let argv: Vec<String> = fleet.read("argv").lines().map(str::to_owned).collect();
        let words = ["--debug", "-w", "./st.cmd", "x y"];
        assert_eq!(argv, expected(&fleet, &["unix:RUN/control"], &words));
    }
}

fn a_command_may_begin_with_options(_: &TestEnv) {
    let fleet = fleet("");
    fleet.file(MAIN, "[a]\ncommand = --holdoff 5 ./st.cmd -x\nchdir = /usr\n");
    let words = ["--holdoff", "5", "./st.cmd", "-x"];
    assert_eq!(argv(&fleet, "a"), expected(&fleet, &["unix:RUN/control"], &words));
}

fn procserv_is_found_by_path(_: &TestEnv) {
    let fleet = fleet("");
    fleet.program("first/procServ", "#!/bin/sh\necho first\n");
    let path =
        format!("relative:{}:{}", fleet.path("first").display(), fleet.path("bin").display());
    let done: Done = launcher(&fleet, &["--user", "a"]).env("PATH", path).output().unwrap().into();
    assert_eq!(done.stdout, "first\n");
}

fn refusals(_: &TestEnv) {
    let fleet = fleet(
        "[off]\ncommand = x\ninstance = off\n[none]\n[open]\ncommand = 'x\n[lost]\ncommand = x\nchdir = /nonexistent\n",
    );
    for (words, code, says) in [
        (&["--user", "b"][..], 1, "Instance 'b' not found"),
        (&["--user", "off"], 1, "'off' not an instance"),
        (&["--user", "none"], 1, "instance 'none' missing command="),
        (&["--user", "open"], 1, "a ' is not closed"),
        (&["--user", "lost"], 1, "/nonexistent: No such file or directory"),
        (&["--user", "--frob", "a"], 2, "--frob"),
        (&["--user"], 2, "name"),
        (&["--user", "a", "b"], 2, "'b'"),
    ] {
        let done = launch(&fleet, words);
        assert!(done.code == code && done.stderr.contains(says), "{words:?}: {done:?}");
        assert!(!fleet.path("argv").exists());
    }
    let help = launch(&fleet, &["-h"]);
    assert!(help.code == 0 && help.stdout.contains("--debug"), "{help:?}");
    assert!(fs::read_dir(fleet.path("run")).unwrap().next().is_none());
}
