//! Command lines found in public units and start scripts: every one is accepted unmodified and
//! means what it means to procServ.

use crate::harness::cases;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};
use procserv_ng::cli;
use procserv_ng::config::endpoint::{Address, Endpoint};
use procserv_ng::config::{CommandChars, Config, LogTarget, RestartMode, RunMode};

cases![every_line_means_what_it_means_to_procserv,];

const LINES: &str = include_str!("../fixtures/cmdlines.txt");

/// The words of each line as a shell would split it, from the server's name on, with the line's
/// number in the file.
fn lines() -> Vec<(usize, Vec<String>)> {
    let lines = LINES.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    lines
        .map(|(index, line)| {
            // The one user and group named there, and here known to be 0.
            let user = User::from_uid(Uid::from_raw(0)).unwrap().unwrap().name;
            let group = Group::from_gid(Gid::from_raw(0)).unwrap().unwrap().name;
            let line = line.replace(":ioc-srv:ioc:", &format!(":{user}:{group}:"));
            let words = split(line.split("##").next().unwrap());
            // One line runs the server through another program.
            let start = words.iter().position(|word| {
                Path::new(word).file_name().is_some_and(|name| name == "procServ")
            });
            (index + 1, words[start.unwrap()..].to_vec())
        })
        .collect()
}

/// Splits at blanks outside double quotes; the file has nothing else for a shell to do.
fn split(line: &str) -> Vec<String> {
    assert!(!line.contains(['\'', '\\', '$', '`']), "{line}");
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    assert!(!quoted, "{line}");
    words.extend(word);
    words
}

fn parse(words: &[String]) -> Config {
    let argv = words.iter().map(OsString::from).collect();
    cli::parse(argv, &|_| None)
        .unwrap_or_else(|exit| panic!("{words:?}: {}", String::from_utf8_lossy(&exit.stderr)))
}

/// The endpoint as in the info file, and what differs from the default of a Unix socket.
fn endpoint(endpoint: &Endpoint) -> String {
    match &endpoint.address {
        Address::Unix { uid, gid, mode, .. } if (*uid, *gid, *mode) != (None, None, 0o666) => {
            format!("{endpoint} {uid:?} {gid:?} {mode:o}")
        }
        _ => endpoint.to_string(),
    }
}

/// What differs from the defaults, in words short enough to compare by eye.
fn summary(config: &Config) -> BTreeMap<&'static str, String> {
    let mut summary = BTreeMap::new();
    let mut say = |key, value: Option<String>| {
        if let Some(value) = value {
            summary.insert(key, value);
        }
    };
    let text = |text: &OsString| text.to_str().unwrap().to_string();
    let path = |path: &Path| path.to_str().unwrap().to_string();
    let bytes = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let flag = |set: bool| set.then(String::new);
    let controls: Vec<_> = config.endpoints.controls.iter().map(endpoint).collect();
    say("control", Some(controls.join(" ")));
    say("log", config.endpoints.log.as_ref().map(ToString::to_string));
    let command: Vec<_> =
        std::iter::once(&config.child.command).chain(&config.child.args).map(text).collect();
    say("command", Some(command.join(" ")));
    say("exec", config.child.exec.as_ref().map(text));
    say("name", (config.child.name != config.child.command).then(|| text(&config.child.name)));
    say("chdir", config.child.chdir.as_deref().map(path));
    say("core", config.child.core_size.map(|size| size.to_string()));
    let mode = config.run_mode;
    say("mode", (mode != RunMode::Daemon).then(|| format!("{mode:?}")));
    let holdoff = config.restart.holdoff.as_secs();
    say("holdoff", (holdoff != 15).then(|| holdoff.to_string()));
    let ignored: Vec<u8> = (0..=255).filter(|&byte| config.console.ignore.contains(byte)).collect();
    let usual = config.console.ignore.contains(0) && ignored.len() == 3;
    say("ignore", (!usual).then(|| format!("{ignored:x?}")));
    let CommandChars { kill, toggle, logout } = config.console.commands;
    say("kill", (kill != Some(0x18)).then(|| format!("{kill:x?}")));
    say("toggle", (toggle != Some(0x14)).then(|| format!("{toggle:x?}")));
    say("logout", logout.map(|byte| format!("{byte:x}")));
    say(
        "signal",
        (config.restart.kill_signal != 9).then(|| config.restart.kill_signal.to_string()),
    );
    say(
        "file",
        config.log.target.as_ref().map(|target| match target {
            LogTarget::Stdout => "stdout".to_string(),
            LogTarget::File(file) => path(file),
        }),
    );
    say("stamp", config.log.stamp.as_deref().map(|it| format!("{:?}", bytes(it))));
    say(
        "restart",
        match config.restart.mode {
            RestartMode::On => None,
            mode => Some(format!("{mode:?}")),
        },
    );
    say("wait", flag(config.restart.wait));
    say("quiet", flag(config.quiet));
    say("pid", config.files.pid.as_deref().map(path));
    say("info", config.files.info.as_deref().map(path));
    say("time", (config.console.time_format != b"%c").then(|| bytes(&config.console.time_format)));
    assert!(config.warnings.is_empty());
    assert_eq!(config.restart.grace.as_secs(), 0);
    assert!(!config.log.save);
    summary
}

fn every_line_means_what_it_means_to_procserv() {
    let expected = EXPECTED.trim().split("\n\n");
    let mut expected: Vec<&str> = expected.collect();
    expected.reverse();
    for (number, words) in lines() {
        let config = parse(&words);
        assert_eq!(config.argv0, words[0].as_str());
        let summary: String = summary(&config)
            .iter()
            .map(|(key, value)| format!("{key} {value}").trim_end().to_string() + "\n")
            .collect();
        let expected = expected.pop().unwrap_or_default();
        assert_eq!(summary.trim_end(), expected, "line {number}");
    }
    assert_eq!(expected, [""; 0], "more expectations than lines");
}

/// One paragraph for each line, in the order of the file.
const EXPECTED: &str = r#"
command /epics/bin/iocsh.bash
control tcp:127.0.0.1:2000
name iocsh

command /epics/bin/iocsh.bash st.cmd
control unix:/run/my-ioc
file procServ.log
ignore [0, 3, 4, 14, 18]
name Test IOC

command /epics/bin/iocsh.bash
control tcp:127.0.0.1:2000
file /home/iocuser/test-ioc.log
ignore [0, 3, 4, 14, 18]
mode Foreground
name test-ioc

chdir /var/run/procServ/a
command /epics/bin/iocsh.bash /opt/iocs/e3-ioc-a/st.cmd
control unix:/var/run/procServ/a/control
file /var/log/procServ/a/out.log
ignore [0, 3, 4, 11, 14, 18]
info /var/run/procServ/a/info
logout 11
mode Foreground
name a

chdir /epics/iocs/example
command /epics/iocs/example/st.cmd
control tcp:127.0.0.1:4050
file /var/log/softioc/example/example.log
ignore [0, 3, 4, 14, 18, 1d]
mode Foreground
name example
pid /var/run/softioc-example.pid
quiet

chdir /epics/iocs/example
command /epics/iocs/example/st.cmd
control tcp:127.0.0.1:4050
core 0
file /var/log/softioc/example.log
ignore [0, 3, 4, 14, 18, 1d]
name example
pid /var/run/softioc-example.pid
quiet

chdir /usr/local/lib/iocapps/testioc
command ./st.cmd
control tcp:127.0.0.1:4051 unix:/run/softioc-testioc/procServ.sock
core 10000000
file /var/log/softioc-testioc/procServ.log
ignore [0, 3, 4, 14, 18, 1d]
mode Foreground
name testioc
quiet

chdir /opt/ioc
command ./st.cmd
control tcp:127.0.0.1:4051
core 0
file /var/log/ioc.log
ignore [0, 3, 4, 14, 18, 1d]
mode Foreground
name ioc
quiet
time [%Y-%m-%d %H:%M:%S]

chdir /opt/x
command ./st.cmd
control unix:/run/procserv/x/control Some(0) Some(0) 660
file /var/log/x.log
ignore [0, 3, 4, 18, 1d]
mode Foreground
name x
toggle None

command ./run.sh --dev 1
control unix:./procserv.sock
file stdout
ignore [0, 3, 4, 14, 18]
mode Foreground
name diffCtrl_1

chdir /opt/iocCONS
command ./st.cmd
control tcp:127.0.0.1:20201
file stdout
mode Foreground
pid /var/tmp/pid

chdir /opt/ioc1
command ./st.cmd
control unix:/run/ioc1.sock
file /var/log/ioc1.log
name ioc1
quiet

command ./st.cmd
control unix:./ioc.sock
file stdout
ignore [0, 3, 4, 14, 18]
mode Foreground

chdir /nix/store/x
command ./st.cmd
control tcp:127.0.0.1:2000
file stdout
holdoff 0
mode Foreground
restart Oneshot

chdir /opt/x
command /bin/bash
control unix:/run/procserv-x/control
file stdout
ignore [0, 3, 4, 14, 18, 1d]
info /run/procserv-x/info
logout 4
mode Foreground
name x

command ./st.cmd
control tcp:127.0.0.1:50065
file stdout
ignore [0, 3, 4, 14, 18, 1d]
mode Foreground
quiet

command ./run
control tcp:127.0.0.1:34567
mode Foreground
name ioc
restart Off
wait

command ./drp -l 0
control tcp:0.0.0.0:31001
name /reg/log/2024/01/x:y.log
pid /dev/null
restart Off
wait

chdir /opt/iocBoot/softsvt
command ./st.cmd
control tcp:127.0.0.1:20000
file /tmp/softsvt.log
ignore [0, 3, 4, 14, 18]
name softsvt
stamp "[%c] "

command python block_server.py
control tcp:127.0.0.1:9006
file /log/BLOCKSVR.log
ignore [0, 3, 4, 14, 18]
name BLOCKSVR
pid /run/B.pid
stamp "[%c] "

chdir /opt/atf
command python3 -m atf_engine --root /data
control unix:/run/atf/control tcp:127.0.0.1:10100
file stdout
ignore [0, 3, 4, 14, 18, 1d]
info /run/atf/info
logout 4
mode Foreground
name atf

chdir /rtlsdr-ogn
command ./ogn-rf ogn.conf
control tcp:127.0.0.1:50000
ignore [0, 3, 4, 14, 18]
logout 3
mode Foreground
signal 15

command ./scripts/run_ioc
control tcp:127.0.0.1:8841
file ioc.log
log tcp:0.0.0.0:8842

command ./st.cmd
control tcp:0.0.0.0:9230
exec /opt/conda/bin/softIoc
file pyepics.log
name pyepics
restart Off

command python message.py
control tcp:127.0.0.1:17998
file /home/epics/logs/my_ioc.log
name my_ioc
stamp "[%c] "

chdir /opt/IOC/links/S
command ./st.cmd.S
control unix:/run/softIOC/s
file /var/log/softIOC/s.log
ignore [0, 3, 4, 14, 18, 1d]
mode Foreground
name s
quiet
stamp "[[%Y-%m-%d %H:%M:%S]] "
time [%Y-%m-%d %H:%M:%S]
"#;
