//! An HTTP service that is restarted under continuous load, by overlap and by kill, and for
//! comparison without us. `PROCSERV_RESTARTS=50` (default 5) says how often, and the
//! numbers are printed: `PROCSERV_RESTARTS=50 cargo test --test blackbox child::load -- --nocapture`.

use super::listen::listening;
use crate::support::{TestEnv, TestServer, cases};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/blackbox/child/web.py");
/// How long a request takes, in seconds.
const DELAY: &str = "0.05";
const CONNECTIONS: usize = 50;

cases![
    load_overlap_refuses_and_resets_nothing.needs("python3").takes_up_to(limit()),
    load_kill_refuses_nothing.needs("python3").takes_up_to(limit()),
    load_without_us_connections_are_refused.needs("python3").takes_up_to(limit()),
];

/// Five restarts take some seconds.
fn limit() -> Duration {
    Duration::from_secs(90).max(Duration::from_secs(10) * u32::try_from(restarts()).unwrap())
}

fn restarts() -> usize {
    let number = std::env::var("PROCSERV_RESTARTS").ok();
    number.map_or(5, |number| number.parse().expect("PROCSERV_RESTARTS is a number"))
}

/// What became of all requests.
#[derive(Debug, Default)]
struct Tally {
    /// By the PID that answered.
    answered: BTreeMap<i32, usize>,
    refused: usize,
    /// Connected, and then no whole answer.
    broken: usize,
}

/// One request after the other, of each of so many clients, each with a connection of its own.
struct Load {
    port: u16,
    over: AtomicBool,
    begun: AtomicUsize,
    tally: Mutex<Tally>,
}

impl Load {
    fn new(port: u16) -> Load {
        let (over, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
        Load { port, over, begun, tally: Mutex::default() }
    }

    /// While `body` runs.
    fn run(&self, body: impl FnOnce()) {
        thread::scope(|scope| {
            // A failed body must end the others, too.
            struct End<'a>(&'a AtomicBool);
            impl Drop for End<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let _end = End(&self.over);
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    while !self.over.load(Ordering::Relaxed) {
                        self.request();
                    }
                });
            }
            body();
        });
    }

    fn request(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let stream = TcpStream::connect(("127.0.0.1", self.port));
        let mut tally = match stream.map_err(|error| error.kind()).and_then(get) {
            Ok(pid) => {
                let mut tally = self.tally.lock().unwrap();
                *tally.answered.entry(pid).or_default() += 1;
                return;
            }
            Err(ErrorKind::ConnectionRefused) => {
                // Whoever is refused tries again, but not all the time.
                thread::sleep(Duration::from_millis(1));
                self.tally.lock().unwrap()
            }
            Err(_) => {
                let mut tally = self.tally.lock().unwrap();
                tally.broken += 1;
                return;
            }
        };
        tally.refused += 1;
    }

    /// Waits until the process `pid` has answered.
    fn answered_by(&self, env: &TestEnv, pid: i32) {
        env.wait_for(&format!("an answer of process {pid}"), || {
            self.tally.lock().unwrap().answered.contains_key(&pid).then_some(())
        });
    }

    fn report(&self, what: &str, took: Duration) -> Tally {
        let tally = std::mem::take(&mut *self.tally.lock().unwrap());
        let answered: usize = tally.answered.values().sum();
        println!(
            "{what}: {} restarts, {answered} answered by {} processes, {} refused, {} broken, {took:.1?}",
            restarts(),
            tally.answered.len(),
            tally.refused,
            tally.broken
        );
        tally
    }
}

/// The PID in a whole answer.
fn get(mut stream: TcpStream) -> Result<i32, ErrorKind> {
    let broken = |error: std::io::Error| match error.kind() {
        // Not a connection that was refused.
        ErrorKind::ConnectionRefused => ErrorKind::ConnectionReset,
        kind => kind,
    };
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(broken)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(broken)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(broken)?;
    let _ = stream.shutdown(Shutdown::Both);
    let body = answer.split_once("\r\n\r\n").and_then(|(_, body)| body.strip_suffix('\n'));
    body.and_then(|body| body.parse().ok()).ok_or(ErrorKind::UnexpectedEof)
}

fn serving(env: &TestEnv, options: &[&str]) -> (TestServer, u16) {
    let port = env.free_port();
    let setup = listening(env, &[format!("tcp://127.0.0.1:{port}")]).opts(["--holdoff", "0"]);
    let server = setup.opts(["-L", "log"]).opts(options).command(["python3", WEB, DELAY]).start();
    child(env, &server, 1);
    (server, port)
}

/// The PID of the `number`th child, from 1, once it serves.
fn child(env: &TestEnv, server: &TestServer, number: usize) -> i32 {
    env.wait_for("the next child to serve", || {
        let log = std::fs::read_to_string(server.path("log")).ok()?;
        let mut pids = log.split("@@@ The PID of new child").skip(number);
        (log.matches("serving\r\n").count() >= number).then_some(())?;
        pids.next()?.split_once("is: ")?.1.split_once('\r')?.0.parse().ok()
    })
}

fn load_overlap_refuses_and_resets_nothing(env: &TestEnv) {
    // Only READY=1 ends the wait.
    let (server, port) = serving(env, &["--overlap", "60000"]);
    let load = Load::new(port);
    let start = Instant::now();
    load.run(|| {
        load.answered_by(env, child(env, &server, 1));
        for number in 2..=restarts() + 1 {
            server.signal(Signal::SIGUSR2);
            load.answered_by(env, child(env, &server, number));
            // The old one has finished what it had begun.
            env.wait_for("the end of the old one", || {
                let log = std::fs::read_to_string(server.path("log")).ok()?;
                (log.matches("Normal exit status = 0").count() == number - 1).then_some(())
            });
        }
    });
    let tally = load.report("by overlap", start.elapsed());
    assert_eq!((tally.refused, tally.broken), (0, 0));
    assert_eq!(tally.answered.len(), restarts() + 1);
    let log = String::from_utf8(server.file("log")).unwrap();
    assert_eq!(log.matches("finished\r\n").count(), restarts(), "{log}");
}

fn load_kill_refuses_nothing(env: &TestEnv) {
    let (server, port) = serving(env, &[]);
    let load = Load::new(port);
    let mut user = server.connect();
    user.greeting();
    let start = Instant::now();
    load.run(|| {
        load.answered_by(env, child(env, &server, 1));
        for number in 2..=restarts() + 1 {
            user.send(b"\x18");
            load.answered_by(env, child(env, &server, number));
        }
    });
    let tally = load.report("by kill", start.elapsed());
    assert_eq!(tally.refused, 0);
    // What a killed process had accepted is lost, and nothing else: those in the queue are served.
    assert!(tally.broken <= restarts() * CONNECTIONS, "{}", tally.broken);
    let begun = load.begun.load(Ordering::Relaxed);
    assert_eq!(begun, tally.answered.values().sum::<usize>() + tally.broken);
    assert_eq!(tally.answered.len(), restarts() + 1);
}

/// A process of the service that opens its port itself, killed at the end.
struct Alone(Child);

impl Alone {
    fn start(port: u16) -> Alone {
        let mut command = Command::new("python3");
        command.args([WEB, DELAY, &port.to_string()]).stdout(std::process::Stdio::null());
        command.env_remove("NOTIFY_SOCKET");
        Alone(command.spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// That the tests above can fail, and what they are worth.
fn load_without_us_connections_are_refused(env: &TestEnv) {
    let port = env.free_port();
    let load = Load::new(port);
    let mut service = Alone::start(port);
    let start = Instant::now();
    load.run(|| {
        load.answered_by(env, service.pid());
        for _ in 0..restarts() {
            // The best that can be done: an orderly end, then the next one at once.
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(service.pid()), Signal::SIGTERM)
                .unwrap();
            service.0.wait().unwrap();
            service = Alone::start(port);
            load.answered_by(env, service.pid());
        }
    });
    let tally = load.report("without us", start.elapsed());
    assert!(tally.refused > 0);
}
