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
    assert_eq!(found[0].0, format!("port {port} is in use by another program"));
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
    for words in [&["list"][..], &["start"], &["add", "a", "/bin/true"], &["write-procs-cf"]] {
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
