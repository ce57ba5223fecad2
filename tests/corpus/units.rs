//! Lines that stay in the foreground: units, containers, test benches.

use crate::case;
use crate::greeting::{Greeting, mask};
use crate::site::{Running, Site};
use crate::support::{Case, Lab, find};

const LOCAL: &str = "0100007F";
const STARTED: &str = "@@@ @@@ @@@ @@@ @@@\r\n";

pub(super) fn cases() -> Vec<Case> {
    const CARET: &str = "takes ^] for two characters (section 1)";
    let root = nix::unistd::geteuid().is_root();
    vec![
        case!(ess_unit_long_options),
        case!(ess_template_unit_logout_is_quit),
        case!(nsls2_unit),
        case!(nsls2_unit_ignores).differs_on_oracle(CARET),
        case!(nsls2_unit_pid_file)
            .differs_on_oracle("2.7.0 writes no pidfile with -f (section 10)"),
        case!(frib_tcp_and_unix),
        case!(lerwys_time_format),
        case!(als_u_owner_mode_and_no_toggle),
        case!(lnls_relative_socket_and_child_options),
        case!(lnls_pid_file).differs_on_oracle("2.7.0 writes no pidfile with -f (section 10)"),
        case!(cnpem_container),
        case!(cnpem_container_as_pid_1).only_if(root, "needs root for a PID namespace"),
        case!(epnix_oneshot).differs_on_oracle("2.7.0 has no -o (section 10)"),
        case!(launcher_logs_out),
        case!(launcher_ignores).differs_on_oracle(CARET),
        case!(slac_restrict),
        case!(iocmanager_tests_wait),
        case!(atf_two_endpoints).differs_on_oracle("2.7.0 takes no command from PATH (section 10)"),
        case!(open_glider_kill_signal)
            .differs_on_oracle("the child is started with SIGTERM blocked (section 6)"),
        case!(open_glider_logs_out),
        case!(bessy_as_another_user)
            .differs_on_oracle("2.7.0's stamp has no brackets (section 10)")
            .only_if(root, "needs root to become somebody else"),
    ]
}

/// What `-i ^D^C^]` or the like means: the three keys, and neither `^` nor `]`.
fn ignores_three_keys(line: &Running, endpoint: &str) {
    line.file("report", "core: ");
    let mut user = line.client(endpoint);
    user.greeting();
    line.typed(&mut user, b"a\x03b\x1dc^]d", b"abc^]d");
}

fn ess_unit_long_options(lab: &Lab) {
    let line = "/usr/bin/procServ --foreground --name=test-ioc --logfile=/home/iocuser/test-ioc.log --ignore=^C^D --port=2000 /epics/bin/iocsh.bash";
    let line = Site::of(lab, line).port("2000").stand_in("/epics/bin/iocsh.bash").start();
    line.child("", "", None);
    line.listens("2000", LOCAL);
    let mut user = line.user(
        "2000",
        &Greeting {
            name: Some("test-ioc"),
            command: "<dir>/epics/bin/iocsh.bash",
            log: Some("<dir>/home/iocuser/test-ioc.log"),
            ..Greeting::default()
        },
    );
    line.typed(&mut user, b"a\x03b\x04c", b"abc");
    line.file("/home/iocuser/test-ioc.log", "61 62 63 0a \r\n");
    line.stop(&[]);
    assert_eq!(line.server.stdout() + &line.server.stderr(), "");
}

fn ess_template_unit_logout_is_quit(lab: &Lab) {
    let line = "/usr/bin/procServ --foreground --name=a --logfile=/var/log/procServ/a/out.log --info-file=/var/run/procServ/a/info --ignore=^C^D --logoutcmd=^Q --chdir=/var/run/procServ/a --port=unix:/var/run/procServ/a/control /epics/bin/iocsh.bash /opt/iocs/e3-ioc-a/st.cmd";
    let line = Site::of(lab, line).stand_in("/epics/bin/iocsh.bash").start();
    line.child("[<dir>/opt/iocs/e3-ioc-a/st.cmd]", "/var/run/procServ/a", None);
    let control = "/var/run/procServ/a/control";
    line.content("/var/run/procServ/a/info", &format!("pid:<pid>\nunix:<dir>{control}\n"));
    line.socket(control, 0o666);
    let endpoint = format!("unix:{control}");
    let greeting = Greeting {
        logout: Some("^Q"),
        dir: "/var/run/procServ/a",
        name: Some("a"),
        command: "<dir>/epics/bin/iocsh.bash",
        log: Some("<dir>/var/log/procServ/a/out.log"),
        ..Greeting::default()
    };
    // While the child runs, ^Q only closes the connection.
    let mut user = line.user(&endpoint, &greeting);
    user.send(b"\x11");
    user.until_end();
    // While there is none, it quits the server too.
    let mut user = line.user(&endpoint, &greeting);
    user.send(b"!");
    user.until(
        "@@@ ^R or ^X restarts the child, ^Q quits the server, ^Q closes this connection\r\n",
    );
    user.send(b"\x11");
    user.until_end();
    line.ended(7);
    assert!(!line.server.path("var/run/procServ/a/info").exists());
}

fn nsls2_unit(lab: &Lab) {
    let line = nsls2(lab);
    line.child("", "/epics/iocs/example", None);
    line.listens("4050", LOCAL);
    line.user(
        "4050",
        &Greeting {
            dir: "/epics/iocs/example",
            name: Some("example"),
            command: "<dir>/epics/iocs/example/st.cmd",
            log: Some("<dir>/var/log/softioc/example/example.log"),
            ..Greeting::default()
        },
    );
    line.file("/var/log/softioc/example/example.log", STARTED);
    line.stop(&[]);
    assert_eq!(line.server.stdout() + &line.server.stderr(), "");
}

fn nsls2(lab: &Lab) -> Running {
    let line = "/usr/bin/procServ -f -q -c /epics/iocs/example -i ^D^C^] -p /var/run/softioc-example.pid -n example --restrict -L /var/log/softioc/example/example.log 4050 /epics/iocs/example/st.cmd";
    Site::of(lab, line).port("4050").stand_in("/epics/iocs/example/st.cmd").start()
}

fn nsls2_unit_ignores(lab: &Lab) {
    ignores_three_keys(&nsls2(lab), "4050");
}

fn nsls2_unit_pid_file(lab: &Lab) {
    let line = nsls2(lab);
    line.content("/var/run/softioc-example.pid", "<pid>\n");
    line.stop(&["/var/run/softioc-example.pid"]);
}

fn frib_tcp_and_unix(lab: &Lab) {
    let line = "/usr/bin/procServ --foreground --quiet --chdir=/usr/local/lib/iocapps/testioc --ignore=^C^D^] --coresize=10000000 --restrict --logfile=/var/log/softioc-testioc/procServ.log --name testioc --port 4051 --port unix:/run/softioc-testioc/procServ.sock ./st.cmd";
    let dir = "/usr/local/lib/iocapps/testioc";
    let line = Site::of(lab, line).port("4051").stand_in(&format!("{dir}/st.cmd")).start();
    line.child("", dir, Some(10_000_000));
    line.listens("4051", LOCAL);
    line.socket("/run/softioc-testioc/procServ.sock", 0o666);
    let greeting = Greeting {
        dir,
        name: Some("testioc"),
        log: Some("<dir>/var/log/softioc-testioc/procServ.log"),
        ..Greeting::default()
    };
    let mut first = line.user("4051", &greeting);
    let greeting = Greeting { users: 1, ..greeting };
    let mut second = line.user("unix:/run/softioc-testioc/procServ.sock", &greeting);
    line.typed(&mut first, b"a\x03\x04b", b"ab");
    second.expect("61 62 0a \n");
    line.file("/var/log/softioc-testioc/procServ.log", "61 62 0a \r\n");
    line.stop(&["/run/softioc-testioc/procServ.sock"]);
}

fn lerwys_time_format(lab: &Lab) {
    let line = r#"/usr/bin/procServ --foreground --quiet --chdir=/opt/ioc --ignore=^C^D^] --coresize=0 --restrict --logfile=/var/log/ioc.log --name ioc --port 4051 "--timefmt=[%Y-%m-%d %H:%M:%S]" ./st.cmd"#;
    let line = Site::of(lab, line).port("4051").stand_in("/opt/ioc/st.cmd").start();
    line.child("", "/opt/ioc", Some(0));
    let mut user = line.user(
        "4051",
        &Greeting {
            dir: "/opt/ioc",
            name: Some("ioc"),
            log: Some("<dir>/var/log/ioc.log"),
            time: Some("[9999-99-99 99:99:99]"),
            ..Greeting::default()
        },
    );
    user.send(b"!");
    user.until("Normal exit status = 7\r\n");
    line.file("/var/log/ioc.log", "@@@ Current time: [2");
    // Without --logstamp the log has no stamps.
    let log = line.file("/var/log/ioc.log", STARTED);
    assert!(log.starts_with(b"@@@ Restarting child \"ioc\"\r\n"));
}

fn als_u_owner_mode_and_no_toggle(lab: &Lab) {
    let line = "/usr/bin/procServ --foreground --logfile=/var/log/x.log --name=x --ignore=^D^C^] --autorestartcmd= --chdir=/opt/x --port=unix:ioc-srv:ioc:0660:/run/procserv/x/control ./st.cmd";
    let site = Site::of(lab, line).owner("ioc-srv", "ioc").stand_in("/opt/x/st.cmd");
    let line = site.start();
    line.child("", "/opt/x", None);
    line.socket("/run/procserv/x/control", 0o660);
    let mut user = line.user(
        "unix:/run/procserv/x/control",
        &Greeting {
            toggle: false,
            dir: "/opt/x",
            name: Some("x"),
            log: Some("<dir>/var/log/x.log"),
            ..Greeting::default()
        },
    );
    // Disabled, ^T is plain input.
    line.typed(&mut user, b"a\x14\x03\x04b", b"a\x14b");
    line.stop(&["/run/procserv/x/control"]);
}

fn lnls_relative_socket_and_child_options(lab: &Lab) {
    let line = "/usr/local/bin/procServ --logfile - -f -n diffCtrl_1 -i ^C^D unix:./procserv.sock ./run.sh --dev 1";
    let line = Site::of(lab, line).stand_in("run.sh").start();
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

fn lnls_pid_file(lab: &Lab) {
    let line =
        "/usr/local/bin/procServ -f -L - -p /var/tmp/pid --chdir  /opt/iocCONS 20201 ./st.cmd";
    let line = Site::of(lab, line).port("20201").stand_in("/opt/iocCONS/st.cmd").start();
    line.child("", "/opt/iocCONS", None);
    line.listens("20201", LOCAL);
    line.content("/var/tmp/pid", "<pid>\n");
    line.user("20201", &Greeting { dir: "/opt/iocCONS", log: Some("-"), ..Greeting::default() });
    line.file("stdout", "@@@ The PID of new child \"./st.cmd\" is: ");
    line.stop(&["/var/tmp/pid"]);
}

const CNPEM: &str = "procServ -f -i ^C^D -L - unix:./ioc.sock ./st.cmd";

fn cnpem_container(lab: &Lab) {
    let line = Site::of(lab, CNPEM).stand_in("st.cmd").start();
    line.child("", "", None);
    line.socket("./ioc.sock", 0o666);
    let mut user =
        line.user("unix:./ioc.sock", &Greeting { log: Some("-"), ..Greeting::default() });
    line.typed(&mut user, b"a\x03\x04b", b"ab");
    line.file("stdout", "61 62 0a \r\n");
    line.stop(&["ioc.sock"]);
}

fn cnpem_container_as_pid_1(lab: &Lab) {
    let site = Site::of(lab, CNPEM).stand_in("st.cmd").setup(|setup| {
        let unshare = ["--pid", "--fork", "--kill-child", "--mount-proc"];
        let program = lab.program().to_owned();
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

fn epnix_oneshot(lab: &Lab) {
    let line = "procServ --foreground --oneshot --logfile - --holdoff 0 --chdir /nix/store/x 2000 ./st.cmd";
    let line = Site::of(lab, line).port("2000").stand_in("/nix/store/x/st.cmd").start();
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

fn launcher(lab: &Lab) -> Running {
    Site::of(lab, LAUNCHER).directory("/opt/x").stand_in("/bin/bash").start()
}

fn launcher_logs_out(lab: &Lab) {
    let line = launcher(lab);
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

fn launcher_ignores(lab: &Lab) {
    ignores_three_keys(&launcher(lab), "unix:/run/procserv-x/control");
}

fn slac_restrict(lab: &Lab) {
    let line = r#"/usr/bin/procServ --foreground --quiet --ignore=^C^D^] --restrict --logfile="-" 50065 ./st.cmd"#;
    let line = Site::of(lab, line).port("50065").stand_in("st.cmd").start();
    line.child("", "", None);
    line.listens("50065", LOCAL);
    let mut user = line.user("50065", &Greeting { log: Some("-"), ..Greeting::default() });
    line.typed(&mut user, b"a\x03\x04b", b"ab");
    line.file("stdout", "61 62 0a \r\n");
    line.stop(&[]);
    assert_eq!(line.server.stderr(), "");
}

fn iocmanager_tests_wait(lab: &Lab) {
    let line = "procServ --foreground --noautorestart --wait --name=ioc 34567 ./run";
    let line = Site::of(lab, line).port("34567").stand_in("run").start();
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

fn atf_two_endpoints(lab: &Lab) {
    let line = "/usr/local/epics/usr/bin/procServ --foreground --logfile - --name atf --ignore ^D^C^] --logoutcmd ^D --chdir /opt/atf --info-file /run/atf/info -P unix:/run/atf/control -P 10100 python3 -m atf_engine --root /data";
    let site = Site::of(lab, line).port("10100").directory("/opt/atf").in_path("python3");
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

fn open_glider(lab: &Lab) -> Running {
    Site::of(lab, OPEN_GLIDER).port("50000").stand_in("/rtlsdr-ogn/ogn-rf").start()
}

fn open_glider_kill_signal(lab: &Lab) {
    let line = open_glider(lab);
    line.child("[ogn.conf]", "/rtlsdr-ogn", None);
    let mut user = line.client("50000");
    user.greeting();
    user.send(b"\x18");
    user.until("The process was killed by signal 15\r\n");
}

fn open_glider_logs_out(lab: &Lab) {
    let line = open_glider(lab);
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

fn bessy_as_another_user(lab: &Lab) {
    let line = r#"runuser -u ioc -- procServ --foreground --logfile=/var/log/softIOC/s.log --logstamp "--timefmt=[%Y-%m-%d %H:%M:%S]" --chdir=/opt/IOC/links/S --quiet --name=s --ignore=^D^C^] unix:/run/softIOC/s ./st.cmd.S"#;
    let site = Site::of(lab, line).setup(|setup| setup.for_anybody().program("runuser"));
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
