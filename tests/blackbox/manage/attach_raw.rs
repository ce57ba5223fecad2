//! The console client at `raw:` endpoints: every byte is what it is.

use crate::manage::attach::Person;
use crate::manage::fleet::{Fleet, MANAGE};
use crate::support::{ServerBuilder, TestEnv, TestServer, alive, cases, find};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

cases![
    raw_over_unix,
    raw_over_tcp,
    raw_over_ipv6.needs_ipv6(),
    raw_instance,
    raw_bytes_reach_the_child,
    raw_bytes_reach_the_screen,
    raw_paste_of_10_mb,
    raw_half_close,
    raw_end_of_the_server,
    raw_server_is_killed,
];

/// No character is a command.
const PLAIN: [&str; 5] = ["-w", "-k", "", "--autorestartcmd", ""];

fn raw(env: &TestEnv) -> ServerBuilder {
    env.server().opts(["-P", "raw:unix:raw"])
}

fn endpoint(server: &TestServer) -> String {
    drop(server.connect_to("unix:raw"));
    format!("raw:unix:{}", server.path("raw").display())
}

/// A raw endpoint greets, but says nothing to a telnet client.
fn there_and_back(person: &mut Person) {
    person.greeted();
    person.terminal.screen.send("hello\r");
    person.terminal.screen.until("hello\r\nhello\r\n");
    person.terminal.screen.send("\x1d");
    person.left(0);
    assert!(find(person.terminal.screen.received(), b"\xff").is_none());
    assert!(
        person.client.stderr().ends_with(" (it keeps running)\n"),
        "{}",
        person.client.stderr()
    );
}

fn raw_over_unix(env: &TestEnv) {
    let server = raw(env).start();
    server.child_start(1);
    let endpoint = endpoint(&server);
    let mut person = Person::attach(env, &[&endpoint]);
    there_and_back(&mut person);
    assert!(person.client.stderr().starts_with(&format!("{endpoint}; ")), "said twice");
    assert!(alive(server.pid()));
}

fn raw_over_tcp(env: &TestEnv) {
    over_tcp(env, "127.0.0.1", "", "localhost");
    over_tcp(env, "127.0.0.1", "127.0.0.1:", "127.0.0.1");
}

fn raw_over_ipv6(env: &TestEnv) {
    over_tcp(env, "[::1]", "[::1]:", "[::1]");
}

fn over_tcp(env: &TestEnv, listen: &str, host: &str, shown: &str) {
    let port = env.free_port();
    let server = env.server().opts(["-P", &format!("raw:{listen}:{port}")]).start();
    server.child_start(1);
    server.connect().greeting();
    let mut person = Person::attach(env, &[&format!("raw:{host}{port}")]);
    there_and_back(&mut person);
    let stderr = person.client.stderr();
    assert!(stderr.contains(&format!("raw:{shown}:{port}; ^] leaves")), "{stderr}");
}

fn raw_instance(env: &TestEnv) {
    let fleet = Fleet::new();
    let setup = env.server();
    let listen = fleet.path("raw");
    fleet.instance(&setup, "ioc1", "cat", &format!("port = raw:unix:{}", listen.display()));
    let server = fleet.launch(env, setup, "ioc1");
    server.child_start(1);
    assert!(!fleet.path("run/procserv-ioc1/control").exists());
    let mut person = Person::attach_in(env, &fleet, &["ioc1"]);
    there_and_back(&mut person);
    let said = format!("ioc1: raw:unix:{}; ^] leaves", listen.display());
    assert!(person.client.stderr().starts_with(&said), "{}", person.client.stderr());
}

fn raw_bytes_reach_the_child(env: &TestEnv) {
    let server = raw(env).opts(PLAIN).child(["raw", "say", "READY", "hex"]).start();
    let mut person = Person::attach(env, &["-k", "^_", &endpoint(&server)]);
    person.greeted();
    person.terminal.screen.send("\x12");
    person.terminal.screen.until("READY\r\n");
    let all: Vec<u8> = (0..=255).filter(|&byte| byte != 0x1f).collect();
    for bytes in [&b"\r\n\n\r\r\0\xff\xff\xff\xfb\x01\xff\xf4\xff"[..], &all] {
        person.terminal.screen.send(bytes);
        let shown: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
        person.terminal.screen.until(shown.replace("0a ", "0a \r\n"));
    }
    person.terminal.screen.send("\x1f");
    person.left(0);
}

/// Among them those that a terminal answers: once a key is typed, they are the child's own.
fn raw_bytes_reach_the_screen(env: &TestEnv) {
    let server = raw(env).opts(PLAIN).child(["raw", "say", "READY", "cat"]).start();
    let mut person = Person::attach(env, &["-k", "^_", &endpoint(&server)]);
    person.greeted();
    person.terminal.screen.send("\x12");
    person.terminal.screen.until("READY\r\n");
    env.wait_for("the end of the replay", || {
        person.terminal.screen.send(b"\x05.");
        person.terminal.screen.until(".").contains(&5).then_some(())
    });
    let all: Vec<u8> = (0..=255).filter(|&byte| byte != 0x1f && byte != b'\n').collect();
    for bytes in [&all[..], b"\xff\xfa\x18\x01\xff\xf0\xff\xf9\xff", b"\x1b[6n\x1b[c\x9bc\xc2\x9bc"]
    {
        person.terminal.screen.send(bytes);
        assert_eq!(person.terminal.screen.bytes(bytes.len()), bytes);
    }
    person.terminal.screen.send("\x1f");
    person.left(0);
}

fn raw_paste_of_10_mb(env: &TestEnv) {
    let env = &env.with_timeout(Duration::from_secs(60));
    let child = ["raw", "say", "READY", "slowly", "kept"];
    let server = raw(env).opts(PLAIN).child(child).start();
    let mut person = Person::attach(env, &["-k", "^_", &endpoint(&server)]);
    person.greeted();
    person.terminal.screen.send("\x12");
    person.terminal.screen.until("READY\r\n");
    let bytes = (0_u32..10_000_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    let text: Vec<u8> = bytes.map(|byte| if byte == 0x1f { b' ' } else { byte }).collect();
    person.terminal.screen.send(&text);
    // All of it arrives, though the child is slow.
    person.terminal.screen.send("\x1f");
    person.left(0);
    assert!(
        person.client.stderr().ends_with(" (it keeps running)\n"),
        "{}",
        person.client.stderr()
    );
    env.wait_for("all bytes", || {
        (fs::metadata(server.path("kept")).ok()?.len() == text.len() as u64).then_some(())
    });
    assert!(server.file("kept") == text, "not what was pasted");
}

/// Standard input ends: so does the connection, after what was sent has arrived.
fn raw_half_close(env: &TestEnv) {
    let server = raw(env).opts(PLAIN).child(["raw", "record", "ready", "slowly", "kept"]).start();
    server.connect().send("\x12");
    env.wait_for("the child", || fs::metadata(server.path("ready")).ok());
    let bytes = b"\xff\xfb\x01 \x1d\r\n\r\0\xff".repeat(1000);
    fs::write(server.path("input"), &bytes).unwrap();
    let output = std::process::Command::new(MANAGE)
        .args(["attach", &endpoint(&server)])
        .env("HOME", "/nonexistent")
        .stdin(fs::File::open(server.path("input")).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.starts_with(b"@@@ Welcome to procServ"), "{output:?}");
    env.wait_for("all bytes", || {
        (fs::metadata(server.path("kept")).ok()?.len() == bytes.len() as u64).then_some(())
    });
    assert!(server.file("kept") == bytes);
}

fn raw_end_of_the_server(env: &TestEnv) {
    let server = raw(env).start();
    server.child_start(1);
    let mut person = Person::attach(env, &[&endpoint(&server)]);
    person.greeted();
    server.terminate();
    person.terminal.screen.until("@@@ Child process is shutting down");
    person.left(0);
    assert!(person.client.stderr().ends_with(": closed by the server (restarted? attach again)\n"));
}

/// Also with bytes that it has not read, which makes it a broken connection.
fn raw_server_is_killed(env: &TestEnv) {
    for typed in ["", "unread"] {
        let server = raw(env).start();
        server.child_start(1);
        let mut person = Person::attach(env, &[&endpoint(&server)]);
        person.greeted();
        kill(Pid::from_raw(server.pid()), Signal::SIGSTOP).unwrap();
        person.terminal.screen.send(typed);
        kill(Pid::from_raw(server.pid()), Signal::SIGKILL).unwrap();
        let status = person.client.wait_exit();
        let stderr = person.client.stderr();
        match status.code() {
            Some(0) => assert!(
                stderr.ends_with(": closed by the server (restarted? attach again)\n"),
                "{stderr}"
            ),
            code => assert!(code == Some(1) && stderr.ends_with(": Connection reset by peer\n")),
        }
        assert_eq!(person.terminal.modes(), person.before);
    }
}
