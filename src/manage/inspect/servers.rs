//! The servers that run on this machine, with the configuration that their command lines give them.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{bounded, proc};
use crate::cli;
use crate::config::endpoint::Address;
use crate::config::{Config, LogTarget};

/// A procServ that runs in the same file system as this program.
pub(crate) struct RunningServer {
    pub(crate) pid: i32,
    directory: PathBuf,
    config: Config,
}

impl std::fmt::Display for RunningServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (PID {})", self.config.child.name.to_string_lossy(), self.pid)
    }
}

impl RunningServer {
    /// The files that no other server may have, with a name for the kind of each.
    pub(crate) fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let log = match &self.config.log.target {
            Some(LogTarget::File(path)) => Some(path),
            _ => None,
        };
        let files = [
            ("log file", log),
            ("pidfile", self.config.files.pid.as_ref()),
            ("info file", self.config.files.info.as_ref()),
            ("status file", self.config.files.status.as_ref()),
        ];
        files
            .into_iter()
            .filter_map(|(kind, path)| Some((kind, self.directory.join(path?))))
            .collect()
    }

    /// Returns true if a file that no other server may have is at `path`.
    pub(crate) fn has_file(&self, path: &Path) -> bool {
        self.files().iter().any(|(_, file)| file == path)
    }

    /// Returns true if the command line of the server has a TCP port.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        addresses(&self.config).any(|address| address.port() == port)
    }
}

/// All servers in this mount namespace: those of containers have other files. Also the PIDs of the
/// processes that seem to be servers, and of which the kernel does not tell more: reading a command
/// line waits for the memory of the process.
pub(crate) fn running() -> (Vec<RunningServer>, Vec<i32>) {
    let mounts = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let here = mounts("self");
    let is_server = |pid: &i32| {
        proc::process(*pid).is_some_and(|process| process.comm == "procServ")
            && mounts(&pid.to_string()) == here
    };
    let pids: Vec<i32> = proc::pids().into_iter().filter(is_server).collect();
    let looks = bounded::each(pids.clone(), |pid| {
        let argv: Vec<OsString> = proc::arguments(pid);
        let config = cli::parse(argv, &|_| None).ok()?;
        Some(RunningServer { pid, directory: proc::directory(pid)?, config })
    });
    let mut found = Vec::new();
    let mut unanswered = Vec::new();
    for (pid, look) in pids.into_iter().zip(looks) {
        match look {
            Some(server) => found.extend(server),
            None => unanswered.push(pid),
        }
    }
    // Between fork and exec a child has the command line of its server.
    let children: Vec<i32> =
        found.iter().flat_map(|server: &RunningServer| proc::children(server.pid)).collect();
    found.retain(|server| !children.contains(&server.pid));
    (found, unanswered)
}

/// The TCP addresses where a server with this configuration listens.
pub(crate) fn addresses(config: &Config) -> impl Iterator<Item = SocketAddr> {
    config.endpoints.controls.iter().chain(&config.endpoints.log).filter_map(|endpoint| {
        match &endpoint.address {
            Address::Tcp(address) => Some(*address),
            _ => None,
        }
    })
}
