//! Lines of containers, launchers and test benches, in the foreground.

use crate::clients::command_lines::greeting::{Greeting, mask};
use crate::clients::command_lines::site::{Running, Site};
use crate::clients::command_lines::units::ignores_three_keys;
use crate::support::{TestEnv, cases, find};

const LOCAL: &str = "0100007F";
/// The end of the announcement of a start.
const STARTED: &str = "@@@ @@@ @@@ @@@ @@@\r\n";

cases![
    lnls_relative_socket_and_child_options,
    lnls_pid_file.differs_on_oracle("2.7.0 writes no pidfile with -f (section 10)"),
    cnpem_container,
    cnpem_container_as_pid_1
        .only_if(nix::unistd::geteuid().is_root(), "needs root for a PID namespace"),
    epnix_oneshot.differs_on_oracle("2.7.0 has no -o (section 10)"),
    launcher_logs_out,
    launcher_ignores.differs_on_oracle("takes ^] for two characters (section 1)"),
    slac_restrict,
    iocmanager_tests_wait,
    atf_two_endpoints.differs_on_oracle("2.7.0 takes no command from PATH (section 10)"),
    open_glider_kill_signal
        .differs_on_oracle("the child is started with SIGTERM blocked (section 6)"),
    open_glider_logs_out,
    bessy_as_another_user
        .differs_on_oracle("2.7.0's stamp has no brackets (section 10)")
        .only_if(nix::unistd::geteuid().is_root(), "needs root to become somebody else"),
];

fn lnls_relative_socket_and_child_options(env: &TestEnv) {
    let line = "/usr/local/bin/procServ --logfile - -f -n diffCtrl_1 -i ^C^D unix:./procserv.sock ./run.sh --dev 1";
    let line = Site::of(env, line).stand_in("run.sh").start();
    line.child("[--dev] [1]", "", None);
    line.socket("./procserv.sock", 0o666);
    let mut user = line.user(
        "unix:./procserv.sock",
        &Greeting {
            name: Some("diffCtrl_1"),
            command: "./run.sh",
            log: Some("-"),
            ..Greeting::default()
        },
    );
    line.typed(&mut user, b"a\x03\x04b", b"ab");
    line.server.assert_console(
        line.file("stdout", "61 62 0a \r\n"),
        "\
@@@ Restarting child \"diffCtrl_1\"
@@@    (as ./run.sh)
@@@ The PID of new child \"diffCtrl_1\" is: <pid>
@@@ @@@ @@@ @@@ @@@
61 62 0a \n",
    );
    line.stop(&["procserv.sock"]);
}

fn lnls_pid_file(env: &TestEnv) {
    let line =
        "/usr/local/bin/procServ -f -L - -p /var/tmp/pid --chdir  /opt/iocCONS 20201 ./st.cmd";
    let line = Site::of(env, line).port("20201").stand_in("/opt/iocCONS/st.cmd").start();
    line.child("", "/opt/iocCONS", None);
    line.listens("20201", LOCAL);
    line.content("/var/tmp/pid", "<pid>\n");
    line.user("20201", &Greeting { dir: "/opt/iocCONS", log: Some("-"), ..Greeting::default() });
    line.file("stdout", "@@@ The PID of new child \"./st.cmd\" is: ");
    line.stop(&["/var/tmp/pid"]);
}

const CNPEM: &str = "procServ -f -i ^C^D -L - unix:./ioc.sock ./st.cmd";

fn cnpem_container(env: &TestEnv) {
    let line = Site::of(env, CNPEM).stand_in("st.cmd").start();
    line.child("", "", None);
    line.socket("./ioc.sock", 0o666);
    let mut user =
        line.user("unix:./ioc.sock", &Greeting { log: Some("-"), ..Greeting::default() });
    line.typed(&mut user, b"a\x03\x04b", b"ab");
    line.file("stdout", "61 62 0a \r\n");
    line.stop(&["ioc.sock"]);
}

fn cnpem_container_as_pid_1(env: &TestEnv) {
    let site = Site::of(env, CNPEM).stand_in("st.cmd").setup(|setup| {
        let unshare = ["--pid", "--fork", "--kill-child", "--mount-proc"];
        let program = env.program().to_owned();
        setup.program("unshare").opts(unshare).opts([program])
    });
    let line = site.start();
    line.child("", "", None);
    let mut user = line.client("unix:./ioc.sock");
    let greeting = user.greeting();
    assert!(find(&greeting, b"@@@ procServ server PID: 1\r\n").is_some());
    line.typed(&mut user, b"a", b"a");
    user.send(b"\x18");
    user.until("The process was killed by signal 9\r\n");
    line.stop(&["ioc.sock"]);
}

fn epnix_oneshot(env: &TestEnv) {
    let line = "procServ --foreground --oneshot --logfile - --holdoff 0 --chdir /nix/store/x 2000 ./st.cmd";
    let line = Site::of(env, line).port("2000").stand_in("/nix/store/x/st.cmd").start();
    line.child("", "/nix/store/x", None);
    let mut user = line.user(
        "2000",
        &Greeting { mode: "ONESHOT", dir: "/nix/store/x", log: Some("-"), ..Greeting::default() },
    );
    user.send(b"!");
    user.until("@@@ Child process is shutting down, oneshot mode: server will exit\r\n");
    assert_eq!(user.until_end(), b"");
    // The child's own status; no holdoff to wait for.
    line.ended(7);
}

const LAUNCHER: &str = "procServ --foreground --logfile - --name x --ignore ^D^C^] --logoutcmd ^D --chdir /opt/x --info-file /run/procserv-x/info --port unix:/run/procserv-x/control /bin/bash";

fn launcher(env: &TestEnv) -> Running {
    Site::of(env, LAUNCHER).directory("/opt/x").stand_in("/bin/bash").start()
}

fn launcher_logs_out(env: &TestEnv) {
    let line = launcher(env);
    line.child("", "/opt/x", None);
    let control = "/run/procserv-x/control";
    line.content("/run/procserv-x/info", &format!("pid:<pid>\nunix:<dir>{control}\n"));
    let mut user = line.user(
        "unix:/run/procserv-x/control",
        &Greeting {
            logout: Some("^D"),
            dir: "/opt/x",
            name: Some("x"),
            command: "<dir>/bin/bash",
            log: Some("-"),
            ..Greeting::default()
        },
    );
    user.send(b"\x04");
    assert_eq!(user.until_end(), b"");
    line.stop(&["/run/procserv-x/info", control]);
}

fn launcher_ignores(env: &TestEnv) {
    ignores_three_keys(&launcher(env), "unix:/run/procserv-x/control");
}

fn slac_restrict(env: &TestEnv) {
    let line = r#"/usr/bin/procServ --foreground --quiet --ignore=^C^D^] --restrict --logfile="-" 50065 ./st.cmd"#;
    let line = Site::of(env, line).port("50065").stand_in("st.cmd").start();
    line.child("", "", None);
    line.listens("50065", LOCAL);
    let mut user = line.user("50065", &Greeting { log: Some("-"), ..Greeting::default() });
    line.typed(&mut user, b"a\x03\x04b", b"ab");
    line.file("stdout", "61 62 0a \r\n");
    line.stop(&[]);
    assert_eq!(line.server.stderr(), "");
}

fn iocmanager_tests_wait(env: &TestEnv) {
    let line = "procServ --foreground --noautorestart --wait --name=ioc 34567 ./run";
    let line = Site::of(env, line).port("34567").stand_in("run").start();
    line.listens("34567", LOCAL);
    let greeting = Greeting {
        mode: "OFF",
        name: Some("ioc"),
        command: "./run",
        running: false,
        ..Greeting::default()
    };
    let mut user = line.user("34567", &greeting);
    assert!(!line.server.path("starts").exists());
    user.send(b"\x18");
    user.until("@@@ The PID of new child \"ioc\" is: ");
    line.child("", "", None);
    user.until(STARTED);
    line.user("34567", &Greeting { running: true, users: 1, ..greeting });
    line.stop(&[]);
}

fn atf_two_endpoints(env: &TestEnv) {
    let line = "/usr/local/epics/usr/bin/procServ --foreground --logfile - --name atf --ignore ^D^C^] --logoutcmd ^D --chdir /opt/atf --info-file /run/atf/info -P unix:/run/atf/control -P 10100 python3 -m atf_engine --root /data";
    let site = Site::of(env, line).port("10100").directory("/opt/atf").in_path("python3");
    let line = site.start();
    line.child("[-m] [atf_engine] [--root] [<dir>/data]", "/opt/atf", None);
    line.listens("10100", LOCAL);
    line.socket("/run/atf/control", 0o666);
    let info =
        format!("pid:<pid>\ntcp:127.0.0.1:{}\nunix:<dir>/run/atf/control\n", line.port("10100"));
    line.content("/run/atf/info", &info);
    let greeting = Greeting {
        logout: Some("^D"),
        dir: "/opt/atf",
        name: Some("atf"),
        command: "python3",
        log: Some("-"),
        ..Greeting::default()
    };
    let mut first = line.user("10100", &greeting);
    let mut second = line.user("unix:/run/atf/control", &Greeting { users: 1, ..greeting });
    line.typed(&mut second, b"a\x03^]b", b"a^]b");
    first.expect("61 5e 5d 62 0a \n");
    second.send(b"\x04");
    second.until_end();
    line.typed(&mut first, b"a", b"a");
    line.stop(&["/run/atf/info", "/run/atf/control"]);
}

const OPEN_GLIDER: &str =
    "/usr/bin/procServ -k ^X --killsig 15 -x ^C -i ^D -f -c /rtlsdr-ogn 50000 ./ogn-rf ogn.conf";

fn open_glider(env: &TestEnv) -> Running {
    Site::of(env, OPEN_GLIDER).port("50000").stand_in("/rtlsdr-ogn/ogn-rf").start()
}

fn open_glider_kill_signal(env: &TestEnv) {
    let line = open_glider(env);
    line.child("[ogn.conf]", "/rtlsdr-ogn", None);
    let mut user = line.client("50000");
    user.greeting();
    user.send(b"\x18");
    user.until("The process was killed by signal 15\r\n");
}

fn open_glider_logs_out(env: &TestEnv) {
    let line = open_glider(env);
    line.child("[ogn.conf]", "/rtlsdr-ogn", None);
    line.listens("50000", LOCAL);
    let mut user = line.user(
        "50000",
        &Greeting {
            logout: Some("^C"),
            dir: "/rtlsdr-ogn",
            command: "./ogn-rf",
            ..Greeting::default()
        },
    );
    line.typed(&mut user, b"a\x04b", b"ab");
    user.send(b"\x03");
    assert_eq!(user.until_end(), b"");
}

fn bessy_as_another_user(env: &TestEnv) {
    let line = r#"runuser -u ioc -- procServ --foreground --logfile=/var/log/softIOC/s.log --logstamp "--timefmt=[%Y-%m-%d %H:%M:%S]" --chdir=/opt/IOC/links/S --quiet --name=s --ignore=^D^C^] unix:/run/softIOC/s ./st.cmd.S"#;
    let site = Site::of(env, line).setup(|setup| setup.for_anybody().program("runuser"));
    let site = site.replace("ioc", "nobody").replace("procServ", "./procServ");
    let line = site.stand_in("/opt/IOC/links/S/st.cmd.S").start();
    line.child("", "/opt/IOC/links/S", None);
    line.socket("/run/softIOC/s", 0o666);
    let mut user = line.user(
        "unix:/run/softIOC/s",
        &Greeting {
            dir: "/opt/IOC/links/S",
            name: Some("s"),
            command: "./st.cmd.S",
            log: Some("<dir>/var/log/softIOC/s.log"),
            time: Some("[9999-99-99 99:99:99]"),
            ..Greeting::default()
        },
    );
    line.typed(&mut user, b"a\x03\x04b", b"ab");
    let log = line.file("/var/log/softIOC/s.log", "61 62 0a \r\n");
    // Without a value of its own the stamp is the time in brackets, which here has some already.
    let stamp = "[[9999-99-99 99:99:99]] ";
    line.server.assert_console(
        mask(&log, stamp.as_bytes()),
        "\
<time>@@@ Restarting child \"s\"
<time>@@@    (as ./st.cmd.S)
<time>@@@ The PID of new child \"s\" is: <pid>
<time>@@@ @@@ @@@ @@@ @@@
<time>61 62 0a \n",
    );
    line.stop(&["/run/softIOC/s"]);
    assert_eq!(line.server.stdout() + &line.server.stderr(), "");
}
