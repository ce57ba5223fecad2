//! Scripts of many sites (procServMgr of JLab): `ps`, `pgrep`, `kill -9`.

use crate::support::{TestEnv, alive, cases};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;

cases![
    site_scripts_find_the_server_by_its_name,
    site_scripts_find_the_server_by_the_name_of_a_link,
    site_scripts_kill_the_server_and_start_it_again,
    site_scripts_kill_the_server_while_clients_are_there,
];

fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap()
}

fn site_scripts_find_the_server_by_its_name(env: &TestEnv) {
    // `ps -C procServ`, `pgrep procServ`: the daemon too; `ps ax | grep` sees what was typed.
    let words = ["-n", "softsvt", "-i^D^C", "-L", "log", "unix:ctl"];
    let server = env.server().bare().daemon().opts(words).command(["./fake-ioc", "cat"]).start();
    server.child_start(1);
    assert_eq!(comm(server.pid()), "procServ\n");
    let typed = fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap();
    let typed: Vec<&str> = typed.split_terminator('\0').collect();
    assert_eq!(typed[0], "procServ");
    assert_eq!(typed[1..7], words);
    assert_eq!(typed[7..], ["./fake-ioc", "cat"]);
}

fn site_scripts_find_the_server_by_the_name_of_a_link(env: &TestEnv) {
    for number in 0..8 {
        let setup = env.server();
        let name = format!("procmgrd{number}");
        std::os::unix::fs::symlink(env.program(), setup.path(&name)).unwrap();
        let link = setup.path(&name);
        let server = setup.program(link).argv0(&name).opts(["-w"]).start();
        server.connect().greeting();
        assert_eq!(comm(server.pid()), format!("{name}\n"));
    }
}

fn site_scripts_kill_the_server_and_start_it_again(env: &TestEnv) {
    let run = tempfile::tempdir().unwrap();
    let port = env.free_port().to_string();
    let socket = run.path().join("ioc.sock");
    let endpoint = format!("unix:{}", socket.display());
    let setup = || env.server().control(&port).opts(["-P", &endpoint]);
    for _ in 0..3 {
        let server = setup().start();
        let child = server.child_start(1);
        server.connect().greeting();
        server.signal(Signal::SIGKILL);
        server.wait_exit();
        // Its terminal is hung up.
        env.wait_for("the child's end", || (!alive(child)).then_some(()));
        assert!(socket.exists(), "left behind, as nobody could remove it");
    }
    let server = setup().start();
    server.connect().greeting();
    server.connect_to(&endpoint).greeting();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!Path::new(&socket).exists());
}

fn site_scripts_kill_the_server_while_clients_are_there(env: &TestEnv) {
    let port = env.free_port().to_string();
    let first = env.server().control(&port).start();
    let child = first.child_start(1);
    let mut user = first.connect();
    user.greeting();
    first.signal(Signal::SIGKILL);
    first.wait_exit();
    user.until_end();
    env.wait_for("the child's end", || (!alive(child)).then_some(()));
    // The old connection is still half open: SO_REUSEADDR lets the port be had.
    let second = env.server().control(&port).start();
    second.connect().greeting();
}
