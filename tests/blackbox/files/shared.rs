//! `--pidfile` and `--info-file` of several servers with one name.

use crate::support::{ServerBuilder, TestEnv, TestServer, cases};
use std::fs;
use std::path::Path;

cases![
    last_of_several_servers_has_the_files,
    files_of_servers_that_start_at_once_are_those_of_one,
];

fn setup(env: &TestEnv, dir: &Path) -> ServerBuilder {
    let [pid, info] = ["pid", "info"].map(|name| dir.join(name).display().to_string());
    env.server().opts(["-q", "-w", "-p", &pid, "-I", &info])
}

/// What this server writes into the PID file and into the info file.
fn contents(server: &TestServer) -> [String; 2] {
    [format!("{}\n", server.pid()), format!("pid:{}\nunix:ctl\n", server.pid())]
}

/// What is in both files.
fn found(dir: &Path) -> Option<[String; 2]> {
    let read = |name| fs::read_to_string(dir.join(name)).ok();
    Some([read("pid")?, read("info")?])
}

fn last_of_several_servers_has_the_files(env: &TestEnv) {
    let dir = tempfile::tempdir().unwrap();
    let first = setup(env, dir.path()).start();
    first.connect().greeting();
    assert_eq!(found(dir.path()), Some(contents(&first)));
    let second = setup(env, dir.path()).start();
    second.connect().greeting();
    assert_eq!(found(dir.path()), Some(contents(&second)));
    // Its end is none of the second one's business.
    assert!(first.terminate().success());
    assert_eq!(found(dir.path()), Some(contents(&second)));
    assert!(second.terminate().success());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a file is left");
}

fn files_of_servers_that_start_at_once_are_those_of_one(env: &TestEnv) {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let setups: Vec<ServerBuilder> = (0..5).map(|_| setup(env, dir.path())).collect();
        let mut servers: Vec<TestServer> = setups.into_iter().map(ServerBuilder::start).collect();
        servers.iter().for_each(|server| drop(server.connect().greeting()));
        let [pid, info] = found(dir.path()).expect("both files");
        let of = |index: usize, text: &str| {
            servers.iter().position(|server| contents(server)[index] == text)
        };
        let owners = [of(0, &pid).expect(&pid), of(1, &info).expect(&info)];
        // Those that have no file any more remove none.
        for index in (0..servers.len()).rev().filter(|index| !owners.contains(index)) {
            assert!(servers.remove(index).terminate().success());
        }
        assert_eq!(found(dir.path()), Some([pid, info]));
        servers.into_iter().for_each(|server| assert!(server.terminate().success()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a file is left");
    }
}
