//! Input that the child doesn't take, or takes slowly.

use crate::support::dialogue::{RULE, started};
use crate::support::{Client, TestEnv, TestServer, cases, find};
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::thread;

/// What the queue for the child holds.
const QUEUE: usize = 1 << 20;

const HANGS: &str = "writes to the child blocking and hangs for ever";

cases![
    paste_to_a_deaf_child_keeps_commands_working.differs_on_oracle(HANGS),
    paste_to_a_deaf_child_keeps_others_working.differs_on_oracle(HANGS),
    paste_to_a_deaf_child_does_not_delay_sigterm.differs_on_oracle(HANGS),
    paste_larger_than_the_queue_keeps_others_working.differs_on_oracle(HANGS),
    kill_empties_the_queue.differs_on_oracle(HANGS),
    paste_to_an_echoing_child_arrives_whole.differs_on_oracle(HANGS),
    paste_to_a_slow_child_arrives_whole_after_a_half_close.differs_on_oracle(HANGS),
    paste_of_10_mb_to_a_slow_child_arrives_whole.differs_on_oracle(HANGS),
    paste_of_10_mb_to_an_echoing_child_arrives_whole.differs_on_oracle(HANGS),
];

/// Text that differs all along.
fn paste(count: usize) -> Vec<u8> {
    (0..count / 8).flat_map(|n| format!("{n:07}\n").into_bytes()).collect()
}

/// A server with a child that never reads, a client that has pasted this much, and another.
fn pasted(env: &TestEnv, count: usize) -> (TestServer, Client, Client) {
    let deaf = ["raw", "say", "READY", "wait"];
    let setup = env.server().opts(["--killsig", "9", "--holdoff", "0"]).child(deaf);
    let (server, mut user) = started(setup);
    user.expect("READY\n");
    let mut other = server.connect();
    other.greeting();
    user.send(paste(count));
    (server, user, other)
}

fn paste_to_a_deaf_child_keeps_commands_working(env: &TestEnv) {
    let (_server, mut user, _) = pasted(env, 300_000);
    user.send(b"\x14");
    user.until("auto restart mode to OFF\r\n");
    user.send(b"\x18");
    user.until("The process was killed by signal 9\r\n");
}

fn paste_to_a_deaf_child_keeps_others_working(env: &TestEnv) {
    let (server, mut user, mut other) = pasted(env, 300_000);
    server.connect().greeting();
    other.send(b"\x14");
    for client in [&mut user, &mut other] {
        client.expect("\n@@@ Toggled auto restart mode to OFF\n");
    }
    other.send(b"\x18");
    user.until("The process was killed by signal 9\r\n");
    other.until("The process was killed by signal 9\r\n");
}

fn paste_to_a_deaf_child_does_not_delay_sigterm(env: &TestEnv) {
    let (server, _user, _other) = pasted(env, 300_000);
    server.connect().greeting();
    assert_eq!(server.terminate().code(), Some(0));
}

fn paste_larger_than_the_queue_keeps_others_working(env: &TestEnv) {
    let (_server, mut user, mut other) = pasted(env, 300_000);
    thread::scope(|scope| {
        let paster = scope.spawn(|| user.send(paste(3 * QUEUE)));
        other.send(b"\x14");
        other.expect("\n@@@ Toggled auto restart mode to OFF\n");
        assert!(!paster.is_finished(), "the queue has no bound");
        // Without a child there is nothing to keep the rest for.
        other.send(b"\x18");
        other.until("the child, ^Q quits the server\r\n");
        paster.join().unwrap();
    });
}

/// The child after the one that was killed gets nothing of what was meant for that, though it is
/// started at once.
fn kill_empties_the_queue(env: &TestEnv) {
    let first = ["raw", "say", "READY", "wait"];
    let next = ["otherwise", "raw", "say", "READY", "hex"];
    let child = [&["on-start", "1"][..], &first, &next].concat();
    let (_server, mut user) = started(env.server().opts(["--holdoff", "0"]).child(child));
    user.expect("READY\n");
    user.send(paste(300_000));
    user.send(b"\x18");
    user.until(RULE);
    user.until(RULE);
    user.expect("READY\n");
    user.send("ok\n");
    user.expect("6f 6b 0a \n");
}

/// It echoes and is not read from meanwhile.
fn paste_to_an_echoing_child_arrives_whole(env: &TestEnv) {
    let child = ["raw", "say", "READY", "cat"];
    let (server, mut user) = started(env.server().logged().child(child));
    user.expect("READY\n");
    let pasted = paste(1_000_000);
    user.send(&pasted);
    user.send("END\n");
    let log = server.file_with("log", "END\r\n");
    let begin = find(&log, b"READY\r\n").unwrap() + "READY\r\n".len();
    let expected = String::from_utf8(pasted).unwrap().replace('\n', "\r\n") + "END\r\n";
    assert!(log[begin..] == *expected.as_bytes(), "{} bytes", log.len() - begin);
}

fn paste_to_a_slow_child_arrives_whole_after_a_half_close(env: &TestEnv) {
    let child = ["raw", "say", "READY", "wait-for", "go", "cat"];
    let (server, mut user) = started(env.server().logged().child(child));
    user.expect("READY\n");
    let mut other = server.connect();
    other.greeting();
    let pasted = paste(700_000);
    user.send(&pasted);
    user.send("END\n");
    user.half_close();
    user.until_end();
    fs::write(server.path("go"), "").unwrap();
    let log = server.file_with("log", "END\r\n");
    let begin = find(&log, b"READY\r\n").unwrap() + "READY\r\n".len();
    let expected = String::from_utf8(pasted).unwrap().replace('\n', "\r\n") + "END\r\n";
    assert!(log[begin..] == *expected.as_bytes(), "{} bytes", log.len() - begin);
}

const MB: usize = 1_000_000;

/// Ten million bytes of every value but those of NUL and the kill character, in an order that never
/// repeats, and how they are sent.
fn everything() -> (Vec<u8>, Vec<u8>) {
    let mut state = 1_u32;
    let mut pasted = Vec::new();
    while pasted.len() < 10 * MB {
        // Knuth's generator of random numbers, of which the high bits are good.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [byte, ..] = state.to_be_bytes();
        if !matches!(byte, 0 | 0x18) {
            pasted.push(byte);
        }
    }
    let wire = escaped(&pasted);
    (pasted, wire)
}

/// As telnet sends it: IAC doubled.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    replaced(bytes, 0xff, b"\xff\xff")
}

fn replaced(bytes: &[u8], from: u8, to: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == from).collect::<Vec<_>>().join(to)
}

/// Sends it all. Each piece has the timeout of a test: only a standstill is an error.
fn send_all(user: &mut Client, wire: &[u8]) {
    wire.chunks(MB / 4).for_each(|piece| user.send(piece));
}

/// Pastes ten million bytes of plain text and, when it is `under_way`, lets the other client kill.
fn kill_in_mid_paste(user: &mut Client, other: &mut Client, under_way: impl FnOnce(&mut Client)) {
    thread::scope(|scope| {
        let paster = scope.spawn(|| send_all(user, &paste(10 * MB)));
        under_way(other);
        other.send(b"\x18");
        other.until("The process was killed by signal 9\r\n");
        paster.join().unwrap();
    });
}

/// The toggle character is an ordinary byte here.
const NO_TOGGLE: [&str; 3] = ["--autorestartcmd", "", "--noautorestart"];

fn paste_of_10_mb_to_a_slow_child_arrives_whole(env: &TestEnv) {
    let child = ["raw", "say", "READY", "slowly", "kept"];
    let (server, mut user) = started(env.server().opts(NO_TOGGLE).child(child));
    user.expect("READY\n");
    let mut other = server.connect();
    other.greeting();
    let (pasted, wire) = everything();
    thread::scope(|scope| {
        let paster = scope.spawn(|| send_all(&mut user, &wire));
        (1..=10).for_each(|n| other.expect(&format!("{n} MB\n")));
        paster.join().unwrap();
    });
    assert!(server.file("kept") == pasted);
    kill_in_mid_paste(&mut user, &mut other, |other| other.expect("11 MB\n"));
}

fn paste_of_10_mb_to_an_echoing_child_arrives_whole(env: &TestEnv) {
    let child = ["raw", "say", "READY", "cat"];
    let (server, mut user) = started(env.server().logged().opts(NO_TOGGLE).child(child));
    user.expect("READY\n");
    let mut other = server.connect();
    other.greeting();
    let (pasted, wire) = everything();
    let expected = replaced(&pasted, b'\n', b"\r\n");
    let before = server.file_with("log", "READY\r\n").len();
    let mut log = fs::File::open(server.path("log")).unwrap();
    log.seek(SeekFrom::Start(before as u64)).unwrap();
    let mut echo = Vec::new();
    let mut more = |echo: &mut Vec<u8>| {
        env.wait_for("more of the echo in the log", || {
            (log.read_to_end(echo).unwrap() > 0).then_some(())
        });
    };
    thread::scope(|scope| {
        let paster = scope.spawn(|| send_all(&mut user, &wire));
        let seen = other.bytes(100_000);
        assert!(seen == escaped(&expected)[..seen.len()]);
        while echo.len() < expected.len() {
            more(&mut echo);
        }
        paster.join().unwrap();
    });
    assert!(echo == expected);
    kill_in_mid_paste(&mut user, &mut other, |_| more(&mut echo));
}
