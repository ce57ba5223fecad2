//! The program under test: where it is, whether it is ours, and its words.

use super::ServerBuilder;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Generous: the machine that runs the tests may have two cores that are busy with something else.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Enough where a failure is expected, so that waiting for it doesn't dominate the run.
const SHORT_TIMEOUT: Duration = Duration::from_secs(4);

/// The program under test, and how long a case waits for it.
#[derive(Clone, Copy)]
pub struct TestEnv {
    program: &'static Program,
    timeout: Duration,
    /// When the case's own time is over, however long it may wait.
    end: Option<Instant>,
}

struct Program {
    path: PathBuf,
    version: String,
}

/// Whether the program under test is the one built here.
pub fn is_ours() -> bool {
    TestEnv::new().ours()
}

static PROGRAM: OnceLock<Program> = OnceLock::new();

impl TestEnv {
    pub(super) fn new() -> TestEnv {
        TestEnv { program: PROGRAM.get_or_init(Program::find), timeout: TIMEOUT, end: None }
    }

    pub(super) fn with_short_timeout(self) -> TestEnv {
        TestEnv { timeout: SHORT_TIMEOUT, ..self }
    }

    /// One for a case that has to be over at `end`.
    pub(super) fn ending_at(self, end: Instant) -> TestEnv {
        TestEnv { end: Some(end), ..self }
    }

    /// One whose cases wait so long for something.
    pub fn with_timeout(self, timeout: Duration) -> TestEnv {
        TestEnv { timeout, ..self }
    }

    /// The executable file.
    pub fn program(&self) -> &Path {
        &self.program.path
    }

    /// The line that `-V` prints, without its end.
    pub fn version(&self) -> &str {
        &self.program.version
    }

    /// Whether the program is the one built here.
    pub fn ours(&self) -> bool {
        self.version().contains("procserv-ng")
    }

    /// How long to wait for something that must happen. Never zero, which is no timeout for sockets.
    pub fn timeout(&self) -> Duration {
        let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        self.timeout.min(left.unwrap_or(self.timeout)).max(Duration::from_millis(1))
    }

    /// A server to be set up and started, in a scratch directory of its own.
    pub fn server(&self) -> ServerBuilder {
        ServerBuilder::new(*self)
    }

    /// Runs the program with these arguments to its end.
    pub fn run<const N: usize>(&self, arguments: [&str; N]) -> super::Finished {
        self.server().bare().opts(arguments).run()
    }

    /// Translates a text of the contract into the words of version 2.7.0 if that is what runs.
    pub fn translate(&self, text: &str) -> String {
        if self.ours() {
            return text.to_owned();
        }
        let text = text
            .replace("auto restart mode is ", "auto restart is ")
            .replace("auto restart mode to ", "auto restart to ")
            .replace("\n@@@ Got a kill command\n", "");
        text.split_inclusive('\n')
            .filter(|line| !line.starts_with("@@@ Child log file: "))
            .collect()
    }

    /// Asks until there is an answer; panics with `what` when none has come in time.
    pub fn wait_for<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + self.timeout();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(Instant::now() < deadline, "in vain waited for {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A TCP port that nobody listens on, below those the kernel gives away by itself, and given to
    /// no other case of any run that still runs.
    pub fn free_port(&self) -> u16 {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = u16::try_from(std::process::id() % 10_000).unwrap_or(0);
        loop {
            let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
            // A name that only one process can have, until it ends.
            let name = SocketAddr::from_abstract_name(format!("procserv-test-port-{port}"));
            let Ok(claim) = UnixDatagram::bind_addr(&name.expect("a short name")) else {
                continue;
            };
            std::mem::forget(claim);
            // It never listens: a process that another thread starts meanwhile has it until it
            // executes its program, but is in nobody's way with it.
            let probe = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
            let probe = probe.expect("a socket");
            setsockopt(&probe, sockopt::ReuseAddr, &true).expect("SO_REUSEADDR");
            match bind(probe.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port)) {
                Ok(()) => return port,
                Err(error) => assert_eq!(error, Errno::EADDRINUSE),
            }
        }
    }
}

impl Program {
    fn find() -> Program {
        let built = env!("CARGO_BIN_EXE_procServ");
        let path = std::env::var_os("PROCSERV_BIN").map_or_else(|| built.into(), PathBuf::from);
        let output = Command::new(&path).arg("-V").output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let version = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        Program { path, version }
    }
}
