//! `cargo bench [-- ROW... [--runs N] [--quick]]`: procServ of this package beside the installed one
//! (`/usr/bin/procServ`, or `PROCSERV_BENCH_PEER`) and beside a reference, the leanest loop that
//! does only the row's work. The three run interleaved on the same work; ratios are medians of the
//! paired ratios. ROW is a part of a row's name. Everything is on the loopback interface and in
//! scratch directories, and no process is left behind.

// Clippy's allowances for tests look for `#[test]`, which a benchmark doesn't have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs)]

mod busy;
mod child;
mod client;
mod deaf_client;
mod drain;
mod fdstore;
mod idle;
mod latency;
mod manage;
mod manager;
mod many_clients;
mod paste;
mod payload;
mod process;
mod reference;
mod server;
mod start;
mod stats;
mod table;
mod throughput;
mod upgrade;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use server::{Kind, Transport};
use table::{Row, Series};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// In the order of a round.
pub const ALL: [Kind; 3] = [Kind::Ours, Kind::Reference, Kind::Peer];

/// procServ is slow in many rows; this many runs of it tell enough.
const PEER_RUNS: usize = 3;

/// What is measured, and how.
pub struct Bench {
    /// This executable: reference and child.
    pub own: PathBuf,
    pub ours: PathBuf,
    peer: Option<PathBuf>,
    pub runs: usize,
    pub quick: bool,
    filters: Vec<String>,
}

impl Bench {
    fn new(words: &[String]) -> Result<Bench> {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        let peer = path("PROCSERV_BENCH_PEER").unwrap_or_else(|| "/usr/bin/procServ".into());
        let ours = path("PROCSERV_BENCH_OURS");
        let mut bench = Bench {
            own: std::env::current_exe()?,
            ours: ours.unwrap_or_else(|| env!("CARGO_BIN_EXE_procServ").into()),
            peer: Some(peer).filter(|path| path.exists()),
            runs: 0,
            quick: false,
            filters: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--quick" => bench.quick = true,
                "--runs" => bench.runs = words.next().ok_or("--runs N")?.parse()?,
                other if other.starts_with('-') => {
                    return Err(format!("unknown option {other}").into());
                }
                row => bench.filters.push(row.to_owned()),
            }
        }
        if bench.runs == 0 {
            bench.runs = if bench.quick { 3 } else { 7 };
        }
        Ok(bench)
    }

    /// The installed procServ.
    ///
    /// # Errors
    /// There is none.
    pub fn peer(&self) -> Result<&PathBuf> {
        Ok(self.peer.as_ref().ok_or("not installed")?)
    }

    fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter))
    }

    /// A count, less of it in a quick run.
    pub fn few(&self, count: usize) -> usize {
        if self.quick { count.div_ceil(4) } else { count }
    }

    /// How long to wait for something that may never come, less in a quick run.
    pub fn patience(&self, patience: Duration) -> Duration {
        if self.quick { patience / 4 } else { patience }
    }

    /// Runs all programs in turn, so often; each round begins with the next one. A program that
    /// failed is not tried again.
    pub fn interleave<T>(&self, run: impl Fn(Kind) -> Result<T>) -> Series<T> {
        self.interleave_some(&ALL, [self.runs, if self.quick { 1 } else { PEER_RUNS }], run)
    }

    /// The same for some programs: so many rounds, in so many of which procServ takes part.
    pub fn interleave_some<T>(
        &self,
        kinds: &[Kind],
        [runs, peer_runs]: [usize; 2],
        run: impl Fn(Kind) -> Result<T>,
    ) -> Series<T> {
        let mut series = Series::new();
        for round in 0..runs {
            for turn in 0..kinds.len() {
                let kind = kinds[(round + turn) % kinds.len()];
                let absent = kind == Kind::Peer && (self.peer.is_none() || round >= peer_runs);
                if absent || series.of(kind).iter().any(std::result::Result::is_err) {
                    continue;
                }
                let result = run(kind).map_err(|error| error.to_string());
                process::sweep();
                series.of(kind).push(result);
            }
        }
        series
    }

    /// The best of so many rounds of all programs.
    pub fn interleave_best(&self, rounds: usize, run: impl Fn(Kind) -> Result<f64>) -> Series<f64> {
        let rounds = if self.quick { rounds.div_ceil(2) } else { rounds };
        let mut series = self.interleave_some(&ALL, [rounds, rounds], run);
        for kind in ALL {
            let runs = series.of(kind);
            let all: std::result::Result<Vec<f64>, String> = runs.drain(..).collect();
            runs.extend(match all {
                Ok(values) => values.into_iter().reduce(f64::min).map(Ok),
                Err(error) => Some(Err(error)),
            });
        }
        series
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.split_first() {
        Some((word, rest)) if word == "launch" => launch(rest),
        Some((word, rest)) if word == "reference" => reference::run(rest),
        Some((word, rest)) if word == "child" => child::run(rest),
        Some((word, rest)) if word == "on-tty" => {
            reference::take_terminal().and_then(|()| child::run(&rest[1..]))
        }
        _ => return measure(&words),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes another program, which dies with the one that measures.
fn launch(words: &[String]) -> Result<()> {
    let (program, arguments) = words.split_first().ok_or("a program")?;
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    Err(Command::new(program).args(arguments).exec().into())
}

fn measure(words: &[String]) -> ExitCode {
    if words.is_empty() {
        println!("A benchmark: run it with `cargo bench`.");
        return ExitCode::SUCCESS;
    }
    let bench = match Bench::new(words) {
        Ok(bench) => bench,
        Err(error) => {
            eprintln!("{error}\nusage: cargo bench -- [ROW...] [--runs N] [--quick]");
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        eprintln!("no subreaper: {error}");
        return ExitCode::FAILURE;
    }
    let start = Instant::now();
    println!("{}", table::head());
    let mut rows = Vec::new();
    for (name, measure) in scenarios() {
        if bench.wants(&name) {
            let new = measure(&bench);
            for row in &new {
                println!("{}", row.show());
            }
            rows.extend(new);
        }
    }
    println!();
    for note in rows.iter().flat_map(Row::notes) {
        println!("{note}");
    }
    let missed = rows.iter().filter(|row| row.is_met() == Some(false)).count();
    println!("{} runs, {missed} goals missed, {} s", bench.runs, start.elapsed().as_secs());
    ExitCode::SUCCESS
}

type Scenario = (String, Box<dyn Fn(&Bench) -> Vec<Row>>);

/// All rows, by the name they are chosen by.
fn scenarios() -> Vec<Scenario> {
    fn scenario(name: &str, measure: impl Fn(&Bench) -> Vec<Row> + 'static) -> Scenario {
        (name.to_owned(), Box::new(measure))
    }
    let throughput = throughput::WORK.map(|work| {
        scenario(&format!("throughput-{}", work.name), move |bench| throughput::row(bench, work))
    });
    let others = [
        scenario("echo-idle-unix", |bench| latency::idle(bench, Transport::Unix)),
        scenario("echo-idle-tcp", |bench| latency::idle(bench, Transport::Tcp)),
        scenario("echo-chatter-unix", |bench| latency::chatter(bench, Transport::Unix)),
        scenario("echo-chatter-tcp", |bench| latency::chatter(bench, Transport::Tcp)),
        scenario("key-full-speed", latency::key_at_full_speed),
        scenario("kill-full-speed", latency::kill_at_full_speed),
        scenario("stuck-client", deaf_client::rows),
        scenario("busy-readers-unix", |bench| busy::rows(bench, Transport::Unix)),
        scenario("busy-readers-tcp", |bench| busy::rows(bench, Transport::Tcp)),
        scenario("start", start::start),
        scenario("start-accept", start::accept),
        scenario("restart", start::restart),
        scenario("restart-typing", start::restart_typing),
        scenario("paste-deaf", paste::deaf),
        scenario("paste-parrot", paste::parrot),
        scenario("crowd", many_clients::at_once),
        scenario("churn", many_clients::one_after_the_other),
        scenario("idle", idle::idle),
        scenario("fleet", idle::fleet),
        scenario("upgrade-pause", upgrade::pause),
        scenario("pause-history", |bench| {
            upgrade::pause_with_history(bench, "pause-history", false)
        }),
        scenario("pause-history-fdstore", |bench| {
            upgrade::pause_with_history(bench, "pause-history-fdstore", true)
        }),
        scenario("fdstore-idle", fdstore::idle),
        scenario("fdstore-joins", fdstore::joins),
        scenario("records", throughput::records),
        scenario("manage", manage::rows),
    ];
    let [log_disk, none, _, _, tcp, unix_10, ..] = throughput::WORK;
    let fdstore = [log_disk, none, tcp, unix_10].map(|work| {
        scenario(&format!("fdstore-{}", work.name), move |bench| fdstore::throughput(bench, work))
    });
    throughput.into_iter().chain(others).chain(fdstore).collect()
}
