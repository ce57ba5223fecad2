//! Servers that are killed while a child writes without a pause: what is missing, and what comes twice.

use super::RESTARTED;
use super::manager::random;
use super::store::Unit;
use crate::support::{Client, TestEnv, alive, cases, find};
use crate::systemd::manager::user;
use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

cases![kills_lose_nothing];

const KILLS: usize = 30;

/// The output of the child ends with this.
const END: &str = "END\r\n";

/// A client needs so many bytes to be found in the stream once more.
const PIECE: usize = 200;

/// The bytes from the first line of the child on.
fn from_first_line(received: &[u8]) -> &[u8] {
    let first = format!("{:<63}\r\n", 0);
    &received[find(received, first.as_bytes()).expect("the first line")..]
}

/// The stream without the lines about restarts, and how many these were.
fn without_restarts(stream: &[u8]) -> (Vec<u8>, usize) {
    let (mut rest, mut others, mut count) = (stream, Vec::new(), 0);
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\n@") {
        let at = at - 1;
        others.extend_from_slice(&rest[..at]);
        rest = rest[at..].strip_prefix(RESTARTED.as_bytes()).expect("a line about a restart");
        count += 1;
    }
    others.extend_from_slice(rest);
    (others, count)
}

/// How many pieces of the stream the client got twice. It misses nothing.
#[track_caller]
fn repeated(who: &str, received: &[u8], stream: &[u8]) -> usize {
    let (mut at, mut place, mut count) = (0, 0, 0);
    loop {
        let pairs = received[at..].iter().zip(&stream[place..]);
        let same = pairs.take_while(|(one, other)| one == other).count();
        (at, place) = (at + same, place + same);
        if at == received.len() {
            assert_eq!(place, stream.len(), "{who} does not get the end");
            return count;
        }
        let next = &received[at..(at + PIECE).min(received.len())];
        let mut again = stream[..place + next.len() - 1].windows(next.len());
        let again = again.rposition(|piece| piece == next);
        let shown = String::from_utf8_lossy(next);
        place = again.unwrap_or_else(|| panic!("{who} gets, after {at} bytes: {shown}"));
        count += 1;
    }
}

/// Reads everything up to the end, without a pause.
fn read_all(mut client: Client) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        client.until(END);
        client.received().to_vec()
    })
}

/// No line that was typed comes twice, and for each kill one write at most is missing.
fn check_typed(kept: &str, count: usize) {
    let numbers = kept.lines().map(|line| line.parse().expect("a line as it was typed"));
    let numbers: Vec<usize> = numbers.collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "twice or not in order: {numbers:?}");
    let all = [&[0], &*numbers, &[count + 1]].concat();
    let gaps = all.windows(2).filter(|pair| pair[0] + 1 < pair[1]).count();
    assert!(gaps <= KILLS, "{gaps} gaps in {numbers:?}");
}

fn kills_lose_nothing(env: &TestEnv) {
    let mut seed = std::env::var("SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let env = &env.with_timeout(Duration::from_secs(60));
    let port = env.free_port().to_string();
    let endpoints = ["-P", &port, "-P", "raw:unix:raw", "-l", "unix:log-ctl", "-L", "log"];
    let writes = ["raw", "background", "wait-for", "go", "emit-until", "end", ";"];
    let child = [&writes[..], &["slowly", "typed"]].concat();
    let mut unit = Unit::start(env, &endpoints, &child);
    let mut tcp = unit.server.connect_to(&port);
    tcp.greeting();
    let server = &unit.server;
    let raw = server.connect_to("unix:raw");
    let clients =
        [("telnet", user(server)), ("TCP", tcp), ("raw", raw), ("log", server.connect_log())];
    let mut typist = UnixStream::connect(server.path("ctl")).unwrap();
    let mut output = typist.try_clone().unwrap();
    let kinds = [&["child"][..], &["client"; 5], &["listener"; 4], &["pty", "state"]].concat();
    unit.store.expect(&kinds);
    let pid = unit.server.child_start(1);
    let readers = clients.map(|(who, client)| (who, read_all(client)));
    fs::write(unit.server.path("go"), "").unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let is_end = Arc::clone(&ends);
    let reading = thread::spawn(move || io::copy(&mut output, &mut io::sink()));
    let typing = thread::spawn(move || {
        let mut count = 0;
        while !is_end.load(Relaxed) {
            count += 1;
            typist.write_all(format!("{count}\n").as_bytes()).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        count
    });
    for _ in 0..KILLS {
        thread::sleep(Duration::from_micros(random(&mut seed) % 100_000));
        unit.kill_now();
        unit.next();
    }
    ends.store(true, Relaxed);
    let typed = typing.join().unwrap();
    fs::write(unit.server.path("end"), "").unwrap();
    let log = unit.server.file_with("log", END);
    let stream = from_first_line(&log);
    let (output, restarts) = without_restarts(stream);
    // A server may be killed before it says anything.
    assert!((1..=KILLS).contains(&restarts), "{restarts} lines about restarts");
    let lines = (output.len() - END.len()) / 65;
    let all: String = (0..lines).map(|n| format!("{n:<63}\r\n")).collect();
    assert!(output == (all + END).as_bytes(), "the log is not exact");
    for (who, reader) in readers {
        let received = reader.join().unwrap();
        let count = repeated(who, from_first_line(&received), stream);
        assert!(count <= KILLS, "{who} gets {count} pieces twice");
    }
    unit.server.file_with("typed", format!("{typed}\n"));
    check_typed(&String::from_utf8(unit.server.file("typed")).unwrap(), typed);
    assert!(alive(pid));
    assert_eq!(unit.starts(), 1);
    assert_eq!(unit.server.terminate().code(), Some(0));
    reading.join().unwrap().unwrap();
}
