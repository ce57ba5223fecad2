//! Descendants of the child that are not in its process group: the daemon that it became, and the
//! orphans that it left behind. The server is the parent of those that have lost theirs
//! (PR_SET_CHILD_SUBREAPER of prctl(2)).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::Daemon;
use crate::sys::process::{self, procfs};

/// What the kernel has to know to find the child's descendants.
#[derive(Debug, Default)]
pub(crate) struct Descendants {
    /// `--child-pidfile`.
    pid_file: Option<PathBuf>,
    /// The start time of the oldest child that counts, in USER_HZ ticks since boot (field 22 of
    /// proc_pid_stat(5)). Older processes are no descendants of it.
    pub(crate) since_ticks: Option<u64>,
    /// The orphans that got SIGTERM already.
    terminated: BTreeSet<i32>,
}

impl Descendants {
    /// The descendants of a child that was started at `since_ticks`, if one runs already.
    pub(crate) fn new(pid_file: Option<PathBuf>, since_ticks: Option<u64>) -> Descendants {
        Descendants { pid_file, since_ticks, terminated: BTreeSet::new() }
    }

    /// The name of the PID file, with `--child-pidfile`.
    pub(crate) fn pid_file(&self) -> Option<PathBuf> {
        self.pid_file.clone()
    }

    /// A child was started at `start_ticks`. If it runs `beside` another one, the descendants of both
    /// count.
    pub(crate) fn begin(&mut self, start_ticks: Option<u64>, beside: bool) {
        if !beside || self.since_ticks.is_none() {
            self.since_ticks = start_ticks;
        }
        self.terminated.clear();
    }

    /// The process that the PID file names, if it descends from this process and not from `stranger`.
    /// What was started by a server that died descends from nobody: then it has to be in the same control
    /// group, and not to be older than the first process, which was started at `inherited_since`. `read`
    /// reads the file.
    ///
    /// # Errors
    /// The reason why there is no such process, for the console.
    pub(crate) fn find_daemon(
        &self,
        stranger: Option<i32>,
        inherited_since: Option<u64>,
        read: impl FnOnce(PathBuf) -> Result<i32, String>,
    ) -> Result<Daemon, String> {
        let path = self.pid_file.as_deref().unwrap_or(Path::new(""));
        let named = |problem: String| format!("PID file {} {problem}", path.display());
        let pid = read(path.to_owned()).map_err(named)?;
        let found = procfs::descendant(pid);
        let ours = found.filter(|(_, line)| !stranger.is_some_and(|pid| line.contains(&pid)));
        let (process, is_child) = ours
            .map(|(process, line)| (process, line.len() == 1))
            .or_else(|| Some((procfs::sibling_since(pid, inherited_since?)?, false)))
            .ok_or_else(|| named(format!("names process {pid}, which is none of the child's")))?;
        let start_ticks = procfs::start_ticks(pid);
        Ok(Daemon { pid, start_ticks, process, is_child })
    }

    /// Sends a signal to all orphans, SIGTERM only once to each. Returns how many there are.
    pub(crate) fn signal(&mut self, signal: i32, ours: [Option<i32>; 3]) -> usize {
        let Some(since) = self.since_ticks else {
            return 0;
        };
        let mut found = procfs::children_since(since);
        // An orphan that may not be signalled is not waited for.
        found.retain(|pid| !ours.contains(&Some(*pid)) && process::may_signal(*pid));
        for &pid in &found {
            if signal == Signal::SIGKILL as i32 {
                process::signal(pid, signal);
            } else if self.terminated.insert(pid) {
                process::signal(pid, signal);
                // A stopped process handles SIGTERM only after this.
                process::signal(pid, Signal::SIGCONT as i32);
            }
        }
        found.len()
    }
}
