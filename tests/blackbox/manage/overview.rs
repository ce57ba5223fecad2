//! `status`: what it calls the state of an instance, its last end, and who had it end.

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};
use serde_json::{Value, json};
use std::fs;

cases![
    an_end_has_its_cause,
    who_killed_it_is_named,
    no_child_until_a_user_starts_one,
    who_had_a_server_quit_is_named,
    a_crash_loop_is_no_running_child,
    a_stopped_child_may_hang,
    a_command_that_can_not_be_executed_never_runs,
    a_server_that_was_killed_has_failed,
    what_systemd_says_of_units,
    a_file_that_can_not_be_read_is_no_missing_instance,
    a_server_without_configuration_is_shown,
    trouble_is_shown,
    what_the_journal_dropped_is_shown,
    the_signal_that_killed_a_server_is_shown,
    an_empty_table_says_what_to_do,
    rows_have_their_order,
];

fn look(fleet: &Fleet, name: &str) -> Value {
    let all: Value = serde_json::from_str(&fleet.must(&["status", "--json", name])).unwrap();
    all[0].clone()
}

/// Waits for a state; the row of the table.
fn row(env: &TestEnv, fleet: &Fleet, name: &str, state: &str) -> String {
    env.wait_for(state, || (look(fleet, name)["state"] == state).then_some(()));
    let table = fleet.must(&["status"]);
    let start = format!("{name} ");
    table.lines().find(|line| line.starts_with(&start)).unwrap().to_owned()
}

fn conf(name: &str, more: &str) -> (String, String) {
    let file = format!("home/.config/procServ.d/{name}.conf");
    (file, format!("[{name}]\ncommand = x\n{more}"))
}

fn configure(fleet: &Fleet, name: &str) {
    let (file, content) = conf(name, "");
    fleet.file(&file, &content);
}

/// Says what systemd says of a unit.
fn unit(name: &str, more: &str) -> String {
    format!("Id=procserv-{name}.service\nLoadState=loaded\n{more}\n\n")
}

fn an_end_has_its_cause(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "say READY exit 3", "options = --holdoff=90");
    let _server = fleet.launch(env, setup, "a");
    let row = row(env, &fleet, "a", "held_off");
    assert!(row.starts_with("a     held off 1m"), "{row}");
    assert!(row.contains(" exit 3 ") && row.ends_with("s ago"), "{row}");
    assert_eq!(fleet.run(&["status", "--check"]).code, 0);
}

fn user() -> String {
    let uid = nix::unistd::Uid::current();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

fn who_killed_it_is_named(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "cat", "options = --holdoff 1");
    let server = fleet.launch(env, setup, "a");
    server.child_start(1);
    let control = format!("unix:{}", fleet.path("run/procserv-a/control").display());
    let mut client = server.connect_to(&control);
    client.greeting();
    client.send("\u{18}");
    let expected = format!("^X by {}", user());
    env.wait_for("the end", || (look(&fleet, "a")["last"] == json!(expected)).then_some(()));
    let row = row(env, &fleet, "a", "running");
    assert!(row.contains(&format!(" {expected} ")), "{row}");
    // One restart, one user.
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[3..5], ["1/1", "1"], "{row}");
}

fn no_child_until_a_user_starts_one(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "cat", "");
    let server = fleet.launch(env, setup, "a");
    server.child_start(1);
    let control = format!("unix:{}", fleet.path("run/procserv-a/control").display());
    let mut client = server.connect_to(&control);
    client.greeting();
    client.send("\u{14}");
    client.until("OFF");
    env.wait_for("the mode", || (look(&fleet, "a")["status"]["mode"] == "OFF").then_some(()));
    let off = format!("  OFF by {}\n", user());
    env.wait_for("who has set it", || fleet.must(&["status"]).contains(&off).then_some(()));
    assert_eq!(look(&fleet, "a")["wrong"], false);
    client.send("\u{18}");
    let row = row(env, &fleet, "a", "down");
    assert!(row.contains(&format!("OFF by {0}; ^X by {0}", user())), "{row}");
    assert_eq!(fleet.run(&["status", "--check"]).code, 3);
}

fn who_had_a_server_quit_is_named(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "cat", "");
    let server = fleet.launch(env, setup, "a");
    server.child_start(1);
    let control = format!("unix:{}", fleet.path("run/procserv-a/control").display());
    let mut client = server.connect_to(&control);
    client.greeting();
    client.send("\u{14}");
    client.until("OFF");
    client.send("\u{18}");
    client.until("auto restart is disabled");
    client.send("\u{11}");
    server.wait_exit();
    let row = row(env, &fleet, "a", "stopped");
    assert!(row.contains(&format!(" quit by {} (server) ", user())), "{row}");
    let found = look(&fleet, "a");
    let last = (&found["last_code"], &found["last_cause"]["command"]);
    assert_eq!(last, (&json!(0), &json!("quit")), "{found}");
    assert_eq!(fleet.run(&["status", "--check"]).code, 0);
}

fn a_crash_loop_is_no_running_child(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "say READY exit 3", "options = --holdoff 0");
    let _server = fleet.launch(env, setup, "a");
    assert!(row(env, &fleet, "a", "looping").contains(" exit 3 "));
    assert_eq!(fleet.run(&["status", "--check"]).code, 3);
}

fn a_stopped_child_may_hang(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "cat", "");
    let server = fleet.launch(env, setup, "a");
    let child = nix::unistd::Pid::from_raw(server.child_start(1));
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGSTOP).unwrap();
    assert!(row(env, &fleet, "a", "hung").starts_with("a     hung?  "));
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGCONT).unwrap();
    row(env, &fleet, "a", "running");
}

/// The status file is behind.
fn a_command_that_can_not_be_executed_never_runs(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "", "");
    let (file, content) = conf("a", "options = --holdoff 0\n");
    fleet.file(&file, &content.replace("= x", "= /nonexistent"));
    let _server = fleet.launch(env, setup, "a");
    let mut seen = 0;
    env.wait_for("a hundred looks", || {
        let now = look(&fleet, "a");
        assert!(now["state"] != "running" || now["child_pid"] != Value::Null, "{now}");
        seen += 1;
        (seen > 100).then_some(())
    });
}

fn a_server_that_was_killed_has_failed(_: &TestEnv) {
    let fleet = Fleet::new();
    configure(&fleet, "a");
    fleet.file("run/procserv-a/info", "pid:2147483647\n");
    assert_eq!(look(&fleet, "a")["state"], "dead");
    fleet.file(
        "show",
        &unit(
            "a",
            "ActiveState=activating\nSubState=auto-restart\nResult=signal\nExecMainStatus=9",
        ),
    );
    assert_eq!(look(&fleet, "a")["state"], "failed");
    assert!(fleet.must(&["status"]).ends_with("  SIGKILL (server)\n"));
}

fn what_systemd_says_of_units(_: &TestEnv) {
    let fleet = Fleet::new();
    let cases = [
        (
            "a",
            "ActiveState=failed\nResult=exit-code\nExecMainStatus=98",
            "failed",
            "exit 98 (server)",
        ),
        ("b", "ActiveState=inactive\nResult=success", "stopped", ""),
        ("c", "ActiveState=activating\nSubState=start", "starting", ""),
        ("d", "ActiveState=deactivating", "exiting", ""),
    ];
    for (name, ..) in cases {
        configure(&fleet, name);
    }
    fleet.file("show", &cases.map(|(name, text, ..)| unit(name, text)).concat());
    for (name, _, state, last) in cases {
        let found = look(&fleet, name);
        assert_eq!(found["state"], state, "{name}");
        assert_eq!(found["last"].as_str().unwrap_or_default(), last, "{name}");
    }
    let failed = fleet.run(&["status", "--failed", "--check"]);
    assert!(failed.code == 3 && failed.stdout.lines().count() == 2, "{failed:?}");
    assert_eq!(fleet.run(&["status", "--check", "b", "c", "d"]).code, 0);
    assert_eq!(fleet.must(&["status", "--failed", "b"]), "nothing is wrong\n");
}

fn a_file_that_can_not_be_read_is_no_missing_instance(_: &TestEnv) {
    let fleet = Fleet::new();
    for (name, more) in [("a", "chdir = /a\\\n"), ("b", "what is this\n"), ("c", "")] {
        let (file, content) = conf(name, more);
        fleet.file(&file, &content);
    }
    for name in ["a", "b"] {
        let done = fleet.run(&["status", "--wide", name]);
        assert!(
            done.code == 0 && done.stdout.contains(&format!("\n{name}     broken ")),
            "{done:?}"
        );
    }
    assert_eq!(fleet.run(&["status", "--check"]).code, 3);
    assert_eq!(fleet.run(&["status", "d"]).code, 1);
}

fn a_server_without_configuration_is_shown(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "cat", "");
    let server = fleet.launch(env, setup, "a");
    server.child_start(1);
    fs::remove_file(fleet.path(&conf("a", "").0)).unwrap();
    fs::create_dir(fleet.path("run/procserv-gone")).unwrap();
    let table = fleet.must(&["status"]);
    assert!(table.lines().count() == 2 && table.contains("\na     orphan "), "{table}");
    server.terminate();
    assert!(fleet.must(&["status"]).starts_with("no instances: "));
}

fn trouble_is_shown(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "say hello cat", "options = --logfile /dev/full");
    let server = fleet.launch(env, setup, "a");
    server.child_start(1);
    env.wait_for("trouble", || look(&fleet, "a")["trouble"].get(0).cloned());
    let table = fleet.must(&["status"]);
    assert!(table.contains(" ! log: No space left on device"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert_eq!(fleet.run(&["status", "--check"]).code, 3);
}

/// A stand-in for journalctl that writes down its arguments and says this.
fn journal(fleet: &Fleet, entries: &[Value]) {
    let entries: String = entries.iter().map(|entry| format!("echo '{entry}'\n")).collect();
    let dir = fleet.path("").display().to_string();
    let script = format!("#!/bin/sh\necho \"$*\" >>{dir}/journalctl\n{entries}");
    fleet.program("bin/journalctl", &script);
}

fn what_the_journal_dropped_is_shown(_: &TestEnv) {
    let fleet = Fleet::new();
    for name in ["a", "b"] {
        configure(&fleet, name);
    }
    let uid = nix::unistd::Uid::current().to_string();
    let dropped = |count: &str| {
        json!({
            "MESSAGE_ID": "a596d6fe7bfa4994828e72309e95d61e", "N_DROPPED": count, "_UID": "0",
            "OBJECT_SYSTEMD_UNIT": format!("user@{uid}.service"),
            "OBJECT_SYSTEMD_OWNER_UID": uid,
            "OBJECT_SYSTEMD_USER_UNIT": "procserv-a.service",
        })
    };
    journal(&fleet, &[dropped("974000"), dropped("212")]);
    let table = fleet.must(&["status"]);
    assert!(table.contains(" ! journal dropped 974,212 lines\n"), "{table}");
    // Once for both.
    let calls = fleet.read("journalctl");
    assert!(calls.lines().count() == 1 && calls.contains(" --since=@"), "{calls}");
    assert_eq!(look(&fleet, "a")["journal_dropped"], 974_212);
    assert_eq!(
        (look(&fleet, "a")["wrong"].clone(), look(&fleet, "b")["wrong"].clone()),
        (json!(true), json!(false))
    );
    assert_eq!(fleet.run(&["status", "--check"]).code, 3);
    let said = fleet.run(&["doctor"]).stdout;
    let problem = "a: the journal has dropped 974,212 lines of its output within 24 hours\n";
    assert!(said.contains(problem) && said.contains("LogRateLimitBurst="), "{said}");
    // A journal that does not answer holds nothing up for long.
    fleet.program("bin/journalctl", "#!/bin/sh\nexec sleep 1000\n");
    assert_eq!(look(&fleet, "a")["journal_dropped"], 0);
}

fn the_signal_that_killed_a_server_is_shown(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "cat", "");
    let server = fleet.launch(env, setup, "a");
    server.child_start(1);
    let old = env.wait_for("the status", || look(&fleet, "a")["status"]["pid"].as_i64());
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(server.pid()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    server.wait_exit();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let setup = env.server();
    fleet.instance(&setup, "a", "cat", "");
    let info = fleet.path("run/procserv-a/info");
    let _ = fs::remove_file(&info);
    let next = fleet.launch(env, setup, "a");
    next.child_start(1);
    env.wait_for("the next server", || {
        (look(&fleet, "a")["status"]["last_server"]["pid"] == old).then_some(())
    });
    assert_eq!(look(&fleet, "a")["last"], "killed or crashed (server)");
    journal(
        &fleet,
        &[json!({
            "MESSAGE_ID": "98e322203f7a4ed290d09fe03c09fe15", "EXIT_CODE": "killed",
            "EXIT_STATUS": "9", "_UID": nix::unistd::Uid::current().to_string(),
            "USER_UNIT": "procserv-a.service",
            "__REALTIME_TIMESTAMP": now.as_micros().to_string(),
        })],
    );
    assert_eq!(look(&fleet, "a")["last"], "SIGKILL (server)");
}

fn an_empty_table_says_what_to_do(_: &TestEnv) {
    let fleet = Fleet::new();
    assert_eq!(fleet.must(&["status"]), "no instances: manage-procs add makes one\n");
    assert_eq!(fleet.must(&["status", "--plain"]), "");
    assert_eq!(fleet.must(&["status", "--json"]), "[]\n");
}

fn rows_have_their_order(_: &TestEnv) {
    let fleet = Fleet::new();
    for name in ["a", "b"] {
        configure(&fleet, name);
    }
    fleet.file("show", &unit("b", "ActiveState=failed\nResult=timeout"));
    let names = |words: &[&str]| {
        let table = fleet.must(&[&["status"], words].concat());
        table.lines().skip(1).map(|line| line[..1].to_owned()).collect::<String>()
    };
    assert_eq!(names(&[]), "ab");
    assert_eq!(names(&["--sort", "state"]), "ba");
    assert_eq!(names(&["--sort", "restarts"]), "ab");
    assert_eq!(fleet.run(&["status", "--sort", "colour"]).code, 2);
}
