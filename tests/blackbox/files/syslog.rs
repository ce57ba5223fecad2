//! `--syslog`, in a /dev of its own in which `log` is a socket of the test.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::wait_events;
use crate::support::{
    NO_NAMESPACE, ServerBuilder, TestEnv, TestServer, cases, has_mount_namespaces, uninterrupted,
};

cases![
    lines_go_to_syslog.only_if(has_mount_namespaces(), NO_NAMESPACE),
    the_tag_is_the_name_or_what_is_given.only_if(has_mount_namespaces(), NO_NAMESPACE),
    a_refusal_is_said_once_and_counted.only_if(has_mount_namespaces(), NO_NAMESPACE),
    a_stuck_syslog_holds_up_nobody.only_if(has_mount_namespaces(), NO_NAMESPACE),
    lines_survive_an_upgrade.only_if(has_mount_namespaces(), NO_NAMESPACE),
];

/// Becomes the server in a /dev of its own.
const LAUNCHER: &str = r#"#!/bin/sh
if [ -z "$INSIDE" ]; then
    INSIDE=1 exec unshare -m "$0" "$@"
fi
unset INSIDE
mkdir dev && mount -t tmpfs none dev || exit 99
for device in null zero full tty urandom; do
    : > dev/$device && mount --bind /dev/$device dev/$device || exit 99
done
mkdir dev/pts && mount --bind /dev/pts dev/pts || exit 99
ln -s pts/ptmx dev/ptmx && ln -s /proc/self/fd dev/fd && ln -s "$PWD/syslog" dev/log
mount --rbind dev /dev || exit 99
exec "$PROGRAM" "$@"
"#;

fn with_syslog(env: &TestEnv) -> ServerBuilder {
    let setup = env.server().with_file("launch", LAUNCHER).env("PROGRAM", env.program());
    let path = setup.path("launch");
    assert!(Command::new("chmod").arg("755").arg(&path).status().unwrap().success());
    setup.program(path)
}

fn daemon(dir: &std::path::Path) -> UnixDatagram {
    let _ = std::fs::remove_file(dir.join("syslog"));
    let daemon = UnixDatagram::bind(dir.join("syslog")).unwrap();
    // The kernel queues few messages: whoever looks for them now and then is too slow for a server that
    // has many.
    daemon.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    daemon
}

/// Waits for a message that ends so, and returns the texts of all up to it.
fn receive(env: &TestEnv, daemon: &UnixDatagram, head: &str, end: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut buffer = vec![0; 10_000];
    env.wait_for(&format!("a message {end:?}"), || {
        while let Ok(count) = uninterrupted(|| daemon.recv(&mut buffer)) {
            let message = String::from_utf8_lossy(&buffer[..count]).into_owned();
            assert!(message.starts_with("<30>"), "{message}");
            let (_, text) = message.split_once(head).unwrap_or_else(|| panic!("{message}"));
            texts.push(text.to_owned());
        }
        texts.last().is_some_and(|text| text.ends_with(end)).then_some(())
    });
    texts
}

fn head(server: &TestServer, tag: &str) -> String {
    format!(" {tag}[{}]: ", server.pid())
}

fn lines_go_to_syslog(env: &TestEnv) {
    let setup = with_syslog(env).opts(["-n", "ioc", "--syslog"]);
    let daemon = daemon(&setup.path(""));
    let server = setup.child(["lines", "300", "print", "and \\x1b[1mno line end", "cat"]).start();
    let head = head(&server, "ioc");
    let mut texts = receive(env, &daemon, &head, "line 300");
    let lines = texts.split_off(texts.len() - 300);
    assert!(lines.into_iter().eq((1..=300).map(|number| format!("line {number}"))));
    assert!(texts.contains(&"@@@ Restarting child \"ioc\"".to_owned()), "{texts:?}");
    assert!(server.terminate().success());
    let last = receive(env, &daemon, &head, "");
    assert!(last.iter().any(|text| text.starts_with("and \u{1b}[1mno line end")), "{last:?}");
}

fn the_tag_is_the_name_or_what_is_given(env: &TestEnv) {
    for (option, tag) in [("--syslog=my tag", "my_tag"), ("--syslog", "./fake-ioc")] {
        let setup = with_syslog(env).opts([option]);
        let daemon = daemon(&setup.path(""));
        let server = setup.child(["say", "hello", "cat"]).start();
        receive(env, &daemon, &head(&server, tag), "hello");
    }
}

fn a_refusal_is_said_once_and_counted(env: &TestEnv) {
    let setup = with_syslog(env).logged().opts(["--syslog=t", "--events", "events"]);
    let server = setup.child(["lines", "20", "cat"]).start();
    let notice = "@@@ Syslog: No such file or directory, output is not being sent there\r\n";
    server.file_with("log", notice);
    assert_eq!(wait_events(env, &server, "trouble", 1)[0]["with"], "syslog");
    let daemon = daemon(&server.path(""));
    let mut user = server.connect();
    user.greeting();
    let mut buffer = vec![0; 10_000];
    // It is tried again a second later at the earliest, with the next line.
    let text = env.wait_for("a message", || {
        user.send("again\r");
        let count = daemon.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
    });
    assert!(text.contains(" t[") && text.ends_with(" lines are missing here"), "{text}");
    let number = text.split("@@@ ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(number.parse::<u32>().unwrap() >= 20, "{text}");
    let log = String::from_utf8(server.file("log")).unwrap();
    assert_eq!(log.matches("@@@ Syslog").count(), 1);
}

fn a_stuck_syslog_holds_up_nobody(env: &TestEnv) {
    let setup = with_syslog(env).logged().opts(["--syslog=t"]);
    let _daemon = daemon(&setup.path(""));
    let server = setup.child(["lines", "200000", "say", "the end", "cat"]).start();
    server.file_with("log", "the end\r\n");
    let log = String::from_utf8(server.file("log")).unwrap();
    assert_eq!(log.matches("line ").count(), 200_000);
    let mut user = server.connect();
    user.greeting();
    server
        .file_with("log", "@@@ Syslog: Resource temporarily unavailable, output is not being sent");
    assert!(server.terminate().success());
}

fn lines_survive_an_upgrade(env: &TestEnv) {
    let setup = with_syslog(env).opts(["--syslog=t", "--events", "events"]);
    let daemon = daemon(&setup.path(""));
    let child = ["wait-for", "go", "lines", "20000", "say", "the end", "cat"];
    let server = setup.child(child).start();
    server.child_start(1);
    let head = head(&server, "t");
    std::fs::write(server.path("go"), "").unwrap();
    server.signal(Signal::SIGUSR1);
    let texts = receive(env, &daemon, &head, "the end");
    wait_events(env, &server, "server_upgrade", 1);
    // A line that had only begun then is two.
    let lines = texts.iter().filter(|text| !text.starts_with("@@@ ") && *text != "the end");
    let expected = (1..=20_000).map(|number| format!("line {number}"));
    assert!(lines.map(String::as_str).collect::<String>() == expected.collect::<String>());
}
