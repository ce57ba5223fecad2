//! Lines of systemd units, in the foreground.

use crate::clients::command_lines::greeting::Greeting;
use crate::clients::command_lines::site::{Running, Site};
use crate::support::{TestEnv, cases};

const LOCAL: &str = "0100007F";
/// The end of the announcement of a start.
const STARTED: &str = "@@@ @@@ @@@ @@@ @@@\r\n";

cases![
    ess_unit_long_options,
    ess_template_unit_logout_is_quit,
    nsls2_unit,
    nsls2_unit_ignores.differs_on_oracle("takes ^] for two characters (section 1)"),
    nsls2_unit_pid_file.differs_on_oracle("2.7.0 writes no pidfile with -f (section 10)"),
    frib_tcp_and_unix,
    lerwys_time_format,
    als_u_owner_mode_and_no_toggle,
];

/// What `-i ^D^C^]` or the like means: the three keys, and neither `^` nor `]`.
pub(super) fn ignores_three_keys(line: &Running, endpoint: &str) {
    line.file("report", "core: ");
    let mut user = line.client(endpoint);
    user.greeting();
    line.typed(&mut user, b"a\x03b\x1dc^]d", b"abc^]d");
}

fn ess_unit_long_options(env: &TestEnv) {
    let line = "/usr/bin/procServ --foreground --name=test-ioc --logfile=/home/iocuser/test-ioc.log --ignore=^C^D --port=2000 /epics/bin/iocsh.bash";
    let line = Site::of(env, line).port("2000").stand_in("/epics/bin/iocsh.bash").start();
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

fn ess_template_unit_logout_is_quit(env: &TestEnv) {
    let line = "/usr/bin/procServ --foreground --name=a --logfile=/var/log/procServ/a/out.log --info-file=/var/run/procServ/a/info --ignore=^C^D --logoutcmd=^Q --chdir=/var/run/procServ/a --port=unix:/var/run/procServ/a/control /epics/bin/iocsh.bash /opt/iocs/e3-ioc-a/st.cmd";
    let line = Site::of(env, line).stand_in("/epics/bin/iocsh.bash").start();
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

fn nsls2_unit(env: &TestEnv) {
    let line = nsls2(env);
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

fn nsls2(env: &TestEnv) -> Running {
    let line = "/usr/bin/procServ -f -q -c /epics/iocs/example -i ^D^C^] -p /var/run/softioc-example.pid -n example --restrict -L /var/log/softioc/example/example.log 4050 /epics/iocs/example/st.cmd";
    Site::of(env, line).port("4050").stand_in("/epics/iocs/example/st.cmd").start()
}

fn nsls2_unit_ignores(env: &TestEnv) {
    ignores_three_keys(&nsls2(env), "4050");
}

fn nsls2_unit_pid_file(env: &TestEnv) {
    let line = nsls2(env);
    line.content("/var/run/softioc-example.pid", "<pid>\n");
    line.stop(&["/var/run/softioc-example.pid"]);
}

fn frib_tcp_and_unix(env: &TestEnv) {
    let line = "/usr/bin/procServ --foreground --quiet --chdir=/usr/local/lib/iocapps/testioc --ignore=^C^D^] --coresize=10000000 --restrict --logfile=/var/log/softioc-testioc/procServ.log --name testioc --port 4051 --port unix:/run/softioc-testioc/procServ.sock ./st.cmd";
    let dir = "/usr/local/lib/iocapps/testioc";
    let line = Site::of(env, line).port("4051").stand_in(&format!("{dir}/st.cmd")).start();
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

fn lerwys_time_format(env: &TestEnv) {
    let line = r#"/usr/bin/procServ --foreground --quiet --chdir=/opt/ioc --ignore=^C^D^] --coresize=0 --restrict --logfile=/var/log/ioc.log --name ioc --port 4051 "--timefmt=[%Y-%m-%d %H:%M:%S]" ./st.cmd"#;
    let line = Site::of(env, line).port("4051").stand_in("/opt/ioc/st.cmd").start();
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

fn als_u_owner_mode_and_no_toggle(env: &TestEnv) {
    let line = "/usr/bin/procServ --foreground --logfile=/var/log/x.log --name=x --ignore=^D^C^] --autorestartcmd= --chdir=/opt/x --port=unix:ioc-srv:ioc:0660:/run/procserv/x/control ./st.cmd";
    let site = Site::of(env, line).owner("ioc-srv", "ioc").stand_in("/opt/x/st.cmd");
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
