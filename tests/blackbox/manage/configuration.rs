//! Files, units, `add`, `remove`, `list`.

use crate::manage::fleet::{Fleet, MANAGE};
use crate::support::{TestEnv, cases};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

cases![
    add_makes_an_instance,
    unit_is_what_procservs_helper_makes,
    what_was_added_is_read_as_it_was,
    names_lead_nowhere_else,
    nothing_is_replaced_unasked,
    a_command_that_is_not_there_is_refused,
    systemctl_that_fails_is_said,
    nothing_is_left_of_a_killed_set,
    an_add_that_was_interrupted_is_finished,
    remove_leaves_nothing,
    remove_finishes_what_was_interrupted,
    instances_of_the_main_file_are_removed_there,
    patterns_choose,
    an_edited_instance_gets_a_new_unit,
    a_bad_file_spoils_no_other,
    generators_make_units,
    values_end_with_their_line,
    what_could_not_be_read_is_not_added,
    command_lines_that_are_none,
];

const CONF: &str = "home/.config/procServ.d/ioc1.conf";
const UNIT: &str = "home/.config/procServ.d/procserv-ioc1.service";

fn with_ioc() -> Fleet {
    let fleet = Fleet::new();
    fleet.program("ioc1/st.cmd", "#!/bin/sh\n");
    fleet
}

fn add(fleet: &Fleet, words: &[&str]) -> String {
    let dir = fleet.path("ioc1");
    fleet.must(&[&["add", "-C", dir.to_str().unwrap()], words].concat())
}

fn add_makes_an_instance(_: &TestEnv) {
    let fleet = with_ioc();
    assert_eq!(add(&fleet, &["ioc1", "st.cmd", "a b"]), "# manage-procs --user start ioc1\n");
    let dir = fleet.path("ioc1").display().to_string();
    assert_eq!(
        fleet.read(CONF),
        format!("\n[ioc1]\ncommand = {dir}/st.cmd 'a b'\nchdir = {dir}\n")
    );
    let unit = fleet.path(UNIT).display().to_string();
    assert_eq!(
        fleet.read("systemctl"),
        format!("--user enable --quiet --no-reload {unit}\n--user daemon-reload\n")
    );
    assert_eq!(fleet.names("home/.config/procServ.d"), ["ioc1.conf", "procserv-ioc1.service"]);
    assert_eq!(add(&fleet, &["-A", "ioc2", "./st.cmd"]), "");
    assert!(fleet.read("systemctl").ends_with("--user start procserv-ioc2.service\n"));
}

/// Against the unit that its users show.
fn unit_is_what_procservs_helper_makes(_: &TestEnv) {
    let fleet = with_ioc();
    add(&fleet, &["-e", "FOO=a \"b\"", "-e", "BAR=%", "-E", "/tmp", "ioc1", "st.cmd"]);
    let unit = fleet.read(UNIT);
    let lines: Vec<&str> = unit.lines().filter(|line| !line.is_empty()).collect();
    let start = lines.iter().position(|line| line.starts_with("ExecStart=")).unwrap();
    assert!(lines[start].ends_with(" --user ioc1"), "{}", lines[start]);
    let dir = fleet.path("ioc1").display().to_string();
    let expected = [
        "[Unit]",
        "Description=procServ for ioc1",
        "After=network.target remote-fs.target",
        "StartLimitIntervalSec=0",
        &format!("ConditionPathIsDirectory={dir}"),
        "[Service]",
        "Type=notify",
        "EnvironmentFile=/tmp",
        r#"Environment="FOO=a \"b\"" "BAR=%%""#,
        lines[start],
        "RuntimeDirectory=procserv-ioc1",
        "RuntimeDirectoryPreserve=restart",
        // Theirs has syslog, which systemd takes as this and complains.
        "StandardOutput=journal",
        "StandardError=inherit",
        "SyslogIdentifier=procserv-ioc1",
        // Theirs has none of these.
        "Restart=on-failure",
        "OOMPolicy=continue",
        "LogRateLimitBurst=100000",
        "RestartSec=2",
        "KillMode=mixed",
        "[Install]",
        // Theirs has multi-user.target, which a user's systemd doesn't know.
        "WantedBy=default.target",
    ];
    assert_eq!(lines[1..], expected);
    // Theirs has no backslash, with which IOC:a and IOC:b get one directory, IOC.
    add(&fleet, &["IOC:a", "st.cmd"]);
    let unit = fleet.read("home/.config/procServ.d/procserv-IOC:a.service");
    assert!(unit.contains("\nRuntimeDirectory=procserv-IOC\\:a\n"), "{unit}");
}

fn what_was_added_is_read_as_it_was(_: &TestEnv) {
    let fleet = with_ioc();
    let words =
        ["ioc1", "st.cmd", "100%", "%(x)s", "it's", "\"", "", "-f", "--", ";", "#", "a=b:c"];
    add(&fleet, &[&["-P", "4000", "--options", "--holdoff 1 -i '^D ^C'"], &words[..]].concat());
    let list: serde_json::Value = serde_json::from_str(&fleet.must(&["list", "--json"])).unwrap();
    let command: Vec<_> =
        list[0]["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(command[1..], words[2..]);
    assert_eq!(list[0]["port"], "4000");
    assert_eq!(list[0]["options"], serde_json::json!(["--holdoff", "1", "-i", "^D ^C"]));
}

fn names_lead_nowhere_else(_: &TestEnv) {
    let fleet = with_ioc();
    for name in ["../x", "a/b", ".x", "", "a b", "x\n[y]"] {
        for command in [&["add", "-C", "/", name, "/bin/true"][..], &["remove", name]] {
            assert_eq!(fleet.run(command).code, 2, "{command:?}");
        }
    }
    assert!(!fleet.path("home/.config").exists());
    fleet.file("home/.config/procServ.conf", "[../x]\ncommand = a\n[good]\ncommand = b\n");
    let done = fleet.run(&["list", "--json"]);
    assert!(done.stderr.contains("procServ.conf [../x]: \"../x\" is not a name"), "{done:?}");
    assert!(done.stdout.contains("\"good\"") && !done.stdout.contains("../x"));
    // A line end would begin another line of the file.
    assert_eq!(fleet.run(&["add", "-P", "1\ncommand = x", "ioc1", "/bin/true"]).code, 2);
}

fn nothing_is_replaced_unasked(_: &TestEnv) {
    let fleet = with_ioc();
    add(&fleet, &["ioc1", "st.cmd"]);
    let before = fleet.read(CONF);
    let done = fleet.run(&["add", "ioc1", "/bin/true"]);
    let conf = fleet.path(CONF).display().to_string();
    let says = format!("manage-procs: Instance already exists @ {conf}; --force replaces it\n");
    assert_eq!(done.stderr, says);
    assert_eq!((done.code, fleet.read(CONF)), (1, before));
    fleet.must(&["add", "-f", "ioc1", "/bin/true"]);
    assert!(fleet.read(CONF).contains("command = /bin/true\n"));
}

fn a_command_that_is_not_there_is_refused(_: &TestEnv) {
    let fleet = with_ioc();
    fleet.file("ioc1/plain", "");
    let dir = fleet.path("ioc1");
    let dir = dir.to_str().unwrap();
    for (words, says) in [
        (["-C", dir, "ioc1", "none"], "command not found: "),
        (["-C", dir, "ioc1", "plain"], "not executable: "),
        (["-C", "/none", "ioc1", "true"], "/none: No such file or directory"),
    ] {
        let done = fleet.run(&[&["add"], &words[..]].concat());
        assert!(done.code == 1 && done.stderr.contains(says), "{done:?}");
    }
    assert!(!fleet.path("home/.config").exists());
    // One of PATH.
    add(&fleet, &["ioc1", "true"]);
    assert!(fleet.read(CONF).contains("command = true\n"));
}

fn systemctl_that_fails_is_said(_: &TestEnv) {
    let fleet = with_ioc();
    fleet.file("fails", "");
    let done = fleet.run(&["add", "ioc1", "/bin/true"]);
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.contains("ioc1: is in ") && done.stderr.contains("not enabled"),
        "{done:?}"
    );
    let done = fleet.run(&["remove", "ioc1"]);
    assert!(done.code == 1 && done.stderr.contains("not stopped and not removed"), "{done:?}");
    assert!(fleet.path(CONF).exists());
    fleet.run(&["remove", "--force", "ioc1"]);
    assert_eq!(fleet.names("home/.config/procServ.d"), [""; 0]);
}

/// What a killed `set` leaves goes with the next one, and no message has the name of such a file.
fn nothing_is_left_of_a_killed_set(_: &TestEnv) {
    let fleet = with_ioc();
    add(&fleet, &["ioc1", "st.cmd"]);
    // No process has this number.
    fleet.file("home/.config/procServ.d/.ioc1.conf.99999999.Ab12Cd.tmp", "");
    fleet.must(&["set", "ioc1", "port=2001"]);
    let names = fleet.names("home/.config/procServ.d");
    assert_eq!(names, ["ioc1.conf", "ioc1.conf.bak", "procserv-ioc1.service"]);
    let place = fleet.path("none/procs.cf");
    let done = fleet.run(&["write-procs-cf", "-f", place.to_str().unwrap()]);
    let says = format!("manage-procs: {}: No such file or directory\n", place.display());
    assert_eq!((done.code, done.stderr), (1, says));
}

fn an_add_that_was_interrupted_is_finished(_: &TestEnv) {
    let fleet = with_ioc();
    let kills = fleet.file("kills", "");
    assert_eq!(fleet.run(&["add", "ioc1", "/bin/true"]).code, -1);
    fs::remove_file(kills).unwrap();
    // What an earlier moment would have left is not looked at.
    fleet.file("home/.config/procServ.d/.ioc2.conf.1.tmp", "[ioc2]\ncomm");
    assert_eq!(fleet.must(&["list"]).lines().count(), 2);
    let done = fleet.run(&["doctor"]);
    assert!(done.stdout.contains("manage-procs --user restart ioc1 writes it"), "{done:?}");
    fleet.must(&["start", "ioc1"]);
    assert!(fleet.path("home/.config/systemd/user/procserv-ioc1.service").exists());
    let unit = fleet.path(UNIT);
    assert!(!fleet.run(&["doctor"]).stdout.contains(unit.to_str().unwrap()));
}

fn remove_leaves_nothing(_: &TestEnv) {
    let fleet = with_ioc();
    add(&fleet, &["ioc1", "st.cmd"]);
    fs::remove_file(fleet.path("systemctl")).unwrap();
    fleet.must(&["remove", "ioc1"]);
    let unit = "procserv-ioc1.service";
    assert_eq!(
        fleet.read("systemctl"),
        format!(
            "--user stop {unit}\n--user disable --quiet --no-reload {unit}\n--user daemon-reload\n"
        )
    );
    assert_eq!(fleet.names("home/.config/procServ.d"), [""; 0]);
    assert_eq!(fleet.run(&["remove", "ioc1"]).code, 1);
}

fn remove_finishes_what_was_interrupted(_: &TestEnv) {
    let fleet = with_ioc();
    add(&fleet, &["ioc1", "st.cmd"]);
    fs::remove_file(fleet.path(CONF)).unwrap();
    let done = fleet.run(&["doctor"]);
    assert!(
        done.code == 1 && done.stdout.contains("is the unit of an instance that is in no"),
        "{done:?}"
    );
    assert!(done.stdout.contains("\n    manage-procs --user remove ioc1\n"), "{done:?}");
    fleet.must(&["remove", "ioc1"]);
    assert_eq!(fleet.names("home/.config/procServ.d"), [""; 0]);
}

fn instances_of_the_main_file_are_removed_there(_: &TestEnv) {
    let fleet = with_ioc();
    let text = "# all\n[ioc1]\ncommand = /bin/true\n# of 2\n[ioc2]\ncommand = x\n";
    fleet.file("home/.config/procServ.conf", text);
    fleet.must(&["remove", "ioc1"]);
    let left = fleet.read("home/.config/procServ.conf");
    assert_eq!(left, "# all\n# of 2\n[ioc2]\ncommand = x\n");
}

fn patterns_choose(_: &TestEnv) {
    let fleet = with_ioc();
    for name in ["vac-1", "vac-2", "mag-1"] {
        add(&fleet, &[name, "st.cmd"]);
    }
    let called = |words: &[&str]| {
        fs::remove_file(fleet.path("systemctl")).unwrap();
        fleet.must(words);
        fleet.read("systemctl")
    };
    let unit = |name| format!(" procserv-{name}.service");
    let (one, two) = (unit("vac-1"), unit("vac-2"));
    assert_eq!(called(&["start", "vac-*"]), format!("--user start{one}{two}\n"));
    assert_eq!(called(&["restart", "vac-[!1]"]), format!("--user restart{two}\n"));
    assert_eq!(called(&["stop", "--all"]), format!("--user stop{}{one}{two}\n", unit("mag-1")));
    let done = fleet.run(&["stop", "vac-1", "x*"]);
    assert!(done.code == 1 && done.stderr.contains("no instance x* in "), "{done:?}");
    let done = fleet.run(&["stop", "vac-1", "vac-["]);
    assert!(done.code == 2 && done.stderr.contains(": vac-[ is not a pattern: "), "{done:?}");
    assert_eq!(fleet.must(&["list", "*-1"]).lines().count(), 3);
}

fn an_edited_instance_gets_a_new_unit(_: &TestEnv) {
    let fleet = with_ioc();
    fleet.file(CONF, "[ioc1]\ncommand = /bin/true\nchdir = /tmp\n");
    fleet.must(&["start", "ioc1"]);
    let unit = fleet.path(UNIT).display().to_string();
    let calls = format!(
        "--user link --quiet --no-reload {unit}\n--user daemon-reload\n--user start procserv-ioc1.service\n"
    );
    assert_eq!(fleet.read("systemctl"), calls);
    fleet.must(&["start", "ioc1"]);
    assert_eq!(fleet.read("systemctl"), calls.clone() + "--user start procserv-ioc1.service\n");
    fleet.file(CONF, "[ioc1]\ncommand = /bin/true\nchdir = /usr\n");
    let done = fleet.run(&["doctor"]);
    assert!(done.stdout.contains("procserv-ioc1.service is not what "), "{done:?}");
    fleet.must(&["restart", "ioc1"]);
    assert!(fleet.read(UNIT).contains("\nConditionPathIsDirectory=/usr\n"));
    // What other tests' servers do is not ours.
    assert!(!fleet.run(&["doctor"]).stdout.contains(&unit));
    // One that is not ours stays, and is named.
    fleet.file(UNIT, "[Service]\nUser=x\n");
    let done = fleet.run(&["restart", "ioc1"]);
    assert!(done.code == 0 && done.stderr.contains("ioc1.conf says, and stays\n"), "{done:?}");
    assert_eq!(fleet.read(UNIT), "[Service]\nUser=x\n");
}

fn a_bad_file_spoils_no_other(_: &TestEnv) {
    let fleet = with_ioc();
    add(&fleet, &["ioc1", "st.cmd"]);
    let bad = fleet.file("home/.config/procServ.d/bad.conf", "[bad]\ncommand = x\nnonsense\n");
    fleet.file("home/.config/procServ.d/bad2.conf", "[b]\ncommand = 'x\n[c]\nport=1\n");
    let done = fleet.run(&["list"]);
    assert!(done.code == 0 && done.stdout.contains("\nioc1 "), "{done:?}");
    assert!(done.stderr.contains(&format!("{}:3: neither a [section]", bad.display())), "{done:?}");
    assert!(done.stderr.contains("[b]: command: a ' is not closed"), "{done:?}");
    assert!(done.stderr.contains("[c]: no command"), "{done:?}");
}

fn generators_make_units(_: &TestEnv) {
    let fleet = with_ioc();
    fleet.file("home/.config/procServ.conf", "[a]\ncommand = x\n[b]\ncommand = y\nchdir = /tmp\n");
    let generate = |linked| {
        let mut command = fleet.command(&[]);
        let mut again = Command::new(MANAGE);
        again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command = again;
        let to = fleet.path("generated");
        // As a link, and as the script that packages have.
        match linked {
            true => command.arg0("systemd-procserv-generator-user"),
            false => command.args(["as", "/x/systemd-procserv-generator-user"]),
        };
        command.arg(&to).arg(&to).arg(&to);
        assert!(command.status().unwrap().success());
    };
    fs::create_dir(fleet.path("generated")).unwrap();
    generate(true);
    generate(false);
    let unit = fleet.read("generated/procserv-b.service");
    assert!(unit.contains("\nConditionPathIsDirectory=/tmp\n"), "{unit}");
    let source = fleet.path("home/.config/procServ.conf");
    assert!(unit.contains(&format!("\nSourcePath={}\n", source.display())), "{unit}");
    assert_eq!(fleet.names("generated"), ["procserv-a.service", "procserv-b.service"]);
}

/// What came after it would be a setting of the unit.
fn values_end_with_their_line(_: &TestEnv) {
    let fleet = Fleet::new();
    for line in ["chdir = /\n  User=root", "env_file = /a\\", "user = a\n b", "environment = A=b\\"]
    {
        fleet.file(CONF, &format!("[ioc1]\ncommand = x\n{line}\n"));
        let done = fleet.run(&["start", "--all"]);
        assert!(done.stderr.contains(": a line end, or a backslash at the end"), "{done:?}");
        assert!(!fleet.path(UNIT).exists());
    }
    fleet.file(CONF, "[ioc1]\ncommand = x\0y\n");
    let done = fleet.run(&["start", "--all"]);
    assert!(
        done.stderr.contains("[ioc1]: command, options or stop_input: a zero byte"),
        "{done:?}"
    );
}

/// Nor can one be added that the file could not be read with.
fn what_could_not_be_read_is_not_added(_: &TestEnv) {
    let fleet = with_ioc();
    for (words, says) in [
        (["-U", "ioc\\"], "user: a line end, or a backslash at the end"),
        (["-G", "ioc\\"], "group: a line end, or a backslash at the end"),
        (["-P", "unix:/a\\"], "port: a line end, or a backslash at the end"),
        (["-U", ""], "user: a value is empty"),
        (["-U", "a\n[b]"], "user: has blanks at an end, a line end or"),
    ] {
        // Whatever else is forced.
        for force in [&["-f"][..], &[]] {
            let done = fleet.run(&[&["add"], force, &words, &["ioc1", "/bin/true"]].concat());
            let says = format!("manage-procs: ioc1: {says}");
            assert!(done.code == 2 && done.stderr.starts_with(&says), "{words:?} {done:?}");
        }
    }
    // It would be the defaults of others.
    let done = fleet.run(&["add", "DEFAULT", "/bin/true"]);
    assert!(done.code == 2 && done.stderr.contains("DEFAULT: "), "{done:?}");
    assert!(!fleet.path("home/.config").exists() && !fleet.path("systemctl").exists());
}

fn command_lines_that_are_none(_: &TestEnv) {
    let fleet = Fleet::new();
    for words in [&["none"][..], &["add"], &["add", "x"], &["upgrade"], &["attach"]] {
        assert_eq!(fleet.run(words).code, 2, "{words:?}");
    }
    assert_eq!(fleet.run(&["list", "--frob"]).code, 2);
    assert_eq!(fleet.run(&["attach", "-k", "", "x"]).code, 2);
    // More than a clock can be set to.
    assert_eq!(fleet.run(&["upgrade", "-t", "18446744073709551615", "x"]).code, 2);
    assert_eq!(fleet.run(&["--help"]).code, 0);
    assert_eq!(fleet.run(&["start", "--all"]).code, 1);
    let refused = fleet.run(&["add", "-C", "/", "--options", "--frob", "x", "/bin/true"]);
    assert!(refused.code == 2 && refused.stderr.contains("unrecognized option '--frob'"));
}
