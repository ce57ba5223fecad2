//! Start times and parents of processes, read from /proc. Without /proc no process has a
//! descendant.
//!
//! The crate procfs is not used: during a cleanup all children are read every 5 to 200 ms
//! ([`ORPHAN_SCAN_INTERVAL`](crate::limits::ORPHAN_SCAN_INTERVAL)), with one read per process here
//! and with two more descriptors there; and this file builds on systems without /proc.
//!
//! A read of `/proc/PID/stat` may wait while that process executes a program of a file system that
//! hangs. So no process is read that cannot be a child of this one.

use std::fs;
use std::time::Duration;

use nix::unistd::getpid;

use super::pidfd;

/// The fields of `/proc/PID/stat` that are used (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    /// When the process was started, in ticks of USER_HZ since boot: with the PID, its identity.
    start: u64,
    /// True if the process has not ended.
    lives: bool,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain anything, parentheses and blanks included.
    let name_end = text.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(text.get(name_end + 1..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let lives = !matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some(Stat { pid, parent, start, lives })
}

/// Returns when process `pid` was started, in ticks of USER_HZ since boot (field 22 of
/// proc_pid_stat(5)).
pub(crate) fn start_ticks(pid: i32) -> Option<u64> {
    Some(stat(pid)?.start)
}

/// Returns the children of this process that live and were started at `since` or later, in ticks of
/// USER_HZ since boot. None of the PIDs can come to mean another process before this one has reaped
/// it.
pub(crate) fn children_since(since: u64) -> Vec<i32> {
    let ours = getpid().as_raw();
    let scan = || {
        let found = children()
            .unwrap_or_else(|| numbers_in("/proc").collect())
            .into_iter()
            .filter_map(stat)
            .filter(|stat| stat.parent == ours && stat.lives && stat.start >= since);
        found.map(|stat| stat.pid).collect::<Vec<i32>>()
    };
    let found = scan();
    // A process may have been started and have lost its parent in a part of the list that was read
    // already.
    if found.is_empty() { scan() } else { found }
}

/// Returns the children of all threads of this process, dead ones too; `None` if the kernel does not
/// tell (it was built without CONFIG_PROC_CHILDREN). The list can be relied on, because only this
/// process reaps its children (proc_tid_children(5)).
fn children() -> Option<Vec<i32>> {
    let read = |thread| fs::read_to_string(format!("/proc/self/task/{thread}/children"));
    read(getpid().as_raw()).ok()?;
    // A thread that has ended meanwhile has left its children to another one.
    let lists: Vec<String> = numbers_in("/proc/self/task").filter_map(|it| read(it).ok()).collect();
    let pids = lists.iter().flat_map(|list| list.split_ascii_whitespace());
    Some(pids.filter_map(|pid| pid.parse().ok()).collect())
}

/// Returns the names in a directory that are numbers.
fn numbers_in(directory: &str) -> impl Iterator<Item = i32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Sleeps for one `tick` of the kernel if this process has children, so that the start times of
/// children that it starts from now on differ from theirs, and [`children_since`] can tell them
/// apart.
pub(crate) fn wait_one_tick(tick: Duration) {
    if !children_since(0).is_empty() {
        std::thread::sleep(tick);
    }
}

/// Returns `pid` and the PIDs of its ancestors up to this process, which is not among them; `None`
/// if `pid` is not a living descendant. The answer can be trusted only if a descriptor of the
/// process shows it alive afterwards.
pub(crate) fn ancestry(pid: i32) -> Option<Vec<i32>> {
    let read = || {
        let ours = getpid().as_raw();
        let mut line = vec![stat(pid).filter(|stat| stat.lives)?];
        while let Some(last) = line.last()
            && last.parent != ours
        {
            // Processes without a parent have number 0 for it.
            let parent = stat(last.parent).filter(|_| line.len() < 1000)?;
            line.push(parent);
        }
        Some(line)
    };
    // A PID may have come to mean another process in between, but not the same one twice.
    let line = read()?;
    (read()? == line).then(|| line.iter().map(|stat| stat.pid).collect())
}

/// Returns true if process `pid` is `root` or descends from it. A process that is gone does not.
/// Without /proc only `root` itself is known to.
pub(crate) fn is_descendant_or_self(pid: i32, root: i32) -> bool {
    let mut process = pid;
    // Parents may die and PIDs be used again meanwhile, so the number of steps is limited.
    for _ in 0..10_000 {
        if process == root {
            return true;
        }
        match stat(process) {
            Some(stat) if stat.parent > 1 => process = stat.parent,
            Some(_) | None => return false,
        }
    }
    false
}

/// Returns a descriptor of process `pid`, and its [`ancestry`], if it is a living descendant.
pub(crate) fn descendant(pid: i32) -> Option<(std::os::fd::OwnedFd, Vec<i32>)> {
    let process = pidfd::open(pid).ok()?;
    let line = ancestry(pid)?;
    pidfd::is_alive(&process).then_some((process, line))
}

/// Returns a descriptor of process `pid`, if it lives, was started at `since` or later, in ticks of USER_HZ
/// since boot, and is in the control group of this process (cgroups(7)).
pub(crate) fn sibling_since(pid: i32, since: u64) -> Option<std::os::fd::OwnedFd> {
    let process = pidfd::open(pid).ok()?;
    let group = |process: &str| fs::read(format!("/proc/{process}/cgroup")).ok();
    let is_one = stat(pid)?.start >= since && group("self")? == group(&pid.to_string())?;
    (is_one && pidfd::is_alive(&process)).then_some(process)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn own_child_is_a_descendant_and_others_are_none() {
        let mut shell = Command::new("/bin/sh");
        let shell = shell.args(["-c", "read x"]).stdin(Stdio::piped());
        let mut child = shell.spawn().expect("a child");
        let pid = child.id() as i32;
        let start = start_ticks(pid).expect("its start");
        assert_eq!(descendant(pid).expect("a descendant").1, [pid]);
        assert!(children_since(start).contains(&pid));
        assert!(!children_since(start + 1).contains(&pid));
        wait_one_tick(Duration::from_millis(10));
        let mut younger = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().expect("a child");
        assert!(start_ticks(younger.id() as i32) > Some(start));
        younger.kill().and_then(|()| younger.wait()).expect("its end");
        for other in [0, -1, 1, getpid().as_raw(), nix::unistd::getppid().as_raw(), i32::MAX] {
            assert!(descendant(other).is_none(), "{other}");
        }
        drop(child.stdin.take());
        child.wait().expect("its end");
        assert!(descendant(pid).is_none());
    }

    #[test]
    fn children_of_all_threads_are_listed_and_no_others() {
        let child_of_a_thread = || Command::new("sleep").arg("60").spawn().expect("a child");
        let (started, has_started) = std::sync::mpsc::channel();
        let (finish, is_finished) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            started.send(child_of_a_thread()).expect("a receiver");
            let _ = is_finished.recv();
        });
        let mut child = has_started.recv().expect("a child");
        let pid = child.id() as i32;
        let listed = children().expect("this kernel tells");
        assert!(listed.contains(&pid));
        for other in [1, getpid().as_raw(), nix::unistd::getppid().as_raw()] {
            assert!(!listed.contains(&other), "{other}");
        }
        // The child goes on as that of another thread.
        drop(finish);
        thread.join().expect("the end of the thread");
        assert!(children().expect("this kernel tells").contains(&pid));
        child.kill().and_then(|()| child.wait()).expect("its end");
        assert!(!children().expect("this kernel tells").contains(&pid));
    }

    #[test]
    fn parents_are_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let pid = i32::try_from(child.id()).unwrap();
        assert!(
            is_descendant_or_self(own, own)
                && is_descendant_or_self(pid, own)
                && is_descendant_or_self(pid, nix::unistd::getppid().as_raw())
        );
        assert!(
            !is_descendant_or_self(own, pid)
                && !is_descendant_or_self(1, own)
                && !is_descendant_or_self(i32::MAX, own)
        );
        child.kill().expect("kill");
        assert!(is_descendant_or_self(pid, own), "a dead child is one until it is reaped");
        child.wait().expect("its end");
        assert!(!is_descendant_or_self(pid, own));
    }
}
