//! Instances with files on a disk that does not answer: no command waits for it.

use crate::manage::fleet::{Done, Fleet};
use crate::support::hanging_fs::HangingFs;
use crate::support::{TestEnv, alive, cases};
use std::fs;
use std::os::unix::fs::symlink;

cases![
    no_command_waits_for_a_disk.needs_fuse(),
    add_does_not_wait_for_a_disk.needs_fuse(),
    a_hung_configuration_is_an_error.needs_fuse(),
];

/// One after the other, they would take longer than a case may.
const COUNT: usize = 60;

/// Instances whose directory, environment and info files are on the disk, and one that runs.
fn no_command_waits_for_a_disk(env: &TestEnv) {
    let place = env.server();
    let disk = place.path("disk");
    let fs = HangingFs::mount(&disk);
    let fleet = Fleet::new();
    let setup = env.server();
    fleet.instance(&setup, "fine", "cat", "");
    let server = fleet.launch(env, setup, "fine");
    server.child_start(1);
    for number in 0..COUNT {
        let name = format!("hung-{number:02}");
        let content = format!(
            "[{name}]\ncommand = ./st.cmd\nchdir = {0}\nenv_file = {0}/env\n\
             options = -L {0}/log\n",
            disk.display()
        );
        fleet.file(&format!("home/.config/procServ.d/{name}.conf"), &content);
        let run = fleet.path(&format!("run/procserv-{name}"));
        fs::create_dir(&run).unwrap();
        symlink(disk.join("info"), run.join("info")).unwrap();
    }
    fs.hang();
    let table = fleet.must(&["status"]);
    let state = |name: &str| {
        let row = table.lines().find(|line| line.starts_with(name)).unwrap();
        row.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(state("fine"), "running");
    for number in 0..COUNT {
        assert_eq!(state(&format!("hung-{number:02}")), "no_answer");
    }
    let done = fleet.run(&["doctor"]);
    assert_eq!(done.code, 1);
    for number in 0..COUNT {
        for object in [format!("{}", disk.display()), format!("{}/env", disk.display())] {
            let says = format!("hung-{number:02}: {object} does not answer\n");
            assert!(done.stdout.contains(&says), "{says}: {}", done.stdout);
        }
    }
    let of_fine =
        done.stdout.lines().find(|line| line.starts_with("fine: ") && line.contains("answer"));
    assert_eq!(of_fine, None);
    for command in ["why", "status"] {
        let page = fleet.must(&[command, "hung-00"]);
        assert!(page.starts_with("hung-00: no_answer\n") && page.contains("\n  next "), "{page}");
    }
    let done = fleet.run(&["upgrade", "--keep-going", "hung-0*"]);
    assert_eq!(done.stdout.matches("its files do not answer").count(), 10, "{done:?}");
    let done = fleet.run(&["attach", "hung-00"]);
    assert!(done.code == 1 && done.stderr.contains("its files do not answer"), "{done:?}");
    // What waits for the disk ends with it, and with the command if it can.
    fs.go_on();
    drop(fs);
    assert!(alive(server.pid()));
}

fn add_does_not_wait_for_a_disk(env: &TestEnv) {
    let place = env.server();
    let disk = place.path("disk");
    let fs = HangingFs::mount(&disk);
    let fleet = Fleet::new();
    fs.hang();
    let env_file = disk.join("env").display().to_string();
    let words = ["add", "-C", "/", "-E", &env_file, "one", "/bin/true"];
    let Done { code, stderr, .. } = fleet.run(&words);
    assert!(code == 1 && stderr.contains("/env does not answer"), "{stderr}");
    let Done { code, stderr, .. } = fleet.run(&[&["add", "-f"], &words[1..]].concat());
    assert!(code == 0 && stderr.contains("/env does not answer"), "{stderr}");
    let chdir = disk.display().to_string();
    for command in ["st.cmd", "./st.cmd"] {
        let Done { code, stderr, .. } = fleet.run(&["add", "-C", &chdir, "two", command]);
        assert!(code == 1 && stderr.contains(" does not answer"), "{stderr}");
    }
}

/// The directory does not answer, or its files do not.
fn a_hung_configuration_is_an_error(env: &TestEnv) {
    let place = env.server();
    let disk = place.path("disk");
    let fs = HangingFs::mount(&disk);
    let fleet = Fleet::new();
    fs::create_dir_all(fleet.path("home/.config")).unwrap();
    let directory = fleet.path("home/.config/procServ.d");
    symlink(&disk, &directory).unwrap();
    fleet.file("home/.config/procServ.conf", "[a]\ncommand = /bin/true\n");
    fs.hang();
    let says = format!("manage-procs: {} does not answer", directory.display());
    for words in [
        &["list"][..],
        &["status"],
        &["start", "a"],
        &["stop", "a"],
        &["restart", "--all"],
        &["enable", "a"],
        &["disable", "a"],
        &["logs"],
        &["events"],
        &["set", "a", "port=0"],
        &["edit", "a"],
        &["remove", "-f", "a"],
        &["add", "-C", "/", "b", "/bin/true"],
        &["write-procs-cf", "-f", "-"],
        &["upgrade", "a"],
    ] {
        let done = fleet.run(words);
        assert!(done.code == 1 && done.stderr.starts_with(&says), "{words:?}: {done:?}");
    }
    let done = fleet.run(&["doctor"]);
    assert!(done.code == 1 && done.stdout.contains(" does not answer"), "{done:?}");
    fs.go_on();
    assert_eq!(fleet.run(&["list", "a"]).code, 0);
    // Files behind links, in a directory that does answer.
    fs::remove_file(&directory).unwrap();
    fs::create_dir(&directory).unwrap();
    for name in ["b", "c"] {
        symlink(disk.join(name), directory.join(format!("{name}.conf"))).unwrap();
    }
    fs.hang();
    let done = fleet.run(&["list"]);
    assert!(done.code == 0 && done.stdout.contains("\na "), "{done:?}");
    assert_eq!(done.stderr.matches(".conf: the disk does not answer").count(), 2, "{done:?}");
}
