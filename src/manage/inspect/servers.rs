//! The servers that run on this machine, by what `/proc` says of their command lines.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::proc;
use crate::cli;
use crate::config::endpoint::Address;
use crate::config::{Config, LogTarget};

/// A procServ that runs in the same file system as this program.
pub(crate) struct RunningServer {
    /// Its process.
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
    /// The files that no other may have, with what they are called.
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

    /// Whether it was told to listen on a TCP port.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        addresses(&self.config).any(|address| address.port() == port)
    }
}

/// All that run here. Those of containers have files of their own.
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
    // Between fork and exec a child looks like its server.
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
