//! Chapter 1: files.

use super::{MAIN, argv, conf, generate, launcher, own_ports, stand_in, values};
use crate::manage::fleet::{Done, Fleet};
use crate::support::{TestEnv, cases};
use std::fs;

cases![
    files_are_read_in_the_order_of_their_names,
    hidden_files_are_not_read,
    defaults_of_any_file_count_for_all,
    a_section_in_two_files_is_merged,
    what_is_twice_in_a_file_counts_with_a_warning,
    a_wrong_line_costs_its_section_and_no_other,
    keys_are_in_any_case_and_sections_are_not,
    without_a_run_directory_there_is_the_usual_one,
];

/// The children's command lines, by which a case sees what counts.
fn command(fleet: &Fleet, name: &str) -> String {
    let list: serde_json::Value =
        serde_json::from_str(&fleet.run(&["list", "--json", name]).stdout).unwrap();
    list[0]["command"][0].as_str().unwrap().to_owned()
}

fn files_are_read_in_the_order_of_their_names(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(&conf("b"), "[x]\ncommand = b\n");
    fleet.file(MAIN, "[x]\ncommand = main\n");
    assert_eq!(command(&fleet, "x"), "b");
    fleet.file(&conf("a"), "[x]\ncommand = a\n");
    assert_eq!(command(&fleet, "x"), "b");
    fleet.file(&conf("c"), "[x]\ncommand = c\n");
    assert_eq!(command(&fleet, "x"), "c");
}

fn hidden_files_are_not_read(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(&conf(".x"), "[x]\ncommand = x\n");
    fleet.file("home/.config/procServ.d/x.conf.bak", "[y]\ncommand = x\n");
    assert_eq!(fleet.must(&["list"]).lines().count(), 1);
}

fn defaults_of_any_file_count_for_all(_: &TestEnv) {
    let fleet = Fleet::new();
    stand_in(&fleet);
    fleet.file(MAIN, "[DEFAULT]\nchdir = /usr\nport = unix:/a\n[m]\ncommand = x\n");
    fleet.file(&conf("z"), "[DEFAULT]\nport = unix:/z\n");
    fleet.file(&conf("a"), "[a]\ncommand = x\n");
    for name in ["m", "a"] {
        let argv = argv(&fleet, name);
        assert_eq!(values(&argv, "--chdir"), ["/usr"]);
        assert_eq!(own_ports(&argv), ["unix:/z"]);
    }
}

fn a_section_in_two_files_is_merged(_: &TestEnv) {
    let fleet = Fleet::new();
    stand_in(&fleet);
    fleet.file(MAIN, "[x]\ncommand = x\nchdir = /\nport = unix:/a\n");
    fleet.file(&conf("x"), "[x]\nchdir = /usr\n");
    let argv = argv(&fleet, "x");
    assert_eq!(
        (values(&argv, "--chdir"), own_ports(&argv)),
        (vec!["/usr".into()], vec!["unix:/a".into()])
    );
}

fn what_is_twice_in_a_file_counts_with_a_warning(_: &TestEnv) {
    let fleet = Fleet::new();
    let file = fleet.file(&conf("x"), "[x]\ncommand = a\ncommand = b\n[x]\nchdir = /usr\n");
    let done = fleet.run(&["list"]);
    let file = file.display();
    let says = format!(
        "manage-procs: {file}:3: command is there twice; this line counts\n\
         manage-procs: {file}:4: section [x] is there twice; both count\n"
    );
    assert_eq!((done.code, done.stderr), (0, says));
    assert_eq!(command(&fleet, "x"), "b");
}

fn a_wrong_line_costs_its_section_and_no_other(_: &TestEnv) {
    let fleet = Fleet::new();
    stand_in(&fleet);
    fleet.file(MAIN, "[a]\ncommand = x\n[b\nuser = root\n[c]\ncommand = x\n");
    fleet.file(&conf("a"), "[a]\nchdir = /\n");
    fleet.file(&conf("wrong"), "[d]\ninstance = perhaps\ncommand = x\n[e]\ncommand = x\n");
    fs::write(fleet.path(&conf("bytes")), b"[\xff]\n").unwrap();
    fs::create_dir(fleet.path("generated")).unwrap();
    let done = generate(&fleet, &fleet.path("generated"));
    assert_eq!(fleet.names("generated"), ["procserv-c.service", "procserv-e.service"]);
    for says in [
        "procServ.conf:3: neither a [section]",
        "instance: \"perhaps\" is not",
        "bytes.conf: is not UTF-8",
    ] {
        assert!(done.stderr.contains(says), "{says}: {done:?}");
    }
    argv(&fleet, "c");
}

fn keys_are_in_any_case_and_sections_are_not(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(MAIN, "[a]\nCOMMAND: x # y\n[A]\n; no\ncommand = y\n  z\n");
    assert_eq!((command(&fleet, "a"), command(&fleet, "A")), ("x".to_owned(), "y".to_owned()));
    assert_eq!(fleet.must(&["list"]).lines().count(), 3);
}

fn without_a_run_directory_there_is_the_usual_one(_: &TestEnv) {
    let fleet = Fleet::new();
    stand_in(&fleet);
    fleet.file(MAIN, "[a]\ncommand = x\n");
    let mut command = launcher(&fleet, &["--user", "a"]);
    let done: Done = command.env_remove("XDG_RUNTIME_DIR").output().unwrap().into();
    assert_eq!(done.code, 0, "{done:?}");
    let run = format!("/run/user/{}/procserv-a", nix::unistd::Uid::current());
    let argv: Vec<String> = fleet.read("argv").lines().map(str::to_owned).collect();
    assert_eq!(own_ports(&argv), [format!("unix:{run}/control")]);
    assert_eq!(values(&argv, "--info-file"), [format!("{run}/info")]);
}
