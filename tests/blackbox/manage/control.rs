//! `start`, `stop` and `restart`: on which instances they act, and what they say of each.

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};
use std::fs;

cases![
    all_are_meant_only_if_asked_for,
    an_instance_that_failed_fails_the_command,
    what_is_in_no_file_is_stopped,
];

fn fleet() -> Fleet {
    let fleet = Fleet::new();
    for name in ["a-1", "a-2"] {
        fleet.must(&["add", "-C", "/", name, "/bin/true"]);
    }
    fs::remove_file(fleet.path("systemctl")).unwrap();
    fleet
}

fn all_are_meant_only_if_asked_for(_: &TestEnv) {
    let fleet = fleet();
    for verb in ["start", "stop", "restart"] {
        let done = fleet.run(&[verb]);
        let says =
            format!("manage-procs: {verb} needs names or patterns, or --all for all instances\n");
        assert_eq!((done.code, done.stderr), (2, says));
        assert_eq!(fleet.run(&[verb, "--all", "a-1"]).code, 2);
        assert!(!fleet.path("systemctl").exists());
        fleet.must(&[verb, "--all"]);
        let called = format!("--user {verb} procserv-a-1.service procserv-a-2.service\n");
        assert_eq!(fleet.read("systemctl"), called);
        fs::remove_file(fleet.path("systemctl")).unwrap();
    }
}

fn an_instance_that_failed_fails_the_command(_: &TestEnv) {
    let fleet = fleet();
    let good = "Id=procserv-a-1.service\nActiveState=active\nSubState=running\n\n";
    for (state, says) in [
        (
            "ActiveState=failed\nResult=exit-code\nExecMainStatus=217",
            "has failed: its user does not exist (217/USER)",
        ),
        (
            "ActiveState=activating\nSubState=auto-restart\nResult=signal\nExecMainStatus=6",
            "has failed: killed by signal 6",
        ),
        (
            "ActiveState=inactive\nConditionResult=no",
            "not started: a condition of its unit does not hold",
        ),
        (
            "LoadState=bad-setting\nActiveState=inactive\nConditionResult=no",
            "systemd can't load its unit: bad-setting",
        ),
        ("ActiveState=inactive\nConditionResult=yes", "has ended already"),
    ] {
        fleet.file("show", &format!("{good}Id=procserv-a-2.service\n{state}\n"));
        let done = fleet.run(&["start", "a-*"]);
        let begin = format!("manage-procs: a-2: {says}");
        assert!(
            done.code == 1 && done.stderr.starts_with(&begin) && done.stdout.is_empty(),
            "{done:?}"
        );
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
        let json = fleet.run(&["--json", "start", "--all"]);
        let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(json["failed"], serde_json::json!(["a-2"]));
    }
    fleet.file("show", good);
    fleet.must(&["start", "a-1"]);
    let done = fleet.run(&["stop", "a-1"]);
    assert!(done.code == 1 && done.stderr.contains("a-1: not stopped: it is active"), "{done:?}");
}

fn what_is_in_no_file_is_stopped(_: &TestEnv) {
    let fleet = fleet();
    let done = fleet.run(&["stop", "gone"]);
    assert!(done.code == 1 && done.stderr.contains("no instance gone in "), "{done:?}");
    fleet.file("list-units", "procserv-gone.service loaded active running procServ for gone\n");
    fleet.must(&["stop", "gone", "a-1"]);
    let called = "--user stop procserv-a-1.service procserv-gone.service\n";
    assert_eq!(fleet.read("systemctl"), called);
    assert_eq!(fleet.run(&["start", "gone"]).code, 1);
}
