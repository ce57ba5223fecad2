//! Servers that are started as their units start them: launcher, `status`, `upgrade`.

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

cases![
    the_launcher_becomes_the_server,
    a_name_may_have_colons,
    status_is_read_from_files,
    a_status_file_is_shown,
    chapter_5_status_in_the_words_of_the_helper,
    upgrade_keeps_pid_child_and_clients,
    who_knows_no_upgrade_is_not_killed,
    who_is_no_server_gets_no_signal,
    attach_finds_an_instance,
    attach_takes_no_log_endpoint,
    chapter_5_attach_by_the_info_file_alone,
    an_endpoint_needs_no_configuration,
];

fn conf(name: &str) -> String {
    format!("home/.config/procServ.d/{name}.conf")
}

fn status(fleet: &Fleet) -> Value {
    serde_json::from_str(&fleet.must(&["status", "--json"])).unwrap()
}

/// These endpoints, and those that every instance has.
fn all_endpoints(fleet: &Fleet, name: &str, endpoints: &[String]) -> Value {
    let run = fleet.path(&format!("run/procserv-{name}"));
    let mut all = endpoints.to_vec();
    all.extend(["raw", "view"].map(|kind| format!("{kind}:unix:{}", run.join(kind).display())));
    json!(all)
}

/// The command line that sites see in `ps`.
fn the_launcher_becomes_the_server(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    let dir = setup.dir();
    let more =
        format!("chdir = {}\nport = {}\noptions = --holdoff 1", dir.display(), env.free_port());
    fleet.instance(&setup, "ioc1", "cat", &more);
    let port = more.split_once("port = ").unwrap().1.split_once('\n').unwrap().0.to_owned();
    let server = fleet.launch(env, setup, "ioc1");
    let cmdline = fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    let words: Vec<String> =
        cmdline.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
    let run = fleet.path("run/procserv-ioc1").display().to_string();
    let events = fleet.path("home/.local/state/log/procserv-ioc1/events").display().to_string();
    let line = format!(
        "--foreground --notify --logfile - --name ioc1 --ignore ^D^C^] --logoutcmd ^D --chdir {0} \
         --info-file {run}/info --status-file {run}/status --api unix:::0660:{run}/api --events {events} --events-rotate 1M,3 \
         --port unix:::0660:{run}/control --port {port} --port raw:unix:::0660:{run}/raw \
         --port view:unix:::0660:{run}/view --holdoff 1 {0}/fake-ioc cat ",
        dir.display()
    );
    assert_eq!(words[1..].join(" "), line);
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", server.pid())).unwrap(), "procServ\n");
    assert!(words[0].starts_with('/'), "an upgrade looks for it there: {}", words[0]);
}

fn a_name_may_have_colons(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "LI20:IOC:1", "say hello cat", "");
    let server = fleet.launch(env, setup, "LI20:IOC:1");
    server.child_start(1);
    let control = format!("unix:{}", fleet.path("run/procserv-LI20:IOC:1/control").display());
    assert_eq!(status(&fleet)[0]["endpoints"], all_endpoints(&fleet, "LI20:IOC:1", &[control]));
    let mut command = fleet.command(&["attach", "LI20:IOC:1"]);
    command.stdin(fs::File::open(fleet.file("input", "\u{4}")).unwrap());
    let output = command.output().unwrap();
    assert!(output.stdout.starts_with(b"@@@ Welcome to procServ"), "{output:?}");
}

fn status_is_read_from_files(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "ioc1", "cat", "options = -o");
    assert_eq!(status(&fleet)[0]["state"], "stopped");
    let server = fleet.launch(env, setup, "ioc1");
    let child = server.child_start(1);
    // The server writes its status file soon, not at once.
    let now = env.wait_for("a status file", || {
        let now = status(&fleet)[0].clone();
        (now["status"]["child"]["pid"] == json!(child)).then_some(now)
    });
    assert_eq!(now["state"], "running");
    assert_eq!((&now["server_pid"], &now["child_pid"]), (&json!(server.pid()), &json!(child)));
    let control = format!("unix:{}", fleet.path("run/procserv-ioc1/control").display());
    let all = all_endpoints(&fleet, "ioc1", std::slice::from_ref(&control));
    assert_eq!(now["endpoints"], all);
    let table = fleet.must(&["status"]);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1]), ("ioc1", "running"), "{table}");
    assert_eq!(row[3..], ["0/0", "0", "ONESHOT"], "{table}");
    let wide = fleet.must(&["status", "--wide"]);
    let row: Vec<&str> = wide.lines().nth(1).unwrap().split_whitespace().collect();
    let pids = [server.pid().to_string(), child.to_string()];
    assert!(row[5..7] == pids && row[9] == control, "{wide}");
    server.terminate();
    assert_eq!(status(&fleet)[0]["state"], "stopped");
    // What a server that was killed leaves, whose number somebody else has got since.
    let info = fleet.file("run/procserv-ioc1/info", &format!("pid:{}\n", std::process::id()));
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(9);
    fs::File::options().write(true).open(info).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(status(&fleet)[0]["state"], "dead");
}

fn chapter_5_status_in_the_words_of_the_helper(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    let port = env.free_port();
    fleet.instance(&setup, "ioc1", "cat", &format!("options = -P 127.0.0.1:{port}"));
    let plain = || fleet.must(&["status", "--plain"]);
    assert_eq!(plain(), "ioc1 Stopped\n");
    let server = fleet.launch(env, setup, "ioc1");
    server.child_start(1);
    let info = fleet.read("run/procserv-ioc1/info");
    let endpoints: Vec<&str> = info
        .lines()
        .filter_map(|line| line.strip_prefix("tcp:").or(line.strip_prefix("unix:")))
        .collect();
    assert_eq!(endpoints.len(), 2, "{info}");
    assert_eq!(plain(), format!("ioc1 Running\t{}\n", endpoints.join(" ")));
    server.terminate();
    assert_eq!(plain(), "ioc1 Stopped\n");
    // Another process has the number by now.
    fleet.file("run/procserv-ioc1/info", &format!("pid:{}\ntcp:127.0.0.1:1\n", std::process::id()));
    assert_eq!(plain(), "ioc1 Dead\n");
    fleet.file("run/procserv-ioc1/info", "pid:no\n");
    assert_eq!(plain(), "ioc1 Stopped\n");
}

fn a_status_file_is_shown(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    let named = fleet.path("run/named").display().to_string();
    let more = format!("options = --info-file={named}.info --status {named}.json --holdoff=9");
    fleet.instance(&setup, "ioc1", "say READY exit 1", &more);
    fs::create_dir(fleet.path("run/procserv-ioc1/info")).unwrap();
    let _server = fleet.launch_until(env, setup, "ioc1", &format!("{named}.json"));
    let due = env.wait_for("the state", || {
        let now = status(&fleet)[0].clone();
        (now["state"] == "held_off").then_some(now)
    });
    assert_eq!((&due["status"]["restarts"], &due["child_pid"]), (&json!(0), &Value::Null));
    assert!(!fleet.path("run/procserv-ioc1/status").exists());
    // Another server's, such as one that was killed, and what is none.
    let file = format!("{named}.json");
    fs::write(&file, json!({ "pid": 1, "child": { "state": "last" } }).to_string()).unwrap();
    assert_eq!(status(&fleet)[0]["status"], Value::Null);
    fs::write(&file, "{").unwrap();
    assert_eq!(status(&fleet)[0]["status"], Value::Null);
}

fn upgrade_keeps_pid_child_and_clients(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "ioc1", "cat", "");
    fleet.instance(&setup, "ioc2", "cat", "");
    let server = fleet.launch(env, setup, "ioc1");
    let child = server.child_start(1);
    let mut user =
        server.connect_to(&format!("unix:{}", fleet.path("run/procserv-ioc1/control").display()));
    user.greeting();
    let said = fleet.must(&["upgrade", "*"]);
    let pid = server.pid();
    assert!(said.starts_with(&format!("ioc1: upgraded: PID {pid} is /")), "{said}");
    assert!(said.ends_with("ioc2: stopped: has no server\n"), "{said}");
    assert_eq!(status(&fleet)[0]["child_pid"], json!(child));
    user.send("hello\r");
    user.until("hello\r\nhello");
    let said: Value = serde_json::from_str(&fleet.must(&["upgrade", "ioc1", "--json"])).unwrap();
    assert_eq!(said[0]["result"], "upgraded");
}

/// Runs a shell that says when it is ready and lives until it is dropped.
struct Shell(std::process::Child);

impl Shell {
    fn new(program: &Path, words: &[&str]) -> Shell {
        let mut command = Command::new(program);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = Shell(pipes.args(words).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(shell.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        shell
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn who_knows_no_upgrade_is_not_killed(_: &TestEnv) {
    let fleet = Fleet::new();
    for name in ["a", "b"] {
        fleet.file(&conf(name), &format!("[{name}]\ncommand = x\n"));
        fleet.file(&format!("run/procserv-{name}/info"), "");
    }
    // A server as procServ's: SIGUSR1 ends it.
    let old = fleet.program("old/procServ", "#!/bin/sh\necho ready\nread x\n");
    let info = fleet.path("run/procserv-a/info").display().to_string();
    let mut server = Shell::new(&old, &["--info-file", &info]);
    let pid = server.0.id();
    fleet.file("run/procserv-a/info", &format!("pid:{pid}\n"));
    fleet.file("run/procserv-b/info", &format!("pid:{pid}\n"));
    let done = fleet.run(&["upgrade", "a", "b"]);
    assert!(server.lives() && done.code == 1, "{done:?}");
    let says = format!("a: failed: PID {pid} knows nothing of upgrades, and SIGUSR1 would kill it");
    assert!(done.stdout.contains(&says), "{done:?}");
    assert!(done.stdout.contains("b: failed: not tried, after a failure"), "{done:?}");
    // It is a's.
    assert_eq!(fleet.must(&["upgrade", "b"]), "b: stopped: has no server\n");
    assert_eq!(fleet.run(&["--root", "/", "upgrade", "a"]).code, 2);
}

/// An instance's user may write into its info file, which root's commands read.
fn who_is_no_server_gets_no_signal(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(&conf("a"), "[a]\ncommand = x\n");
    let info = fleet.file("run/procserv-a/info", "").display().to_string();
    let script = "trap 'exit 1' USR1; echo ready; while read x; do :; done";
    let mut shell = Shell::new(Path::new("/bin/sh"), &["-c", script, &info]);
    for pid in [shell.0.id().to_string(), "0".into(), "-1".into(), "1".into()] {
        fs::write(&info, format!("pid:{pid}\n")).unwrap();
        let done = fleet.run(&["upgrade", "a"]);
        assert_eq!(done.stdout, "a: stopped: has no server\n", "{pid}: {done:?}");
        assert_eq!(status(&fleet)[0]["state"], "dead", "{pid}");
    }
    assert!(shell.lives());
}

fn attach_finds_an_instance(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "ioc1", "cat", "");
    let done = fleet.run(&["attach", "ioc1"]);
    assert!(done.code == 1 && done.stderr.contains("manage-procs --user start ioc1"), "{done:?}");
    let done = fleet.run(&["attach", "nobody"]);
    assert!(done.stderr.contains(": no instance nobody of user "), "{done:?}");
    let server = fleet.launch(env, setup, "ioc1");
    server.child_start(1);
    // Without a terminal: what a pipe says, and the answer up to the end.
    let mut command = fleet.command(&["attach", "ioc1"]);
    let input = fleet.file("input", "\u{4}");
    command.stdin(fs::File::open(input).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("@@@ Welcome to procServ") && !said.contains('\u{fffd}'), "{said:?}");
}

/// Nobody could type there.
fn attach_takes_no_log_endpoint(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    let log = format!("unix:{}", fleet.path("log").display());
    fleet.instance(&setup, "ioc1", "cat", &format!("options = --logport {log}"));
    let server = fleet.launch_until(env, setup, "ioc1", "run/procserv-ioc1/status");
    server.child_start(1);
    let control = fleet.path("run/procserv-ioc1/control");
    let endpoints = [format!("unix:{}", control.display()), log];
    assert_eq!(status(&fleet)[0]["endpoints"], all_endpoints(&fleet, "ioc1", &endpoints));
    fs::remove_file(&control).unwrap();
    fs::remove_file(control.with_file_name("raw")).unwrap();
    let done = fleet.run(&["attach", "ioc1"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.ends_with("/raw: No such file or directory\n"), "{done:?}");
}

/// Its file may be gone, or be one that nobody can read.
fn chapter_5_attach_by_the_info_file_alone(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "ioc1", "cat", "");
    let server = fleet.launch(env, setup, "ioc1");
    server.child_start(1);
    let attached = || {
        let mut command = fleet.command(&["attach", "ioc1"]);
        command.stdin(fs::File::open(fleet.file("input", "\u{4}")).unwrap());
        let output = command.output().unwrap();
        assert!(output.stdout.starts_with(b"@@@ Welcome to procServ"), "{output:?}");
        assert!(output.status.success(), "{output:?}");
    };
    fs::remove_file(fleet.path(&conf("ioc1"))).unwrap();
    attached();
    fs::remove_dir(fleet.path("home/.config/procServ.d")).unwrap();
    fleet.file("home/.config/procServ.d", "");
    attached();
    assert!(fleet.run(&["attach", "ioc2"]).stderr.contains(": no instance ioc2 of user "));
}

fn an_endpoint_needs_no_configuration(env: &TestEnv) {
    let fleet = Fleet::new();
    let server = env.server().start();
    server.child_start(1);
    drop(server.connect());
    let endpoint = format!("unix:{}", server.path("ctl").display());
    fs::create_dir_all(fleet.path("home/.config")).unwrap();
    fleet.file("home/.config/procServ.d", "");
    for home in [fleet.path("home"), "nowhere".into(), "/nonexistent".into()] {
        let mut command = fleet.command(&["attach", &endpoint]);
        command.env("HOME", home).stdin(fs::File::open(fleet.file("input", "")).unwrap());
        let output = command.output().unwrap();
        assert!(output.stdout.starts_with(b"@@@ Welcome to procServ"), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("Not a directory"), "{output:?}");
    }
}
