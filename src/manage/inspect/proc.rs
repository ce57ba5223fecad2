//! What the kernel knows of processes and sockets (proc(5)): over the crate `procfs`, except where
//! that loses something. Systems other than Linux have no such files, and nothing is known there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use self::kernel::{
    catches, children, control_groups, directory, listener, listening_ports, process, usage,
};
use crate::sys;

/// A process that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// The name of the file that the process was executed from, at most 15 bytes of it.
    pub(crate) comm: String,
    /// When the process was started, in ticks of `USER_HZ` since boot, field 22 of
    /// proc_pid_stat(5): together with the PID, the identity of the process.
    pub(crate) started: u64,
    /// Addresses in the process's memory, fields 26 to 28 and 45 to 51 of proc_pid_stat(5). An
    /// execve(2) changes them, where addresses are random. Zeros if this process may not see them.
    pub(crate) memory_layout: Vec<u64>,
    /// True if a signal such as `SIGSTOP`, or a debugger, has stopped the process.
    pub(crate) is_stopped: bool,
}

/// Returns true if there is a process with this PID of which `/proc` shows nothing (the mount
/// option `hidepid`).
pub(crate) fn is_hidden(pid: i32) -> bool {
    pid > 0
        && sys::process::exists(pid).unwrap_or(false)
        && fs::read(format!("/proc/{pid}/stat")).is_err()
}

/// The PIDs of all processes.
pub(crate) fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The command line of a process. Empty for a thread of the kernel, or if this process may not see
/// the command line. `procfs` drops empty words, and fails if a word is not UTF-8.
pub(crate) fn arguments(pid: i32) -> Vec<OsString> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = text.strip_suffix(b"\0").unwrap_or(&text).split(|&byte| byte == 0);
    if text.is_empty() {
        Vec::new()
    } else {
        words.map(|word| OsString::from_vec(word.to_vec())).collect()
    }
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// The time of processors.
    pub(crate) cpu: Duration,
    /// Its memory, in bytes: that part of it which is in RAM.
    pub(crate) memory: u64,
}

/// Converts the start times of processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    boot: SystemTime,
    ticks_per_second: u64,
}

impl Clock {
    /// Reads the time of boot.
    pub(crate) fn read() -> Option<Clock> {
        let (uptime, ticks_per_second) = kernel::uptime()?;
        Some(Clock { boot: SystemTime::now().checked_sub(uptime)?, ticks_per_second })
    }

    /// When a process was started, to a few hundredths of a second.
    pub(crate) fn start(self, process: &Process) -> SystemTime {
        let ticks = process.started.saturating_mul(1000);
        self.boot + Duration::from_millis(ticks.checked_div(self.ticks_per_second).unwrap_or(0))
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The paths of all Unix sockets that are open, `@NAME` for abstract ones.
///
/// # Errors
/// The kernel's list can't be read.
pub(crate) fn unix_sockets() -> io::Result<BTreeSet<Vec<u8>>> {
    Ok(socket_paths(&fs::read("/proc/net/unix")?))
}

/// The paths in a text like `/proc/net/unix`. `procfs` cuts each path at its first blank, and fails
/// if a path is not UTF-8. The kernel escapes nothing: a path may even have line ends.
fn socket_paths(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut paths: Vec<Vec<u8>> = Vec::new();
    for line in text.split(|&byte| byte == b'\n').skip(1) {
        let address = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        if let Some(address) = address.strip_suffix(b":")
            && address.len() >= 8
            && address.iter().all(u8::is_ascii_hexdigit)
        {
            paths.push(after_fields(line, 7).unwrap_or_default().to_vec());
        } else if let Some(path) = paths.last_mut() {
            path.push(b'\n');
            path.extend(line);
        }
    }
    // The text ends with a line end, which is not part of the last path.
    if let Some(path) = paths.last_mut().filter(|path| path.last() == Some(&b'\n')) {
        path.pop();
    }
    paths.into_iter().filter(|path| !path.is_empty()).collect()
}

/// What follows the first `count` fields of a line and the one blank after them.
fn after_fields(mut line: &[u8], count: usize) -> Option<&[u8]> {
    for _ in 0..count {
        line = line.trim_ascii_start();
        line = line.get(line.iter().position(|&byte| byte == b' ')?..)?;
    }
    line.get(1..)
}

#[cfg(target_os = "linux")]
mod kernel {
    use super::{BTreeSet, Duration, PathBuf, Process, Usage};
    use procfs::Current;
    use procfs::net::TcpState;
    use procfs::process::FDTarget;

    fn open(pid: i32) -> Option<procfs::process::Process> {
        procfs::process::Process::new(pid).ok()
    }

    /// The process with this PID, unless there is none or it has ended.
    pub(crate) fn process(pid: i32) -> Option<Process> {
        let stat = open(pid)?.stat().ok()?;
        if matches!(stat.state, 'Z' | 'X' | 'x') {
            return None;
        }
        let code = [stat.startcode, stat.endcode, stat.startstack].map(Some);
        let data = [stat.start_data, stat.end_data, stat.start_brk];
        let strings = [stat.arg_start, stat.arg_end, stat.env_start, stat.env_end];
        let layout = code.into_iter().chain(data).chain(strings);
        Some(Process {
            pid,
            comm: stat.comm,
            started: stat.starttime,
            memory_layout: layout.map(Option::unwrap_or_default).collect(),
            is_stopped: matches!(stat.state, 'T' | 't'),
        })
    }

    /// The PIDs of the children that the main thread of a process has started, in order.
    pub(crate) fn children(pid: i32) -> Vec<i32> {
        let children =
            open(pid).and_then(|process| process.task_main_thread().ok()?.children().ok());
        children.into_iter().flatten().filter_map(|child| child.try_into().ok()).collect()
    }

    /// The working directory of a process, if this process may see it.
    pub(crate) fn directory(pid: i32) -> Option<PathBuf> {
        open(pid)?.cwd().ok()
    }

    /// The control groups of a process, each with the number of its hierarchy.
    pub(crate) fn control_groups(pid: i32) -> Option<Vec<(u32, String)>> {
        let groups = open(pid)?.cgroups().ok()?;
        Some(groups.into_iter().map(|group| (group.hierarchy, group.pathname)).collect())
    }

    /// Returns true if a process has a handler for a signal, or blocks it, as servers do while they
    /// become another program. `None` if this process may not see that.
    pub(crate) fn catches(pid: i32, signal: i32) -> Option<bool> {
        let status = open(pid)?.status().ok()?;
        Some((status.sigcgt | status.sigblk) & (1 << (signal - 1)) != 0)
    }

    /// How long ago the system was booted, and how many ticks a second has in which the kernel
    /// counts.
    pub(super) fn uptime() -> Option<(Duration, u64)> {
        let uptime = procfs::Uptime::current().ok()?.uptime_duration();
        Some((uptime, procfs::ticks_per_second()))
    }

    /// What a process has used so far.
    pub(crate) fn usage(pid: i32) -> Option<Usage> {
        let stat = open(pid)?.stat().ok()?;
        let ticks = (stat.utime + stat.stime).saturating_mul(1000);
        let cpu = ticks.checked_div(procfs::ticks_per_second())?;
        let memory = stat.rss.saturating_mul(procfs::page_size());
        Some(Usage { cpu: Duration::from_millis(cpu), memory })
    }

    /// The TCP ports on which somebody listens.
    pub(crate) fn listening_ports() -> BTreeSet<u16> {
        let sockets = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
        let listening = sockets.filter(|socket| socket.state == TcpState::Listen);
        listening.map(|socket| socket.local_address.port()).collect()
    }

    /// A process that listens on a TCP port, if this process may see its descriptors.
    pub(crate) fn listener(port: u16) -> Option<Process> {
        let sockets = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
        let is_wanted = |socket: &procfs::net::TcpNetEntry| {
            socket.state == TcpState::Listen && socket.local_address.port() == port
        };
        let inodes: BTreeSet<u64> = sockets.filter(is_wanted).map(|socket| socket.inode).collect();
        let has_one =
            |pid: &i32| {
                let descriptors = open(*pid).and_then(|process| process.fd().ok());
                descriptors.into_iter().flatten().flatten().any(
                    |fd| matches!(fd.target, FDTarget::Socket(inode) if inodes.contains(&inode)),
                )
            };
        super::pids().into_iter().find(has_one).and_then(process)
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::{BTreeSet, Duration, PathBuf, Process, Usage};

    pub(crate) fn usage(_: i32) -> Option<Usage> {
        None
    }

    pub(crate) fn process(_: i32) -> Option<Process> {
        None
    }

    pub(crate) fn children(_: i32) -> Vec<i32> {
        Vec::new()
    }

    pub(crate) fn directory(_: i32) -> Option<PathBuf> {
        None
    }

    pub(crate) fn control_groups(_: i32) -> Option<Vec<(u32, String)>> {
        None
    }

    pub(crate) fn catches(_: i32, _: i32) -> Option<bool> {
        None
    }

    pub(super) fn uptime() -> Option<(Duration, u64)> {
        None
    }

    pub(crate) fn listening_ports() -> BTreeSet<u16> {
        BTreeSet::new()
    }

    pub(crate) fn listener(_: u16) -> Option<Process> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
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
        for name in ["s", "with a blank", " two\n lines ", "end\n", "\u{e4}"] {
            let path = scratch.path().join(name);
            let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let path = path.as_os_str().as_encoded_bytes();
            assert!(unix_sockets().unwrap().contains(path), "{name:?}");
            drop(socket);
            // A process that another test has just forked has the socket until it executes a program.
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            while unix_sockets().unwrap().contains(path) {
                assert!(std::time::Instant::now() < deadline, "{name:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(listening_ports().contains(&port) && listener(port).is_some());
    }

    #[test]
    fn paths_of_sockets_are_whole() {
        let text = b"Num RefCount Protocol Flags Type St Inode Path\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 1120166\n\
            0000000000000000: 00000002 00000000 00010000 0001 01    17 /a  b \n\
            0000000000000000: 00000002 00000000 00010000 0001 01 12345 @n@\xff\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 12345 /c\n: d\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 1120167\n";
        let paths: [&[u8]; 3] = [b"/a  b ", b"/c\n: d", b"@n@\xff"];
        assert_eq!(socket_paths(text).into_iter().collect::<Vec<_>>(), paths);
    }
}
