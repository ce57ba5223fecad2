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
    output_of_hosts_never_reaches_the_terminal_as_it_is,
    a_flood_ends,
    other_versions,
    events_are_merged_by_time,
    logs_are_merged_by_time,
    streams_follow_all_hosts,
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
fn fleet(hosts: &[(&str, &[&str])]) -> Fleet {
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
fn program(fleet: &Fleet, host: &str, script: &str) {
    let script = format!("#!/bin/sh\necho 'output of manage-procs:'\n{script}\n");
    fleet.program(&format!("programs/{host}"), &script);
}

/// A host that says this, whatever it is asked.
fn says(fleet: &Fleet, host: &str, text: &str) {
    let path = fleet.file(&format!("texts/{host}"), text);
    program(fleet, host, &format!("exec cat {}", path.display()));
}

/// A host that has the instance `x`, and says this to all but `list`.
fn has_x_and_says(fleet: &Fleet, host: &str, text: &str) {
    let path = fleet.file(&format!("texts/{host}"), text);
    let list = "case \"$*\" in *\"'list'\"*) echo '[{\"name\":\"x\"}]'; exit ;; esac";
    program(fleet, host, &format!("{list}\nexec cat {}", path.display()));
}

fn parsed(done: &Done) -> Vec<Value> {
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
    says(&fleet, "a", "");
    for host in ["a", "b", "c"] {
        fleet.program(&format!("programs/{host}"), "#!/bin/sh\necho '[{\"name\":\"x\"}]'\n");
    }
    let text = fleet.must(&["write-procs-cf", "-f", "-", "-H", &hosts, "--ssh", &ssh]);
    assert_eq!(text.lines().filter(|line| line.starts_with("console x.")).count(), 3, "{text}");
    fleet.file("home/.config/procServ-hosts.conf", "[vac]\n-x\n");
    assert!(fleet.run(&["-H", "@vac", "list"]).stderr.contains("\"-x\" is no host"));
}

const HOSTILE: &str = "\u{1b}]0;t\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\n\u{1b}Pq";

#[track_caller]
fn is_clean(done: &Done) {
    for text in [&done.stdout, &done.stderr] {
        let is_bad = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
        assert!(!text.contains(is_bad), "{done:?}");
    }
}

fn output_of_hosts_never_reaches_the_terminal_as_it_is(_: &TestEnv) {
    let fleet = fleet(&[("a", &[])]);
    let item = json!({
        "name": "x", "state": HOSTILE, "trouble": [HOSTILE], "last": HOSTILE, "user": HOSTILE,
        "mode_by": HOSTILE, "status": { "mode": HOSTILE, "clients": HOSTILE }, "chdir": HOSTILE,
        "command": [HOSTILE], "subject": HOSTILE, "problem": HOSTILE, "advice": HOSTILE,
        "result": HOSTILE, "text": HOSTILE, "endpoints": [HOSTILE], "instance": HOSTILE,
        "event": HOSTILE, "time": "2026-11-30T13:00:00Z", "time_us": 1, "message": HOSTILE,
    });
    says(&fleet, "evil", &format!("[{item}]"));
    for command in [&["list"][..], &["status"], &["status", "-w"], &["doctor"], &["upgrade", "x"]] {
        for json in [&[][..], &["--json"]] {
            let done = fleet.run(&[json, &["-H", "evil"], command].concat());
            assert!(done.stdout.contains("evil"), "{done:?}");
            is_clean(&done);
        }
    }
    has_x_and_says(&fleet, "evil", &format!("{item}\n"));
    for command in ["events", "logs"] {
        for json in [&[][..], &["--json"]] {
            let done = fleet.run(&[json, &["-H", "evil,a", command]].concat());
            assert!(done.code == 0 && done.stdout.contains("evil"), "{done:?}");
            is_clean(&done);
        }
    }
    has_x_and_says(&fleet, "evil", &format!("{HOSTILE}\nplain\n"));
    for command in [&["why", "evil:x"][..], &["send", "evil:x", "y"], &["-H", "evil", "kill", "x"]]
    {
        let done = fleet.run(command);
        assert!(done.stdout.contains("plain\n"), "{done:?}");
        is_clean(&done);
    }
    // Standard error, too.
    let path = fleet.file("texts/error", HOSTILE);
    program(&fleet, "evil", &format!("cat {} >&2; exit 1", path.display()));
    for command in [&["status"][..], &["doctor"], &["events"], &["stop", "x"]] {
        let done = fleet.run(&[&["-H", "evil"], command].concat());
        assert_eq!(done.code, 1, "{done:?}");
        is_clean(&done);
    }
}

/// What says too much, and never ends.
fn a_flood_ends(_: &TestEnv) {
    let fleet = fleet(&[("a", &["ioc1"])]);
    fleet.program("programs/noise", "#!/bin/sh\nexec yes flood\n");
    program(&fleet, "zero", "exec cat /dev/zero");
    program(&fleet, "lines", "yes flood >&2 &\nexec yes flood");
    let done = fleet.run(&["-H", "noise,zero,lines,a", "status"]);
    assert!(done.code == 1 && done.stdout.contains("a      ioc1"), "{done:?}");
    for (host, what) in
        [("noise", "no answer within 5 s"), ("zero", "answer "), ("lines", "answer ")]
    {
        let line = done.stdout.lines().find(|line| line.starts_with(host));
        assert!(line.is_some_and(|line| line.contains(what)), "{host}: {done:?}");
    }
    has_x_and_says(&fleet, "errors", "");
    let script = fleet.read("programs/errors").replace("exec cat", "yes >&2 #");
    fleet.program("programs/errors", &script);
    let done = fleet.run(&["-H", "errors", "events"]);
    assert!(done.code == 1 && done.stderr.contains("errors: no answer within 10 s"), "{done:?}");
    assert!(done.stderr.lines().count() < 100, "{done:?}");
    let long = "y".repeat(1 << 20);
    has_x_and_says(&fleet, "long", &format!("{long}\nshort\n"));
    let done = fleet.run(&["-H", "long", "why", "x"]);
    assert_eq!(done.stdout, "short\n", "{:?}", done.stderr);
    assert!(done.stderr.contains("a line of 1048576 bytes is left out"), "{done:?}");
}

fn other_versions(_: &TestEnv) {
    let fleet = fleet(&[]);
    let row = |done: &Done, host: &str| {
        let line = done.stdout.lines().find(|line| line.starts_with(host));
        line.unwrap_or_else(|| panic!("{host}: {done:?}")).to_owned()
    };
    says(&fleet, "older", r#"[{"name":"x","state":"running"}]"#);
    says(
        &fleet,
        "newer",
        r#"[{"v":1,"name":"y","state":"dreaming","colour":[1],"status":7,"last":{}}]"#,
    );
    says(&fleet, "v2", r#"[{"v":2,"name":"z","state":"running"}]"#);
    says(&fleet, "none", "usage: manage-procs [-h]\n");
    says(&fleet, "half", r#"[{"name":"x","state":"run"#);
    says(&fleet, "deep", &"[".repeat(100_000));
    let hosts = "older,newer,v2,none,half,deep";
    let done = fleet.run(&["-H", hosts, "status"]);
    assert_eq!(done.code, 1);
    assert!(row(&done, "older").contains("x     running"), "{done:?}");
    assert!(row(&done, "newer").contains("state dreaming"), "{done:?}");
    assert!(row(&done, "v2").contains("its answer has version 2"), "{done:?}");
    for host in ["none", "half", "deep"] {
        assert!(row(&done, host).contains("its answer is none of manage-procs"), "{done:?}");
    }
    let done = fleet.run(&["--json", "-H", hosts, "list"]);
    let errors = parsed(&done).iter().filter(|it| it.get("error").is_some()).count();
    assert_eq!(errors, 4, "{done:?}");
    has_x_and_says(&fleet, "v2", "{\"v\":2,\"event\":\"connect\"}\n{\"event\":\"connect\"}\n");
    let done = fleet.run(&["-H", "v2", "events"]);
    assert!(
        done.stderr.contains("v2: its answer has version 2") && done.stdout.lines().count() == 1,
        "{done:?}"
    );
}

fn event(time: &str, pid: u32) -> String {
    json!({ "v": 1, "event": "child_start", "pid": pid, "instance": "x", "time": format!("2026-11-30T{time}+01:00") })
        .to_string()
        + "\n"
}

fn events_are_merged_by_time(_: &TestEnv) {
    let fleet = fleet(&[]);
    has_x_and_says(&fleet, "a", &(event("12:00:00", 1) + &event("12:00:02", 3)));
    has_x_and_says(&fleet, "longer", &(event("12:00:01", 2) + "junk\n" + &event("12:00:03", 4)));
    let done = fleet.run(&["-H", "a,longer", "events"]);
    let shown: Vec<(&str, &str)> = done
        .stdout
        .lines()
        .map(|line| (line.split_whitespace().nth(2).unwrap(), line.split(" x ").nth(1).unwrap()))
        .collect();
    let expected = [("a", 1), ("longer", 2), ("a", 3), ("longer", 4)]
        .map(|(host, pid)| (host, format!("child started (PID {pid})")));
    let expected: Vec<_> = expected.iter().map(|(host, text)| (*host, text.as_str())).collect();
    assert_eq!(shown, expected, "{done:?}");
    assert!(done.stderr.contains("longer: a line that is not of manage-procs is left out"));
    let done = fleet.run(&["--json", "-H", "a,longer", "events"]);
    let pids: Vec<Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(pids.iter().map(|it| it["pid"].as_u64().unwrap()).eq(1..5), "{done:?}");
    assert_eq!(pids[1]["host"], "longer");
}

fn logs_are_merged_by_time(_: &TestEnv) {
    let fleet = fleet(&[]);
    let entry = |time: u64, text: &str| {
        json!({ "name": "x", "time_us": time, "message": text }).to_string() + "\n"
    };
    has_x_and_says(&fleet, "a", &(entry(1, "one") + &entry(3, "three\nmore")));
    has_x_and_says(&fleet, "b", &(entry(2, "two\r") + &entry(4, "\u{1b}[31mfour")));
    assert_eq!(
        fleet.must(&["-H", "a,b", "logs", "--no-time"]),
        "a x | one\nb x | two\na x | three\na x | more\nb x | four\n"
    );
    assert_eq!(fleet.must(&["-H", "a,b", "logs", "--no-time", "-n", "1"]), "b x | four\n");
    let asked = fleet.read("ssh");
    assert!(asked.contains("'--lines=1'") && !asked.contains("no-time"), "{asked}");
}

fn streams_follow_all_hosts(env: &TestEnv) {
    let fleet = fleet(&[]);
    for (host, pid) in [("a", 1), ("b", 2)] {
        has_x_and_says(&fleet, host, &event("12:00:00", pid));
        let script = fleet.read(&format!("programs/{host}")).replace("exec cat", "cat");
        fleet.program(&format!("programs/{host}"), &format!("{script}\nexec sleep 1000\n"));
    }
    has_x_and_says(&fleet, "c", &event("12:00:00", 3));
    let out = fleet.file("out", "");
    let mut command = fleet.command(&["-H", "a,b,c", "events", "-f"]);
    command.stdout(std::fs::File::create(&out).unwrap());
    command.stderr(std::fs::File::create(fleet.path("err")).unwrap());
    let mut child = command.spawn().unwrap();
    env.wait_for("all hosts", || {
        let (out, err) = (fleet.read("out"), fleet.read("err"));
        (out.lines().count() == 3 && err.contains("c: has ended")).then_some(())
    });
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    // The processes of ssh end, too, or the run fails.
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
