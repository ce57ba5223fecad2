//! What this machine has, for the cases that need more than the program under test.

use std::fs;
use std::io;
use std::net::{Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// A control group for tests of `pids.max` (cgroups(7)). Dropped, it is removed; nothing may be left in it.
pub struct PidsGroup(PathBuf);

impl PidsGroup {
    /// A group of this name. `None` if there can be none: without root's rights, or where the
    /// controller belongs to somebody else.
    pub fn new(name: &str) -> Option<PidsGroup> {
        let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        roots.into_iter().find_map(|root| {
            let group = PidsGroup(Path::new(root).join(format!("{name}-{}", std::process::id())));
            fs::create_dir(&group.0).ok()?;
            group.limit("max").ok()?;
            Some(group)
        })
    }

    /// Sets the greatest number of processes and threads.
    pub fn limit(&self, most: &str) -> io::Result<()> {
        fs::write(self.0.join("pids.max"), most)
    }

    /// Moves this process here.
    pub fn take(&self, pid: i32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for PidsGroup {
    fn drop(&mut self) {
        // Processes that have ended may still be there for a moment.
        for _ in 0..100 {
            match fs::remove_dir(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                _ => return,
            }
        }
    }
}

/// Returns true if there is a program of this name.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Returns true if the tests run with root's rights.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Returns true if there is IPv6, on loopback at least.
pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Why a case is left out without [`has_mount_namespaces`].
pub const NO_NAMESPACE: &str = "no mount namespaces";

/// Returns true if a program can have a mount namespace of its own.
pub fn has_mount_namespaces() -> bool {
    static SUCCEEDS: OnceLock<bool> = OnceLock::new();
    *SUCCEEDS.get_or_init(|| succeeds(&["unshare", "-m", "true"]))
}

/// Returns true if this command can be run and succeeds.
pub fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
