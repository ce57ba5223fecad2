//! Who descends from whom, by /proc. Where there is none, nobody does.

use std::fs;
use std::time::Duration;

use nix::unistd::getpid;

use super::pidfd;

/// What is read of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    /// When it was started, in the kernel's ticks: with the PID, its identity.
    start: u64,
    /// Whether it has not ended.
    lives: bool,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // A process may be called anything.
    let name_end = text.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(text.get(name_end + 1..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let lives = !matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some(Stat { pid, parent, start, lives })
}

/// When process `pid` was started, in the kernel's ticks since the system was (proc_pid_stat(5)).
pub fn start_ticks(pid: i32) -> Option<u64> {
    Some(stat(pid)?.start)
}

/// The children of this process that live and were not started before `since`. None of them can
/// become another process before this one has reaped it.
pub fn children_since(since: u64) -> Vec<i32> {
    let ours = getpid().as_raw();
    let look = || {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let found = pids
            .filter_map(stat)
            .filter(|stat| stat.parent == ours && stat.lives && stat.start >= since);
        found.map(|stat| stat.pid).collect::<Vec<i32>>()
    };
    let found = look();
    // One may have been started, and have lost its parent, where it had just been looked.
    if found.is_empty() { look() } else { found }
}

/// Sleeps for one `tick` of the kernel if this process has children, so that the start times of
/// children that it starts from now on differ from theirs, and [`children_since`] can tell them apart.
pub fn wait_one_tick(tick: Duration) {
    if !children_since(0).is_empty() {
        std::thread::sleep(tick);
    }
}

/// Process `pid` with its ancestors up to this process, which is not among them. `None` if it is not
/// a living descendant. To be trusted, it needs a descriptor of the process that shows it alive after
/// this.
pub fn ancestry(pid: i32) -> Option<Vec<i32>> {
    let look = || {
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
    // A number may have changed hands in between, but not twice to the same.
    let line = look()?;
    (look()? == line).then(|| line.iter().map(|stat| stat.pid).collect())
}

/// Whether process `pid` is `root` or descends from it. One that is gone does not. Where there is no
/// /proc, only itself is known to be.
pub fn is_descendant_or_self(pid: i32, root: i32) -> bool {
    let mut process = pid;
    // While one looks, parents may die and numbers be given anew: no chain is endless.
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

/// A descriptor of process `pid` and its line of ancestors, if it is a living descendant.
pub fn descendant(pid: i32) -> Option<(std::os::fd::OwnedFd, Vec<i32>)> {
    let process = pidfd::open(pid).ok()?;
    let line = ancestry(pid)?;
    pidfd::is_alive(&process).then_some((process, line))
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
