//! `metrics`: numbers of all instances in Prometheus' text format.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::Value;

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, TestServer, cases};

cases![
    what_an_instance_has,
    how_the_last_child_ended,
    an_instance_without_a_server_has_a_state,
    it_is_the_classic_text_format,
    a_file_is_replaced_as_a_whole_and_all_may_read_it,
    half_a_status_file_gives_no_wrong_sample,
    a_status_file_of_another_version_is_not_read,
    what_others_write_forges_no_sample,
    what_can_not_be_written_is_said,
];

/// Samples by name and labels, as they are written.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let mut samples = BTreeMap::new();
    for row in rows {
        let (series, value) = row.rsplit_once(' ').unwrap();
        let value = value.parse().unwrap_or_else(|_| panic!("{row}"));
        assert_eq!(samples.insert(series.to_owned(), value), None, "{series} is there twice");
    }
    samples
}

fn metrics(fleet: &Fleet) -> BTreeMap<String, f64> {
    samples(&fleet.must(&["metrics"]))
}

fn wait_sample(env: &TestEnv, fleet: &Fleet, series: &str, value: f64) -> BTreeMap<String, f64> {
    env.wait_for(series, || {
        let samples = metrics(fleet);
        (samples.get(series) == Some(&value)).then_some(samples)
    })
}

fn launch(env: &TestEnv, fleet: &Fleet, steps: &str, more: &str) -> TestServer {
    let setup = env.server();
    fleet.instance(&setup, "a", steps, more);
    fleet.launch_until(env, setup, "a", "run/procserv-a/status")
}

fn status(fleet: &Fleet) -> Value {
    serde_json::from_str(&fleet.read("run/procserv-a/status")).unwrap()
}

/// Writes a status file in place of the server's, which does not write it again by itself.
fn replace_status(fleet: &Fleet, content: &str) {
    let path = fleet.file("run/procserv-a/other", content);
    fs::rename(path, fleet.path("run/procserv-a/status")).unwrap();
}

fn what_an_instance_has(env: &TestEnv) {
    let fleet = Fleet::new();
    let server = launch(env, &fleet, "cat", "options = -L log --holdoff 0");
    let control = format!("unix:{}", fleet.path("run/procserv-a/control").display());
    let mut user = server.connect_to(&control);
    user.greeting();
    wait_sample(env, &fleet, r#"procserv_clients{name="a",role="user"}"#, 1.0);
    user.send("\x14");
    let samples = wait_sample(env, &fleet, r#"procserv_mode{name="a",mode="OFF"}"#, 1.0);
    for (series, value) in [
        (r#"procserv_up{name="a"}"#, 1.0),
        (r#"procserv_server_up{name="a"}"#, 1.0),
        (r#"procserv_status_file_ok{name="a"}"#, 1.0),
        (r#"procserv_state{name="a",state="running"}"#, 1.0),
        (r#"procserv_state{name="a",state="stopped"}"#, 0.0),
        (r#"procserv_mode{name="a",mode="ON"}"#, 0.0),
        (r#"procserv_mode{name="a",mode="ONESHOT"}"#, 0.0),
        (r#"procserv_child_ready{name="a"}"#, 1.0),
        (r#"procserv_child_restarts_total{name="a"}"#, 0.0),
        (r#"procserv_clients{name="a",role="logger"}"#, 0.0),
        (r#"procserv_clients{name="a",role="viewer"}"#, 0.0),
        (r#"procserv_clients{name="a",role="api"}"#, 0.0),
        (r#"procserv_log_lost_bytes_total{name="a",log="file"}"#, 0.0),
        (r#"procserv_client_skipped_bytes_total{name="a"}"#, 0.0),
        (r#"procserv_trouble{name="a",what="log"}"#, 0.0),
        (r#"procserv_trouble{name="a",what="other"}"#, 0.0),
        (r#"procserv_upgrades_total{name="a"}"#, 0.0),
        (r#"procserv_crashes_total{name="a"}"#, 0.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    let version = format!(r#"procserv_info{{name="a",version="{}"}}"#, env.version());
    assert_eq!(samples.get(&version), Some(&1.0), "{version}");
    assert!(samples[r#"procserv_log_written_bytes_total{name="a",log="file"}"#] > 0.0);
    let started = |series: &str| samples[&format!("{series}{{name=\"a\"}}")];
    let file = fs::metadata(fleet.path("run/procserv-a/info")).unwrap().mtime() as f64;
    for series in ["procserv_server_start_time_seconds", "procserv_child_start_time_seconds"] {
        assert!((started(series) - file).abs() < 100.0, "{series}: {} {file}", started(series));
    }
    let states = samples.iter().filter(|(series, _)| series.starts_with("procserv_state{"));
    assert_eq!(states.map(|(_, value)| value).sum::<f64>(), 1.0);
    let absent = ["exit_code", "exit_signal", "last_end", "log=\"syslog\""];
    assert!(!samples.keys().any(|series| absent.iter().any(|name| series.contains(name))));
}

fn how_the_last_child_ended(env: &TestEnv) {
    let fleet = Fleet::new();
    let ran = fleet.path("ran");
    let script = format!("#!/bin/sh\n[ ! -e {0} ] || exec cat\n>{0}\nexit 3\n", ran.display());
    let child = fleet.program("child", &script);
    let conf = format!("[a]\ncommand = {}\noptions = --holdoff 0\n", child.display());
    fleet.file("home/.config/procServ.d/a.conf", &conf);
    fleet.file("run/procserv-a/nothing", "");
    let server = fleet.launch_until(env, env.server(), "a", "run/procserv-a/status");
    let code = r#"procserv_child_last_exit_code{name="a"}"#;
    let samples = wait_sample(env, &fleet, code, 3.0);
    assert_eq!(samples[r#"procserv_child_last_exit_signal{name="a"}"#], 0.0);
    assert!(samples[r#"procserv_child_last_end_time_seconds{name="a"}"#] > 1.7e9);
    // The second child stays.
    wait_sample(env, &fleet, r#"procserv_child_restarts_total{name="a"}"#, 1.0);
    let control = format!("unix:{}", fleet.path("run/procserv-a/control").display());
    let mut user = server.connect_to(&control);
    user.greeting();
    user.send("\x18");
    let signal = r#"procserv_child_last_exit_signal{name="a"}"#;
    let samples = wait_sample(env, &fleet, signal, 9.0);
    assert_eq!(samples.get(code), None);
}

fn an_instance_without_a_server_has_a_state(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file(
        "home/.config/procServ.d/a.conf",
        "[a]\ncommand = x\n[b]\ncommand = x\ninstance = 7\n",
    );
    let done = fleet.run(&["metrics"]);
    let samples = samples(&done.stdout);
    assert_eq!(samples[r#"procserv_state{name="a",state="stopped"}"#], 1.0);
    assert_eq!(samples[r#"procserv_state{name="b",state="broken"}"#], 1.0);
    assert_eq!(samples[r#"procserv_up{name="a"}"#], 0.0);
    assert_eq!(samples[r#"procserv_info{name="a",version=""}"#], 1.0);
    assert!(!samples.keys().any(|series| series.contains("_total") || series.contains("_ok")));
    assert!(done.code == 0 && done.stderr.contains("[b]"), "{done:?}");
    assert_eq!(fleet.run(&["metrics", "--json"]).code, 2);
}

/// HELP and TYPE before the samples of a family, which are in one block.
fn it_is_the_classic_text_format(env: &TestEnv) {
    let fleet = Fleet::new();
    let _server = launch(env, &fleet, "cat", "options = -L log");
    fleet.file("home/.config/procServ.d/b.conf", "[b]\ncommand = x\n");
    let text = fleet.must(&["metrics"]);
    assert!(text.ends_with('\n'));
    let mut families = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let name = line.strip_prefix("# HELP ").unwrap().split(' ').next().unwrap();
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(["counter", "gauge"].contains(&kind), "{kind}");
        while let Some(row) = lines.next_if(|line| !line.starts_with('#')) {
            assert!(row.starts_with(&format!("{name}{{name=\"")), "{row}");
        }
        families.push(name);
    }
    let in_document = include_str!("../../../docs/monitoring.md");
    for name in &families {
        assert!(in_document.contains(&format!("| `{name}`")), "{name} is not in the document");
    }
    let documented = in_document.lines().filter(|line| line.starts_with("| `procserv_")).count();
    // There was no end of a child: three families are missing.
    assert_eq!(families.len() + 3, documented);
}

fn a_file_is_replaced_as_a_whole_and_all_may_read_it(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file("home/.config/procServ.d/a.conf", "[a]\ncommand = x\n");
    fs::create_dir(fleet.path("text")).unwrap();
    fs::write(fleet.path("text/procserv.prom"), "old").unwrap();
    fs::set_permissions(fleet.path("text/procserv.prom"), fs::Permissions::from_mode(0o600))
        .unwrap();
    let before = fs::metadata(fleet.path("text/procserv.prom")).unwrap().ino();
    let open = fs::File::open(fleet.path("text/procserv.prom")).unwrap();
    // A user's umask is often 077, and mktemp's mode is 0600.
    let mut command = std::process::Command::new("sh");
    let words = "umask 077; exec \"$0\" --user metrics --textfile text/procserv.prom";
    command.args(["-c", words, crate::manage::fleet::MANAGE]);
    fleet.dress(|name, value| {
        command.env(name, value);
    });
    let done = command.current_dir(fleet.path("")).output().unwrap();
    assert!(done.status.success() && done.stdout.is_empty() && done.stderr.is_empty(), "{done:?}");
    let metadata = fs::metadata(fleet.path("text/procserv.prom")).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o644);
    assert_ne!(metadata.ino(), before);
    drop(open);
    assert_eq!(fleet.read("text/procserv.prom"), fleet.must(&["metrics"]));
    assert_eq!(fleet.names("text"), ["procserv.prom"]);
}

fn half_a_status_file_gives_no_wrong_sample(env: &TestEnv) {
    let fleet = Fleet::new();
    let _server = launch(env, &fleet, "cat", "");
    wait_sample(env, &fleet, r#"procserv_status_file_ok{name="a"}"#, 1.0);
    let whole = status(&fleet).to_string();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        replace_status(&fleet, &whole[..length]);
        unread(&fleet);
    }
}

/// Of the server that runs there is only what `/proc` and the configuration tell.
fn unread(fleet: &Fleet) {
    let samples = metrics(fleet);
    assert_eq!(samples[r#"procserv_status_file_ok{name="a"}"#], 0.0);
    assert_eq!(samples[r#"procserv_server_up{name="a"}"#], 1.0);
    assert_eq!(samples[r#"procserv_info{name="a",version=""}"#], 1.0);
    let known = ["info", "state", "up", "server_up", "status_file_ok"];
    for series in samples.keys() {
        let name = series.strip_prefix("procserv_").unwrap().split('{').next().unwrap();
        assert!(known.contains(&name), "{series}");
    }
}

fn a_status_file_of_another_version_is_not_read(env: &TestEnv) {
    let fleet = Fleet::new();
    let _server = launch(env, &fleet, "cat", "");
    wait_sample(env, &fleet, r#"procserv_status_file_ok{name="a"}"#, 1.0);
    let mut status = status(&fleet);
    status["v"] = 2.into();
    replace_status(&fleet, &status.to_string());
    unread(&fleet);
    status["v"] = 1.into();
    status["more"] = "of a later program".into();
    replace_status(&fleet, &status.to_string());
    assert_eq!(metrics(&fleet)[r#"procserv_status_file_ok{name="a"}"#], 1.0);
}

/// The user of an instance owns its status file, and gives a section any name.
fn what_others_write_forges_no_sample(env: &TestEnv) {
    let fleet = Fleet::new();
    let _server = launch(env, &fleet, "cat", "");
    wait_sample(env, &fleet, r#"procserv_status_file_ok{name="a"}"#, 1.0);
    let mut forged = status(&fleet);
    let evil = "1\"} 1\nprocserv_up{name=\"b\"} 1\r\u{1b}[2J\u{2028}\u{202e}\\";
    forged["version"] = format!("{evil}{}", "x".repeat(500_000)).into();
    forged["mode"] = evil.into();
    forged["restarts"] = "7".into();
    forged["skipped"] = (-7).into();
    forged["upgrades"] = 1e300.into();
    forged["crashes"] = serde_json::json!([1]);
    forged["trouble"] = serde_json::json!([{ "what": evil }, 7, { "what": "log" }]);
    forged["clients"] = serde_json::json!([{ "role": evil }, null, { "role": "user" }]);
    forged["ends"] = 7.into();
    forged["log"] = serde_json::json!({ "written": { "$gt": 0 }, "lost": evil });
    replace_status(&fleet, &forged.to_string());
    let name = "b\"} 1; \\n \u{1b}[2J";
    fleet.file("home/.config/procServ.d/b.conf", &format!("[{name}]\ncommand = x\n"));
    let text = fleet.run(&["metrics"]).stdout;
    assert!(text.lines().all(|line| line.len() < 2000), "a long line");
    assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()));
    let samples = samples(&text);
    assert!(!samples.contains_key(r#"procserv_up{name="b"}"#));
    assert_eq!(samples[r#"procserv_trouble{name="a",what="other"}"#], 1.0);
    assert_eq!(samples[r#"procserv_trouble{name="a",what="log"}"#], 1.0);
    assert_eq!(samples[r#"procserv_clients{name="a",role="user"}"#], 1.0);
    let absent = ["mode", "restarts", "skipped", "upgrades", "crashes", "exit", "written", "lost"];
    for series in samples.keys() {
        let name = series.split('{').next().unwrap();
        assert!(!absent.iter().any(|absent| name.contains(absent)), "{series}");
    }
    assert!(text.contains(r#"procserv_state{name="b\"} 1; \\n \\u{1b}[2J",state="broken"} 1"#));
}

fn what_can_not_be_written_is_said(_: &TestEnv) {
    let fleet = Fleet::new();
    fleet.file("home/.config/procServ.d/a.conf", "[a]\ncommand = x\n");
    for (file, why) in [("none/x.prom", "No such file or directory"), ("home", "Is a directory")] {
        let done = fleet.run(&["metrics", "--textfile", file]);
        assert!(done.code == 1 && done.stderr.ends_with(&format!("{why}\n")), "{done:?}");
    }
    let done = fleet.run(&["metrics", "--textfile", "/dev/null"]);
    assert!(done.code == 1 && done.stderr.contains("is not a regular file"), "{done:?}");
    assert!(!Path::new("/dev/null").is_file());
}
