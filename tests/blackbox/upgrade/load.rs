//! Many upgrades in a row, with the child writing as fast as it can to 20 clients, one of whom
//! doesn't read and one of whom types: every stream is compared byte for byte.

use crate::support::{
    NEGOTIATION, TestEnv, TestServer, alive, anonymous_memory, cases, descriptors, find,
};
use crate::upgrade::ask::notice;
use crate::upgrade::traffic::{FLOOD, Follower, follow};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

cases![upgrades_in_a_row_under_load.takes_up_to(limit())];

/// Thirty take some seconds.
fn limit() -> Duration {
    Duration::from_secs(90).max(Duration::from_secs(2) * u32::try_from(wanted()).unwrap())
}

fn wanted() -> usize {
    std::env::var("UPGRADES").map_or(30, |number| number.parse().unwrap())
}

/// What an idle server may have grown by from the first upgrade to the last, in KiB. Under load the
/// stream and the input that it holds are as full as they happen to be.
const GROWTH: u64 = 512;

/// Looks at its size, evenly spread.
const LOOKS: usize = 10;

/// Shared with those who read and write.
#[derive(Default)]
struct Shared {
    /// Upgrades that the log has told of.
    upgrades: AtomicUsize,
    /// Nothing more is to be typed.
    enough: AtomicBool,
}

fn upgrades_in_a_row_under_load(env: &TestEnv) {
    let wanted = wanted();
    let port = env.free_port().to_string();
    let setup = env.server().logged().log_endpoint().opts(["-P", &port, "-w"]);
    let server = setup.command(["./fake-ioc", FLOOD]).start();
    server.connect().greeting();
    let endpoints = ["ctl", "log-ctl", "ctl", "log-ctl", "tcp"];
    let mut streams: Vec<File> = (0..20)
        .map(|number| match endpoints[number % 5] {
            "tcp" => TcpStream::connect(format!("127.0.0.1:{port}")).unwrap().into(),
            name => UnixStream::connect(server.path(name)).unwrap().into(),
        })
        .map(|stream: OwnedFd| File::from(stream))
        .collect();
    // Whoever waits for a stream to go on does not wait for ever.
    let timeout = TimeVal::new(env.timeout().as_secs().cast_signed(), 0);
    for stream in &streams {
        setsockopt(stream, sockopt::ReceiveTimeout, &timeout).unwrap();
        setsockopt(stream, sockopt::SendTimeout, &timeout).unwrap();
    }
    streams.iter_mut().for_each(|stream| read_until(stream, NEGOTIATION));
    streams[0].write_all(b"\x12").unwrap();
    streams.iter_mut().for_each(|stream| read_until(stream, b"READY\r\n"));
    let child = server.child_start(1);
    let idle_size = |number: usize| {
        server.signal(nix::sys::signal::SIGUSR1);
        let upgraded = b"@@@ procServ server upgraded in place".as_slice();
        let told =
            || server.file("log").windows(upgraded.len()).filter(|it| *it == upgraded).count();
        env.wait_for("an upgrade of an idle server", || (told() >= number).then_some(()));
        anonymous_memory(server.pid())
    };
    let before = idle_size(1);

    let shared = Arc::new(Shared::default());
    let mut typist = streams[0].try_clone().unwrap();
    let sleeper = streams.pop().unwrap();
    let log = follow_log(&server, env, &shared);
    let readers: Vec<_> = streams.into_iter().map(|s| thread::spawn(move || follow(s))).collect();
    let typing = Arc::clone(&shared);
    let typed = thread::spawn(move || paste(&mut typist, &typing.enough));
    fs::write(server.path("go"), "").unwrap();

    let (mut sizes, mut counts) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    for number in 1..=wanted {
        server.signal(nix::sys::signal::SIGUSR1);
        env.wait_for(&format!("upgrade {number} of {wanted}"), || {
            assert!(!log.is_finished() && alive(server.pid()));
            (shared.upgrades.load(Ordering::Acquire) > number).then_some(())
        });
        if number.is_multiple_of((wanted / LOOKS).max(1)) {
            sizes.push(anonymous_memory(server.pid()));
            counts.push(descriptors(server.pid()).len());
        }
    }
    let took = begin.elapsed();

    shared.enough.store(true, Ordering::Release);
    let typed = typed.join().unwrap();
    env.wait_for("the child to keep all that was typed", || {
        (fs::metadata(server.path("kept")).unwrap().len() >= typed).then_some(())
    });
    fs::write(server.path("end"), "").unwrap();
    let log = log.join().unwrap();
    let mut followers: Vec<Follower> = readers.into_iter().map(|r| r.join().unwrap()).collect();
    followers.push(follow(sleeper));
    assert_eq!(log.skipped, 0);
    for follower in &followers {
        assert_eq!(follower.position(), log.position());
    }
    assert!(server.file("kept") == pasted(typed));
    assert_eq!(server.child_start(1), child);
    assert_eq!(log.notices, wanted + 1);
    let after = idle_size(wanted + 2);
    let skipped: u64 = followers.iter().map(|follower| follower.skipped).sum();
    println!(
        "{wanted} upgrades in {took:?}: {} bytes written, {typed} typed, {skipped} skipped by \
         readers in all; anonymous memory, KiB: idle {before}, {sizes:?}, idle {after}; \
         descriptors: {counts:?}",
        log.position(),
    );
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    assert!(after <= before + GROWTH, "{before} KiB, then {after}");
    assert_eq!(server.terminate().code(), Some(0));
}

fn read_until(stream: &mut File, end: &[u8]) {
    let mut read = Vec::new();
    while find(&read, end).is_none() {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1);
        read.extend_from_slice(&byte);
    }
}

fn paste_line(number: u64) -> Vec<u8> {
    format!("pasted {number:<56}\n").into_bytes()
}

/// Types until it is enough; how many bytes.
fn paste(stream: &mut File, enough: &AtomicBool) -> u64 {
    let mut typed = 0;
    for number in 0.. {
        if enough.load(Ordering::Acquire) {
            break;
        }
        let line = paste_line(number);
        stream.write_all(&line).unwrap();
        typed += line.len() as u64;
        // A fast one, but not all that there is.
        if number % 64 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    typed
}

fn pasted(len: u64) -> Vec<u8> {
    (0..len / 64).flat_map(paste_line).collect()
}

/// Reads the log while it grows.
fn follow_log(server: &TestServer, env: &TestEnv, shared: &Arc<Shared>) -> JoinHandle<Follower> {
    let mut log = File::open(server.path("log")).unwrap();
    let (notice, shared, timeout) = (notice(env), Arc::clone(shared), env.timeout());
    read_until_there(env, &mut log, b"READY\r\n");
    thread::spawn(move || {
        let mut follower = Follower::default();
        let mut buffer = vec![0; 1 << 20];
        let mut last = Instant::now();
        while !follower.ended {
            match log.read(&mut buffer).unwrap() {
                0 => {
                    assert!(last.elapsed() < timeout, "the log stands still");
                    thread::sleep(Duration::from_millis(1));
                }
                count => {
                    last = Instant::now();
                    follower.feed(&buffer[..count], notice.as_bytes());
                    shared.upgrades.store(follower.notices, Ordering::Release);
                }
            }
        }
        follower
    })
}

fn read_until_there(env: &TestEnv, log: &mut File, end: &[u8]) {
    let mut read = Vec::new();
    env.wait_for("the log's begin", || {
        let mut byte = [0];
        while find(&read, end).is_none() && log.read(&mut byte).unwrap() == 1 {
            read.extend_from_slice(&byte);
        }
        find(&read, end)
    });
}
