//! Contract section 1: help, version, and what is said about a command line that is wrong.

use crate::support::{TestEnv, cases};

cases![
    s1_version_is_one_line,
    s1_version_names_both_programs.differs_on_oracle("it is another program"),
    s1_help_begins_with_the_usage,
    s1_help_names_every_option
        .differs_on_oracle("2.7.0 lacks --oneshot and --grace-period (sections 1 and 10)"),
    s1_unknown_long_option,
    s1_unknown_short_option,
    s1_missing_value_of_a_long_option,
    s1_missing_value_of_a_short_option,
    s1_ambiguous_prefix_lists_the_possibilities,
    s1_value_for_an_option_that_takes_none,
    s1_all_errors_are_reported,
    s1_version_wins_over_errors,
    s1_help_wins_over_errors,
    s1_too_few_arguments,
    s1_too_few_arguments_besides_an_error,
    s1_endpoint_without_command,
    s1_messages_name_the_program_as_called,
    s1_bad_number_gets_a_warning.differs_on_oracle("says nothing (section 1, [+])"),
    s1_bad_number_gets_no_warning_with_quiet,
    s1_no_warning_for_nothing_a_sign_or_a_signal,
    s1_shortest_abbreviations_are_accepted,
];

const USAGE: &str = "\
Usage: procServ [options] -P <endpoint>... <command args ...>    (-h for help)
       procServ [options] <endpoint> <command args ...>
";

fn s1_version_is_one_line(env: &TestEnv) {
    env.run(["-V"]).assert(0, "<version>\n", "");
    env.run(["--version"]).assert(0, "<version>\n", "");
}

fn s1_version_names_both_programs(env: &TestEnv) {
    let package = env!("CARGO_PKG_VERSION");
    assert_eq!(env.version(), format!("procServ Process Server 2.9.0 (procserv-ng {package})"));
}

fn s1_help_begins_with_the_usage(env: &TestEnv) {
    for option in ["-h", "--help"] {
        let help = env.run([option]);
        assert_eq!((help.status.code(), help.stderr.as_str()), (Some(0), ""));
        assert!(help.stdout.starts_with(USAGE), "{}", help.stdout);
    }
}

fn s1_help_names_every_option(env: &TestEnv) {
    let help = env.run(["-h"]).stdout;
    let names = |name: &str| {
        help.lines().any(|line| line.split([' ', '=', ',', '[', '/']).any(|word| word == name))
    };
    for name in [
        "--allow",
        "--autorestartcmd",
        "--coresize",
        "--chdir",
        "--debug",
        "--exec",
        "--foreground",
        "--grace-period",
        "--help",
        "--holdoff",
        "--ignore",
        "--info-file",
        "--killcmd",
        "--killsig",
        "--logport",
        "--logfile",
        "--logstamp",
        "--name",
        "--noautorestart",
        "--oneshot",
        "--pidfile",
        "--port",
        "--quiet",
        "--restrict",
        "--timefmt",
        "--version",
        "--wait",
        "--logoutcmd",
    ] {
        assert!(names(name), "{name} is missing:\n{help}");
    }
    for letter in "cdefghiIklLnopPqVwx".chars() {
        assert!(names(&format!("-{letter}")), "-{letter} is missing:\n{help}");
    }
}

fn s1_unknown_long_option(env: &TestEnv) {
    let stderr = "procServ: unrecognized option '--nonsense'\n";
    env.run(["--nonsense", "unix:ctl", "/bin/cat"]).assert(1, USAGE, stderr);
}

fn s1_unknown_short_option(env: &TestEnv) {
    let stderr = "procServ: invalid option -- 'Z'\n";
    env.run(["-Z", "unix:ctl", "/bin/cat"]).assert(1, USAGE, stderr);
}

fn s1_missing_value_of_a_long_option(env: &TestEnv) {
    let stderr = "procServ: option '--name' requires an argument\nprocServ: missing argument\n";
    env.run(["--name"]).assert(1, USAGE, stderr);
}

fn s1_missing_value_of_a_short_option(env: &TestEnv) {
    let stderr = "procServ: option requires an argument -- 'k'\nprocServ: missing argument\n";
    env.run(["-k"]).assert(1, USAGE, stderr);
}

fn s1_ambiguous_prefix_lists_the_possibilities(env: &TestEnv) {
    let stderr = "procServ: option '--log' is ambiguous; \
                  possibilities: '--logport' '--logfile' '--logstamp' '--logoutcmd'\n";
    env.run(["--log", "unix:ctl", "/bin/cat"]).assert(1, USAGE, stderr);
}

fn s1_value_for_an_option_that_takes_none(env: &TestEnv) {
    let stderr = "procServ: option '--wait' doesn't allow an argument\n";
    env.run(["--wait=x", "unix:ctl", "/bin/cat"]).assert(1, USAGE, stderr);
}

fn s1_all_errors_are_reported(env: &TestEnv) {
    let stderr = "\
procServ: unrecognized option '--nonsense'
procServ: invalid option -- 'Z'
procServ: option '--quiet' doesn't allow an argument
procServ: missing argument
";
    env.run(["--nonsense", "-Z", "--qui=x"]).assert(1, USAGE, stderr);
}

fn s1_version_wins_over_errors(env: &TestEnv) {
    let stderr = "procServ: unrecognized option '--nonsense'\n";
    env.run(["--nonsense", "-V"]).assert(0, "<version>\n", stderr);
}

fn s1_help_wins_over_errors(env: &TestEnv) {
    let help = env.run(["-Z", "-h"]);
    assert_eq!(help.status.code(), Some(0));
    assert_eq!(help.stderr, "procServ: invalid option -- 'Z'\n");
    assert!(help.stdout.starts_with(USAGE), "{}", help.stdout);
}

fn s1_too_few_arguments(env: &TestEnv) {
    env.run([]).assert(1, USAGE, "procServ: missing argument\n");
}

fn s1_too_few_arguments_besides_an_error(env: &TestEnv) {
    let stderr = "procServ: unrecognized option '--nonsense'\nprocServ: missing argument\n";
    env.run(["--nonsense"]).assert(1, USAGE, stderr);
}

fn s1_endpoint_without_command(env: &TestEnv) {
    env.run(["unix:ctl"]).assert(1, USAGE, "procServ: missing argument\n");
    env.run(["-P", "unix:ctl"]).assert(1, USAGE, "procServ: missing argument\n");
}

fn s1_messages_name_the_program_as_called(env: &TestEnv) {
    let called = env.server().bare().argv0("/opt/procmgrd0").opts(["-Z"]).run();
    let usage = USAGE.replace("procServ [", "/opt/procmgrd0 [");
    let stderr = "/opt/procmgrd0: invalid option -- 'Z'\n/opt/procmgrd0: missing argument\n";
    called.assert(1, &usage, stderr);
}

fn s1_bad_number_gets_a_warning(env: &TestEnv) {
    let server = env.server().opts(["-w", "--holdoff", "5s"]).start();
    server.connect().greeting();
    let stderr = server.stderr();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("holdoff") && stderr.contains('5'), "{stderr}");
}

fn s1_bad_number_gets_no_warning_with_quiet(env: &TestEnv) {
    let server = env.server().opts(["-w", "-q", "--holdoff", "5s"]).start();
    server.connect().greeting();
    assert_eq!(server.stderr(), "");
}

fn s1_no_warning_for_nothing_a_sign_or_a_signal(env: &TestEnv) {
    let options = ["-w", "--coresize=", "--killsig", "-15", "--killsig", "TERM", "--holdoff", "+5"];
    let server = env.server().opts(options).start();
    server.connect().greeting();
    assert_eq!(server.stderr(), "");
}

fn s1_shortest_abbreviations_are_accepted(env: &TestEnv) {
    let options = [
        "--au=x",
        "--co=1",
        "--ch=.",
        "--d",
        "--e=x",
        "--f",
        "--ho=1",
        "--ig=x",
        "--in=x",
        "--killc=x",
        "--kills=9",
        "--logp=0",
        "--logf=x",
        "--logs",
        "--logs=x",
        "--na=x",
        "--no",
        "--pi=x",
        "--po=0",
        "--q",
        "--r",
        "--t=x",
        "--w",
        "--logo=x",
        "--v",
    ];
    env.run(options).assert(0, "<version>\n", "");
}
