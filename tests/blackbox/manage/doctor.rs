//! `doctor` finds what is wrong, and nothing else.

use crate::manage::fleet::{Done, Fleet};
use crate::support::{TestEnv, cases};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

cases![
    a_killed_server_is_found,
    a_server_without_an_instance_is_found,
    shared_files_are_found,
    ports_in_use_are_found,
    what_would_not_start_is_found,
    options_are_read_as_the_server_does,
    a_broken_file_is_no_instance_less,
    a_directory_that_is_none,
    a_socket_with_a_blank_in_its_path_is_alive,
    what_the_kernel_would_not_execute_is_found,
    what_systemd_says_is_found,
    units_that_let_nothing_outlive_the_server_are_found,
    one_socket_of_two_is_found,
    who_is_stopped_is_found,
    a_child_that_does_not_run_is_found,
    what_fails_at_the_moment_is_found,
    links_that_lead_nowhere_are_found,
    what_the_helper_left_is_found,
    a_hint_is_no_problem,
];

/// What it says of `subject`, each as problem and advice.
fn findings(fleet: &Fleet, subject: &str) -> Vec<(String, String)> {
    findings_of(fleet.run(&["doctor", "--json"]), subject)
}

fn findings_of(done: Done, subject: &str) -> Vec<(String, String)> {
    let list: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let list = list.as_array().unwrap();
    assert_eq!(done.code, i32::from(!list.is_empty()));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    // Other tests run other servers.
    let ours = list.iter().filter(|finding| text(&finding["subject"]).contains(subject));
    ours.map(|finding| (text(&finding["problem"]), text(&finding["advice"]))).collect()
}

fn add(fleet: &Fleet, name: &str, more: &[&str]) {
    fleet.must(&[&["add", "-C", "/"], more, &[name, "/bin/true"]].concat());
}

fn a_killed_server_is_found(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "killed", "cat", "");
    fleet.must(&[
        "add",
        "-f",
        "-C",
        "/",
        "killed",
        setup.path("fake-ioc").to_str().unwrap(),
        "cat",
    ]);
    let server = fleet.launch(env, setup, "killed");
    server.child_start(1);
    assert_eq!(findings(&fleet, "killed"), []);
    kill(Pid::from_raw(server.pid()), Signal::SIGKILL).unwrap();
    server.wait_exit();
    let found = findings(&fleet, "killed");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].0.contains("info: names PID ")
            && found[0].1.contains(": manage-procs --user restart killed")
    );
    assert!(found[1].0.contains("control: nobody listens on it"));
    assert!(found[1].1.starts_with("manage-procs --user restart killed, or "));
}

fn a_server_without_an_instance_is_found(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    let child = setup.path("fake-ioc").display().to_string();
    fleet.must(&["add", "-C", "/", "gone", &child, "cat"]);
    fs::create_dir(fleet.path("run/procserv-gone")).unwrap();
    let server = fleet.launch(env, setup, "gone");
    server.child_start(1);
    fs::remove_file(fleet.path("home/.config/procServ.d/gone.conf")).unwrap();
    let says = format!(
        "procserv-gone.service is still running (PID {}) but is in no configuration file",
        server.pid()
    );
    let advice = "manage-procs --user remove gone".to_owned();
    assert_eq!(findings(&fleet, "gone"), [(says, advice)]);
    server.terminate();
    let found = findings(&fleet, "gone");
    let says = "gone.service is the unit of an instance that is in no configuration file";
    assert!(found.len() == 1 && found[0].0.ends_with(says), "{found:?}");
}

fn shared_files_are_found(env: &TestEnv) {
    let fleet = Fleet::new();
    let log = fleet.file("log", "");
    let log = format!("--logfile={}", log.display());
    // Another run of this test may be under way.
    let shares = format!("shares-{}-", std::process::id());
    let names = [format!("--name={shares}1\x1b[2J"), format!("--name={shares}2")];
    let one = env.server().opts([&log, "-p", "pid", &names[0]]).start();
    assert_eq!(findings(&fleet, &shares), []);
    let two = env.server().opts([&log, &names[1]]).start();
    two.child_start(1);
    one.child_start(1);
    // Anybody may call a server anything.
    let said = fleet.run(&["doctor"]).stdout;
    assert!(
        said.contains(&format!("{shares}1\\u{{1b}}[2J (PID ")) && !said.contains('\x1b'),
        "{said}"
    );
    let found = findings(&fleet, &shares);
    assert!(found.len() == 1 && found[0].0.starts_with("all have the log file "), "{found:?}");
    drop(two);
    fs::write(one.path("pid"), "1\n").unwrap();
    let found = findings(&fleet, &format!("{shares}1"));
    assert!(found.len() == 1 && found[0].0.contains(" names PID 1 ("), "{found:?}");
    assert!(found[0].1.contains(&one.pid().to_string()));
}

fn ports_in_use_are_found(_: &TestEnv) {
    let fleet = Fleet::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    add(&fleet, "port-1", &["-P", &port]);
    let found = findings(&fleet, "port-");
    assert_eq!(found.len(), 1, "{found:?}");
    // It is this process, or one that another test has just forked.
    let owner = found[0].0.strip_prefix(&format!("port {port} is in use by "));
    assert!(owner.is_some_and(|owner| owner.contains(" (PID ")), "{found:?}");
    add(&fleet, "port-2", &["-P", &format!("0.0.0.0:{port}")]);
    assert_eq!(findings(&fleet, "port-1, port-2")[0].0, format!("all want port {port}"));
}

fn what_would_not_start_is_found(env: &TestEnv) {
    let fleet = Fleet::new();
    fleet.program("ioc/st.cmd", "");
    for name in ["try-dir", "try-cmd", "try-env", "try-unit", "try-socket", "try-mode"] {
        fleet.must(&["add", "-C", "ioc", "-E", "/etc/passwd", name, "./st.cmd"]);
    }
    assert_eq!(findings(&fleet, "try-"), []);
    let edit = |name: &str, old: &str, new: &str| {
        let file = format!("home/.config/procServ.d/{name}");
        fleet.file(&file, &fleet.read(&file).replace(old, new));
    };
    edit("try-dir.conf", "/ioc\n", "/none\n");
    edit("try-dir.conf", "env_file", "# ");
    edit("try-cmd.conf", "st.cmd", "none");
    fleet.file("ioc/plain", "");
    edit("try-mode.conf", "st.cmd", "plain");
    edit("try-env.conf", "/etc/passwd", "/none");
    edit("procserv-try-unit.service", "/etc/passwd", "/etc/group");
    fs::create_dir(fleet.path("run/procserv-try-socket")).unwrap();
    env.stale_socket(fleet.path("run/procserv-try-socket/control"));
    for (name, says) in [
        ("try-dir", "none: No such file"),
        ("try-cmd", "command not found: /"),
        ("try-cmd", "/ioc/none"),
        ("try-mode", "/ioc/plain"),
        ("try-env", "/none: No such file"),
        ("try-unit", "procserv-try-unit.service is not what "),
        ("try-socket", "control: nobody listens on it"),
    ] {
        let found = findings(&fleet, name);
        assert!(found.iter().any(|(problem, _)| problem.contains(says)), "{name}: {found:?}");
    }
}

fn options_are_read_as_the_server_does(_: &TestEnv) {
    let fleet = Fleet::new();
    for (name, options) in [
        ("opt-bad", "--frob"),
        ("opt-one", "-l 127.0.0.2:65001"),
        ("opt-two", "--logp=127.0.0.3:65001"),
        ("opt-any", "-wP65002"),
        ("opt-own", "--port=127.0.0.1:65002"),
    ] {
        let content = format!("[{name}]\ncommand = /bin/true\noptions = {options}\n");
        fleet.file(&format!("home/.config/procServ.d/{name}.conf"), &content);
    }
    let found = findings(&fleet, "opt-bad");
    let says = "its server refuses to start: procServ: unrecognized option '--frob'";
    assert!(found.iter().any(|(problem, _)| problem == says), "{found:?}");
    assert_eq!(findings(&fleet, "opt-any, opt-own")[0].0, "all want port 65002");
    // Each has an address of its own.
    assert_eq!(findings(&fleet, "opt-one, opt-two"), []);
}

/// Whoever believed that its unit is left over would remove it.
fn a_broken_file_is_no_instance_less(_: &TestEnv) {
    let fleet = Fleet::new();
    add(&fleet, "broken-1", &[]);
    fleet.file("home/.config/procServ.d/broken-1.conf", "[broken-1]\ncommand = 'x\n");
    let found = findings(&fleet, "broken-1");
    assert!(
        !found.iter().any(|(problem, _)| problem.contains("in no configuration file")),
        "{found:?}"
    );
}

fn a_directory_that_is_none(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file("home/.config/procServ.d", "");
    let found = findings(&fleet, "configuration");
    assert!(found[0].0.ends_with("procServ.d: Not a directory"), "{found:?}");
    for words in
        [&["list"][..], &["start", "--all"], &["add", "a", "/bin/true"], &["write-procs-cf"]]
    {
        let done = fleet.run(words);
        assert!(
            done.code == 1 && done.stderr.ends_with("procServ.d: Not a directory\n"),
            "{done:?}"
        );
    }
}

fn a_socket_with_a_blank_in_its_path_is_alive(env: &TestEnv) {
    let fleet = Fleet::new();
    add(&fleet, "blank-1", &[]);
    let run = fleet.path("run time");
    fs::create_dir_all(run.join("procserv-blank-1")).unwrap();
    let socket = UnixListener::bind(run.join("procserv-blank-1/control")).unwrap();
    let says = |text| {
        let mut doctor = fleet.command(&["doctor", "--json"]);
        let done = doctor.env("XDG_RUNTIME_DIR", &run).output().unwrap().into();
        findings_of(done, "blank-1").iter().any(|(problem, _)| problem.contains(text))
    };
    assert!(!says("nobody listens on it"));
    drop(socket);
    // A process that another case has just forked has the socket until it executes its program.
    let dead = "run time/procserv-blank-1/control: nobody listens on it";
    env.wait_for("the end of the socket", || says(dead).then_some(()));
}

fn has(found: &[(String, String)], says: &str) -> bool {
    found.iter().any(|(problem, _)| problem.contains(says))
}

/// execve(2) says of each that it is not there, though it is.
fn what_the_kernel_would_not_execute_is_found(_: &TestEnv) {
    let fleet = Fleet::new();
    let dir = fleet.path("ioc");
    fleet.program("ioc/good", "#!/bin/sh\n");
    fleet.program("ioc/env", "#!/usr/bin/env sh\n");
    fleet.program("ioc/binary", "\u{7f}ELF");
    for (name, line, says) in [
        ("gone", "#!/nonexistent/sh -e", "its interpreter /nonexistent/sh is not there"),
        ("dos", "#!/bin/sh\r", "its first line ends with CR LF"),
        ("noenv", "#!/usr/bin/env no-such-program", "its interpreter no-such-program is not found"),
        ("plain", "#! /etc/passwd", "its interpreter /etc/passwd is not there"),
    ] {
        fleet.program(&format!("ioc/{name}"), &format!("{line}\n"));
        let conf = format!("[run-{name}]\ncommand = ./{name}\nchdir = {}\n", dir.display());
        fleet.file(&format!("home/.config/procServ.d/run-{name}.conf"), &conf);
        let found = findings(&fleet, &format!("run-{name}"));
        assert!(has(&found, says), "{name}: {found:?}");
        let done = fleet.run(&["add", "-C", "ioc", &format!("other-{name}"), &format!("./{name}")]);
        assert!(done.code == 1 && done.stderr.contains(says), "{done:?}");
        let done =
            fleet.run(&["add", "-f", "-C", "ioc", &format!("other-{name}"), &format!("./{name}")]);
        assert!(done.code == 0 && done.stderr.contains(says), "{done:?}");
    }
    for name in ["good", "env", "binary"] {
        fleet.must(&["add", "-C", "ioc", &format!("fine-{name}"), &format!("./{name}")]);
    }
    assert_eq!(findings(&fleet, "fine-"), []);
}

fn units_that_let_nothing_outlive_the_server_are_found(_: &TestEnv) {
    let fleet = Fleet::new();
    add(&fleet, "fds-ours", &[]);
    fleet.must(&["set", "fds-ours", "fdstore=yes"]);
    add(&fleet, "fds-without", &[]);
    let execute = |options: &str| {
        format!(
            "ExecStart={{ path=/usr/bin/procServ ; argv[]=/usr/bin/procServ -f {options} cat ; }}"
        )
    };
    let good = "FileDescriptorStoreMax=512\nKillMode=process\nRuntimeDirectory=x\n\
        RuntimeDirectoryPreserve=restart";
    let bad = "FileDescriptorStoreMax=0\nNFileDescriptorStore=0\nKillMode=mixed\n\
        RuntimeDirectory=x\nRuntimeDirectoryPreserve=no";
    let full = "FileDescriptorStoreMax=16\nNFileDescriptorStore=16\nKillMode=process\n\
        RuntimeDirectory=\nRuntimeDirectoryPreserve=no";
    let units = [
        ("procserv-fds-ours", execute("--notify"), bad),
        ("procserv-fds-without", execute("--notify"), bad),
        ("fds-hand@demo", execute("--fdstore"), bad),
        ("fds-full", execute("--fdstore"), full),
        ("fds-good", execute("--fdstore"), good),
        ("fds-other", execute("--fdstore-like"), bad),
    ];
    let text = units.map(|(name, start, rest)| format!("Id={name}.service\n{start}\n{rest}\n\n"));
    fleet.file("show", &text.concat());
    let expected = |unit: &str| {
        [
            ("FileDescriptorStoreMax", "0", "512"),
            ("KillMode", "mixed", "process"),
            ("RuntimeDirectoryPreserve", "no", "restart"),
        ]
        .map(|(setting, is, wanted)| {
            (
                format!("{unit} has {setting}={is}: "),
                format!(
                    "{setting}={wanted} (systemctl --user edit {unit}), \
                     then systemctl --user restart {unit}"
                ),
            )
        })
    };
    for (subject, unit) in
        [("fds-ours", "procserv-fds-ours.service"), ("fds-hand", "fds-hand@demo.service")]
    {
        let found = findings(&fleet, subject);
        assert_eq!(found.len(), 3, "{found:?}");
        for ((problem, advice), (begin, wanted)) in found.iter().zip(expected(unit)) {
            assert!(problem.starts_with(&begin), "{problem}");
            assert_eq!(*advice, wanted);
        }
    }
    let found = findings(&fleet, "fds-full");
    assert!(found.len() == 1 && found[0].0.contains("FileDescriptorStoreMax=16: it is full"));
    assert!(found[0].1.starts_with("FileDescriptorStoreMax=32 "), "{found:?}");
    for good in ["fds-without", "fds-good", "fds-other"] {
        assert_eq!(findings(&fleet, good), []);
    }
}

fn what_systemd_says_is_found(_: &TestEnv) {
    let fleet = Fleet::new();
    let state = |name: &str, more: &str| format!("Id=procserv-{name}.service\n{more}\n\n");
    let states = [
        ("sd-user", "ActiveState=failed\nResult=exit-code\nExecMainStatus=217"),
        ("sd-group", "ActiveState=failed\nResult=exit-code\nExecMainStatus=216"),
        ("sd-signal", "ActiveState=failed\nResult=signal\nExecMainStatus=9"),
        (
            "sd-loop",
            "ActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainStatus=98\nNRestarts=7",
        ),
        ("sd-mask", "LoadState=masked\nActiveState=inactive"),
        ("sd-fine", "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success"),
    ];
    for (name, _) in states {
        add(&fleet, name, &[]);
    }
    fleet.file("show", &states.map(|(name, more)| state(name, more)).concat());
    for (name, says) in [
        ("sd-user", "its unit has failed: its user does not exist (217/USER)"),
        ("sd-group", "its unit has failed: its group does not exist (216/GROUP)"),
        ("sd-signal", "its unit has failed: killed by signal 9"),
        ("sd-loop", "its server ends soon after each start, 7 times so far: exit status 98"),
        ("sd-mask", "its unit is masked"),
    ] {
        let found = findings(&fleet, name);
        assert!(found.len() == 1 && found[0].0 == says, "{name}: {found:?}");
    }
    assert_eq!(findings(&fleet, "sd-fine"), []);
}

fn one_socket_of_two_is_found(_: &TestEnv) {
    let fleet = Fleet::new();
    for (name, options) in [
        ("sock-1", "-P unix:/tmp/x//sock"),
        ("sock-2", "-l unix:/tmp/x/./sock"),
        ("sock-3", "-P unix:@sock"),
        ("sock-4", "-P raw:unix:@sock"),
        ("sock-5", "-P unix:/tmp/x/other"),
    ] {
        let content = format!("[{name}]\ncommand = /bin/true\noptions = {options}\n");
        fleet.file(&format!("home/.config/procServ.d/{name}.conf"), &content);
    }
    assert_eq!(findings(&fleet, "sock-1, sock-2")[0].0, "all want the socket /tmp/x/sock");
    assert_eq!(findings(&fleet, "sock-3, sock-4")[0].0, "all want the socket @sock");
    assert!(!has(&findings(&fleet, "sock-5"), "all want"));
}

fn who_is_stopped_is_found(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "halt", "cat", "");
    let server = fleet.launch(env, setup, "halt");
    let child = server.child_start(1);
    let signal = |pid: i32, signal| kill(Pid::from_raw(pid), signal).unwrap();
    for (what, pid) in [("child", child), ("server", server.pid())] {
        signal(pid, Signal::SIGSTOP);
        let says = format!("its {what} (PID {pid}) is stopped");
        env.wait_for("the finding", || has(&findings(&fleet, "halt"), &says).then_some(()));
        signal(pid, Signal::SIGCONT);
        env.wait_for("its end", || (!has(&findings(&fleet, "halt"), &says)).then_some(()));
    }
}

fn a_child_that_does_not_run_is_found(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "off", "exit 0", "options = --noautorestart");
    let _off = fleet.launch(env, setup, "off");
    env.wait_for("the mode", || {
        has(&findings(&fleet, "off"), "no child runs, and none is started: the mode is OFF")
            .then_some(())
    });
    let setup = env.server();
    fleet.instance(&setup, "again", "exit 1", "options = --holdoff 0");
    let _again = fleet.launch(env, setup, "again");
    env.wait_for("the loop", || {
        has(&findings(&fleet, "again"), "its child ends soon after each start, ").then_some(())
    });
}

fn what_fails_at_the_moment_is_found(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "full", "say hello cat", "options = --logfile /dev/full");
    let _server = fleet.launch(env, setup, "full");
    let found = env.wait_for("the trouble", || {
        findings(&fleet, "full").into_iter().find(|(problem, _)| problem.starts_with("log: "))
    });
    assert!(found.0.starts_with("log: No space left on device"), "{found:?}");
    assert_eq!(found.1, "make room: writing goes on by itself");
}

fn links_that_lead_nowhere_are_found(_: &TestEnv) {
    let fleet = Fleet::new();
    add(&fleet, "link-1", &[]);
    add(&fleet, "link-2", &[]);
    fs::remove_file(fleet.path("home/.config/procServ.d/procserv-link-1.service")).unwrap();
    let wants = fleet.path("home/.config/systemd/user/default.target.wants");
    fs::remove_dir_all(&wants).unwrap();
    fs::create_dir(&wants).unwrap();
    std::os::unix::fs::symlink("../procserv-link-2.service", wants.join("procserv-link-2.service"))
        .unwrap();
    std::os::unix::fs::symlink("../procserv-link-3.service", wants.join("procserv-link-3.service"))
        .unwrap();
    for name in ["link-1", "link-3"] {
        let found = findings(&fleet, name);
        let link = found.iter().find(|(problem, _)| problem.contains("is a link to "));
        let (problem, advice) = link.unwrap_or_else(|| panic!("{found:?}"));
        assert!(problem.ends_with(", which is not there"), "{problem}");
        assert!(
            advice.starts_with("rm ") && advice.ends_with("systemctl --user daemon-reload"),
            "{advice}"
        );
    }
    assert_eq!(findings(&fleet, "link-2"), []);
}

/// A generator is an executable of another program; ours are this program by another name.
fn what_the_helper_left_is_found(_: &TestEnv) {
    let fleet = Fleet::new();
    let root = fleet.path("image");
    let generators = "image/usr/lib/systemd/system-generators";
    fleet.file("image/etc/procServ.d/left-1.conf", "[left-1]\ncommand = /bin/true\n");
    let theirs = "[Unit]\nDescription=procServ for left-1\n\n[Service]\n\
                  ExecStart=/nonexistent/procServ-launcher --system left-1\n";
    fleet.file("image/etc/procServ.d/procserv-left-1.service", theirs);
    fleet.program(&format!("{generators}/systemd-procserv-generator"), "#!/usr/bin/python3\n");
    fleet.program(
        &format!("{generators}/systemd-procserv-generator-system"),
        "#!/usr/bin/manage-procs as\n",
    );
    let mut doctor = std::process::Command::new(crate::manage::fleet::MANAGE);
    doctor.args(["--json", "--root", root.to_str().unwrap(), "doctor"]);
    let output = doctor.output().unwrap();
    let found = findings_of(output.clone().into(), "left-1");
    assert!(has(&found, "procserv-left-1.service is a unit of procServ's helper"), "{found:?}");
    let found = findings_of(output.into(), "systemd");
    let says = "/usr/lib/systemd/system-generators/systemd-procserv-generator is a generator of procServ's helper";
    assert_eq!(found.iter().map(|(problem, _)| problem.as_str()).collect::<Vec<_>>(), [says]);
}

/// It works, though the site may not mean it.
fn a_hint_is_no_problem(_: &TestEnv) {
    let fleet = Fleet::new();
    let root = fleet.path("image");
    let generators = "image/usr/lib/systemd/system-generators";
    fleet.program(
        &format!("{generators}/systemd-procserv-generator-system"),
        "#!/usr/bin/manage-procs as\n",
    );
    fleet.program("image/bin/true", "");
    fleet.file("image/etc/passwd", "ioc:x:7:7::/:/bin/sh\n");
    fleet.file("image/etc/procServ.conf", "[hint]\ncommand = /bin/true\nuser = ioc\n");
    let doctor = || {
        let mut doctor = std::process::Command::new(crate::manage::fleet::MANAGE);
        let done: Done =
            doctor.args(["--root", root.to_str().unwrap(), "doctor"]).output().unwrap().into();
        done
    };
    let done = doctor();
    assert!(
        done.code == 0 && done.stdout.starts_with("no problems found (1 instances, "),
        "{done:?}"
    );
    assert!(done.stdout.contains("\nhint: hint: user without group"), "{done:?}");
    fleet.file("image/etc/procServ.conf", "[hint]\ncommand = --holdoff 5 /bin/true\n");
    let done = doctor();
    assert!(done.code == 0 && done.stdout.contains("command begins with options"), "{done:?}");
    fleet.file("image/etc/procServ.conf", "[hint]\ncommand = --holdoff 5 /bin/none\n");
    assert!(doctor().stdout.contains("command not found: /bin/none"));
    fleet.file("image/etc/procServ.conf", "[hint]\nuser = ioc\n");
    assert!(doctor().stdout.contains("hint: has no command\n"));
    fleet.file("image/etc/procServ.conf", "[hint]\ncommand = /bin/true\nuser = nobody-here\n");
    let done = doctor();
    assert!(
        done.code == 1 && done.stdout.contains("hint: there is no user nobody-here\n"),
        "{done:?}"
    );
}
