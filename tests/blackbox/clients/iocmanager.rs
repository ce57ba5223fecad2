//! iocmanager (SLAC LCLS): Python's telnetlib before TCP ports.

use crate::clients::telnetlib::{Telnet, search};
use crate::support::{TestEnv, TestServer, cases, find, show};
use std::path::Path;
use std::time::{Duration, Instant};

cases![
    iocmanager_reads_the_state_of_a_running_child,
    iocmanager_reads_the_state_of_a_child_shut_down,
    iocmanager_reads_oneshot.differs_on_oracle("2.7.0 has no -o (section 10)"),
    iocmanager_kills_child_and_server,
    iocmanager_quits_a_tenth_of_a_second_after_a_kill,
    iocmanager_restarts_the_child,
    iocmanager_polls_do_not_keep_the_child_down
        .differs_on_oracle("starts no child while clients connect"),
    iocmanager_polls_leave_no_trace.flaky_on_oracle("tells all of a signal when a client resets"),
    iocmanager_starts_servers_through_procmgrd
        .differs_on_oracle("has no --savelog, which is of SLAC's own fork")
        .only_if(Path::new("/bin/bash").exists(), "no /bin/bash"),
];

/// What `readLogPortBanner` returns.
#[derive(Debug, PartialEq)]
struct Status {
    running: bool,
    pid: String,
    id: String,
    dir: String,
    on: bool,
    oneshot: bool,
    says_mode: bool,
}

fn read_banner(telnet: &mut Telnet) -> Status {
    let banner = telnet.read_until("server started at", 1);
    assert!(banner.ends_with(b"server started at"), "STATUS_ERROR:\n{}", show(&banner));
    let has = |text: &str| find(&banner, text.as_bytes()).is_some();
    let running = !has("SHUT DOWN");
    let pid = if running {
        let (_, rest) = search(&banner, "@@@ Child \"", "\" PID: ").expect("the PID line");
        rest.chars().take_while(char::is_ascii_digit).collect()
    } else {
        "-".to_owned()
    };
    let id = search(&banner, "@@@ Child \"", "\" start").map_or("-", |(name, _)| name);
    let (dir, _) = search(&banner, "@@@ Server startup directory: ", "").expect("the directory");
    Status {
        running,
        pid,
        id: id.to_owned(),
        dir: dir.strip_suffix('\r').unwrap_or(dir).to_owned(),
        on: has("auto restart is ON,") || has("auto restart mode is ON,"),
        oneshot: has("auto restart is ONESHOT,") || has("auto restart mode is ONESHOT,"),
        says_mode: has("auto restart mode"),
    }
}

/// `check_status`: connect, read, close.
fn status(port: u16) -> Status {
    read_banner(&mut Telnet::open(port))
}

/// `checkTelnetMode`: toggles until the mode is one that is wanted.
fn make_mode(port: u16, wanted: impl Fn(&Status) -> bool) {
    // The real one has no limit; three toggles lead through all modes.
    for _ in 0..4 {
        let mut telnet = Telnet::open(port);
        let status = read_banner(&mut telnet);
        if wanted(&status) {
            return;
        }
        telnet.write(b"\x14");
        let toggled = if status.says_mode { "auto restart mode to " } else { "auto restart to " };
        let answer = telnet.read_until(toggled, 1);
        assert!(answer.ends_with(toggled.as_bytes()), "not toggled:\n{}", show(&answer));
    }
    panic!("the mode can't be reached");
}

fn is_off(status: &Status) -> bool {
    !status.on && !status.oneshot
}

fn start(env: &TestEnv, options: &[&str]) -> (TestServer, u16) {
    let port = env.free_port();
    let setup = env.server().control(&port.to_string()).opts(["-n", "ioc-tst"]).opts(options);
    let server = setup.start();
    server.connect().greeting();
    (server, port)
}

fn start_running(env: &TestEnv, options: &[&str]) -> (TestServer, u16) {
    let (server, port) = start(env, options);
    server.child_start(1);
    (server, port)
}

fn iocmanager_reads_the_state_of_a_running_child(env: &TestEnv) {
    let (server, port) = start_running(env, &[]);
    let pid = server.child_start(1).to_string();
    let dir = server.dir().display().to_string();
    let expected = Status {
        running: true,
        pid,
        id: "ioc-tst".to_owned(),
        dir,
        on: true,
        oneshot: false,
        says_mode: env.ours(),
    };
    assert_eq!(status(port), expected);
    make_mode(port, is_off);
    assert_eq!(status(port), Status { on: false, ..expected });
}

fn iocmanager_reads_the_state_of_a_child_shut_down(env: &TestEnv) {
    let (_server, port) = start(env, &["-w", "--noautorestart"]);
    let status = status(port);
    assert!(!status.running && is_off(&status), "{status:?}");
    assert_eq!((status.pid.as_str(), status.id.as_str()), ("-", "ioc-tst"));
}

fn iocmanager_reads_oneshot(env: &TestEnv) {
    let (_server, port) = start(env, &["-w", "-o"]);
    let status = status(port);
    assert!(status.oneshot && !status.on, "{status:?}");
}

fn iocmanager_kills_child_and_server(env: &TestEnv) {
    let (server, port) = start_running(env, &[]);
    make_mode(port, is_off);
    let mut telnet = Telnet::open(port);
    assert!(read_banner(&mut telnet).running);
    telnet.write(b"\x18");
    let answer = telnet.read_until("process was killed", 1);
    assert!(answer.ends_with(b"process was killed"), "{}", show(&answer));
    // It waits a little here; to do without is only harder. It closes the connection without
    // having read the rest, so that the kernel resets it.
    telnet.write(b"\x11");
    drop(telnet);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(Telnet::try_open(port).is_err());
}

fn iocmanager_quits_a_tenth_of_a_second_after_a_kill(env: &TestEnv) {
    let (server, port) = start_running(env, &["--holdoff", "0"]);
    // An older one waits for no message, only this long: by then ^Q must be a command. Once of
    // some times is enough, for the machine may be busy with something else.
    let in_time = (1..=20).any(|number| {
        server.child_start(number);
        let mut telnet = Telnet::open(port);
        telnet.read_until("plus you", 1);
        let killed = Instant::now();
        telnet.write(b"\x18");
        let answer = telnet.read_until("process was killed", 1);
        assert!(answer.ends_with(b"process was killed"), "{}", show(&answer));
        killed.elapsed() < Duration::from_millis(100)
    });
    assert!(in_time);
}

fn iocmanager_restarts_the_child(env: &TestEnv) {
    let (server, port) = start_running(env, &[]);
    let mut telnet = Telnet::open(port);
    let before = read_banner(&mut telnet);
    make_mode(port, is_off);
    telnet.write(b"\x18");
    let answer = telnet.read_until("process was killed", 1);
    assert!(answer.ends_with(b"process was killed"), "{}", show(&answer));
    // It waits 0.25 s before it starts the child: by then the news is complete.
    telnet.read_until("quits the server", 1);
    telnet.write(b"\x18");
    let answer = telnet.read_until("new child", 1);
    assert!(answer.ends_with(b"new child"), "{}", show(&answer));
    drop(telnet);
    make_mode(port, |status| status.on);
    let after = status(port);
    assert!(after.running && after.pid != before.pid, "{after:?}");
    assert_eq!(after.pid, server.child_start(2).to_string());
}

fn iocmanager_polls_do_not_keep_the_child_down(env: &TestEnv) {
    let (server, port) = start(env, &["--holdoff", "0"]);
    // Without a pause, far more often than any manager.
    env.wait_for("a child that runs", || status(port).running.then_some(()));
    make_mode(port, |status| status.on);
    let pid = server.child_start(1);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).unwrap();
    env.wait_for("the next child", || {
        let status = status(port);
        (status.running && status.pid != pid.to_string()).then_some(())
    });
}

fn iocmanager_polls_leave_no_trace(env: &TestEnv) {
    let port = env.free_port();
    let setup = env.server().control(&port.to_string()).logged();
    let server = setup.opts(["-w", "-n", "ioc-tst"]).start();
    let mut user = server.connect();
    user.greeting();
    for _ in 0..20 {
        status(port);
    }
    // The server may not have read the end of the last poll yet.
    let mut last = env.wait_for("a greeting that counts one user", || {
        let mut last = server.connect();
        find(&last.greeting(), b"@@@ 1 user(s) and 0 logger(s)").map(|_| last)
    });
    user.send(b"\x14");
    user.expect("\n@@@ Toggled auto restart mode to OFF\n");
    last.expect("\n@@@ Toggled auto restart mode to OFF\n");
    server.file_with("log", "to OFF\r\n");
    server.assert_console(server.file("log"), "\n@@@ Toggled auto restart mode to OFF\n");
}

/// The prompt that `fixTelnetShell` expects: CR LF, `$` or `>`, a blank.
fn old_prompt(text: &[u8]) -> Option<usize> {
    let at = text.windows(4).position(|four| matches!(four, [b'\r', b'\n', b'$' | b'>', b' ']))?;
    Some(at + 4)
}

fn iocmanager_starts_servers_through_procmgrd(env: &TestEnv) {
    let port = env.free_port();
    let setup = env.server().control(&port.to_string()).env("PS1", "$ ");
    let link = setup.path("procmgrd0");
    std::os::unix::fs::symlink(env.program(), &link).unwrap();
    // The same name as at SLAC, where sh is bash.
    std::os::unix::fs::symlink("/bin/bash", setup.path("sh")).unwrap();
    let setup = setup.program(&link).argv0("./procmgrd0").with_file("log", "old\n");
    let options = ["-n", "procmgrd0", "--coresize", "0", "--allow", "-L", "procmgrd.log"];
    let server = setup.opts(options).command(["./sh", "--noediting", "-f"]).start();
    // The shell is there.
    server.file_with("procmgrd.log", "$ ");
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", server.pid())).unwrap();
    assert_eq!(comm, "procmgrd0\n");

    // fixTelnetShell
    let mut telnet = Telnet::open(port);
    telnet.write(b"\x15\x0d");
    let answer = telnet.expect(old_prompt, Duration::from_secs(2));
    assert!(answer.ends_with(b"\r\n$ "), "{}", show(&answer));
    telnet.write(b"export PS1='> '\n");
    let answer = telnet.read_until("\r\n> ", 2);
    assert!(answer.ends_with(b"\r\n> "), "{}", show(&answer));
    drop(telnet);

    // startProc
    let ioc = env.free_port();
    let program = env.program().display();
    let log = "./log";
    let mut telnet = Telnet::open(port);
    telnet.write(b"\x15\x0d");
    let answer = telnet.read_until("\r\n> ", 2);
    assert!(answer.ends_with(b"\r\n> "), "{}", show(&answer));
    let options = format!("--logfile {log} --name ioc-tst --allow --coresize 0 --savelog {ioc}");
    telnet.write(format!("{program} {options} ./fake-ioc cat\n").as_bytes());
    let answer = telnet.read_until("\r\n> ", 2);
    assert!(answer.ends_with(b"\r\n> "), "{}", show(&answer));
    assert!(find(&answer, b"procServ: spawning daemon").is_some(), "{}", show(&answer));
    env.wait_for("the new server's child", || status(ioc).running.then_some(()));
    assert_eq!(status(ioc).id, "ioc-tst");

    // --savelog: the old log is put aside under the time of its last change.
    let names = std::fs::read_dir(server.dir()).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let saved = names.find(|name| name.starts_with("log.")).expect("the old log");
    assert_eq!(server.file(&saved), b"old\n");
    assert!(find(&server.file_with("log", "new child"), b"old").is_none());
}
