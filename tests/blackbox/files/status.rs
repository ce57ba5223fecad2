//! `--status-file`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::own_pid;
use crate::support::{ServerBuilder, TestEnv, TestServer, cases};

cases![
    how_things_are,
    each_field_is_documented,
    how_things_change,
    health_is_that_of_the_child,
    a_reader_never_sees_half_of_it,
    it_is_not_replaced_without_pause,
    it_is_removed_at_an_orderly_end,
    somebody_elses_is_left_at_the_end,
    it_is_right_after_an_upgrade,
    a_device_is_not_replaced,
    what_a_crash_left_is_no_trouble,
    what_a_crash_left_is_removed,
    two_servers_with_one_file_are_no_trouble_to_each_other,
];

fn with_status(env: &TestEnv) -> ServerBuilder {
    env.server().opts(["-n", "ioc", "--holdoff", "0", "--status-file", "status"])
}

fn read(server: &TestServer) -> Option<Value> {
    let text = fs::read(server.path("status")).ok()?;
    Some(serde_json::from_slice(&text).expect("whole JSON"))
}

/// Waits for a status of which this is true.
fn wait_status(
    env: &TestEnv,
    server: &TestServer,
    what: &str,
    is: impl Fn(&Value) -> bool,
) -> Value {
    env.wait_for(what, || read(server).filter(|status| is(status)))
}

fn clients(status: &Value) -> usize {
    status["clients"].as_array().unwrap().len()
}

fn how_things_are(env: &TestEnv) {
    let server = with_status(env).opts(["-l", "unix:log-ctl"]).start();
    server.connect().greeting();
    let mut user = server.connect();
    user.greeting();
    let mut logger = server.connect_log();
    logger.greeting();
    let status = wait_status(env, &server, "two clients", |status| clients(status) == 2);
    assert_eq!(status["v"], 1);
    assert_eq!(status["version"], env.version());
    assert_eq!(status["pid"], server.pid());
    assert_eq!(status["name"], "ioc");
    assert_eq!(status["mode"], "ON");
    assert_eq!(status["restarts"], 0);
    assert_eq!(status["leaving"], false);
    assert_eq!(status["argv"][0], "procServ");
    assert_eq!(status["child"]["state"], "running");
    assert_eq!(status["child"]["pid"], server.child_start(1));
    assert_eq!(status["child"]["ready"], true);
    let roles: Vec<_> =
        status["endpoints"].as_array().unwrap().iter().map(|it| &it["role"]).collect();
    assert_eq!(roles, ["logger", "user"]);
    for (client, role) in status["clients"].as_array().unwrap().iter().zip(["user", "logger"]) {
        assert_eq!(client["role"], role);
        assert_eq!(client["pid"], own_pid());
    }
    let since = &status["clients"][0]["since"];
    for time in [&status["started"], &status["child"]["started"], since] {
        let text = time.as_str().unwrap();
        assert!(text.len() == 25 && text.as_bytes()[10] == b'T', "{text}");
    }
    let mode = fs::metadata(server.path("status")).unwrap().mode() & 0o777;
    assert_eq!(mode & 0o600, 0o600);
}

fn each_field_is_documented(env: &TestEnv) {
    let tcp = format!("127.0.0.1:{}", env.free_port());
    let server = with_status(env).opts(["-P", &tcp]).start();
    let mut users = [server.connect(), server.connect_to(&tcp)];
    users.iter_mut().for_each(|user| drop(user.greeting()));
    let status = wait_status(env, &server, "two clients", |status| clients(status) == 2);
    let text = include_str!("../../../docs/status.md");
    // Behind the next heading is what manage-procs prints.
    let text = text.split("\n## ").next().unwrap();
    // The names in the first column.
    let rows = || text.lines().filter(|line| line.starts_with('|'));
    let names = rows().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let mut documented: Vec<&str> = names.collect();
    documented.sort_unstable();
    assert_eq!(keys(&status), documented);
    let rows: Vec<&str> = rows().collect();
    let told = |row: &str, key: &str| row.contains(&format!("`{key}`"));
    for (what, object) in [
        ("child", &status["child"]),
        ("endpoints", &status["endpoints"][0]),
        ("clients", &status["clients"][0]),
        ("clients", &status["clients"][1]),
    ] {
        let at = rows.iter().position(|row| row.starts_with(&format!("| `{what}`"))).unwrap();
        let after = rows[at + 1..].iter().take_while(|row| row.starts_with("| |"));
        let row = rows[at].to_owned() + &after.copied().collect::<String>();
        for key in keys(object) {
            assert!(told(&row, &key), "{what}: {key}");
        }
    }
}

/// `--health`: the exit status, and what it says.
fn health(server: &TestServer) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_procServ"));
    let output = command.arg("--health").arg(server.path("status")).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn health_is_that_of_the_child(env: &TestEnv) {
    let server = with_status(env).opts(["--ready", "at last"]);
    let server = server.child(["wait-for", "go", "say", "at last", "cat"]).start();
    let is = |code: i32, line: &str| {
        env.wait_for(line, || (health(&server) == (Some(code), format!("{line}\n"))).then_some(()));
    };
    is(1, "the child runs and is not ready");
    fs::write(server.path("go"), "").unwrap();
    is(0, "the child runs and is ready");
    let mut user = server.connect();
    user.greeting();
    user.send("\x14\x18");
    is(1, "there is no child until a user starts one");
    user.send("\x12");
    is(0, "the child runs and is ready");
    server.signal(Signal::SIGKILL);
    server.wait_exit();
    is(1, "the server does not run");
}

fn how_things_change(env: &TestEnv) {
    let server = with_status(env).start();
    let mut user = server.connect();
    user.greeting();
    user.send("\x14");
    wait_status(env, &server, "mode OFF", |status| status["mode"] == "OFF");
    user.send("\x18");
    let down =
        wait_status(env, &server, "no child", |status| status["child"]["state"] == "by_hand");
    assert!(down["child"].get("pid").is_none());
    user.send("\x12");
    let second = server.child_start(2);
    let status = wait_status(env, &server, "a child", |status| status["child"]["pid"] == second);
    assert_eq!(status["restarts"], 1);
    drop(user);
    wait_status(env, &server, "nobody", |status| clients(status) == 0);
}

fn a_reader_never_sees_half_of_it(env: &TestEnv) {
    let server = with_status(env).start();
    wait_status(env, &server, "the file", |_| true);
    let mut user = server.connect();
    user.greeting();
    for _ in 0..300 {
        user.send("\x14");
        user.until("Toggled");
        // Panics if it is half.
        assert!(read(&server).is_some(), "it was gone for a moment");
    }
    // The last state is written.
    wait_status(env, &server, "mode ON", |status| status["mode"] == "ON");
}

/// A new file has another inode, or at least other times.
fn it_is_not_replaced_without_pause(env: &TestEnv) {
    let server = with_status(env).start();
    wait_status(env, &server, "the file", |_| true);
    let mut user = server.connect();
    user.greeting();
    let begun = std::time::Instant::now();
    let mut seen = Vec::new();
    for _ in 0..300 {
        user.send("\x14");
        user.until("Toggled");
        let metadata = fs::metadata(server.path("status")).unwrap();
        let id = (metadata.ino(), metadata.ctime(), metadata.ctime_nsec());
        if seen.last() != Some(&id) {
            seen.push(id);
        }
    }
    let most = begun.elapsed().as_millis() / 200 + 3;
    assert!(seen.len() as u128 <= most, "{} in {:?}", seen.len(), begun.elapsed());
}

fn it_is_removed_at_an_orderly_end(env: &TestEnv) {
    let server = with_status(env).start();
    server.child_start(1);
    wait_status(env, &server, "the file", |_| true);
    assert!(server.terminate().success());
    let names = names_in(server.dir());
    assert!(names.iter().all(|name| !name.contains("status")), "{names:?}");
}

fn names_in(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

fn somebody_elses_is_left_at_the_end(env: &TestEnv) {
    let server = with_status(env).opts(["-w"]).start();
    wait_status(env, &server, "the file", |_| true);
    server.falls_asleep();
    fs::write(server.path("other"), "other").unwrap();
    fs::rename(server.path("other"), server.path("status")).unwrap();
    assert!(server.terminate().success());
    assert_eq!(server.file("status"), b"other");
}

fn it_is_right_after_an_upgrade(env: &TestEnv) {
    let server = with_status(env).opts(["--events", "events"]).start();
    server.child_start(1);
    let mut user = server.connect();
    user.greeting();
    user.send("\x18");
    let second = server.child_start(2);
    let is_second = |status: &Value| status["child"]["pid"] == second && clients(status) == 1;
    let before = wait_status(env, &server, "the second child", is_second);
    fs::remove_file(server.path("status")).unwrap();
    server.signal(Signal::SIGUSR1);
    super::wait_events(env, &server, "server_upgrade", 1);
    let mut after = wait_status(env, &server, "the file again", |_| true);
    assert_eq!(after["upgrades"].take(), 1);
    after["upgrades"] = 0.into();
    assert_eq!(after, before);
    assert_eq!(after["ends"].as_array().unwrap().len(), 1);
    assert_eq!(after["restarts"], 1);
}

fn a_device_is_not_replaced(env: &TestEnv) {
    let setup = with_status(env).logged();
    let fifo = setup.path("status");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let server = setup.start();
    server.file_with("log", "@@@ Status file: not a regular file, it is not being written\r\n");
    assert!(server.terminate().success());
    assert!(fs::metadata(server.path("status")).unwrap().file_type().is_fifo());
}

fn what_a_crash_left_is_no_trouble(env: &TestEnv) {
    let setup = with_status(env).with_file("status", "old").with_file("victim", "mine");
    std::os::unix::fs::symlink(setup.path("victim"), setup.path("status.new")).unwrap();
    let server = setup.start();
    env.wait_for("the file", || {
        (fs::read(server.path("status")).ok()? != b"old").then(|| read(&server))
    });
    assert_eq!(server.file("victim"), b"mine");
}

/// A server that was killed while it replaced the file leaves another file beside it.
fn what_a_crash_left_is_removed(env: &TestEnv) {
    // No process has this number.
    let left = ".status.99999999.Ab12Cd.tmp";
    let setup = with_status(env).with_file(left, "{").with_file(".other.99999999.Ab12Cd.tmp", "{");
    let server = setup.start();
    wait_status(env, &server, "the file", |_| true);
    assert!(!server.path(left).exists());
    assert!(server.path(".other.99999999.Ab12Cd.tmp").exists());
}

/// Both write as often as they do at all, until each has been seen in the file a few times.
fn two_servers_with_one_file_are_no_trouble_to_each_other(env: &TestEnv) {
    let shared = tempfile::tempdir().unwrap();
    let path = shared.path().join("status");
    let file = path.to_str().unwrap();
    let servers = [(); 2]
        .map(|()| with_status(env).opts(["--status-file", file, "--events", "events"]).start());
    let pids = servers.each_ref().map(TestServer::pid);
    let mut users = servers.each_ref().map(TestServer::connect);
    for user in &mut users {
        user.greeting();
    }
    let mut seen = [0; 2];
    let mut last = 0;
    while seen.iter().any(|&times| times < 5) {
        for user in &mut users {
            user.send("\x14");
            user.until("Toggled");
        }
        let Ok(text) = fs::read(&path) else { continue };
        let status: Value = serde_json::from_slice(&text).expect("the status of one server, whole");
        let at = pids.iter().position(|&pid| status["pid"] == pid).expect("one of the servers");
        let inode = fs::metadata(&path).unwrap().ino();
        seen[at] += usize::from(inode != last);
        last = inode;
    }
    for server in &servers {
        server.falls_asleep();
        let events = super::events_in(server, "events");
        assert!(events.iter().all(|event| event["event"] != "trouble"), "{events:?}");
    }
    for server in servers {
        assert!(server.terminate().success());
    }
    assert!(names_in(shared.path()).is_empty());
}
