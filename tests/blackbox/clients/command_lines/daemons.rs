//! Lines that become daemons.

use crate::clients::command_lines::greeting::Greeting;
use crate::clients::command_lines::site::Site;
use crate::support::{TestEnv, cases, find};
use std::fs;

const LOCAL: &str = "0100007F";
const ANY: &str = "00000000";
/// The end of the announcement of a start.
const STARTED: &str = "@@@ @@@ @@@ @@@ @@@\r\n";

const PATH: &str = "2.7.0 takes no command from PATH (section 10)";
const CARET: &str = "takes ^] for two characters (section 1)";
const ALLOW: &str = "Debian's build has no --allow (section 10)";

cases![
    ess_training_name_and_port,
    ess_training_name_with_a_blank,
    debian_init_empty_core_size,
    debian_init_ignores.differs_on_oracle(CARET),
    lnls_quiet_with_kill_signal,
    lcls2_wait_and_device_as_pid_file.differs_on_oracle(ALLOW),
    jlab_bare_log_stamp.differs_on_oracle("2.7.0's stamp has no brackets (section 10)"),
    jlab_attached_value,
    isis_stamp_and_time_format.differs_on_oracle(PATH),
    htscope_log_endpoint,
    pyepics_exec.differs_on_oracle(ALLOW),
    copytruncate_rotation.differs_on_oracle(PATH),
];

fn ess_training_name_and_port(env: &TestEnv) {
    let line = "procServ -n iocsh 2000 /epics/bin/iocsh.bash";
    let line = Site::of(env, line).port("2000").stand_in("/epics/bin/iocsh.bash").start();
    line.child("", "", None);
    let command = "<dir>/epics/bin/iocsh.bash";
    let mut user =
        line.user("2000", &Greeting { name: Some("iocsh"), command, ..Greeting::default() });
    line.listens("2000", LOCAL);
    line.server.assert_plain(
        line.server.stderr(),
        "\
procServ: spawning daemon process: <pid>
Warning: No log file and no port for log connections specified.
",
    );
    // Nothing is ignored but the command characters.
    line.typed(&mut user, b"a\x03\x04^]\x1d\x11\x12z", b"a\x03\x04^]\x1d\x11\x12z");
    line.stop(&[]);
}

fn ess_training_name_with_a_blank(env: &TestEnv) {
    let line = r#"procServ -n "Test IOC" -i ^D^C -L procServ.log unix:/run/my-ioc /epics/bin/iocsh.bash st.cmd"#;
    let line = Site::of(env, line).stand_in("/epics/bin/iocsh.bash").start();
    line.child("[st.cmd]", "", None);
    let mut user = line.user(
        "unix:/run/my-ioc",
        &Greeting {
            name: Some("Test IOC"),
            command: "<dir>/epics/bin/iocsh.bash",
            log: Some("procServ.log"),
            ..Greeting::default()
        },
    );
    line.socket("/run/my-ioc", 0o666);
    line.typed(&mut user, b"a\x03b\x04c\0d", b"abcd");
    let log = line.file("procServ.log", "61 62 63 64 0a ");
    line.server.assert_console(
        log,
        "\
@@@ Restarting child \"Test IOC\"
@@@    (as <dir>/epics/bin/iocsh.bash)
@@@ The PID of new child \"Test IOC\" is: <pid>
@@@ @@@ @@@ @@@ @@@
61 62 63 64 0a \n",
    );
    line.stop(&["/run/my-ioc"]);
}

const DEBIAN_INIT: &str = "procServ -q -c /epics/iocs/example -i ^D^C^] -p /var/run/softioc-example.pid -n example --restrict --logfile=/var/log/softioc/example.log --coresize= 4050 /epics/iocs/example/st.cmd";

fn debian_init_empty_core_size(env: &TestEnv) {
    let line = Site::of(env, DEBIAN_INIT).port("4050").stand_in("/epics/iocs/example/st.cmd");
    let line = line.start();
    line.child("", "/epics/iocs/example", Some(0));
    assert_eq!(line.server.stderr(), "");
    line.content("/var/run/softioc-example.pid", "<pid>\n");
    // --restrict is for log endpoints.
    line.listens("4050", LOCAL);
    line.user(
        "4050",
        &Greeting {
            dir: "/epics/iocs/example",
            name: Some("example"),
            command: "<dir>/epics/iocs/example/st.cmd",
            log: Some("<dir>/var/log/softioc/example.log"),
            ..Greeting::default()
        },
    );
    line.file("/var/log/softioc/example.log", STARTED);
    line.stop(&["/var/run/softioc-example.pid"]);
}

fn debian_init_ignores(env: &TestEnv) {
    let line = Site::of(env, DEBIAN_INIT).port("4050").stand_in("/epics/iocs/example/st.cmd");
    let line = line.start();
    line.file("report", "core: ");
    let mut user = line.client("4050");
    user.greeting();
    line.typed(&mut user, b"a\x03\x04\x1d^]b", b"a^]b");
}

fn lnls_quiet_with_kill_signal(env: &TestEnv) {
    let line = "procServ -n ioc1 -q --killsig 9 -L /var/log/ioc1.log --chdir /opt/ioc1 unix:/run/ioc1.sock ./st.cmd";
    let line = Site::of(env, line).stand_in("/opt/ioc1/st.cmd").start();
    line.child("", "/opt/ioc1", None);
    assert_eq!(line.server.stderr(), "");
    let mut user = line.user(
        "unix:/run/ioc1.sock",
        &Greeting {
            dir: "/opt/ioc1",
            name: Some("ioc1"),
            log: Some("<dir>/var/log/ioc1.log"),
            ..Greeting::default()
        },
    );
    line.socket("/run/ioc1.sock", 0o666);
    user.send(b"\x18");
    user.until("The process was killed by signal 9\r\n");
    line.file("/var/log/ioc1.log", "was killed by signal 9\r\n");
    line.stop(&["/run/ioc1.sock"]);
}

fn lcls2_wait_and_device_as_pid_file(env: &TestEnv) {
    let line = "procServ --noautorestart --name /reg/log/2024/01/x:y.log --pidfile /dev/null -w --allow 31001 ./drp -l 0";
    // The pid file is an ordinary one of that name here: what becomes of a device is looked at
    // elsewhere, and not with the machine's own.
    let line = Site::of(env, line).port("31001").stand_in("drp").start();
    line.listens("31001", ANY);
    line.content("/dev/null", "<pid>\n");
    let shut_down = Greeting {
        mode: "OFF",
        name: Some("/reg/log/2024/01/x:y.log"),
        command: "./drp",
        running: false,
        ..Greeting::default()
    };
    let mut user = line.user("31001", &shut_down);
    user.send(b"\x12");
    user.until("@@@ The PID of new child \"/reg/log/2024/01/x:y.log\" is: ");
    line.child("[-l] [0]", "", None);
    user.until(STARTED);
    // Mode OFF: once ended it stays so.
    user.send(b"!");
    user.until("@@@ Child process is shutting down, auto restart is disabled\r\n");
    user.until("quits the server\r\n");
    line.user("31001", &Greeting { users: 1, ..shut_down });
    line.stop(&["/dev/null"]);
}

const JLAB: &str = "procServ -n softsvt -i^D^C --logfile /tmp/softsvt.log --logstamp -c /opt/iocBoot/softsvt 20000 ./st.cmd";

fn jlab_bare_log_stamp(env: &TestEnv) {
    let line = Site::of(env, JLAB).port("20000").stand_in("/opt/iocBoot/softsvt/st.cmd").start();
    line.file("report", "core: ");
    let mut user = line.user(
        "20000",
        &Greeting {
            dir: "/opt/iocBoot/softsvt",
            name: Some("softsvt"),
            log: Some("<dir>/tmp/softsvt.log"),
            ..Greeting::default()
        },
    );
    line.typed(&mut user, b"a", b"a");
    let log = line.file("/tmp/softsvt.log", "61 0a \r\n");
    line.server.assert_console(
        log,
        "\
[<time>] @@@ Restarting child \"softsvt\"
[<time>] @@@    (as ./st.cmd)
[<time>] @@@ The PID of new child \"softsvt\" is: <pid>
[<time>] @@@ @@@ @@@ @@@ @@@
[<time>] 61 0a \n",
    );
}

fn jlab_attached_value(env: &TestEnv) {
    let line = Site::of(env, JLAB).port("20000").stand_in("/opt/iocBoot/softsvt/st.cmd").start();
    line.child("", "/opt/iocBoot/softsvt", None);
    line.listens("20000", LOCAL);
    let mut user = line.client("20000");
    user.greeting();
    line.typed(&mut user, b"a\x03b\x04c", b"abc");
    line.server.assert_plain(line.server.stderr(), "procServ: spawning daemon process: <pid>\n");
    line.stop(&[]);
}

fn isis_stamp_and_time_format(env: &TestEnv) {
    let line = "procServ --logstamp --logfile=/log/BLOCKSVR.log --timefmt=%c --restrict --ignore=^D^C --name=BLOCKSVR --pidfile=/run/B.pid 9006 python block_server.py";
    let line = Site::of(env, line).port("9006").in_path("python").start();
    line.child("[block_server.py]", "", None);
    line.content("/run/B.pid", "<pid>\n");
    line.listens("9006", LOCAL);
    let mut user = line.user(
        "9006",
        &Greeting {
            name: Some("BLOCKSVR"),
            command: "python",
            log: Some("<dir>/log/BLOCKSVR.log"),
            ..Greeting::default()
        },
    );
    line.typed(&mut user, b"a\x03b\x04c", b"abc");
    let log = line.file("/log/BLOCKSVR.log", "61 62 63 0a \r\n");
    line.server.assert_console(
        log,
        "\
[<time>] @@@ Restarting child \"BLOCKSVR\"
[<time>] @@@    (as python)
[<time>] @@@ The PID of new child \"BLOCKSVR\" is: <pid>
[<time>] @@@ @@@ @@@ @@@ @@@
[<time>] 61 62 63 0a \n",
    );
    line.stop(&["/run/B.pid"]);
}

fn htscope_log_endpoint(env: &TestEnv) {
    let line = "procServ -L ioc.log -l 8842 -P 8841 ./scripts/run_ioc";
    let line = Site::of(env, line).port("8842").port("8841").stand_in("scripts/run_ioc").start();
    line.child("", "", None);
    line.listens("8841", LOCAL);
    line.listens("8842", ANY);
    let mut user = line.user(
        "8841",
        &Greeting { command: "./scripts/run_ioc", log: Some("ioc.log"), ..Greeting::default() },
    );
    let mut log = line.client("8842");
    let greeting = log.greeting();
    assert!(find(&greeting, b"Welcome").is_none() && find(&greeting, b"user(s)").is_none());
    log.send(b"b\n\x18");
    line.typed(&mut user, b"a", b"a");
    log.expect("61 0a \n");
    line.file("ioc.log", "61 0a \r\n");
    line.stop(&[]);
}

fn pyepics_exec(env: &TestEnv) {
    let line = "procServ -n pyepics --allow --noautorestart -P 9230 -L pyepics.log -e /opt/conda/bin/softIoc ./st.cmd";
    let line = Site::of(env, line).port("9230").stand_in("/opt/conda/bin/softIoc");
    let line = line.stand_in("st.cmd").start();
    // The stand-in is softIoc, and st.cmd its argument.
    line.child("[./st.cmd]", "", None);
    line.listens("9230", ANY);
    line.user(
        "9230",
        &Greeting {
            mode: "OFF",
            name: Some("pyepics"),
            log: Some("pyepics.log"),
            ..Greeting::default()
        },
    );
    line.server.assert_console(
        line.file("pyepics.log", STARTED),
        "\
@@@ Restarting child \"pyepics\"
@@@    (as <dir>/opt/conda/bin/softIoc)
@@@ The PID of new child \"pyepics\" is: <pid>
@@@ @@@ @@@ @@@ @@@
",
    );
    line.stop(&[]);
}

fn copytruncate_rotation(env: &TestEnv) {
    let line =
        "procServ --logstamp -n my_ioc -L /home/epics/logs/my_ioc.log 17998 python message.py";
    let line = Site::of(env, line).port("17998").in_path("python").start();
    line.child("[message.py]", "", None);
    let log = "/home/epics/logs/my_ioc.log";
    line.file(log, STARTED);
    let mut user = line.user(
        "17998",
        &Greeting {
            name: Some("my_ioc"),
            command: "python",
            log: Some("<dir>/home/epics/logs/my_ioc.log"),
            ..Greeting::default()
        },
    );
    let path = line.server.path(log.trim_start_matches('/'));
    fs::copy(&path, path.with_extension("log.1")).unwrap();
    fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    line.typed(&mut user, b"a", b"a");
    let log = line.file(log, "61 0a \r\n");
    line.server.assert_console(log, "[<time>] 61 0a \n");
    line.stop(&[]);
}
