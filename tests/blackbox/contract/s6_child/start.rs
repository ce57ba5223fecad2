//! Contract section 6: the child, how it is set up and run.

use crate::support::dialogue::{gone, started, started_hex};
use crate::support::{Client, ServerBuilder, Terminal, TestEnv, TestServer, cases, number_after};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

const BLOCKED: &str = "leaves signals blocked or ignored in the child";
const BY_PATH: &str = "2.7.0 wants an executable file given by path (section 10)";

cases![
    s6_start_is_announced_with_name_and_command,
    s6_start_says_no_command_if_that_is_the_name,
    s6_mode_off_does_not_prevent_the_first_start,
    s6_child_leads_session_group_and_terminal,
    s6_environment_is_inherited,
    s6_notify_socket_is_inherited,
    s6_procserv_info_names_all_endpoints
        .differs_on_oracle("2.7.0 sets no PROCSERV_INFO (section 10)"),
    s6_inherited_procserv_info_is_replaced
        .differs_on_oracle("2.7.0 sets no PROCSERV_INFO (section 10)"),
    s6_path_is_searched.differs_on_oracle(BY_PATH),
    s6_name_with_slash_is_relative_to_the_childs_directory,
    s6_file_without_interpreter_line_is_run_by_sh,
    s6_window_size_is_0x0,
    s6_terminal_has_the_kernels_modes,
    s6_coresize_above_the_hard_limit_changes_nothing,
    s6_resource_limits_are_inherited,
    s6_umask_is_inherited,
    s6_no_descriptors_but_three.differs_on_oracle("leaks sockets into the child"),
    s6_no_inherited_descriptors
        .differs_on_oracle("passes what it inherited to the child (section 6, [+])"),
    s6_signal_mask_is_empty.differs_on_oracle(BLOCKED),
    s6_signal_dispositions_are_default.differs_on_oracle(BLOCKED),
    s6_killsig_term_ends_the_child.differs_on_oracle(BLOCKED),
    s6_control_c_of_a_client_interrupts_the_child,
    s6_failing_exec_is_told_and_exits_255.flaky_on_oracle("the order of the news varies"),
    s6_unknown_command_is_told_and_exits_255.differs_on_oracle(BY_PATH),
    s6_failing_chdir_is_told_and_exits_255.flaky_on_oracle("the order of the news varies"),
    s6_paste_reaches_a_slow_child_whole
        .differs_on_oracle("300 KB to a child that doesn't read hang it"),
    s6_child_that_never_reads_blocks_nothing
        .differs_on_oracle("300 KB to a child that doesn't read hang it"),
];

fn s6_start_is_announced_with_name_and_command(env: &TestEnv) {
    let server = env.server().opts(["-w", "-n", "ioc"]).child(["say", "hello", "cat"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.expect(
        "\
@@@ Restarting child \"ioc\"
@@@    (as ./fake-ioc)
@@@ The PID of new child \"ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
hello
",
    );
    assert_eq!(number_after(user.received(), "\" is: "), server.child_start(1));
}

fn s6_start_says_no_command_if_that_is_the_name(env: &TestEnv) {
    let server = env.server().opts(["-w"]).child(["say", "hello", "cat"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.expect(
        "\
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
hello
",
    );
}

fn s6_mode_off_does_not_prevent_the_first_start(env: &TestEnv) {
    let setup = env.server().opts(["--noauto", "-n", "ioc"]).logged();
    let server = setup.child(["say", "hello", "cat"]).start();
    server.assert_console(
        server.file_with("log", "hello\r\n"),
        "\
@@@ Restarting child \"ioc\"
@@@    (as ./fake-ioc)
@@@ The PID of new child \"ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
hello
",
    );
}

fn s6_child_leads_session_group_and_terminal(env: &TestEnv) {
    let (_server, mut user) = started(env.server().child(["show-session", "cat"]));
    user.expect("session: leader true, group true, terminal true\n");
}

fn s6_environment_is_inherited(env: &TestEnv) {
    let setup = env.server().env("SITE", "a b=c");
    let (_server, mut user) = started(setup.child(["show-env", "SITE", "cat"]));
    user.expect("SITE=a b=c\n");
}

fn s6_notify_socket_is_inherited(env: &TestEnv) {
    let setup = env.server().env("NOTIFY_SOCKET", "/none");
    let (_server, mut user) = started(setup.child(["show-env", "NOTIFY_SOCKET", "cat"]));
    user.expect("NOTIFY_SOCKET=/none\n");
}

fn s6_procserv_info_names_all_endpoints(env: &TestEnv) {
    let ports = [env.free_port(), env.free_port()];
    let [control, log] = ports.map(|port| port.to_string());
    let name = format!("unix:@procserv-test-{control}");
    let setup = env.server().opts(["-P", &control, "-l", &log, "-P", &name]);
    let (server, mut user) = started(setup.child(["show-env", "PROCSERV_INFO", "cat"]));
    user.expect(&format!(
        "PROCSERV_INFO=PID={};LOG=tcp:0.0.0.0:{log};CTL={name};CTL=tcp:127.0.0.1:{control};CTL=unix:ctl\n",
        server.pid()
    ));
}

fn s6_inherited_procserv_info_is_replaced(env: &TestEnv) {
    let setup = env.server().env("PROCSERV_INFO", "PID=1");
    let (server, mut user) = started(setup.child(["show-env", "PROCSERV_INFO", "cat"]));
    user.expect(&format!("PROCSERV_INFO=PID={};CTL=unix:ctl\n", server.pid()));
}

fn script(setup: ServerBuilder, name: &str, content: &str) -> ServerBuilder {
    let setup = setup.with_file(name, content);
    fs::set_permissions(setup.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    setup
}

fn s6_path_is_searched(env: &TestEnv) {
    let setup = env.server();
    fs::create_dir(setup.path("bin")).unwrap();
    let setup = script(setup, "bin/tool", "#!/bin/sh\necho found; exec cat\n");
    let path = format!("/none:{}:/bin:/usr/bin", setup.path("bin").display());
    let (_server, mut user) = started(setup.env("PATH", path).command(["tool"]));
    user.expect("found\n");
}

fn s6_name_with_slash_is_relative_to_the_childs_directory(env: &TestEnv) {
    let setup = env.server().opts(["-c", "sub"]);
    fs::create_dir(setup.path("sub")).unwrap();
    let setup = script(setup, "sub/tool", "#!/bin/sh\necho found; exec cat\n");
    let (_server, mut user) = started(setup.command(["./tool"]));
    user.expect("found\n");
}

fn s6_file_without_interpreter_line_is_run_by_sh(env: &TestEnv) {
    let setup = script(env.server(), "tool", "echo $0 $1; exec cat\n");
    let (_server, mut user) = started(setup.command(["./tool", "one"]));
    user.expect("./tool one\n");
}

fn shell(setup: ServerBuilder, script: &str) -> (TestServer, Client) {
    started(setup.command(["/bin/sh", "-c", script]))
}

fn s6_window_size_is_0x0(env: &TestEnv) {
    let (_server, mut user) = shell(env.server(), "stty size; exec cat");
    user.expect("0 0\n");
}

fn s6_terminal_has_the_kernels_modes(env: &TestEnv) {
    let (server, mut user) = shell(env.server(), "stty -g; exec cat");
    let modes = user.until("\n");
    let fresh = Terminal::new(env, server.dir());
    let output = Command::new("stty").arg("-g").stdin(Stdio::from(fresh.stdin())).output().unwrap();
    let expected = String::from_utf8(output.stdout).unwrap().replace('\n', "\r\n");
    assert_eq!(String::from_utf8(modes).unwrap(), expected);
}

fn s6_coresize_above_the_hard_limit_changes_nothing(env: &TestEnv) {
    let setup = env.server().launched_by(["limit-core", "1000"]).opts(["--coresize", "2000"]);
    let (_server, mut user) = started(setup.child(["show-limit", "Max core file size", "cat"]));
    user.expect("Max core file size 1000 1000 bytes\n");
}

fn s6_resource_limits_are_inherited(env: &TestEnv) {
    let setup = env.server().launched_by(["limit-files", "321", "4096"]);
    let (_server, mut user) = started(setup.child(["show-limit", "Max open files", "cat"]));
    user.until("Max open files 321 ");
}

fn s6_umask_is_inherited(env: &TestEnv) {
    let setup = env.server().launched_by(["umask", "0035"]);
    let (_server, mut user) = started(setup.child(["show-status", "Umask", "cat"]));
    user.expect("Umask: 0035\n");
}

fn s6_no_descriptors_but_three(env: &TestEnv) {
    let setup = env.server().log_endpoint().logged().opts(["-I", "info", "-p", "pid"]);
    let (_server, mut user) = started(setup.child(["show-fds", "cat"]));
    user.expect("fds: 0 1 2\n");
}

fn s6_no_inherited_descriptors(env: &TestEnv) {
    let setup = env.server().launched_by(["open-fd", "open-fd"]);
    let (_server, mut user) = started(setup.child(["show-fds", "cat"]));
    user.expect("fds: 0 1 2\n");
}

fn s6_signal_mask_is_empty(env: &TestEnv) {
    let blocked = ["block", "SIGUSR1", "block", "SIGTERM"];
    for setup in [env.server(), env.server().launched_by(blocked)] {
        let (_server, mut user) = started(setup.child(["show-status", "SigBlk", "cat"]));
        user.expect("SigBlk: 0000000000000000\n");
    }
}

fn s6_signal_dispositions_are_default(env: &TestEnv) {
    // A shell, unlike fake-ioc, ignores nothing of its own accord.
    let (_server, mut user) = shell(env.server(), "grep SigIgn: /proc/$$/status; exec cat");
    user.until("SigIgn:\t");
    let ignored = String::from_utf8(user.until("\r\n")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim_end(), 16).unwrap();
    // 32 and 33 are the C library's own; it lets nobody change them.
    assert_eq!(ignored & !(1 << 31 | 1 << 32), 0, "{ignored:x}");
}

fn s6_killsig_term_ends_the_child(env: &TestEnv) {
    let (_server, mut user) = started_hex(env.server().opts(["--killsig", "15"]));
    user.send(b"\x18");
    user.until("The process was killed by signal 15\r\n");
}

fn s6_control_c_of_a_client_interrupts_the_child(env: &TestEnv) {
    // Not with -f, where procServ ignores SIGINT and with it the child.
    let server = env.server().daemon().opts(["-w"]).child(["say", "READY", "cat"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until("READY\r\n");
    user.send(b"\x03");
    user.until("The process was killed by signal 2\r\n");
}

const EXIT_255: &str = "
@@@ @@@ @@@ @@@ @@@
@@@ Received a sigChild for process <pid>. Normal exit status = 255
@@@ Current time: <time>
@@@ Child process is shutting down, a new one will be restarted shortly
@@@ ^R or ^X restarts the child, ^Q quits the server
";

/// Starts the child after this file or directory is gone.
fn started_without(setup: ServerBuilder, missing: &str) -> (TestServer, Client) {
    let server = setup.opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    let path = server.path(missing);
    if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }.unwrap();
    user.send(b"\x12");
    user.until(crate::support::dialogue::RULE);
    (server, user)
}

fn s6_failing_exec_is_told_and_exits_255(env: &TestEnv) {
    let setup = script(env.server(), "tool", "#!/bin/sh\n").command(["./tool", "x"]);
    let (_server, mut user) = started_without(setup, "tool");
    user.expect("procServ: child could not execute: ./tool, No such file or directory\n");
    user.expect(EXIT_255);
}

fn s6_unknown_command_is_told_and_exits_255(env: &TestEnv) {
    let (_server, mut user) = started(env.server().argv0("/opt/ps").command(["no-such-tool"]));
    user.expect("/opt/ps: child could not execute: no-such-tool, No such file or directory\n");
    user.expect(EXIT_255);
    let setup = env.server().with_file("data", "").command(["./data"]);
    let (_server, mut user) = started(setup);
    user.expect("procServ: child could not execute: ./data, Permission denied\n");
    user.expect(EXIT_255);
}

fn s6_failing_chdir_is_told_and_exits_255(env: &TestEnv) {
    let setup = env.server().opts(["-c", "sub"]).command(["/bin/cat"]);
    fs::create_dir(setup.path("sub")).unwrap();
    let (_server, mut user) = started_without(setup, "sub");
    user.expect(
        "\
procServ: child could not chdir to sub, No such file or directory
procServ: child could not execute: /bin/cat, No such file or directory
",
    );
    user.expect(EXIT_255);
}

fn s6_paste_reaches_a_slow_child_whole(env: &TestEnv) {
    let steps = ["raw", "say", "READY", "wait-for", "go", "cat"];
    let (server, mut user) = started(env.server().child(steps));
    user.expect("READY\n");
    let pasted: Vec<u8> = (0..30_000).flat_map(|n| format!("{n:09}\r").into_bytes()).collect();
    user.send(&pasted);
    fs::write(server.path("go"), "").unwrap();
    let got = user.bytes(pasted.len());
    assert!(got == pasted, "not what was sent");
}

fn s6_child_that_never_reads_blocks_nothing(env: &TestEnv) {
    let (server, mut user) = started(env.server().child(["raw", "say", "READY", "wait"]));
    user.expect("READY\n");
    user.send(vec![b'x'; 300_000]);
    user.send(b"\x14");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n");
    server.connect().greeting();
    let child = server.child_start(1);
    assert_eq!(server.terminate().code(), Some(0));
    gone(env, child);
}
