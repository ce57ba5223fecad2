//! What `/proc` says of processes and sockets.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys;

/// A process that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// The name of the file that it was executed from, at most 15 bytes of it.
    pub comm: String,
    /// When it was started, in ticks since boot: with the PID it is nobody else.
    pub started: u64,
    /// What an execve changes where addresses are random: places in its memory, if this process may
    /// see them, else zeros.
    pub memory_layout: Vec<u64>,
}

/// The process with this number, unless there is none or only a dead one.
pub fn process(pid: i32) -> Option<Process> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name may contain anything, parentheses too.
    let (head, fields) = text.rsplit_once(") ")?;
    let (_, comm) = head.split_once(" (")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X" | "x")) | None) {
        return None;
    }
    // Fields 22, 26 to 28, 45 to 51 of proc(5), where the state is field 3.
    let number = |field: usize| fields.get(field - 3).and_then(|word| word.parse().ok());
    Some(Process {
        pid,
        comm: comm.to_owned(),
        started: number(22)?,
        memory_layout: (26..=28).chain(45..=51).map(|field| number(field).unwrap_or(0)).collect(),
    })
}

/// Whether there is a process with this number, of which `/proc` shows nothing (hidepid).
pub fn is_hidden(pid: i32) -> bool {
    pid > 0
        && sys::process::exists(pid).unwrap_or(false)
        && fs::read(format!("/proc/{pid}/stat")).is_err()
}

/// The children that the main thread of a process has started, in order.
pub fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// All processes.
pub fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A process's command line. Empty if it is a thread of the kernel or not to be seen.
pub fn arguments(pid: i32) -> Vec<OsString> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = text.strip_suffix(b"\0").unwrap_or(&text).split(|&byte| byte == 0);
    if text.is_empty() {
        Vec::new()
    } else {
        words.map(|word| OsString::from_vec(word.to_vec())).collect()
    }
}

/// The directory that a process is in, if it may be seen.
pub fn directory(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The control groups that a process is in, as the kernel lists them.
pub fn control_group(pid: i32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()
}

/// Whether a process has a handler for a signal, or holds it back, as servers do while they become
/// another program. `None` if that is not to be seen.
pub fn catches(pid: i32, signal: i32) -> Option<bool> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mask = |field| {
        let mask = text.lines().find_map(|line| line.strip_prefix(field))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    Some((mask("SigCgt:")? | mask("SigBlk:")?) & (1 << (signal - 1)) != 0)
}

/// The clock that start times are told by.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    boot: SystemTime,
    ticks: u64,
}

impl Clock {
    /// Reads the time of boot.
    pub fn read() -> Option<Clock> {
        let text = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
        let boot = SystemTime::now().checked_sub(Duration::try_from_secs_f64(uptime).ok()?)?;
        let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
        Some(Clock { boot, ticks: u64::try_from(ticks).ok()? })
    }

    /// When a process was started, to a few hundredths of a second.
    pub fn start(self, process: &Process) -> SystemTime {
        let millis = process.started.saturating_mul(1000).checked_div(self.ticks).unwrap_or(0);
        self.boot + Duration::from_millis(millis)
    }
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The paths of all Unix sockets that are open, `@NAME` for abstract ones.
///
/// # Errors
/// If the kernel's list can't be read.
pub fn unix_sockets() -> io::Result<BTreeSet<String>> {
    let text = fs::read_to_string("/proc/net/unix")?;
    let path = |line: &str| line.split_ascii_whitespace().nth(7).map(str::to_owned);
    Ok(text.lines().skip(1).filter_map(path).collect())
}

/// The TCP ports that somebody listens on.
pub fn listening_ports() -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        for line in text.lines().skip(1) {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (Some(local), Some("0A")) = (fields.next(), fields.nth(1)) else { continue };
            let port = local.rsplit_once(':').map(|(_, port)| u16::from_str_radix(port, 16));
            ports.extend(port.and_then(Result::ok));
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let myself = process(pid).unwrap();
        let age = SystemTime::now().duration_since(Clock::read().unwrap().start(&myself));
        // Times are in hundredths, and this may be its first.
        let age = age.unwrap_or_else(|early| early.duration());
        assert!(age < Duration::from_secs(3600));
        assert_eq!(arguments(pid), std::env::args_os().collect::<Vec<_>>());
        assert_eq!(directory(pid), std::env::current_dir().ok());
        assert_eq!(catches(pid, nix::libc::SIGSEGV), Some(true));
        assert_eq!(catches(pid, nix::libc::SIGUSR2), Some(false));
        assert!(pids().contains(&pid) && process(i32::MAX).is_none());
    }

    #[test]
    fn sockets_of_this_machine() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("s");
        let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let path = path.to_str().unwrap().to_owned();
        assert!(unix_sockets().unwrap().contains(&path));
        drop(socket);
        assert!(!unix_sockets().unwrap().contains(&path));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listening_ports().contains(&socket.local_addr().unwrap().port()));
    }
}
