//! Clients with bad manners.

use nix::sys::socket::{MsgFlags, send};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use serde_json::Value;

use crate::support::dialogue::started;
use crate::support::{Client, TestEnv, cases};

const DEAF: &str = "drops a client that can't be written to, and what it sent";

cases![
    paste_of_a_unix_client_that_is_gone_arrives.differs_on_oracle(DEAF),
    client_in_the_middle_of_a_paste_sees_an_end.differs_on_oracle("hangs"),
    key_after_a_telnet_interrupt_is_not_swallowed
        .differs_on_oracle("takes it for the end of the telnet command"),
    those_who_came_last_hear_that_nobody_else_can
        .differs_on_oracle("dies when descriptors run out"),
    floods_of_commands_are_obeyed_in_bulk.differs_on_oracle("obeys each"),
    commands_of_a_client_that_is_gone_are_obeyed.differs_on_oracle("obeys each"),
];

/// A child that reads nothing at first.
const SLOW: [&str; 6] = ["raw", "say", "READY", "wait-for", "go", "cat"];

/// More than the child's terminal takes.
fn paste() -> String {
    (0..3000).map(|number| format!("line {number:<58}\n")).collect()
}

fn paste_of_a_unix_client_that_is_gone_arrives(env: &TestEnv) {
    let (server, mut user) = started(env.server().child(SLOW));
    user.until("READY\r\n");
    let mut client = UnixStream::connect(server.path("ctl")).unwrap();
    client.write_all(paste().as_bytes()).unwrap();
    drop(client);
    fs::write(server.path("go"), "").unwrap();
    let last = format!("line {:<58}\r\n", 2999);
    let arrived = String::from_utf8(user.until(last)).unwrap();
    assert_eq!(arrived.replace('\r', ""), paste());
}

fn client_in_the_middle_of_a_paste_sees_an_end(env: &TestEnv) {
    let (server, mut user) = started(env.server().child(SLOW));
    user.until("READY\r\n");
    let mut client = UnixStream::connect(server.path("ctl")).unwrap();
    client.set_nonblocking(true).unwrap();
    // Neither the queue nor the socket takes more.
    let mut filled = 0;
    env.wait_for("a full queue", || {
        while let Ok(count) = client.write(&[b'x'; 4096]) {
            filled += count;
        }
        (filled > (1 << 20) + (128 << 10)).then_some(())
    });
    assert_eq!(server.terminate().code(), Some(0));
    client.set_nonblocking(false).unwrap();
    client.read_to_end(&mut Vec::new()).expect("an orderly end");
}

/// As telnet(1) sends it: IAC IP, and IAC DM with the DM as urgent data.
fn key_after_a_telnet_interrupt_is_not_swallowed(env: &TestEnv) {
    let port = env.free_port();
    let (_server, mut user) = started(env.server().opts(["-P", &port.to_string()]));
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"a\xff\xf4\xff").unwrap();
    send(client.as_raw_fd(), b"\xf2", MsgFlags::MSG_OOB).unwrap();
    client.write_all(b"bc\n").unwrap();
    user.expect("abc\nabc\n");
}

fn those_who_came_last_hear_that_nobody_else_can(env: &TestEnv) {
    let setup = env.server().launched_by(["limit-files", "40", "40"]);
    let server = setup.start();
    let clients: Vec<Client> = (0..40).map(|_| server.connect()).collect();
    for mut client in clients.into_iter().take(3) {
        client
            .until("@@@ Endpoint unix:ctl: Too many open files, new connections have to wait\r\n");
    }
}

/// Two clients give commands without end for some seconds, and a third one goes on as ever.
fn floods_of_commands_are_obeyed_in_bulk(env: &TestEnv) {
    let options = ["--holdoff", "0", "--events", "events"];
    let (server, mut user) = started(env.server().logged().opts(options));
    let begun = Instant::now();
    let rounds = 100;
    let floods = [b"\x14", b"\x18"].map(|command| {
        let mut client = UnixStream::connect(server.path("ctl")).unwrap();
        let mut reader = client.try_clone().unwrap();
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let bytes = command.repeat(10_000);
        std::thread::spawn(move || {
            for _ in 0..rounds {
                client.write_all(&bytes).unwrap();
            }
            client
        })
    });
    let floods = floods.map(|flood| flood.join().unwrap());
    user.send("\x14");
    user.until("Toggled auto restart mode to ");
    for client in floods {
        client.shutdown(std::net::Shutdown::Both).unwrap();
    }
    // The user gave two: the first one started the child.
    let count = |event: &Value| event.get("count").map_or(1, |count| count.as_u64().unwrap());
    let counted = env.wait_for("all commands in the events", || {
        let text = fs::read_to_string(server.path("events")).ok()?;
        let whole = &text[..text.rfind('\n')?];
        let events = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        let commands: Vec<Value> = events.filter(|it| it["event"] == "command").collect();
        (commands.iter().map(count).sum::<u64>() == 2 * rounds * 10_000 + 2).then_some(commands)
    });
    // Twenty one by one and at most two kinds in bulk, for each second and client.
    let most = 2 * 22 * (begun.elapsed().as_secs() + 2);
    assert!((counted.len() as u64) <= most, "{} in {:?}", counted.len(), begun.elapsed());
    let log = String::from_utf8_lossy(&server.file("log")).into_owned();
    let bulks = log.lines().filter_map(|line| {
        let count = line.strip_prefix("@@@ ")?;
        count.strip_suffix(" commands of one client came too fast and are obeyed together")
    });
    let bulks: Vec<u64> = bulks.map(|count| count.parse().unwrap()).collect();
    let in_bulk = counted.iter().filter(|it| it.get("count").is_some()).map(count).sum::<u64>();
    assert_eq!(bulks.iter().sum::<u64>(), in_bulk);
}

/// The restart mode is what so many commands make of it.
fn commands_of_a_client_that_is_gone_are_obeyed(env: &TestEnv) {
    let (server, mut user) = started(env.server());
    let mut client = UnixStream::connect(server.path("ctl")).unwrap();
    // As many as bring the mode from ON to OFF.
    client.write_all(&[0x14; 3 * 100 + 1]).unwrap();
    drop(client);
    user.until("281 commands of one client came too fast and are obeyed together\r\n");
    user.until("@@@ Toggled auto restart mode to OFF\r\n");
}
