//! manage-procs with 500 instances whose servers run, and with their events files. Stand-ins take the
//! place of systemctl and journalctl.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Local, SecondsFormat, TimeDelta};
use tempfile::TempDir;

use super::server::Kind;
use super::stats::median;
use super::table::{Goal, Row};
use super::{Bench, Result};

const INSTANCES: usize = 500;

/// The size of each events file, in bytes.
const EVENTS: usize = 1 << 20;

/// The time between the first and the last event of a file, in seconds.
const EVENTS_TIME: usize = 86_400;

/// For all servers to be up.
const START: Duration = Duration::from_secs(60);

/// Milliseconds.
struct Times {
    status: f64,
    why: f64,
    events: f64,
}

/// How long an operator waits.
pub fn rows(bench: &Bench) -> Vec<Row> {
    let series = bench.interleave_some(&[Kind::Ours], [1, 0], |_| {
        let fleet = Fleet::start(bench)?;
        // The events files are those of servers that have been running for a while.
        Ok(Times {
            status: fleet.time(bench, &["status"])?,
            why: fleet.time(bench, &["why", &name(0)])?,
            events: fleet.time(bench, &["events", "--since", "-1h"])?,
        })
    });
    let row = |what: &str, goal, pick: fn(&Times) -> f64| {
        Row::new(format!("manage-procs {what}"), "ms", &series, Goal::AtMost(goal), pick)
    };
    vec![
        row("status, 500 instances", 150.0, |times| times.status),
        row("why", 100.0, |times| times.why),
        row("events --since -1h, 500 files", 1000.0, |times| times.events),
    ]
}

fn name(number: usize) -> String {
    format!("ioc{number:03}")
}

/// A user's directories and servers.
struct Fleet {
    dir: TempDir,
    servers: Vec<Child>,
}

impl Fleet {
    fn start(bench: &Bench) -> Result<Fleet> {
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mut fleet = Fleet { dir, servers: Vec::new() };
        for directory in ["bin", "home/.config/procServ.d"] {
            fs::create_dir_all(fleet.path(directory))?;
        }
        symlink(&bench.ours, fleet.path("bin/procServ"))?;
        let show = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n";
        let units: String = (0..INSTANCES)
            .map(|number| format!("Id=procserv-{}.service\n{show}\n", name(number)))
            .collect();
        fs::write(fleet.path("units"), units)?;
        fleet.program("systemctl", &format!("exec cat {}", fleet.path("units").display()))?;
        fleet.program("journalctl", "exit 0")?;
        for number in 0..INSTANCES {
            let name = name(number);
            let file = fleet.path(&format!("home/.config/procServ.d/{name}.conf"));
            fs::write(file, format!("[{name}]\ncommand = sleep 1000000\nchdir = /\n"))?;
            fs::create_dir_all(fleet.path(&format!("run/procserv-{name}")))?;
            let mut command = fleet.command(&bench.own);
            command.args(["launch", MANAGE, "launcher", "--user", &name]);
            fleet.servers.push(command.stdout(Stdio::null()).spawn()?);
        }
        let deadline = Instant::now() + START;
        for number in 0..INSTANCES {
            let status = fleet.path(&format!("run/procserv-{}/status", name(number)));
            while !status.exists() {
                if Instant::now() > deadline {
                    return Err(format!("{} does not start", name(number)).into());
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
        fleet.write_events()?;
        Ok(fleet)
    }

    /// Fills the events files with those of a day.
    fn write_events(&self) -> Result<()> {
        let line = |time: DateTime<Local>| {
            let time = time.to_rfc3339_opts(SecondsFormat::Millis, false);
            format!(
                "{{\"v\":1,\"time\":\"{time}\",\"event\":\"connect\",\"client\":{{\"id\":7,\
                 \"role\":\"user\",\"endpoint\":\"unix:/run/procserv-ioc/control\",\"uid\":1001,\
                 \"gid\":1001,\"pid\":12345}}}}\n"
            )
        };
        let now = Local::now();
        let count = EVENTS / line(now).len();
        let text: String = (0..count)
            .map(|number| EVENTS_TIME * (count - number) / count)
            .map(|ago| line(now - TimeDelta::seconds(ago as i64)))
            .collect();
        for number in 0..INSTANCES {
            let logs = format!("home/.local/state/log/procserv-{}/events", name(number));
            fs::write(self.path(&logs), &text)?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, script: &str) -> Result<()> {
        let path = self.path(&format!("bin/{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command.env("HOME", self.path("home")).env("XDG_RUNTIME_DIR", self.path("run"));
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The median of some runs of a command, in milliseconds.
    fn time(&self, bench: &Bench, words: &[&str]) -> Result<f64> {
        let mut times = Vec::new();
        // The first run finds nothing in memory.
        for _ in 0..=bench.runs {
            let start = Instant::now();
            let output = self.command(MANAGE).arg("--user").args(words).output()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if !output.status.success() || output.stdout.is_empty() {
                return Err(format!("{}: {}", words.join(" "), output.status).into());
            }
        }
        Ok(median(times.into_iter().skip(1)).ok_or("no runs")?)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // Either has already ended: nothing is lost then.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

const MANAGE: &str = env!("CARGO_BIN_EXE_manage-procs");
