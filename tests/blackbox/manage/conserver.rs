//! `write-procs-cf`: what conserver reads, and what hosts may answer.

use crate::manage::fleet::{Fleet, MANAGE};
use crate::support::{TestEnv, cases};

cases![
    consoles_for_conserver,
    hosts_that_are_none,
    answers_that_are_none,
    patterns_are_about_all_hosts,
    conserver_takes_values_as_they_are,
];

fn fleet() -> Fleet {
    let fleet = Fleet::new();
    fleet.file("home/.config/procServ.conf", "[ioc1]\ncommand = x\n");
    fleet
}

fn consoles_for_conserver(_: &TestEnv) {
    let fleet = fleet();
    let run = fleet.path("run").display().to_string();
    let local = format!(
        "console ioc1 {{ master localhost; type uds; uds {run}/procserv-ioc1/control; options reinitoncc; }}"
    );
    assert!(fleet.must(&["write-procs-cf", "-f", "-"]).ends_with(&format!("\n{local}\n")));
    let done = fleet.run(&["write-procs-cf", "--json", "-f", "-"]);
    assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{done:?}");
    // A host that answers with what this one has.
    let ssh = fleet.program(
        "bin/fake-ssh",
        &format!(
            "#!/bin/sh\necho \"$*\" >>{}\nexec {MANAGE} --user list --json\n",
            fleet.path("ssh").display()
        ),
    );
    fleet.file("hosts", "# ours\nops@host1 # the first\n\n");
    let out = fleet.path("procs.cf");
    let ssh = ssh.display().to_string();
    fleet.must(&["write-procs-cf", "-f", out.to_str().unwrap(), "-H", "hosts", "--ssh", &ssh]);
    let remote = format!(
        "console ioc1.host1 {{ master localhost; type exec; exec {ssh} -t ops@host1 manage-procs --system attach ioc1; options reinitoncc; }}"
    );
    assert!(fleet.read("procs.cf").ends_with(&format!("\n{local}\n{remote}\n")));
    assert_eq!(fleet.read("ssh"), "ops@host1 manage-procs --system list --json\n");
    // One that doesn't leaves the file as it was.
    fleet.file("hosts", "host2\n");
    fleet.program("bin/fake-ssh", "#!/bin/sh\nexit 255\n");
    let done =
        fleet.run(&["write-procs-cf", "-f", out.to_str().unwrap(), "-H", "hosts", "--ssh", &ssh]);
    assert!(done.code == 1 && done.stderr.contains("host2: "), "{done:?}");
    assert!(fleet.read("procs.cf").contains("ioc1.host1"));
}

/// A host whose manage-procs prints this.
fn host_says(fleet: &Fleet, text: &str) -> String {
    let script = format!("#!/bin/sh\ncat <<'END'\n{text}\nEND\n");
    fleet.program("bin/fake-ssh", &script).display().to_string()
}

fn write(fleet: &Fleet, more: &[&str]) -> crate::manage::fleet::Done {
    let words = ["write-procs-cf", "-f", "-", "-H", "hosts", "--ssh"];
    fleet.run(&[&words, more].concat())
}

/// The first would be an option of ssh's.
fn hosts_that_are_none(_: &TestEnv) {
    let fleet = fleet();
    for line in ["-oProxyCommand=x", "a b", "a;b", "$(a)", "a\"b", "a/b"] {
        fleet.file("hosts", &format!("{line}\n"));
        let done = write(&fleet, &["touch"]);
        assert!(done.code == 1 && done.stderr.contains(" is no host"), "{line}: {done:?}");
    }
    fleet.file("hosts", "a\nb@a\n");
    let ssh = host_says(&fleet, r#"[{"name":"x"}]"#);
    assert!(write(&fleet, &[&ssh]).stderr.ends_with("console x.a: is there twice\n"));
}

fn answers_that_are_none(_: &TestEnv) {
    let fleet = fleet();
    fleet.file("hosts", "host1\n");
    for (answer, says) in [
        ("Welcome to host1", "no list of instances"),
        ("null", "no list of instances"),
        ("{}", "no list of instances"),
        ("[{}]", "a name has"),
        (r#"[{"name":"x; }"}]"#, "is not a name"),
    ] {
        let ssh = host_says(&fleet, answer);
        let done = write(&fleet, &[&ssh]);
        let says = format!("manage-procs: host1: manage-procs --system list: {says}");
        assert!(
            done.code == 1 && done.stderr.replace("\"x; }\" ", "").starts_with(&says),
            "{done:?}"
        );
    }
}

fn patterns_are_about_all_hosts(_: &TestEnv) {
    let fleet = fleet();
    fleet.file("hosts", "host1\n");
    let ssh = host_says(&fleet, r#"[{"name":"vac-1"},{"name":"mag-1"}]"#);
    let done = write(&fleet, &[&ssh, "vac-*"]);
    let consoles = done.stdout.lines().filter(|line| line.starts_with("console "));
    assert!(done.code == 0 && consoles.count() == 1, "{done:?}");
    let done = write(&fleet, &[&ssh, "x*"]);
    assert_eq!(done.stderr, "manage-procs: no instance x*, here or there\n");
}

fn conserver_takes_values_as_they_are(_: &TestEnv) {
    let fleet = fleet();
    fleet.file("hosts", "host1\n");
    let ssh = host_says(&fleet, r#"[{"name":"x"}]"#);
    let done = write(&fleet, &[&format!("{ssh} -o 'A;\"B#'")]);
    assert!(done.stdout.contains(&format!("exec {ssh} -o 'A\\;\\\"B\\#' -t host1 ")), "{done:?}");
}
