//! `--holdoff-max`: children that keep dying are started ever later.

use crate::child::reduced;
use crate::support::{Client, TestEnv, cases};
use std::time::Duration;

cases![
    holdoff_doubles_until_one_runs_long.takes_up_to(Duration::from_secs(reduced(90, 1000))),
    holdoff_refuses_what_makes_no_sense,
];

/// When the next child starts by its own clock, in seconds.
fn start(user: &mut Client) -> f64 {
    user.until("UP ");
    let text = user.until(" ");
    std::str::from_utf8(&text).unwrap().trim().parse().unwrap()
}

fn holdoff_doubles_until_one_runs_long(env: &TestEnv) {
    // Ten minutes, or half a minute.
    let (most, count) = reduced((8, 5), (64, 14));
    let script = "\
        test -e long && rm long && long=yes
        printf 'UP %s ' $(cut -d' ' -f1 /proc/uptime)
        test -n \"$long\" && sleep 2
        exit 1";
    let env = &env.with_timeout(Duration::from_secs(80));
    // Not before somebody listens.
    let options = ["-w", "--holdoff", "1", "--holdoff-max", &most.to_string()];
    let server = env.server().opts(options).command(["/bin/sh", "-c", script]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    let mut last = start(&mut user);
    let mut waits = Vec::new();
    let mut schedule = |user: &mut Client, whole: f64, less_than: f64| {
        let next = start(user);
        let wait = next - std::mem::replace(&mut last, next);
        assert!((least(whole)..less_than).contains(&wait), "{wait} for {whole} after {waits:?}");
        waits.push(wait);
    };
    let most = f64::from(most);
    let mut whole = 1.0;
    for _ in 0..count {
        // How late it may be depends on the machine. Another doubling is told from that where it is
        // one of seconds.
        schedule(&mut user, whole, if whole < most { f64::INFINITY } else { least(2.0 * most) });
        whole = most.min(2.0 * whole);
    }
    // The next one runs for two seconds, and is followed at once; then it begins anew.
    std::fs::write(server.path("long"), "").unwrap();
    schedule(&mut user, whole, least(2.0 * most));
    for whole in [2.0, 1.0, 2.0] {
        schedule(&mut user, whole, least(most));
    }
    if count > 5 {
        eprintln!("waits: {waits:.2?}");
    }
}

/// The shortest wait, in seconds, that a holdoff of one second becomes when it is doubled to `whole`
/// seconds. The clock of the child has steps of 10 ms, and it may take a moment to look at it.
fn least(whole: f64) -> f64 {
    whole - (whole - 1.0) / 4.0 - 0.5
}

fn holdoff_refuses_what_makes_no_sense(env: &TestEnv) {
    for (options, problem) in [
        (&["--holdoff-max", "14"][..], "--holdoff-max 14 is less than the holdoff time, 15"),
        (&["--holdoff-max=x"], "--holdoff-max needs a number of seconds, not 'x'"),
        (&["--holdoff-max="], "--holdoff-max needs a number of seconds, not ''"),
        (&["--holdoff-max=-1"], "--holdoff-max needs a number of seconds, not '-1'"),
        (
            &["--holdoff-max", "99999999999"],
            "--holdoff-max needs a number of seconds, not '99999999999'",
        ),
        (
            &["--holdoff", "0", "--holdoff-max", "9"],
            "--holdoff-max needs a --holdoff that can be doubled, not 0",
        ),
    ] {
        env.server().opts(options).run().assert(1, "", &format!("procServ: {problem}\n"));
    }
}
