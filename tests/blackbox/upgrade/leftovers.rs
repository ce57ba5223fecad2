//! The variable and the option of an upgrade, where there is none: told, and nothing done.

use crate::support::{Finished, ServerBuilder, TestEnv, cases};
use std::fs;

cases![
    variable_that_names_no_descriptor,
    variable_that_names_no_state,
    variable_is_not_looked_at_for_help,
    check_of_nothing,
    check_of_no_state,
    check_is_no_option,
];

/// What gives the next program a descriptor 9, of something that is no state.
const OPEN: [&str; 8] = [
    "exec",
    "/bin/sh",
    "sh",
    "-c",
    "exec 9</etc/passwd; exec \"$@\"",
    "sh",
    "./fake-ioc",
    "unrecorded",
];

/// Panics unless nothing was started and opened.
fn assert_untouched(finished: &Finished) {
    for name in ["starts", "log", "ctl", "pid"] {
        assert!(!finished.instance.path(name).exists(), "{name}");
    }
    assert_eq!(finished.stdout, "");
}

fn with_variable(env: &TestEnv, value: &str) -> ServerBuilder {
    env.server().logged().opts(["-p", "pid"]).env("PROCSERV_HANDOVER", value)
}

fn variable_that_names_no_descriptor(env: &TestEnv) {
    for value in ["", "x", "99", "-1", "1", "0x5", "5 ", "99999999999"] {
        let finished = with_variable(env, value).run();
        let expected = "\
procServ: cannot read the state named by PROCSERV_HANDOVER: Bad file descriptor
procServ: Exiting with error code: 9
";
        finished.assert(9, "", expected);
        assert_untouched(&finished);
    }
}

fn variable_that_names_no_state(env: &TestEnv) {
    let finished = with_variable(env, "9").launched_by(OPEN).run();
    let expected = "procServ: cannot read the state named by PROCSERV_HANDOVER: not a state\n";
    assert!(finished.stderr.starts_with(expected), "{}", finished.stderr);
    assert!(matches!(finished.status.code(), Some(1..)), "{}", finished.status);
    assert_untouched(&finished);
}

fn variable_is_not_looked_at_for_help(env: &TestEnv) {
    let finished = env.server().bare().opts(["-V"]).env("PROCSERV_HANDOVER", "99").run();
    assert_eq!(finished.stdout, format!("{}\n", env.version()));
    assert_eq!(finished.status.code(), Some(0));
}

fn check_of_nothing(env: &TestEnv) {
    for rest in ["", "x", "99", "-1", "1", "99999999999"] {
        let finished = env.run([&format!("--handover-check={rest}")]);
        assert_eq!(finished.status.code(), Some(1), "{rest:?}");
        let reason = finished.stdout;
        assert!(!reason.contains("can go on"), "{rest:?}: {reason}");
        assert!(reason.contains("descriptor"), "{rest:?}: {reason}");
    }
}

fn check_of_no_state(env: &TestEnv) {
    let check = ["--handover-check=9"];
    let finished = env.server().bare().launched_by(OPEN).opts(check).run();
    assert_eq!((finished.stdout.as_str(), finished.status.code()), ("not a state", Some(1)));
}

/// Beside anything else it is an option that does not exist.
fn check_is_no_option(env: &TestEnv) {
    let finished = env.server().opts(["--handover-check=3"]).run();
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stdout);
    assert!(finished.stderr.contains("handover-check"), "{}", finished.stderr);
    assert!(fs::metadata(finished.instance.path("starts")).is_err());
}
