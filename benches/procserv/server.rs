//! A server that is measured: ours, the installed procServ, or the reference. Dropped, it and all
//! that it started are gone.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::client::{Client, Endpoint, free_port, wait_readable};
use super::manager::Manager;
use super::{Bench, Result, process};

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ours,
    Peer,
    Reference,
}

/// How the clients come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Unix,
    Tcp,
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Transport::Unix => "unix",
            Transport::Tcp => "tcp",
        }
    }
}

/// Where the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    None,
    /// In the build directory, on whatever disk that is.
    Disk,
    /// In memory.
    Memory,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Plan {
    pub transport: Transport,
    pub log: Log,
    /// How many clients will connect; the reference has to know.
    pub clients: usize,
    /// Whether they send anything.
    pub interactive: bool,
    /// What the child does: a command of `child.rs` and its arguments.
    pub child: Vec<String>,
    /// More options of our server.
    pub options: &'static [&'static str],
    /// Our server has `--fdstore`, and a service manager that keeps what it stores.
    pub fdstore: bool,
    /// Without the step between that ties its life to ours, which costs a millisecond.
    pub direct: bool,
}

impl Plan {
    /// A Unix socket, no log, one client that sends something.
    pub fn new<const N: usize>(child: [&str; N]) -> Plan {
        Plan {
            transport: Transport::Unix,
            log: Log::None,
            clients: 1,
            interactive: true,
            child: child.map(str::to_owned).to_vec(),
            options: &[],
            fdstore: false,
            direct: false,
        }
    }
}

/// A server and its scratch directories.
pub struct Server {
    pub endpoint: Endpoint,
    pub log: Option<PathBuf>,
    process: Child,
    ack: File,
    manager: Option<Manager>,
    dir: TempDir,
    // Holds the log; removed last.
    _log_dir: Option<TempDir>,
}

impl Server {
    /// Starts it; `Server::client` waits until it listens.
    pub fn start(bench: &Bench, kind: Kind, plan: &Plan) -> Result<Server> {
        let dir = tempfile::Builder::new().prefix("procserv-bench-").tempdir()?;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        mkfifo(&dir.path().join("gate"), mode)?;
        mkfifo(&dir.path().join("ack"), mode)?;
        let ack = open_fifo(&dir.path().join("ack"), false)?;
        let log_dir = match plan.log {
            Log::None => None,
            Log::Disk => Some(TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?),
            Log::Memory => Some(memory_dir()?),
        };
        let log = log_dir.as_ref().map(|dir| dir.path().join("log"));
        let port = free_port()?;
        let socket = dir.path().join("ctl");
        let endpoint = match plan.transport {
            Transport::Unix => Endpoint::Unix(socket.clone()),
            Transport::Tcp => Endpoint::Tcp(port),
        };
        let program = match kind {
            Kind::Ours => &bench.ours,
            Kind::Peer => bench.peer()?,
            Kind::Reference => &bench.own,
        };
        let notify = dir.path().join("notify");
        let manager = plan.fdstore.then(|| Manager::new(&notify)).transpose()?;
        let mut command = Command::new(if plan.direct { program } else { &bench.own });
        if !plan.direct {
            command.arg("launch").arg(program);
        }
        match kind {
            Kind::Ours | Kind::Peer => {
                command.args(["-f", "-q", "--holdoff", "0"]);
                match plan.transport {
                    Transport::Unix => command.arg("-P").arg("unix:ctl"),
                    Transport::Tcp => command.arg("-P").arg(port.to_string()),
                };
                if let Some(log) = &log {
                    command.arg("-L").arg(log);
                }
                if plan.fdstore {
                    command.arg("--fdstore").env("NOTIFY_SOCKET", &notify);
                }
                command.args(plan.options).arg(&bench.own);
            }
            Kind::Reference => {
                command.arg("reference");
                command.arg("--clients").arg(plan.clients.to_string());
                match plan.transport {
                    Transport::Unix => command.arg("--unix").arg(&socket),
                    Transport::Tcp => command.arg("--tcp").arg(port.to_string()),
                };
                if let Some(log) = &log {
                    command.arg("--log").arg(log);
                }
                if plan.interactive {
                    command.arg("--interactive");
                }
            }
        }
        command.arg("child").arg(dir.path()).args(&plan.child);
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(dir.path().join("stderr"))?);
        let process = command.spawn()?;
        Ok(Server { endpoint, log, process, ack, manager, dir, _log_dir: log_dir })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `count` clients that have been greeted.
    pub fn clients(&self, count: usize, deadline: Instant) -> Result<Vec<Client>> {
        let connect = |_| Client::connect(&self.endpoint, deadline);
        let clients = (0..count).map(connect).collect::<Result<Vec<Client>>>();
        let clients = clients.map_err(|error| self.explain(&*error))?;
        let mut buffer = vec![0; 4096];
        for client in &clients {
            if client.read(&mut buffer, deadline)?.is_none() {
                return Err("a client is not served".into());
            }
        }
        Ok(clients)
    }

    /// Adds what the server said to an error.
    fn explain(&self, error: &dyn std::error::Error) -> String {
        let said = std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
        format!("{error}; it said: {}", said.trim())
    }

    /// Lets the child go on that waits at the gate. Waits for it to get there.
    pub fn open_gate(&self, deadline: Instant) -> Result<()> {
        let path = self.dir.path().join("gate");
        loop {
            match open_fifo(&path, true) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(self.explain(&error).into());
                }
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    /// The FIFO into which the child writes times, non-blocking.
    pub fn ack(&self) -> &File {
        &self.ack
    }

    /// Waits for a child's acknowledgement: when it was, in nanoseconds since 1970.
    pub fn acknowledged(&self, deadline: Instant) -> Result<u64> {
        let mut time = [0; 8];
        while wait_readable(self.ack.as_fd(), deadline)? && Instant::now() < deadline {
            match (&self.ack).read(&mut time) {
                // The last child's end; the next one has not opened it yet.
                Ok(0) => std::thread::sleep(Duration::from_micros(200)),
                Ok(_) => return Ok(u64::from_le_bytes(time)),
                // Just now it has.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err("hung; no answer from the child".into())
    }

    /// Waits for the end of the child, which has `ack` open as long as it lives. The next one opens
    /// it behind the gate.
    pub fn child_ended(&self, deadline: Instant) -> Result<()> {
        while wait_readable(self.ack.as_fd(), deadline)? {
            if (&self.ack).read(&mut [0; 4096])? == 0 {
                return Ok(());
            }
        }
        Err("hung; child lives on".into())
    }

    /// How many descriptors the service manager keeps.
    pub fn stored(&self) -> usize {
        self.manager.as_ref().map_or(0, Manager::kept)
    }

    /// CPU time of all threads so far.
    pub fn cpu(&self) -> Result<Duration> {
        process::cpu(self.pid())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either has already ended: nothing is lost then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn open_fifo(path: &Path, write: bool) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(!write).write(write).custom_flags(nix::libc::O_NONBLOCK).open(path)
}

/// A directory in memory, if there is one.
fn memory_dir() -> std::io::Result<TempDir> {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new_in(env!("CARGO_TARGET_TMPDIR")))
}
