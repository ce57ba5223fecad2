//! The servers that run on this machine, with the configuration that their command lines give them.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::proc;
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

/// All servers in this mount namespace: those of containers have other files.
pub(crate) fn running() -> Vec<RunningServer> {
    let mounts = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let here = mounts("self");
    let mut found: Vec<RunningServer> = Vec::new();
    for pid in proc::pids() {
        let Some(process) = proc::process(pid) else { continue };
        if process.comm != "procServ" || mounts(&pid.to_string()) != here {
            continue;
        }
        let argv: Vec<OsString> = proc::arguments(pid);
        if let (Some(directory), Ok(config)) = (proc::directory(pid), cli::parse(argv, &|_| None)) {
            found.push(RunningServer { pid, directory, config });
        }
    }
    // Between fork and exec a child has the command line of its server.
    let children: Vec<i32> = found.iter().flat_map(|server| proc::children(server.pid)).collect();
    found.retain(|server| !children.contains(&server.pid));
    found
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
