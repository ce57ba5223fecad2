//! A child that writes as fast as it can, to the log and to clients.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use super::client::{Client, timeout};
use super::payload::{BLOCK, Checker};
use super::server::{Kind, Log, Plan, Server, Transport};
use super::table::{Goal, Row};
use super::{Bench, Result};

/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the log is looked at while there is something else to do.
const LOG_LOOK: Duration = Duration::from_micros(500);

/// One row's work.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    pub name: &'static str,
    pub transport: Transport,
    pub log: Log,
    pub clients: usize,
    /// Megabytes (2^20) that the child writes.
    pub mebibytes: usize,
}

/// The rows.
pub const WORK: [Work; 9] = [
    work("log-disk", Transport::Unix, Log::Disk, 0, 24),
    work("none", Transport::Unix, Log::None, 0, 24),
    work("0-clients", Transport::Unix, Log::Memory, 0, 24),
    work("1-unix", Transport::Unix, Log::Memory, 1, 24),
    work("1-tcp", Transport::Tcp, Log::Memory, 1, 24),
    work("10-unix", Transport::Unix, Log::Memory, 10, 16),
    work("10-tcp", Transport::Tcp, Log::Memory, 10, 16),
    work("100-unix", Transport::Unix, Log::Memory, 100, 4),
    work("100-tcp", Transport::Tcp, Log::Memory, 100, 4),
];

const fn work(
    name: &'static str,
    transport: Transport,
    log: Log,
    clients: usize,
    mebibytes: usize,
) -> Work {
    Work { name, transport, log, clients, mebibytes }
}

impl Work {
    /// What to start for it, but the child.
    pub fn plan(self) -> Plan {
        let Work { transport, log, clients, .. } = self;
        Plan { transport, log, clients, interactive: false, ..Plan::new([]) }
    }
}

/// What a run gave.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// MB (10^6 bytes as the child wrote them) a second.
    pub speed: f64,
    /// Milliseconds of CPU of the server for each MB.
    pub cpu: f64,
}

/// Measures one row, in all programs.
pub fn row(bench: &Bench, work: Work) -> Vec<Row> {
    let series = bench.interleave(|kind| run(bench, kind, work.plan(), work));
    let name = format!("throughput-{}", work.name);
    let cpu_goal = if work.clients >= 10 { Goal::ReferenceAtMost(1.3) } else { Goal::None };
    vec![
        Row::new(name.clone(), "MB/s", &series, Goal::ReferenceAtLeast(0.85), |s| s.speed),
        Row::new(name, "CPU ms/MB", &series, cpu_goal, |s| s.cpu),
    ]
}

/// What `--events` and `--status-file` cost where the log has most to do: our server with them, and
/// without them in the place of the reference.
pub fn records(bench: &Bench) -> Vec<Row> {
    const OPTIONS: &[&str] = &["--events", "events", "--status-file", "status"];
    let [work, ..] = WORK;
    // The difference is less than that of two runs.
    let runs = 3 * bench.runs;
    let kinds = [Kind::Ours, Kind::Reference];
    let series = bench.interleave_some(&kinds, [runs, 0], |kind| {
        let options = if kind == Kind::Ours { OPTIONS } else { &[] };
        run(bench, Kind::Ours, Plan { options, ..work.plan() }, work)
    });
    let name = format!("throughput-{} with and without records", work.name);
    vec![Row::new(name, "CPU ms/MB", &series, Goal::ReferenceAtMost(1.02), |s| s.cpu)]
}

/// Runs a program with this plan, but the child, once.
pub fn run(bench: &Bench, kind: Kind, plan: Plan, work: Work) -> Result<Sample> {
    let mebibytes = if bench.quick { work.mebibytes.div_ceil(4) } else { work.mebibytes };
    let blocks = (mebibytes << 20) / BLOCK;
    let child = ["emit", &blocks.to_string()].map(str::to_owned).to_vec();
    let plan = Plan { child, ..plan };
    let deadline = Instant::now() + PATIENCE;
    let server = Server::start(bench, kind, &plan)?;
    let clients = server.clients(work.clients, deadline)?;
    let mut readers = Readers::new(&server, clients, blocks)?;
    let cpu = server.cpu()?;
    server.open_gate(deadline)?;
    let start = Instant::now();
    readers.run(deadline)?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = server.cpu()?.saturating_sub(cpu).as_secs_f64();
    let megabytes = (blocks * BLOCK) as f64 / 1e6;
    Ok(Sample { speed: megabytes / seconds, cpu: cpu * 1e3 / megabytes })
}

/// Everybody who has to get the stream: the clients, the log, and the child's own word that it has
/// written it.
pub struct Readers<'a> {
    clients: Vec<(Client, Checker)>,
    log: Option<(File, Checker)>,
    ack: Option<&'a File>,
    /// When the child had written everything.
    pub child_done: Option<Instant>,
    /// When the log had it.
    pub log_done: Option<Instant>,
    /// When the last client had it.
    pub clients_done: Option<Instant>,
}

impl<'a> Readers<'a> {
    pub fn new(server: &'a Server, clients: Vec<Client>, blocks: usize) -> Result<Readers<'a>> {
        for client in &clients {
            client.set_nonblocking()?;
        }
        let checked = |client| (client, Checker::new(blocks));
        let log = match &server.log {
            // The server may not have created it yet.
            Some(path) => {
                let file = File::options().append(true).create(true).read(true).open(path)?;
                Some((file, Checker::new(blocks)))
            }
            None => None,
        };
        Ok(Readers {
            clients: clients.into_iter().map(checked).collect(),
            log,
            ack: Some(server.ack()),
            child_done: None,
            log_done: None,
            clients_done: None,
        })
    }

    /// Reads until everybody has everything, and checks it.
    pub fn run(&mut self, deadline: Instant) -> Result<()> {
        let mut buffer = vec![0; 256 << 10];
        let mut waiting: Vec<usize> = (0..self.clients.len()).collect();
        let mut looked = Instant::now();
        loop {
            let log_waits = self.log.is_some() && self.log_done.is_none();
            if waiting.is_empty() && !log_waits && self.ack.is_none() {
                break;
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(self.missing().into());
            }
            if log_waits && now - looked >= LOG_LOOK {
                looked = now;
                self.look_at_log(&mut buffer)?;
                continue;
            }
            let (ack_ready, ready) = self.wait(&waiting, log_waits, deadline)?;
            if ack_ready {
                self.child_done = Some(Instant::now());
                self.ack = None;
            }
            for &index in &ready {
                let (client, checker) = &mut self.clients[index];
                match (&client.file).read(&mut buffer) {
                    Ok(0) => return Err("connection closed".into()),
                    Ok(count) => {
                        checker.feed(&buffer[..count]);
                        checker.verdict()?;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if !ready.is_empty() {
                waiting.retain(|&index| !self.clients[index].1.is_complete());
                if waiting.is_empty() {
                    self.clients_done = Some(Instant::now());
                }
            }
        }
        Ok(())
    }

    /// Which of `waiting` have something, and whether the child has said that it is done.
    fn wait(
        &self,
        waiting: &[usize],
        log_waits: bool,
        deadline: Instant,
    ) -> Result<(bool, Vec<usize>)> {
        let fds = waiting.iter().map(|&index| self.clients[index].0.file.as_fd());
        let fds = self.ack.iter().map(|ack| ack.as_fd()).chain(fds);
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        let left = if log_waits { left.min(Duration::from_millis(1)) } else { left };
        poll(&mut fds, timeout(left))?;
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let ack_ready = self.ack.is_some() && ready.next().unwrap_or(false);
        let ready = waiting.iter().zip(ready).filter(|(_, ready)| *ready);
        Ok((ack_ready, ready.map(|(&index, _)| index).collect()))
    }

    fn look_at_log(&mut self, buffer: &mut [u8]) -> Result<()> {
        let Some((file, checker)) = &mut self.log else {
            return Ok(());
        };
        loop {
            match file.read(buffer)? {
                0 => break,
                count => checker.feed(&buffer[..count]),
            }
        }
        checker.verdict()?;
        if checker.is_complete() {
            self.log_done = Some(Instant::now());
        }
        Ok(())
    }

    /// What had not come at the deadline.
    fn missing(&self) -> String {
        let clients = self.clients.iter().filter(|(_, checker)| !checker.is_complete()).count();
        format!("> {} s; {clients} clients wait", PATIENCE.as_secs())
    }
}
