//! Chapter 5: `remove`, `set`, `edit`, `enable` and `disable`.

use super::{MAIN, conf};
use crate::manage::fleet::{Done, Fleet};
use crate::support::Terminal;
use crate::support::{TestEnv, cases};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

cases![
    remove_asks_on_a_terminal,
    remove_takes_the_section_out_of_all_files,
    remove_knows_units_without_a_section,
    what_cant_be_stopped_is_not_removed,
    set_changes_a_key_and_nothing_else,
    set_changes_the_key_that_counts,
    set_refuses_what_cant_be_used,
    a_changed_file_keeps_its_owner_mode_and_link,
    edit_checks_before_it_saves,
    what_is_switched_off_has_no_unit,
];

fn remove_asks_on_a_terminal(env: &TestEnv) {
    for (typed, is_removed) in [("n\r", false), ("\r", false), ("what\ry\r", true)] {
        let fleet = Fleet::new();
        let file = fleet.file(MAIN, "[a]\ncommand = x\n");
        let mut terminal = Terminal::new(env, &fleet.path(""));
        let mut remove = fleet
            .command(&["remove", "a"])
            .stdin(terminal.stdin())
            .stdout(terminal.stdin())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let question = format!("Remove section 'a' from {} ? [yN] ", file.display());
        for answer in typed.split_inclusive('\r') {
            terminal.screen.until(&question);
            terminal.screen.send(answer);
        }
        let code = remove.wait().unwrap().code();
        assert_eq!((code, file.exists()), (Some(i32::from(!is_removed)), !is_removed), "{typed:?}");
        assert_eq!(fleet.path("systemctl").exists(), is_removed);
    }
    let fleet = Fleet::new();
    let file = fleet.file(MAIN, "[a]\ncommand = x\n");
    let terminal = Terminal::new(env, &fleet.path(""));
    let mut remove = fleet.command(&["remove", "-f", "a"]);
    assert!(remove.stdin(terminal.stdin()).status().unwrap().success());
    assert!(!file.exists());
}

fn remove_takes_the_section_out_of_all_files(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(MAIN, "# all\n[DEFAULT]\nx = 1\n[a]\n# of a\nport = 2\n# of b\n[b]\ncommand = x\n");
    fleet.file(&conf("other"), "[c]\ncommand = x\r\n[a]\r\nchdir = /\r\n");
    fleet.must(&["add", "-C", "/", "b2", "/bin/true"]);
    assert_eq!(fleet.run(&["add", "-C", "/", "a", "/bin/true"]).code, 0);
    fs::remove_file(fleet.path("systemctl")).unwrap();
    fleet.must(&["remove", "a"]);
    assert_eq!(fleet.read(MAIN), "# all\n[DEFAULT]\nx = 1\n# of b\n[b]\ncommand = x\n");
    assert_eq!(fleet.read(&conf("other")), "[c]\ncommand = x\r\n");
    let left = ["b2.conf", "other.conf", "procserv-b2.service"];
    assert_eq!(fleet.names("home/.config/procServ.d"), left);
    let unit = "procserv-a.service";
    let calls = format!(
        "--user stop {unit}\n--user disable --quiet --no-reload {unit}\n--user daemon-reload\n"
    );
    assert_eq!(fleet.read("systemctl"), calls);
}

fn remove_knows_units_without_a_section(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.must(&["add", "-C", "/", "a", "/bin/true"]);
    fs::remove_file(fleet.path(&conf("a"))).unwrap();
    fleet.must(&["remove", "a"]);
    assert_eq!(fleet.names("home/.config/procServ.d"), [""; 0]);
    fs::remove_file(fleet.path("systemctl")).unwrap();
    let done = fleet.run(&["remove", "a"]);
    assert!(done.code == 1 && done.stderr.contains("no instance a in "), "{done:?}");
    let calls = "--user stop procserv-a.service\n--user daemon-reload\n";
    assert_eq!(fleet.read("systemctl"), calls);
}

fn what_cant_be_stopped_is_not_removed(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.must(&["add", "-C", "/", "a", "/bin/true"]);
    fleet.file("fails", "");
    let done = fleet.run(&["remove", "a"]);
    assert!(done.code == 1 && done.stderr.contains("not stopped and not removed"), "{done:?}");
    assert!(fleet.path(&conf("a")).exists());
    assert_eq!(fleet.run(&["remove", "-f", "a"]).code, 1);
    assert!(!fleet.path(&conf("a")).exists());
    // A unit that systemd does not know does not run.
    let fleet = Fleet::new();
    fleet.file(MAIN, "[a]\ncommand = x\n");
    fleet.program("bin/systemctl", "#!/bin/sh\n[ \"$2\" != stop ] || exit 5\n");
    fleet.must(&["remove", "a"]);
}

fn set_changes_a_key_and_nothing_else(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.must(&["add", "-C", "/", "a", "/bin/true"]);
    let text = "# why\n[a]\ncommand = /bin/true\nchdir = /\n  \n[DEFAULT]\nport = 0\n";
    fleet.file(&conf("a"), text);
    let said = fleet.must(&["set", "a", "port = 2000", "OPTIONS=--history 64k", "chdir=/usr"]);
    assert_eq!(said, "# manage-procs --user restart a\n");
    let changed = "# why\n[a]\ncommand = /bin/true\nchdir = /usr\nport = 2000\noptions = --history 64k\n  \n[DEFAULT]\nport = 0\n";
    assert_eq!(fleet.read(&conf("a")), changed);
    assert_eq!(fleet.read(&format!("{}.bak", conf("a"))), text);
    let unit = fleet.read("home/.config/procServ.d/procserv-a.service");
    assert!(unit.contains("\nConditionPathIsDirectory=/usr\n"), "{unit}");
    fleet.must(&["set", "a", "options="]);
    assert!(!fleet.read(&conf("a")).contains("options"));
    // What `>>` has doubled.
    fleet.file(&conf("a"), "[a]\ncommand = /bin/true\nport = 1\nport = 2\n");
    assert_eq!(fleet.run(&["set", "a", "port=3"]).code, 0);
    assert_eq!(fleet.read(&conf("a")), "[a]\ncommand = /bin/true\nport = 3\n");
}

fn set_changes_the_key_that_counts(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(MAIN, "[a]\ncommand = /bin/true\nport = 1\n");
    fleet.file(&conf("z"), "[a]\nchdir = /usr\n");
    fleet.must(&["set", "a", "port=2", "chdir=/", "host=h"]);
    assert_eq!(fleet.read(MAIN), "[a]\ncommand = /bin/true\nport = 2\n");
    assert_eq!(fleet.read(&conf("z")), "[a]\nchdir = /\nhost = h\n");
}

fn set_refuses_what_cant_be_used(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.must(&["add", "-C", "/", "a", "/bin/true"]);
    let before = fleet.read(&conf("a"));
    for (words, code, says) in [
        (&["a", "port"][..], 2, "is not KEY=VALUE"),
        (&["a", "prot=1"], 2, "is about none of the keys"),
        (&["a", "user=x\n[b]"], 2, "line end"),
        (&["a", "chdir=/none"], 1, "/none: No such file or directory"),
        (&["a", "command='x"], 1, "a ' is not closed"),
        (&["a", "instance=perhaps"], 1, "is not yes or no"),
        (&["a", "user=x\\"], 1, "backslash"),
        (&["a", "options=--frob"], 1, "--frob"),
        (&["b", "port=1"], 1, "Instance 'b' not found"),
        (&["../x", "port=1"], 2, "is not a name"),
    ] {
        let done = fleet.run(&[&["set"], words].concat());
        assert!(done.code == code && done.stderr.contains(says), "{words:?}: {done:?}");
        assert_eq!(fleet.read(&conf("a")), before);
    }
    assert_eq!(fleet.run(&["set", "-f", "a", "chdir=/none"]).code, 0);
    assert_eq!(fleet.run(&["set", "a", "instance=no"]).code, 0);
    assert_eq!(fleet.must(&["list"]).lines().count(), 1);
    assert_eq!(fleet.run(&["set", "-f", "a", "instance=yes"]).code, 0);
}

fn a_changed_file_keeps_its_owner_mode_and_link(_: &TestEnv) {
    let fleet = Fleet::new();
    let real = fleet.file("real", "[a]\ncommand = /bin/true\n[b]\ncommand = x\n");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    fs::create_dir_all(fleet.path("home/.config/procServ.d")).unwrap();
    symlink(&real, fleet.path(&conf("x"))).unwrap();
    fleet.must(&["set", "a", "port=1"]);
    fleet.must(&["remove", "b"]);
    assert!(fleet.path(&conf("x")).is_symlink());
    assert_eq!(fleet.read("real"), "[a]\ncommand = /bin/true\nport = 1\n");
    for file in ["real", "real.bak"] {
        let mode = fs::metadata(fleet.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}

fn edit(fleet: &Fleet, script: &str, words: &[&str]) -> Done {
    let editor = fleet.program("bin/fake-editor", &format!("#!/bin/sh\n{script}\n"));
    let mut command = fleet.command(&[&["edit"], words].concat());
    command.env_remove("VISUAL").env("EDITOR", format!("{} -x", editor.display()));
    command.stdin(Stdio::null()).output().unwrap().into()
}

fn edit_checks_before_it_saves(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.must(&["add", "-C", "/", "a", "/bin/true"]);
    let before = fleet.read(&conf("a"));
    for (script, says) in [
        ("echo nonsense >>$2", "a line is neither"),
        ("echo 'port = 99999' >>$2", "99999"),
        (": >$2", "its section is gone"),
        ("exit 3", "exit status: 3"),
    ] {
        let done = edit(&fleet, script, &["a"]);
        assert!(done.code == 1 && done.stderr.contains(says), "{script}: {done:?}");
        assert_eq!(fleet.read(&conf("a")), before);
    }
    assert_eq!(edit(&fleet, ":", &["a"]).code, 0);
    let names = ["a.conf", "procserv-a.service"];
    assert_eq!(fleet.names("home/.config/procServ.d"), names);
    // As editors do that write a new file.
    let script = "sed 's,^chdir.*,chdir = /usr,' $2 >$2.new && mv $2.new $2";
    let done = edit(&fleet, script, &["a"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "# manage-procs --user restart a\n"));
    assert!(fleet.read(&conf("a")).contains("chdir = /usr\n"));
    assert_eq!(fleet.read(&format!("{}.bak", conf("a"))), before);
    // Somebody else was faster.
    let file = fleet.path(&conf("a")).display().to_string();
    let done = edit(&fleet, &format!("echo 'port = 1' >>$2; echo '# x' >>{file}"), &["a"]);
    assert!(done.code == 1 && done.stderr.contains("somebody else"), "{done:?}");
    assert_eq!(edit(&fleet, "exit 1", &["none"]).code, 1);
}

fn what_is_switched_off_has_no_unit(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.must(&["add", "-C", "/", "a", "/bin/true"]);
    let text = fleet.read(&conf("a"));
    fleet.file(&conf("a"), &format!("{text}instance = no\n"));
    let done = fleet.run(&["doctor"]);
    assert!(
        done.stdout.contains("procserv-a.service is the unit of a section that is switched off")
    );
    assert!(
        done.stdout.contains("    manage-procs --user set a instance=0 removes it\n"),
        "{done:?}"
    );
    assert_eq!(fleet.must(&["set", "a", "instance=0"]), "# manage-procs --user stop a\n");
    assert_eq!(fleet.names("home/.config/procServ.d"), ["a.conf", "a.conf.bak"]);
    for links in ["", "default.target.wants/"] {
        let link = format!("home/.config/systemd/user/{links}procserv-a.service");
        assert!(!fleet.path(&link).is_symlink());
    }
    assert!(!fleet.run(&["doctor"]).stdout.contains("switched off"));
    assert_eq!(fleet.must(&["set", "a", "instance=1"]), "# manage-procs --user restart a\n");
    assert!(fleet.path("home/.config/procServ.d/procserv-a.service").exists());
}
