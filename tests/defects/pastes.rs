//! Input that the child doesn't take, or takes slowly.

use crate::case;
use crate::common::{RULE, started};
use crate::support::{Case, Client, Instance, Lab, find};
use std::fs;
use std::thread;

/// What the queue for the child holds.
const QUEUE: usize = 1 << 20;

pub(super) fn cases() -> Vec<Case> {
    let hangs = "writes to the child blocking and hangs for ever";
    vec![
        case!(paste_to_a_deaf_child_keeps_commands_working).differs_on_oracle(hangs),
        case!(paste_to_a_deaf_child_keeps_others_working).differs_on_oracle(hangs),
        case!(paste_to_a_deaf_child_does_not_delay_sigterm).differs_on_oracle(hangs),
        case!(paste_larger_than_the_queue_keeps_others_working).differs_on_oracle(hangs),
        case!(kill_empties_the_queue).differs_on_oracle(hangs),
        case!(paste_to_an_echoing_child_arrives_whole).differs_on_oracle(hangs),
        case!(paste_to_a_slow_child_arrives_whole_after_a_half_close).differs_on_oracle(hangs),
    ]
}

/// Text that differs all along.
fn paste(count: usize) -> Vec<u8> {
    (0..count / 8).flat_map(|n| format!("{n:07}\n").into_bytes()).collect()
}

/// A server with a child that never reads, a client that has pasted this much, and another.
fn pasted(lab: &Lab, count: usize) -> (Instance, Client, Client) {
    let deaf = ["raw", "say", "READY", "wait"];
    let setup = lab.server().opts(["--killsig", "9", "--holdoff", "0"]).child(deaf);
    let (server, mut user) = started(setup);
    user.expect("READY\n");
    let mut other = server.connect();
    other.greeting();
    user.send(paste(count));
    (server, user, other)
}

fn paste_to_a_deaf_child_keeps_commands_working(lab: &Lab) {
    let (_server, mut user, _) = pasted(lab, 300_000);
    user.send(b"\x14");
    user.until("auto restart mode to OFF\r\n");
    user.send(b"\x18");
    user.until("The process was killed by signal 9\r\n");
}

fn paste_to_a_deaf_child_keeps_others_working(lab: &Lab) {
    let (server, mut user, mut other) = pasted(lab, 300_000);
    server.connect().greeting();
    other.send(b"\x14");
    for client in [&mut user, &mut other] {
        client.expect("\n@@@ Toggled auto restart mode to OFF\n");
    }
    other.send(b"\x18");
    user.until("The process was killed by signal 9\r\n");
    other.until("The process was killed by signal 9\r\n");
}

fn paste_to_a_deaf_child_does_not_delay_sigterm(lab: &Lab) {
    let (server, _user, _other) = pasted(lab, 300_000);
    server.connect().greeting();
    assert_eq!(server.terminate().code(), Some(0));
}

fn paste_larger_than_the_queue_keeps_others_working(lab: &Lab) {
    let (_server, mut user, mut other) = pasted(lab, 300_000);
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
fn kill_empties_the_queue(lab: &Lab) {
    let first = ["raw", "say", "READY", "wait"];
    let next = ["otherwise", "raw", "say", "READY", "hex"];
    let child = [&["on-start", "1"][..], &first, &next].concat();
    let (_server, mut user) = started(lab.server().opts(["--holdoff", "0"]).child(child));
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
fn paste_to_an_echoing_child_arrives_whole(lab: &Lab) {
    let child = ["raw", "say", "READY", "cat"];
    let (server, mut user) = started(lab.server().logged().child(child));
    user.expect("READY\n");
    let pasted = paste(1_000_000);
    user.send(&pasted);
    user.send("END\n");
    let log = server.file_with("log", "END\r\n");
    let begin = find(&log, b"READY\r\n").unwrap() + "READY\r\n".len();
    let expected = String::from_utf8(pasted).unwrap().replace('\n', "\r\n") + "END\r\n";
    assert!(log[begin..] == *expected.as_bytes(), "{} bytes", log.len() - begin);
}

fn paste_to_a_slow_child_arrives_whole_after_a_half_close(lab: &Lab) {
    let child = ["raw", "say", "READY", "wait-for", "go", "cat"];
    let (server, mut user) = started(lab.server().logged().child(child));
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
