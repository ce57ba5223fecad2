//! Files and units that others write, too: by hand, by configuration management, by another `add`.

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};
use std::fs;

cases![
    a_file_with_others_in_it_is_edited,
    an_add_that_loses_changes_nothing,
    many_new_units_are_read_at_once,
    who_has_no_unit_is_found,
];

const CONF: &str = "home/.config/procServ.d/ioc1.conf";
const UNIT: &str = "home/.config/procServ.d/procserv-ioc1.service";

fn a_file_with_others_in_it_is_edited(_: &TestEnv) {
    let fleet = Fleet::new();
    for (content, says) in [
        ("[ioc1]\ncommand = x\n[ioc2]\ncommand = y\n", "[ioc2] is in it, too"),
        ("[other]\ncommand = x\n", "[other] is in it, too"),
        ("[ioc1]\ncommand = x\nioc2\n", "line 3: neither a [section]"),
    ] {
        let file = fleet.file(CONF, content).display().to_string();
        let done = fleet.run(&["add", "-f", "ioc1", "/bin/true"]);
        assert!(done.stderr.contains(&format!("ioc1: edit {file}: {says}")), "{done:?}");
        assert_eq!((done.code, fleet.read(CONF).as_str()), (1, content));
    }
    assert!(!fleet.path("systemctl").exists());
}

/// As one of two at the same time does: it has not seen the other's file.
fn an_add_that_loses_changes_nothing(_: &TestEnv) {
    let fleet = Fleet::new();
    let file = fleet.file(CONF, "[ioc1]\nport = 1\n").display().to_string();
    fleet.file(UNIT, "of the other");
    let done = fleet.run(&["add", "ioc1", "/bin/true"]);
    assert!(done.code == 1, "{done:?}");
    assert!(
        done.stderr.ends_with(&format!("already exists @ {file}; --force replaces it\n")),
        "{done:?}"
    );
    assert_eq!(fleet.read(UNIT), "of the other");
}

fn many_new_units_are_read_at_once(_: &TestEnv) {
    let fleet = Fleet::new();
    for name in ["a", "b", "c"] {
        let content = format!("[{name}]\ncommand = /bin/true\n");
        fleet.file(&format!("home/.config/procServ.d/{name}.conf"), &content);
    }
    fleet.must(&["start", "--all"]);
    let calls = fleet.read("systemctl");
    let verbs: Vec<&str> =
        calls.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(verbs, ["link", "daemon-reload", "start"]);
    fs::remove_file(fleet.path("systemctl")).unwrap();
    fleet.must(&["start", "--all"]);
    assert_eq!(fleet.read("systemctl").lines().count(), 1);
}

fn who_has_no_unit_is_found(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file("home/.config/procServ.conf", "[of-main]\ncommand = /bin/true\n");
    let done = fleet.run(&["doctor"]);
    let unit = fleet.path("home/.config/procServ.d/procserv-of-main.service");
    let problem = format!("of-main: {} is not there, or systemd has no link", unit.display());
    assert!(done.stdout.contains(&problem), "{done:?}");
    assert!(done.stdout.contains("manage-procs --user restart of-main writes it"), "{done:?}");
    fleet.must(&["restart", "of-main"]);
    let done = fleet.run(&["doctor"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
}
