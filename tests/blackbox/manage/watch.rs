//! `watch --json`: what is printed of each change, and to whom.

use crate::manage::fleet::{Done, Fleet, MANAGE};
use crate::support::hanging_fs::HangingFs;
use crate::support::{TestEnv, alive, cases};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

cases![
    the_table_and_then_each_change,
    what_appears_and_goes_is_told,
    it_ends_with_its_input,
    it_ends_with_its_reader,
    a_slow_reader_gets_the_newest_state,
    a_configuration_that_hangs_is_trouble.needs_fuse(),
    it_is_for_programs,
];

/// The command, and the lines that it prints.
struct Watcher {
    process: Child,
    lines: Receiver<Value>,
}

impl Watcher {
    fn start(fleet: &Fleet, words: &[&str]) -> Watcher {
        let mut process = spawn(fleet, words);
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines() {
                if sender.send(serde_json::from_str(&line.unwrap()).unwrap()).is_err() {
                    return;
                }
            }
        });
        Watcher { process, lines }
    }

    /// Waits for a line that is wanted.
    fn until(&self, env: &TestEnv, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        env.wait_for(what, || self.lines.try_iter().find(|line| wanted(line)))
    }

    /// Waits until an instance is in this state.
    fn state(&self, env: &TestEnv, name: &str, state: &str) -> Value {
        let is_it = |line: &Value| {
            let one = &line["instance"];
            line["type"] == "changed" && one["name"] == name && one["state"] == state
        };
        self.until(env, state, is_it)["instance"].clone()
    }

    fn end(mut self, env: &TestEnv) -> i32 {
        drop(self.process.stdin.take());
        let status = env.wait_for("its end", || self.process.try_wait().unwrap());
        status.code().unwrap()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(fleet: &Fleet, words: &[&str]) -> Child {
    let mut command = fleet.command(&[&["watch", "--json"], words].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn is_table(line: &Value) -> bool {
    line["type"] == "table"
}

fn configure(fleet: &Fleet, name: &str) {
    let content = format!("[{name}]\ncommand = cat\nchdir = /\n");
    fleet.file(&format!("home/.config/procServ.d/{name}.conf"), &content);
}

fn the_table_and_then_each_change(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "a", "cat", "options = --holdoff 0");
    configure(&fleet, "b");
    let server = fleet.launch(env, setup, "a");
    let first = server.child_start(1);
    let status = || -> Value {
        let all: Value = serde_json::from_str(&fleet.must(&["status", "--json"])).unwrap();
        all[0].clone()
    };
    env.wait_for("its status file", || (status()["child_pid"] == first).then_some(()));
    let watcher = Watcher::start(&fleet, &[]);
    let table = watcher.until(env, "the table", is_table);
    assert_eq!(table["version"], 1);
    let names: Vec<&Value> =
        table["instances"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(table["instances"][0], status());
    let path = |name: &str| json!(fleet.path("run/procserv-a").join(name));
    let one = &table["instances"][0];
    assert_eq!((&one["raw"], &one["view"]), (&path("raw"), &path("view")));
    assert_eq!((&one["may_control"], &one["may_view"]), (&json!(true), &json!(true)));
    assert_eq!((&one["scope"], &one["unit_name"]), (&json!("user"), &json!("procserv-a.service")));
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    let second = server.child_start(2);
    let is_second = |line: &Value| line["instance"]["child_pid"] == second;
    let changed = watcher.until(env, "the restart", is_second);
    assert_eq!((&changed["type"], &changed["instance"]["name"]), (&json!("changed"), &json!("a")));
    // Those who connect are seen, too.
    let mut client = server.connect_to(&format!("unix:{}", path("control").as_str().unwrap()));
    client.greeting();
    let clients = |line: &Value| line.pointer("/instance/status/clients/0").is_some();
    watcher.until(env, "the client", clients);
    server.signal(Signal::SIGKILL);
    watcher.state(env, "a", "dead");
    assert_eq!(watcher.end(env), 0);
}

fn what_appears_and_goes_is_told(env: &TestEnv) {
    let fleet = Fleet::new();
    configure(&fleet, "a");
    let watcher = Watcher::start(&fleet, &[]);
    watcher.until(env, "the table", is_table);
    configure(&fleet, "b");
    watcher.state(env, "b", "stopped");
    // A file that is written in place.
    fleet.file("home/.config/procServ.d/b.conf", "[b]\ncommand = 'cat\n");
    watcher.state(env, "b", "broken");
    fs::remove_file(fleet.path("home/.config/procServ.d/b.conf")).unwrap();
    let gone = watcher.until(env, "the end of b", |line| line["type"] == "removed");
    assert_eq!(gone, json!({ "type": "removed", "name": "b" }));
    // Only what patterns select.
    configure(&fleet, "c");
    let some = Watcher::start(&fleet, &["c*"]);
    let table = some.until(env, "the table", is_table);
    assert_eq!(table["instances"].as_array().unwrap().len(), 1);
}

fn it_ends_with_its_input(env: &TestEnv) {
    let fleet = Fleet::new();
    let watcher = Watcher::start(&fleet, &[]);
    let table = watcher.until(env, "the table", is_table);
    assert_eq!(table, json!({ "version": 1, "type": "table", "instances": [] }));
    let collector = children(watcher.process.id());
    assert_eq!(watcher.end(env), 0);
    for pid in collector {
        env.wait_for("the other process", || (!alive(pid)).then_some(()));
    }
    // Without an input it ends as soon as it can.
    let output = fleet.command(&["watch", "--json"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

fn children(pid: u32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn it_ends_with_its_reader(env: &TestEnv) {
    let fleet = Fleet::new();
    let mut process = spawn(&fleet, &[]);
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    drop(output);
    let status = env.wait_for("its end", || process.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

/// A pipe holds fewer changes than there are.
fn a_slow_reader_gets_the_newest_state(env: &TestEnv) {
    const COUNT: usize = 60;
    const ROUNDS: usize = 8;
    let fleet = Fleet::new();
    let name = |number: usize| format!("ioc{number:02}");
    for number in 0..COUNT {
        configure(&fleet, &name(number));
    }
    let mut process = spawn(&fleet, &[]);
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut table = String::new();
    output.read_line(&mut table).unwrap();
    // An object has the name of the user.
    let user = "x".repeat(8000);
    let mut memory = 0;
    for round in 0..ROUNDS {
        for number in 0..COUNT {
            let name = name(number);
            let content = format!("[{name}]\ncommand = cat\nchdir = /\nuser = {user}{round}\n");
            fleet.file(&format!("home/.config/procServ.d/{name}.conf"), &content);
        }
        let seen = || {
            let output = fleet.must(&["status", "--json", "ioc59"]);
            output.contains(&format!("x{round}\"")).then_some(())
        };
        env.wait_for("what was written", seen);
        if round == 1 {
            memory = resident(process.id());
        }
    }
    let grown = resident(process.id()).saturating_sub(memory);
    assert!(grown < 4 << 10, "grew by {grown} KiB");
    drop(process.stdin.take());
    let mut rest = String::new();
    // The last line may be cut.
    output.read_to_string(&mut rest).unwrap();
    assert!(rest.len() < COUNT * ROUNDS * user.len() / 2, "{} bytes", rest.len());
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

/// How much memory a process has, in KiB.
fn resident(pid: u32) -> usize {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn a_configuration_that_hangs_is_trouble(env: &TestEnv) {
    let place = env.server();
    let disk = place.path("disk");
    let fs = HangingFs::mount(&disk);
    let fleet = Fleet::new();
    fs::create_dir_all(fleet.path("home/.config")).unwrap();
    symlink(&disk, fleet.path("home/.config/procServ.d")).unwrap();
    let watcher = Watcher::start(&fleet, &[]);
    watcher.until(env, "the table", is_table);
    fs.hang();
    let is_trouble = |line: &Value| line["type"] == "trouble";
    let told = watcher.until(env, "the trouble", is_trouble);
    assert!(told["problem"].as_str().unwrap().contains("not answer"), "{told}");
    fs.go_on();
    let told = watcher.until(env, "its end", is_trouble);
    assert_eq!(told, json!({ "type": "trouble", "problem": null }));
    assert_eq!(watcher.end(env), 0);
}

fn it_is_for_programs(_: &TestEnv) {
    let fleet = Fleet::new();
    let done = fleet.run(&["watch"]);
    assert!(done.code == 2 && done.stderr.contains("watch --json"), "{done:?}");
    let mut unknown = fleet.command(&["watch", "--json", "vac*"]);
    // It ends by itself.
    let unknown = unknown.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = unknown.spawn().unwrap();
    let input = process.stdin.take();
    let done = Done::from(process.wait_with_output().unwrap());
    drop(input);
    assert!(done.code == 1 && done.stderr.contains("no instance vac* in "), "{done:?}");
    assert_eq!(done.stdout, "");
    let output = Command::new(MANAGE).args(["--root", "/", "watch", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
