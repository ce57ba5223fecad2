//! The `softioc` scripts of synApps (epics-modules/xxx): info file, `ps`, Perl's sockets.

use crate::support::{TestEnv, TestServer, cases, parent_of, uninterrupted};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

cases![
    softioc_parses_the_second_line_of_the_info_file,
    softioc_parses_the_last_line_of_the_info_file,
    softioc_sends_exit_and_half_closes
        .flaky_on_oracle("fails now and then, why is not known: seen twice in some eighty runs",),
    softioc_stops_by_kill_and_starts_again,
    softioc_finds_its_ioc_below_a_process_named_proc_serv,
    softioc_rewrites_the_log_in_place,
    softioc_publishes_proc_serv_info.differs_on_oracle("2.7.0 sets no PROCSERV_INFO (section 10)"),
];

const INFO: &str = "iocxxx-ps-info.txt";

fn start(env: &TestEnv, endpoint: &str, child: &[&str]) -> TestServer {
    let setup = env.server().bare().daemon().opts(["--allow", "-i", "^C", "--logoutcmd=^D"]);
    let setup = setup.opts(["-I", INFO, "--holdoff", "0", endpoint]);
    let server = setup.command(["./fake-ioc"].iter().chain(child)).start();
    server.child_start(1);
    server
}

/// `_info.pm`: split at colons, lines one and two.
fn parse(server: &TestServer) -> (String, String, String) {
    let text = String::from_utf8(server.file_with(INFO, "tcp:")).unwrap();
    let mut lines = text.lines();
    let pid = lines.next().unwrap().split(':').nth(1).unwrap();
    let mut second = lines.next().unwrap().split(':').skip(1);
    (pid.to_owned(), second.next().unwrap().to_owned(), second.next().unwrap().to_owned())
}

fn softioc_parses_the_second_line_of_the_info_file(env: &TestEnv) {
    let port = env.free_port();
    let server = start(env, &port.to_string(), &["cat"]);
    let (pid, ip, parsed) = parse(&server);
    assert_eq!(pid, server.pid().to_string());
    assert_eq!(parsed, port.to_string());
    // Whatever the address, it can be connected to.
    TcpStream::connect(format!("{ip}:{parsed}")).unwrap();
}

/// `parse_procServ_info` of xxx.sh: `head -n 1 | cut -d : -f 2`, `tail -n 1 | cut -d : -f ...`.
fn last_line(server: &TestServer) -> (String, Vec<String>) {
    let text = String::from_utf8(server.file_with(INFO, "\n")).unwrap();
    let pid = text.lines().next().unwrap().split(':').nth(1).unwrap().to_owned();
    let last = text.lines().last().unwrap();
    (pid, last.split(':').map(str::to_owned).collect())
}

fn softioc_parses_the_last_line_of_the_info_file(env: &TestEnv) {
    let port = env.free_port().to_string();
    let server = start(env, &port, &["cat"]);
    server.file_with(INFO, "tcp:");
    let (pid, control) = last_line(&server);
    assert_eq!(pid, server.pid().to_string());
    assert_eq!((control[0].as_str(), control[2].as_str()), ("tcp", port.as_str()));

    let server = start(env, "unix:iocxxx.socket", &["cat"]);
    server.file_with(INFO, "unix:");
    let (pid, control) = last_line(&server);
    assert_eq!(pid, server.pid().to_string());
    // It goes to the start directory and connects to that name.
    assert_eq!(control, ["unix", "iocxxx.socket"]);
    server.connect_to("unix:iocxxx.socket").greeting();
}

fn softioc_sends_exit_and_half_closes(env: &TestEnv) {
    let port = env.free_port().to_string();
    let script = r#"while read line; do test "$line" != exit || exit 3; done"#;
    let setup = env.server().bare().daemon().opts(["--noautorestart", "-L", "log"]);
    let setup = setup.opts(["--holdoff", "0", "-i", "^C", &port]);
    let server = setup.command(["/bin/sh", "-c", script]).start();
    server.file_with("log", "new child");
    server.file_with("log", "@@@ @@@ @@@ @@@ @@@");
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.set_read_timeout(Some(env.timeout())).unwrap();
    // send_cmd: one recv, send, shutdown, one recv, close.
    let mut buffer = [0; 1024];
    assert!(uninterrupted(|| stream.read(&mut buffer)).unwrap() > 0);
    stream.write_all(b"exit\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let _ = uninterrupted(|| stream.read(&mut buffer));
    drop(stream);
    server.file_with("log", "Normal exit status = 3");
}

fn softioc_stops_by_kill_and_starts_again(env: &TestEnv) {
    let port = env.free_port().to_string();
    for _ in 0..2 {
        let server = start(env, &port, &["cat"]);
        let (pid, ..) = parse(&server);
        assert_eq!(pid, server.pid().to_string());
        assert_eq!(server.terminate().code(), Some(0));
        // stop.pm looks for it for four seconds, then kills.
        assert!(!server.path(INFO).exists());
    }
}

fn softioc_finds_its_ioc_below_a_process_named_proc_serv(env: &TestEnv) {
    let port = env.free_port().to_string();
    let server = start(env, &port, &["cat"]);
    let ioc = server.child_start(1);
    // checkpid: cwd of the IOC, `ps -o ppid=` of it, `pgrep procServ`.
    let cwd = fs::read_link(format!("/proc/{ioc}/cwd")).unwrap();
    assert_eq!(cwd, server.dir());
    let parent = parent_of(ioc).unwrap();
    let comm = fs::read_to_string(format!("/proc/{parent}/comm")).unwrap();
    assert_eq!(comm, "procServ\n");
    assert_eq!(parent, server.pid());
    // get_local_session looks for the command and "procServ" in the arguments.
    let arguments = fs::read(format!("/proc/{parent}/cmdline")).unwrap();
    let words: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
    assert_eq!(words[0], b"procServ");
    assert!(words.ends_with(&[b"./fake-ioc", b"cat", b""]), "{words:?}");
}

fn softioc_rewrites_the_log_in_place(env: &TestEnv) {
    let server = env.server().logged().child(["say", "a long line that goes", "cat"]).start();
    server.file_with("log", "a long line that goes\r\n");
    fs::write(server.path("log"), "kept\n").unwrap();
    let mut user = server.connect();
    user.greeting();
    user.send(b"more\n");
    user.until("more\r\nmore\r\n");
    let log = server.file_with("log", "more\r\nmore\r\n");
    assert_eq!(log, b"kept\nmore\r\nmore\r\n");
}

fn softioc_publishes_proc_serv_info(env: &TestEnv) {
    let port = env.free_port();
    let server = env.server().control(&port.to_string()).log_endpoint();
    let server = server.logged().child(["show-env", "PROCSERV_INFO", "cat"]).start();
    let expected =
        format!("PROCSERV_INFO=PID={};LOG=unix:log-ctl;CTL=tcp:127.0.0.1:{port}\r\n", server.pid());
    server.file_with("log", expected);
}
