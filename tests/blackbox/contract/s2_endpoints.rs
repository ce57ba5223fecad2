//! Contract section 2: endpoints.

use crate::support::dialogue::waiting_greeting;
use crate::support::{ServerBuilder, TestEnv, cases};
use nix::unistd::{Gid, Uid, User};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;

cases![
    s2_control_port_is_on_localhost,
    s2_control_port_with_allow_is_everywhere
        .differs_on_oracle("Debian's build has no --allow (section 10)"),
    s2_log_port_is_everywhere,
    s2_log_port_with_restrict_is_on_localhost,
    s2_control_address_is_moved_to_localhost,
    s2_log_address_is_honoured,
    s2_log_address_with_restrict_is_moved_to_localhost,
    s2_unix_socket_is_open_to_all_whatever_the_umask,
    s2_unix_socket_with_permissions,
    s2_unix_permissions_that_are_none_are_zero,
    s2_unix_user_sets_the_group_too.needs_root(),
    s2_unix_user_and_group.needs_root(),
    s2_unix_group_alone.needs_root(),
    s2_unix_owner_without_the_right_to_give_it.needs_root(),
    s2_abstract_socket,
    s2_port_0_shows_in_the_info_file,
    s2_numbers_may_have_zeros_plus_and_blanks,
    s2_kinds_are_case_sensitive,
    s2_names_are_no_specs,
    s2_port_out_of_range.differs_on_oracle("2.7.0 says (<1024) (section 10)"),
    s2_log_port_out_of_range.differs_on_oracle("2.7.0 says (<1024) (section 10)"),
    s2_port_past_32_bits.differs_on_oracle("accepts it"),
    s2_address_out_of_range.differs_on_oracle("accepts it"),
    s2_unknown_user,
    s2_unknown_group,
    s2_wrong_number_of_colons,
    s2_empty_path,
    s2_path_too_long,
    s2_path_just_short_enough,
    s2_port_in_use.differs_on_oracle("gives a wrong reason"),
    s2_port_in_use_exits_98,
    s2_log_address_not_ours_exits_99,
    s2_no_such_directory_exits_2,
    s2_path_is_a_directory_exits_21,
    s2_socket_is_bound_under_the_name_given,
    s2_relative_path_is_relative_to_the_start_directory,
    s2_reuseaddr_is_set,
    s2_socket_files_are_removed_at_exit,
    s2_second_log_endpoint_wins,
    s2_stale_socket_is_replaced,
    s2_live_socket_is_not_stolen.differs_on_oracle("takes it over"),
    s2_file_that_is_no_socket_is_left_alone.differs_on_oracle("deletes it"),
    s2_first_socket_is_removed_when_the_second_fails.differs_on_oracle("leaves it behind"),
];

const LOCAL: &str = "0100007F";
const ANY: &str = "00000000";

fn s2_control_port_is_on_localhost(env: &TestEnv) {
    let port = env.free_port();
    let server = env.server().control(&port.to_string()).start();
    server.connect().greeting();
    env.listens(port, LOCAL);
}

fn s2_control_port_with_allow_is_everywhere(env: &TestEnv) {
    let port = env.free_port();
    let server = env.server().opts(["--allow"]).control(&port.to_string()).start();
    server.connect().greeting();
    env.listens(port, ANY);
    assert_eq!(server.stderr(), "");
}

fn s2_log_port_is_everywhere(env: &TestEnv) {
    let port = env.free_port();
    let server = env.server().opts(["-l", &port.to_string()]).start();
    server.connect().greeting();
    env.listens(port, ANY);
}

fn s2_log_port_with_restrict_is_on_localhost(env: &TestEnv) {
    let port = env.free_port();
    let server = env.server().opts(["--restrict", "-l", &port.to_string()]).start();
    server.connect().greeting();
    env.listens(port, LOCAL);
}

fn s2_control_address_is_moved_to_localhost(env: &TestEnv) {
    let port = env.free_port();
    let server = env.server().opts(["-P", &format!("0.0.0.0:{port}")]).start();
    server.connect().greeting();
    env.listens(port, LOCAL);
}

fn s2_log_address_is_honoured(env: &TestEnv) {
    let port = env.free_port();
    let server = env.server().opts(["-l", &format!("127.0.0.2:{port}")]).start();
    server.connect().greeting();
    env.listens(port, "0200007F");
}

fn s2_log_address_with_restrict_is_moved_to_localhost(env: &TestEnv) {
    let port = env.free_port();
    let endpoint = format!("127.0.0.2:{port}");
    let server = env.server().opts(["--restrict", "-l", &endpoint]).start();
    server.connect().greeting();
    env.listens(port, LOCAL);
}

/// Mode, owner and group of the socket that this control endpoint makes; always named `socket`.
fn socket(setup: ServerBuilder) -> (u32, u32, u32) {
    let server = setup.start();
    server.connect_to("unix:socket").greeting();
    let data = fs::metadata(server.path("socket")).unwrap();
    assert!(data.file_type().is_socket());
    (data.mode() & 0o7777, data.uid(), data.gid())
}

fn ourselves() -> (u32, u32) {
    (Uid::effective().as_raw(), Gid::effective().as_raw())
}

fn s2_unix_socket_is_open_to_all_whatever_the_umask(env: &TestEnv) {
    let (uid, gid) = ourselves();
    let setup = env.server().control("unix:socket");
    assert_eq!(socket(setup.launched_by(["umask", "077"])), (0o666, uid, gid));
}

fn s2_unix_socket_with_permissions(env: &TestEnv) {
    let (uid, gid) = ourselves();
    let setup = env.server().control("unix:::0640:socket");
    assert_eq!(socket(setup.launched_by(["umask", "077"])), (0o640, uid, gid));
    assert_eq!(socket(env.server().control("unix::::socket")), (0o666, uid, gid));
}

fn s2_unix_permissions_that_are_none_are_zero(env: &TestEnv) {
    let server = env.server().opts(["-P", "unix:::rw:socket"]).start();
    server.connect().greeting();
    let mode = fs::metadata(server.path("socket")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0);
}

fn s2_unix_user_sets_the_group_too(env: &TestEnv) {
    let user = User::from_name("games").unwrap().expect("a user games");
    let expected = (0o666, user.uid.as_raw(), user.gid.as_raw());
    assert_ne!(user.gid.as_raw(), 0);
    assert_eq!(socket(env.server().control("unix:games:::socket")), expected);
}

fn s2_unix_user_and_group(env: &TestEnv) {
    let user = User::from_name("games").unwrap().expect("a user games");
    let group = nix::unistd::Group::from_name("tty").unwrap().expect("a group tty");
    let expected = (0o600, user.uid.as_raw(), group.gid.as_raw());
    assert_eq!(socket(env.server().control("unix:games:tty:0600:socket")), expected);
}

fn s2_unix_group_alone(env: &TestEnv) {
    let group = nix::unistd::Group::from_name("tty").unwrap().expect("a group tty");
    let expected = (0o660, 0, group.gid.as_raw());
    assert_eq!(socket(env.server().control("unix::tty:660:socket")), expected);
}

fn s2_unix_owner_without_the_right_to_give_it(env: &TestEnv) {
    let setup = env.server().for_anybody().launched_by(["unprivileged"]);
    assert_eq!(socket(setup.control("unix:root:root:0640:socket")), (0o640, 65534, 65534));
}

fn s2_abstract_socket(env: &TestEnv) {
    let name = format!("unix:@procserv-test-{}", env.free_port());
    let server = env.server().control(&name).opts(["-I", "info"]).start();
    server.connect().greeting();
    let info = String::from_utf8(server.file("info")).unwrap();
    assert_eq!(info, format!("pid:{}\n{name}\n", server.pid()));
}

fn s2_port_0_shows_in_the_info_file(env: &TestEnv) {
    let server = env.server().opts(["-I", "info", "-P", "0"]).start();
    server.connect().greeting();
    let info = String::from_utf8(server.file("info")).unwrap();
    let port = info.lines().nth(1).and_then(|line| line.strip_prefix("tcp:127.0.0.1:")).unwrap();
    assert_ne!(port, "0");
    server.connect_to(port).greeting();
}

fn s2_numbers_may_have_zeros_plus_and_blanks(env: &TestEnv) {
    let ports: Vec<u16> = (0..3).map(|_| env.free_port()).collect();
    let spaced = format!(" 127 . 0 . 0 . 1 : {} ", ports[0]);
    let plus = format!("+{}", ports[1]);
    let zeros = format!("00{}", ports[2]);
    let server = env.server().opts(["-P", &spaced, "-P", &plus, "-P", &zeros]).start();
    server.connect().greeting();
    for port in ports {
        env.listens(port, LOCAL);
    }
}

fn refused(env: &TestEnv, option: &str, endpoint: &str, code: i32, stderr: &str) {
    let end = env.server().bare().opts(["-f", option, endpoint]).command(["/bin/cat"]);
    let end = if option == "-l" { end.opts(["-P", "unix:ctl"]) } else { end };
    end.run().assert(code, "", stderr);
}

fn s2_kinds_are_case_sensitive(env: &TestEnv) {
    refused(env, "-P", "Unix:x", 1, "Invalid socket spec 'Unix:x'\n");
}

fn s2_names_are_no_specs(env: &TestEnv) {
    for spec in ["localhost:2000", "::1:2000", "", "2000x", "127.0.0.1:"] {
        refused(env, "-P", spec, 1, &format!("Invalid socket spec '{spec}'\n"));
    }
}

fn s2_port_out_of_range(env: &TestEnv) {
    for port in ["65536", "-1", "127.0.0.1:70000"] {
        let number = port.trim_start_matches("127.0.0.1:");
        let stderr = format!("procServ: invalid control port {number} (must be <65536)\n");
        refused(env, "-P", port, 1, &stderr);
    }
}

fn s2_log_port_out_of_range(env: &TestEnv) {
    let stderr = "procServ: invalid control port 65536 (must be <65536)\n";
    refused(env, "-l", "65536", 1, stderr);
}

fn s2_port_past_32_bits(env: &TestEnv) {
    // 2^32 + 2000.
    let stderr = "procServ: invalid control port 4294969296 (must be <65536)\n";
    refused(env, "-P", "4294969296", 1, stderr);
}

fn s2_address_out_of_range(env: &TestEnv) {
    let endpoint = format!("127.0.0.258:{}", env.free_port());
    refused(env, "-P", &endpoint, 1, &format!("Invalid socket spec '{endpoint}'\n"));
}

fn s2_unknown_user(env: &TestEnv) {
    refused(env, "-P", "unix:nosuchuser:::ctl", 1, "Unknown user 'nosuchuser'\n");
}

fn s2_unknown_group(env: &TestEnv) {
    refused(env, "-P", "unix::nosuchgroup::ctl", 1, "Unknown group 'nosuchgroup'\n");
}

fn s2_wrong_number_of_colons(env: &TestEnv) {
    for spec in ["a:b", "root:root:ctl"] {
        let stderr = format!("Unix path+permissions spec unparsable '{spec}'\n");
        refused(env, "-P", &format!("unix:{spec}"), 1, &stderr);
    }
}

fn s2_empty_path(env: &TestEnv) {
    for spec in ["unix:", "unix::::"] {
        refused(env, "-P", spec, 1, "expected unix socket path spec.\n");
    }
}

fn s2_path_too_long(env: &TestEnv) {
    for first in ["x", "@"] {
        let endpoint = format!("unix:{first}{}", "y".repeat(107));
        refused(env, "-P", &endpoint, 1, "Unix path is too long (must be <108)\n");
    }
}

fn s2_path_just_short_enough(env: &TestEnv) {
    let path = "x".repeat(107);
    let server = env.server().opts(["-P", &format!("unix:{path}")]).start();
    server.connect().greeting();
    assert!(fs::metadata(server.path(path)).unwrap().file_type().is_socket());
}

fn s2_port_in_use(env: &TestEnv) {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = holder.local_addr().unwrap().to_string();
    let end = env.server().bare().opts(["-f", "-P", &endpoint]).command(["/bin/cat"]).run();
    let lines: Vec<&str> = end.stderr.lines().collect();
    let [reason, code] = lines[..] else { panic!("{}", end.stderr) };
    let start = "Caught an exception creating the initial control telnet port: ";
    assert!(reason.starts_with(start) && reason.contains(&endpoint), "{reason}");
    assert!(reason.contains("Address already in use"), "{reason}");
    assert_eq!(code, "procServ: Exiting with error code: 98");
    assert_eq!(end.status.code(), Some(98));
}

fn exit_code(setup: ServerBuilder) -> Option<i32> {
    let end = setup.run();
    let code = end.status.code();
    let last = end.stderr.lines().last().unwrap_or_default();
    assert_eq!(last, format!("procServ: Exiting with error code: {}", code.unwrap_or(-1)));
    code
}

fn s2_port_in_use_exits_98(env: &TestEnv) {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = holder.local_addr().unwrap().to_string();
    assert_eq!(exit_code(env.server().control(&endpoint)), Some(98));
    assert_eq!(exit_code(env.server().opts(["-l", &endpoint])), Some(98));
    // The caller of a daemon sees it too.
    let setup = env.server().bare().opts(["-P", &endpoint]).command(["/bin/cat"]);
    assert_eq!(exit_code(setup), Some(98));
}

fn s2_log_address_not_ours_exits_99(env: &TestEnv) {
    let endpoint = format!("192.0.2.1:{}", env.free_port());
    let end = env.server().opts(["-l", &endpoint]).run();
    let start = "Caught an exception creating the initial log telnet port: ";
    assert!(end.stderr.starts_with(start), "{}", end.stderr);
    assert_eq!(end.status.code(), Some(99));
}

fn s2_no_such_directory_exits_2(env: &TestEnv) {
    assert_eq!(exit_code(env.server().control("unix:none/ctl")), Some(2));
}

fn s2_path_is_a_directory_exits_21(env: &TestEnv) {
    let setup = env.server().control("unix:sub");
    fs::create_dir(setup.path("sub")).unwrap();
    assert_eq!(exit_code(setup), Some(21));
}

fn s2_socket_is_bound_under_the_name_given(env: &TestEnv) {
    // A name that nothing else on this machine has.
    let name = format!("ctl-{}", env.free_port());
    let server = env.server().control(&format!("unix:{name}")).start();
    server.connect().greeting();
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(table.lines().any(|line| line.ends_with(&format!(" {name}"))));
}

fn s2_relative_path_is_relative_to_the_start_directory(env: &TestEnv) {
    let setup = env.server().opts(["-c", "/"]);
    let command = setup.path("fake-ioc").into_os_string();
    let (server, _) = waiting_greeting(setup.command([command, "cat".into()]));
    assert!(fs::metadata(server.path("ctl")).unwrap().file_type().is_socket());
}

fn s2_reuseaddr_is_set(env: &TestEnv) {
    let port = env.free_port().to_string();
    let server = env.server().control(&port).opts(["-w"]).start();
    let mut user = server.connect();
    user.greeting();
    // The server closes first, so that its end of the connection stays in TIME_WAIT.
    user.send(b"\x11");
    user.until_end();
    server.wait_exit();
    let next = env.server().control(&port).start();
    next.connect().greeting();
}

fn s2_socket_files_are_removed_at_exit(env: &TestEnv) {
    let server = env.server().opts(["-w", "-P", "unix:two"]).log_endpoint().start();
    for endpoint in ["unix:ctl", "unix:two", "unix:log-ctl"] {
        server.connect_to(endpoint).greeting();
    }
    server.terminate();
    for file in ["ctl", "two", "log-ctl"] {
        assert!(!server.path(file).exists(), "{file}");
    }
}

fn s2_second_log_endpoint_wins(env: &TestEnv) {
    let server = env.server().opts(["-I", "info", "-l", "unix:one", "-l", "unix:two"]).start();
    server.connect_to("unix:two").greeting();
    let expected = format!("pid:{}\nunix:two\nunix:ctl\n", server.pid());
    assert_eq!(String::from_utf8(server.file("info")).unwrap(), expected);
    assert_eq!(server.refused("unix:one"), ErrorKind::NotFound);
}

fn s2_stale_socket_is_replaced(env: &TestEnv) {
    let setup = env.server();
    env.stale_socket(setup.path("ctl"));
    setup.start().connect().greeting();
}

fn s2_live_socket_is_not_stolen(env: &TestEnv) {
    let setup = env.server();
    let first = UnixListener::bind(setup.path("ctl")).unwrap();
    let end = setup.run();
    assert_eq!(end.status.code(), Some(98));
    assert!(end.stderr.ends_with("procServ: Exiting with error code: 98\n"), "{}", end.stderr);
    // It is still the first one's.
    let client = std::os::unix::net::UnixStream::connect(end.instance.path("ctl")).unwrap();
    first.set_nonblocking(true).unwrap();
    // The other server may have tried whether somebody answers: that connection comes first.
    let accepted = std::iter::repeat_with(|| first.accept()).take_while(Result::is_ok).count();
    assert!((1..=2).contains(&accepted), "{accepted}");
    drop(client);
}

fn s2_file_that_is_no_socket_is_left_alone(env: &TestEnv) {
    let end = env.server().with_file("ctl", "precious").run();
    assert_eq!(end.status.code(), Some(98));
    assert_eq!(end.instance.file("ctl"), b"precious");
}

fn s2_first_socket_is_removed_when_the_second_fails(env: &TestEnv) {
    let end = env.server().opts(["-P", "unix:none/ctl"]).run();
    assert_eq!(end.status.code(), Some(2));
    assert!(!end.instance.path("ctl").exists());
    assert_eq!(end.instance.refused("unix:ctl"), ErrorKind::NotFound);
}
