//! Commands on other hosts. A stand-in for ssh runs each command here, in a home directory for each
//! host, or the program that a case has for the host.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::manage::attach::Person;
use crate::manage::fleet::{Done, Fleet, MANAGE};
use crate::support::{TestEnv, cases};

cases![
    tables_have_all_hosts,
    a_host_that_hangs_costs_the_others_nothing,
    json_is_one_document,
    patterns_are_about_all_hosts,
    words_reach_the_other_side_as_they_are,
    any_shell_takes_any_word,
    what_is_no_host_is_refused,
    groups_are_in_a_file,
    consoles_by_host_and_name,
    other_commands_have_a_prefix,
    exit_statuses,
    top_shows_all_hosts,
];

const SSH: &str = r#"
while :; do
    case $1 in
    -o) shift 2 ;;
    -[Tt]) tty=$1; shift ;;
    *) break ;;
    esac
done
host=$1; shift
echo "$tty $host $*" >>$dir/ssh
[ ! -x $dir/programs/$host ] || exec $dir/programs/$host "$@"
export HOME=$dir/hosts/$host XDG_RUNTIME_DIR=$dir/hosts/$host/run
cd "$HOME" || { echo "ssh: Could not resolve hostname $host" >&2; exit 255; }
echo "Welcome to $host"
exec sh -c "$*"
"#;

/// With hosts of these names, each with these instances.
pub fn fleet(hosts: &[(&str, &[&str])]) -> Fleet {
    let fleet = Fleet::new();
    let ssh = format!("#!/bin/sh\ndir={}\n{SSH}", fleet.path("").display());
    fleet.program("bin/ssh", &ssh);
    symlink(MANAGE, fleet.path("bin/manage-procs")).unwrap();
    for (host, names) in hosts {
        let section = |name: &&str| format!("[{name}]\ncommand = /bin/cat {name}\n");
        let text: String = names.iter().map(section).collect();
        fleet.file(&format!("hosts/{host}/.config/procServ.conf"), &text);
    }
    fleet
}

/// A host on which this script takes the place of the command, after the line that tells where its
/// output begins.
pub fn program(fleet: &Fleet, host: &str, script: &str) {
    let script = format!("#!/bin/sh\necho 'output of manage-procs:'\n{script}\n");
    fleet.program(&format!("programs/{host}"), &script);
}

pub fn parsed(done: &Done) -> Vec<Value> {
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

fn tables_have_all_hosts(_: &TestEnv) {
    let fleet = fleet(&[("a", &["ioc1", "ioc2"]), ("b", &["vac1"]), ("empty", &[])]);
    let done = fleet.run(&["-H", "a,b,empty", "list"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    let lines: Vec<Vec<&str>> =
        done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["HOST", "NAME", "USER", "PORT", "DIRECTORY", "COMMAND"]);
    let rows: Vec<_> = lines[1..].iter().map(|row| (row[0], row[1], row[6])).collect();
    assert_eq!(rows, [("a", "ioc1", "ioc1"), ("a", "ioc2", "ioc2"), ("b", "vac1", "vac1")]);
    let done = fleet.run(&["status", "--host", "b,a", "--sort", "name"]);
    let words: Vec<Vec<&str>> =
        done.stdout.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    let expected = [
        ["HOST", "NAME", "STATE"],
        ["b", "vac1", "stopped"],
        ["a", "ioc1", "stopped"],
        ["a", "ioc2", "stopped"],
    ];
    assert_eq!(words, expected, "{done:?}");
    assert!(fleet.must(&["-H", "a", "status", "--wide"]).contains("MEMORY"));
    assert_eq!(fleet.must(&["-H", "a,b", "status", "--failed"]), "nothing is wrong\n");
    assert_eq!(fleet.must(&["-H", "empty", "status"]), "no instances\n");
    let done = fleet.run(&["-H", "b", "doctor"]);
    assert!(done.stdout.contains("b  vac1: "), "{done:?}");
}

fn a_host_that_hangs_costs_the_others_nothing(_: &TestEnv) {
    let fleet = fleet(&[("a", &["ioc1"])]);
    fleet.program("programs/hung", "#!/bin/sh\nexec sleep 1000\n");
    // It begins, and goes no further.
    program(&fleet, "late", "exec sleep 1000");
    fleet.program(
        "programs/down",
        "#!/bin/sh\necho 'ssh: connect to host down port 22: Connection refused' >&2\nexit 255\n",
    );
    fleet.program("programs/bare", "#!/bin/sh\necho 'output of manage-procs:'\necho 'sh: 1: exec: manage-procs: not found' >&2\nexit 127\n");
    let begun = Instant::now();
    let done = fleet.run(&["-H", "hung,a,down,late,bare", "status"]);
    assert!(begun.elapsed() < Duration::from_secs(60), "{done:?}");
    assert_eq!((done.code, done.stderr.as_str()), (1, ""), "{done:?}");
    for (host, what) in [
        ("hung", "no answer within 5 s"),
        ("down", "Connection refused"),
        ("late", "no answer within 10 s"),
        ("bare", "manage-procs: not found"),
        ("a", "ioc1"),
    ] {
        let line = done.stdout.lines().find(|line| line.starts_with(&format!("{host} ")));
        assert!(line.is_some_and(|line| line.contains(what)), "{host}: {done:?}");
    }
    let done = fleet.run(&["-H", "a,down", "doctor"]);
    assert!(done.code == 1 && done.stdout.contains("Connection refused"), "{done:?}");
    let done = fleet.run(&["-H", "a,down", "status", "--check"]);
    assert_eq!(done.code, 3, "{done:?}");
    let done = fleet.run(&["-H", "down,a", "enable", "ioc1"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.stderr.contains("down: Connection refused"), "{done:?}");
    assert_eq!(fleet.read("systemctl").matches("enable").count(), 1);
}

fn json_is_one_document(_: &TestEnv) {
    let fleet = fleet(&[("a", &["ioc1"]), ("u@b", &["vac1"])]);
    for command in ["list", "status"] {
        let done = fleet.run(&["--json", "-H", "a,u@b,c", command]);
        let items = parsed(&done);
        let hosts: Vec<_> = items.iter().map(|it| it["host"].as_str().unwrap()).collect();
        assert_eq!(hosts, ["a", "u@b", "c"], "{command}: {done:?}");
        assert_eq!((items[1]["name"].as_str(), items[1]["v"].as_u64()), (Some("vac1"), Some(1)));
        assert!(items[2]["error"].as_str().unwrap().contains("resolve"), "{done:?}");
        assert_eq!(done.code, 1);
    }
    let done = fleet.run(&["--json", "-H", "a", "why", "ioc1"]);
    let page: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&page["host"], &page["name"]), (&json!("a"), &json!("ioc1")), "{done:?}");
    let done = fleet.run(&["--json", "-H", "a", "doctor"]);
    assert_eq!(parsed(&done)[0]["host"], "a", "{done:?}");
}

fn patterns_are_about_all_hosts(_: &TestEnv) {
    let fleet = fleet(&[("a", &["ioc1"]), ("b", &["vac1", "ioc2"])]);
    let done = fleet.run(&["-H", "a,b", "status", "vac*"]);
    assert!(done.code == 0 && done.stdout.contains("vac1") && !done.stdout.contains("ioc"));
    for command in ["status", "list", "enable", "upgrade", "events", "logs"] {
        let done = fleet.run(&["-H", "a,b", command, "ioc1", "x*"]);
        let says = "manage-procs: no instance x* on 2 hosts\n";
        assert_eq!((done.code, done.stderr.as_str()), (1, says), "{command}");
    }
    let done = fleet.run(&["-H", "a,b", "upgrade", "ioc*"]);
    let lines: Vec<Vec<&str>> =
        done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["HOST", "NAME", "RESULT", "TEXT"]);
    assert_eq!(
        (&lines[1][..3], &lines[2][..3]),
        (&["a", "ioc1", "stopped"][..], &["b", "ioc2", "stopped"][..])
    );
    assert_eq!(done.code, 0, "{done:?}");
}

/// The shell of the other host must not take anything of a word for its own.
fn words_reach_the_other_side_as_they_are(_: &TestEnv) {
    let fleet = fleet(&[("a", &["x"])]);
    let long = "y".repeat(20_000);
    for word in [
        "$(touch pwned) `touch pwned` ; touch pwned & # > pwned",
        "it's \"quoted\" \\' \\\\ \\",
        "-rf --json -H b",
        "*  ~ {a,b} !! $HOME",
        "\u{e9}\u{202e}",
        &long,
    ] {
        fleet.must(&[
            "-H",
            "a",
            "set",
            "--force",
            "x",
            &format!("command=echo '{}'", word.replace('\'', "'\"'\"'")),
        ]);
        let done = fleet.run(&["--json", "-H", "a", "list"]);
        assert_eq!(parsed(&done)[0]["command"], json!(["echo", word]), "{word}");
    }
    let done = fleet.run(&["-H", "a", "list", "--", "$(touch pwned)"]);
    assert_eq!(done.code, 1, "{done:?}");
    for place in ["pwned", "hosts/a/pwned", "home/pwned"] {
        assert!(!fleet.path(place).exists(), "{place}");
    }
}

/// The shell is that of the user there. One that is not here is left out.
fn any_shell_takes_any_word(_: &TestEnv) {
    let fleet = fleet(&[]);
    fleet.program("echo/manage-procs", "#!/bin/sh\nprintf '%s\\0' \"$@\" >$OUT\n");
    let words = [
        "$(touch pwned)",
        "a\nb\r\tc",
        "\u{1b}[31m",
        "\\",
        "\\'; touch pwned; '",
        "",
        "''",
        "\\\\",
        "~",
        "*",
    ];
    let mut count = 0;
    for shell in ["sh", "bash", "zsh", "fish", "ksh", "mksh", "busybox sh"] {
        let out = fleet.path("echo/out");
        let script = format!(
            "#!/bin/sh\nexport OUT={} PATH={}:$PATH\ncd {}\nexec {shell} -c \"$*\"\n",
            out.display(),
            fleet.path("echo").display(),
            fleet.path("echo").display(),
        );
        fleet.program("programs/h", &script);
        let done = fleet.run(&[&["send", "h:x", "--"], &words[..]].concat());
        if done.code == 1
            && done.stderr.contains(&format!("{}: not found", shell.split(' ').next().unwrap()))
        {
            continue;
        }
        assert_eq!(done.code, 0, "{shell}: {done:?}");
        let got = fleet.read("echo/out");
        let got: Vec<&str> = got.split_terminator('\0').collect();
        assert_eq!(got, [&["--user", "send", "--", "x"], &words[..]].concat(), "{shell}");
        assert_eq!(fleet.names("echo"), ["manage-procs", "out"], "{shell}");
        count += 1;
    }
    assert!(count > 0);
}

fn what_is_no_host_is_refused(_: &TestEnv) {
    let fleet = fleet(&[]);
    for host in
        ["-oProxyCommand=touch pwned", "u@-oProxyCommand=x", "a;b", "", "a,,b", "a b", "$(a)"]
    {
        let done = fleet.run(&[&format!("--host={host}"), "list"]);
        assert!(done.code == 2 && done.stderr.contains(" is no host"), "{host}: {done:?}");
    }
    assert!(!fleet.path("ssh").exists());
    for command in [&["metrics"][..], &["edit", "x"], &["attach", "x:y:z:/"]] {
        let done = fleet.run(&[&["-H", "a,b"], command].concat());
        assert!(done.code == 2 || done.code == 1, "{done:?}");
    }
}

fn groups_are_in_a_file(_: &TestEnv) {
    let fleet = fleet(&[("a", &["x"]), ("b", &["x"]), ("c", &["x"])]);
    fleet.file("home/.config/procServ-hosts.conf", "c # alone\n\n[vac]\na\n[rf]\nb\na\n");
    let hosts = |select: &str| -> Vec<String> {
        let done = fleet.run(&["--json", "-H", select, "list"]);
        assert_eq!(done.code, 0, "{done:?}");
        parsed(&done).iter().map(|it| it["host"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(hosts("@vac"), ["a"]);
    assert_eq!(hosts("@rf,c,@vac"), ["b", "a", "c"]);
    assert_eq!(hosts("@all"), ["c", "a", "b"]);
    let done = fleet.run(&["-H", "@none", "list"]);
    assert!(done.code == 2 && done.stderr.contains("no group \"none\" in "), "{done:?}");
    // conserver's consoles are of all hosts, each once.
    let ssh = fleet.path("bin/ssh").display().to_string();
    let hosts = fleet.path("home/.config/procServ-hosts.conf").display().to_string();
    for host in ["a", "b", "c"] {
        fleet.program(&format!("programs/{host}"), "#!/bin/sh\necho '[{\"name\":\"x\"}]'\n");
    }
    let text = fleet.must(&["write-procs-cf", "-f", "-", "-H", &hosts, "--ssh", &ssh]);
    assert_eq!(text.lines().filter(|line| line.starts_with("console x.")).count(), 3, "{text}");
    fleet.file("home/.config/procServ-hosts.conf", "[vac]\n-x\n");
    assert!(fleet.run(&["-H", "@vac", "list"]).stderr.contains("\"-x\" is no host"));
}

fn consoles_by_host_and_name(env: &TestEnv) {
    let fleet = fleet(&[("a", &["ioc1"]), ("b", &["ioc1", "vac1"])]);
    let asked = || fleet.read("ssh").lines().last().unwrap().to_owned();
    let done = fleet.run(&["attach", "u@a:ioc1"]);
    assert_eq!(done.code, 255, "{done:?}");
    assert_eq!(asked(), "-T u@a exec manage-procs '--user' 'attach' '--' 'ioc1'");
    let done = fleet.run(&["attach", "-w", "a:ioc1"]);
    assert!(done.stderr.contains("ioc1: does not run"), "{done:?}");
    assert_eq!(asked(), "-T a exec manage-procs '--user' 'attach' '--watch' '--' 'ioc1'");
    let done = fleet.run(&["why", "b:vac1"]);
    assert!(done.code == 0 && done.stdout.contains("vac1"), "{done:?}");
    for words in [
        &["-H", "a,b", "why", "vac1"][..],
        &["-H", "a,b", "why", "b:vac1"],
        &["-H", "b", "why", "vac1"],
    ] {
        assert!(fleet.must(words).contains("vac1"));
    }
    let done = fleet.run(&["-H", "a,b", "attach", "ioc1"]);
    let says = "manage-procs: several hosts have ioc1: attach a:ioc1, attach b:ioc1\n";
    assert_eq!((done.code, done.stderr.as_str()), (2, says));
    let done = fleet.run(&["-H", "a,b", "attach", "x1"]);
    assert_eq!((done.code, done.stderr.as_str()), (1, "manage-procs: no instance x1 on 2 hosts\n"));
    let done = fleet.run(&["send", "a:ioc1", "it's", "$(x)"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        asked().ends_with("manage-procs '--user' 'send' '--' 'ioc1' 'it'\\''s' '$(x)'"),
        "{}",
        asked()
    );
    // An instance whose name has a colon, and endpoints, are here.
    let count = fleet.read("ssh").lines().count();
    fleet.file("home/.config/procServ.conf", "[a:b]\ncommand = cat\n");
    let done = fleet.run(&["why", "a:b"]);
    assert!(done.code == 0 && done.stdout.contains("a:b"), "{done:?}");
    let port = env.free_port().to_string();
    for console in [&format!("localhost:{port}"), "unix:nothing", "view:nothing", "raw:x"] {
        assert_eq!(fleet.run(&["attach", console]).code, 1, "{console}");
    }
    assert_eq!(fleet.read("ssh").lines().count(), count);
}

fn other_commands_have_a_prefix(_: &TestEnv) {
    let fleet = fleet(&[("a", &["x"]), ("b", &["x", "y"])]);
    let done = fleet.run(&["-H", "a,b", "add", "new", "/bin/cat", "-H", "--", "$1"]);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert!(lines.contains(&"a: # manage-procs --user start new"), "{done:?}");
    assert!(lines.contains(&"b: # manage-procs --user start new") && done.code == 0, "{done:?}");
    let file = fleet.read("hosts/b/.config/procServ.d/new.conf");
    assert!(file.contains("command = /bin/cat -H -- '$1'"), "{file}");
    fleet.must(&["-H", "a,b", "enable", "y", "x"]);
    let asked = fleet.read("ssh");
    assert!(
        asked.contains("'enable' '--' 'x'\n") && asked.contains("'enable' '--' 'x' 'y'\n"),
        "{asked}"
    );
    let done = fleet.run(&["--json", "-H", "a,b", "disable", "x"]);
    let hosts: Vec<Value> = parsed(&done).iter().map(|item| item["host"].clone()).collect();
    assert_eq!((hosts, done.code), (vec![json!("a"), json!("b")], 0));
    assert_eq!(fleet.must(&["-H", "a", "status", "--plain", "x"]), "a: x Stopped\n");
    // No terminal, so there is no question.
    fleet.must(&["-H", "a,b", "remove", "x"]);
    assert!(!fleet.run(&["-H", "a,b", "list"]).stdout.contains("x "));
}

fn exit_statuses(_: &TestEnv) {
    let fleet = fleet(&[("a", &["x"])]);
    program(&fleet, "five", "echo '[]'; exit 5");
    program(&fleet, "killed", "kill -KILL $$");
    for (hosts, code) in [("a", 0), ("a,five", 5), ("a,killed", 1), ("a,nowhere", 1)] {
        for command in [&["list"][..], &["mode", "x", "off"], &["--json", "status"]] {
            let done = fleet.run(&[&["-H", hosts], command].concat());
            // The instance does not run, so `mode` fails everywhere.
            let code = if command[0] == "mode" { code.max(1) } else { code };
            assert_eq!(done.code, code, "{hosts} {command:?}: {done:?}");
        }
    }
    fleet.program("bin/ssh", "#!/bin/sh\nexit 1\n");
    std::fs::remove_file(fleet.path("bin/ssh")).unwrap();
    let done = fleet.command(&["-H", "a", "list"]).env("PATH", fleet.path("bin")).output().unwrap();
    let done = Done::from(done);
    assert!(done.code == 1 && done.stdout.contains("ssh: "), "{done:?}");
}

fn top_shows_all_hosts(env: &TestEnv) {
    let fleet = fleet(&[("a", &["ioc1"]), ("b", &["vac1"])]);
    fleet.program("programs/hung", "#!/bin/sh\nexec sleep 1000\n");
    let mut person = Person::top(env, &fleet, &["-H", "a,b,hung"]);
    let mut shows = |keys: &str, text: &str| {
        person.terminal.screen.send(keys);
        env.wait_for(text, || {
            person.terminal.screen.send("\x0c");
            person.terminal.screen.until("\x1b[?1049h");
            let screen = person.terminal.screen.until("\x1b[m\x1b[?25");
            String::from_utf8_lossy(&screen).contains(text).then_some(())
        });
    };
    shows("", "2 instances, 1 wrong");
    shows("", "no answer within 5 s");
    shows("j", "b     vac1  stopped");
    shows("w", "why b:vac1");
    shows("", "next");
    shows("q", "b     vac1  stopped");
    person.terminal.screen.send("q");
    person.left(0);
    assert!(fleet.read("ssh").contains(
        " b echo 'output of manage-procs:'; exec manage-procs '--user' 'why' '--' 'vac1'"
    ));
    let done = fleet.run(&["-H", "a", "top"]);
    assert!(done.code == 1 && done.stderr.contains("top needs a terminal"), "{done:?}");
}
