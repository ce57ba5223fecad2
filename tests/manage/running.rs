//! Servers that are started as their units start them: launcher, `status`, `upgrade`.

use crate::case;
use crate::fleet::Fleet;
use crate::support::{Case, Lab};
use serde_json::{Value, json};
use std::fs;

pub fn cases() -> Vec<Case> {
    vec![
        case!(the_launcher_becomes_the_server),
        case!(status_is_read_from_files),
        case!(a_status_file_is_shown),
        case!(upgrade_keeps_pid_child_and_clients),
        case!(who_knows_no_upgrade_is_not_killed),
        case!(attach_finds_an_instance),
    ]
}

fn status(fleet: &Fleet) -> Value {
    serde_json::from_str(&fleet.must(&["status", "--json"])).unwrap()
}

/// The command line that sites see in `ps`.
fn the_launcher_becomes_the_server(lab: &Lab) {
    let fleet = Fleet::new();
    let setup = lab.server();
    let dir = setup.dir();
    let more =
        format!("chdir = {}\nport = {}\noptions = --holdoff 1", dir.display(), lab.free_port());
    fleet.instance(&setup, "ioc1", "cat", &more);
    let port = more.split_once("port = ").unwrap().1.split_once('\n').unwrap().0.to_owned();
    let server = fleet.launch(lab, setup, "ioc1");
    let cmdline = fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    let words: Vec<String> =
        cmdline.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
    let run = fleet.path("run/procserv-ioc1").display().to_string();
    let line = format!(
        "--foreground --logfile - --name ioc1 --ignore ^D^C^] --logoutcmd ^D --chdir {0} \
         --info-file {run}/info --port unix:{run}/control --port {port} --holdoff 1 {0}/fake-ioc cat ",
        dir.display()
    );
    assert_eq!(words[1..].join(" "), line);
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", server.pid())).unwrap(), "procServ\n");
    assert!(words[0].starts_with('/'), "an upgrade looks for it there: {}", words[0]);
}

fn status_is_read_from_files(lab: &Lab) {
    let fleet = Fleet::new();
    let setup = lab.server();
    fleet.instance(&setup, "ioc1", "cat", "options = -o");
    assert_eq!(status(&fleet)[0]["state"], "stopped");
    let server = fleet.launch(lab, setup, "ioc1");
    let child = server.child_start(1);
    let now = status(&fleet)[0].clone();
    assert_eq!(now["state"], "running");
    assert_eq!((&now["server_pid"], &now["child_pid"]), (&json!(server.pid()), &json!(child)));
    let control = format!("unix:{}", fleet.path("run/procserv-ioc1/control").display());
    assert_eq!(now["endpoints"], json!([control]));
    let table = fleet.must(&["status"]);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row[5]), ("ioc1", "running", control.as_str()));
    server.terminate();
    assert_eq!(status(&fleet)[0]["state"], "stopped");
    // What a server that was killed leaves, whose number somebody else has got since.
    let info = fleet.file("run/procserv-ioc1/info", &format!("pid:{}\n", std::process::id()));
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(9);
    fs::File::options().write(true).open(info).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(status(&fleet)[0]["state"], "dead");
}

fn a_status_file_is_shown(lab: &Lab) {
    let fleet = Fleet::new();
    let setup = lab.server();
    fleet.instance(&setup, "ioc1", "cat", "");
    let _server = fleet.launch(lab, setup, "ioc1");
    let said = json!({ "child": { "state": "holding off" }, "version": 1 });
    fleet.file("run/procserv-ioc1/status", &said.to_string());
    let now = status(&fleet)[0].clone();
    assert_eq!((&now["state"], &now["status"]), (&json!("holding off"), &said));
    fleet.file("run/procserv-ioc1/status", "{");
    assert_eq!(status(&fleet)[0]["status"], Value::Null);
}

fn upgrade_keeps_pid_child_and_clients(lab: &Lab) {
    let fleet = Fleet::new();
    let setup = lab.server();
    fleet.instance(&setup, "ioc1", "cat", "");
    fleet.instance(&setup, "ioc2", "cat", "");
    let server = fleet.launch(lab, setup, "ioc1");
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

fn who_knows_no_upgrade_is_not_killed(_: &Lab) {
    let fleet = Fleet::new();
    for name in ["a", "b"] {
        fleet.file(
            &format!("home/.config/procServ.d/{name}.conf"),
            &format!("[{name}]\ncommand = x\n"),
        );
    }
    let mut sleep = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    fleet.file("run/procserv-a/info", &format!("pid:{}\n", sleep.id()));
    fleet.file("run/procserv-b/info", &format!("pid:{}\n", sleep.id()));
    let done = fleet.run(&["upgrade", "*"]);
    let lives = sleep.try_wait().unwrap().is_none();
    sleep.kill().unwrap();
    sleep.wait().unwrap();
    assert!(lives && done.code == 1, "{done:?}");
    assert!(
        done.stdout.contains("a: failed: PID ") && done.stdout.contains("would kill it"),
        "{done:?}"
    );
    assert!(done.stdout.contains("b: failed: not tried, after a failure"), "{done:?}");
}

fn attach_finds_an_instance(lab: &Lab) {
    let fleet = Fleet::new();
    let setup = lab.server();
    fleet.instance(&setup, "ioc1", "cat", "");
    let done = fleet.run(&["attach", "ioc1"]);
    assert!(done.code == 1 && done.stderr.contains("manage-procs --user start ioc1"), "{done:?}");
    let done = fleet.run(&["attach", "nobody"]);
    assert!(done.stderr.contains("nobody: neither an instance nor an endpoint"), "{done:?}");
    let server = fleet.launch(lab, setup, "ioc1");
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
