//! Chapter 3: the unit of an instance, compared by directive.

use super::{MAIN, conf, directive, directives, generate, system_unit};
use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};
use std::fs;
use std::os::unix::fs::symlink;

cases![
    a_system_unit_has_these_directives,
    a_child_survives_its_server_by_these,
    a_member_of_the_group_may_give_it_sockets,
    a_child_that_says_when_it_is_ready_may_take_its_time,
    a_child_that_is_typed_to_has_time_to_end,
    events_may_be_off,
    add_enable_and_the_generator_write_the_same,
    a_generator_makes_no_link,
    a_generator_goes_on_after_what_it_cant_write,
    disabled_is_not_enabled_by_a_start,
    a_lost_unit_is_written_again,
    a_unit_of_the_helper_is_brought_in_line,
];

const UNIT: &str = "home/.config/procServ.d/procserv-a.service";
const LINK: &str = "home/.config/systemd/user/procserv-a.service";
const BOOT: &str = "home/.config/systemd/user/default.target.wants/procserv-a.service";

fn a_system_unit_has_these_directives(_: &TestEnv) {
    let section = "chdir = /srv/a\nuser = ioc\ngroup = controls\nhost = h\nenv_file = /e\nenvironment = A=1\n";
    let unit = system_unit(section, &[]).unwrap();
    let expected = [
        ("[Unit]", "Description", "procServ for a"),
        ("[Unit]", "After", "network.target remote-fs.target"),
        ("[Unit]", "StartLimitIntervalSec", "0"),
        ("[Unit]", "ConditionPathIsDirectory", "/srv/a"),
        ("[Unit]", "ConditionHost", "h"),
        ("[Service]", "Type", "notify"),
        ("[Service]", "EnvironmentFile", "/e"),
        ("[Service]", "Environment", "A=1"),
        ("[Service]", "ExecStart", "/usr/bin/procServ-launcher --system a"),
        ("[Service]", "RuntimeDirectory", "procserv-a"),
        ("[Service]", "RuntimeDirectoryPreserve", "restart"),
        ("[Service]", "LogsDirectory", "procserv-a"),
        ("[Service]", "StandardOutput", "journal"),
        ("[Service]", "StandardError", "inherit"),
        ("[Service]", "SyslogIdentifier", "procserv-a"),
        ("[Service]", "User", "ioc"),
        ("[Service]", "Group", "controls"),
        ("[Service]", "Restart", "on-failure"),
        ("[Service]", "OOMPolicy", "continue"),
        ("[Service]", "LogRateLimitBurst", "100000"),
        ("[Service]", "RestartSec", "2"),
        ("[Service]", "KillMode", "mixed"),
        ("[Install]", "WantedBy", "multi-user.target"),
    ];
    let found = directives(&unit);
    let found: Vec<(&str, &str, &str)> =
        found.iter().map(|(section, key, value)| (&**section, &**key, &**value)).collect();
    assert_eq!(found, expected);
}

fn a_child_survives_its_server_by_these(_: &TestEnv) {
    let unit = system_unit("fdstore = yes\n", &[]).unwrap();
    for (key, value) in [
        ("Restart", "on-failure"),
        ("RestartSec", "100ms"),
        ("KillMode", "process"),
        ("FileDescriptorStoreMax", "512"),
        ("RuntimeDirectoryPreserve", "restart"),
    ] {
        assert_eq!(directive(&unit, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(
        directive(&system_unit("fdstore = no\n", &[]).unwrap(), "FileDescriptorStoreMax"),
        None
    );
    assert!(
        system_unit("fdstore = 2\n", &[]).unwrap_err().contains("fdstore: \"2\" is not yes or no")
    );
}

fn a_member_of_the_group_may_give_it_sockets(_: &TestEnv) {
    let unit = system_unit("control_group = ops\n", &[]).unwrap();
    assert_eq!(directive(&unit, "SupplementaryGroups").unwrap(), "ops");
    assert_eq!(directive(&system_unit("", &[]).unwrap(), "SupplementaryGroups"), None);
    // systemd of a user may not change groups.
    let fleet = Fleet::new();
    fleet.file(MAIN, "[a]\ncommand = x\ncontrol_group = ops\n");
    fs::create_dir(fleet.path("generated")).unwrap();
    generate(&fleet, &fleet.path("generated"));
    let unit = fleet.read("generated/procserv-a.service");
    assert_eq!(directive(&unit, "SupplementaryGroups"), None);
}

fn a_child_that_says_when_it_is_ready_may_take_its_time(_: &TestEnv) {
    let timeout = |section| directive(&system_unit(section, &[]).unwrap(), "TimeoutStartSec");
    assert_eq!(timeout(""), None);
    assert_eq!(timeout("options = --holdoff 3 --ready=ok\n").as_deref(), Some("infinity"));
}

fn a_child_that_is_typed_to_has_time_to_end(_: &TestEnv) {
    let timeout = |section| directive(&system_unit(section, &[]).unwrap(), "TimeoutStopSec");
    assert_eq!(timeout(""), None);
    assert_eq!(timeout("options = -g 5\n"), None);
    assert_eq!(timeout("stop_input = ^Uexit\\r\n").as_deref(), Some("40"));
    assert_eq!(timeout("stop_input = exit\\r\noptions = -g 5\n").as_deref(), Some("35"));
    let twice = "stop_input = exit\\r\noptions = -g 5 --killsig TERM\n";
    assert_eq!(timeout(twice).as_deref(), Some("40"));
    let thrice = "options = -g 60 --killsig=15 --kill-orphans --stop-input 'exit\\r'\n";
    assert_eq!(timeout(thrice).as_deref(), Some("210"));
    assert_eq!(timeout("stop_input =\n"), None);
    let wrong = system_unit("stop_input = exit\\x\n", &[]).unwrap_err();
    assert!(wrong.contains(r#"stop_input: "\\x" is no escape"#), "{wrong}");
}

fn events_may_be_off(_: &TestEnv) {
    assert_eq!(directive(&system_unit("events = no\n", &[]).unwrap(), "LogsDirectory"), None);
    assert!(system_unit("events = never\n", &[]).unwrap_err().contains("events: \"never\""));
    assert_eq!(directive(&system_unit("events = journal\n", &[]).unwrap(), "LogsDirectory"), None);
    assert!(directive(&system_unit("events = both\n", &[]).unwrap(), "LogsDirectory").is_some());
    assert!(system_unit("events = journal\nrecord_input = yes\n", &[]).is_ok());
    let wrong = system_unit("events = no\nrecord_input = yes\n", &[]).unwrap_err();
    assert!(wrong.contains("record_input: needs events = yes"), "{wrong}");
}

fn add_enable_and_the_generator_write_the_same(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.must(&["add", "-C", "/usr", "-e", "A=1", "a", "/bin/true"]);
    let added = directives(&fleet.read(UNIT));
    fleet.must(&["enable", "a"]);
    assert_eq!(directives(&fleet.read(UNIT)), added);
    fs::create_dir(fleet.path("generated")).unwrap();
    generate(&fleet, &fleet.path("generated"));
    let mut generated = directives(&fleet.read("generated/procserv-a.service"));
    // By this systemd sees that the file has changed since.
    let source = generated.iter().position(|(_, key, _)| key == "SourcePath").unwrap();
    assert_eq!(generated.remove(source).2, fleet.path(&conf("a")).display().to_string());
    assert_eq!(generated, added);
}

fn a_generator_makes_no_link(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(MAIN, "[a]\ncommand = x\n[off]\ncommand = x\ninstance = no\n");
    fs::create_dir(fleet.path("generated")).unwrap();
    assert_eq!(generate(&fleet, &fleet.path("generated")).code, 0);
    assert_eq!(fleet.names("generated"), ["procserv-a.service"]);
}

fn a_generator_goes_on_after_what_it_cant_write(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(MAIN, "[a]\ncommand = x\n[b]\ncommand = x\n[c]\ncommand = x\n");
    fs::create_dir_all(fleet.path("generated/procserv-b.service/x")).unwrap();
    let done = generate(&fleet, &fleet.path("generated"));
    assert!(done.code == 1 && done.stderr.contains("procserv-b.service: "), "{done:?}");
    for name in ["a", "c"] {
        assert!(fleet.path(&format!("generated/procserv-{name}.service")).is_file());
    }
    // What somebody has put there is replaced and not followed.
    let outside = fleet.file("outside", "x");
    fs::remove_file(fleet.path("generated/procserv-a.service")).unwrap();
    symlink(&outside, fleet.path("generated/procserv-a.service")).unwrap();
    generate(&fleet, &fleet.path("generated"));
    assert_eq!(fleet.read("outside"), "x");
}

fn disabled_is_not_enabled_by_a_start(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.must(&["add", "-C", "/", "a", "/bin/true"]);
    assert!(fleet.path(BOOT).is_symlink());
    fleet.must(&["disable", "a"]);
    assert!(!fleet.path(BOOT).is_symlink());
    fleet.must(&["start", "a"]);
    assert!(fleet.path(LINK).exists() && !fleet.path(BOOT).is_symlink());
    fleet.must(&["enable", "a"]);
    assert!(fleet.path(BOOT).exists());
    // One that was written by hand is not enabled by its start either.
    fleet.file(&conf("b"), "[b]\ncommand = x\n");
    fleet.must(&["start", "b"]);
    assert_eq!(fleet.names("home/.config/systemd/user/default.target.wants").len(), 1);
}

/// Its link would hide the unit of the generator.
fn a_lost_unit_is_written_again(_: &TestEnv) {
    for command in
        [&["start", "a"][..], &["restart", "a"], &["enable", "a"], &["set", "a", "port=2"]]
    {
        let fleet = Fleet::new();
        fleet.must(&["add", "-C", "/", "a", "/bin/true"]);
        fs::remove_file(fleet.path(UNIT)).unwrap();
        assert_eq!(fleet.run(command).code, 0, "{command:?}");
        assert!(fleet.path(LINK).exists() && fleet.path(BOOT).exists(), "{command:?}");
        assert!(directive(&fleet.read(UNIT), "ExecStart").is_some());
    }
    for command in ["remove", "disable"] {
        let fleet = Fleet::new();
        fleet.must(&["add", "-C", "/", "a", "/bin/true"]);
        fs::remove_file(fleet.path(UNIT)).unwrap();
        assert_eq!(fleet.run(&[command, "a"]).code, 0);
        assert!(!fleet.path(BOOT).is_symlink());
        assert!(command == "disable" || !fleet.path(LINK).is_symlink());
    }
    // A link that leads elsewhere.
    let fleet = Fleet::new();
    fleet.must(&["add", "-C", "/", "a", "/bin/true"]);
    fs::remove_file(fleet.path(LINK)).unwrap();
    symlink("/nonexistent/unit", fleet.path(LINK)).unwrap();
    fleet.must(&["start", "a"]);
    assert_eq!(fs::read_link(fleet.path(LINK)).unwrap(), fleet.path(UNIT));
    // A masked unit stays masked.
    fs::remove_file(fleet.path(LINK)).unwrap();
    symlink("/dev/null", fleet.path(LINK)).unwrap();
    fleet.run(&["start", "a"]);
    assert_eq!(fs::read_link(fleet.path(LINK)).unwrap().to_str(), Some("/dev/null"));
}

/// With an empty `user` it would be root's, for example.
fn a_unit_of_the_helper_is_brought_in_line(_: &TestEnv) {
    let theirs = "[Unit]\nDescription=procServ for a\nAfter=network.target remote-fs.target\n\
        ConditionPathIsDirectory=/\n\n[Service]\nType=simple\n\
        ExecStart=/usr/bin/procServ-launcher --user a\nRuntimeDirectory=procserv-a\n\
        StandardOutput=syslog\nStandardError=inherit\nSyslogIdentifier=procserv-a\n\n\
        [Install]\nWantedBy=multi-user.target\n";
    let fleet = Fleet::new();
    fleet.file(MAIN, "[a]\ncommand = x\n");
    let unit = fleet.file(UNIT, theirs);
    let link = fleet.path(LINK);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(&unit, &link).unwrap();
    fleet.must(&["start", "a"]);
    assert_eq!(fleet.read(UNIT), theirs);
    for command in ["restart", "enable"] {
        fleet.file(UNIT, &theirs.replace("Directory=/\n", "Directory=/usr\n"));
        let doctor = fleet.run(&["doctor"]).stdout;
        assert!(doctor.contains("manage-procs --user restart a writes it anew"), "{doctor}");
        fleet.must(&[command, "a"]);
        assert!(fleet.read(UNIT).contains("\nRestart=on-failure\n"), "{command}");
    }
    // One that does something else is somebody's own.
    let own = theirs.replace("/usr/bin/procServ-launcher --user a", "/usr/bin/procServ -f a");
    fleet.file(UNIT, &own.replace("Directory=/\n", "Directory=/usr\n"));
    assert!(fleet.run(&["restart", "a"]).stderr.contains("says, and stays"));
}
