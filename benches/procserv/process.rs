//! Processes seen through /proc, and the rule that none is left behind.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::Result;

/// CPU time of all threads of a process so far.
pub fn cpu(pid: u32) -> Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split(' ').next().unwrap_or_default();
        sum += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(sum))
}

/// Kills and reaps every child of ours: orphans of servers come to us.
pub fn sweep() {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        for pid in children() {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn children() -> Vec<i32> {
    let me = getpid().as_raw();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid: &i32| parent(pid) == Some(me)).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Anonymous memory of a process in KiB: heap, stacks and changed data. By this a process grows:
/// pages of the program's file become private, too, when the last other process of that file ends.
pub fn anonymous(pid: u32) -> Result<f64> {
    let sizes = numbers(&format!("/proc/{pid}/smaps_rollup"))?;
    Ok(sizes.get("Anonymous").copied().ok_or("no Anonymous")? as f64)
}

/// Private memory of a process in KiB: what would be free again without it, while another process
/// of the same program runs.
pub fn private(pid: u32) -> Result<f64> {
    let sizes = numbers(&format!("/proc/{pid}/smaps_rollup"))?;
    let size = |name| sizes.get(name).copied().unwrap_or(0) as f64;
    Ok(size("Private_Clean") + size("Private_Dirty"))
}

/// Its share of memory in KiB: what is private, and its part of what is shared.
pub fn proportional(pid: u32) -> Result<f64> {
    let sizes = numbers(&format!("/proc/{pid}/smaps_rollup"))?;
    Ok(sizes.get("Pss").copied().ok_or("no Pss")? as f64)
}

/// How many descriptors it has open.
pub fn descriptors(pid: u32) -> Result<f64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as f64)
}

/// How often its threads went to sleep or were preempted so far.
pub fn switches(pid: u32) -> Result<f64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let numbers = numbers(&task?.path().join("status").display().to_string())?;
        let names = ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"];
        sum += names.iter().filter_map(|&name| numbers.get(name)).sum::<u64>();
    }
    Ok(sum as f64)
}

/// The numbers of a file of lines like `Name:   123 kB`.
fn numbers(path: &str) -> Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once(':')?;
        Some((name.to_owned(), rest.split_whitespace().next()?.parse().ok()?))
    });
    Ok(lines.collect())
}
