//! Chapter 5: command lines, `add`, `write-procs-cf`, `--root`.

use super::{MAIN, argv, conf, in_image, stand_in};
use crate::manage::fleet::{Done, Fleet};
use crate::support::{TestEnv, cases};
use std::fs;
use std::os::unix::fs::symlink;

cases![
    the_last_scope_counts,
    options_are_abbreviated_and_repeated,
    without_a_command_there_is_help,
    systemctl_is_told_the_scope,
    add_takes_all_of_its_options,
    what_follows_the_command_is_its_own,
    commands_become_paths,
    a_file_of_variables_must_exist,
    an_instance_that_exists_is_not_replaced,
    sections_elsewhere_are_merged,
    added_values_are_read_as_they_were,
    a_file_of_instances_is_added_at_once,
    consoles_without_a_word_about_access,
    conserver_is_reloaded,
    an_image_without_a_way_out,
    plain_status_has_the_order_of_the_files,
    variables_have_names_that_systemd_takes,
];

fn add(fleet: &Fleet, words: &[&str]) -> Done {
    fleet.run(&[&["add"], words].concat())
}

fn the_last_scope_counts(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(MAIN, "[mine-alone]\ncommand = x\n");
    // `--user` stands before these.
    for (words, is_mine) in [
        (&["--system", "--user", "list"][..], true),
        (&["--user", "list"], true),
        (&["--system", "list"], false),
    ] {
        assert_eq!(fleet.run(words).stdout.contains("mine-alone"), is_mine, "{words:?}");
    }
}

fn options_are_abbreviated_and_repeated(_: &TestEnv) {
    let fleet = Fleet::new();
    let done = fleet.run(&[
        "-vvv",
        "-v",
        "add",
        "--chd",
        "/usr",
        "--por",
        "1",
        "--port",
        "2",
        "a",
        "/bin/true",
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stderr.contains("systemctl --user daemon-reload"), "{done:?}");
    assert!(fleet.read(&conf("a")).ends_with("chdir = /usr\nport = 2\n"));
    assert_eq!(fleet.run(&["--us", "list"]).code, 0);
}

fn without_a_command_there_is_help(_: &TestEnv) {
    let fleet = Fleet::new();
    let done = fleet.run(&[]);
    assert_eq!((done.code, done.stderr.as_str()), (1, ""));
    assert!(done.stdout.contains("write-procs-cf"), "{done:?}");
    let done = fleet.run(&["none"]);
    assert!(done.code == 2 && done.stdout.is_empty() && done.stderr.contains("Usage"), "{done:?}");
}

fn systemctl_is_told_the_scope(_: &TestEnv) {
    let fleet = Fleet::new();
    assert_eq!(add(&fleet, &["-A", "-C", "/", "a", "/bin/true"]).stdout, "");
    for line in fleet.read("systemctl").lines() {
        assert!(line.starts_with("--user "), "{line}");
    }
    assert!(fleet.read("systemctl").ends_with("--user start procserv-a.service\n"));
}

fn add_takes_all_of_its_options(_: &TestEnv) {
    let fleet = Fleet::new();
    let variables = fleet.file("variables", "");
    let file = variables.to_str().unwrap();
    // Between the name and the command, too.
    let words = [
        "--user", "u", "a", "-C", "/usr", "-P", "2000", "-G", "g", "-e", "A=1", "-e", "B=a \"b",
        "-E", file,
    ];
    let done = add(&fleet, &[&words[..], &["/bin/true", "x y"]].concat());
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, "# manage-procs --user start a\n"),
        "{done:?}"
    );
    let content = format!(
        "\n[a]\ncommand = /bin/true 'x y'\nchdir = /usr\nuser = u\ngroup = g\nport = 2000\n\
         environment = \"A=1\" \"B=a \\\"b\"\nenv_file = {file}\n"
    );
    assert_eq!(fleet.read(&conf("a")), content);
    assert_eq!(fleet.names("home/.config/procServ.d"), ["a.conf", "procserv-a.service"]);
    assert_eq!(add(&fleet, &["-C", "/", "-U", "u", "b", "/bin/true"]).code, 0);
    assert!(fleet.read(&conf("b")).contains("\nuser = u\n"));
}

fn what_follows_the_command_is_its_own(_: &TestEnv) {
    let fleet = Fleet::new();
    for (name, words) in [
        ("a", &["a", "/bin/true", "-C", "/x", "--", "-f"][..]),
        ("b", &["b", "--", "/bin/true", "-C", "/x", "--", "-f"]),
    ] {
        let done = add(&fleet, &[&["-C", "/"], words].concat());
        assert_eq!(done.code, 0, "{done:?}");
        assert!(fleet.read(&conf(name)).contains("command = /bin/true -C /x -- -f\n"));
    }
}

fn commands_become_paths(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.program("ioc/st.cmd", "#!/bin/sh\n");
    let dir = fleet.path("ioc").display().to_string();
    for (command, path) in [
        ("./st.cmd", format!("{dir}/st.cmd")),
        ("st.cmd", format!("{dir}/st.cmd")),
        ("../ioc/./st.cmd", format!("{dir}/st.cmd")),
        ("true", "true".to_owned()),
    ] {
        let done = add(&fleet, &["-f", "-C", "ioc/../ioc", "a", command]);
        assert_eq!(done.code, 0, "{done:?}");
        let content = format!("\n[a]\ncommand = {path}\nchdir = {dir}\n");
        assert_eq!(fleet.read(&conf("a")), content);
    }
    add(&fleet, &["-f", "-C", "/", "a", "none"]);
    assert!(fleet.read(&conf("a")).contains("command = /none\n"));
    // Without -C it is the current directory.
    let mut command = fleet.command(&["add", "b", "./st.cmd"]);
    assert!(command.current_dir(fleet.path("ioc")).output().unwrap().status.success());
    assert!(fleet.read(&conf("b")).ends_with(&format!("chdir = {dir}\n")));
}

fn a_file_of_variables_must_exist(_: &TestEnv) {
    let fleet = Fleet::new();
    let done = add(&fleet, &["-f", "-C", "/", "-E", "none", "a", "/bin/true"]);
    let says = format!("File not found: \"{}\"\n", fleet.path("none").display());
    assert!(done.code == 1 && done.stderr.ends_with(&says), "{done:?}");
    assert!(!fleet.path(&conf("a")).exists());
}

fn an_instance_that_exists_is_not_replaced(_: &TestEnv) {
    let fleet = Fleet::new();
    let file = fleet.file(&conf("a"), "[a]\ncommand = x\n");
    let done = add(&fleet, &["-C", "/", "a", "/bin/true"]);
    let says = format!("Instance already exists @ {}", file.display());
    assert!(done.code == 1 && done.stderr.contains(&says), "{done:?}");
    assert_eq!(fleet.read(&conf("a")), "[a]\ncommand = x\n");
    assert_eq!(add(&fleet, &["-f", "-C", "/", "a", "/bin/true"]).code, 0);
    assert_eq!(fleet.read(&conf("a")), "\n[a]\ncommand = /bin/true\nchdir = /\n");
}

fn sections_elsewhere_are_merged(_: &TestEnv) {
    let fleet = Fleet::new();
    stand_in(&fleet);
    let main = fleet.file(MAIN, "[a]\nport = unix:/p\nchdir = /usr\n");
    let done = add(&fleet, &["-C", "/", "a", "/bin/true"]);
    let says = format!("a: is in {}, too", main.display());
    assert!(done.code == 0 && done.stderr.contains(&says), "{done:?}");
    let argv = argv(&fleet, "a");
    assert_eq!(super::own_ports(&argv), ["unix:/p"]);
    assert_eq!(super::values(&argv, "--chdir"), ["/"]);
    fleet.file(MAIN, "[b]\ninstance = no\n");
    let done = add(&fleet, &["-C", "/", "b", "/bin/true"]);
    assert!(done.code == 1 && done.stderr.contains("is switched off"), "{done:?}");
    assert!(!fleet.path(&conf("b")).exists());
}

fn added_values_are_read_as_they_were(_: &TestEnv) {
    let fleet = Fleet::new();
    let words = ["-C", "/", "-e", "A=50% %H", "a", "/bin/true", "50%", "%(x)s", "it's", ""];
    assert_eq!(add(&fleet, &words).code, 0);
    let list: serde_json::Value = serde_json::from_str(&fleet.must(&["list", "--json"])).unwrap();
    let expected = serde_json::json!(["/bin/true", "50%", "%(x)s", "it's", ""]);
    assert_eq!(list[0]["command"], expected);
    let unit = fleet.read("home/.config/procServ.d/procserv-a.service");
    assert_eq!(super::directive(&unit, "Environment").unwrap(), "\"A=50%% %%H\"");
    for option in ["-U", "-G", "-C"] {
        let done = add(&fleet, &[option, "/%H", "b", "/bin/true"]);
        assert!(done.code == 2 && done.stderr.contains("has a %"), "{done:?}");
    }
}

fn a_file_of_instances_is_added_at_once(_: &TestEnv) {
    let fleet = Fleet::new();
    let section =
        |n: usize| format!("# of {n}\n[i{n}]\n; why\ncommand = /bin/true {n}\nchdir = /\n\n");
    let text: String = (0..50).map(section).collect();
    fleet.file("many", &text);
    let done = add(&fleet, &["--from", "many"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert!(done.stdout.starts_with("# manage-procs --user start i0 i1 i2 "), "{done:?}");
    assert_eq!(done.stdout.lines().count(), 1);
    assert_eq!(fleet.read(&conf("i7")), "[i7]\n; why\ncommand = /bin/true 7\nchdir = /\n");
    let calls = fleet.read("systemctl");
    let verbs: Vec<&str> = calls.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(verbs, ["enable", "daemon-reload"]);
    assert_eq!(fleet.names("home/.config/systemd/user/default.target.wants").len(), 50);
    // All or nothing.
    fleet.file("more", "[new]\ncommand = /bin/true\n[i3]\ncommand = /bin/true\n");
    for (file, says) in [
        ("more", "i3.conf"),
        ("double", "is there twice"),
        ("defaults", "has a section DEFAULT"),
        ("bad", "neither a [section]"),
        ("lost", "command not found: /none"),
        ("empty", "has no section"),
        ("nothing", "nothing: No such file"),
        ("name", "is not a name"),
    ] {
        let new = "[new]\ncommand = /bin/true\n";
        match file {
            "double" => fleet.file(file, &format!("{new}{new}")),
            "defaults" => fleet.file(file, &format!("[DEFAULT]\nuser = root\n{new}")),
            "bad" => fleet.file(file, &format!("{new}x\n")),
            "lost" => fleet.file(file, &format!("{new}[other]\ncommand = /none\n")),
            "name" => fleet.file(file, &format!("{new}[../x]\ncommand = /bin/true\n")),
            "empty" => fleet.file(file, "\n"),
            _ => fleet.path(file),
        };
        let done = add(&fleet, &["--from", file]);
        assert!(done.code != 0 && done.stderr.contains(says), "{file}: {done:?}");
        assert!(!fleet.path(&conf("new")).exists(), "{file}");
    }
    assert_eq!(add(&fleet, &["--from", "more", "x", "y"]).code, 2);
}

fn consoles_without_a_word_about_access(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(
        MAIN,
        "[a]\ncommand = x\n[off]\ninstance = no\n[t]\ncommand = x\nport = 2000\n\
         [u]\ncommand = x\nport = unix:/u\n[f]\ncommand = x\nport = fd:3\n",
    );
    let done = fleet.run(&["write-procs-cf", "-f", "-"]);
    let run = fleet.path("run").display().to_string();
    let consoles: Vec<&str> = done.stdout.lines().filter(|line| !line.starts_with('#')).collect();
    let console = |name: &str, how: &str| {
        format!("console {name} {{ master localhost; {how} options reinitoncc; }}")
    };
    assert_eq!(
        consoles,
        [
            console("a", &format!("type uds; uds {run}/procserv-a/control;")),
            console("t", "type host; host 127.0.0.1; port 2000; protocol telnet;"),
            console("u", "type uds; uds /u;"),
        ]
    );
    assert!(done.stderr.contains("f: no console"), "{done:?}");
}

fn conserver_is_reloaded(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(MAIN, "[a]\ncommand = x\n");
    let done = fleet.must(&["write-procs-cf", "-f", "procs.cf"]);
    assert_eq!(done, "# systemctl --system reload conserver-server.service\n");
    assert!(!fleet.path("systemctl").exists());
    assert_eq!(fleet.must(&["write-procs-cf", "-f", "procs.cf", "-R"]), "");
    assert_eq!(fleet.read("systemctl"), "--system reload conserver-server.service\n");
}

/// Links that lead out, back to themselves or nowhere: nothing outside is read, written or named.
fn an_image_without_a_way_out(_: &TestEnv) {
    let image = |fill: &dyn Fn(&Fleet)| {
        let fleet = Fleet::new();
        fleet.program("image/usr/bin/procServ-launcher", "");
        fill(&fleet);
        fleet
    };
    let run =
        |fleet: &Fleet, words: &[&str]| -> Done { in_image(fleet, words).output().unwrap().into() };
    for target in ["/etc", "etc", "../etc"] {
        let fleet = image(&|fleet| symlink(target, fleet.path("image/etc")).unwrap());
        for words in
            [&["list"][..], &["add", "-f", "-C", "/", "a", "/x"], &["doctor"], &["write-procs-cf"]]
        {
            let done = run(&fleet, words);
            assert!(done.code == 1 && done.stderr.contains("symbolic links"), "{words:?} {done:?}");
        }
    }
    let fleet = image(&|_| ());
    let done = fleet.run(&["--root", "/nosuch", "list"]);
    assert!(done.code == 1 && done.stderr.contains("/nosuch: No such file"), "{done:?}");
    // Where systemd's directories, the instance's file and conserver's file lead out.
    let outside = Fleet::new();
    for directory in ["system", "conserver"] {
        fs::create_dir_all(outside.path(directory)).unwrap();
    }
    let kept = outside.file("kept", "secret\n");
    let fleet = image(&|fleet| {
        for directory in ["etc/systemd", "etc/procServ.d"] {
            fs::create_dir_all(fleet.path(&format!("image/{directory}"))).unwrap();
        }
        let link = |target: &std::path::Path, name: &str| {
            symlink(target, fleet.path(&format!("image/{name}"))).unwrap();
        };
        link(&outside.path("system"), "etc/systemd/system");
        link(&outside.path("conserver"), "etc/conserver");
        link(&kept, "etc/procServ.d/a.conf");
        link(&outside.path("unit"), "etc/procServ.d/procserv-a.service");
        fs::create_dir_all(format!(
            "{}{}",
            fleet.path("image").display(),
            outside.path("conserver").display()
        ))
        .unwrap();
    });
    let done = run(&fleet, &["add", "-f", "-C", "/", "a", "/x"]);
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, "# a is started when the image boots\n"),
        "{done:?}"
    );
    assert_eq!(run(&fleet, &["write-procs-cf"]).code, 0);
    let cf = format!("image{}/procs.cf", outside.path("conserver").display());
    assert!(fleet.read(&cf).contains("uds /run/procserv-a/control;"));
    for words in
        [&["set", "-f", "a", "port=2"][..], &["disable", "a"], &["enable", "a"], &["remove", "a"]]
    {
        let done = run(&fleet, words);
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
    }
    assert_eq!(outside.read("kept"), "secret\n");
    for directory in ["system", "conserver"] {
        assert_eq!(outside.names(directory), [""; 0]);
    }
    assert!(!outside.path("unit").exists());
    assert!(!fleet.path("systemctl").exists());
    for words in [&["write-procs-cf", "-R"][..], &["write-procs-cf", "-H", "x"]] {
        assert_eq!(run(&fleet, words).code, 2);
    }
}

fn plain_status_has_the_order_of_the_files(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(MAIN, "[z]\ncommand = x\n[m]\ncommand = x\n[off]\ninstance = 0\n");
    fleet.file(&conf("2"), "[b]\ncommand = x\n[z]\nport = 1\n");
    fleet.file(&conf("1"), "[c]\ncommand = x\n[a]\ncommand = x\n");
    let names = |words: &[&str]| {
        let said = fleet.must(words);
        said.lines()
            .map(|line| line.strip_suffix(" Stopped").unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&["status", "--plain"]), ["z", "m", "c", "a", "b"]);
    assert_eq!(names(&["status", "--plain", "b", "[mz]"]), ["z", "m", "b"]);
}

fn variables_have_names_that_systemd_takes(_: &TestEnv) {
    let fleet = Fleet::new();
    for assignment in ["A", "=b", "1A=b", "A-B=c", "A B=c"] {
        let done = add(&fleet, &["-C", "/", "-e", assignment, "a", "/bin/true"]);
        assert!(done.code == 2 && done.stderr.contains("is not NAME=VALUE"), "{done:?}");
    }
    fleet.must(&["add", "-C", "/", "-e", "_A1=b", "a", "/bin/true"]);
}
