//! Nothing of a run of tests stays behind, whatever ends the run: its last case, Ctrl-C, SIGKILL.
//!
//! All processes of a run carry a variable in their environment, and all scratch directories are in
//! one directory. A process of its own, the reaper, holds the read end of a pipe of which the runner
//! holds the write end. When the runner is gone, the reaper kills what carries the variable and
//! removes the directory.

use super::process::{alive, marked};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Marks each process of a run. Its value is the PID of the runner.
const RUN: &str = "PROCSERV_TEST_RUN";

/// The first argument that makes a reaper of a test executable.
const WORD: &str = "reaper";

/// Written into the pipe by a runner that has come to its end: then nothing may be left.
const ORDERLY: &[u8] = b"!";

/// How long the last processes of an orderly run may take to end by themselves.
const LAST_MOMENTS: Duration = Duration::from_secs(5);

/// How long nothing of the run may have been seen before it counts as gone: the environment of a
/// process is empty for a moment while the process executes a program.
const SILENCE: Duration = Duration::from_millis(50);

/// The runner's hold on the reaper.
pub(super) struct Reaper(Child);

impl Reaper {
    /// Starts the reaper of this run. Executes this program anew if its environment does not have the
    /// run's variables yet, which can't be set safely later.
    pub(super) fn start() -> Reaper {
        let myself = env::current_exe().expect("the path of this test");
        let run = std::process::id().to_string();
        if env::var_os(RUN) != Some(OsString::from(&run)) {
            let scratch =
                tempfile::Builder::new().prefix("procserv-").disable_cleanup(true).tempdir();
            let scratch = scratch.expect("a directory for scratch directories");
            // Servers that run as somebody else get through to their own.
            fs::set_permissions(&scratch, Permissions::from_mode(0o711)).expect("chmod");
            let mut command = Command::new(myself);
            command.args(env::args_os().skip(1)).env(RUN, run).env("TMPDIR", scratch.path());
            panic!("exec: {}", command.exec());
        }
        // Whoever kills all processes of the runner's name doesn't mean this one.
        let mut command = Command::new(myself);
        command.arg0("procserv-test-reaper").arg(WORD).arg(run).arg(env::temp_dir());
        Reaper(command.stdin(Stdio::piped()).spawn().expect("a reaper"))
    }

    /// The run is over. Returns true if no process was left behind.
    pub(super) fn finish(mut self) -> bool {
        let mut pipe = self.0.stdin.take().expect("a pipe");
        // If it is gone, its status says so.
        let _ = pipe.write_all(ORDERLY);
        drop(pipe);
        self.0.wait().expect("the reaper").success()
    }
}

/// Acts as the reaper if the arguments say so.
pub(super) fn act() -> Option<ExitCode> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [word, run, scratch] if word == WORD => Some(reap(run, Path::new(scratch))),
        _ => None,
    }
}

fn reap(run: &OsString, scratch: &Path) -> ExitCode {
    // Ctrl-C is for the runner.
    let _ = setsid();
    let mut word = Vec::new();
    // An error is the end as well.
    let _ = std::io::stdin().read_to_end(&mut word);
    let orderly = word == ORDERLY;
    let runner: i32 = run.to_str().and_then(|run| run.parse().ok()).expect("a PID");
    let own = std::process::id().cast_signed();
    let mark = [RUN.as_bytes(), b"=", run.as_encoded_bytes()].concat();
    let left = || -> Vec<i32> {
        // The runner waits for this process, or its end is under way.
        marked(&mark).into_iter().filter(|&pid| pid != own && pid != runner).collect()
    };
    let begin = Instant::now();
    while orderly && !left().is_empty() && begin.elapsed() < LAST_MOMENTS {
        thread::sleep(Duration::from_millis(5));
    }
    let found = left();
    for pid in found.iter().filter(|_| orderly) {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        eprintln!("left behind: process {pid}, {}", words.escape_ascii());
    }
    let begin = Instant::now();
    let mut last_seen = begin;
    while last_seen.elapsed() < SILENCE && begin.elapsed() < LAST_MOMENTS {
        // A runner that still starts processes has not ended yet.
        if !orderly && alive(runner) {
            last_seen = Instant::now();
        }
        for pid in left() {
            last_seen = Instant::now();
            // It may have gone in between.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(2));
    }
    remove(scratch);
    ExitCode::from(u8::from(!found.is_empty()))
}

/// Removes the directory, and the file systems mounted in it before.
fn remove(scratch: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4).map(Path::new));
    for point in points.filter(|point| point.starts_with(scratch)) {
        let _ = Command::new("umount").arg("-l").arg(point).status();
    }
    let _ = fs::remove_dir_all(scratch);
}
