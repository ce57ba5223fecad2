//! A soak: clients come and go, type and kill, logs are renamed, the server is upgraded, in random
//! order and for as long as wanted. At the end the log has each byte that a client was sent, once and
//! in order.
//!
//! `PROCSERV_SOAK=600 cargo test --test blackbox soak -- --nocapture` goes on for ten minutes.

use crate::support::{TestEnv, TestServer, cases, find, show};
use crate::upgrade::ask::notice;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

cases![every_byte_is_accounted_for.takes_up_to(Duration::from_secs(100) + 3 * wanted())];

/// How long the soak goes on at least.
fn wanted() -> Duration {
    let seconds = std::env::var("PROCSERV_SOAK").map_or(0, |number| number.parse().unwrap());
    Duration::from_secs(seconds)
}

/// How many things happen at least.
const STEPS: usize = 150;

/// Clients that are connected at the same time.
const CLIENTS: usize = 10;

const WELCOME: &[u8] = b" (plus you)\r\n";
const HELP: &[u8] = b"@@@ ^R or ^X restarts the child, ^Q quits the server\r\n";
const SKIPPED: &[u8] = b" bytes skipped: this connection reads too slowly\r\n";

fn every_byte_is_accounted_for(env: &TestEnv) {
    let options = ["-P", "raw:unix:raw", "-l", "raw:unix:log-ctl", "--holdoff", "0", "-w"];
    let setup = env.server().logged().opts(options).child(["lines", "300", "cat"]);
    let server = setup.start();
    let mut soak = Soak::new(env, &server);
    let begun = Instant::now();
    let mut steps = 0;
    while steps < STEPS || begun.elapsed() < wanted() {
        soak.step();
        steps += 1;
    }
    let bytes = soak.finish();
    println!("{steps} steps in {:?}: {:?}, {bytes} bytes compared", begun.elapsed(), soak.counts);
}

/// What a reader of everything has got. Another thread adds to it.
type Received = Arc<Mutex<Vec<u8>>>;

/// A client, and how much the reader of everything had got when it connected.
struct User {
    stream: UnixStream,
    joined: usize,
}

struct Soak<'a> {
    env: &'a TestEnv,
    server: &'a TestServer,
    random: fastrand::Rng,
    everything: Received,
    reader: Option<thread::JoinHandle<()>>,
    users: Vec<User>,
    /// The logs that were renamed.
    log: Vec<u8>,
    children: usize,
    counts: BTreeMap<&'static str, usize>,
}

impl<'a> Soak<'a> {
    fn new(env: &'a TestEnv, server: &'a TestServer) -> Soak<'a> {
        let connect = || UnixStream::connect(server.path("log-ctl")).ok();
        let mut stream = env.wait_for("the log endpoint", connect);
        let everything = Received::default();
        let received = Arc::clone(&everything);
        let reader = thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                received.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        env.wait_for("the greeting", || after_greeting(&everything.lock().unwrap()).map(drop));
        let mut soak = Soak {
            env,
            server,
            random: fastrand::Rng::with_seed(4711),
            everything,
            reader: Some(reader),
            users: Vec::new(),
            log: Vec::new(),
            children: 0,
            counts: BTreeMap::new(),
        };
        soak.connect();
        soak.kill();
        soak
    }

    fn step(&mut self) {
        match self.random.u32(..16) {
            0..3 => self.connect(),
            3..5 => self.disconnect(),
            5..10 => self.types(),
            10 => self.kill(),
            11 => self.toggle(),
            12 => self.hup(),
            13 => self.rename(),
            _ => self.upgrade(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn connect(&mut self) {
        if self.users.len() < CLIENTS {
            let joined = self.everything.lock().unwrap().len();
            let stream = UnixStream::connect(self.server.path("raw")).unwrap();
            self.users.push(User { stream, joined });
            self.count("connects");
        }
    }

    /// A client leaves. What it has got is a part of everything.
    fn disconnect(&mut self) {
        if self.users.len() < 2 {
            return;
        }
        let User { mut stream, joined } =
            self.users.swap_remove(self.random.usize(1..self.users.len()));
        stream.set_nonblocking(true).unwrap();
        let mut got = Vec::new();
        self.env.wait_for("a greeting", || {
            let mut buffer = [0; 1 << 16];
            loop {
                match stream.read(&mut buffer) {
                    Ok(count @ 1..) => got.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    end => panic!("the connection ended: {end:?}"),
                }
            }
            after_greeting(&got).map(drop)
        });
        self.count("disconnects");
        let got = after_greeting(&got).unwrap();
        if find(got, SKIPPED).is_some() {
            self.count("clients that skipped");
            return;
        }
        self.env.wait_for("the same bytes in everything", || {
            let everything = self.everything.lock().unwrap();
            find(&everything[joined..], got).or(got.is_empty().then_some(0))
        });
    }

    fn user(&mut self) -> &mut UnixStream {
        let index = self.random.usize(..self.users.len());
        &mut self.users[index].stream
    }

    /// The child gets lines, which its terminal echoes and it repeats.
    fn types(&mut self) {
        let lines = self.random.usize(1..150);
        let text: String = (0..lines).map(|number| format!("typed line {number:<40}\n")).collect();
        self.user().write_all(text.as_bytes()).unwrap();
        self.count("pastes");
    }

    fn kill(&mut self) {
        self.user().write_all(b"\x18").unwrap();
        self.children += 1;
        self.server.child_start(self.children);
        self.count("kills");
    }

    /// Through all three restart modes, in one read: a child that ends in mode ONESHOT ends the server.
    /// A new client has not given too many commands yet.
    fn toggle(&mut self) {
        let mut user = UnixStream::connect(self.server.path("raw")).unwrap();
        user.write_all(b"\x14\x14\x14").unwrap();
        self.count("toggles");
    }

    fn hup(&mut self) {
        self.server.signal(Signal::SIGHUP);
        self.count("hups");
    }

    fn rename(&mut self) {
        let old = self.server.path("log.old");
        fs::rename(self.server.path("log"), &old).unwrap();
        self.server.signal(Signal::SIGHUP);
        self.env.wait_for("a new log", || fs::metadata(self.server.path("log")).ok());
        self.log.extend(fs::read(old).unwrap());
        self.count("renames");
    }

    fn upgrade(&mut self) {
        let notice = notice(self.env);
        let told = || {
            let log = fs::read(self.server.path("log")).unwrap();
            assert!(find(&log, b"server not upgraded").is_none(), "{}", show(&log));
            super::ask::count(&log, notice.as_bytes())
        };
        let before = told();
        self.server.signal(Signal::SIGUSR1);
        self.env.wait_for("an upgrade", || (told() > before).then_some(()));
        self.count("upgrades");
    }

    /// Ends the server and compares. Returns how many bytes the log has.
    fn finish(&mut self) -> usize {
        while self.users.len() > 1 {
            self.disconnect();
        }
        assert!(self.server.terminate().success());
        self.reader.take().unwrap().join().unwrap();
        self.log.extend(self.server.file("log"));
        let everything = self.everything.lock().unwrap();
        let stream = after_greeting(&everything).unwrap();
        assert!(find(stream, SKIPPED).is_none(), "the reader of everything was too slow");
        let notice = notice(self.env);
        let at = compare(&self.log, stream, notice.as_bytes());
        assert_eq!(at, stream.len(), "the log ends too early");
        let notices = super::ask::count(&self.log, notice.as_bytes());
        assert_eq!(Some(&notices), self.counts.get("upgrades"));
        self.log.len()
    }
}

/// What follows the greeting, if that is there.
fn after_greeting(received: &[u8]) -> Option<&[u8]> {
    // A log client that comes while no child runs is told no number of clients.
    let ends = [WELCOME, HELP];
    let rest = ends.iter().find_map(|end| Some(&received[find(received, end)? + end.len()..]))?;
    Some(rest.strip_prefix(HELP).unwrap_or(rest))
}

/// Checks that the log is the stream, with notices between, before each of which a line that is not
/// whole was ended. Returns how much of the stream the log has.
fn compare(log: &[u8], stream: &[u8], notice: &[u8]) -> usize {
    let mut at = 0;
    let mut log = log;
    loop {
        let end = find(log, notice).unwrap_or(log.len());
        let piece = &log[..end];
        let forms = [
            Some(piece),
            piece.strip_suffix(b"\r\n"),
            // The stream's own end of the line that was ended before the last notice.
            piece.strip_prefix(b"\r\n"),
        ];
        let form = forms.into_iter().flatten().find(|form| stream[at..].starts_with(form));
        let form = form.unwrap_or_else(|| {
            let same = piece.iter().zip(&stream[at..]).take_while(|(a, b)| a == b).count();
            let near = |bytes: &[u8]| {
                show(&bytes[same.saturating_sub(100)..(same + 100).min(bytes.len())])
            };
            panic!("the log has {}\nand the stream {}", near(piece), near(&stream[at..]))
        });
        at += form.len();
        if end == log.len() {
            return at;
        }
        log = &log[end + notice.len()..];
    }
}
