//! Processes, found by a variable in their environment and not by parentage: a daemon and a
//! child in a session of its own have left every group they were born in.

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use signal_hook::flag::register_conditional_shutdown;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

/// The variable that marks every process of a server under test. Its value is the scratch directory.
pub(super) const MARKER: &str = "PROCSERV_TEST_DIR";

/// Makes orphans our children, so that the exit status of a daemon can be seen and no zombie stays.
pub(super) fn become_subreaper() {
    prctl::set_child_subreaper(true).expect("the kernel allows subreapers");
}

/// Has what we start begin with the signals of the keyboard at their default, though a shell in whose
/// background we run ignores them. A handler doesn't outlive exec; this one ends us as the
/// default does.
pub(super) fn unignore_keyboard_signals() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let always = Arc::new(AtomicBool::new(true));
        register_conditional_shutdown(signal as i32, 128 + signal as i32, always)
            .expect("a handler");
    }
}

/// The processes, zombies excepted, whose environment marks them as being of this server.
pub fn processes_with(dir: &Path) -> Vec<i32> {
    marked(&[MARKER.as_bytes(), b"=", dir.as_os_str().as_encoded_bytes()].concat())
}

/// The processes, zombies excepted, with this variable and value in their environment.
pub(super) fn marked(wanted: &[u8]) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        environment(*pid).split(|byte| *byte == 0).any(|variable| variable == wanted)
    })
    .collect()
}

/// The environment of a process. It is empty for a moment while the process executes a program.
fn environment(pid: i32) -> Vec<u8> {
    let read = || fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_millis(500);
    let mut environment = read();
    while environment.is_empty() && is_ours(pid) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
        environment = read();
    }
    environment
}

/// Returns true if the process lives and this process, a subreaper, is an ancestor of it.
fn is_ours(pid: i32) -> bool {
    let own = std::process::id().cast_signed();
    let mut ancestor = pid;
    while alive(pid) {
        match parent_of(ancestor) {
            Some(parent) if parent == own => return true,
            Some(0 | 1) => return false,
            Some(parent) => ancestor = parent,
            // It has ended meanwhile, and left its children to others.
            None => ancestor = pid,
        }
    }
    false
}

/// How often in a row nothing must be found: a process that ends while others are looked at may have
/// started one that was not there yet when they were listed.
const EMPTY_PASSES: usize = 3;

/// Kills all processes of a server, and reaps those that are ours to reap.
pub(super) fn kill_all(dir: &Path, direct: i32) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut seen = Vec::new();
    let mut empty_passes = 0;
    while empty_passes < EMPTY_PASSES && Instant::now() < deadline {
        // A zombie has no environment any more and is not among them.
        let living = processes_with(dir);
        for pid in &living {
            // It may have gone in between: nothing is lost then.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        seen.extend(living.iter().copied());
        for pid in &seen {
            if *pid != direct {
                let _ = reap(*pid);
            }
        }
        empty_passes = if living.is_empty() { empty_passes + 1 } else { 0 };
        thread::sleep(Duration::from_millis(1));
    }
}

/// The end of a process that is our child, directly or as its subreaper. `None`: it still runs.
pub(super) fn reap(pid: i32) -> Option<WaitStatus> {
    match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) | Err(_) => None,
        Ok(status) => Some(status),
    }
}

/// Whether the process exists and is no zombie.
pub fn alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.first().is_some_and(|state| state != "Z" && state != "X"))
}

/// The parent of a process.
pub fn parent_of(pid: i32) -> Option<i32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// The fields of `/proc/PID/stat` after the name: state, parent, group, session, terminal, ...
pub fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}

/// The open descriptors of a process, and what they are.
pub fn descriptors(pid: i32) -> Vec<(i32, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("a living process");
    let mut open: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let what = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, what.display().to_string()))
        })
        .collect();
    open.sort();
    open
}

/// Whether no thread of the process runs, waits for a processor or for a disk.
pub fn sleeps(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut texts = threads.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    texts.all(|text| text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')))
}

/// The anonymous memory of a process, in KiB: its heap, stacks and changed data. Unlike "private"
/// memory it has no pages of the program's file, which are private whenever nobody else happens to
/// run the same file.
pub fn anonymous_memory(pid: i32) -> u64 {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let row = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let size = row.and_then(|row| row.split_whitespace().next()?.parse().ok());
    size.unwrap_or_else(|| panic!("no size in {rollup}"))
}

/// How long the threads of a process have run in all, in ns.
pub fn running_time(pid: i32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("threads").flatten();
    // One that has ended meanwhile has no file any more.
    let texts = threads.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    texts.map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum::<Option<_>>().expect("times")
}

/// Sends a signal; the process must exist.
pub(super) fn send_signal(pid: i32, signal: Signal) {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) => {}
        Err(Errno::ESRCH) => panic!("no process {pid} to send {signal} to"),
        Err(error) => panic!("{signal} to {pid}: {error}"),
    }
}
