//! Contract section 7: the daemon, signals, and how the server ends.

use crate::support::dialogue::{RULE, daemon, ended, gone, started, started_hex};
use crate::support::{TestEnv, cases, find, number_after};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::process::ExitStatusExt;

const FROM_DAEMON: &str = "2.7.0 writes it from the daemon, some time later (section 10)";
const NEWER: &str = "2.7.0 has no --grace-period (section 1)";
const ALWAYS_0: &str = "2.7.0 always exits 0 (section 10)";

cases![
    s7_daemon_parent_prints_pid_and_exits_0,
    s7_daemon_warns_of_no_log_file_with_a_log_port,
    s7_daemon_with_a_log_file_has_no_warning,
    s7_daemon_with_its_log_on_stdout_has_no_warning,
    s7_daemon_messages_are_in_order.flaky_on_oracle(FROM_DAEMON),
    s7_quiet_keeps_the_errors.flaky_on_oracle(FROM_DAEMON),
    s7_foreground_and_debug_print_nothing,
    s7_daemon_has_its_own_session_and_no_terminal,
    s7_daemon_stays_in_its_directory,
    s7_process_name_and_arguments_stay,
    s7_sigterm_with_child_exits_0_and_says_so,
    s7_sigterm_tells_clients_that_came_later.differs_on_oracle("leaves them out (section 7, [+])"),
    s7_sigterm_in_mid_line_and_mode_off,
    s7_sigterm_in_oneshot.differs_on_oracle("2.7.0 has no -o (section 10)"),
    s7_sigterm_tells_the_log_and_debug_output,
    s7_sigterm_without_child_tells_nobody,
    s7_sigterm_kills_a_child_that_ignores_killsig,
    s7_grace_period_lets_the_child_finish.differs_on_oracle(NEWER),
    s7_second_sigterm_ends_the_grace_period.differs_on_oracle(NEWER),
    s7_sigterm_exits_0_whatever_child_ended_before,
    s7_quit_exits_with_the_last_childs_status.differs_on_oracle(ALWAYS_0),
    s7_quit_ignores_a_death_by_signal.differs_on_oracle(ALWAYS_0),
    s7_foreground_ignores_sigint_and_sigquit,
    s7_daemon_killed_by_sigint_leaves_its_files,
    s7_server_killed_hangs_up_the_child,
    s7_clients_see_an_orderly_end_of_file,
    s7_debug_output_is_never_stamped,
    s7_debug_in_the_foreground_has_no_child_output,
];

const SPAWNING: &str = "procServ: spawning daemon process: <pid>\n";

fn s7_daemon_parent_prints_pid_and_exits_0(env: &TestEnv) {
    let server = env.server().daemon().start();
    let warning = "Warning: No log file and no port for log connections specified.\n";
    server.assert_plain(server.stderr(), &format!("{SPAWNING}{warning}"));
    assert_eq!(server.stdout(), "");
    let greeting = server.connect().greeting();
    assert_eq!(number_after(&greeting, "server PID: "), server.pid());
    assert_eq!(server.terminate().code(), Some(0));
}

fn s7_daemon_warns_of_no_log_file_with_a_log_port(env: &TestEnv) {
    let server = env.server().daemon().log_endpoint().start();
    let warning = "Warning: No log file specified.\n";
    server.assert_plain(server.stderr(), &format!("{SPAWNING}{warning}"));
}

fn s7_daemon_with_a_log_file_has_no_warning(env: &TestEnv) {
    let server = env.server().daemon().logged().start();
    server.assert_plain(server.stderr(), SPAWNING);
}

fn s7_daemon_with_its_log_on_stdout_has_no_warning(env: &TestEnv) {
    let server = env.server().daemon().opts(["-L", "-"]).start();
    server.assert_plain(server.stderr(), SPAWNING);
}

fn s7_daemon_messages_are_in_order(env: &TestEnv) {
    let server = env.server().daemon().opts(["-L", "none/log", "-p", "none/pid"]).start();
    server.assert_plain(
        server.stderr(),
        "\
procServ: unable to open log file none/log
procServ: spawning daemon process: <pid>
Warning: No log file and no port for log connections specified.
procServ: unable to open PID file none/pid
",
    );
}

fn s7_quiet_keeps_the_errors(env: &TestEnv) {
    let options = ["-q", "-L", "none/log", "-p", "none/pid"];
    let server = env.server().daemon().opts(options).start();
    server.assert_plain(
        server.stderr(),
        "procServ: unable to open log file none/log\nprocServ: unable to open PID file none/pid\n",
    );
}

fn s7_foreground_and_debug_print_nothing(env: &TestEnv) {
    for option in ["-f", "-d"] {
        let setup = env.server().bare().opts([option, "-P", "unix:ctl"]);
        let server = setup.command(["./fake-ioc", "cat"]).start();
        server.child_start(1);
        server.connect_to("unix:ctl").greeting();
        assert_eq!(server.stderr(), "");
    }
}

fn s7_daemon_has_its_own_session_and_no_terminal(env: &TestEnv) {
    let server = daemon(env.server());
    let pid = server.pid();
    for fd in 0..3 {
        let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        assert_eq!(link.to_str(), Some("/dev/null"), "descriptor {fd}");
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ours = nix::unistd::getsid(None).unwrap().to_string();
    assert_ne!(fields[3], ours, "session");
    assert_eq!(fields[4], "0", "terminal");
}

fn s7_daemon_stays_in_its_directory(env: &TestEnv) {
    let server = daemon(env.server());
    let cwd = fs::read_link(format!("/proc/{}/cwd", server.pid())).unwrap();
    assert_eq!(cwd, server.dir());
}

fn s7_process_name_and_arguments_stay(env: &TestEnv) {
    let server = daemon(env.server().argv0("/opt/site/ioc-server").opts(["-n", "ioc"]));
    let pid = server.pid();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "procServ\n");
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let expected = b"/opt/site/ioc-server\0-P\0unix:ctl\0-n\0ioc\0./fake-ioc\0cat\0";
    assert_eq!(arguments, expected, "{}", arguments.escape_ascii());
}

const GOODBYE: &str = "\
@@@ Current time: <time>
@@@ Child process is shutting down, a new one will be restarted shortly
@@@ ^R or ^X restarts the child, ^Q quits the server
";

fn s7_sigterm_with_child_exits_0_and_says_so(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server());
    let child = server.child_start(1);
    assert_eq!(server.terminate().code(), Some(0));
    server.assert_console(user.until_end(), GOODBYE);
    gone(env, child);
    assert!(!server.path("ctl").exists());
}

fn s7_sigterm_tells_clients_that_came_later(env: &TestEnv) {
    let server = env.server().log_endpoint().start();
    server.child_start(1);
    let mut user = server.connect();
    let mut log = server.connect_log();
    user.greeting();
    log.greeting();
    assert_eq!(server.terminate().code(), Some(0));
    server.assert_console(user.until_end(), GOODBYE);
    server.assert_console(log.until_end(), GOODBYE);
}

fn s7_sigterm_in_mid_line_and_mode_off(env: &TestEnv) {
    let setup = env.server().opts(["--noauto"]);
    let (server, mut user) = started(setup.child(["print", "in mid-line", "wait"]));
    user.until("in mid-line");
    server.terminate();
    server.assert_console(
        user.until_end(),
        "\
@@@ Current time: <time>
@@@ Child process is shutting down, auto restart is disabled
@@@ ^R or ^X restarts the child, ^Q quits the server
",
    );
}

fn s7_sigterm_in_oneshot(env: &TestEnv) {
    let (server, mut user) = started(env.server().opts(["-o", "--holdoff", "600"]));
    // The holdoff is not waited for.
    assert_eq!(server.terminate().code(), Some(0));
    server.assert_console(
        user.until_end(),
        "\
@@@ Current time: <time>
@@@ Child process is shutting down, oneshot mode: server will exit
",
    );
}

fn s7_sigterm_tells_the_log_and_debug_output(env: &TestEnv) {
    let server = env.server().logged().child(["say", "hello", "cat"]).start();
    server.file_with("log", "hello\r\n");
    server.terminate();
    let log = server.file("log");
    let at = find(&log, b"hello\r\n").unwrap() + 7;
    server.assert_console(&log[at..], GOODBYE);

    let setup = env.server().bare().opts(["-d", "-P", "unix:ctl"]);
    let server = setup.command(["./fake-ioc", "say", "hello", "cat"]).start();
    server.file_with("stdout", "hello\r\n");
    server.terminate();
    let stdout = server.file("stdout");
    assert!(find(&stdout, b"\r\n@@@ Child process is shutting down, ").is_some());
}

fn s7_sigterm_without_child_tells_nobody(env: &TestEnv) {
    let server = env.server().opts(["-w"]).log_endpoint().logged().start();
    let mut user = server.connect();
    let mut log = server.connect_log();
    user.greeting();
    log.greeting();
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!(user.until_end(), b"");
    assert_eq!(log.until_end(), b"");
    assert_eq!(server.file("log"), b"");
}

fn s7_sigterm_kills_a_child_that_ignores_killsig(env: &TestEnv) {
    let setup = env.server().opts(["--killsig", "10"]);
    let script = "trap '' USR1; ./fake-ioc unrecorded record other say READY wait; cat";
    let (server, mut user) = started(setup.command(["/bin/sh", "-c", script]));
    user.expect("READY\n");
    let shell = number_after(user.received(), "\" is: ");
    let other = number_after(&server.file("other"), "");
    assert_eq!(server.terminate().code(), Some(0));
    for pid in [shell, other] {
        gone(env, pid);
    }
}

fn s7_grace_period_lets_the_child_finish(env: &TestEnv) {
    let setup = env.server().opts(["--killsig", "15", "-g", "600"]);
    let script = "trap 'echo finished; exit 3' TERM; echo READY; read line";
    let (server, mut user) = started(setup.command(["/bin/sh", "-c", script]));
    user.expect("READY\n");
    assert_eq!(server.terminate().code(), Some(0));
    assert!(find(&user.until_end(), b"finished\r\n").is_some());
}

fn s7_second_sigterm_ends_the_grace_period(env: &TestEnv) {
    let setup = env.server().opts(["--killsig", "15", "-g", "600"]);
    let script = "trap 'echo still here' TERM; echo READY; while :; do read line; done";
    let (server, mut user) = started(setup.command(["/bin/sh", "-c", script]));
    user.expect("READY\n");
    let child = number_after(user.received(), "\" is: ");
    server.signal(Signal::SIGTERM);
    user.until("still here\r\n");
    assert_eq!(server.terminate().code(), Some(0));
    gone(env, child);
}

fn s7_sigterm_exits_0_whatever_child_ended_before(env: &TestEnv) {
    let setup = env.server().opts(["--noauto"]).child(["exit", "3"]);
    let (server, mut user) = started(setup);
    ended(&mut user, "Normal exit status = 3");
    assert_eq!(server.terminate().code(), Some(0));
}

fn s7_quit_exits_with_the_last_childs_status(env: &TestEnv) {
    let setup = env.server().opts(["--noauto"]).child(["exit", "3"]);
    let (server, mut user) = started(setup);
    ended(&mut user, "Normal exit status = 3");
    user.send(b"\x11");
    assert_eq!(server.wait_exit().code(), Some(3));
}

fn s7_quit_ignores_a_death_by_signal(env: &TestEnv) {
    let steps = ["on-start", "1", "exit", "3", "otherwise", "kill-self", "SIGKILL"];
    let (server, mut user) = started(env.server().opts(["--noauto"]).child(steps));
    ended(&mut user, "Normal exit status = 3");
    user.send(b"\x12");
    ended(&mut user, "The process was killed by signal 9");
    user.send(b"\x11");
    assert_eq!(server.wait_exit().code(), Some(3));
}

fn s7_foreground_ignores_sigint_and_sigquit(env: &TestEnv) {
    let (server, mut user) = started_hex(env.server());
    server.signal(Signal::SIGINT);
    server.signal(Signal::SIGQUIT);
    user.send(b"a\n");
    user.expect("61 0a \n");
    assert_eq!(server.terminate().code(), Some(0));
}

fn s7_daemon_killed_by_sigint_leaves_its_files(env: &TestEnv) {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let server = daemon(env.server().opts(["-I", "info", "-p", "pid", "--coresize", "0"]));
        let child = server.child_start(1);
        server.file_with("pid", "\n");
        let mut user = server.connect();
        user.greeting();
        server.signal(signal);
        assert_eq!(server.wait_exit().signal(), Some(signal as i32));
        assert_eq!(user.until_end(), b"");
        for file in ["pid", "info", "ctl"] {
            assert!(server.path(file).exists(), "{file}");
        }
        gone(env, child);
    }
}

fn s7_server_killed_hangs_up_the_child(env: &TestEnv) {
    let (server, _user) = started_hex(env.server());
    let child = server.child_start(1);
    server.signal(Signal::SIGKILL);
    server.wait_exit();
    gone(env, child);
}

fn s7_clients_see_an_orderly_end_of_file(env: &TestEnv) {
    let port = env.free_port().to_string();
    let server = env.server().control(&port).opts(["-w"]).log_endpoint().start();
    let mut clients = [server.connect(), server.connect(), server.connect_log()];
    for client in &mut clients {
        client.greeting();
    }
    server.terminate();
    for client in &mut clients {
        assert_eq!(client.until_end(), b"");
    }
}

fn s7_debug_output_is_never_stamped(env: &TestEnv) {
    let setup = env.server().bare().opts(["-d", "--logstamp=STAMP ", "-P", "unix:ctl"]);
    let server = setup.command(["./fake-ioc", "say", "hello", "cat"]).start();
    let stdout = server.file_with("stdout", "hello\r\n");
    assert!(find(&stdout, RULE.as_bytes()).is_some());
    assert!(find(&stdout, b"STAMP").is_none(), "{}", stdout.escape_ascii());
}

fn s7_debug_in_the_foreground_has_no_child_output(env: &TestEnv) {
    let (server, mut user) = started(env.server().opts(["-d"]).child(["say", "hello", "cat"]));
    user.expect("hello\n");
    server.terminate();
    let stdout = server.file("stdout");
    assert!(find(&stdout, b"hello").is_none(), "{}", stdout.escape_ascii());
    assert!(find(&stdout, RULE.as_bytes()).is_none(), "{}", stdout.escape_ascii());
}
