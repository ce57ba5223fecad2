//! Contract section 1: what the options do.

use crate::support::dialogue::{HEX, ended, line, started, started_hex, waiting_greeting};
use crate::support::{TestEnv, cases, find};
use std::time::{Duration, Instant};

cases![
    s1_autorestartcmd_sets_the_toggle_character,
    s1_coresize_sets_the_soft_limit,
    s1_coresize_empty_is_zero,
    s1_coresize_negative_is_ignored,
    s1_coresize_has_64_bits.differs_on_oracle("2.7.0 takes it modulo 2^32 (section 10)"),
    s1_chdir_is_the_childs_directory,
    s1_chdir_is_entered_anew_at_each_start,
    s1_debug_stays_in_the_foreground_with_all_on_stdout,
    s1_procserv_debug_in_the_environment_is_debug,
    s1_exec_gets_the_whole_command,
    s1_exec_is_its_own_argv0
        .differs_on_oracle("passes the word before the command (section 1, [+])"),
    s1_ignored_characters_never_reach_the_child,
    s1_ignore_takes_caret_notation_as_everybody_means_it
        .differs_on_oracle("`^]` is two literal characters there (section 1, [+])"),
    s1_nul_is_dropped_with_an_ignore_list,
    s1_command_characters_are_ignored_characters,
    s1_killcmd_empty_disables,
    s1_killcmd_double_caret_is_a_caret,
    s1_killcmd_is_one_character,
    s1_killcmd_takes_small_letters_and_signs
        .differs_on_oracle("`^b` is two literal characters there (section 1, [+])"),
    s1_killcmd_nul_disables
        .differs_on_oracle("`^@` is two literal characters there (section 1, [+])"),
    s1_holdoff_negative_is_ignored,
    s1_killsig_sets_the_signal,
    s1_killsig_takes_the_absolute_value,
    s1_killsig_over_31_is_refused_and_the_default_kept,
    s1_killsig_over_31_keeps_the_value_before,
    s1_killsig_takes_names.differs_on_oracle("knows numbers only (section 1, [+])"),
    s1_name_defaults_to_the_command,
    s1_noautorestart_starts_in_mode_off,
    s1_oneshot_starts_in_mode_oneshot.differs_on_oracle("2.7.0 has none (section 10)"),
    s1_quiet_prints_nothing,
    s1_timefmt_formats_the_times,
    s1_wait_starts_no_child,
    s1_logoutcmd_sets_the_logout_character,
];

fn s1_autorestartcmd_sets_the_toggle_character(env: &TestEnv) {
    let server = env.server().opts(["-w", "--autorestartcmd", "^A"]).start();
    let mut user = server.connect();
    let greeting = user.greeting();
    assert_eq!(
        line(&greeting, "@@@ Use"),
        env.translate(
            "@@@ Use ^X to kill the child, auto restart mode is ON, use ^A to toggle auto restart"
        )
    );
    user.send(b"\x14\x01");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n");
}

fn core_limit(env: &TestEnv, options: &[&str]) -> String {
    let setup = env.server().opts(options).child(["show-limit", "Max core file size", "cat"]);
    let (_server, mut user) = started(setup);
    let shown = user.until("\r\n");
    String::from_utf8(shown).unwrap().trim_end().to_owned()
}

fn s1_coresize_sets_the_soft_limit(env: &TestEnv) {
    let hard = core_limit(env, &[]);
    let hard = hard.split(' ').nth(5).unwrap();
    let limit = core_limit(env, &["--coresize", "4096"]);
    assert_eq!(limit, format!("Max core file size 4096 {hard} bytes"));
}

fn s1_coresize_empty_is_zero(env: &TestEnv) {
    let limit = core_limit(env, &["--coresize="]);
    assert!(limit.starts_with("Max core file size 0 "), "{limit}");
}

fn s1_coresize_negative_is_ignored(env: &TestEnv) {
    assert_eq!(core_limit(env, &["--coresize", "-1"]), core_limit(env, &[]));
}

fn s1_coresize_has_64_bits(env: &TestEnv) {
    let limit = core_limit(env, &["--coresize", "4294967396"]);
    assert!(limit.starts_with("Max core file size 4294967396 "), "{limit}");
}

fn s1_chdir_is_the_childs_directory(env: &TestEnv) {
    let setup = env.server();
    std::fs::create_dir(setup.path("sub")).unwrap();
    let command = setup.path("fake-ioc").into_os_string();
    let setup = setup.opts(["-c", "sub"]);
    let command = [command, "show-cwd".into(), "cat".into()];
    let (server, mut user) = started(setup.command(command));
    let greeting = server.connect().greeting();
    assert_eq!(line(&greeting, "@@@ Child startup directory"), "@@@ Child startup directory: sub");
    user.expect("cwd: <dir>/sub\n");
}

fn s1_chdir_is_entered_anew_at_each_start(env: &TestEnv) {
    let setup = env.server();
    for name in ["one", "two"] {
        std::fs::create_dir(setup.path(name)).unwrap();
    }
    std::os::unix::fs::symlink("one", setup.path("link")).unwrap();
    let command = [setup.path("fake-ioc").into_os_string(), "show-cwd".into(), "cat".into()];
    let (server, mut user) = started(setup.opts(["-c", "link", "--noauto"]).command(command));
    user.expect("cwd: <dir>/one\n");
    std::fs::remove_file(server.path("link")).unwrap();
    std::os::unix::fs::symlink("two", server.path("link")).unwrap();
    user.send(b"\x18");
    ended(&mut user, "The process was killed by signal 9");
    user.send(b"\x12");
    user.until("cwd: ");
    user.expect("<dir>/two\n");
}

fn s1_debug_stays_in_the_foreground_with_all_on_stdout(env: &TestEnv) {
    let setup = env.server().bare().opts(["-d", "-P", "unix:ctl"]);
    let server = setup.command(["./fake-ioc", "say", "hello", "cat"]).start();
    let child = server.child_start(1);
    let stdout = server.file_with("stdout", "hello\r\n");
    let announced = format!(
        "@@@ Restarting child \"./fake-ioc\"\r\n@@@ The PID of new child \"./fake-ioc\" is: {child}\r\n"
    );
    assert!(find(&stdout, announced.as_bytes()).is_some(), "{}", crate::support::show(&stdout));
    let pid = server.pid();
    assert_eq!(crate::support::parent_of(child), Some(pid));
    server.connect_to("unix:ctl").greeting();
}

fn s1_procserv_debug_in_the_environment_is_debug(env: &TestEnv) {
    let setup = env.server().bare().env("PROCSERV_DEBUG", "").opts(["-P", "unix:ctl"]);
    let server = setup.command(["./fake-ioc", "say", "hello", "cat"]).start();
    server.file_with("stdout", "hello\r\n");
}

fn s1_exec_gets_the_whole_command(env: &TestEnv) {
    let setup = env.server().with_file("st.cmd", "echo $0 $1 $#\nexec cat\n");
    let setup = setup.opts(["-e", "/bin/sh"]).command(["./st.cmd", "one"]);
    make_executable(&setup.path("st.cmd"));
    let (server, mut user) = started(setup);
    user.expect("./st.cmd one 1\n");
    let greeting = server.connect().greeting();
    assert_eq!(line(&greeting, "@@@ Child started as"), "@@@ Child started as: ./st.cmd");
}

fn s1_exec_is_its_own_argv0(env: &TestEnv) {
    let setup = env.server().opts(["-e", "./fake-ioc", "-w"]).with_file("show-args", "");
    make_executable(&setup.path("show-args"));
    let server = setup.command(["show-args", "x"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.expect(
        "\
@@@ Restarting child \"show-args\"
@@@    (as ./fake-ioc)
@@@ The PID of new child \"show-args\" is: <pid>
@@@ @@@ @@@ @@@ @@@
[./fake-ioc]
[show-args]
[x]
",
    );
}

fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn s1_ignored_characters_never_reach_the_child(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server().opts(["-i", "^D^Cz"]));
    user.send(b"a\x04b\x03czzd\n");
    user.expect("61 62 63 64 0a \n");
}

fn s1_ignore_takes_caret_notation_as_everybody_means_it(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server().opts(["-i", "^D^]^c^?^1"]));
    user.send(b"a\x04\x1d\x03\x7fb]C1^\n");
    // `^1` is no control character: both are ignored as they stand.
    user.expect("61 62 5d 43 0a \n");
}

fn s1_nul_is_dropped_with_an_ignore_list(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server());
    user.send(b"a\r\0b\n");
    user.expect("61 0d 62 0a \n");
}

fn s1_command_characters_are_ignored_characters(env: &TestEnv) {
    let options = ["-k", "K", "-x", "", "--autorestartcmd", "T", "--killsig", "0"];
    let (_server, mut user) = started_hex(env.server().opts(options));
    user.send(b"aTb\n");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n61 62 0a \n");
    user.send(b"cKd\n");
    user.expect("\n@@@ Got a kill command\n63 64 0a \n");
}

fn s1_killcmd_empty_disables(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server().opts(["--killcmd="]));
    user.send(b"a\x18b\n");
    user.expect("61 18 62 0a \n");
    let greeting = server.connect().greeting();
    assert_eq!(
        line(&greeting, "@@@ Kill"),
        env.translate(
            "@@@ Kill command disabled, auto restart mode is ON, use ^T to toggle auto restart"
        )
    );
}

fn s1_killcmd_double_caret_is_a_caret(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["-k", "^^"]));
    assert_eq!(
        line(&greeting, "@@@ Use"),
        env.translate(
            "@@@ Use ^ to kill the child, auto restart mode is ON, use ^T to toggle auto restart"
        )
    );
}

fn s1_killcmd_is_one_character(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["-k", "xyz"]));
    assert_eq!(
        line(&greeting, "@@@ Use"),
        env.translate(
            "@@@ Use x to kill the child, auto restart mode is ON, use ^T to toggle auto restart"
        )
    );
}

fn s1_killcmd_takes_small_letters_and_signs(env: &TestEnv) {
    for (given, shown) in [("^b", "^B"), ("^]", "^]"), ("^?", "^?")] {
        let (_server, greeting) = waiting_greeting(env.server().opts(["-k", given]));
        line(&greeting, &format!("@@@ Use {shown} to kill the child, "));
    }
}

fn s1_killcmd_nul_disables(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server().opts(["-k", "^@"]));
    line(&greeting, "@@@ Kill command disabled, ");
}

fn s1_holdoff_negative_is_ignored(env: &TestEnv) {
    let setup = env.server().opts(["--holdoff", "3", "--holdoff", "-1"]);
    let start = Instant::now();
    let (server, mut user) = started(setup.child(["exit", "0"]));
    user.until("@@@ Restarting child ");
    assert!(start.elapsed() > Duration::from_millis(1900), "{:?}", start.elapsed());
    server.child_start(2);
}

fn killed_by(env: &TestEnv, signal: &str) -> String {
    let (_server, mut user) = started_hex(env.server().opts(["--killsig", signal]).child(HEX));
    user.send(b"\x18");
    user.until("The process was killed by signal ");
    String::from_utf8(user.until("\r\n")).unwrap().trim_end().to_owned()
}

fn s1_killsig_sets_the_signal(env: &TestEnv) {
    assert_eq!(killed_by(env, "10"), "10");
}

fn s1_killsig_takes_the_absolute_value(env: &TestEnv) {
    assert_eq!(killed_by(env, "-10"), "10");
}

fn s1_killsig_over_31_is_refused_and_the_default_kept(env: &TestEnv) {
    let (server, _) = waiting_greeting(env.server().opts(["--killsig", "-40"]));
    server.assert_plain(
        server.stderr(),
        "procServ: invalid kill signal 40 (>31) - using default (9)\n",
    );
}

fn s1_killsig_over_31_keeps_the_value_before(env: &TestEnv) {
    let options = ["--killsig", "10", "--killsig", "32"];
    let (server, _) = waiting_greeting(env.server().opts(options));
    server.assert_plain(
        server.stderr(),
        "procServ: invalid kill signal 32 (>31) - using default (10)\n",
    );
}

fn s1_killsig_takes_names(env: &TestEnv) {
    assert_eq!(killed_by(env, "SIGUSR2"), "12");
    assert_eq!(killed_by(env, "TERM"), "15");
}

fn s1_name_defaults_to_the_command(env: &TestEnv) {
    let (_server, greeting) = waiting_greeting(env.server());
    line(&greeting, "@@@ Child \"./fake-ioc\" is SHUT DOWN");
}

fn s1_noautorestart_starts_in_mode_off(env: &TestEnv) {
    // The child is started all the same.
    let server = env.server().opts(["--noautorestart"]).start();
    server.child_start(1);
    let greeting = server.connect().greeting();
    assert_eq!(
        line(&greeting, "@@@ Use"),
        env.translate(
            "@@@ Use ^X to kill the child, auto restart mode is OFF, use ^T to toggle auto restart"
        )
    );
}

fn s1_oneshot_starts_in_mode_oneshot(env: &TestEnv) {
    for option in ["-o", "--oneshot"] {
        let (_server, greeting) = waiting_greeting(env.server().opts([option]));
        assert_eq!(
            line(&greeting, "@@@ Use"),
            "@@@ Use ^X to kill the child, auto restart mode is ONESHOT, use ^T to toggle auto restart"
        );
    }
}

fn s1_quiet_prints_nothing(env: &TestEnv) {
    let server = env.server().daemon().opts(["-q", "-I", "info"]).start();
    server.connect().greeting();
    assert_eq!(server.stderr(), "");
    assert_eq!(server.stdout(), "");
}

fn s1_timefmt_formats_the_times(env: &TestEnv) {
    let server = env.server().opts(["-n", "ioc", "--timefmt", "year %Y%%"]).start();
    server.child_start(1);
    let greeting = server.connect().greeting();
    let started = line(&greeting, "@@@ procServ server started at: ");
    let year = started.strip_prefix("@@@ procServ server started at: year ").unwrap();
    let year = year.strip_suffix('%').unwrap();
    assert!(year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()), "{started}");
    line(&greeting, "@@@ Child \"ioc\" started at: year ");
}

fn s1_wait_starts_no_child(env: &TestEnv) {
    let server = env.server().opts(["-w", "-n", "ioc"]).start();
    let mut user = server.connect();
    line(&user.greeting(), "@@@ Child \"ioc\" is SHUT DOWN");
    // The first start there is, is the one asked for.
    user.send(b"\x12");
    user.expect("@@@ Restarting child \"ioc\"\n");
    assert_eq!(server.terminate().code(), Some(0));
    let rest = String::from_utf8(user.until_end()).unwrap();
    assert!(!rest.contains("Restarting"), "{rest}");
}

fn s1_logoutcmd_sets_the_logout_character(env: &TestEnv) {
    let server = env.server().opts(["-w", "-x", "^D"]).start();
    let mut user = server.connect();
    assert_eq!(line(&user.greeting(), "@@@ Use ^D"), "@@@ Use ^D to logout from procServ server");
    user.send(b"\x04");
    assert_eq!(user.until_end(), b"");
}
