//! What others may have put where commands look: an instance's user owns its run directory, and its
//! child writes what it likes.

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::os::unix::fs::symlink;

cases![
    nobody_waits_for_what_is_no_file,
    a_device_is_no_file_to_write,
    a_table_has_no_control_characters,
    a_message_is_one_short_line,
];

const CONF: &str = "home/.config/procServ.d/a.conf";

/// A FIFO, a device, a directory, a link to itself, something endless.
fn nobody_waits_for_what_is_no_file(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(CONF, "[a]\ncommand = x\n");
    let conf = fleet.path("home/.config/procServ.d");
    let run = fleet.path("run/procserv-a");
    fs::create_dir(&run).unwrap();
    mkfifo(&conf.join("fifo.conf"), Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", conf.join("zero.conf")).unwrap();
    symlink("loop.conf", conf.join("loop.conf")).unwrap();
    fs::File::create(conf.join("huge.conf")).unwrap().set_len(1 << 40).unwrap();
    fs::write(conf.join("bytes.conf"), b"[\xff]\n").unwrap();
    let done = fleet.run(&["list"]);
    assert!(done.code == 0 && done.stdout.lines().count() == 2, "{done:?}");
    for says in [
        "fifo.conf: is not a regular file",
        "zero.conf: is not a regular file",
        "loop.conf: Too many levels",
        "huge.conf: File too large",
        "bytes.conf: is not UTF-8",
    ] {
        assert!(done.stderr.contains(says), "{says}: {done:?}");
    }
    for file in ["info", "status"] {
        mkfifo(&run.join(file), Mode::S_IRWXU).unwrap();
    }
    for command in ["status", "doctor"] {
        assert!(!fleet.run(&[command]).stdout.is_empty());
    }
    let done = fleet.run(&["doctor"]);
    assert!(done.stdout.contains("info: names no server"), "{done:?}");
}

/// As root a rename would replace it.
fn a_device_is_no_file_to_write(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(CONF, "[a]\ncommand = x\n");
    let fifo = fleet.path("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let done = fleet.run(&["write-procs-cf", "-f", fifo.to_str().unwrap()]);
    assert!(done.stderr.ends_with("fifo: is not a regular file\n"), "{done:?}");
    assert!(!fs::symlink_metadata(&fifo).unwrap().is_file());
    // A link stays one.
    let real = fleet.file("real.cf", "");
    symlink(&real, fleet.path("link.cf")).unwrap();
    fleet.must(&["write-procs-cf", "-f", "link.cf"]);
    assert!(fleet.path("link.cf").is_symlink() && fs::metadata(&real).unwrap().len() > 0);
}

fn a_table_has_no_control_characters(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(CONF, "[a]\ncommand = 'x\n  \u{1b}[2J'\n");
    assert!(fleet.must(&["list"]).ends_with(" 'x\\n\\u{1b}[2J'\n"));
    // Nor an end to its width.
    let long = "x".repeat(1 << 20);
    fleet.file(CONF, &format!("[a]\ncommand = {long}\nport = {long}\n[b]\ncommand = y\n"));
    let table = fleet.must(&["list"]);
    assert!(table.lines().nth(1).unwrap().ends_with(&long));
    assert!(table.lines().last().unwrap().len() < 200);
}

/// What the files of others say is quoted in messages.
fn a_message_is_one_short_line(_: &TestEnv) {
    let fleet = Fleet::new();
    let bad = "home/.config/procServ.d/a.conf";
    fleet
        .file(bad, &format!("[a\u{7}\u{202e}\u{2028}\u{9b}2J{}]\ncommand = x\n", "x".repeat(9000)));
    for words in [&["list"][..], &["doctor"]] {
        let done = fleet.run(words);
        let said = done.stdout + &done.stderr;
        let is_plain = |letter: char| !(letter.is_control() || "\u{202e}\u{2028}".contains(letter));
        assert!(said.lines().all(|line| line.chars().count() < 1100), "{said}");
        assert!(said.lines().all(|line| line.chars().all(is_plain)), "{said:?}");
        assert!(said.contains("a\\u{7}\\u{202e}\\u{2028}\\u{9b}2Jxxx"), "{said}");
        assert!(said.contains("xxx [...] xxx"), "{said}");
    }
}
