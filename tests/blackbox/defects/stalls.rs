//! Clients that don't read, and children that don't.

use crate::defects::ends::emitted;
use crate::support::dialogue::started;
use crate::support::{Client, TestEnv, TestServer, cases, find, number_after, show};
use std::fs;

/// More than the stream holds for a reader that lags, and has read a moment ago.
const BURST: usize = 12_000_000;

const BLOCKS: &str = "waits 10 s at a time for the one that doesn't read";

cases![
    user_that_does_not_read_delays_nobody.differs_on_oracle(BLOCKS),
    logger_that_does_not_read_delays_nobody.differs_on_oracle(BLOCKS),
    user_on_tcp_that_does_not_read_delays_nobody.differs_on_oracle(BLOCKS),
    client_that_does_not_read_does_not_delay_sigterm.differs_on_oracle(BLOCKS),
    reader_passed_by_the_stream_is_told_how_much.differs_on_oracle(BLOCKS),
    stamped_reader_passed_by_the_stream_is_told_how_much.differs_on_oracle(BLOCKS),
    log_is_complete_beside_a_reader_that_is_not.differs_on_oracle(BLOCKS),
];

/// A server whose child waits for the file `go`, then prints a lot.
fn bursting(env: &TestEnv, more: &[&str]) -> (TestServer, Client) {
    bursting_with(env, BURST, more)
}

fn bursting_with(env: &TestEnv, burst: usize, more: &[&str]) -> (TestServer, Client) {
    let burst = burst.to_string();
    let child = ["wait-for", "go", "emit", &burst, "say", "END", "cat"];
    started(env.server().log_endpoint().logged().opts(more).child(child))
}

/// The deaf one stays deaf throughout: what waits for it waits longer than a case does.
fn burst_passes(server: &TestServer, deaf: &mut Client, watcher: &mut Client) {
    deaf.greeting();
    fs::write(server.path("go"), "").unwrap();
    watcher.until("END\r\n");
    server.connect().greeting();
    server.connect_log().greeting();
    watcher.send("hello\n");
    watcher.until("hello\r\nhello\r\n");
}

fn user_that_does_not_read_delays_nobody(env: &TestEnv) {
    let (server, mut watcher) = bursting(env, &[]);
    burst_passes(&server, &mut server.connect(), &mut watcher);
}

fn logger_that_does_not_read_delays_nobody(env: &TestEnv) {
    let (server, mut watcher) = bursting(env, &[]);
    burst_passes(&server, &mut server.connect_log(), &mut watcher);
}

fn user_on_tcp_that_does_not_read_delays_nobody(env: &TestEnv) {
    let port = env.free_port().to_string();
    // The buffers of a TCP connection hold several MB.
    let (server, mut watcher) = bursting_with(env, 8_000_000, &["-P", &port]);
    burst_passes(&server, &mut server.connect_to(&port), &mut watcher);
}

fn client_that_does_not_read_does_not_delay_sigterm(env: &TestEnv) {
    let (server, _) = bursting(env, &[]);
    let mut deaf = server.connect();
    deaf.greeting();
    fs::write(server.path("go"), "").unwrap();
    // More than a socket holds. On procServ the stall has begun, and no more than this is logged.
    let logged = if env.ours() { 400_000 } else { 100_000 };
    server.file_with("log", format!("\r\n{:<63}\r\n", logged / 64));
    assert_eq!(server.terminate().code(), Some(0));
}

/// The notice and what came before and after it.
fn split_at_notice(received: &[u8]) -> (&[u8], usize, &[u8]) {
    let Some(begin) = find(received, b"@@@ ") else {
        panic!("no notice in {} bytes", received.len());
    };
    let end = begin + find(&received[begin..], b"\n").unwrap() + 1;
    let notice = &received[begin..end];
    let count = usize::try_from(number_after(notice, "@@@ ")).unwrap();
    let expected = format!("@@@ {count} bytes skipped: this connection reads too slowly\r\n");
    assert_eq!(show(notice), show(expected.as_bytes()));
    (&received[..begin], count, &received[end..])
}

/// All that the child prints.
fn stream() -> Vec<u8> {
    format!("{}END\n", emitted(BURST)).replace('\n', "\r\n").into_bytes()
}

/// Panics unless this is the stream with so many bytes missing between `before` and `after`. What
/// stood before the notice may have got a line end for it.
fn assert_gap(before: &[u8], skipped: usize, after: &[u8]) {
    let stream = stream();
    let kept = stream.len() - skipped - after.len();
    assert!([kept, kept + 2].contains(&before.len()), "{} for {kept}", before.len());
    assert!(stream.starts_with(&before[..kept]) && stream.ends_with(after));
    assert_eq!(stream[stream.len() - after.len() - 1], b'\n', "goes on in mid-line");
    // At most what is held, and not much less than half of it.
    assert!((500_000..=1 << 20).contains(&after.len()), "{}", after.len());
}

fn reader_passed_by_the_stream_is_told_how_much(env: &TestEnv) {
    let (server, _) = bursting(env, &[]);
    let mut deaf = server.connect();
    deaf.greeting();
    fs::write(server.path("go"), "").unwrap();
    server.file_with("log", "END\r\n");
    let received = deaf.until("END\r\n");
    let (before, skipped, after) = split_at_notice(&received);
    assert_gap(before, skipped, after);
}

/// Stamps are not counted.
fn stamped_reader_passed_by_the_stream_is_told_how_much(env: &TestEnv) {
    let (server, _) = bursting(env, &["--logstamp=STAMP "]);
    let mut deaf = server.connect_log();
    deaf.greeting();
    fs::write(server.path("go"), "").unwrap();
    server.file_with("log", "END\r\n");
    let received = deaf.until("END\r\n");
    let (before, skipped, after) = split_at_notice(&received);
    let unstamped = |text: &[u8]| -> Vec<u8> {
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        lines.flat_map(|line| line.strip_prefix(b"STAMP ").unwrap()).copied().collect()
    };
    assert_gap(&unstamped(before), skipped, &unstamped(after));
}

fn log_is_complete_beside_a_reader_that_is_not(env: &TestEnv) {
    let (server, _) = bursting(env, &[]);
    let mut deaf = server.connect();
    deaf.greeting();
    fs::write(server.path("go"), "").unwrap();
    let log = server.file_with("log", "END\r\n");
    assert!(log.ends_with(&[b"@@@ @@@ @@@ @@@ @@@\r\n", &*stream()].concat()));
}
