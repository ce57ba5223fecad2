//! Chapter 2: keys of a section, and their defaults.

use super::{MAIN, argv, conf, directive, launch, stand_in, system_unit, unit_of, values};
use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};

cases![
    defaults_can_be_referred_to,
    commands_are_split_as_a_shell_does,
    without_a_command_there_is_a_unit_that_refuses,
    nobody_is_the_user,
    a_user_without_group_has_its_own,
    root_is_only_who_is_called_so,
    port_0_is_the_unix_socket_alone,
    other_ports_replace_the_unix_socket,
    beside_a_tcp_port_it_is_for_the_group,
    a_group_controls_and_everybody_watches,
    a_group_that_is_none_is_refused,
    instance_switches_a_section_off,
    host_is_a_condition,
    percent_signs_reach_systemd,
    values_stay_on_their_line,
    names,
];

fn defaults_can_be_referred_to(_: &TestEnv) {
    let fleet = Fleet::new();
    stand_in(&fleet);
    fleet.file(MAIN, "[a]\ncommand = x %(user)s %(group)s %(port)s %(chdir)s %(instance)s %(mine)s\nmine = 5%%\n");
    assert_eq!(argv(&fleet, "a")[28..].join(" "), "x nobody nogroup 0 / 1 5%");
    fleet.file(&conf("z"), "[DEFAULT]\nuser = ioc\nchdir = /usr\n");
    assert_eq!(argv(&fleet, "a")[28..].join(" "), "x ioc nogroup 0 /usr 1 5%");
}

fn commands_are_split_as_a_shell_does(_: &TestEnv) {
    let fleet = Fleet::new();
    stand_in(&fleet);
    fleet.file(MAIN, "[a]\ncommand = x 'a b' \"c'd\" e\\ f # $HOME\n");
    assert_eq!(argv(&fleet, "a")[28..], ["x", "a b", "c'd", "e f", "#", "$HOME"]);
}

fn without_a_command_there_is_a_unit_that_refuses(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(MAIN, "[a]\nchdir = /\n");
    assert!(fleet.run(&["start", "a"]).stderr.contains("[a]: no command"));
    assert!(fleet.path("home/.config/procServ.d/procserv-a.service").exists());
    let done = launch(&fleet, &["--user", "a"]);
    assert_eq!((done.code, done.stderr.as_str()), (1, "instance 'a' missing command=\n"));
}

const GROUPS: (&str, &str) = ("/etc/group", "root:x:0:\nnogroup:x:65534:\n");

fn nobody_is_the_user(_: &TestEnv) {
    for section in ["", "user =\n"] {
        let unit = system_unit(section, &[GROUPS]).unwrap();
        assert_eq!(directive(&unit, "User").unwrap(), "nobody");
        assert_eq!(directive(&unit, "Group").unwrap(), "nogroup");
    }
    let unit = system_unit("", &[("/etc/group", "nobody:x:65534:\nxnogroup:x:1:\n")]).unwrap();
    assert_eq!(directive(&unit, "User").unwrap(), "nobody");
    assert_eq!(directive(&unit, "Group"), None);
}

fn a_user_without_group_has_its_own(_: &TestEnv) {
    let unit = system_unit("user = ioc\n", &[GROUPS]).unwrap();
    assert_eq!(directive(&unit, "User").unwrap(), "ioc");
    assert_eq!(directive(&unit, "Group"), None);
    let defaults = ("/etc/procServ.conf", "[DEFAULT]\ngroup = controls\n");
    let unit = system_unit("user = ioc\n", &[GROUPS, defaults]).unwrap();
    assert_eq!(directive(&unit, "Group").unwrap(), "controls");
    let unit = system_unit("group = controls\n", &[GROUPS]).unwrap();
    assert_eq!(directive(&unit, "User").unwrap(), "nobody");
    assert_eq!(directive(&unit, "Group").unwrap(), "controls");
}

fn root_is_only_who_is_called_so(_: &TestEnv) {
    let unit = system_unit("user = root\n", &[GROUPS]).unwrap();
    assert_eq!(directive(&unit, "User").unwrap(), "root");
    for user in ["0", "00", "+0", "%%u", "%%U", "x%%u"] {
        let refused = system_unit(&format!("user = {user}\n"), &[GROUPS]).unwrap_err();
        assert!(refused.contains("is root: say user = root"), "{user}: {refused}");
    }
    // systemd takes these from the name of the unit.
    for (name, user) in [
        ("x@root", "%%i"),
        ("x@root", "%%I"),
        ("x@0", "%%i"),
        ("ioc-root", "%%j"),
        ("root", "%%J"),
        ("oo-t@ro", "%%io%%j"),
        ("a", "%%i0"),
    ] {
        let refused = unit_of(name, &format!("user = {user}\n"), &[GROUPS]).unwrap_err();
        assert!(refused.contains("is root: say user = root"), "{name} {user}: {refused}");
    }
    let refused = system_unit("user = %%i\n", &[GROUPS]).unwrap_err();
    assert!(refused.contains("\"%i\" is nothing for the name a"), "{refused}");
    assert_eq!(directive(&unit_of("x@ioc", "user = %%i\n", &[]).unwrap(), "User").unwrap(), "%i");
}

fn run_directory(fleet: &Fleet) -> String {
    fleet.path("run/procserv-a").display().to_string()
}

/// The run directory, the ports before those that every instance has, and the rights of these.
fn ports(port: &str) -> (String, Vec<String>, [String; 2]) {
    let fleet = Fleet::new();
    stand_in(&fleet);
    fleet.file(MAIN, &format!("[a]\ncommand = x\n{port}\n"));
    let run = run_directory(&fleet);
    let mut ports = values(&argv(&fleet, "a"), "--port");
    let view = ports.pop().unwrap();
    let raw = ports.pop().unwrap();
    let rights = |port: &str, kind: &str| {
        let rest = port.strip_prefix(&format!("{kind}:unix:")).unwrap();
        rest.strip_suffix(&format!("{run}/{kind}")).unwrap().to_owned()
    };
    let rights = [rights(&raw, "raw"), rights(&view, "view")];
    (run, ports, rights)
}

fn port_0_is_the_unix_socket_alone(_: &TestEnv) {
    for port in ["", "port = 0", "port ="] {
        let (run, ports, rights) = ports(port);
        assert_eq!(
            (ports, rights),
            (vec![format!("unix:{run}/control")], ["", ""].map(str::to_owned))
        );
    }
}

fn other_ports_replace_the_unix_socket(_: &TestEnv) {
    for (port, rights) in [
        ("unix:/a", ""),
        ("unix:@a", ""),
        ("unix::ioc:0660:/a", ":ioc:0660:"),
        ("raw:unix:/a", ""),
        ("raw:unix:::0600:/a", "::0600:"),
        ("fd:3", "::0660:"),
    ] {
        let (_, ports, given) = ports(&format!("port = {port}"));
        assert_eq!((ports, given), (vec![port.to_owned()], [rights, rights].map(str::to_owned)));
    }
}

fn beside_a_tcp_port_it_is_for_the_group(_: &TestEnv) {
    // Nobody could type at an endpoint to watch.
    for port in ["2000", "127.0.0.1:2000", "[::1]:2000", "raw:2000", "00", "view:unix:/a"] {
        let (run, ports, rights) = ports(&format!("port = {port}"));
        assert_eq!(ports, [format!("unix:::0660:{run}/control"), port.to_owned()]);
        assert_eq!(rights, ["::0660:", "::0660:"]);
    }
}

fn a_group_controls_and_everybody_watches(_: &TestEnv) {
    let (run, with_none, rights) = ports("control_group = ops");
    assert_eq!(with_none, [format!("unix::ops:0660:{run}/control")]);
    assert_eq!(rights, [":ops:0660:", ""]);
    let (run, with_tcp, rights) = ports("control_group = ops\nport = 2000");
    assert_eq!(with_tcp, [format!("unix::ops:0660:{run}/control"), "2000".to_owned()]);
    assert_eq!(rights, [":ops:0660:", ""]);
    let (_, with_other, rights) = ports("control_group = ops\nport = unix:::0600:/a");
    assert_eq!(with_other, ["unix:::0600:/a"]);
    assert_eq!(rights, [":ops:0660:", ""]);
    let fleet = Fleet::new();
    stand_in(&fleet);
    fleet.file(MAIN, "[a]\ncommand = x\ncontrol_group = ops\n");
    let api = format!("unix::ops:0660:{}/api", run_directory(&fleet));
    assert_eq!(values(&argv(&fleet, "a"), "--api"), [api]);
}

fn a_group_that_is_none_is_refused(_: &TestEnv) {
    for word in ["a:b", "a b", "50", "%%i", "-x", "a/b"] {
        let refused = system_unit(&format!("control_group = {word}\n"), &[]).unwrap_err();
        let word = word.replace("%%", "%");
        let text = format!("control_group: {word:?} is not the name of a group");
        assert!(refused.contains(&text), "{refused}");
    }
}

fn instance_switches_a_section_off(_: &TestEnv) {
    for (word, is_on) in [
        ("1", true),
        ("Yes", true),
        ("TRUE", true),
        ("on", true),
        ("0", false),
        ("no", false),
        ("False", false),
        ("oFF", false),
    ] {
        let fleet = Fleet::new();
        stand_in(&fleet);
        fleet.file(MAIN, &format!("[a]\ncommand = x\ninstance = {word}\n"));
        for command in ["list", "status"] {
            assert_eq!(fleet.must(&[command]).contains("\na "), is_on, "{word}");
        }
        let done = launch(&fleet, &["--user", "a"]);
        if !is_on {
            assert_eq!((done.code, done.stderr.as_str()), (1, "'a' not an instance\n"));
            assert_eq!(fleet.run(&["remove", "a"]).code, 1);
            assert!(fleet.read(MAIN).contains("[a]"));
        }
    }
    // Others may refer to it.
    let fleet = Fleet::new();
    stand_in(&fleet);
    fleet.file(MAIN, "[DEFAULT]\ninstance = no\nwhere = /usr\n[a]\ninstance = 1\ncommand = x\nchdir = %(where)s\n[b]\n");
    assert_eq!(values(&argv(&fleet, "a"), "--chdir"), ["/usr"]);
    assert_eq!(fleet.must(&["list"]).lines().count(), 2);
}

fn host_is_a_condition(_: &TestEnv) {
    let unit = system_unit("host = ioc-a\n", &[]).unwrap();
    assert_eq!(directive(&unit, "ConditionHost").unwrap(), "ioc-a");
    assert_eq!(directive(&system_unit("", &[]).unwrap(), "ConditionHost"), None);
}

fn percent_signs_reach_systemd(_: &TestEnv) {
    let section =
        "environment = \"H=%%H\" P=%%%%\nenv_file = -/etc/%%H.env\nuser = %%j\nchdir = /srv/%%H\n";
    let unit = system_unit(section, &[]).unwrap();
    for (key, value) in [
        ("Environment", "\"H=%H\" P=%%"),
        ("EnvironmentFile", "-/etc/%H.env"),
        ("User", "%j"),
        ("ConditionPathIsDirectory", "/srv/%H"),
    ] {
        assert_eq!(directive(&unit, key).unwrap(), value);
    }
}

fn values_stay_on_their_line(_: &TestEnv) {
    for line in [
        "chdir = /\n  User=root",
        "user = a\n b",
        "host = a\n b",
        "env_file = /a\\",
        "environment = A=b\\",
    ] {
        let refused = system_unit(&format!("{line}\n"), &[]).unwrap_err();
        assert!(refused.contains(": a line end, or a backslash at the end"), "{line}: {refused}");
    }
    let unit = system_unit("environment = A=b\\\n  C=d\n", &[]).unwrap();
    assert_eq!(directive(&unit, "Environment").unwrap(), "A=b\\ C=d");
}

fn names(_: &TestEnv) {
    let fleet = Fleet::new();
    let long = "x".repeat(85);
    for name in ["ioc@1", "LI20:IOC-1.a_b", &long] {
        fleet.file(MAIN, &format!("[{name}]\ncommand = x\n"));
        assert!(fleet.must(&["list"]).contains(name));
    }
    for name in ["../x", "a/b", ".x", "-x", "a b", "a@", "a%b", "\u{e4}", &"x".repeat(86)] {
        fleet.file(MAIN, &format!("[{name}]\ncommand = x\n[y]\ncommand = x\n"));
        let done = fleet.run(&["list"]);
        assert_eq!((done.code, done.stdout.lines().count()), (0, 2), "{name}: {done:?}");
        assert!(!done.stderr.is_empty());
    }
}
