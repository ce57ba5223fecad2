//! Contract section 7: pidfile, info file, and what becomes of them.

use crate::support::dialogue::daemon;
use crate::support::{TestEnv, cases};
use std::fs;
use std::os::unix::fs::MetadataExt;

const FROM_DAEMON: &str = "2.7.0 writes it from the daemon, some time later (section 10)";

cases![
    s7_pidfile_is_there_when_the_parent_exits.flaky_on_oracle(FROM_DAEMON),
    s7_pidfile_comes_from_the_environment,
    s7_pidfile_option_goes_before_the_environment,
    s7_pidfile_in_the_foreground.differs_on_oracle("2.7.0 writes none (section 10)"),
    s7_pidfile_that_cannot_be_written_is_told
        .differs_on_oracle("2.7.0's daemon says so to /dev/null (section 10)"),
    s7_pidfile_is_written_in_place,
    s7_pidfile_of_another_server_is_told.differs_on_oracle("says nothing (section 7, [+])"),
    s7_info_file_lists_pid_and_endpoints_last_first,
    s7_info_file_is_there_when_the_parent_exits.flaky_on_oracle("missing in some starts"),
    s7_info_file_that_cannot_be_written_is_skipped,
    s7_files_are_removed_at_exit,
    s7_files_have_mode_0666_less_umask,
    s7_files_are_relative_to_the_start_directory,
    s7_files_of_others_are_not_removed
        .differs_on_oracle("removes what has the name (section 7, [+])"),
];

fn s7_pidfile_is_there_when_the_parent_exits(env: &TestEnv) {
    let server = env.server().daemon().opts(["-p", "pid"]).start();
    assert_eq!(server.file("pid"), format!("{}\n", server.pid()).into_bytes());
}

fn s7_pidfile_comes_from_the_environment(env: &TestEnv) {
    let server = env.server().daemon().env("PROCSERV_PID", "pid").start();
    assert_eq!(server.file_with("pid", "\n"), format!("{}\n", server.pid()).into_bytes());
}

fn s7_pidfile_option_goes_before_the_environment(env: &TestEnv) {
    let setup = env.server().daemon().env("PROCSERV_PID", "other").opts(["-p", "pid"]);
    let server = setup.start();
    server.file_with("pid", "\n");
    assert!(!server.path("other").exists());
}

fn s7_pidfile_in_the_foreground(env: &TestEnv) {
    let server = env.server().opts(["-p", "pid"]).start();
    assert_eq!(server.file_with("pid", "\n"), format!("{}\n", server.pid()).into_bytes());
    server.terminate();
    assert!(!server.path("pid").exists());
}

fn s7_pidfile_that_cannot_be_written_is_told(env: &TestEnv) {
    let server = daemon(env.server().opts(["-p", "none/pid"]));
    server.file_with("stderr", "procServ: unable to open PID file none/pid\n");
    server.connect().greeting();
}

fn s7_pidfile_is_written_in_place(env: &TestEnv) {
    // Longer than what will be written, and no living process.
    let setup = env.server().with_file("pid", "4194305 and more\n").opts(["-p", "pid"]);
    let inode = fs::metadata(setup.path("pid")).unwrap().ino();
    let server = daemon(setup);
    let expected = format!("{}\n", server.pid());
    env.wait_for("the pidfile", || (server.file("pid") == expected.as_bytes()).then_some(()));
    assert_eq!(fs::metadata(server.path("pid")).unwrap().ino(), inode);
}

fn s7_pidfile_of_another_server_is_told(env: &TestEnv) {
    let first = daemon(env.server());
    let content = format!("{}\n", first.pid());
    let second = env.server().with_file("pid", &content).opts(["-p", "pid"]);
    let server = daemon(second);
    let stderr = server.stderr();
    assert!(stderr.lines().any(|line| line.contains(content.trim_end())), "{stderr}");
    let quiet = env.server().with_file("pid", &content).opts(["-q", "-p", "pid"]);
    assert_eq!(quiet.daemon().start().stderr(), "");
}

fn s7_info_file_lists_pid_and_endpoints_last_first(env: &TestEnv) {
    let port = env.free_port().to_string();
    let name = format!("unix:@procserv-test-{port}");
    let options = ["-I", "info", "-P", &port, "-P", &name, "-P", "unix:second"];
    let server = env.server().opts(options).log_endpoint().start();
    server.connect_to("unix:second").greeting();
    let expected = format!(
        "pid:{}\nunix:log-ctl\nunix:second\n{name}\ntcp:127.0.0.1:{port}\nunix:ctl\n",
        server.pid()
    );
    assert_eq!(String::from_utf8(server.file("info")).unwrap(), expected);
}

fn s7_info_file_is_there_when_the_parent_exits(env: &TestEnv) {
    let server = env.server().daemon().opts(["-I", "info"]).start();
    let expected = format!("pid:{}\nunix:ctl\n", server.pid());
    assert_eq!(String::from_utf8(server.file("info")).unwrap(), expected);
}

fn s7_info_file_that_cannot_be_written_is_skipped(env: &TestEnv) {
    let server = env.server().opts(["-I", "none/info"]).start();
    server.child_start(1);
    server.connect().greeting();
    assert_eq!(server.stderr(), "");
}

fn s7_files_are_removed_at_exit(env: &TestEnv) {
    let server = daemon(env.server().opts(["-I", "info", "-p", "pid"]).log_endpoint());
    server.connect().greeting();
    server.file_with("pid", "\n");
    for file in ["info", "ctl", "log-ctl"] {
        assert!(server.path(file).exists(), "{file}");
    }
    server.terminate();
    for file in ["pid", "info", "ctl", "log-ctl"] {
        assert!(!server.path(file).exists(), "{file}");
    }
}

fn s7_files_have_mode_0666_less_umask(env: &TestEnv) {
    let setup = env.server().launched_by(["umask", "0026"]).logged();
    let server = daemon(setup.opts(["-I", "info", "-p", "pid"]));
    server.connect().greeting();
    server.file_with("pid", "\n");
    for (file, mode) in [("pid", 0o640), ("info", 0o640), ("log", 0o640)] {
        assert_eq!(fs::metadata(server.path(file)).unwrap().mode() & 0o7777, mode, "{file}");
    }
    let server = daemon(env.server().launched_by(["umask", "0"]).logged().opts(["-p", "pid"]));
    server.file_with("pid", "\n");
    for (file, mode) in [("pid", 0o666), ("log", 0o644)] {
        assert_eq!(fs::metadata(server.path(file)).unwrap().mode() & 0o7777, mode, "{file}");
    }
}

fn s7_files_are_relative_to_the_start_directory(env: &TestEnv) {
    let setup = env.server().daemon().opts(["-c", "sub", "-I", "info", "-p", "pid", "-L", "log"]);
    fs::create_dir(setup.path("sub")).unwrap();
    let server = setup.command(["/bin/cat"]).start();
    server.connect().greeting();
    server.file_with("pid", "\n");
    for file in ["info", "log", "ctl"] {
        assert!(server.path(file).exists(), "{file}");
    }
}

fn s7_files_of_others_are_not_removed(env: &TestEnv) {
    let server = daemon(env.server().opts(["-I", "info", "-p", "pid"]));
    server.file_with("pid", "\n");
    for file in ["pid", "info"] {
        fs::remove_file(server.path(file)).unwrap();
        fs::write(server.path(file), "precious").unwrap();
    }
    fs::remove_file(server.path("ctl")).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(server.path("ctl")).unwrap();
    server.terminate();
    for file in ["pid", "info", "ctl"] {
        assert!(server.path(file).exists(), "{file}");
    }
}
