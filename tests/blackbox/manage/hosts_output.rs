//! What other hosts say: hostile output, floods, other versions, and streams that are merged.

use serde_json::{Value, json};

use crate::manage::fleet::{Done, Fleet};
use crate::manage::hosts::{fleet, parsed, program};
use crate::support::{TestEnv, cases};

cases![
    output_of_hosts_never_reaches_the_terminal_as_it_is,
    a_flood_ends,
    other_versions,
    events_are_merged_by_time,
    logs_are_merged_by_time,
    streams_follow_all_hosts,
];

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
